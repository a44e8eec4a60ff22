"""The store as its readers see it: a read-only connection, never in the writer's way."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerbgate.errors import StoreError
from kerbgate.store.books import from_column
from kerbgate.store.items import StoredReport

_BUSY_TIMEOUT_S = 5.0
_MAX_LISTED = 1000  # gaps and undecoded rows that a summary lists; the rest is counted


class Reader:
    """Queries of the store. Each one sees a whole commit or none of it."""

    def __init__(self, path: Path):
        """StoreError when there is no store to read."""
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=_BUSY_TIMEOUT_S,
            )
            self._db.execute("SELECT 1 FROM meta").fetchone()
        except sqlite3.Error as error:
            raise StoreError(
                f"the store {path} cannot be read: {error}", "start the gateway once: kerb gateway run"
            ) from error

    def close(self) -> None:
        self._db.close()

    def waiting(self, outlet: str, after: int, limit: int) -> list[StoredReport]:
        """Reports that wait for an outlet, oldest first, with report_id above `after`."""
        rows = self._db.execute(
            "SELECT report_id, node, site, role, life, received, synchronised, first, count, fresh, message, time"
            " FROM outbox JOIN report USING (report_id) JOIN life USING (life_id)"
            " WHERE outlet=? AND report_id > ? ORDER BY report_id LIMIT ?",
            (outlet, after, limit),
        ).fetchall()
        return [_report(list(row)) for row in rows]

    def nodes(self) -> list[dict[str, Any]]:
        """Each node's confirmed life: when it was last seen, how many records are committed, its newest index."""
        rows = self._db.execute(
            "SELECT node, site, role, lower(hex(life)), confirmed_at,"
            " (SELECT max(seen) FROM window WHERE window.life_id = life.life_id),"
            " (SELECT coalesce(sum(last - first + 1), 0) FROM committed WHERE committed.life_id = life.life_id),"
            " (SELECT max(last) FROM committed WHERE committed.life_id = life.life_id)"
            " FROM life WHERE state='confirmed' ORDER BY node"
        ).fetchall()
        names = ("node", "site", "role", "life", "confirmed_ms", "seen_ms", "committed", "newest_index")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def summary(self) -> dict[str, Any]:
        """Counts for status: reports, records, lives, outbox depths, undecoded rows and declared gaps."""
        db = self._db
        one = _One(db)
        return {
            "schema": one("PRAGMA user_version"),
            "reports": one("SELECT count(*) FROM report"),
            "records": one("SELECT coalesce(sum(last - first + 1), 0) FROM committed"),
            "lives": dict(db.execute("SELECT state, count(*) FROM life GROUP BY state").fetchall()),
            "outbox": self.outbox(),
            "undecoded": one("SELECT count(*) FROM report WHERE state='undecoded'"),
            "undecoded_reasons": dict(
                db.execute(
                    "SELECT reason, count(*) FROM report WHERE state='undecoded' GROUP BY reason LIMIT ?",
                    (_MAX_LISTED,),
                ).fetchall()
            ),
            "gaps_declared": one("SELECT count(*) FROM gap"),
            "gaps": [
                dict(zip(("node", "first", "count", "declared_ms"), row, strict=True))
                for row in db.execute(
                    "SELECT node, first, count, declared_at FROM gap JOIN life USING (life_id)"
                    " ORDER BY declared_at DESC LIMIT ?",
                    (_MAX_LISTED,),
                )
            ],
        }

    def outbox(self) -> dict[str, int]:
        """How many reports wait for each outlet, configured or not."""
        return dict(self._db.execute("SELECT outlet, count(*) FROM outbox GROUP BY outlet").fetchall())

    def committed(self, node: int, life: bytes) -> list[tuple[int, int]]:
        """The ranges of committed indices of one life, closed and in order."""
        return self._db.execute(
            "SELECT first, last FROM committed JOIN life USING (life_id) WHERE node=? AND life=? ORDER BY first",
            (node, life),
        ).fetchall()

    def dump(self) -> Mapping[str, list[tuple[Any, ...]]]:
        """Every row of every table: for comparing two states of a store."""
        tables = [row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name")]
        return {name: self._db.execute(f'SELECT * FROM "{name}" ORDER BY 1, 2').fetchall() for name in tables}  # noqa: S608


def _report(row: list[Any]) -> StoredReport:
    row[9] = from_column(row[9])  # fresh
    return StoredReport(*row)


class _One:
    """The one value of a query."""

    def __init__(self, db: sqlite3.Connection):
        self._db = db

    def __call__(self, query: str) -> int:
        return self._db.execute(query).fetchone()[0]
