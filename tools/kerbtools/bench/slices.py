"""`kerb bench slices`: the longest that a lamp's light has to wait for its program, computing alone."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import kerbnode
import kerbwire
from kerbtools import bundle
from kerbtools.bench.operations import BOARD_FACTOR

BAR_MS = 50
HEAP = "400K"  # the sources are compiled here, which takes more than a board has
_PROGRAM = Path(__file__).with_name("slices_board.py")
_TIMEOUT_S = 120
ROUNDS = 5
LOADED = (
    "kerbnode.eventmsg",
    "kerbnode.saying",
    "kerbnode.gaps",
    "kerbnode.orders",
    "kerbnode.log",
    "kerbnode.telling",
    "kerbnode.link.uplink",  # these four at a steady light
    "kerbnode.link.mqttsession",
    "kerbnode.link.mqtt",
    "kerbnode.link.lamplora",
)
_LOAD = f"""
import time, json
import kerbnode.app
import kerbnode.lampnode
took = {{}}
for name in {LOADED!r}:
    begin = time.ticks_us()
    __import__(name)
    took[name] = time.ticks_us() - begin
print(json.dumps(took))
"""


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
        if text[:1] == "{":
            figure = json.loads(text)
            yield _row(figure["name"], figure["slices"], figure["longest_us"], figure["sum_us"])
    if done.returncode:
        yield {"skipped": f"MicroPython ended with status {done.returncode}", "hint": done.stderr.strip()[-300:]}
    yield from _loads(command)


def _loads(command: Sequence[str]) -> Iterator[dict[str, object]]:
    """What is loaded only when it is needed, from the bundle: a part's reading of its flash comes on top."""
    with tempfile.TemporaryDirectory(prefix="kerb-bench-") as folder:
        library = bundle.build("pico_w", "lamp", Path(folder) / "bundle") / "lib"
        found: dict[str, list[int]] = {}
        told = ""
        for _ in range(ROUNDS):
            done = subprocess.run(
                [*command, "-X", f"heapsize={HEAP}", "-c", _LOAD],
                env={"MICROPYPATH": f"{library}:.frozen", "PATH": os.environ.get("PATH", "")},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            if not done.stdout.startswith("{"):
                told = (done.stdout + done.stderr).strip()[-300:]
                break
            for name, us in json.loads(done.stdout).items():
                found.setdefault(name, []).append(us)
    for name, times in found.items():
        yield _row(f"load {name}", 1, min(times), min(times))
    if not found:
        yield {"skipped": "the lamp's files could not be loaded", "hint": told}


def _row(work: str, slices: int, longest_us: int, sum_us: int) -> dict[str, object]:
    longest_ms = longest_us * BOARD_FACTOR / 1000
    return {
        "work": work,
        "slices": slices,
        "longest_ms_at_160": round(longest_ms, 1),
        "bar_ms": BAR_MS,
        "sum_ms_at_160": round(sum_us * BOARD_FACTOR / 1000, 1),
        "within": longest_ms <= BAR_MS,
    }
