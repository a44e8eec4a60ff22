"""What the writer does between two commits: thinning, debts of folds, counts. Each step is short and bounded."""

import sqlite3
import time

from kerbgate.store import tally
from kerbgate.store.aside import Decode
from kerbgate.store.books import Books, from_column
from kerbgate.store.folds import Folds
from kerbgate.store.health import Health
from kerbgate.store.items import NewEvent, NewReport, Reading, StoredReport
from kerbgate.store.quota import Quota, Room
from kerbwire.events import Event

EVERY_S = 1.0  # looks at the room and the counts
BUSY_S = 0.005  # between two steps while there is more to do: frames go first
TALLY_S = 600.0  # counts are written so often, and at the end: they shall not be what wears the card
DEBTS = 200  # reports that a fold takes up at once

_OWED = (
    "SELECT report_id, node, site, role, life, received, synchronised, first, count, fresh, message, time, life_id"
    " FROM debt JOIN report USING (report_id) JOIN life USING (life_id)"
    " WHERE fold=? AND report_id > ? AND report.state='decoded' ORDER BY report_id LIMIT ?"
)


class Chores:
    """The chores of one store. Only the writer's thread calls `begin`, `due` and `run`."""

    def __init__(self, quota: Quota, folds: Folds, decode: Decode, health: Health):
        self._quota = quota
        self._folds = folds
        self._decode = decode
        self._health = health
        self._owing = list(folds.names)  # each debt is tried once a start
        self._owed_after = 0
        self._unwritten = 0
        self._day: int = 0
        self._tally_at = 0.0
        self.next_s = 0.0

    @property
    def room(self) -> Room:
        """For status."""
        return self._quota.room

    def begin(self) -> None:
        """The writer's thread begins: its bytes are counted from here."""
        self._wear = tally.Wear()
        self._tally_at = time.monotonic() + TALLY_S

    def due(self, now: float) -> bool:
        return now >= self.next_s

    def run(self, books: Books, newest_ms: int, stopping: bool) -> None:
        """One step of each. newest_ms: UTC of the newest arrival, for the day of the counts; 0 before the first."""
        now = time.monotonic()
        self.next_s = now + EVERY_S
        db, day = books.connection, tally.day_of(newest_ms)
        if stopping and not day:
            day = tally.day_of(round(time.time() * 1000))
        self._day = self._day or day
        more = False
        if not stopping:
            if self._quota.measure(db, now):
                with _transaction(db):
                    self._quota.thin(db, now, day)
                more = True
            if self._owing:
                self._pay(db)
                more = True
            else:
                worker = self._folds.worker(now)
                if worker is not None:
                    with _transaction(db):
                        self._folds.work(db, worker, now, newest_ms or round(time.time() * 1000))
                    more = True
        written = self._wear.since_last()
        self._health.written_bytes += written
        self._unwritten += written
        if self._unwritten and (stopping or now >= self._tally_at or day != self._day):
            with _transaction(db):
                tally.add(db, self._day, {tally.WRITTEN: self._unwritten})
            self._unwritten, self._day, self._tally_at = 0, day, now + TALLY_S
        if more:
            self.next_s = now + BUSY_S

    def _pay(self, db: sqlite3.Connection) -> None:
        name = self._owing[0]
        rows = db.execute(_OWED, (name, self._owed_after, DEBTS)).fetchall()
        if not rows:
            self._owing.pop(0)
            self._owed_after = 0
            return
        self._owed_after = rows[-1][0]
        owed: list[NewReport] = []
        events: list[NewEvent] = []
        for *fields, life_id in rows:
            fields[9] = from_column(fields[9])
            row = StoredReport(*fields)
            reading = self._decode(row.message, row.near)
            if isinstance(reading, Reading):
                if isinstance(reading.report, Event):
                    events.append(NewEvent(row, life_id, reading.report))
                else:
                    owed.append(NewReport(row, life_id, reading.report))
        with _transaction(db):
            self._folds.pay(db, name, owed, events)


class _transaction:
    """BEGIN IMMEDIATE, and COMMIT or ROLLBACK."""

    def __init__(self, db: sqlite3.Connection):
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")
