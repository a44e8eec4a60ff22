"""Folds: what is kept up to date with the records, in the transaction that commits them.

A roll-up that is updated here is right after a kill, a power cut and a restart, because it is committed with its
records. A fold that fails must not keep records from being stored: what it wrote is undone, its reports are noted as a
debt in the same transaction, and the debt is paid at the next start, or after `owe_all`.
"""

import sqlite3
from collections.abc import Sequence
from typing import Protocol

from kerbgate.store.items import NewReport


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


class Folds:
    """The folds of a store, and the debts of those that failed."""

    def __init__(self, folds: Sequence[Fold]):
        self._folds = tuple(folds)
        self.failures = 0
        self.last_error: str | None = None

    def __bool__(self) -> bool:
        return bool(self._folds)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(fold.name for fold in self._folds)

    def apply(self, db: sqlite3.Connection, new: Sequence[NewReport]) -> None:
        """All folds on reports that are new. sqlite3.Error only where the disk is at fault."""
        for fold in self._folds:
            self._one(db, fold, new)

    def pay(self, db: sqlite3.Connection, name: str, owed: Sequence[NewReport]) -> None:
        """Let one fold take up what it owes. Inside a transaction."""
        ids = [(name, item.row.report_id) for item in owed]
        db.executemany("DELETE FROM debt WHERE fold=? AND report_id=?", ids)
        for fold in self._folds:
            if fold.name == name:
                self._one(db, fold, owed)

    def forget(self) -> None:
        for fold in self._folds:
            fold.forget()

    def _one(self, db: sqlite3.Connection, fold: Fold, new: Sequence[NewReport]) -> None:
        db.execute("SAVEPOINT fold")
        try:
            fold.apply(db, new)
        except Exception as error:  # the edge of another's work: the records are stored all the same
            if not db.in_transaction:  # the disk is full or failing, and SQLite has rolled everything back
                raise
            db.execute("ROLLBACK TO fold")
            fold.forget()
            self.failures += 1
            self.last_error = f"{fold.name}: {type(error).__name__}: {error}"
            db.executemany(
                "INSERT OR IGNORE INTO debt VALUES (?,?,?)",
                [(fold.name, item.row.report_id, type(error).__name__) for item in new],
            )
        db.execute("RELEASE fold")


def owe_all(db: sqlite3.Connection, name: str) -> None:
    """Let a fold take up every report that the store holds, at the next start: for one that is new or begins again."""
    db.execute("INSERT OR IGNORE INTO debt SELECT ?, report_id, NULL FROM report WHERE state='decoded'", (name,))
