"""`kerb bench lighting`: energy beside a fixed schedule, and who stood in too little light. People are simulated."""

# pyright: basic
# The control is MicroPython's, which carries no types.

import csv
import gzip
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from kerbnode import astro
from kerbnode.lamp import Lamp
from kerbnode.wave import Waves
from kerbtools.bench import workload
from kerbtools.bench.lighting.count import Count, add
from kerbtools.bench.lighting.people import arrivals
from kerbtools.bench.lighting.street import Faults, Street, reach_m

COLUMNS = 20
FLOOR, HOLD_MS = 20, 30_000
DUSK_SUN, DAWN_SUN, SUNSET = -20, -30, -8  # tenths of a degree
HEIGHT_MM = 6000
SOME, BUSY = 20, 48  # percent of the time with somebody under a column, at 100 and at 300 passages an hour
RADAR_MM, RADAR_CONE = 16_000, 100  # parts.toml: c4001_25m
PATH = (514500, -25900)  # Bristol, 1e-4 degrees
CENTRE = (-368480, 1747650)
ZONE = ZoneInfo("Pacific/Auckland")
AUCKLAND: list[object] = [720, 780, [9, 5, 6, -600], [4, 1, 6, -600]]
DEAD_SENSOR = "107 Quay Street"
YEAR = 2019
PLANNED = 75  # percentile of past hours that the calendar plans for; more people are noticed
SEASONS = ("2019-03-20", "2019-06-20", "2019-09-20", "2019-12-20")
NIGHTS = 3


def settings(place: tuple[int, int], high: int, hold_ms: int = HOLD_MS, floor: int = FLOOR) -> dict[str, int]:
    return {
        "dusk_lux": 70, "dawn_lux": 35, "latitude": place[0], "longitude": place[1], "dusk_sun": DUSK_SUN,
        "dawn_sun": DAWN_SUN, "supply_switched": 0, "hold_ms": hold_ms, "ramp_up_ms": 500, "ramp_down_ms": 8000,
        "floor": floor, "high": high, "low": floor, "exempt": 0,
        "middle": 75, "some_percent": SOME, "busy_percent": BUSY,
    }  # fmt: skip


@cache
def night_of(
    noon_s: int, place: tuple[int, int], dusk_sun: int = DUSK_SUN, dawn_sun: int = DAWN_SUN
) -> tuple[int, int]:
    """Dusk and dawn, on whole minutes, of the night after a local noon; by the sun's height in tenths of a degree."""
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


def one_night(
    seed: str,
    noon_s: int,
    place: tuple[int, int],
    per_hour: Callable[[int], float],
    required: Callable[[int], int],
    faults: Faults,
    count: Count,
    rules: list[list[int]] | None = None,
    zone: list[object] | None = None,
    high: int = 100,
    half: Callable[[int], bool] = lambda second: second % 86400 < 5 * 3600,
    hold_ms: int = HOLD_MS,
    floor: int = FLOOR,
    waves: bool = True,
) -> Street:
    """One night of a street; adds to `count`."""
    night = night_of(noon_s, place)
    start_s = (night[0] - 1800) // 60 * 60

    def make(at: int) -> tuple[Lamp, Waves | None]:
        member = at + 1
        below = [other for other in (member - 1, member - 2) if other >= 1]
        above = [other for other in (member + 1, member + 2) if other <= COLUMNS]
        lamp = Lamp(settings(place, high, hold_ms, floor), rules or [], zone or [0], True)
        return lamp, Waves(below, above, 350, high, 40) if waves else None

    street = Street(f"{seed}/street", COLUMNS, make, reach_m(RADAR_MM, RADAR_CONE, HEIGHT_MM), faults, place)
    length_m = street.columns[-1].x_m
    people = arrivals(f"{seed}/people", start_s, night[1], per_hour, length_m)
    street.run(start_s, night[1] + 1800, people)
    sun = night_of(noon_s, place, SUNSET, SUNSET)
    add(count, street.columns, people, start_s, night, sun, required, half)
    return street


def row(street: str, case: str, count: Count) -> dict[str, object]:
    return {
        "street": street,
        "case": case,
        "saving_percent": round(100 * (1 - count.wh / count.full_wh), 1),
        "saving_of_half_nights": round(100 * (1 - count.wh / count.half_wh), 1),
        "stood_too_dark_percent": round(100 * count.dark_s / max(1, count.person_s), 3),
        "with_35_m_around_percent": round(100 * count.ahead_s / max(1, count.person_s), 3),
        "person_hours": round(count.person_s / 3600, 1),
        "daylight_lamp_hours": round(count.day_lit_s / 3600, 3),
        "switchings_a_lamp_night": round(count.switchings / max(1, count.lamp_nights), 1),
        "people": "simulated",
    }


