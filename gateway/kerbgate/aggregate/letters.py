"""Letters of roll-ups: one for a node, a group or the site, a level, and a part of a day; closed periods only.

A letter is made when it is sent, from what the store holds then. Its id stays the same; `revision` grows with each
change, so that the newest replaces the others.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from kerbgate.aggregate import documents, nodes
from kerbgate.aggregate.outbox import Outbox
from kerbgate.aggregate.periods import DAY, DAY_S, HOUR, LEVELS, Calendar, utc_text
from kerbgate.aggregate.scopes import FIRST_SCOPE
from kerbgate.aggregate.thinning import thinned_to
from kerbgate.letters import Letter, Wants

SCHEMA = "kerbstone/rollup/1"
KIND = "rollup"


class RollupLetters:
    """A LetterSource."""

    name = "rollups"

    def __init__(self, calendar: Calendar, rows: Outbox, grace_s: int):
        self._calendar = calendar
        self._rows = rows
        self._grace_s = grace_s

    def waiting(self, db: sqlite3.Connection, outlet: str, limit: int, now_s: int) -> list[Letter]:
        """See LetterSource."""
        rows = db.execute(
            "SELECT level, scope, block, change FROM rollup_outbox WHERE outlet=? AND due<=? ORDER BY due LIMIT ?",
            (outlet, now_s, limit),
        ).fetchall()
        until_s = now_s - self._grace_s
        return [
            self._letter(db, level, scope, block, change, until_s)
            for level, scope, block, change in rows
            if self._calendar.block(level, block) == block  # else of another time zone: it is moved soon
        ]

    def delivered(self, db: sqlite3.Connection, outlet: str, keys: Sequence[tuple[int, ...]]) -> None:
        """See LetterSource."""
        for key in keys:
            self._rows.delivered(db, outlet, key)

    def outlets(self, db: sqlite3.Connection, wants: Wants) -> None:
        """See LetterSource."""
        self._rows.want(db, wants)

    def backlog(self, db: sqlite3.Connection) -> Mapping[str, int]:
        """See LetterSource."""
        return dict(db.execute("SELECT outlet, count(*) FROM rollup_outbox GROUP BY outlet").fetchall())

    def drop(self, db: sqlite3.Connection, outlet: str, limit: int) -> int:
        """See LetterSource."""
        query = (
            "DELETE FROM rollup_outbox WHERE outlet=?1 AND (level, scope, block) IN"
            " (SELECT level, scope, block FROM rollup_outbox WHERE outlet=?1 LIMIT ?2)"
        )
        return db.execute(query, (outlet, limit)).rowcount

    def _letter(self, db: sqlite3.Connection, level: int, scope: int, block: int, change: int, until_s: int) -> Letter:
        """until_s: periods that ended by then are closed."""
        calendar = self._calendar
        end_s = calendar.block_end(level, block)
        body: dict[str, Any] = {"schema": SCHEMA, "level": LEVELS[level], "timezone": calendar.zone.key}
        if scope < FIRST_SCOPE:
            site, role = db.execute(
                "SELECT site, role FROM life WHERE node=? ORDER BY life_id LIMIT 1", (scope,)
            ).fetchone()
            kind, name = "node", str(scope)
            body |= {"site": site, "node": scope, "role": role}
            periods = nodes.periods(db, calendar, scope, level, block, end_s)
            periods = [period for period in periods if calendar.end(level, period.start_s) <= until_s]
            starts = [period.start_s for period in periods]
            found = [documents.of_node(calendar, level, period) for period in periods]
            whole = level == DAY and block >= thinned_to(db, HOUR) * DAY_S
            if whole and found and "energy" in found[0]:
                found[0]["half_hours"] = documents.half_hours(db, calendar, scope, block)
        else:
            ident = scope - FIRST_SCOPE
            kind, name = db.execute("SELECT kind, name FROM scope WHERE scope_id=?", (ident,)).fetchone()
            body[kind] = name
            scopes = documents.of_scope(db, calendar, ident, level, block, end_s)
            starts = [start_s for start_s in scopes if calendar.end(level, start_s) <= until_s]
            found = [scopes[start_s] for start_s in starts]
        body |= {
            "id": f"{KIND}/{kind}/{name}/{LEVELS[level]}/{utc_text(block)}",
            "revision": change,
            "periods": found,
        }
        told_s = end_s if until_s >= end_s else max((calendar.end(level, at_s) for at_s in starts), default=0)
        return Letter((level, scope, block, change, told_s), KIND, f"{kind}/{name}/{LEVELS[level]}", body)
