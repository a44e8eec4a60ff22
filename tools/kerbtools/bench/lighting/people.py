"""People on a street: groups that walk and single cyclists, from either end, by a rate that may change each hour."""

import random
from collections.abc import Callable
from dataclasses import dataclass

WALK_MPS, CYCLE_MPS = 1.4, 5.0
CYCLISTS = 0.2  # share of arrivals that are one cyclist
GROUP = (0.35, 0.40, 0.15, 0.10)  # shares of groups of 1 to 4: 2.0 people on average
PER_ARRIVAL = CYCLISTS + (1 - CYCLISTS) * sum(size * share for size, share in enumerate(GROUP, 1))  # people
APART_S = 1.0  # between two people of a group


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who goes along the street at a constant speed. x: metres from the first column; t: seconds."""

    start_s: float
    from_m: float
    speed_mps: float  # less than 0 towards the first column

    def at(self, second: float) -> float:
        return self.from_m + self.speed_mps * (second - self.start_s)

    def when(self, x_m: float) -> float:
        return self.start_s + (x_m - self.from_m) / self.speed_mps


def arrivals(seed: str, start_s: int, end_s: int, per_hour: Callable[[int], float], length_m: float) -> list[Person]:
    """Everybody who enters between start and end. per_hour: passages of single people, by UTC second.

    They enter at either end, 40 m outside the first or the last column, as on a street that goes on.
    """
    rng = random.Random(seed)  # noqa: S311  a workload, not a secret
    sizes = range(1, len(GROUP) + 1)
    people: list[Person] = []
    for hour_s in range(start_s, end_s, 3600):
        rate = per_hour(hour_s) / PER_ARRIVAL / 3600
        at = hour_s + rng.expovariate(rate) if rate > 0 else end_s
        while at < min(hour_s + 3600, end_s):
            forward = rng.random() < 0.5
            cyclist = rng.random() < CYCLISTS
            speed = (CYCLE_MPS if cyclist else WALK_MPS) * (1 if forward else -1)
            begin = -40.0 if forward else length_m + 40.0
            for place in range(1 if cyclist else rng.choices(sizes, GROUP)[0]):
                people.append(Person(at + place * APART_S, begin, speed))
            at += rng.expovariate(rate)
    return people
