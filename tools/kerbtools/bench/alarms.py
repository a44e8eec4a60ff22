"""What alarms cost: each report that raises none, on its way into the store; and a look at a full district for silence.

Times are the best of several runs of the fold alone, without SQLite's commit.
"""

import sqlite3
import time
from collections.abc import Iterator

from kerbgate.alarms import AlarmBook, kinds
from kerbgate.alarms.causes import Causes
from kerbgate.alarms.hearing import Hearing
from kerbgate.alarms.places import Place, Places
from kerbgate.alarms.watch import Watch
from kerbgate.clock import SystemClock
from kerbgate.store import NewReport, StoredReport, schema
from kerbwire.channels import BATTERY, ENERGY, FAULTS, FILL, HOURS, LEVEL, LUX, POWER, PRESENCE, QUALITY, TEMPERATURE
from kerbwire.messages import Record, Report

NODES = 1000
DISTRICT = 10_000
RUNS = 20
MIDNIGHT = 1_772_323_200  # 2026-03-01T00:00:00Z
LATITUDE, LONGITUDE = 51.45, -2.59

_BIN = {FILL: 20, TEMPERATURE: 20, QUALITY: 0, BATTERY: 360}
_LAMP = {ENERGY: 1000, LUX: 30, HOURS: 4000, PRESENCE: 1, FAULTS: 0}
CASES = (
    ("bin, 1 record", "bin", _BIN, MIDNIGHT, 1),
    ("lamp that is lit, 1 record", "lamp", _LAMP | {LEVEL: 100, POWER: 300}, MIDNIGHT, 1),
    ("lamp by day, 1 record", "lamp", _LAMP | {LEVEL: 0, POWER: 8}, MIDNIGHT + 43_200, 1),
    ("lamp, 24 records", "lamp", _LAMP | {LEVEL: 100, POWER: 300}, MIDNIGHT, 24),
)


def rows() -> Iterator[dict[str, object]]:
    """One row a case."""
    for name, role, values, at, count in CASES:
        for commit in (1, 200):
            yield {"what": name, "frames_a_commit": commit, "us_each": _fold(role, values, at, count, commit)}
    yield {"what": f"look at {DISTRICT} lamps for silence", "frames_a_commit": None, "us_each": _look()}


def _book(count: int) -> AlarmBook:
    book = AlarmBook("bench", Causes(320), Hearing(), table=kinds.KINDS, mono=time.monotonic)
    nodes = {
        n: Place(n, "bench", "lamp", "column", LATITUDE, LONGITUDE + n * 0.0004, "permanent", "F1")
        for n in range(1, count + 1)
    }
    book.places = Places("bench", nodes)
    return book


def _fold(role: str, values: dict[int, int], at: int, count: int, commit: int) -> float:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    book = _book(NODES)
    new: list[NewReport] = []
    for node in range(1, NODES + 1):
        report = Report([Record(i, at + i * 900, values) for i in range(count)])
        row = StoredReport(node, node, "bench", role, bytes(8), at * 1000, 1, 0, count, None, b"", at)
        new.append(NewReport(row, node, report))
    best = float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        for first in range(0, NODES, commit):
            book.apply(db, new[first : first + commit])
        best = min(best, time.perf_counter() - started)
    db.close()
    if book.open:
        raise RuntimeError("a report that should raise nothing raised an alarm")
    return best / NODES * 1e6


def _look() -> float:
    book = _book(DISTRICT)
    book.hearing.last.update(dict.fromkeys(book.places.nodes, time.monotonic()))
    watch = Watch(book, book.hearing, SystemClock(trusted=True), time.monotonic, lambda apply: True)
    nodes = list(book.places.nodes.values())
    best = float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        if watch.silent(nodes):
            raise RuntimeError("a lamp that was just heard is silent")
        best = min(best, time.perf_counter() - started)
    return best * 1e6
