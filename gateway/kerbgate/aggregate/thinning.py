"""Thinning: what is left of roll-ups that are old, or when the store is nearly full.

| level | what is kept of a node | after it was thinned |
|---|---|---|
| 15min | each sample, and its energy by quarter | a cell of each hour; energy stays by quarter |
| hour | a cell of each hour | a cell of each local day, energy too |
| day | a cell of each day | nothing |

Groups and sites alike. Whole UTC days go, the oldest first; never the last KEEP_DAYS, and never one of which a letter
waits for an outlet. What comes later than its level was kept is merged into what is left of its day.
"""

import sqlite3
import time

from kerbgate.aggregate import cells, flows, nodes, outbox
from kerbgate.aggregate.cells import Cell
from kerbgate.aggregate.periods import DAY, DAY_S, HOUR, LEVELS, QUARTER, QUARTER_S, SIZES, Calendar
from kerbgate.aggregate.sheets import segments, sheet_of
from kerbgate.store.quota import Thinned

KEEP_DAYS = 2  # UTC days that may still be somebody's today, and the one before
STEP = 25  # sheets a transaction: some 10 ms, in which frames wait
SCOPES = 5  # groups and sites a transaction: the same
_GONE = "thinned "  # a name in rollup_meta, before that of a level: the first UTC day that is still at that level
_SHEET = (
    "SELECT sheet_id, samples, flows, cells FROM sheet LEFT JOIN sheet_state USING (sheet_id)"
    " WHERE sheet_id >= ? AND sheet_id < ? ORDER BY sheet_id LIMIT ?"
)
_SCOPES = "SELECT scope_id FROM scope WHERE scope_id > ? ORDER BY scope_id LIMIT ?"
_THIN = (
    "INSERT INTO sheet_state (sheet_id, rolled, resolution, records, flows, cells) VALUES (?,0,?,0,?,?)"
    " ON CONFLICT DO UPDATE SET rolled=0, resolution=excluded.resolution, flows=excluded.flows, cells=excluded.cells"
)


def thinned_to(db: sqlite3.Connection, level: int) -> int:
    """The first UTC day that has not been thinned beyond a level; 0 where nothing was."""
    row = db.execute("SELECT value FROM rollup_meta WHERE name=?", (_GONE + LEVELS[level],)).fetchone()
    return 0 if row is None else row[0]


