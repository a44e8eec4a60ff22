"""A street of lamps over one night: the node's control, its sensors by their geometry, and a link that loses messages.

Time jumps from event to event on the control loop's grid of 100 ms, and a lamp's control is asked only where something
of it can change; what it then shows is the same, to the second, as if it were asked ten times a second.
"""

# pyright: basic
# The control is MicroPython's, which carries no types.

import heapq
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

from kerbnode.lamp import astro, schedule
from kerbnode.lamp.control import HOLD, PRESENT, WAVE
from kerbnode.lamp.lamp import TICK_MS, Lamp
from kerbnode.lamp.wave import Waves
from kerbtools.bench.lighting.people import Person

SPACING_M = 35.0
LAMP_W, STANDBY_W, DRIVER_SHARE = 30.0, 1.0, 0.05
LATENCY_MS = (60, 300)  # from one lamp's sight to another's knowledge, one way
HEARD = 2  # columns on either side that a message reaches

MISSED = 0.02  # of passages of one person under one sensor
LOST = 0.01  # of messages to one receiver

TWILIGHT_LUX = (
    5,
    200,
)  # in between the cell is read each second, else as often as its verdict can change
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


@contextmanager
def remembered() -> Iterator[None]:
    """What all columns of a street ask of sun and calendar in the same minute is computed once."""
    height, levels = astro.sun_height, schedule.levels
    known: dict[tuple[int, int, int, int], tuple[Any, tuple[int, int]]] = {}

    def once(rules: Any, zone: Any, utc_s: int, high: int, low: int) -> tuple[int, int]:
        key = id(rules), utc_s, high, low
        if key not in known:  # the rules are kept, so that no other list takes their id
            known[key] = rules, levels(rules, zone, utc_s, high, low)
        return known[key][1]

    astro.sun_height, schedule.levels = cache(height), once
    try:
        yield
    finally:
        astro.sun_height, schedule.levels = height, levels


