"""What a night cost, whom it left in the dark and what was seen from a window: from what each column has shown."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from kerbtools.bench.lighting.people import Person
from kerbtools.bench.lighting.street import SPACING_M, TICK_MS, Column, power_w

DAY_MS = 8 * 3_600_000  # after sunrise: what still shone then would shine for so long
EDGE_MS = 60_000  # at dusk and at dawn whose standing in the dark is not counted: the sky is light
VISIBLE = 10  # percent: a smaller change of light is not noticed from a window
NEAR_M = SPACING_M  # a lamp is required while anyone is as near as this
START_MS, AHEAD_MS = 200, 1000  # after a detection: what ramps up later has another cause

Ramp = tuple[int, int, int, int]  # begin ms, level, end ms, level
Need = tuple[int, int, int]  # begin ms, end ms, percent: one after the other


@dataclass(slots=True)
class Count:
    """Sums of nights, of all lamps. full_wh: dusk to dawn at full; half_wh: 50 % from 00:00 to 05:00 local.

    least_wh: what the requirement takes at the least. own_ms, own_full_ms, ahead_full_ms: from a detection until the
    own column starts to ramp, is full, and until a column ahead is full.
    """

    wh: float = 0.0
    full_wh: float = 0.0
    half_wh: float = 0.0
    least_wh: float = 0.0
    person_s: float = 0.0
    dark_s: float = 0.0  # stood nearest to a column below the required level
    around_s: float = 0.0  # any column within 35 m was below the required level
    day_lit_s: int = 0
    switchings: int = 0
    told: int = 0
    lamp_nights: int = 0
    lamp_s: int = 0
    own_ms: list[int] = field(default_factory=list[int])
    own_full_ms: list[int] = field(default_factory=list[int])
    ahead_full_ms: list[int] = field(default_factory=list[int])

    def add(self, other: "Count") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Spans:
    """Stretches of time that do not overlap, and how much of any other stretch they cover."""

    def __init__(self, spans: Iterable[tuple[int, int]]):
        self.spans = merged(spans)
        self._begins = [begin for begin, _ in self.spans]
        self._before = [0, *accumulate(end - begin for begin, end in self.spans)]

    def until(self, at_ms: float) -> float:
        """Milliseconds covered before a moment."""
        place = bisect_right(self._begins, at_ms)
        if not place:
            return 0
        begin, end = self.spans[place - 1]
        return self._before[place - 1] + min(at_ms, end) - begin


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            if end > found[-1][1]:
                found[-1] = found[-1][0], end
        elif end > begin:
            found.append((begin, end))
    return found


def energy_wh(shown: Sequence[Ramp], begin_ms: int, end_ms: int) -> float:
    """Of one lamp between two moments; on a ramp that of the level half way."""
    total = 0.0
    for place, (ramp_ms, low, reached_ms, high) in enumerate(shown):
        until_ms = shown[place + 1][0] if place + 1 < len(shown) else end_ms
        held_ms = min(reached_ms, until_ms)
        total += power_w((low + high) // 2) * _overlap(ramp_ms, held_ms, begin_ms, end_ms) / 3.6e6
        total += power_w(high) * _overlap(held_ms, until_ms, begin_ms, end_ms) / 3.6e6
    first_ms = shown[0][0] if shown else end_ms
    return total + power_w(0) * _overlap(begin_ms, first_ms, begin_ms, end_ms) / 3.6e6


def least_wh(
    columns: Sequence[Column], people: Sequence[Person], start_s: int, needs: Sequence[Need], floor: int, near_m: float
) -> float:
    """The least that meets the requirement: its level while anyone is near, the floor else, known beforehand."""
    total = 0.0
    begin_ms, end_ms = needs[0][0], needs[-1][1]
    for column in columns:
        near: list[tuple[int, int]] = []
        for person in people:
            half_s = near_m / abs(person.speed_mps)
            middle_s = person.when(column.x_m) - start_s
            near.append((int((middle_s - half_s) * 1000), int((middle_s + half_s) * 1000)))
        spans = Spans(near)
        total += power_w(floor) * (end_ms - begin_ms) / 3.6e6
        for begin, end, level in needs:
            total += (power_w(level) - power_w(floor)) * (spans.until(end) - spans.until(begin)) / 3.6e6
    return total


def dark_spans(shown: Sequence[Ramp], needs: Sequence[Need]) -> list[tuple[int, int]]:
    """When a column shows less than is needed."""
    end_ms = needs[-1][1]
    steps = [(0, 0, 0, 0), *shown]
    found: list[tuple[int, int]] = []
    at = 0
    for place, (begin, low, reached, high) in enumerate(steps):
        until = steps[place + 1][0] if place + 1 < len(steps) else end_ms
        for need_begin, need_end, level in needs[at:]:
            if need_begin >= until:
                break
            if need_end <= begin:
                at += 1
                continue
            if high >= level:  # dark until the ramp passes the level, if it began below
                dark = begin, begin + (-(-(level - low) * (reached - begin) // (high - low)) if level > low else 0)
            else:
                dark = begin + ((low - level) * (reached - begin) // (low - high) if low >= level else 0), until
            first, last = max(dark[0], need_begin), min(dark[1], need_end, until)
            if last > first:
                found.append((first, last))
    return found


def switchings(shown: Sequence[Ramp]) -> int:
    """Rises and falls of the light that are seen from a window."""
    levels = [0]
    for ramp, after in pairwise([*shown, (1 << 60, 0, 0, 0)]):
        levels += [ramp[1], ramp[3] if ramp[2] <= after[0] else after[1]]
    count = direction = 0
    low = high = levels[0]
    for level in levels:
        low, high = min(low, level), max(high, level)
        if direction <= 0 and level >= low + VISIBLE:
            count, direction, high = count + 1, 1, level
        elif direction >= 0 and level <= high - VISIBLE:
            count, direction, low = count + 1, -1, level
    return count


def add(
    count: Count,
    columns: Sequence[Column],
    people: Sequence[Person],
    start_s: int,
    needs: Sequence[Need],
    sun: tuple[int, int],
    half_s: int,
    floor: int,
) -> None:
    """One night, from the first need to the end of the last; sun: UTC seconds of sunset and sunrise.

    half_s: of the night in which the other schedule gives half light.
    """
    begin_ms, end_ms = needs[0][0], needs[-1][1]
    night_s = (end_ms - begin_ms) // 1000
    sunset_ms, sunrise_ms = (sun[0] - start_s) * 1000, (sun[1] - start_s) * 1000
    for column in columns:
        count.wh += energy_wh(column.shown, begin_ms, end_ms)
        count.full_wh += power_w(100) * night_s / 3600
        count.half_wh += (power_w(50) * half_s + power_w(100) * (night_s - half_s)) / 3600
        count.switchings += switchings(column.shown) if column.alive else 0
        count.told += column.told
        count.lamp_nights += 1
        count.lamp_s += night_s
        if column.alive:
            count.day_lit_s += _lit_s(column, 0, sunset_ms) + _lit_s(column, sunrise_ms, sunrise_ms + DAY_MS)
    count.least_wh += least_wh(columns, people, start_s, needs, floor, NEAR_M)
    _add_dark(count, columns, people, start_s, needs)
    _add_response(count, columns)


def _add_dark(
    count: Count, columns: Sequence[Column], people: Sequence[Person], start_s: int, needs: Sequence[Need]
) -> None:
    """Whoever walks between two columns is nearest to one of them, and within 35 m of both."""
    dark = [Spans(dark_spans(column.shown, needs)) for column in columns]
    either = [Spans([*one.spans, *other.spans]) for one, other in pairwise(dark)]
    first_ms, last_ms = needs[0][0] + EDGE_MS, needs[-1][1] - EDGE_MS
    gaps = range(len(columns) - 1)
    for person in people:
        forward = person.speed_mps > 0
        half_ms = 500 * SPACING_M / abs(person.speed_mps)
        at_ms = (person.when(columns[0 if forward else -1].x_m) - start_s) * 1000
        for gap in gaps if forward else reversed(gaps):
            begin, middle, end = at_ms, at_ms + half_ms, at_ms + 2 * half_ms
            at_ms = end
            if begin < first_ms or end > last_ms:
                continue
            near, far = (dark[gap], dark[gap + 1]) if forward else (dark[gap + 1], dark[gap])
            count.person_s += (end - begin) / 1000
            count.dark_s += (near.until(middle) - near.until(begin) + far.until(end) - far.until(middle)) / 1000
            count.around_s += (either[gap].until(end) - either[gap].until(begin)) / 1000


def _add_response(count: Count, columns: Sequence[Column]) -> None:
    """Of detections that found the column dimmed."""
    begins = [[ramp[0] for ramp in column.shown] for column in columns]
    for place, column in enumerate(columns):
        for sight_ms in column.sights:
            own = _rise(column.shown, begins[place], sight_ms, START_MS)
            if own is None:
                continue
            count.own_ms.append(own[0] + TICK_MS - sight_ms)
            count.own_full_ms.append(own[2] - sight_ms)
            for other in (place - 2, place - 1, place + 1, place + 2):
                if 0 <= other < len(columns) and columns[other].alive:
                    ahead = _rise(columns[other].shown, begins[other], sight_ms, AHEAD_MS)
                    if ahead is not None:
                        count.ahead_full_ms.append(ahead[2] - sight_ms)


def _rise(shown: Sequence[Ramp], begins: Sequence[int], at_ms: int, within_ms: int) -> Ramp | None:
    """The ramp upwards that began within this time."""
    place = bisect_right(begins, at_ms - 1)
    if place < len(shown) and begins[place] <= at_ms + within_ms and shown[place][3] > shown[place][1]:
        return shown[place]
    return None


def _overlap(one_ms: int, other_ms: int, begin_ms: int, end_ms: int) -> int:
    return max(0, min(other_ms, end_ms) - max(one_ms, begin_ms))


def _lit_s(column: Column, begin_ms: int, end_ms: int) -> int:
    """Seconds in which the lamp was lit between two moments."""
    total = 0
    for place, (at_ms, _, _, level) in enumerate(column.shown):
        until_ms = column.shown[place + 1][0] if place + 1 < len(column.shown) else end_ms
        total += _overlap(at_ms, until_ms, begin_ms, end_ms) if level else 0
    return total // 1000
