"""When a bin will be full: from how it filled so far, by the hour of its week, with a band from its own past errors.

All of it is made anew from the bin's sheets whenever it has reported, so a late day counts as if it had come in time.
Going once through the history, each day's forecast is made from what was known then, and scored at the end of its
filling: hours until the fill at which the bin was emptied, against the hours that were forecast. The band is where the
middle 80 % of such scores lay. A bin without a past of its own takes rate and errors of the fleet.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

HOUR_S = 3600
SLOT_HOURS = 6
SLOTS = 7 * 24 // SLOT_HOURS
HISTORY_DAYS = 42  # a bin's weeks since the season's last change, and at most 42 sheets to read
HALF_LIFE_DAYS = 21.0  # what is so old counts half
EMPTIED = 15  # percent that the fill falls from one record to the next where it was emptied; settling is less
NOISE = 4  # percent: what an echo may be wrong by; a forecast is scored over no smaller a rise
HORIZON_H = 45 * 24  # further is not in sight
BAND = (0.1, 0.9)
BUCKETS_H = (24.0, 96.0)  # ends of the classes of forecasts by length, whose errors are told apart
MAX_ERRORS = 40  # a class: the newest
ENOUGH = 12  # errors of its own that a bin needs in a class; the fleet's fill up what is missing
RECENT_H = 240.0  # hours that the mean counts for against what the last days were
FLEET_H = 48.0  # hours that the fleet's rate counts for in a bin's own
SLOT_H = 168.0  # hours that the bin's own rate counts for in that of one part of the week
FLEET_PERCENT_A_DAY = (
    14.0  # where there is no fleet yet: the mean of 31 street bins over 947 days, Wyndham City Council
)
FLEET_ERRORS: tuple[tuple[float, ...], ...] = (
    (0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.6, 2.2, 3.0),
    (0.4, 0.6, 0.75, 0.9, 1.0, 1.15, 1.4, 1.8, 2.4),
    (0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6, 2.0),
)

Errors = tuple[tuple[float, ...], ...]  # by class: hours that it took, by hours that were forecast


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is expected of a bin of which nothing is known."""

    percent_a_day: float = FLEET_PERCENT_A_DAY
    errors: Errors = FLEET_ERRORS


@dataclass(frozen=True, slots=True)
class Forecast:
    """As of a bin's newest record. low_s, middle_s, high_s: UTC seconds when it will be full; None: not in sight.

    percent_a_day: the rate in an average week. cycles: fillings that were seen from one emptying to the next.
    """

    at_s: int
    fill: int
    percent_a_day: float
    low_s: int | None
    middle_s: int | None
    high_s: int | None
    cycles: int
    emptied_s: int | None
    errors: Errors


@dataclass(slots=True)
class _Filling:
    """How fast, by part of the week; what is old fades."""

    fleet_an_hour: float
    grown: list[float] = field(default_factory=lambda: [0.0] * SLOTS)
    hours: list[float] = field(default_factory=lambda: [0.0] * SLOTS)
    recent: tuple[float, float] = (0.0, 0.0)  # percent and hours, fading within days
    all_grown: float = 0.0
    all_hours: float = 0.0
    scale: float = 1.0  # instead of fading everything each time, what is new weighs more

    def learn(self, slot: int, grown: float, hours: float) -> None:
        self.scale *= 2 ** (hours / 24 / HALF_LIFE_DAYS)
        self.grown[slot] += grown * self.scale
        self.hours[slot] += hours * self.scale
        self.all_grown += grown * self.scale
        self.all_hours += hours * self.scale
        fade = 0.5 ** (hours / 72)
        self.recent = (self.recent[0] * fade + grown, self.recent[1] * fade + hours)

    @property
    def an_hour(self) -> float:
        """Percent an hour in an average week."""
        weight = FLEET_H * self.scale
        return max((self.all_grown + weight * self.fleet_an_hour) / (self.all_hours + weight), 0.0)

    def rates(self) -> list[float]:
        """Percent an hour by part of the week, as it has been of late."""
        mean = self.an_hour
        weight = SLOT_H * self.scale
        lately = (max(self.recent[0], 0.0) + RECENT_H * mean) / (self.recent[1] + RECENT_H)
        factor = min(max(lately / mean, 0.5), 2.0) if mean else 1.0
        return [
            max((grown + weight * mean) / (hours + weight), 0.0) * factor
            for grown, hours in zip(self.grown, self.hours, strict=True)
        ]


