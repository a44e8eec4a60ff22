"""Groups and sites: which a node belongs to, and their roll-ups, kept by UTC hour.

A row holds the cells of the four quarters of an hour. New samples are merged into them once, whenever they come; what
depends on neighbours, energy and light, is merged as the difference of what a node had and has.

When the nodes of a group change, the group is rolled up anew from its nodes' sheets, a day at a time.
"""

import sqlite3
from collections.abc import Iterable, Mapping

from kerbgate.aggregate import cells, flows
from kerbgate.aggregate.cells import ScopeCell
from kerbgate.aggregate.sheets import DAY_S, Segment, segments, sheet_of
from kerbwire.channels import CAUSE

GROUP, SITE = "group", "site"
FIRST_SCOPE = 1 << 16  # where nodes and scopes are numbered together: nodes lie below it
HOURS = 24
_REBUILD = "rebuild "  # a name in rollup_meta, before the scope's number: the UTC day that is rolled up anew next


class Scopes:
    """The scopes of one store. Only the writer's thread uses it."""

    def __init__(self, groups: Mapping[str, Iterable[int]]):
        """groups: nodes by the name of their group."""
        self._groups = {name: frozenset(nodes) for name, nodes in groups.items()}
        self.forget()

    def forget(self) -> None:
        """What memory says may not have been committed."""
        self._ids: dict[tuple[str, str], int] = {}
        self._of: dict[int, tuple[int, ...]] = {}
        self._opened = False

    def open(self, db: sqlite3.Connection) -> None:
        """Number the groups, and begin to roll up anew those that have changed. Inside a transaction."""
        if self._opened:
            return
        known = dict(db.execute("SELECT name, nodes FROM scope WHERE kind=?", (GROUP,)))
        first = db.execute("SELECT min(sheet_id) >> 16 FROM sheet").fetchone()[0]
        for name in known.keys() | self._groups.keys():
            text = ",".join(map(str, sorted(self._groups.get(name, ()))))
            ident = self._id(db, GROUP, name)
            if known.get(name) != text:
                db.execute("UPDATE scope SET nodes=? WHERE scope_id=?", (text, ident))
                if first is not None:
                    db.execute("INSERT OR REPLACE INTO rollup_meta VALUES (?,?)", (f"{_REBUILD}{ident}", first))
        self._members = {self._id(db, GROUP, name): nodes for name, nodes in self._groups.items()}
        self._rebuilding = bool(db.execute("SELECT 1 FROM rollup_meta WHERE name GLOB ?", (_REBUILD + "*",)).fetchone())
        self._opened = True

    def of(self, db: sqlite3.Connection, node: int) -> tuple[int, ...]:
        """The scopes of a node: its site, as it was when the node was first confirmed, and its groups."""
        found = self._of.get(node)
        if found is None:
            row = db.execute("SELECT site FROM life WHERE node=? ORDER BY life_id LIMIT 1", (node,)).fetchone()
            found = (self._id(db, SITE, row[0]),) if row else ()
            found += tuple(ident for ident, nodes in self._members.items() if node in nodes)
            self._of[node] = found
        return found

    def _id(self, db: sqlite3.Connection, kind: str, name: str) -> int:
        key = (kind, name)
        if key not in self._ids:
            db.execute("INSERT OR IGNORE INTO scope (kind, name) VALUES (?,?)", key)
            self._ids[key] = db.execute("SELECT scope_id FROM scope WHERE kind=? AND name=?", key).fetchone()[0]
        return self._ids[key]

    def rebuild(self, db: sqlite3.Connection) -> set[int]:
        """Roll up one day of a changed group anew; returns the group, or nothing. Inside a transaction."""
        if not self._rebuilding:
            return set()
        row = db.execute("SELECT name, value FROM rollup_meta WHERE name GLOB ? LIMIT 1", (_REBUILD + "*",)).fetchone()
        if row is None:
            self._rebuilding = False
            return set()
        name, day = row
        ident = int(name.removeprefix(_REBUILD))
        following = db.execute("SELECT min(sheet_id) >> 16 FROM sheet WHERE sheet_id >= ?", (sheet_of(day + 1, 0),))
        later = following.fetchone()[0]
        base = ident << 32 | day * HOURS
        db.execute("DELETE FROM rollup WHERE rollup_id >= ? AND rollup_id < ?", (base, base + HOURS))
        found: dict[int, ScopeCell] = {}
        for node in self._members.get(ident, ()):
            _take_sheet(db, found, day, node)
        merge_into(db, {(ident,): found})
        if later is None:
            db.execute("DELETE FROM rollup_meta WHERE name=?", (name,))
        else:
            db.execute("UPDATE rollup_meta SET value=? WHERE name=?", (later, name))
        return {ident}