@dataclass(slots=True)
class Column:
    """One lamp of the street. shown: its ramps, as (begin ms, level, end ms, level), one after the other.

    sights: when its sensor began to see somebody after nobody, ms, as it happened and not as the loop noticed.
    """

    lamp: Lamp
    waves: Waves | None
    x_m: float
    alive: bool = True
    clock_off_s: int = 0
    shown: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])
    sights: list[int] = field(default_factory=list[int])
    told: int = 0


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in a night. dead: share of columns whose node sees and tells nothing, and shines full."""

    missed: float = MISSED
    lost: float = LOST
    dead: float = 0.05
    clock_off_s: int = 0


NO_FAULTS = Faults(0, 0, 0, 0)


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
        self._air = [random.Random(f"{seed}/{number}") for number in range(count)]  # noqa: S311  by sender
        self._reach = reach
        self._faults = faults
        self._start_s = 0
        self._due: list[int] = []
        self._telling: list[bool] = []
        self._heap: list[tuple[int, int, int, int, Any]] = []  # ms, order, place, member, wave; no wave: a timer
        self._order = 0
        self._was_black = False  # the last reading of the photocells: another teaches nothing
        self._new: set[int] = set()  # columns that see somebody since this tick
        self.active: list[bool] = []
        self.columns: list[Column] = []
        dead = set(self._rng.sample(range(count), int(count * faults.dead + self._rng.random())))
        for number in range(count):
            lamp, waves = make_lamp(number)
            self.columns.append(
                Column(
                    lamp,
                    waves,
                    number * SPACING_M,
                    alive=number not in dead,
                    clock_off_s=self._rng.choice((-1, 1)) * faults.clock_off_s,
                )
            )

    def run(self, start_s: int, end_s: int, people: Sequence[Person]) -> None:
        """The night from start to end, UTC seconds; people as `arrivals` makes them."""
        self._begin(start_s)
        edges = self.edges(start_s, people)
        edges.append(((end_s - start_s) * 1000, True, -1))
        lights = self._lights(start_s, end_s)
        light_ms, lux = next(lights)
        heap = self._heap
        touched: set[int] = set()
        at = 0
        with remembered():
            while True:
                now_ms = min(edges[at][0], light_ms, heap[0][0] if heap else light_ms)
                if now_ms >= edges[-1][0]:
                    return
                if now_ms == light_ms:
                    self._sky(now_ms, lux, touched)
                    light_ms, lux = next(lights)
                while edges[at][0] == now_ms:
                    self._edge(edges[at][2], edges[at][1], now_ms, touched)
                    at += 1
                while heap and heap[0][0] == now_ms:
                    self._happens(heapq.heappop(heap), now_ms, touched)
                for place in sorted(touched):
                    self._settle(place, now_ms)
                touched.clear()
                self._new.clear()

    def walk(self, start_s: int, end_s: int, people: Sequence[Person]) -> None:
        """The same night with every lamp asked ten times a second, as on a board: slow, to compare with `run`."""
        self._begin(start_s)
        edges = self.edges(start_s, people)
        at = 0
        for now_ms in range(0, (end_s - start_s) * 1000, TICK_MS):
            if now_ms % 1000 == 0:
                lux = lux_at(start_s + now_ms // 1000, self._place)
                for column in self.columns:
                    if column.alive:
                        column.lamp.sense(lux, now_ms // 1000)
                        if now_ms % 60_000 == 0:
                            column.lamp.judge(now_ms // 1000, start_s + now_ms // 1000 + column.clock_off_s)
            while at < len(edges) and edges[at][0] == now_ms:
                self.active[edges[at][2]] = edges[at][1]
                at += 1
            while self._heap and self._heap[0][0] == now_ms:
                _, _, place, member, wave = heapq.heappop(self._heap)
                self._hears(place, member, wave, now_ms)
            for place, column in enumerate(self.columns):
                if column.alive:
                    self._tick(place, now_ms)
                    if column.waves is not None and self.active[place]:
                        self._speak(place, now_ms)

    def edges(self, start_s: int, people: Sequence[Person]) -> list[tuple[int, bool, int]]:
        """(ms, whether it now sees somebody, place), on the loop's grid, of all sensors that live; fills `sights`."""
        found: list[tuple[int, bool, int]] = []
        for place, column in enumerate(self.columns):
            missed = random.Random(f"{self._rng.random()}").random  # noqa: S311
            if not column.alive:
                continue
            spans: list[tuple[int, int]] = []
            for person in people:
                if missed() >= self._faults.missed:
                    half_s = self._reach / abs(person.speed_mps)
                    middle_s = person.when(column.x_m) - start_s
                    end = int((middle_s + half_s) * 1000)
                    if end > 0:
                        spans.append((max(int((middle_s - half_s) * 1000), 0), end))
            last = -1
            for begin, end in sorted(spans):
                begin_ms, end_ms = -(-begin // TICK_MS) * TICK_MS, -(-end // TICK_MS) * TICK_MS + TICK_MS
                if begin_ms > last:
                    if last >= 0:
                        found.append((last, False, place))
                    found.append((begin_ms, True, place))
                    column.sights.append(begin)
                last = max(last, end_ms)
            if last >= 0:
                found.append((last, False, place))
        found.sort()
        return found

    def _begin(self, start_s: int) -> None:
        self._start_s = start_s
        self.active = [False] * len(self.columns)
        self._due = [0] * len(self.columns)
        self._telling = [False] * len(self.columns)
        for column in self.columns:
            if not column.alive:
                column.shown.append((0, 100, 0, 100))

    def _lights(self, start_s: int, end_s: int) -> Iterator[tuple[int, int]]:
        """(ms, lux) of the readings of the photocell that can change its verdict."""
        near = False
        for second in range(end_s - start_s + 61):
            if second % 30 == 0:
                lux = lux_at(start_s + second, self._place)
                near = TWILIGHT_LUX[0] <= lux <= TWILIGHT_LUX[1]
                yield second * 1000, lux
            elif near:
                yield second * 1000, lux_at(start_s + second, self._place)

    def _sky(self, now_ms: int, lux: int, touched: set[int]) -> None:
        """A reading of the photocells; on whole minutes also the verdict on the night."""
        is_minute = now_ms % 60_000 == 0
        for place, column in enumerate(self.columns):
            if not column.alive:
                continue
            lamp = column.lamp
            ramp = lamp.ramp
            if lux or not self._was_black:
                if ramp.level != ramp.target:
                    ramp.toward(ramp.target, now_ms - TICK_MS)
                lamp.sense(lux, now_ms // 1000)
            if is_minute:
                if self.active[place]:
                    lamp.presence.tick(True, now_ms - TICK_MS)
                lamp.judge(now_ms // 1000, self._start_s + now_ms // 1000 + column.clock_off_s)
                touched.add(place)
        self._was_black = not lux

    def _edge(self, place: int, is_seen: bool, now_ms: int, touched: set[int]) -> None:
        """Somebody comes into sight, or nobody is left."""
        column = self.columns[place]
        presence = column.lamp.presence
        if not is_seen:
            presence.tick(True, now_ms - TICK_MS)  # the last tick that still saw somebody
            if column.waves is not None:
                column.waves.seen_ms = now_ms - TICK_MS
        self.active[place] = is_seen
        if is_seen:
            self._new.add(place)
        if column.lamp.state not in (PRESENT, HOLD):
            touched.add(place)
            return
        presence.tick(is_seen, now_ms)
        if is_seen:
            self._tell(place, now_ms, True)
        else:
            due = self._due[place]
            ends_ms = presence.ends_ms() or now_ms
            self._wake(place, min(due, ends_ms) if due > now_ms else ends_ms, now_ms)

    def _happens(self, event: tuple[int, int, int, int, Any], now_ms: int, touched: set[int]) -> None:
        _, _, place, member, wave = event
        if wave is not None:
            self._hears(place, member, wave, now_ms)
            lamp = self.columns[place].lamp
            if lamp.state not in (PRESENT, HOLD, WAVE) or lamp.target < wave.level:
                touched.add(place)
        elif member:
            self._telling[place] = False
            self._tell(place, now_ms, False)
        elif now_ms == self._due[place]:
            touched.add(place)

    def _settle(self, place: int, now_ms: int) -> None:
        self._tick(place, now_ms)
        self._tell(place, now_ms, place in self._new)
        self._wake(place, self.columns[place].lamp.next_ms(now_ms), now_ms)

    def _wake(self, place: int, at_ms: int, now_ms: int) -> None:
        """Ask the lamp again then; what lies at or beyond the next whole minute is asked there anyway."""
        due = -(-at_ms // TICK_MS) * TICK_MS
        self._due[place] = due
        if due // 60_000 == now_ms // 60_000:
            self._put(due, place, 0, None)

    def _put(self, at_ms: int, place: int, member: int, wave: Any) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at_ms, self._order, place, member, wave))

    def _tick(self, place: int, now_ms: int) -> None:
        column = self.columns[place]
        ramp = column.lamp.ramp
        before = ramp.target
        level = column.lamp.tick(self.active[place], now_ms)
        if ramp.target != before:
            column.shown.append(
                (now_ms, level, max(now_ms, ramp.ends_ms()) if level != ramp.target else now_ms, ramp.target)
            )

    def _tell(self, place: int, now_ms: int, is_new: bool) -> None:
        """What the column tells while it sees somebody. is_new: since this tick."""
        waves = self.columns[place].waves
        if waves is None or not self.active[place]:
            return
        if not is_new:
            waves.seen_ms = now_ms - TICK_MS
        self._speak(place, now_ms)
        if not self._telling[place]:
            self._telling[place] = True
            self._put(waves.again_ms() or now_ms, place, 1, None)

    def _speak(self, place: int, now_ms: int) -> None:
        column = self.columns[place]
        assert column.waves is not None
        column.waves.level = column.lamp.high
        wave = column.waves.seen(now_ms)
        if wave is not None:
            column.told += 1
            self._send(place, wave, now_ms)

    def _send(self, place: int, wave: Any, now_ms: int) -> None:
        draw = self._air[place].random
        lost = self._faults.lost
        for other in range(max(0, place - HEARD), min(len(self.columns), place + HEARD + 1)):
            if other != place:
                chance = draw()
                if chance >= lost and self.columns[other].alive:
                    share = (chance - lost) / (1 - lost)
                    late = LATENCY_MS[0] + share * (LATENCY_MS[1] - LATENCY_MS[0])
                    self._put(-(-(now_ms + int(late)) // TICK_MS) * TICK_MS, other, place + 1, wave)

    def _hears(self, place: int, member: int, wave: Any, now_ms: int) -> None:
        column = self.columns[place]
        if column.waves is None:
            return
        lit, onward = column.waves.heard(member, wave, now_ms)
        if lit:
            column.lamp.light_up(wave.level, wave.lifetime, now_ms)
        if onward is not None:
            self._send(place, onward, now_ms)
