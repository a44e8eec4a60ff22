"""`kerb bench slices`: the longest that a lamp's light has to wait for its program, computing alone."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kerbnode
import kerbwire
from kerbtools.bench.operations import BOARD_FACTOR

BAR_MS = 50
HEAP = "400K"  # the sources are compiled here, which takes more than a board has
_PROGRAM = Path(__file__).with_name("slices_board.py")
_TIMEOUT_S = 120


def rows() -> Iterator[dict[str, object]]:
    """A row for each piece of work; the flash is not in it, since its stalls are the part's."""
    from kerbtools.emulator import interpreter

    try:
        command = interpreter.command()
    except interpreter.InterpreterError as error:
        yield {"skipped": str(error), "hint": error.hint}
        return
    paths = (Path(kerbnode.__file__).parents[1], Path(kerbwire.__file__).parents[1], ".frozen")
    with tempfile.TemporaryDirectory(prefix="kerb-bench-") as folder:
        done = subprocess.run(
            [*command, "-X", f"heapsize={HEAP}", str(_PROGRAM), f"{folder}/node"],
            env={"MICROPYPATH": ":".join(map(str, paths)), "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    for text in done.stdout.splitlines():
        if text[:1] != "{":
            continue
        figure = json.loads(text)
        longest_ms = figure["longest_us"] * BOARD_FACTOR / 1000
        yield {
            "work": figure["name"],
            "slices": figure["slices"],
            "longest_ms_at_160": round(longest_ms, 1),
            "bar_ms": BAR_MS,
            "sum_ms_at_160": round(figure["sum_us"] * BOARD_FACTOR / 1000, 1),
            "within": longest_ms <= BAR_MS,
        }
    if done.returncode:
        yield {"skipped": f"MicroPython ended with status {done.returncode}", "hint": done.stderr.strip()[-300:]}
