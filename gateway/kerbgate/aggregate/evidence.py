"""Energy from the level-change log alone: evidence beside the energy register, by half hour of a settlement day.

The log says to the second what a lamp showed. What a level takes is learnt from the lamp's own records, each of which
holds a level and the power at it; a level between two known ones takes what lies between theirs.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kerbgate.aggregate.sheets import DAY_S, segments, sheet_of
from kerbwire.channels import CHANNELS, LEVEL, POWER

HALF_HOUR_S = 1800
MAX_BACK_DAYS = 40  # a level holds at most so long without a change in the log: a lamp changes it twice a day
LEARN_DAYS = 7  # whose records say what a level takes
Change = tuple[int, int]  # UTC seconds, percent from then on


@dataclass(frozen=True, slots=True)
class HalfHour:
    """known_s: of its seconds, those for which the log says a level and the power of that is known."""

    start_s: int
    wh: float
    known_s: int


class PowerTable:
    """What a lamp takes by level, in watts. readings: (percent, raw power)."""

    def __init__(self, readings: Iterable[tuple[int, int]]):
        sums: dict[int, list[int]] = {}
        for level, power in readings:
            found = sums.setdefault(level, [0, 0])
            found[0] += power
            found[1] += 1
        per_watt = CHANNELS[POWER].denominator
        self._watts = {level: total / count / per_watt for level, (total, count) in sorted(sums.items())}
        self._lit = [level for level in self._watts if level]

    def watts(self, level: int) -> float | None:
        """None: nothing is known that could tell."""
        known = self._watts.get(level)
        if known is not None or not level:
            return known
        place = bisect_left(self._lit, level)
        if place == 0 or place == len(self._lit):
            return None
        low, high = self._lit[place - 1], self._lit[place]
        return self._watts[low] + (self._watts[high] - self._watts[low]) * (level - low) / (high - low)


def half_hours(changes: Sequence[Change], power: PowerTable, start_s: int, end_s: int) -> list[HalfHour]:
    """The half hours from start_s to end_s, from changes in the order of time; the last before start_s is the first."""
    starts = range(start_s, end_s, HALF_HOUR_S)
    joules = [0.0] * len(starts)
    known = [0] * len(starts)
    for (begin_s, level), (next_change_s, _) in pairwise([*changes, (end_s, 0)]):
        watts = power.watts(level)
        if watts is None:
            continue
        at_s, until_s = max(begin_s, start_s), min(next_change_s, end_s)
        while at_s < until_s:
            place = (at_s - start_s) // HALF_HOUR_S
            next_s = min(until_s, start_s + (place + 1) * HALF_HOUR_S)
            joules[place] += watts * (next_s - at_s)
            known[place] += next_s - at_s
            at_s = next_s
    return [HalfHour(begin_s, joules[place] / 3600, known[place]) for place, begin_s in enumerate(starts)]


def of_node(db: sqlite3.Connection, node: int, start_s: int, end_s: int) -> list[HalfHour]:
    """The same of a node's sheets. Nothing else of its records is looked at than what its levels take."""
    first_day, last_day = start_s // DAY_S, (end_s - 1) // DAY_S
    changes: list[Change] = []
    readings: list[tuple[int, int]] = []
    for day in range(last_day, first_day - MAX_BACK_DAYS - 1, -1):
        of_day, of_records = _sheet(db, node, day)
        changes = of_day + changes
        if day > last_day - LEARN_DAYS:
            readings += of_records
        if day <= last_day - LEARN_DAYS and changes and changes[0][0] <= start_s:
            break
    before = [change for change in changes if change[0] <= start_s][-1:]
    return half_hours(before + [c for c in changes if start_s < c[0] < end_s], PowerTable(readings), start_s, end_s)


def _sheet(db: sqlite3.Connection, node: int, day: int) -> tuple[list[Change], list[tuple[int, int]]]:
    row = db.execute("SELECT samples FROM sheet WHERE sheet_id=?", (sheet_of(day, node),)).fetchone()
    changes: list[tuple[int, int, int]] = []
    readings: list[tuple[int, int]] = []
    for segment in segments(row[0] if row and row[0] else b""):
        places: Mapping[int, int] = {channel: at + 2 for at, channel in enumerate(segment.channels)}
        if segment.is_changes:
            changes += [(day * DAY_S + line[0], line[1], line[places[LEVEL]]) for line in segment.rows]
        elif LEVEL in places and POWER in places:
            pairs = ((line[places[LEVEL]], line[places[POWER]]) for line in segment.rows)
            readings += [(level, power) for level, power in pairs if level >= 0 and power >= 0]
    return [(at_s, level) for at_s, _, level in sorted(changes)], readings
