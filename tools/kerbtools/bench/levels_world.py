"""Simulated truth around bins, for `kerb bench levels`: levels by the hour, shapes, echoes, weather and fires.

The levels come from recorded days (Wyndham) or from the workload; all between is made here, and each assumption is a
constant below. Noise: on quiet nights (22 to 4 h UTC) two readings in a row of the DTU nodes differ by 10 mm in the
median, which is a standard deviation of 10 mm of one reading; 0.9 % of all readings are no echo, 3.6 % at the worst
node, and 0.1 to 1.2 % stand alone by 15 cm and more between two that agree. Taken are the shares that are to be shown.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from kerbnode.bin.geometry import IGLOO, STRAIGHT, TAPERED, UNDERGROUND, WHEELED_240, WHEELED_1100
from kerbtools.bench import workload
from kerbwire.channels import NO_ECHO

EMPTY_MM, FULL_MM = 1200, 250
NOISE_MM = 10.0
STRAY_SHARE = 0.05
NO_ECHO_SHARE = 0.03
CONE_DEGREES = 60  # full angle of the A02YYUW
FACETS = 7  # patches of waste within the cone, of which the nearest answers
FACET_MM = 20.0  # standard deviation of their heights about the mean surface; assumed
COVERS_A_YEAR, COVER_HOURS = 12, 12.0  # a bag hangs on the sensor
WET_A_YEAR, WET_HOURS = 60, 3.0  # drops on the membrane
WET_SHARE = 0.6  # of echoes that are lost or its own ringing, while it is wet
LID_SHARE = 0.004  # of samples with the lid open
MAKER = 0.03  # by which a bin differs from the shape of its profile
REFERENCE_C = 20

Shape = Callable[[float], float]


def shapes(maker: float = 0.0) -> dict[int, Shape]:
    """Cross-section by share of the depth, from the floor up, of each profile. maker: another maker's proportions."""

    def frustum(ratio: float) -> Shape:
        return lambda h: (ratio + maker + (1 - ratio - maker) * h) ** 2

    def notched(ratio: float, notch: float) -> Shape:
        walls = frustum(ratio)
        return lambda h: walls(h) * (1 - notch if h < 0.125 else 1)

    return {
        STRAIGHT: lambda h: 1 + maker * h,
        TAPERED: frustum(0.75),
        WHEELED_240: notched(0.80, 0.25),  # the axle's recess
        WHEELED_1100: notched(0.88, 0.08),
        IGLOO: lambda h: 1 - ((0.9 + maker) * h) ** 2,
        UNDERGROUND: lambda h: (0.35 + maker + (0.65 - maker) * min(1, h / 0.25)) ** 2,  # a bag that hangs to a point
    }


def depth_shares(shape: Shape, steps: int = 2000) -> list[float]:
    """Share of the volume below each of steps + 1 depths."""
    found = [0.0]
    for i in range(steps):
        found.append(found[-1] + shape((i + 0.5) / steps))
    return [share / found[-1] for share in found]


