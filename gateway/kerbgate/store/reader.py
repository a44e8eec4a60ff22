"""The store as its readers see it: a read-only connection, never in the writer's way."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kerbgate.errors import StoreError
from kerbgate.store import gaps, logs, opening, schema, tally
from kerbgate.store.books import from_column
from kerbgate.store.items import Hole, StoredReport

_BUSY_TIMEOUT_S = 5.0
_MAX_LISTED = 1000  # gaps and undecoded rows that a summary lists; the rest is counted
_DAYS = 8  # of bytes written: today, and the week before it
_TOTAL = "SELECT coalesce(sum(value), 0) FROM tally WHERE name=?"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
            found: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise StoreError(
                f"the store {path} cannot be read: {error}", "start the gateway once: kerb gateway run"
            ) from error

        if found != schema.version():
            self._db.close()
            raise StoreError(
                f"the store {path} has schema {found}, and this program reads {schema.version()}",
                "an older one is brought up to date when the gateway starts: kerb gateway run; a later one needs the"
                " version that wrote it",
            )

    def close(self) -> None:
        self._db.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """For those who keep rows of their own in the store. It cannot write."""
        return self._db

    def waiting(self, outlet: str, after: int, limit: int) -> list[StoredReport]:
        """Reports that wait for an outlet, oldest first, with report_id above `after`."""
        rows = self._db.execute(
            "SELECT report_id, node, site, role, life, received, synchronised, first, count, fresh, message, time"
            " FROM outbox JOIN report USING (report_id) JOIN life USING (life_id)"
            " WHERE outlet=? AND report_id > ? ORDER BY report_id LIMIT ?",
            (outlet, after, limit),
        ).fetchall()
        return [_report(list(row)) for row in rows]

    def waiting_ids(self, outlet: str, after: int, limit: int) -> list[int]:
        """The report_ids of `waiting`."""
        # As one row: Python's sqlite3 lets go of the interpreter's lock, and waits for it again, row by row.
        found: str | None = self._db.execute(
            "SELECT group_concat(report_id) FROM"
            " (SELECT report_id FROM outbox WHERE outlet=? AND report_id > ? ORDER BY report_id LIMIT ?)",
            (outlet, after, limit),
        ).fetchone()[0]
        return [] if found is None else sorted(map(int, found.split(",")))

    def backwards(self, role: str) -> Iterator[StoredReport]:
        """Decoded reports of confirmed lives of such nodes, the newest first; read as they are taken."""
        rows = self._db.execute(
            "SELECT report_id, node, site, role, life, received, synchronised, first, count, fresh, message, time"
            " FROM report JOIN life USING (life_id)"
            " WHERE role=? AND life.state='confirmed' AND report.state='decoded' ORDER BY report_id DESC",
            (role,),
        )
        return (_report(list(row)) for row in rows)

    def forwards(self) -> Iterator[StoredReport]:
        """Decoded reports of all lives in the order in which they were committed; read as they are taken."""
        rows = self._db.execute(
            "SELECT report_id, node, site, role, life, received, synchronised, first, count, fresh, message, time"
            " FROM report JOIN life USING (life_id) WHERE report.state='decoded' ORDER BY report_id"
        )
        return (_report(list(row)) for row in rows)

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
        """For status: reports, records, lives, outbox depths, undecoded rows, the ledger of gaps, bytes a day."""
        db = self._db
        one = _One(db)
        holes, missing = gaps.counts(db)
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
            "holes": holes,
            "records_missing": missing,
            "gaps": [asdict(hole) for hole in self.gaps(_MAX_LISTED)],
            "logs": dict(zip(("pieces", "nodes"), logs.counts(db), strict=True)),
            "asks_waiting": one("SELECT count(*) FROM ask WHERE status IS NULL"),
            "debts": dict(db.execute("SELECT fold, count(*) FROM debt GROUP BY fold").fetchall()),
            "restored": self.restored(),
            "written": [
                {"day": (_EPOCH + timedelta(days=day)).date().isoformat(), "bytes": count}
                for day, count in tally.recent(db, tally.WRITTEN, _DAYS)
            ],
            "thinned_reports": one(_TOTAL, tally.THINNED_REPORTS),
            "thinned_records": one(_TOTAL, tally.THINNED_RECORDS),
        }

    def gaps(self, limit: int, node: int | None = None) -> list[Hole]:
        """The ledger of gaps of the confirmed lives, or of one node's, by life and index."""
        return gaps.ledger(self._db, limit, node)

    def restored(self) -> dict[str, Any] | None:
        """When and why the store last forgot its windows (opening.settle_past), and how many lives are not yet back."""
        meta = dict(
            self._db.execute(
                "SELECT name, value FROM meta WHERE name IN (?,?)", (opening.RESTORED_AT, opening.RESTORED_WHY)
            ).fetchall()
        )
        if not meta:
            return None
        strange = self._db.execute(
            "SELECT count(*) FROM life WHERE state='confirmed'"
            " AND NOT EXISTS (SELECT 1 FROM window WHERE window.life_id = life.life_id)"
        ).fetchone()[0]
        return {"at_ms": meta[opening.RESTORED_AT], "why": meta[opening.RESTORED_WHY], "nodes_not_back": strange}

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
        return {name: sorted(self._db.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables}  # noqa: S608


def _report(row: list[Any]) -> StoredReport:
    row[9] = from_column(row[9])  # fresh
    return StoredReport(*row)


class _One:
    """The one value of a query."""

    def __init__(self, db: sqlite3.Connection):
        self._db = db

    def __call__(self, query: str, *values: str) -> int:
        return self._db.execute(query, values).fetchone()[0]
