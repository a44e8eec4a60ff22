"""What waits for outlets: rows that say which roll-up of which part of a day has changed, to make letters from."""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from kerbgate.aggregate.periods import DAY_S, LEVELS, Calendar
from kerbgate.letters import Wants

_CHANGE = "change"
_WANTS = "wants"  # JSON: levels by outlet
_ZONE = "timezone"  # that the rows' parts of days are of
MOVED = 100  # rows a step, after the time zone has changed
_TOUCH = (
    "INSERT INTO rollup_outbox VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET change=max(change, excluded.change),"
    " due=min(due, excluded.due), latest=max(latest, excluded.latest)"
)
_ROW = "outlet=? AND level=? AND scope=? AND block=?"
HOLDS = "SELECT 1 FROM rollup_outbox WHERE block >= ? AND block < ? LIMIT 1"
_AFTER = (
    "SELECT outlet, level, scope, block, change, due, latest FROM rollup_outbox"
    " WHERE (outlet, level, scope, block) > (?,?,?,?) ORDER BY outlet, level, scope, block LIMIT ?"
)


class Outbox:
    """Rows for outlets that want roll-ups. Only the writer's thread uses it, inside a transaction."""

    def __init__(self, calendar: Calendar, grace_s: int):
        """grace_s: from the end of a period, or from a late record, until its roll-up may go."""
        self._calendar = calendar
        self._grace_s = grace_s
        self._known: dict[str, tuple[int, ...]] | None = None  # what each outlet wants, as the store has it
        self._moved: tuple[str, int, int, int] | None = ("", 0, 0, 0)  # the key up to which rows fit the time zone

    def want(self, db: sqlite3.Connection, wants: Wants) -> None:
        """What each outlet wants from now on, also at the next start until it is said again."""
        found = {name: [level for level, kind in enumerate(LEVELS) if kind in kinds] for name, kinds in wants.items()}
        text = json.dumps({name: levels for name, levels in sorted(found.items()) if levels})
        db.execute("INSERT OR REPLACE INTO rollup_meta VALUES (?,?)", (_WANTS, text))
        self._known = None

    def _wants(self, db: sqlite3.Connection) -> dict[str, tuple[int, ...]]:
        if self._known is None:
            row = db.execute("SELECT value FROM rollup_meta WHERE name=?", (_WANTS,)).fetchone()
            self._known = {} if row is None else {name: tuple(levels) for name, levels in json.loads(row[0]).items()}
        return self._known

    def forget(self) -> None:
        """What memory says may not have been committed."""
        self._known = None
        self._moved = ("", 0, 0, 0)

    def move(self, db: sqlite3.Connection) -> bool:
        """One step: rows of another time zone go to the parts of its days; True: there may be more."""
        if self._moved is None:
            return False
        zone, calendar = self._calendar.zone.key, self._calendar
        row = db.execute("SELECT value FROM rollup_meta WHERE name=?", (_ZONE,)).fetchone()
        rows = []
        if row is None or row[0] != zone:
            rows = db.execute(_AFTER, (*self._moved, MOVED)).fetchall()
        for outlet, level, scope, block, change, due, latest in rows:
            self._moved = (outlet, level, scope, block)
            at_s = calendar.block(level, block)
            if at_s == block and latest <= calendar.block_end(level, block):
                continue
            db.execute(f"DELETE FROM rollup_outbox WHERE {_ROW}", self._moved)  # noqa: S608
            last_s = calendar.end(level, calendar.start(level, latest - 1))
            while at_s < latest:
                end_s = calendar.block_end(level, at_s)
                db.execute(_TOUCH, (outlet, level, scope, at_s, change, due, min(last_s, end_s)))
                at_s = end_s
        if not rows:
            self._moved = None
            db.execute("INSERT OR REPLACE INTO rollup_meta VALUES (?,?)", (_ZONE, zone))
        return bool(rows)

    def touch(
        self, db: sqlite3.Connection, touched: Mapping[tuple[int, ...], set[int]], now_s: int, gone: Sequence[int]
    ) -> None:
        """Note that quarters of nodes and scopes have changed. touched: UTC seconds, by numbers of nodes and scopes.

        gone: by level, the first UTC day that has it. Of a day before it the outlet has more than could be told now.
        """
        wants = self._wants(db)
        if not wants or not touched:
            return
        # At least the time in ms: the highest revision counts, also where an older store was put back.
        change_sql = "INSERT INTO rollup_meta VALUES (?,?) ON CONFLICT DO UPDATE SET value=max(value+1, excluded.value)"
        db.execute(change_sql, (_CHANGE, now_s * 1000))
        change = db.execute("SELECT value FROM rollup_meta WHERE name=?", (_CHANGE,)).fetchone()[0]
        rows: dict[tuple[int, int, int], tuple[int, int]] = {}  # earliest and latest end of a changed period
        levels = {level for wanted in wants.values() for level in wanted}
        calendar = self._calendar
        for numbers, quarters in touched.items():
            for level in levels:
                for start_s in {calendar.start(level, quarter_s) for quarter_s in quarters}:
                    block_s, end_s = calendar.block(level, start_s), calendar.end(level, start_s)
                    if 0 < gone[level] > block_s // DAY_S:
                        continue
                    for number in numbers:
                        key = (level, number, block_s)
                        before = rows.get(key, (end_s, end_s))
                        rows[key] = (min(before[0], end_s), max(before[1], end_s))
        db.executemany(
            _TOUCH,
            [
                (name, level, number, block, change, max(first, now_s) + self._grace_s, latest)
                for (level, number, block), (first, latest) in rows.items()
                for name, wanted in wants.items()
                if level in wanted
            ],
        )

    def delivered(self, db: sqlite3.Connection, outlet: str, key: tuple[int, ...]) -> None:
        """An outlet has a letter. key: (level, scope, block, change, end of the latest period that it told)."""
        level, scope, block, change, told_s = key
        row = (outlet, level, scope, block)
        db.execute(f"DELETE FROM rollup_outbox WHERE {_ROW} AND change=? AND latest<=?", (*row, change, told_s))  # noqa: S608
        db.execute(  # what had not ended goes when it has; what changed meanwhile goes again
            "UPDATE rollup_outbox SET due=CASE WHEN change=? THEN max(due, latest) + ? ELSE due + ? END"  # noqa: S608
            f" WHERE {_ROW}",
            (change, self._grace_s, self._grace_s, *row),
        )


def holds(db: sqlite3.Connection, start_s: int, end_s: int) -> bool:
    """Whether a letter of that time waits for an outlet."""
    return db.execute(HOLDS, (start_s - 90_000, end_s)).fetchone() is not None  # a day of 25 hours may reach into it