class Bin:
    """One bin and its ranger: what the firmware reads there. Seeded. facet_mm: how uneven the waste lies."""

    def __init__(self, seed: str, profile: int, facet_mm: float = FACET_MM) -> None:
        self._dice = random.Random(seed)  # noqa: S311  a scene, not a secret
        self._shares = depth_shares(shapes(self._dice.uniform(-MAKER, MAKER))[profile])
        self._facet_mm = facet_mm
        self._facets: list[float] = []
        self._filled = -1.0
        self._mean_c = self._dice.uniform(8, 17)
        self._bag_ends_s = self._wet_ends_s = 0

    def distance_mm(self, fill: float) -> float:
        """From the sensor to a flat surface at `fill` per cent of the volume."""
        share = min(1.0, max(0.0, fill / 100))
        low, high = 0, len(self._shares) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._shares[middle] <= share else (low, middle)
        within = (share - self._shares[low]) / (self._shares[high] - self._shares[low])
        return EMPTY_MM - (EMPTY_MM - FULL_MM) * (low + within) / (len(self._shares) - 1)

    def celsius(self, time_s: int) -> float:
        day, year = time_s / 86_400, time_s / (365.25 * 86_400)
        return self._mean_c + 9 * math.sin(2 * math.pi * (year - 0.3)) + 5 * math.sin(2 * math.pi * (day - 0.38))

    def echoes(self, time_s: int, fill: float, count: int) -> tuple[list[int], str]:
        """(`count` readings, what stood between: "", "bag", "wet", "lid"): mm at the speed of sound at REFERENCE_C."""
        dice = self._dice
        cover = self._cover(time_s)
        speed = _sound(REFERENCE_C) / _sound(self.celsius(time_s))
        surface_mm = self._surface_mm(fill)
        readings: list[int] = []
        for _ in range(count):
            true_mm = self._one(surface_mm, cover)
            readings.append(NO_ECHO if true_mm is None else max(1, round(true_mm * speed)))
        if cover == "lid":
            readings = [each if dice.random() < 0.4 else NO_ECHO for each in readings]
        return readings, cover

    def _one(self, surface_mm: float, cover: str) -> float | None:
        dice = self._dice
        chance = dice.random()
        if cover == "bag":
            return dice.uniform(5, 80)
        if cover == "wet" and dice.random() < WET_SHARE:
            return dice.uniform(5, 45) if dice.random() < 0.5 else None
        if cover == "lid":
            return dice.uniform(1000, 4000)
        if chance < NO_ECHO_SHARE:
            return None
        if chance < NO_ECHO_SHARE + STRAY_SHARE:  # two of three are nearer: an edge, a swinging bag; else twice there
            return dice.uniform(60, surface_mm) if dice.random() < 0.67 else surface_mm * dice.uniform(1.3, 2.0)
        return surface_mm + dice.gauss(0, NOISE_MM)

    def _surface_mm(self, fill: float) -> float:
        """The nearest facet within the cone. What is thrown in lies otherwise; an empty floor is flat."""
        dice = self._dice
        if not self._facets or fill < self._filled - 1:
            self._facets = [dice.gauss(0, self._facet_mm) for _ in range(FACETS)]
            self._filled = fill
        while fill - self._filled >= 1:
            self._facets[dice.randrange(FACETS)] = dice.gauss(0, self._facet_mm)
            self._filled += 1
        flat_mm = self.distance_mm(fill)
        width_mm = 2 * flat_mm * math.tan(math.radians(CONE_DEGREES / 2))
        seen = self._facets[: max(1, min(FACETS, round(FACETS * width_mm / 700)))]
        rough = min(1.0, fill / 10)
        mean = sum(self._facets) / FACETS
        return flat_mm - rough * (max(seen) - mean)

    def _cover(self, time_s: int) -> str:
        dice = self._dice
        if time_s < self._bag_ends_s:
            return "bag"
        if time_s < self._wet_ends_s:
            return "wet"
        if dice.random() < COVERS_A_YEAR / 8766:
            self._bag_ends_s = time_s + int(dice.expovariate(1 / (COVER_HOURS * 3600)))
            return "bag"
        if dice.random() < WET_A_YEAR / 8766:
            self._wet_ends_s = time_s + int(dice.expovariate(1 / (WET_HOURS * 3600)))
            return "wet"
        return "lid" if dice.random() < LID_SHARE else ""


@dataclass
class Story:
    """The truth of one bin by the hour. levels: per cent of the volume. emptied: hours in which the crew came."""

    name: str
    start_s: int
    levels: list[float]
    emptied: list[int] = field(default_factory=list[int])


def from_days(name: str, start_s: int, tenths: Sequence[int], seed: str) -> Story:
    """Recorded days as hours: waste grows by the workload's hours of the day, the crew comes in a morning hour.

    tenths: one level a day, in steps of 20 %. Where in its step a level stood is drawn; a fall of two steps or down to
    nothing is an emptying, a smaller one a settling.
    """
    dice = random.Random(seed)  # noqa: S311
    deposits = cast("tuple[float, ...]", workload.load().DEPOSITS)
    weights = [weight / sum(deposits) for weight in deposits]
    story = Story(name, start_s, [])
    level = _within(dice, tenths[0], 0.0)
    for before, after in pairwise(tenths):
        is_emptied = before - after >= 4 or (after == 0 and before > 0)
        crew = dice.randrange(6, 11) if is_emptied else -1
        target = _within(dice, after, 0.0 if is_emptied else level)
        growth = target if is_emptied else max(0.0, target - level)
        settles = 0.0 if is_emptied else min(0.0, target - level)
        for hour in range(24):
            if hour == crew:
                story.emptied.append(len(story.levels))
                level = dice.uniform(0, 3)
                growth = max(0.0, target - level)
            shares = sum(weights[crew:]) if is_emptied else 1.0
            if not is_emptied or hour >= crew:
                level = min(100.0, level + growth * weights[hour] / shares)
            level = max(0.0, level + settles / 24)
            story.levels.append(level)
    return story


