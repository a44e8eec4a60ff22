"""Folds: what is kept up to date with the records, in the transaction that commits them.

A roll-up that is updated here is right after a kill, a power cut and a restart, because it is committed with its
records. A fold that fails must not keep records from being stored: what it wrote is undone, its reports are noted as a
debt in the same transaction, and the debt is paid at the next start, or after `owe_all`. One report that it cannot
take keeps no others from it.
"""

import sqlite3
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from kerbgate.store.items import NewEvent, NewReport

AGAIN_S = 60.0  # after a failure of a fold's work until the next try
SINGLES = 3  # failures of single reports, after one of many at once, until the others are not tried any more


class Fold(Protocol):
    """Something that is updated with each commit. Called in the writer's thread only."""

    name: str  # of its debts; stays for ever

    def apply(self, connection: sqlite3.Connection, new: Sequence[NewReport]) -> None:
        """Take up reports that are new in this transaction, which it neither begins nor ends. `row.fresh`: which ones.

        Each record comes once: again only after its transaction, or what this fold wrote in it, was rolled back.
        """
        ...

    def forget(self) -> None:
        """Drop what memory says: the transaction was rolled back, and the file is the only truth."""
        ...


@runtime_checkable
class EventFold(Protocol):
    """A fold that takes up events too, by the rules of `Fold.apply`."""

    def apply_events(self, connection: sqlite3.Connection, new: Sequence[NewEvent]) -> None: ...


@runtime_checkable
class Worker(Protocol):
    """A fold with work of its own between two commits. Times are seconds of a clock that goes forward."""

    name: str

    def due(self, now: float) -> bool:
        """Whether there may be work."""
        ...

    def work(self, connection: sqlite3.Connection, now: float, newest_ms: int) -> bool:
        """One short step inside a transaction; True: there may be more. newest_ms: UTC of the newest arrival."""
        ...


class Folds:
    """The folds of a store, and the debts of those that failed."""

    def __init__(self, folds: Sequence[Fold]):
        self._folds = tuple(folds)
        self._not_before: dict[str, float] = {}
        self._owing: set[str] = set()  # since the start
        self._stuck: set[str] = set()
        self.failures = 0
        self.last_error: str | None = None

    def __bool__(self) -> bool:
        return bool(self._folds)

    @property
    def failing(self) -> bool:
        """Whether a fold could not take up something since the start, or its work fails now."""
        return bool(self._owing or self._stuck)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(fold.name for fold in self._folds)

    def apply(self, db: sqlite3.Connection, new: Sequence[NewReport], events: Sequence[NewEvent] = ()) -> None:
        """All folds on what is new. sqlite3.Error only where the disk is at fault."""
        for fold in self._folds:
            self._one(db, fold, new, events)

    def pay(
        self, db: sqlite3.Connection, name: str, owed: Sequence[NewReport], events: Sequence[NewEvent] = ()
    ) -> None:
        """Let one fold take up what it owes. Inside a transaction."""
        ids = [(name, item.row.report_id) for item in (*owed, *events)]
        db.executemany("DELETE FROM debt WHERE fold=? AND report_id=?", ids)
        for fold in self._folds:
            if fold.name == name:
                self._one(db, fold, owed, events)

    def forget(self) -> None:
        for fold in self._folds:
            fold.forget()

    def worker(self, now: float) -> Worker | None:
        """A fold that has work to do."""
        for fold in self._folds:
            if isinstance(fold, Worker) and now >= self._not_before.get(fold.name, 0.0) and fold.due(now):
                return fold
        return None

    def work(self, db: sqlite3.Connection, fold: Worker, now: float, newest_ms: int) -> None:
        """One step of a fold's work; one that fails is undone, and tried again after a pause. Inside a transaction."""
        db.execute("SAVEPOINT work")
        try:
            fold.work(db, now, newest_ms)
            self._stuck.discard(fold.name)
        except Exception as error:  # the edge of another's work, as below
            if not db.in_transaction:
                raise
            db.execute("ROLLBACK TO work")
            self.forget()
            self._not_before[fold.name] = now + AGAIN_S
            self._stuck.add(fold.name)
            self._count(fold, error)
        db.execute("RELEASE work")

    def _one(self, db: sqlite3.Connection, fold: Fold, new: Sequence[NewReport], events: Sequence[NewEvent]) -> None:
        """One fold on all of it; where that fails on one at a time, and what it cannot take is owed."""
        cause = self._take(db, fold, new, events)
        if cause is None:
            return
        owed: list[NewReport | NewEvent] = [*new, *events]
        if len(owed) > 1:
            failed: list[NewReport | NewEvent] = []
            for item in owed:
                if len(failed) < SINGLES:
                    found = (
                        self._take(db, fold, (), [item])
                        if isinstance(item, NewEvent)
                        else self._take(db, fold, [item], ())
                    )
                    if found is None:
                        continue
                    cause = found
                failed.append(item)
            owed = failed
        self._owing.add(fold.name)
        db.executemany(
            "INSERT OR IGNORE INTO debt VALUES (?,?,?)", [(fold.name, item.row.report_id, cause) for item in owed]
        )

    def _take(
        self, db: sqlite3.Connection, fold: Fold, new: Sequence[NewReport], events: Sequence[NewEvent]
    ) -> str | None:
        """None, or what went wrong; then nothing of it is left."""
        db.execute("SAVEPOINT fold")
        try:
            if new:
                fold.apply(db, new)
            if events and isinstance(fold, EventFold):
                fold.apply_events(db, events)
        except Exception as error:  # the edge of another's work: the records are stored all the same
            if not db.in_transaction:  # the disk is full or failing, and SQLite has rolled everything back
                raise
            db.execute("ROLLBACK TO fold")
            db.execute("RELEASE fold")
            fold.forget()
            self._count(fold, error)
            return type(error).__name__
        db.execute("RELEASE fold")
        return None

    def _count(self, fold: Fold | Worker, error: Exception) -> None:
        self.failures += 1
        self.last_error = f"{fold.name}: {type(error).__name__}: {error}"


def owe_all(db: sqlite3.Connection, name: str) -> None:
    """Let a fold take up every report that the store holds, at the next start: for one that is new or begins again."""
    db.execute("INSERT OR IGNORE INTO debt SELECT ?, report_id, NULL FROM report WHERE state='decoded'", (name,))
