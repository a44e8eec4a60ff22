"""One night of one street, as data that another process can run: who comes, what is required, set and failing."""

# pyright: basic
# The control is MicroPython's, which carries no types.

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

from kerbnode.lamp import astro
from kerbnode.lamp.lamp import Lamp
from kerbnode.lamp.wave import Waves
from kerbtools.bench.lighting.count import Count, Need, add
from kerbtools.bench.lighting.people import arrivals
from kerbtools.bench.lighting.street import SPACING_M, Faults, Street, reach_m

COLUMNS = 20
DUSK_SUN, DAWN_SUN, SUNSET = -20, -30, -8  # tenths of a degree
HEIGHT_MM = 6000
RADAR_MM, RADAR_CONE = 16_000, 100  # parts.toml: c4001_25m
MARGIN_S = 1800  # before dusk and after dawn

Place = tuple[int, int]  # latitude north, longitude east, 1e-4 degrees


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set at the lamps of a street; names and units as in the node's settings."""

    floor: int = 20
    hold_ms: int = 30_000
    ramp_down_ms: int = 8000
    middle: int = 75
    some_percent: int = 20  # of the time with somebody under a column, at 100 passages an hour
    busy_percent: int = 48  # at 300
    ahead: int = 2  # columns lit before somebody comes there
    wave_s: int = 40
    waves: bool = True


@dataclass(frozen=True, slots=True)
class Night:
    """noon_s: UTC second of a local noon before it. per_hour: people by UTC hour since then.

    required: percent by UTC hour since then. half_hours: which of them the other schedule halves.
    """

    seed: str
    place: Place
    noon_s: int
    per_hour: tuple[float, ...]
    required: tuple[int, ...]
    half_hours: frozenset[int]
    settings: Settings
    faults: Faults
    rules: tuple[tuple[int, ...], ...] = ()
    zone: tuple[object, ...] = (0,)
    columns: int = COLUMNS


@cache
def dusk_and_dawn(noon_s: int, place: Place, dusk_sun: int = DUSK_SUN, dawn_sun: int = DAWN_SUN) -> tuple[int, int]:
    """On whole minutes, of the night after a local noon; by the sun's height in tenths of a degree."""
    heights = astro.sine(astro.angle_of(dusk_sun)), astro.sine(astro.angle_of(dawn_sun))
    edges: list[int] = []
    before = False
    for second in range(noon_s, noon_s + 86400, 60):
        height = astro.sun_height(second, *place)
        rising = astro.sun_height(second + 120, *place) > height
        dark = height < heights[rising]
        if dark != before:
            edges.append(second)
            before = dark
    return edges[0], edges[1]


def lamp_settings(place: Place, settings: Settings) -> dict[str, int]:
    return {
        "dusk_lux": 70, "dawn_lux": 35, "latitude": place[0], "longitude": place[1], "dusk_sun": DUSK_SUN,
        "dawn_sun": DAWN_SUN, "supply_switched": 0, "hold_ms": settings.hold_ms, "ramp_up_ms": 500,
        "ramp_down_ms": settings.ramp_down_ms, "floor": settings.floor, "high": 100, "low": settings.floor,
        "exempt": 0, "middle": settings.middle, "some_percent": settings.some_percent,
        "busy_percent": settings.busy_percent,
    }  # fmt: skip


def street_of(night: Night) -> Street:
    """The street of a night, before it."""
    rules = [list(rule) for rule in night.rules]
    zone = list(night.zone)
    settings = night.settings

    def make(at: int) -> tuple[Lamp, Waves | None]:
        member = at + 1
        below = [other for other in range(member - 1, member - 3, -1) if other >= 1]
        above = [other for other in range(member + 1, member + 3) if other <= night.columns]
        lamp = Lamp(lamp_settings(night.place, settings), rules, zone, True)
        if not settings.waves:
            return lamp, None
        return lamp, Waves(below, above, int(10 * SPACING_M), 100, settings.wave_s, 0, settings.ahead)

    reach = reach_m(RADAR_MM, RADAR_CONE, HEIGHT_MM)
    return Street(f"{night.seed}/street", night.columns, make, reach, night.faults, night.place)


def needs_of(night: Night, start_s: int, dusk_s: int, dawn_s: int) -> list[Need]:
    """The required levels from dusk to dawn, in ms since the start."""
    found: list[Need] = []
    for hour, level in enumerate(night.required):
        begin = max(dusk_s, night.noon_s + 3600 * hour)
        end = min(dawn_s, night.noon_s + 3600 * (hour + 1))
        if end > begin and found and found[-1][2] == level:
            found[-1] = found[-1][0], (end - start_s) * 1000, level
        elif end > begin:
            found.append(((begin - start_s) * 1000, (end - start_s) * 1000, level))
    return found


def run(night: Night) -> Count:
    """Walks the night and counts it."""
    dusk_s, dawn_s = dusk_and_dawn(night.noon_s, night.place)
    start_s = (dusk_s - MARGIN_S) // 60 * 60

    def per_hour(second: int) -> float:
        return night.per_hour[min(max(0, second - night.noon_s) // 3600, len(night.per_hour) - 1)]

    street = street_of(night)
    people = arrivals(f"{night.seed}/people", start_s, dawn_s, per_hour, street.columns[-1].x_m)
    street.run(start_s, dawn_s + MARGIN_S, people)
    sun = dusk_and_dawn(night.noon_s, night.place, SUNSET, SUNSET)
    needs = needs_of(night, start_s, dusk_s, dawn_s)
    half_s = sum(
        max(0, min(dawn_s, night.noon_s + 3600 * (hour + 1)) - max(dusk_s, night.noon_s + 3600 * hour))
        for hour in night.half_hours
    )
    count = Count()
    add(count, street.columns, people, start_s, needs, sun, half_s, night.settings.floor)
    return count


def run_all(nights: Sequence[Night]) -> Iterator[Count]:
    """Their counts in their order, on all processors."""
    if len(nights) < 2:
        yield from map(run, nights)
        return
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(run, nights, chunksize=1)


def total(counts: Iterable[Count]) -> Count:
    found = Count()
    for count in counts:
        found.add(count)
    return found
