"""`kerb bench lampfaults`: faults of a lamp that are scripted, how soon the node tells them, and what it tells falsely.

The judge, the photocell and the ladder are the node's own source, on CPython. Everything around them is simulated: the
rates of WORLD are invented and plausible, none was measured. A look is one each 4 minutes by night and 5 by day where
nothing happens, and each 2 s, as on a board, around what lasts seconds.
"""

# pyright: basic
# The judge is MicroPython's, which carries no types.

import math
import os
import random
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

from kerbnode.lamp import astro, control
from kerbnode.lamp import faults as lampfaults
from kerbnode.lamp import settings as lampsettings
from kerbnode.lamp.faults import Judge
from kerbnode.lamp.night import Night
from kerbnode.lamp.photocell import Photocell
from kerbwire.channels import (
    AT_DIMMER,
    AT_LIGHT,
    AT_METER,
    ENERGY,
    FAULT,
    GARBLED,
    NOT_FITTED,
    POWER,
    SILENT,
    SUPPLY,
)  # fmt: skip

LAMP_MONTHS = 1500  # without one false job, the rate is under 2.0 per 1,000 with 95 % confidence
ROUGH, ROUGH_MONTHS = 3, 300  # and in a world so many times as rough
FAULTY = 20  # lamps with each fault
DAYS, FAULTY_DAYS = 30, 24
LEARN_DAYS = 6  # before a fault begins
START_UTC = 1_790_812_800  # 2026-10-01: storms, leaves and long nights
DAY_S, HOUR_S = 86_400, 3_600
PLACE = 515_000, -1_000  # 1e-4 degrees
WATTS = 60
SUN_STEP_S = 600

# What happens to a sound lamp. Rates are a lamp and a month.
WORLD = {
    "storm nights": 3.0,  # with dips, gusts in the leaves and noise on the lines
    "dips of a storm": 25,
    "short interruptions of a storm": 2,  # 0.5 to 3 s: the lamp goes out, the node does not
    "outages": 0.3,  # 1 to 90 min
    "noise bursts on a line": 2.0,  # up to 20 min
    "lamps behind leaves, percent": 8,  # half to nine tenths of the sky
    "spider at the light sensor": 0.5,  # for 2 h to 3 days
    "snow or dirt on the light sensor, percent": 2,  # for 1 to 6 days
    "lamps with a spider at the presence sensor, percent": 5,  # for a night, and with even odds the next
    "switched supplies, percent": 30,
}
TEMPERATURE_SHARE = 0.025  # of its power that a luminaire takes more in the cold than in the warmth
NOISE_SHARE = 0.005  # of a reading of the meter


@dataclass
class Spell:
    """Something that lasts."""

    start_s: float
    end_s: float
    kind: str
    strength: float = 1.0


