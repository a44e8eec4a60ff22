"""A street of lamps over one night: the node's control, its sensors by their geometry, and a link that loses messages.

Time goes from event to event on the control loop's grid of 100 ms; between two ticks of a lamp nothing of it changes.
"""

# pyright: basic
# The control is MicroPython's, which carries no types.

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

from kerbnode import astro
from kerbnode.lamp import TICK_MS, Lamp
from kerbnode.wave import AGAIN_MS, AHEAD, Waves
from kerbtools.bench.lighting.people import Person

SPACING_M = 35.0
LAMP_W, STANDBY_W, DRIVER_SHARE = 30.0, 1.0, 0.05
LATENCY_MS = (60, 300)  # from one lamp's sight to another's knowledge, one way

MISSED = 0.02  # of passages of one person under one sensor
LOST = 0.01  # of messages to one receiver


_LUX = ((-12.0, 0.1), (-6.0, 3.4), (-3.0, 35.0), (-2.0, 70.0), (0.0, 400.0), (10.0, 10_000.0), (60.0, 90_000.0))


def power_w(level: int) -> float:
    """Of one luminaire at a dimming level."""
    return LAMP_W * (DRIVER_SHARE + (1 - DRIVER_SHARE) * level / 100) if level else STANDBY_W


@cache
def lux_at(utc_s: int, place: tuple[int, int]) -> int:
    """Daylight on the ground from the sun's height, clear sky.

    Sunset 400, -2 degrees 70, -3 degrees 35, -6 degrees 3.4 lux: after the table of Seidelmann, Explanatory Supplement
    to the Astronomical Almanac, section 9.3, scaled to the two levels at which the street's cells switch.
    """
    degrees = math.degrees(math.asin(max(-1.0, min(1.0, astro.sun_height(utc_s, *place) / astro.ONE))))
    for (low, dark), (high, bright) in pairwise(_LUX):
        if degrees < high:
            share = max(0.0, (degrees - low) / (high - low))
            return round(math.exp(math.log(dark) + share * (math.log(bright) - math.log(dark))))
    return round(_LUX[-1][1])


def reach_m(farthest_mm: int, cone_degrees: int, height_mm: int) -> float:
    """How far along the street from its column a sensor sees people, from its range and its mounting height.

    Tilted outward as the geometry says, the cone covers the street on both sides of the column up to its range.
    """
    slant = math.sqrt(max(0, farthest_mm**2 - height_mm**2))
    return slant / 1000 if cone_degrees >= 90 else min(slant, height_mm) / 1000


