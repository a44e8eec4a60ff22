"""Time and heap of each operation on MicroPython, as a share of a loop of 100,000 `x += 1` in the same run.

Each row says which call is counted: the one that a node makes, with the records of a node in memory. The share carries
over to a board; an RP2040 takes about BOARD_FACTOR times the unix port's microseconds. On CPython the report decoder
stands beside cbor2 decoding the int-keyed map of the same day.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import kerbwire
from kerbtools.bench import ours, peers, workload
from kerbwire import frame

BOARD_FACTOR = 160
HEAP = "192wK"  # of 32-bit words, as a Pico W has; doubled on 64 bits
SEED = 1
# Operation -> (share of the loop, bytes allocated on 64 bits).
BARS = {
    "encode a bin day": (0.015, 1024),
    "seal a bin day": (0.004, 3072),
    "decode a command": (0.004, 1024),
}
SLICE_BAR_MS = 20
_PROGRAM = Path(__file__).with_name("operations_board.py")
_TIMEOUT_S = 120
_DECODING_S = 0.4
_ROUNDS = 5


def rows(days: ModuleType) -> Iterator[dict[str, object]]:
    """The operations on MicroPython, then the decoders on CPython."""
    from kerbtools.emulator import interpreter

    try:
        command = interpreter.command()
    except interpreter.InterpreterError as error:
        yield {"skipped": str(error), "hint": error.hint}
    else:
        yield from _on_micropython(list(command), days)
    yield from _decoders(days)


def _on_micropython(command: list[str], days: ModuleType) -> Iterator[dict[str, object]]:
    work = {
        "bin": _rows(workload.bin_day(days, SEED)),
        "lamp": _rows(workload.lamp_night(days, SEED)),
    }
    with tempfile.TemporaryDirectory(prefix="kerb-bench-") as folder:
        for name, rows_of_it in work.items():
            (Path(folder) / f"{name}.json").write_text(json.dumps(rows_of_it))
        done = subprocess.run(
            [*command, "-X", f"heapsize={HEAP}", str(_PROGRAM), folder],
            env={"MICROPYPATH": f"{Path(kerbwire.__file__).parents[1]}:.frozen", "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    figures = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
    loop = next((figure["us"] for figure in figures if figure["name"] == "reference loop"), None)
    if loop is not None:
        yield from (_row(figure, loop) for figure in figures)
    if done.returncode or loop is None:
        last = (done.stdout + done.stderr).strip()[-300:]
        yield {"skipped": f"MicroPython ended with status {done.returncode}: {last}", "hint": "see the line it names"}


def _rows(series: workload.Series) -> list[tuple[int, int, dict[int, int]]]:
    return [(record.index, record.time, record.values) for record in workload.records(series)]


def _row(figure: dict[str, float | str], loop: float) -> dict[str, object]:
    name, us = str(figure["name"]), figure.get("us")
    share, heap = BARS.get(name, ("", ""))
    bar_ms: object = SLICE_BAR_MS if "slice" in name else ""
    return {
        "on_micropython": name,
        "counted": figure.get("counted", ""),
        "us": us if us is not None else figure.get("failed", ""),
        "share_of_loop": round(float(us) / loop, 5) if us is not None else "",
        "bar_share": share,
        "ms_at_160": float(us) * BOARD_FACTOR / 1000 if us is not None else "",
        "bar_ms": bar_ms,
        "heap_bytes_64_bit": figure.get("heap", ""),
        "bar_heap": heap,
    }


def _decoders(days: ModuleType) -> Iterator[dict[str, object]]:
    import cbor2

    for name, series in (
        ("a bin day", workload.bin_day(days, SEED)),
        ("a lamp night", workload.lamp_night(days, SEED)),
    ):
        day = workload.records(series)
        near = ours.before(day)
        parts = ours.split(day, frame.MAX_FRAME, near)
        peer = peers.cbor_int(peers.fair(series))
        count = len(series.times)
        rate, other = _rates(
            lambda parts=parts, near=near: [ours.read(part, near) for part in parts],
            lambda peer=peer: cbor2.loads(peer),
        )
        yield {
            "on_cpython": f"decode {name}",
            "records": count,
            "ours_records_per_second": rate * count,
            "cbor2_int_map_records_per_second": other * count,
            "ours_over_cbor2": rate / other,
        }


def _rates(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Calls a second of both, best of several rounds taken in turn."""
    best = [0.0, 0.0]
    for _ in range(_ROUNDS):
        for i, call in enumerate((first, second)):
            calls, start = 0, time.perf_counter()
            while (took := time.perf_counter() - start) < _DECODING_S / _ROUNDS:
                call()
                calls += 1
            best[i] = max(best[i], calls / took)
    return best[0], best[1]