CASES = (
    ("no fault", Faults(0, 0, 0, 0)),
    ("2 % missed, 1 % lost", Faults(dead=0)),
    ("and one dead node in twenty", Faults()),
    ("and clocks off by ten minutes", Faults(clock_off_s=600)),
)


def rows() -> Iterator[dict[str, object]]:
    """The quiet path at 3 and at 9 passages an hour, then every counter of the centre."""
    for rate in (3, 9):
        for case, faults in CASES:
            count = Count()
            for season in SEASONS:
                noon = int(datetime.fromisoformat(season + "T12:00:00+00:00").timestamp())
                for day in range(NIGHTS):
                    seed = f"path {rate} {season} {day}"
                    one_night(seed, noon + day * 86400, PATH, lambda _, rate=rate: rate, lambda _: 100, faults, count)
            yield row(f"quiet path, {rate} passages an hour", case, count)
    yield from centre()


def centre() -> Iterator[dict[str, object]]:
    """Each counter of the centre on its own street, planned from one half of the weeks and lit in the other."""
    path = workload.shared() / "data" / "auckland_ped" / "hourly_dev.csv.gz"
    if not path.exists():
        yield {"street": "busy centre", "not_measured": "the recorded counts are not beside this checkout"}
        return
    savings: list[float] = []
    for name, passages in counters(path).items():
        count = Count()
        for season in SEASONS:
            for day in range(NIGHTS):
                date = datetime.fromisoformat(season) + timedelta(days=7 * day)
                rules = plan(passages, date)
                noon = int(date.replace(hour=12, tzinfo=ZONE).timestamp())
                rate = partial(_rate, passages)
                one_night(
                    f"{name} {season} {day}", noon, CENTRE, rate, lambda second, rate=rate: required(rate(second)),
                    Faults(), count, rules, AUCKLAND, half=_is_small_hours,
                )  # fmt: skip
        found = row(name, "faults as of the path", count)
        savings.append(float(str(found["saving_percent"])))
        yield found
    yield {"street": f"{len(savings)} counters", "median_saving": median(savings), "least_saving": min(savings)}


@cache
def counters(path: Path) -> dict[str, dict[datetime, int]]:
    """Passages by local hour of each counter that lives. Source: Heart of the City Auckland, CC BY 4.0."""
    with gzip.open(path, "rt", newline="") as file:
        lines = csv.DictReader(file)
        names = [name for name in lines.fieldnames or () if name not in ("local_start", DEAD_SENSOR)]
        found: dict[str, dict[datetime, int]] = {name: {} for name in names}
        for line in lines:
            hour = datetime.fromisoformat(line["local_start"])
            for name in names:
                if hour.year == YEAR and line[name]:
                    found[name][hour] = int(float(line[name]))
    return {name: passages for name, passages in found.items() if len(passages) > 8000}


def required(passages: float) -> int:
    """Percent, by passages an hour."""
    return 100 if passages > 300 else 75 if passages >= 100 else 60


def plan(passages: dict[datetime, int], date: datetime) -> list[list[int]]:
    """Calendar rules: for each kind of night and hour what most such hours of the other weeks need."""
    rules: list[list[int]] = []
    for weekdays in ((0, 1, 2, 3), (4,), (5,), (6,)):
        wanted: list[int] = []
        for hour in (*range(12, 24), *range(12)):
            seen = sorted(
                count for at, count in passages.items()
                if at.hour == hour and (at - timedelta(hours=12)).weekday() in weekdays
                and abs((at - date).days) <= 45 and (at - date).days // 7 % 2
            )  # fmt: skip
            wanted.append(required(seen[len(seen) * PLANNED // 100]) if seen else 100)
        for level, begin, end in _spans(wanted):
            mask = sum(1 << weekday for weekday in weekdays)
            rules.append([mask, 101, 1231, (begin + 12) % 24 * 60, (end + 12) % 24 * 60, level, FLOOR])
    return rules[:16]


def _spans(wanted: list[int]) -> Iterator[tuple[int, int, int]]:
    """(level, first hour, hour after the last) where less than full is wanted; hours count from noon."""
    begin = 0
    for hour in range(1, len(wanted) + 1):
        if hour == len(wanted) or wanted[hour] != wanted[begin]:
            if wanted[begin] < 100:
                yield wanted[begin], begin, hour
            begin = hour


def _rate(passages: dict[datetime, int], second: int) -> float:
    hour = datetime.fromtimestamp(second, ZONE).replace(minute=0, second=0, tzinfo=None)
    return passages.get(hour, 0)


def _is_small_hours(second: int) -> bool:
    return datetime.fromtimestamp(second, ZONE).hour < 5
