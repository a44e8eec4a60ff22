"""A node's roll-ups, made from its sheets when they are asked for: they are as new as the last commit."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kerbgate.aggregate import cells, flows
from kerbgate.aggregate.cells import FLAGS, Cell
from kerbgate.aggregate.flows import Flow
from kerbgate.aggregate.periods import QUARTER_S, SIZES, Calendar
from kerbgate.aggregate.sheets import DAY_S, Segment, segments, sheet_of

_SHEET = (
    "SELECT samples, resolution, flows, cells FROM"
    " (SELECT ?1 AS sheet_id) LEFT JOIN sheet USING (sheet_id) LEFT JOIN sheet_state USING (sheet_id)"
)


@dataclass(slots=True)
class NodePeriod:
    """A node over a period that begins at start_s. cells: by channel; RECORDS and LEVEL_CHANGES are among them.

    flow: as in flows.Flow, over the period.
    """

    start_s: int
    cells: dict[int, Cell] = field(default_factory=dict[int, Cell])
    flow: Flow = field(default_factory=lambda: [0, 0, 0, 0, 0])


def periods(
    db: sqlite3.Connection, calendar: Calendar, node: int, level: int, start_s: int, end_s: int
) -> list[NodePeriod]:
    """The node's roll-ups of periods that begin from start_s on and before end_s, in order; empty ones are left out.

    Of days that were thinned to longer periods than this level's there are none.
    """
    found: dict[int, NodePeriod] = {}
    for day in range(start_s // DAY_S, -(-end_s // DAY_S) + (level > 0)):
        samples, resolution, packed, kept = db.execute(_SHEET, (sheet_of(day, node),)).fetchone()
        if resolution is not None and resolution > SIZES[level]:
            continue
        begin = day * DAY_S
        parts: Iterable[tuple[tuple[int, int], Cell]] = of_samples(
            day, segments(samples or b""), calendar, level
        ).items()
        for (at_s, channel), cell in parts:
            _merge(found, at_s, channel, cell)
        for (second, channel), cell in cells.unpack_node(kept or b"").items():
            _merge(found, calendar.start(level, begin + second), channel, cell)
        for quarter, flow in flows.unpack(packed).items():
            at_s = calendar.start(level, begin + quarter * QUARTER_S)
            period = found.setdefault(at_s, NodePeriod(at_s))
            period.flow = [a + b for a, b in zip(period.flow, flow, strict=True)]
    for period in found.values():
        for channel, add in ((cells.ENERGY_FLOW, (0, 1, 2)), (cells.LIGHT_FLOW, (3, 4))):
            cell = period.cells.pop(channel, None)  # of a day that was thinned
            if cell is not None:
                for place, number in zip(add, (cell.total, cell.no_echo, cell.fault), strict=False):
                    period.flow[place] += number
    return [found[at_s] for at_s in sorted(found) if start_s <= at_s < end_s]


def of_samples(day: int, found: Iterable[Segment], calendar: Calendar, level: int) -> dict[tuple[int, int], Cell]:
    """Cells of a sheet's samples. Keys: (UTC seconds at which the period begins, channel)."""
    out: dict[tuple[int, int], Cell] = {}
    begin = day * DAY_S
    for segment in found:
        for row in segment.rows:
            at_s = begin + row[0]
            start_s = calendar.start(level, at_s)
            kind = cells.LEVEL_CHANGES if segment.is_changes else cells.RECORDS
            counted = out.setdefault((start_s, kind), Cell())
            counted.count += 1
            if segment.is_changes:
                continue
            counted.no_echo += segment.derived
            at = (at_s, segment.life_id, row[1])
            for channel, value in zip(segment.channels, row[2:], strict=True):
                out.setdefault((start_s, channel), Cell()).add(at, value, channel in FLAGS)
    return out


def half_hours(db: sqlite3.Connection, node: int, start_s: int, end_s: int) -> Iterator[tuple[int, int, int, int]]:
    """(UTC seconds, Wh, seconds measured, seconds estimated) of each half hour that begins from start_s to end_s."""
    found: dict[int, list[int]] = {at_s: [0, 0, 0] for at_s in range(start_s, end_s, 2 * QUARTER_S)}
    for day in range(start_s // DAY_S, -(-end_s // DAY_S)):
        for quarter, flow in flows.unpack(db.execute(_SHEET, (sheet_of(day, node),)).fetchone()[2]).items():
            at_s = day * DAY_S + quarter * QUARTER_S
            into = found.get(start_s + (at_s - start_s) // (2 * QUARTER_S) * 2 * QUARTER_S)
            if into is not None and at_s >= start_s:
                for place in range(3):
                    into[place] += flow[place]
    return ((at_s, used, measured, estimated) for at_s, (used, measured, estimated) in found.items())


def _merge(found: dict[int, NodePeriod], start_s: int, channel: int, cell: Cell) -> None:
    into = found.setdefault(start_s, NodePeriod(start_s)).cells
    if channel in into:
        into[channel].merge(cell, channel in FLAGS)
    else:
        into[channel] = cell
