"""Flows: what a lamp used and how long it burnt, by quarter of an hour, from readings that lie anywhere in it.

Energy comes from the difference between two readings of the energy register that follow each other, and is laid on
the quarters between them: by the lamp's level where that is known, else by time. Whole watt hours are laid, and their
sum is the difference. Light is the time for which the level last reported was above zero.

| readings that follow each other                               | their difference is |
|---------------------------------------------------------------|---------------------|
| at most 30 min apart, in one life, not falling                | measured            |
| at most 7 days apart, or of two lives, not falling            | estimated           |
| falling: the register began anew, and what it shows was used  | estimated           |
| more than 2 kW between them, or more than 7 days              | missing             |

A quarter of which the register says nothing is estimated from the lamp's power, readings at most 30 min apart.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct

from kerbgate.aggregate.sheets import DAY_S, Segment
from kerbwire.channels import CHANNELS, ENERGY, LEVEL, POWER

QUARTER_S = 900
QUARTERS = DAY_S // QUARTER_S  # of a UTC day
MEASURED_S = 1800  # a difference over no more than a settlement period
MAX_GAP_DAYS = 7
LIGHT_S = 3600  # a level holds at most so long without another
MAX_W = CHANNELS[POWER].high // CHANNELS[POWER].denominator
_TENTH_WS = 36_000 * 2  # in a watt hour, of the sum of two readings of 0.1 W times seconds
_FLOW = Struct("<iHHHH")

# [Wh, seconds measured, seconds estimated, seconds burnt, seconds of which the light is known]
Flow = list[int]


@dataclass(slots=True)
class Readings:
    """What flows are made of, each by time: (UTC seconds, life_id, index, raw value)."""

    energy: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])
    power: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])
    level: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])

    def head(self) -> tuple[object, ...]:
        """What days before this one see of it."""
        until = self.energy[0][0] if self.energy else DAY_S * DAY_S
        return (self.energy[:1], self.power[:1], self.level[:1], [at for at in self.level if at[0] <= until])

    def tail(self) -> tuple[object, ...]:
        """What days after this one see of it."""
        since = self.energy[-1][0] if self.energy else 0
        return (self.energy[-1:], self.power[-1:], self.level[-1:], [at for at in self.level if at[0] >= since])

    @property
    def any(self) -> bool:
        return bool(self.energy or self.power or self.level)


def readings(day: int, segments: Iterable[Segment]) -> Readings:
    """The readings of a sheet. day: since 1970, UTC."""
    out = Readings()
    begin = day * DAY_S
    kinds = ((ENERGY, out.energy), (POWER, out.power), (LEVEL, out.level))
    for segment in segments:
        life = segment.life_id
        for channel, into in kinds:
            if channel in segment.channels:
                place = segment.channels.index(channel) + 2
                into += [(begin + row[0], life, row[1], row[place]) for row in segment.rows if row[place] >= 0]
    for _, into in kinds:
        into.sort()
    return out


def by_quarter(day: int, parts: Sequence[Readings]) -> dict[int, Flow]:
    """The flows of a UTC day by its quarters.

    parts: in the order of time, of the day itself and of all days from the last before it that has a reading of the
    register to the first after it; at least of the days beside it.
    """
    begin = day * DAY_S
    end = begin + DAY_S
    flows: dict[int, Flow] = {}
    _lay_power(flows, begin, [reading for part in parts for reading in part.power])
    energy = [reading for part in parts for reading in part.energy]
    levels = [reading for part in parts for reading in part.level]
    level_times = [reading[0] for reading in levels]
    used: dict[int, Flow] = {}
    for before, after in pairwise(energy):
        if before[0] < end and after[0] > begin:
            _lay_energy(used, begin, before, after, levels, level_times)
    flows |= used
    for before, after in pairwise(levels):
        if before[0] < end and begin < after[0] <= before[0] + LIGHT_S:
            _lay_light(flows, begin, before[0], after[0], bool(before[3]))
    return flows


def _lay_energy(
    flows: dict[int, Flow],
    begin: int,
    before: tuple[int, int, int, int],
    after: tuple[int, int, int, int],
    levels: Sequence[tuple[int, int, int, int]],
    level_times: Sequence[int],
) -> None:
    start, end = before[0], after[0]
    span = end - start
    used = after[3] - before[3]
    measured = span <= MEASURED_S and used >= 0 and before[1] == after[1]
    if used < 0:
        used = after[3]
    if not 0 < span <= MAX_GAP_DAYS * DAY_S or used * 3600 > MAX_W * span:
        return
    first, last = max(start, begin), min(end, begin + DAY_S)
    edges = [first, *range(first - first % QUARTER_S + QUARTER_S, last, QUARTER_S), last]
    share = _shares(start, end, edges, levels, level_times)
    laid = [used * part // share[-1] for part in share]
    for place, (low, high) in enumerate(pairwise(edges)):
        flow = flows.setdefault((low - begin) // QUARTER_S, [0, 0, 0, 0, 0])
        flow[0] += laid[place + 1] - laid[place]
        flow[1 if measured else 2] += high - low


def _shares(
    start: int,
    end: int,
    edges: Sequence[int],
    levels: Sequence[tuple[int, int, int, int]],
    level_times: Sequence[int],
) -> list[int]:
    """How much of start..end lies before each edge, and last before its end: in seconds times level, or seconds."""
    low, high = bisect_left(level_times, start), bisect_left(level_times, end)
    if high - low > 1 and level_times[low] == start:
        held = [*levels[low:high], (end, 0, 0, 0)]
        times = level_times[low:high]
        sums = [0]
        for now, then in pairwise(held):
            sums.append(sums[-1] + (then[0] - now[0]) * now[3])
        if sums[-1]:
            shares: list[int] = []
            for edge in edges:
                place = bisect_right(times, edge) - 1
                shares.append(sums[place] + (edge - held[place][0]) * held[place][3])
            return [*shares, sums[-1]]
    return [*(edge - start for edge in edges), end - start]


def _lay_power(flows: dict[int, Flow], begin: int, power: Sequence[tuple[int, int, int, int]]) -> None:
    sums: dict[int, int] = {}
    for before, after in pairwise(power):
        start, end = before[0], after[0]
        if not 0 < end - start <= MEASURED_S:
            continue
        first, last = max(start, begin), min(end, begin + DAY_S)
        while first < last:
            high = min(first - first % QUARTER_S + QUARTER_S, last)
            quarter = (first - begin) // QUARTER_S
            sums[quarter] = sums.get(quarter, 0) + (before[3] + after[3]) * (high - first)
            flows.setdefault(quarter, [0, 0, 0, 0, 0])[2] += high - first
            first = high
    for quarter, total in sums.items():
        flows[quarter][0] += (total + _TENTH_WS // 2) // _TENTH_WS


def _lay_light(flows: dict[int, Flow], begin: int, start: int, end: int, lit: bool) -> None:
    first, last = max(start, begin), min(end, begin + DAY_S)
    while first < last:
        high = min(first - first % QUARTER_S + QUARTER_S, last)
        flow = flows.setdefault((first - begin) // QUARTER_S, [0, 0, 0, 0, 0])
        flow[3] += (high - first) * lit
        flow[4] += high - first
        first = high


def pack(flows: dict[int, Flow]) -> bytes | None:
    """As a sheet keeps them; None: there are none."""
    if not flows:
        return None
    none = (0, 0, 0, 0, 0)
    return b"".join(_FLOW.pack(*flows.get(quarter, none)) for quarter in range(max(flows) + 1))


def unpack(data: bytes | None) -> dict[int, Flow]:
    found = {} if data is None else {place: list(flow) for place, flow in enumerate(_FLOW.iter_unpack(data))}
    return {quarter: flow for quarter, flow in found.items() if any(flow)}