class RollupLayer:
    """The roll-ups of one level, as a layer of the store's quota."""

    def __init__(self, level: int, calendar: Calendar):
        self.name = f"roll-ups of {LEVELS[level]}"
        self._level = level
        self._calendar = calendar
        self.forget()

    def forget(self) -> None:
        """The last steps may not have been committed: begin the day again."""
        self._begin(-1)

    def _begin(self, day: int) -> None:
        self._day = day  # that is being thinned; of it these were thinned last:
        self._scope = self._sheet = -1

    def thin(self, connection: sqlite3.Connection) -> Thinned:
        """See store.quota.Layer."""
        newest = connection.execute("SELECT max(newest_time) FROM life WHERE newest_time < ?", (round(time.time()),))
        return self.thin_before(connection, (newest.fetchone()[0] or 0) // DAY_S - KEEP_DAYS + 1)

    def thin_before(self, db: sqlite3.Connection, end_day: int) -> Thinned:
        """One step on the oldest day that has this level, if it lies before end_day. Inside a transaction."""
        first = thinned_to(db, self._level)
        row = db.execute("SELECT min(sheet_id) >> 16 FROM sheet WHERE sheet_id >= ?", (sheet_of(first, 0),)).fetchone()
        day: int | None = row[0]
        if day is None or day >= end_day or (self._level > QUARTER and day >= thinned_to(db, self._level - 1)):
            return Thinned(0, 0, True)
        low, high = sheet_of(day, 0), sheet_of(day + 1, 0)
        stale = db.execute("SELECT 1 FROM sheet_stale WHERE sheet_id >= ? AND sheet_id < ? LIMIT 1", (low, high))
        if stale.fetchone() or outbox.holds(db, day * DAY_S, (day + 1) * DAY_S):
            return Thinned(0, 0, True)
        if day != self._day:
            self._begin(day)
        scopes = db.execute(_SCOPES, (self._scope, SCOPES)).fetchall()
        for (scope,) in scopes:
            _thin_scope(db, self._calendar, self._level, scope, day)
            self._scope = scope
        if scopes:
            return Thinned(0, 0, False)
        rows = db.execute(_SHEET, (max(low, self._sheet + 1), high, STEP)).fetchall()
        for sheet_id, samples, packed, kept in rows:
            thin_sheet(db, self._calendar, self._level, sheet_id, samples, packed, kept)
            self._sheet = sheet_id
        if len(rows) < STEP:
            name = _GONE + LEVELS[self._level]
            db.execute("INSERT OR REPLACE INTO rollup_meta VALUES (?,?)", (name, day + 1))
            self._begin(-1)
        return Thinned(len(rows), 0, False)


def thin_sheet(
    db: sqlite3.Connection,
    calendar: Calendar,
    level: int,
    sheet_id: int,
    samples: bytes,
    packed: bytes | None,
    kept: bytes | None,
) -> None:
    """Leave of a sheet that was rolled up what is kept beyond a level. Inside a transaction."""
    day = sheet_id >> 16
    if level == DAY:
        db.execute("DELETE FROM sheet WHERE sheet_id=?", (sheet_id,))
        db.execute("DELETE FROM sheet_state WHERE sheet_id=?", (sheet_id,))
        return
    begin = day * DAY_S
    out: dict[tuple[int, int], Cell] = {}

    def put(at_s: int, channel: int, cell: Cell) -> None:
        """Under the period's first second that lies in this UTC day."""
        key = (max(calendar.start(level + 1, at_s) - begin, 0), channel)
        if key in out:
            out[key].merge(cell, channel in cells.FLAGS)
        else:
            out[key] = cell

    for (at_s, channel), cell in nodes.of_samples(day, segments(samples), calendar, level + 1).items():
        put(at_s, channel, cell)
    for (second, channel), cell in cells.unpack_node(kept or b"").items():
        put(begin + second, channel, cell)
    if level == HOUR:
        for quarter, flow in flows.unpack(packed).items():
            at_s = begin + quarter * QUARTER_S
            put(at_s, cells.ENERGY_FLOW, Cell(total=flow[0], no_echo=flow[1], fault=flow[2]))
            put(at_s, cells.LIGHT_FLOW, Cell(total=flow[3], no_echo=flow[4]))
        packed = None
    db.execute("UPDATE sheet SET samples=x'' WHERE sheet_id=?", (sheet_id,))
    db.execute(_THIN, (sheet_id, SIZES[level + 1], packed, cells.pack_node(out)))


def thin_again(db: sqlite3.Connection, calendar: Calendar, level: int, sheet_id: int) -> None:
    """What came late for a day that was thinned beyond a level, and was rolled up. Inside a transaction."""
    for row in db.execute(_SHEET, (sheet_id, sheet_id + 1, 1)).fetchall():
        thin_sheet(db, calendar, level, *row)


def _thin_scope(db: sqlite3.Connection, calendar: Calendar, level: int, scope: int, day: int) -> None:
    """The same for the roll-ups of a group or a site: cells are merged into that of the period's first quarter."""
    base = scope << 32
    low, high = base | day * 24, base | (day + 1) * 24
    rows = db.execute("SELECT rollup_id, cells FROM rollup WHERE rollup_id >= ? AND rollup_id < ?", (low, high))
    found: dict[int, dict[int, cells.ScopeCell]] = {}
    for ident, packed in [] if level == DAY else rows.fetchall():
        hour = ident & 0xFFFFFFFF
        for place, cell in cells.unpack_scope(packed).items():
            at_s = calendar.start(level + 1, hour * 3600 + (place >> 8) * QUARTER_S)
            quarter = max(at_s, day * DAY_S) // QUARTER_S
            into = found.setdefault(base | quarter >> 2, {})
            cells.merge(into, (quarter & 3) << 8 | place & 0xFF, cell)
    db.execute("DELETE FROM rollup WHERE rollup_id >= ? AND rollup_id < ?", (low, high))
    db.executemany(
        "INSERT INTO rollup VALUES (?,?)", [(ident, cells.pack_scope(parts)) for ident, parts in found.items()]
    )
