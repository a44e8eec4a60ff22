"""The least energy that meets the requirement, expected over a whole year of counts: what no control can save beyond.

People arrive by chance at the counted rate, so a lamp has somebody near for 1 - exp(-arrivals * stay) of the time. The
least shows the required level then and the floor else, knows everything beforehand, and no lamp of it ever fails.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from kerbtools.bench.lighting import centre
from kerbtools.bench.lighting.count import NEAR_M
from kerbtools.bench.lighting.nights import dusk_and_dawn
from kerbtools.bench.lighting.people import APART_S, CYCLE_MPS, CYCLISTS, PER_ARRIVAL, WALK_MPS
from kerbtools.bench.lighting.street import SPACING_M, power_w


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the requirement. people: of one counted passage that count towards the bounds of 100 and 300."""

    name: str
    near_m: float = NEAR_M
    floor: int = 20
    people: float = 1.0
    cyclists: float = CYCLISTS


READINGS = (
    Reading("a passage is a person, as counted; lit while anyone is within 35 m"),
    Reading("pedestrians alone, in groups of 2", cyclists=0.0),
    Reading("a passage is a group or a cyclist", people=1 / PER_ARRIVAL),
    Reading("only the nearest lamp is lit", near_m=SPACING_M / 2),
    Reading("floor 10 %", floor=10),
)


def rows() -> Iterator[dict[str, object]]:
    """Each reading over every night of the year, of all counters."""
    first = datetime(centre.YEAR, 1, 2)
    for reading in READINGS:
        savings = [
            expected(passages, [first + timedelta(days=day) for day in range(362)], reading)
            for passages in centre.counters().values()
        ]
        yield {
            "what_is_required": reading.name,
            "most_saving_median": round(median(savings), 1),
            "most_saving_of_the_least_counter": round(min(savings), 1),
            "of_the_best": round(max(savings), 1),
        }


def expected(passages: centre.Passages, evenings: list[datetime], reading: Reading) -> float:
    """Percent saved against full light from dusk to dawn."""
    way_m = 2 * reading.near_m
    stay_s = (1 - reading.cyclists) * (way_m / WALK_MPS + APART_S) + reading.cyclists * way_m / CYCLE_MPS
    per_arrival = PER_ARRIVAL if reading.cyclists else 2.0
    used = full = 0.0
    for evening in evenings:
        noon_s = int(evening.replace(hour=12, tzinfo=centre.ZONE).timestamp())
        dusk_s, dawn_s = dusk_and_dawn(noon_s, centre.PLACE)
        for begin_s in range(noon_s, noon_s + 86400, 3600):
            span_s = min(dawn_s, begin_s + 3600) - max(dusk_s, begin_s)
            counted = passages.get(datetime.fromtimestamp(begin_s, centre.ZONE).replace(tzinfo=None))
            if span_s <= 0 or counted is None:
                continue
            near = 1 - math.exp(-counted / per_arrival / 3600 * stay_s)
            lit_w = power_w(centre.required(counted * reading.people))
            used += span_s * (near * lit_w + (1 - near) * power_w(reading.floor))
            full += span_s * power_w(100)
    return 100 * (1 - used / full)
