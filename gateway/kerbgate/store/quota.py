"""Room for the store: how much it may take, and what goes first when that is nearly used up.

Only what every outlet has is thinned, layer by layer: raw reports first, then what is handed in as further layers
(roll-ups, the finest first). Alarms, level changes, what could not be decoded, and the committed ranges stay. When
nothing is left to thin the store fills up to its quota, and then nothing is acknowledged until there is room.
"""

import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kerbgate.store import tally

PAGE_SIZE = 4096
HIGH, LOW = 0.9, 0.85  # of the quota: thinning begins and ends
RESERVE = 64 * 1024 * 1024  # without a quota: bytes of the disk that are left to others, at most a tenth of it
PASS_S = 30.0  # after a pass over all layers until the next, where one was not enough
STEP = 2000  # rows looked at a transaction: frames wait no longer than this takes

_FORWARDED = (
    "DELETE FROM report WHERE report_id > ? AND report_id <= ? AND state='decoded' AND keep=0"
    " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outlet IN ({outlets}) AND outbox.report_id=report.report_id)"
    " AND NOT EXISTS (SELECT 1 FROM debt WHERE fold IN ({folds}) AND debt.report_id=report.report_id)"
    " AND received < ? RETURNING count, fresh"
)


@dataclass(frozen=True, slots=True)
class Thinned:
    """What one step took away: rows, and the records in them. ended: the layer has nothing more for now."""

    reports: int
    records: int
    ended: bool


class Layer(Protocol):
    """Rows of one kind that may be thinned."""

    name: str

    def thin(self, connection: sqlite3.Connection) -> Thinned:
        """Take away some rows, the oldest first, in a bounded time. Inside a transaction, in the writer's thread."""
        ...


@dataclass(slots=True)
class Room:
    """What status shows. limit_bytes: 0 without a quota."""

    limit_bytes: int = 0
    used_bytes: int = 0
    thinning: bool = False
    thinned_reports: int = 0
    thinned_records: int = 0
    exhausted: bool = False  # the last pass found nothing that may be thinned


class Quota:
    """The limit of one store and its layers, in the order in which they are thinned."""

    def __init__(self, path: Path, quota_mb: int, layers: Sequence[Layer] = ()):
        self.room = Room(limit_bytes=quota_mb * 1024 * 1024)
        self._folder = path.parent
        self._layers: list[Layer] = [RawReports(), *layers]
        self._at = 0
        self._found = 0
        self._next_pass = 0.0

    def limit_pages(self) -> int:
        """For PRAGMA max_page_count; 0: no limit."""
        return self.room.limit_bytes // PAGE_SIZE

    def measure(self, db: sqlite3.Connection, now: float) -> bool:
        """Look how full it is; True while there is something to thin. now: seconds of a clock that goes forward."""
        room = self.room
        pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        room.used_bytes = (pages - free) * PAGE_SIZE
        if room.limit_bytes:
            share = room.used_bytes / room.limit_bytes
        else:
            disk = shutil.disk_usage(self._folder)
            reserve = min(RESERVE, disk.total // 10)
            share = 1 - (disk.free + free * PAGE_SIZE - reserve) / disk.total if disk.total else 0.0
        if share < LOW:
            room.thinning = room.exhausted = False
        elif share >= HIGH and not room.thinning and now >= self._next_pass:
            room.thinning, self._at, self._found = True, 0, 0
        return room.thinning

    def thin(self, db: sqlite3.Connection, now: float, day: int) -> None:
        """One step. Inside a transaction."""
        done = self._layers[self._at].thin(db)
        self.room.thinned_reports += done.reports
        self.room.thinned_records += done.records
        tally.add(db, day, {tally.THINNED_REPORTS: done.reports, tally.THINNED_RECORDS: done.records})
        self._found += done.reports
        if done.ended:
            self._at += 1
            if self._at == len(self._layers):
                self.room.thinning, self.room.exhausted = False, not self._found
                self._next_pass = now + PASS_S


class RawReports:
    """Reports that every outlet has and that no fold owes."""

    name = "raw reports"

    def __init__(self) -> None:
        self._after = 0

    def thin(self, connection: sqlite3.Connection, before_ms: int = 1 << 62) -> Thinned:
        """See Layer. before_ms: UTC; what was received later stays."""
        db = connection
        seen = db.execute(
            "SELECT max(report_id), count(*) FROM"
            " (SELECT report_id FROM report WHERE report_id > ? ORDER BY report_id LIMIT ?)",
            (self._after, STEP),
        ).fetchone()
        if not seen[1]:
            self._after = 0
            return Thinned(0, 0, True)
        outlets, folds = _names(db, "outbox", "outlet"), _names(db, "debt", "fold")
        query = _FORWARDED.format(outlets=_marks(outlets), folds=_marks(folds))
        rows = db.execute(query, (self._after, seen[0], *outlets, *folds, before_ms)).fetchall()
        self._after = seen[0]
        return Thinned(len(rows), sum(_records(count, fresh) for count, fresh in rows), False)


def _names(db: sqlite3.Connection, table: str, column: str) -> list[str]:
    """The different values of the first column of a table's key, without reading all of it."""
    names: list[str] = []
    after = ""
    query = f"SELECT min({column}) FROM {table} WHERE {column} > ?"  # noqa: S608
    while (after := db.execute(query, (after,)).fetchone()[0]) is not None:
        names.append(after)
    return names


def _marks(names: list[str]) -> str:
    return ",".join("?" * len(names))


def _records(count: int | None, fresh: "int | bytes | None") -> int:
    if fresh is None:
        return count or 0
    return (int.from_bytes(fresh, "big") if isinstance(fresh, bytes) else fresh).bit_count()