def forecast(
    series: Sequence[tuple[int, int]], full: int, slot_of: Callable[[int], int], fleet: Fleet
) -> Forecast | None:
    """series: (UTC seconds, fill percent) by time. full: percent. slot_of: the part of the week of a time, 0..27."""
    if not series:
        return None
    filling = _Filling(fleet.percent_a_day / 24)
    scores: list[list[float]] = [[] for _ in range(len(BUCKETS_H) + 1)]
    begun: list[tuple[int, int, list[float]]] = []  # forecasts of this filling: time, fill, rates
    cycle: list[tuple[int, int]] = [series[0]]
    cycles, emptied_s = 0, None
    for before, after in pairwise(series):
        hours = (after[0] - before[0]) / HOUR_S
        if not hours:
            continue
        if not begun or before[0] - begun[-1][0] >= 20 * HOUR_S:
            begun.append((before[0], before[1], filling.rates()))
        if after[1] <= before[1] - EMPTIED:
            _score(begun, cycle, full, slot_of, scores)
            cycles += emptied_s is not None
            begun, cycle, emptied_s = [], [after], after[0]
            continue
        cycle.append(after)
        if before[1] < full:  # above it bins overflow, or press: it says nothing of how soon they are full
            _learn(filling, before[0], hours, after[1] - before[1], slot_of)
    at_s, fill = series[-1]
    tail = sorted(value for time, value in cycle[-3:] if at_s - time <= 3 * HOUR_S)
    level = tail[len(tail) // 2]
    errors = tuple(tuple(kind[-MAX_ERRORS:]) for kind in scores)
    middle_h = _hours(filling.rates(), at_s, full - level, slot_of)
    low_s = middle_s = high_s = None
    if middle_h is not None:
        step_h = _usual_step_h(series)
        low, high = band(errors, fleet.errors, middle_h)
        middle_s = at_s + round(middle_h * HOUR_S)
        low_s = at_s + round(max(middle_h * low - step_h, 0) * HOUR_S)
        high_s = at_s + round((middle_h * high + step_h) * HOUR_S)
    return Forecast(at_s, fill, filling.an_hour * 24, low_s, middle_s, high_s, cycles, emptied_s, errors)


def band(own: Errors, fleet: Errors, hours: float) -> tuple[float, float]:
    """Factors between which the middle 80 % of past forecasts of that length were out."""
    kind = _class(hours)
    errors = list(own[kind])
    lacking = ENOUGH - len(errors)
    borrowed = sorted(fleet[kind])
    errors += [borrowed[(2 * place + 1) * len(borrowed) // (2 * lacking)] for place in range(lacking)]
    errors.sort()
    return min(_quantile(errors, BAND[0]), 1.0), max(_quantile(errors, BAND[1]), 1.0)


def fleet_of(rates: Sequence[float], errors: Sequence[Errors]) -> Fleet:
    """The fleet's own, from its bins; what nothing is known of is as of a fleet that nobody knows."""
    middle = sorted(rates)[len(rates) // 2] if rates else FLEET_PERCENT_A_DAY
    pooled = [sorted(error for one in errors for error in one[kind]) for kind in range(len(BUCKETS_H) + 1)]
    return Fleet(middle, tuple(tuple(p) if len(p) >= ENOUGH else FLEET_ERRORS[k] for k, p in enumerate(pooled)))


def _learn(filling: _Filling, start_s: int, hours: float, grown: int, slot_of: Callable[[int], int]) -> None:
    """Lay a rise on the parts of the week that it lies in."""
    parts = min(max(round(hours / SLOT_HOURS), 1), SLOTS)
    for part in range(parts):
        middle_s = start_s + round((part + 0.5) / parts * hours * HOUR_S)
        filling.learn(slot_of(middle_s), grown / parts, hours / parts)


def _score(
    begun: Sequence[tuple[int, int, list[float]]],
    cycle: Sequence[tuple[int, int]],
    full: int,
    slot_of: Callable[[int], int],
    scores: list[list[float]],
) -> None:
    """At an emptying: how long it took to the fill that was reached, against how long each forecast had said."""
    peak = min(max(value for _, value in cycle), full)
    reached_s = next(time for time, value in cycle if value >= peak)
    for time, value, rates in begun:
        if reached_s > time and peak - value > NOISE:
            hours = _hours(rates, time, peak - value, slot_of)
            if hours:
                scores[_class(hours)].append((reached_s - time) / HOUR_S / hours)


def _hours(rates: Sequence[float], start_s: int, rise: float, slot_of: Callable[[int], int]) -> float | None:
    """Hours until the fill has risen by so much; None: more than HORIZON_H."""
    if rise <= 0:
        return 0.0
    passed = 0.0
    step = min(SLOT_HOURS, 6)
    while passed < HORIZON_H:
        rate = rates[slot_of(start_s + round((passed + step / 2) * HOUR_S))]
        if rate * step >= rise:
            return passed + rise / rate
        rise -= rate * step
        passed += step
    return None


def _class(hours: float) -> int:
    return bisect_left(BUCKETS_H, hours)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two values beside it; the share of n values that lie below the k-th is k / (n + 1)."""
    place = min(max(share * (len(ordered) + 1) - 1, 0.0), len(ordered) - 1.0)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _usual_step_h(series: Sequence[tuple[int, int]]) -> float:
    """Half of what lies between two records: a rise is known no finer."""
    steps = sorted(after[0] - before[0] for before, after in pairwise(series[-50:]))
    return steps[len(steps) // 2] / HOUR_S / 2 if steps else 0.5