@dataclass(slots=True)
class Column:
    """One lamp of the street. shown: its ramps, as (begin ms, level, end ms, level), one after the other."""

    lamp: Lamp
    waves: Waves | None
    x_m: float
    alive: bool = True
    clock_off_s: int = 0
    shown: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])
    switchings: int = 0
    targets: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in a night. dead: share of columns whose node sees and tells nothing, and shines full."""

    missed: float = MISSED
    lost: float = LOST
    dead: float = 0.05
    clock_off_s: int = 0


class Street:
    """`count` columns. make_lamp: of one column, given its place."""

    def __init__(
        self,
        seed: str,
        count: int,
        make_lamp: Callable[[int], tuple[Lamp, Waves | None]],
        reach: float,
        faults: Faults,
        place: tuple[int, int],
    ):
        self._place = place
        self._rng = random.Random(seed)  # noqa: S311
        self._reach = reach
        self._faults = faults
        self.columns: list[Column] = []
        for number in range(count):
            lamp, waves = make_lamp(number)
            self.columns.append(
                Column(
                    lamp,
                    waves,
                    number * SPACING_M,
                    alive=self._rng.random() >= faults.dead,
                    clock_off_s=self._rng.choice((-1, 1)) * faults.clock_off_s,
                )
            )

    def run(self, start_s: int, end_s: int, people: Sequence[Person]) -> None:
        """The night from start to end, UTC seconds; people as `arrivals` makes them."""
        events: list[tuple[int, int, str, int, Any]] = []
        order = 0

        def put(at_ms: int, kind: str, place: int, what: Any = None) -> None:
            nonlocal order
            order += 1
            heapq.heappush(events, (at_ms, order, kind, place, what))

        active = [0] * len(self.columns)
        for place, column in enumerate(self.columns):
            if not column.alive:
                column.shown.append((0, 100, 0, 100))
                continue
            put(0, "minute", place)
            put(0, "light", place)
            for begin_ms, end_ms in self._sights(column, people, start_s):
                put(begin_ms, "sight", place, 1)
                put(end_ms, "sight", place, -1)
        next_ms = [0] * len(self.columns)
        last_ms = (end_s - start_s) * 1000
        while events:
            now_ms, _, kind, place, what = heapq.heappop(events)
            if now_ms >= last_ms:
                break
            column = self.columns[place]
            lamp = column.lamp
            if kind == "minute":
                lamp.judge(now_ms // 1000, start_s + now_ms // 1000 + column.clock_off_s)
                put(now_ms + 60000, "minute", place)
            elif kind == "light":  # the cell is read each second; here as often as its verdict can change
                lamp.sense(lux_at(start_s + now_ms // 1000, self._place), now_ms // 1000)
                put(now_ms + 30000, "light", place)
                continue
            elif kind == "sight":
                if what < 0:  # the last tick that still saw somebody
                    lamp.tick(True, now_ms - TICK_MS)
                active[place] += what
            elif kind == "wave":
                member, wave = what
                assert column.waves is not None
                lit, onward = column.waves.heard(member, wave, now_ms)
                if lit:
                    lamp.light_up(wave.level, wave.lifetime, now_ms)
                if onward is not None:
                    self._tell(place, onward, now_ms, put)
            elif now_ms != next_ms[place]:
                continue  # a timer that something else overtook
            self._tick(place, bool(active[place]), now_ms, put)
            due = lamp.next_ms(now_ms)
            if active[place] and column.waves is not None:
                due = min(due, now_ms + AGAIN_MS)
            due = -(-due // TICK_MS) * TICK_MS
            next_ms[place] = due
            put(due, "timer", place)

    def _tick(self, place: int, active: bool, now_ms: int, put: Callable[..., None]) -> None:
        column = self.columns[place]
        ramp = column.lamp.ramp
        before = ramp.target
        level = column.lamp.tick(active, now_ms)
        if ramp.target != before:
            column.shown.append(
                (now_ms, level, max(now_ms, ramp.ends_ms()) if level != ramp.target else now_ms, ramp.target)
            )
            column.switchings += 1
            column.targets.append((now_ms // 1000, column.lamp.target, column.lamp.cause))
        if active and column.waves is not None:
            wave = column.waves.seen(now_ms)
            if wave is not None:
                self._tell(place, wave, now_ms, put)

    def _tell(self, place: int, wave: Any, now_ms: int, put: Callable[..., None]) -> None:
        """On a link that reaches AHEAD columns and one more on either side."""
        for other in range(max(0, place - AHEAD - 1), min(len(self.columns), place + AHEAD + 2)):
            if other != place and self.columns[other].alive and self._rng.random() >= self._faults.lost:
                late = self._rng.randint(*LATENCY_MS)
                put(-(-(now_ms + late) // TICK_MS) * TICK_MS, "wave", other, (place + 1, wave))

    def _sights(self, column: Column, people: Sequence[Person], start_s: int) -> list[tuple[int, int]]:
        """When the sensor sees somebody, in ms since the start, on the loop's grid: first tick with, first without."""
        seen: list[tuple[int, int]] = []
        for person in people:
            if self._rng.random() < self._faults.missed:
                continue
            edges = sorted((person.when(column.x_m - self._reach), person.when(column.x_m + self._reach)))
            begin, end = (-(-int((edge - start_s) * 1000) // TICK_MS) * TICK_MS for edge in edges)
            if end > 0:
                seen.append((max(begin, 0), max(end, begin + TICK_MS)))
        merged: list[tuple[int, int]] = []
        for begin, end in sorted(seen):
            if merged and begin <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((begin, end))
        return merged
