"""Five virtual years of a bin: what they draw, wear and keep. A month by real restarts, the rest by re-entering a wake.

Both run the same month with the same settings, so that their ledgers can be laid beside each other. Computing is in
neither ledger's causes: it is the wakes, times what kerbtools.bench.wake measures of one (kerbtools.bench.cells).
"""

import math
import multiprocessing
import os
import select
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from kerbtools import boards
from kerbtools.bench import cells
from kerbtools.bench.cells import CELLS, DAYS_A_YEAR
from kerbtools.bench.yearly_gateway import Gateway
from kerbwire import line
from kerbwire.events import FIRE, SENSOR_FAULT

BOARDS = ("esp32_c3", "pico_w")
YEARS = 5
MONTH_DAYS = 30
HEAP_DAYS = 365  # of the board with the smallest heap, by real restarts: does memory ever run out?
CONFIG = {
    "heat_s": 1200
}  # of the month and of the years; the two minutes of the field are measured in a month of their own
FIELD: dict[str, int] = {}  # every setting at its default
NAME = "bin"  # of the board, which seeds its surroundings
_HEAP_STEPS = 6  # halvings between the two ends of the search

Figures = dict[str, Any]


def rows(
    years: float = YEARS, month_days: float = MONTH_DAYS, heap_days: float = HEAP_DAYS
) -> Iterator[dict[str, object]]:
    """Four tables: the two ledgers of the month, a day's charge by cause, what the years came to, and the heap."""
    jobs: dict[tuple[str, str], Future[Figures]] = {}
    smallest = min(BOARDS, key=lambda board: boards.load(board).heap_bytes)
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        jobs["year", smallest] = pool.submit(restarted, smallest, {"heat_s": 0}, heap_days)
        for board in BOARDS:
            jobs["years", board] = pool.submit(entered, board, CONFIG, years * DAYS_A_YEAR)
        for board in BOARDS:
            jobs["month", board] = pool.submit(restarted, board, CONFIG, month_days)
            jobs["same", board] = pool.submit(entered, board, CONFIG, month_days)
            jobs["field", board] = pool.submit(entered, board, FIELD, month_days)
            jobs["heap", board] = pool.submit(smallest_heap, board)
        done = {key: job.result() for key, job in jobs.items()}
    for board in BOARDS:
        yield from _ledgers(board, done["month", board], done["same", board])
    for board in BOARDS:
        yield from _day(board, done)
    for board in BOARDS:
        yield _life(board, years, done)
    for kind in ("month", "year"):
        for board in BOARDS:
            if (kind, board) in done:
                yield _heap(board, done[kind, board], done["heap", board])


def entered(board: str, config: dict[str, int], days: float) -> Figures:
    """Days of a board by re-entering its wake function."""
    from kerbtools.bench import reentry

    with tempfile.TemporaryDirectory(prefix="kerb-years-") as folder:
        return reentry.main(board, config, reentry.START_UTC, days, f"1/{NAME}", folder)


def restarted(board: str, config: dict[str, int], days: float) -> Figures:
    """Days of an emulated board, a process a wake."""
    from kerbtools.bench import reentry
    from kerbtools.emulator import Board, Identity, World

    taken: set[tuple[str, int]] = set()
    notes: list[str] = []

    def on_line(_: Board, text: str) -> None:
        words = text.split()
        if words[:1] in (["taken"], ["event"]):
            taken.add((words[1], int(words[2])))
        elif words[:2] == ["note", "crash"]:
            notes.append(text)

    with World(seed=1, start_utc=reentry.START_UTC, paused=True) as world:
        node = Board(
            world, board, name=NAME, on_line=on_line, config=config,
            identity=Identity(node=reentry.NODE, secret=reentry.SECRET, epoch=1),
        )  # fmt: skip
        with Answering(node) as gateway:
            node.start()
            for day in range(0, math.ceil(days), MONTH_DAYS):
                world.advance(min(MONTH_DAYS, days - day) * 86_400, timeout_s=3600)
            energy = node.energy()
            return {
                "charge_uah": dict(energy.charge_uah), "computing_s": energy.computing_s, "wakes": node.starts,
                "computing_uah": energy.computing_uah, "days": days, "erases": node.flash.erases, "notes": notes,
                "taken": len(taken), "waiting": len(taken - gateway.indices), "trouble": gateway.trouble,
            }  # fmt: skip


def smallest_heap(board: str) -> Figures:
    """The least heap, in bytes of a 64-bit board without shims, in which a day and its report end without an error."""
    from kerbtools.emulator import interpreter

    limit, factor = boards.load(board).heap_bytes, interpreter.HEAP_FACTOR
    low, high = 0.3, 1.0  # of the board's own
    try:
        for _ in range(_HEAP_STEPS):
            middle = (low + high) / 2
            interpreter.HEAP_FACTOR = factor * middle
            try:
                notes = restarted(board, {"heat_s": 0, "report_records": 24}, 25 / 24)["notes"]
            except Exception:  # it did not even start
                notes = ["none"]
            low, high = (middle, high) if notes else (low, middle)
    finally:
        interpreter.HEAP_FACTOR = factor  # this process has other jobs
    return {"bytes": round(high * limit * factor), "factor": factor, "limit": round(limit * factor)}


