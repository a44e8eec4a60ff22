"""What a night cost and whom it left in the dark: from what each column has shown."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kerbtools.bench.lighting.people import Person
from kerbtools.bench.lighting.street import SPACING_M, Column, power_w

DAY_MS = 8 * 3_600_000  # after sunrise: what still shone then would shine for so long
MAX_WALKERS = 300  # of a night that are followed second by second; all are seen by the sensors


@dataclass(slots=True)
class Count:
    """Sums of nights. wh: of all lamps; full_wh: dusk to dawn at full; half_wh: 50 % from 00:00 to 05:00 local."""

    wh: float = 0.0
    full_wh: float = 0.0
    half_wh: float = 0.0
    person_s: int = 0
    dark_s: int = 0
    ahead_s: int = 0  # of those seconds in which a column within 35 m was below the required level
    day_lit_s: int = 0
    switchings: int = 0
    lamp_nights: int = 0


def level_at(column: Column, at_ms: int) -> int:
    place = bisect_right(column.shown, at_ms, key=lambda ramp: ramp[0]) - 1
    if place < 0:
        return 0
    begin_ms, low, end_ms, high = column.shown[place]
    if at_ms >= end_ms:
        return high
    return low + (high - low) * (at_ms - begin_ms) // (end_ms - begin_ms)


def energy_wh(shown: Sequence[tuple[int, int, int, int]], begin_ms: int, end_ms: int) -> float:
    """Of one lamp between two moments; on a ramp that of the level half way."""
    total = 0.0
    for place, (ramp_ms, low, reached_ms, high) in enumerate(shown):
        until_ms = shown[place + 1][0] if place + 1 < len(shown) else end_ms
        held_ms = min(reached_ms, until_ms)
        total += power_w((low + high) // 2) * _overlap(ramp_ms, held_ms, begin_ms, end_ms) / 3.6e6
        total += power_w(high) * _overlap(held_ms, until_ms, begin_ms, end_ms) / 3.6e6
    first_ms = shown[0][0] if shown else end_ms
    return total + power_w(0) * _overlap(begin_ms, first_ms, begin_ms, end_ms) / 3.6e6


def _overlap(one_ms: int, other_ms: int, begin_ms: int, end_ms: int) -> int:
    return max(0, min(other_ms, end_ms) - max(one_ms, begin_ms))


def add(
    count: Count,
    columns: Sequence[Column],
    people: Sequence[Person],
    start_s: int,
    night: tuple[int, int],
    sun: tuple[int, int],
    required: Callable[[int], int],
    half: Callable[[int], bool],
) -> None:
    """One night. night: UTC seconds of dusk and dawn; sun: of sunset and sunrise.

    required: percent by second. half: whether a second is among the hours of half light of the other schedule.
    """
    dusk, dawn = night
    begin_ms, end_ms = (dusk - start_s) * 1000, (dawn - start_s) * 1000
    for column in columns:
        count.wh += energy_wh(column.shown, begin_ms, end_ms)
        count.full_wh += power_w(100) * (dawn - dusk) / 3600
        half_s = sum(60 for second in range(dusk, dawn, 60) if half(second))
        count.half_wh += (power_w(50) * half_s + power_w(100) * (dawn - dusk - half_s)) / 3600
        count.switchings += column.switchings
        count.lamp_nights += 1
        if column.alive:
            sunset_ms, sunrise_ms = (sun[0] - start_s) * 1000, (sun[1] - start_s) * 1000
            count.day_lit_s += _lit_s(column, 0, sunset_ms) + _lit_s(column, sunrise_ms, sunrise_ms + DAY_MS)
    for person in people[:: max(1, len(people) // MAX_WALKERS)]:
        for second in range(max(int(person.start_s), dusk + 60), dawn - 60):
            x = person.at(second)
            if (x < 0 and person.speed_mps > 0) or (x > columns[-1].x_m and person.speed_mps < 0):
                continue
            if not 0 <= x <= columns[-1].x_m:
                break
            at_ms = (second - start_s) * 1000
            needed = required(second)
            nearest = min(len(columns) - 1, max(0, round(x / SPACING_M)))
            count.person_s += 1
            if level_at(columns[nearest], at_ms) < needed:
                count.dark_s += 1
            near = [column for column in columns[max(0, nearest - 1) : nearest + 2] if abs(column.x_m - x) <= SPACING_M]
            count.ahead_s += any(level_at(column, at_ms) < needed for column in near)


def _lit_s(column: Column, begin_ms: int, end_ms: int) -> int:
    """Seconds in which the lamp was lit between two moments."""
    total = 0
    for place, (at_ms, _, _, level) in enumerate(column.shown):
        until_ms = column.shown[place + 1][0] if place + 1 < len(column.shown) else end_ms
        total += _overlap(at_ms, until_ms, begin_ms, end_ms) if level else 0
    return total // 1000