@dataclass
class Lamp:
    """A lamp with its world, a function of its seed. fault: one of FAULTS, from fault_s on. rough: times the rates."""

    seed: int
    fault: str = ""
    fault_s: float = math.inf
    days: int = DAYS
    rough: int = 1
    told: list[tuple[float, tuple[Any, ...]]] = field(default_factory=list[tuple[float, tuple[Any, ...]]])
    seen_s: float = 0.0  # for so long the fault could be seen before it was told
    nights: int = 0  # mornings after it began, before it was told

    def __post_init__(self) -> None:
        own = self.own = random.Random(f"{self.seed}/{self.fault}")  # noqa: S311
        self.switched = own.random() * 100 < WORLD["switched supplies, percent"]
        if self.fault in ("relay welded", "burns by day", "photocell covered", "supply lost"):
            self.switched = False  # by day it has no mains, so nothing to burn with and nothing to lose
        self.volts = own.uniform(226, 238)
        self.watts = WATTS * own.uniform(0.95, 1.05)
        self.shade = own.uniform(0.5, 0.9) if self._is_one_of("lamps behind leaves, percent") else 0.0
        self.has_clock = self.fault != "photocell covered"
        self.spells = list(self._spells())
        self.edges = sorted({edge for spell in self.spells for edge in (spell.start_s, spell.end_s)})
        self._sense_s = 0.0
        self._seen_at = self.fault_s
        self._changed = False
        self._judge: Judge | None = None
        self.night = self._night()
        self.parts = SimpleNamespace(
            power_mw=0, power_s=0, supply_mv=0, energy_wh=NOT_FITTED, celsius=NOT_FITTED, gear=0, status=0, troubles=[],
            is_closed=True, values=self._values,
        )  # fmt: skip
        self.lamp = SimpleNamespace(
            ramp=SimpleNamespace(level=0), state=control.DAY, night=self.night, presence=SimpleNamespace(verdict=0)
        )

    def _night(self) -> Night:
        self.cell = Photocell(70, 35)
        place = PLACE if self.has_clock else (None, None)
        return Night(self.cell, *place, -20, -30, self.switched)

    def _is_one_of(self, name: str) -> bool:
        return self.own.random() * 100 < WORLD[name] * self.rough

    def run(self) -> "Lamp":
        """Let all of its days pass, or as many as it takes to tell its fault."""
        self._restart(0.0, None)
        now_s, off_since = 0.0, None
        active, fresh_s = list[Spell](), 0.0
        while now_s < self.days * DAY_S:
            if now_s >= fresh_s:
                active = [spell for spell in self.spells if spell.start_s <= now_s < spell.end_s]
                fresh_s = self._edge_s(now_s)
            dark = _dark(self.days)[int(now_s // SUN_STEP_S)]
            powered = (dark or not self.switched) and all(spell.kind != "outage" for spell in active)
            step_s = 300
            if not powered:
                off_since = now_s if off_since is None else off_since
            else:
                if off_since is not None:
                    self._restart(now_s, int(now_s - off_since))
                    off_since = None
                self._look(now_s, dark, active)
                if self.fault and self.is_told():
                    break
                step_s = 240 if dark else 300
                if self.fault == "goes out and back" and now_s >= self.fault_s:
                    step_s = 40
                if self._changed:  # the power of the new level
                    step_s = 10
                if any(spell.end_s - spell.start_s < 120 for spell in active):
                    step_s = 2
            now_s = min(now_s + step_s, max(fresh_s, now_s + 1))
        return self

    def _edge_s(self, now_s: float) -> float:
        """When something begins or ends next."""
        at = bisect_right(self.edges, now_s)
        return self.edges[at] if at < len(self.edges) else math.inf

    def _restart(self, now_s: float, off_s: int | None) -> None:
        kept = self._judge.pack() if self._judge else b""
        self._judge = Judge(_settings(self.switched))
        if off_s is not None:  # a start knows neither the cell's dusk nor whether it bears the clock out
            self.night = self.lamp.night = self._night()
        self._judge.unpack(kept)
        for event in self._judge.start(int(now_s), off_s is not None, off_s):
            self.told.append((now_s, event))

    def _look(self, now_s: float, dark: bool, active: list[Spell]) -> None:
        kinds = {spell.kind for spell in active}
        broken = self.fault if now_s >= self.fault_s else ""
        if now_s >= self._sense_s:
            self._sense(now_s, active, broken)
        lamp, parts, judge = self.lamp, self.parts, self._judge
        assert judge is not None
        level = 0
        if self.night.is_night:
            hour = now_s % DAY_S / HOUR_S
            somebody = (int(now_s) // 240 * 2_654_435_761 + self.seed * 7_919 >> 9) % 100 < 6
            level = 100 if 16 < hour < 22 or 5 < hour < 9 or somebody else 30
        lamp.state = control.IDLE if self.night.is_night else control.DAY
        self._changed = level != lamp.ramp.level
        lamp.ramp.level = level
        stuck = broken == "presence stuck" or any(kind in ("spider", "leaves") for kind in kinds)
        lamp.presence.verdict = int(stuck and bool(level))
        parts.troubles = [(AT_METER | GARBLED, 23)] if "noise" in kinds else []
        self._measure(now_s, level, active, broken)
        if broken == "driver silent":
            parts.troubles = [(AT_DIMMER | SILENT, 9)]
        elif broken == "light sensor silent":
            parts.troubles = [(AT_LIGHT | SILENT, 19)]
        if broken:
            self._count(now_s, level)
        for event in judge.look(int(now_s), parts, lamp):
            self.told.append((now_s, event))

    def _measure(self, now_s: float, level: int, active: list[Spell], broken: str) -> None:
        parts = self.parts
        volts = self.volts + 4 * math.sin(now_s / DAY_S * 2 * math.pi + self.volts)
        for spell in active:
            if spell.kind in ("dip", "blink"):
                volts *= spell.strength
        if broken == "supply low":
            volts = 198.0
        parts.is_closed = level > 0 or broken == "burns by day"
        burns = not level and broken in ("relay welded", "burns by day")
        light = 1.0 if burns or (level and broken == "dimming line open") else level / 100
        if broken == "light source dead" or (broken == "goes out and back" and now_s % 1800 < 120):
            light = 0.0
        elif broken == "one string of four dark":
            light *= 0.75
        cold = math.cos(now_s / DAY_S * 2 * math.pi) * TEMPERATURE_SHARE
        watts = (
            (0.5 + (self.watts * (0.05 + 0.95 * light) * (1 + cold) if light else 0.4))
            if burns or parts.is_closed
            else 0.0
        )
        if volts < 160 or broken == "driver dead":
            watts = 0.0
        parts.supply_mv = round(1000 * volts)
        parts.power_mw = round(1000 * watts * (1 + self.own.gauss(0, NOISE_SHARE)))
        parts.power_s = int(now_s)
        parts.celsius = 82 if broken == "too hot" else 20 + round(30 * light)
        if broken == "meter silent" or any(spell.kind == "noise" for spell in active):
            parts.power_mw = parts.supply_mv = FAULT
            parts.troubles = [(AT_METER | SILENT, 0)]

    def _sense(self, now_s: float, active: list[Spell], broken: str) -> None:
        """What the cell sees, and what the ladder makes of it, each ten minutes."""
        self._sense_s = now_s + SUN_STEP_S
        height = _sun(self.days)[int(now_s // SUN_STEP_S)]
        lux = 90_000 * height + 400 if height > 0 else 400 * 10 ** (height / 0.065)
        covered = max([self.shade, *(spell.strength for spell in active if spell.kind == "cover")])
        if broken == "photocell covered":
            covered = 1.0
        lux = lux * (1 - covered) + 4 * self.lamp.ramp.level / 100
        for second in (0, 70):  # a level has to hold for a minute
            self.cell.sample(int(lux), self.lamp.ramp.level, int(now_s) + second)
        utc_s = START_UTC + int(now_s)
        self.night.decide(int(now_s), utc_s if self.has_clock else None)

    def _count(self, now_s: float, level: int) -> None:
        before_s, self._seen_at = self._seen_at, now_s
        is_lit = level > 0
        visible = FAULTS[self.fault][0]
        if {"any": True, "lit": is_lit, "dark": not is_lit, "low": 0 < level < 100}[visible]:
            self.seen_s += min(now_s - before_s, 300)
        self.nights = _morning(now_s) - _morning(self.fault_s)

    def is_told(self) -> bool:
        """Whether the fault was told as what it is."""
        wanted = FAULTS[self.fault][2]
        return any(
            at_s >= self.fault_s and event[0] == wanted and event[2] == lampfaults.RAISED for at_s, event in self.told
        )

    def _values(self) -> dict[int, int]:
        parts = self.parts
        power, supply = parts.power_mw, parts.supply_mv
        return {
            POWER: (power + 50) // 100 if power >= 0 else power,
            ENERGY: NOT_FITTED,
            SUPPLY: (supply + 500) // 1000 if supply >= 0 else supply,
        }

    def _spells(self) -> Iterator[Spell]:
        own, span_s = self.own, self.days * DAY_S
        share = self.days / 30

        def times(name: str) -> range:
            wanted = WORLD[name] * share * self.rough
            return range(int(wanted) + (own.random() < wanted % 1))

        for _ in times("storm nights"):
            begin_s = own.uniform(0, span_s)
            length_s = own.uniform(2, 8) * HOUR_S
            for _ in range(round(own.expovariate(1 / WORLD["dips of a storm"]))):
                at_s = begin_s + own.uniform(0, length_s)
                yield Spell(at_s, at_s + own.uniform(0.2, 2.0), "dip", own.uniform(0.5, 0.88))
            for _ in range(round(own.expovariate(1 / WORLD["short interruptions of a storm"]))):
                at_s = begin_s + own.uniform(0, length_s)
                yield Spell(at_s, at_s + own.uniform(0.5, 3.0), "blink", 0.0)
            yield Spell(begin_s, begin_s + length_s, "leaves")
        for _ in times("outages"):
            at_s = own.uniform(0, span_s)
            yield Spell(at_s, at_s + own.uniform(60, 5400), "outage")
        for _ in times("noise bursts on a line"):
            at_s = own.uniform(0, span_s)
            yield Spell(at_s, at_s + own.uniform(5, 1200), "noise")
        for _ in times("spider at the light sensor"):
            at_s = own.uniform(0, span_s)
            yield Spell(at_s, at_s + own.uniform(2, 72) * HOUR_S, "cover", own.uniform(0.9, 1.0))
        if self._is_one_of("snow or dirt on the light sensor, percent"):
            at_s = own.uniform(0, span_s)
            yield Spell(at_s, at_s + own.uniform(1, 6) * DAY_S, "cover", 0.999)
        if self._is_one_of("lamps with a spider at the presence sensor, percent"):
            night = own.randrange(self.days)
            while True:
                yield Spell(night * DAY_S + 12 * HOUR_S, night * DAY_S + 36 * HOUR_S, "spider")
                night += 1
                if own.random() < 0.5:
                    break
        if self.fault == "supply lost":
            yield Spell(self.fault_s, self.fault_s + 1200, "outage")


# fault: when it can be seen, the time that is stated for it (seconds seen, or mornings), the code that tells it
FAULTS: dict[str, tuple[str, str, int]] = {
    "light source dead": ("lit", "10 min of light", lampfaults.LAMP_FAILURE),
    "driver dead": ("lit", "10 min of light", lampfaults.GEAR_FAULT),
    "driver silent": ("any", "15 min", lampfaults.GEAR_FAULT),
    "dimming line open": ("low", "15 min dimmed", lampfaults.GEAR_FAULT),
    "one string of four dark": ("lit", "3 nights", lampfaults.LAMP_FAILURE),
    "goes out and back": ("lit", "2 nights", lampfaults.CYCLING),
    "burns by day": ("dark", "30 min of day", lampfaults.DAY_BURNER),
    "relay welded": ("dark", "5 min of day", lampfaults.RELAY_FAULT),
    "supply low": ("any", "10 min", lampfaults.SUPPLY_LOW),
    "supply lost": ("any", "when it is back", lampfaults.SUPPLY_LOW),
    "too hot": ("any", "15 min", lampfaults.TOO_HOT),
    "photocell covered": ("any", "3 nights", lampfaults.PHOTOCELL_FAULT),
    "presence stuck": ("lit", "7 nights", lampfaults.SENSOR_FAULT),
    "light sensor silent": ("any", "1 h", lampfaults.SENSOR_FAULT),
    "meter silent": ("any", "1 h", lampfaults.SENSOR_FAULT),
}
# The judge's own time, and two looks of 5 minutes: the first only begins to count. What counts nights begins at noon.
_SECONDS = {"10 min": 600, "15 min": 900, "30 min": 1800, "5 min": 300, "1 h": 3600, "when it": 0}
LOOKS_S = 900


def rows(quick: bool = False) -> Iterator[dict[str, object]]:
    """Both tables."""
    own = random.Random("lampfaults")  # noqa: S311
    lamps = [
        Lamp(
            seed,
            fault,
            LEARN_DAYS * DAY_S + (DAY_S / 2 if "nights" in FAULTS[fault][1] else own.uniform(0, DAY_S)),
            FAULTY_DAYS,
        )
        for fault in FAULTS
        for seed in range(4 if quick else FAULTY)
    ]
    found = run_all(lamps)
    for fault, (_, stated, _) in FAULTS.items():
        yield found_row(fault, stated, [lamp for lamp in found if lamp.fault == fault])
    yield from false_rows("as in WORLD", run_all([Lamp(seed) for seed in range(20 if quick else LAMP_MONTHS)]))
    rough = [Lamp(seed, rough=ROUGH) for seed in range(10 if quick else ROUGH_MONTHS)]
    yield from false_rows(f"{ROUGH} times as rough", run_all(rough))


def found_row(fault: str, stated: str, lamps: list[Lamp]) -> dict[str, object]:
    """How soon a scripted fault was told. worst: of the time in which it could be seen, or of mornings."""
    told = [lamp for lamp in lamps if lamp.is_told()]
    by_nights = stated.endswith("nights")
    worst = max([lamp.nights if by_nights else lamp.seen_s for lamp in told], default=0)
    bound = int(stated.split()[0]) if by_nights else _SECONDS[next(key for key in _SECONDS if stated.startswith(key))]
    late = [lamp for lamp in told if (lamp.nights > bound if by_nights else lamp.seen_s > bound + LOOKS_S)]
    return {
        "fault (simulated)": fault,
        "lamps": len(lamps),
        "found": len(told),
        "stated": stated,
        "worst": f"{worst} nights" if by_nights else f"{worst / 60:.0f} min",
        "late": len(late),
    }


def false_rows(world: str, lamps: list[Lamp]) -> Iterator[dict[str, object]]:
    """What sound lamps told: jobs are warnings and worse, notices send nobody."""
    codes = {
        lampfaults.LAMP_FAILURE: "lamp failure", lampfaults.GEAR_FAULT: "control gear failure",
        lampfaults.CYCLING: "cycling", lampfaults.DAY_BURNER: "day burner", lampfaults.RELAY_FAULT: "relay failure",
        lampfaults.SUPPLY_LOW: "supply too low", lampfaults.SUPPLY_HIGH: "supply too high",
        lampfaults.TOO_HOT: "too hot", lampfaults.PHOTOCELL_FAULT: "photocell fault",
        lampfaults.SENSOR_FAULT: "sensor fault",
    }  # fmt: skip
    total = notices = 0
    for code, name in codes.items():
        events = [
            event for lamp in lamps for _, event in lamp.told if event[0] == code and event[2] == lampfaults.RAISED
        ]
        jobs = sum(event[1] > lampfaults.NOTICE for event in events)
        total += jobs
        notices += len(events) - jobs
        yield _false(name, world, len(lamps), jobs, len(events) - jobs)
    yield _false("all (aim: under 2)", world, len(lamps), total, notices)


def _false(name: str, world: str, months: int, jobs: int, notices: int) -> dict[str, object]:
    return {
        "told of sound lamps (simulated)": name,
        "world": world,
        "lamp_months": months,
        "false_jobs": jobs,
        "per_1000_lamps_and_month": round(1000 * jobs / months, 2),
        "at_most (95 %)": round(1000 * _upper(jobs) / months, 2),
        "notices": notices,
    }


def _upper(count: int) -> float:
    """The upper end of the 95 % interval of a Poisson count, one-sided."""
    rate = float(count)
    while sum(math.exp(-rate) * rate**k / math.factorial(k) for k in range(count + 1)) > 0.05:
        rate += 0.01
    return rate


def run_all(lamps: list[Lamp]) -> list[Lamp]:
    """All of them, on all processors; the same whatever their number is."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_run, lamps, chunksize=8))


def _run(lamp: Lamp) -> Lamp:
    lamp.run()
    told = Lamp.__new__(Lamp)  # what the tables need: the rest is heavy to carry between processes
    told.seed, told.fault, told.fault_s, told.days = lamp.seed, lamp.fault, lamp.fault_s, lamp.days
    told.told, told.seen_s, told.nights = lamp.told, lamp.seen_s, lamp.nights
    return told


def _morning(now_s: float) -> int:
    """How many mornings there were."""
    return int((now_s + DAY_S - 6 * HOUR_S) // DAY_S)


def _settings(switched: bool) -> dict[str, int]:
    settings = {row[0]: row[1] for row in lampsettings.ROWS}
    settings["supply_switched"] = int(switched)
    return settings


@cache
def _sun(days: int) -> list[float]:
    """Sine of the sun's height each SUN_STEP_S."""
    steps = days * DAY_S // SUN_STEP_S + 1
    return [astro.sun_height(START_UTC + at * SUN_STEP_S, *PLACE) / astro.ONE for at in range(steps)]


@cache
def _dark(days: int) -> list[bool]:
    """Whether a cabinet that switches by its own cell gives mains, each SUN_STEP_S."""
    return [height < -0.03 for height in _sun(days)]
