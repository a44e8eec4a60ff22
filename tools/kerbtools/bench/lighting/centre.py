"""The busy centre: pedestrians of Auckland by counter and hour, and the calendar that a council would set from them."""

import csv
import gzip
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from kerbnode.lamp.schedule import EVERY_DAY, MAX_RULES
from kerbtools.bench import workload
from kerbtools.bench.lighting.nights import Night, Settings
from kerbtools.bench.lighting.street import Faults

PLACE = (-368480, 1747650)
ZONE = ZoneInfo("Pacific/Auckland")
LAMP_ZONE = (720, 780, (9, 5, 6, -600), (4, 1, 6, -600))
DEAD_SENSOR = "107 Quay Street"
YEAR = 2019
PLANNED = 90  # percentile of past hours that the calendar plans for; more people are noticed
WEEKDAYS = ((0, 1, 2, 3), (4,), (5,), (6,))  # nights that are alike, by the day on which they begin

Passages = dict[datetime, int]


def recorded() -> Path:
    return workload.shared() / "data" / "auckland_ped" / "hourly_dev.csv.gz"


@cache
def counters() -> dict[str, Passages]:
    """People by local hour of each counter that lives. Source: Heart of the City Auckland, CC BY 4.0."""
    with gzip.open(recorded(), "rt", newline="") as file:
        lines = csv.DictReader(file)
        names = [name for name in lines.fieldnames or () if name not in ("local_start", DEAD_SENSOR)]
        found: dict[str, Passages] = {name: {} for name in names}
        for line in lines:
            hour = datetime.fromisoformat(line["local_start"])
            for name in names:
                if hour.year == YEAR and line[name]:
                    found[name][hour] = int(float(line[name]))
    return {name: passages for name, passages in found.items() if len(passages) > 8000}


def required(passages: float) -> int:
    """Percent, by passages an hour."""
    return 100 if passages > 300 else 75 if passages >= 100 else 60


def night(name: str, evening: datetime, settings: Settings, faults: Faults) -> Night:
    """The night that begins on this local date at this counter, planned from other weeks than its own."""
    passages = counters()[name]
    noon_s = int(evening.replace(hour=12, tzinfo=ZONE).timestamp())
    local = [datetime.fromtimestamp(noon_s + 3600 * hour, ZONE).replace(tzinfo=None) for hour in range(24)]
    people = tuple(float(passages.get(hour, 0)) for hour in local)
    return Night(
        f"{name} {evening:%Y-%m-%d}", PLACE, noon_s, people, tuple(map(required, people)),
        frozenset(at for at, hour in enumerate(local) if hour.hour < 5),
        settings, faults, plan(name, evening, PLANNED, settings.floor), LAMP_ZONE,
    )  # fmt: skip


def foreknown(night: Night) -> Night:
    """The same night with a calendar that knows the level of each hour: what the traffic's guess costs."""
    floor = night.settings.floor
    rules = tuple(
        (EVERY_DAY, 101, 1231, (begin + 12) % 24 * 60, (end + 12) % 24 * 60, level, floor)
        for level, begin, end in _painted(list(night.required))
    )
    return replace(night, rules=rules, settings=replace(night.settings, some_percent=101, busy_percent=101))


@cache
def plan(name: str, date: datetime, planned: int, floor: int) -> tuple[tuple[int, ...], ...]:
    """Calendar rules: for each kind of night and hour what most such hours of the other weeks need."""
    near = [
        (at, people)
        for at, people in counters()[name].items()
        if abs((at - date).days) <= 45 and (at - date).days // 7 % 2
    ]
    wanted: list[list[int]] = []
    for weekdays in WEEKDAYS:
        by_hour: list[list[int]] = [[] for _ in range(24)]
        for at, people in near:
            if (at - timedelta(hours=12)).weekday() in weekdays:
                by_hour[at.hour].append(people)
        seen = [sorted(by_hour[hour]) for hour in (*range(12, 24), *range(12))]
        wanted.append([required(hour[len(hour) * planned // 100]) if hour else 100 for hour in seen])
    while sum(len(_painted(levels)) for levels in wanted) > MAX_RULES:
        _simplify(wanted)
    return tuple(
        (sum(1 << day for day in weekdays), 101, 1231, (begin + 12) % 24 * 60, (end + 12) % 24 * 60, level, floor)
        for weekdays, levels in zip(WEEKDAYS, wanted, strict=True)
        for level, begin, end in _painted(levels)
    )


def _spans(levels: list[int]) -> list[tuple[int, int, int]]:
    """(level, first hour, hour after the last) of a night; hours count from noon."""
    edges = [0, *(hour for hour in range(1, len(levels)) if levels[hour] != levels[hour - 1]), len(levels)]
    return [(levels[begin], begin, end) for begin, end in pairwise(edges)]


def _painted(levels: list[int]) -> list[tuple[int, int, int]]:
    """Spans of a night where less than full is wanted, as few as a later one that covers an earlier one allows."""
    found: list[tuple[int, int, int]] = []
    for is_full, group in groupby(_spans(levels), key=lambda span: span[0] == 100):
        spans = list(group)
        if not is_full:
            ways = [spans]
            for base in {span[0] for span in spans}:
                ways.append([(base, spans[0][1], spans[-1][2]), *(span for span in spans if span[0] != base)])
            found += min(ways, key=len)
    return found


def _simplify(wanted: list[list[int]]) -> None:
    """The shortest span of any night takes the level of a neighbour that is brighter."""
    _, night, place = min(
        (end - begin, night, place)
        for night, levels in enumerate(wanted)
        for place, (level, begin, end) in enumerate(_spans(levels))
        if level < 100
    )
    spans = _spans(wanted[night])
    level, begin, end = spans[place]
    beside = [
        other[0] for other in (spans[max(0, place - 1)], spans[min(len(spans) - 1, place + 1)]) if other[0] > level
    ]
    wanted[night][begin:end] = [min(beside, default=100)] * (end - begin)
