"""Roll-ups as documents: names and units as in the readings (COUNCIL.md), times in UTC, nothing made up.

A value that no record had is absent; what records said instead, such as "no echo", is counted in `missing`.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kerbgate.aggregate import cells, nodes
from kerbgate.aggregate.cells import Cell
from kerbgate.aggregate.flows import Flow
from kerbgate.aggregate.nodes import NodePeriod
from kerbgate.aggregate.periods import HALF_HOUR_S, QUARTER_S, Calendar, utc_text
from kerbgate.aggregate.sheets import DAY_S
from kerbgate.shape import field_name, physical
from kerbwire.channels import CHANNELS, EVENTS, FAULTS, QUALITY_FLAGS
from kerbwire.council import FAULT_FLAGS

MEASURED, ESTIMATED, MISSING = "measured", "estimated", "missing"
HOURS_OF_DAY = 24


def of_node(calendar: Calendar, level: int, period: NodePeriod) -> dict[str, Any]:
    """One period of a node."""
    body = _head(calendar, level, period.start_s)
    found = dict(period.cells)
    _counts(body, {kind: _parts(found.pop(kind)) for kind in (cells.RECORDS, cells.LEVEL_CHANGES) if kind in found})
    channels: dict[str, Any] = {}
    for ident, cell in sorted(found.items()):
        name = field_name(CHANNELS[ident])
        if ident in cells.FLAGS:
            channels[name] = {"count": cell.count, "flags": _flags(ident, enumerate(cell.flags))}
            _missing(channels[name], _parts(cell))
        else:
            channels[name] = _values(ident, _parts(cell), cell)
    if channels:
        body["channels"] = channels
    _flow(body, period.flow)
    return body


def of_scope(
    db: sqlite3.Connection, calendar: Calendar, scope: int, level: int, start_s: int, end_s: int
) -> dict[int, dict[str, Any]]:
    """The periods of a group or a site that begin from start_s on and before end_s, by UTC seconds; no empty ones."""
    periods: dict[int, dict[int, cells.ScopeCell]] = {}
    last_s = end_s if level == 0 else end_s + DAY_S  # the last one may go on
    rows = db.execute(
        "SELECT rollup_id & 4294967295, cells FROM rollup WHERE rollup_id >= ? AND rollup_id < ? ORDER BY rollup_id",
        (scope << 32 | max(start_s, 0) // 3600, scope << 32 | -(-last_s // 3600)),
    )
    for hour, packed in rows:
        for place, cell in cells.unpack_scope(packed).items():
            at_s = calendar.start(level, hour * 3600 + (place >> 8) * QUARTER_S)
            if start_s <= at_s < end_s:
                cells.merge(periods.setdefault(at_s, {}), place & 0xFF, cell)
    return {at_s: _scope(calendar, level, at_s, found) for at_s, found in sorted(periods.items())}


def _scope(calendar: Calendar, level: int, start_s: int, found: Mapping[int, cells.ScopeCell]) -> dict[str, Any]:
    body = _head(calendar, level, start_s)
    _counts(body, {kind: found[kind] for kind in (cells.RECORDS, cells.LEVEL_CHANGES) if kind in found})
    channels: dict[str, Any] = {}
    for ident, cell in sorted(found.items()):
        if ident in CHANNELS and ident not in cells.FLAGS:
            channels[field_name(CHANNELS[ident])] = _values(ident, cell, None)
    for ident, base in cells.FLAGS.items():
        flags = _flags(ident, ((bit, found[base + bit][0]) for bit in range(16) if base + bit in found))
        if flags or ident in found:
            name = field_name(CHANNELS[ident])
            channels[name] = {"flags": flags}
            _missing(channels[name], found.get(ident, cells.empty()))
    if channels:
        body["channels"] = channels
    energy, light = found.get(cells.ENERGY_FLOW), found.get(cells.LIGHT_FLOW)
    flow = [0, 0, 0, 0, 0]
    if energy is not None:
        flow[:3] = energy[1], energy[4], energy[5]
    if light is not None:
        flow[3:] = light[1], light[4]
    _flow(body, flow)
    return body


def half_hours(db: sqlite3.Connection, calendar: Calendar, node: int, day_s: int) -> list[dict[str, Any]]:
    """The 46, 48 or 50 half hours of the settlement day that begins at day_s.

    quality: measured or estimated where that holds for every second of it, else missing, and wh is what is known of it.
    """
    end_s = calendar.day_bounds(calendar.day_of(day_s))[1]
    return [
        {"start": utc_text(at_s), "wh": used, "quality": quality(HALF_HOUR_S, measured, estimated)}
        for at_s, used, measured, estimated in nodes.half_hours(db, node, day_s, end_s)
    ]


def quality(seconds: int, measured: int, estimated: int) -> str:
    """The completeness of a period's energy."""
    if measured + estimated < seconds:
        return MISSING
    return ESTIMATED if estimated else MEASURED


def _head(calendar: Calendar, level: int, start_s: int) -> dict[str, Any]:
    body: dict[str, Any] = {"start": utc_text(start_s), "end": utc_text(calendar.end(level, start_s))}
    if level == 2:
        body["day"] = calendar.day_of(start_s).isoformat()
    return body


def _counts(body: dict[str, Any], found: Mapping[int, Sequence[int]]) -> None:
    records, changes = found.get(cells.RECORDS), found.get(cells.LEVEL_CHANGES)
    body["records"] = records[0] if records else 0
    if records and records[4]:
        body["derived_times"] = records[4]
    if changes and changes[0]:
        body["level_changes"] = changes[0]


def _parts(cell: Cell) -> cells.ScopeCell:
    return [cell.count, cell.total, cell.low, cell.high, cell.no_echo, cell.fault, cell.not_fitted]


def _values(ident: int, cell: Sequence[int], ends: Cell | None) -> dict[str, Any]:
    channel = CHANNELS[ident]
    out: dict[str, Any] = {"count": cell[0]}
    if cell[0]:
        if ident not in cells.COUNTERS:
            out["min"], out["max"] = physical(channel, cell[2]), physical(channel, cell[3])
            out["mean"] = round(cell[1] * channel.numerator / channel.denominator / cell[0], 3)
            if channel.coder == EVENTS:
                out["sum"] = cell[1]
        if ends is not None and ends.first is not None and ends.last is not None:
            out["first"], out["last"] = physical(channel, ends.first[3]), physical(channel, ends.last[3])
    _missing(out, cell)
    return out


def _missing(out: dict[str, Any], cell: Sequence[int]) -> None:
    missing = {name: cell[place] for name, place in (("no echo", 4), ("fault", 5), ("not fitted", 6)) if cell[place]}
    if missing:
        out["missing"] = missing


def _flags(ident: int, counts: Iterable[tuple[int, int]]) -> dict[str, int]:
    names = {bit: flag.name for bit, flag in FAULT_FLAGS.items()} if ident == FAULTS else QUALITY_FLAGS
    return {names.get(1 << bit, f"bit {bit}"): count for bit, count in counts if count}


def _flow(body: dict[str, Any], flow: Flow) -> None:
    used, measured, estimated, lit, known = flow
    if measured or estimated:
        body["energy"] = {"wh": used, "measured_s": measured, "estimated_s": estimated}
    if known:
        body["burning"] = {"lit_s": lit, "known_s": known}