class Answering:
    """A gateway's end on an emulated board's link, in a thread of its own. Use as a context manager."""

    def __init__(self, board: Any) -> None:
        from kerbtools.bench import reentry

        self._board = board
        self._gateway = Gateway(reentry.NODE, reentry.SECRET)
        self._ending, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Gateway:
        self._fd = os.open(self._board.link_path, os.O_RDWR | os.O_NOCTTY)
        self._thread.start()
        return self._gateway

    def __exit__(self, *_: object) -> None:
        os.write(self._end, b"x")
        self._thread.join(5)
        for file in (self._fd, self._ending, self._end):
            os.close(file)

    def _run(self) -> None:
        reader = line.Reader()
        while True:
            readable, _, _ = select.select([self._fd, self._ending], [], [])
            if self._ending in readable:
                return
            for frame in reader.feed(os.read(self._fd, 4096)):
                for answer in self._gateway.hear(frame, int(self._board.world.now())):
                    os.write(self._fd, line.encode(answer))


def _ledgers(board: str, restarts: Figures, entries: Figures) -> Iterator[dict[str, object]]:
    one, other = restarts["charge_uah"], entries["charge_uah"]
    for cause in [*sorted(one), "all"]:
        first = sum(one.values()) if cause == "all" else one[cause]
        second = sum(other.values()) if cause == "all" else other.get(cause, 0.0)
        yield {
            "board": board, "month_by_cause": cause, "restarts_mah": first / 1000, "re_entries_mah": second / 1000,
            "apart_percent": 100 * (second - first) / first if first else 0.0,
        }  # fmt: skip


def a_day(board: str, done: dict[tuple[str, str], Figures]) -> dict[str, float]:
    """mAh a day in the field by cause: of the years, with the temperature every two minutes, and computing."""
    years, same, field = (done[key, board] for key in ("years", "same", "field"))
    causes = {
        cause: (years["charge_uah"][cause] / years["days"] + _a_day(field, cause) - _a_day(same, cause)) / 1000
        for cause in sorted(field["charge_uah"])
    }
    facts = boards.load(board)
    wakes = field["wakes"] / field["days"]
    for cause, seconds in (
        ("computing: samples", 24 * cells.SAMPLE_CPU_S[facts.port]),
        ("computing: temperature", (wakes - 24) * cells.HEAT_CPU_S[facts.port]),
        ("computing: reports", cells.REPORT_CPU_S[facts.port]),
        ("starts of chip and MicroPython", wakes * cells.START_S),
    ):
        causes[cause] = seconds * facts.currents["active"] / 3_600_000
    return causes


def _a_day(figures: Figures, cause: str) -> float:
    return figures["charge_uah"][cause] / figures["days"]


def _day(board: str, done: dict[tuple[str, str], Figures]) -> Iterator[dict[str, object]]:
    causes = a_day(board, done)
    for cause, mah in [*causes.items(), ("all", sum(causes.values()))]:
        yield {"board": board, "day_by_cause": cause, "mah_a_day": mah}


def _heap(board: str, figures: Figures, heap: Figures) -> dict[str, object]:
    """Of real MicroPython under the board's heap limit. Bytes are of 64 bits, and without the emulator's shims."""
    crashes = [note for note in figures["notes"] if note.split()[1] == "crash"]
    return {
        "board": board, "virtual_days_restarted": figures["days"], "wakes": figures["wakes"],
        "heap_limit_bytes": heap["limit"], "largest_heap_bytes": heap["bytes"],
        "allocation_failures": sum("MemoryError" in note for note in crashes), "crashes": len(crashes),
        "records_taken": figures["taken"], "waiting": figures["waiting"], "trouble": len(figures["trouble"]),
    }  # fmt: skip


def _life(board: str, years: float, done: dict[tuple[str, str], Figures]) -> dict[str, object]:
    figures, heap = done["years", board], done["heap", board]
    mah = sum(a_day(board, done).values())
    lost = figures["waiting"] if figures["next"] - (figures["newest_waiting"] or [figures["next"]])[0] > 48 else 0
    return {
        "board": board, "years": years, "mah_a_day": mah, "cells_last_years": CELLS.years(mah),
        "hottest_block_erases_a_year": figures["hottest"] / years, "erases_a_day": figures["erases"] / figures["days"],
        "records": figures["taken"], "lost": lost, "not_yet_due": figures["waiting"] - lost,
        "frames_a_day": figures["frames"] / figures["days"], "largest_heap_bytes": heap["bytes"],
        "heap_limit_bytes": heap["limit"], "trouble": len(figures["trouble"]),
        "false_fires": figures["raised"][FIRE], "false_sensor_faults": figures["raised"][SENSOR_FAULT],
    }  # fmt: skip