def from_workload(seed: int) -> Story:
    """One day of the workload, its own noise of 0.45 % included in what counts as true."""
    day = cast("dict[str, Any]", workload.load().bin_day(seed))
    levels = [float(each) for each in cast("list[int]", day["level"])]
    falls = [i for i in range(1, len(levels)) if levels[i] <= 6 and levels[i - 1] - levels[i] >= 5]
    return Story(f"day {seed}", day["start"], levels, falls)


@dataclass(frozen=True)
class Fire:
    """A fire in a bin: minutes since it was lit -> degrees that a thermometer under the roof shows above the air's."""

    kelvin_a_minute: float
    lag_s: float = 40.0  # of the thermometer in its sleeve
    highest_k: float = 400.0

    def rise_k(self, seconds: float) -> float:
        if seconds <= 0:
            return 0.0
        rate = self.kelvin_a_minute / 60
        lagged = rate * (seconds - self.lag_s * (1 - math.exp(-seconds / self.lag_s)))
        return min(self.highest_k, lagged)


@dataclass(frozen=True)
class Lid:
    """What the sun does to a bin: how much a clear noon warms its lid, how fast, and how far the thermometer lags."""

    name: str
    rise_k: float
    lid_s: float
    lag_s: float


# A thin dark lid with the thermometer free in the air below it; one in the node's own black housing; a steel bin. The
# lid's time is its heat capacity over what it loses: 3 mm of polyethylene, 5 kJ/m2K over 25 W/m2K, are 220 s. Assumed.
LIDS = (Lid("thin dark lid", 22, 220, 90), Lid("black housing", 40, 600, 240), Lid("steel", 30, 420, 120))


class Sun:
    """Kelvin above the air at the thermometer through a year of clear, changeable and dull days. Seeded.

    On a changeable day clouds come and go within minutes; on each day the shade of a house leaves the bin at once.
    """

    STEP_S = 10
    CLOUDED = 0.2  # of a clear sky's warmth
    CLOUD_S = 600  # a cloud, or a gap, in the mean

    def __init__(self, seed: str, lid: Lid) -> None:
        self._dice = random.Random(seed)  # noqa: S311
        self._lid = lid
        self._lid_k = self._shown_k = 0.0
        self._now_s = 0
        self._turns_s = 0  # when a cloud comes or goes
        self._share = 0.0
        self._day = -1
        self._kind = self._leaves_h = 0.0

    def kelvin(self, time_s: int) -> float:
        """At a moment not before the last that was asked for."""
        while self._now_s + self.STEP_S <= time_s:
            self._now_s += self.STEP_S
            warmth = self._warmth()
            if warmth or self._shown_k > 0.01:
                self._lid_k += (warmth - self._lid_k) * self.STEP_S / self._lid.lid_s
                self._shown_k += (self._lid_k - self._shown_k) * self.STEP_S / self._lid.lag_s
        return self._shown_k

    def _warmth(self) -> float:
        day, second = divmod(self._now_s, 86_400)
        hour = second / 3600
        if day != self._day:
            self._day, self._kind, self._leaves_h = day, self._dice.random(), self._dice.uniform(6, 11)
        if not self._leaves_h <= hour <= 19 or self._kind > 0.7:
            return 0.0
        if self._kind > 0.3 and self._now_s >= self._turns_s:
            self._turns_s = self._now_s + int(self._dice.expovariate(1 / self.CLOUD_S))
            self._share = self.CLOUDED if self._share == 1.0 else 1.0
        season = 0.6 + 0.4 * math.sin(2 * math.pi * (day / 365.25 - 0.22))
        share = self._share if self._kind > 0.3 else 1.0
        return self._lid.rise_k * season * share * math.sin(math.pi * (hour - 5) / 14)


def _within(dice: random.Random, tenths: int, least: float) -> float:
    """A level somewhere within the step that was recorded: 8 stands for 80 to 100 %, 10 for full."""
    low, high = (97.0, 100.0) if tenths >= 10 else (10.0 * tenths, 10.0 * tenths + 20.0)
    return dice.uniform(max(low, least), high) if least < high else max(low, min(least, 100.0))


def _sound(celsius: float) -> float:
    return 331.3 + 0.606 * celsius