def take(into: dict[int, ScopeCell], day: int, new: Iterable[Segment]) -> None:
    """Add samples. Keys: quarter since 1970 << 8 | channel."""
    add = cells.add
    for segment in new:
        rows = segment.rows
        base = day * (DAY_S // 900)
        if CAUSE in segment.channels:
            for row in rows:
                cells.count(into, base + row[0] // 900 << 8 | cells.LEVEL_CHANGES, 1)
            continue
        plain = [
            (place, channel)
            for place, channel in enumerate(segment.channels, 2)
            if channel not in cells.COUNTERS and channel not in cells.FLAGS
        ]
        flags = [(place, channel) for place, channel in enumerate(segment.channels, 2) if channel in cells.FLAGS]
        for row in rows:
            quarter = base + row[0] // 900 << 8
            cells.count(into, quarter | cells.RECORDS, 1, 0, int(segment.derived))
            for place, channel in plain:
                add(into, quarter | channel, row[place])
            for place, channel in flags:
                value = row[place]
                if value:
                    _add_flags(into, quarter, channel, value)


def _add_flags(into: dict[int, ScopeCell], quarter: int, channel: int, value: int) -> None:
    if value < 0:
        cells.add(into, quarter | channel, value)
        return
    for bit in range(value.bit_length()):
        if value >> bit & 1:
            cells.count(into, quarter | cells.FLAGS[channel] + bit, 1)


def take_flows(
    into: dict[int, ScopeCell], day: int, old: Mapping[int, flows.Flow], new: Mapping[int, flows.Flow]
) -> None:
    """Add the difference of a node's flows of a day."""
    none = (0, 0, 0, 0, 0)
    for quarter in old.keys() | new.keys():
        before, after = old.get(quarter, none), new.get(quarter, none)
        if before != after:
            used, measured, estimated, lit, known = (a - b for a, b in zip(after, before, strict=True))
            key = day * (DAY_S // 900) + quarter << 8
            cells.count(into, key | cells.ENERGY_FLOW, 0, used, measured, estimated)
            cells.count(into, key | cells.LIGHT_FLOW, 0, lit, known)


def merge_into(db: sqlite3.Connection, found: Mapping[tuple[int, ...], Mapping[int, ScopeCell]]) -> None:
    """Merge what was found into the rows of its scopes. Inside a transaction."""
    rows: dict[int, dict[int, ScopeCell]] = {}
    for scopes, parts in found.items():
        for key, cell in parts.items():
            quarter = key >> 8
            place = (quarter & 3) << 8 | key & 0xFF
            hour = quarter >> 2
            for scope in scopes:
                into = rows.setdefault(scope << 32 | hour, {})
                cells.merge(into, place, cell)
    for ident, changes in rows.items():
        row = db.execute("SELECT cells FROM rollup WHERE rollup_id=?", (ident,)).fetchone()
        if row is not None:
            for place, cell in cells.unpack_scope(row[0]).items():
                cells.merge(changes, place, cell)
    db.executemany(
        "INSERT OR REPLACE INTO rollup VALUES (?,?)",
        [(ident, cells.pack_scope(changes)) for ident, changes in rows.items()],
    )


def _take_sheet(db: sqlite3.Connection, into: dict[int, ScopeCell], day: int, node: int) -> None:
    """Add all of a sheet that was rolled up."""
    row = db.execute(
        "SELECT samples, rolled, flows, cells FROM sheet JOIN sheet_state USING (sheet_id) WHERE sheet_id=?",
        (sheet_of(day, node),),
    ).fetchone()
    if row is None:
        return
    samples, rolled, flow, kept = row
    take(into, day, segments(samples[:rolled]))
    take_flows(into, day, {}, flows.unpack(flow))
    if kept is not None:
        take_cells(into, day, kept)


def take_cells(into: dict[int, ScopeCell], day: int, kept: bytes) -> None:
    """Add the cells of a thinned sheet."""
    base = day * (DAY_S // 900)
    for (second, channel), cell in cells.unpack_node(kept).items():
        quarter = base + second // 900 << 8
        if channel in cells.FLAGS:
            for bit, number in enumerate(cell.flags):
                if number:
                    cells.count(into, quarter | cells.FLAGS[channel] + bit, number)
            if cell.no_echo or cell.fault or cell.not_fitted:
                cells.merge(
                    into, quarter | channel, [0, 0, *cells.empty()[2:4], cell.no_echo, cell.fault, cell.not_fitted]
                )
        elif channel not in cells.COUNTERS:
            part = [cell.count, cell.total, cell.low, cell.high, cell.no_echo, cell.fault, cell.not_fitted]
            cells.merge(into, quarter | channel, part)
