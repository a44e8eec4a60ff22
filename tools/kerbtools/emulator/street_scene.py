"""A street for lamps: people who walk along it, seen by each column's sensor as they pass, under one sky."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kerbtools.emulator.lamp_scene import LampScene
from kerbtools.emulator.world import FOREVER

SPACING_M = 35.0
REACH_M = 15.0  # along the street, to either side: a radar of 16 m on a column of 6 m


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody who goes along the street at a constant speed. start_us: at the first column; speed less than 0: the
    other way."""

    start_us: int
    speed_mps: float

    def at_us(self, x_m: float) -> int:
        """When this one passes a place."""
        return self.start_us + round(x_m / self.speed_mps * 1_000_000)

    def x_m(self, now_us: int) -> float:
        """Where this one is, in metres from the first column."""
        return (now_us - self.start_us) / 1_000_000 * self.speed_mps


class ColumnScene(LampScene):
    """The scene at one column, x_m from the first one."""

    def __init__(
        self, seed: str, start_us: int, x_m: float, walkers: Iterable[Walker], reach_m: float = REACH_M
    ) -> None:
        super().__init__(seed, start_us)
        self.x_m = x_m
        self._edges = _edges(x_m, walkers, reach_m)

    def is_occupied(self, now_us: int) -> bool:
        return bisect_right(self._edges, now_us) % 2 == 1

    def next_presence_us(self, after_us: int) -> int:
        place = bisect_right(self._edges, after_us)
        return self._edges[place] if place < len(self._edges) else FOREVER


def _edges(x_m: float, walkers: Iterable[Walker], reach_m: float) -> Sequence[int]:
    """When the first of those in sight comes, and when the last of them goes, in turn."""
    spans = sorted(sorted((walker.at_us(x_m - reach_m), walker.at_us(x_m + reach_m))) for walker in walkers)
    edges: list[int] = []
    for begin, end in spans:
        if edges and begin <= edges[-1]:
            edges[-1] = max(edges[-1], end)
        else:
            edges += [begin, end]
    return edges
