"""How honest a bin's levels and events are: the node's own arithmetic and judgement on simulated truth.

Every row says where its truth comes from. The node's side is kerbnode as it is: `level`, `geometry`, `events`.
"""

import csv
import gzip
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from kerbnode import clock, config
from kerbnode.bin import events
from kerbnode.bin import level as arithmetic
from kerbnode.drivers import a02yyuw
from kerbtools.bench import levels_world, workload
from kerbtools.bench.levels_world import EMPTY_MM, FULL_MM, Bin, Story
from kerbwire.channels import AT_DISTANCE, NO_ECHO, NOT_FITTED, SPECIAL, STUCK, TROUBLE

SIMULATED = "simulated"
HOUR_S, YEAR_H = 3600, 8766
MAX_CHECKS = 3  # in a row, as kerbnode.bin.closing
LID_DEGREES = 95  # of an open lid
LEAST_FALL = 20.0  # per cent of the volume; a collection that took less counts apart
SOON_H = 2  # hours within which an event is told soon
LATEST_H = 48  # and within which it still belongs to what has happened: a bag may hang on the sensor meanwhile
RECHECK_S = 3  # a heat check that sees a change is followed by a full sample at once
MARGIN = 10.0  # per cent: so far from the limit "full" was wrong, or "not full"
LOOK_S = 2  # what a look takes, by which the next one comes later
SENDING_S = 5  # from the judgement to the gateway
STUCK_BINS = 100
EMPTIED_EACH_H = 24
FIRES = 100  # of each rate
FIRE_RATES = (5.0, 6.0, 8.0, 10.0, 20.0, 60.0, 120.0)  # kelvin a minute at the thermometer, from smoulder to blaze
PROFILES = 6
WORKLOAD_DAYS = 500
UNEVEN_MM = (0, 10, 30, 40)  # beside levels_world.FACET_MM
LONGEST_GAP_S = 86_400

AIM_MEDIAN, AIM_P95 = 2.0, 6.0

# The firmware is written without types: here they are said once.
_arithmetic = cast(Any, arithmetic)
level = cast("Callable[..., tuple[int, int, int]]", _arithmetic.level)
alike = cast("Callable[[list[int]], int | None]", _arithmetic.alike)
posture = cast("Callable[[int, int], int]", _arithmetic.posture)
_clock = cast(Any, clock)
new_judge = cast("Callable[[dict[str, int]], Any]", events.Judge)
_ATTRIBUTION = "Wyndham City Council, Smart Bin Daily Fill Level (historical), CC BY 2.5 AU"


@dataclass
class Score:
    """What came of many hours."""

    hours: int = 0
    errors: list[float] = field(default_factory=list[float])
    covered: int = 0  # samples with a bag, drops or an open lid before the sensor
    covered_told: int = 0  # of them: without a level, or flagged
    covered_wrong: int = 0  # of them: a level off by more than 10 %, and no flag
    unmeasured: int = 0  # clear samples without a level
    emptied: int = 0
    emptied_found: int = 0
    emptied_soon: int = 0
    emptied_false: int = 0
    slight: int = 0
    slight_found: int = 0
    full: int = 0
    full_found: int = 0
    full_false: int = 0
    stuck_false: int = 0
    visits: int = 0
    said_full_was_not: int = 0
    was_full_not_said: int = 0

    @property
    def years(self) -> float:
        return self.hours / YEAR_H


def rows() -> Iterator[dict[str, object]]:
    """Levels, events, fire, recorded distances. Where recorded data is absent, a row says so."""
    folder = workload.shared() / "data"
    stories = [levels_world.from_workload(seed) for seed in range(1, WORKLOAD_DAYS + 1)]
    runs = [("days of the workload", _run(stories), "")]
    if folder.exists():
        runs.insert(0, ("Wyndham's recorded days, by the hour", _run(list(_wyndham(folder))), _ATTRIBUTION))
    else:
        yield {"skipped": f"no recorded data at {folder}", "hint": "it is no part of a public clone; the workload is"}
    for name, score, attribution in runs:
        yield _level_row(name, score, attribution)
    for facet_mm in UNEVEN_MM:
        yield _level_row(f"days of the workload, waste uneven by {facet_mm} mm", _run(stories, facet_mm), "")
    for name, score, attribution in runs:
        yield _event_row(name, score, attribution)
    yield stuck_row()
    yield from fire_rows()
    for lid in levels_world.LIDS:
        yield sun_row(lid)
    if folder.exists():
        yield from _dtu_rows(folder)


def _run(stories: list[Story], facet_mm: float = levels_world.FACET_MM) -> Score:
    score = Score()
    for number, story in enumerate(stories):
        profile = number % PROFILES
        _Node(Bin(story.name, profile, facet_mm), profile, score).live(story)
    return score


class _Node:
    """One bin node through a story: an hourly sample, and a second look where the judge wants one."""

    def __init__(self, bin_: Bin, profile: int, score: Score) -> None:
        self._bin = bin_
        self._settings = _defaults() | {"empty_mm": EMPTY_MM, "full_mm": FULL_MM, "profile": profile}
        self._judge = new_judge(self._settings)
        self._score = score
        self._said_full = False

    def live(self, story: Story) -> None:
        told: list[tuple[int, int]] = []  # hour, code
        for hour, true in enumerate(story.levels):
            if hour in story.emptied:
                self._visit(story.levels[hour - 1] if hour else 0.0)
            time_s = story.start_s + hour * HOUR_S
            for check in range(1 + MAX_CHECKS):
                told += [(hour, code) for code in self._sample(time_s + check * self._settings["check_s"], true, check)]
                if not self._judge.hurry:
                    break
        self._score.hours += len(story.levels)
        self._count_emptyings(story, [hour for hour, code in told if code == events.EMPTIED])
        self._count_fulls(story, [hour for hour, code in told if code == events.FULL])

    def _sample(self, time_s: int, true: float, check: int) -> list[int]:
        """One sample, judged. Returns the codes that were raised."""
        readings, cover = self._bin.echoes(time_s, true, self._settings["echoes"])
        tilt_deg = LID_DEGREES if cover == "lid" else 0
        half_c = round(2 * self._bin.celsius(time_s))
        fill, distance_mm, flags = level(
            readings, half_c, a02yyuw.REFERENCE_C, a02yyuw.NEAREST_MM,
            posture(tilt_deg, self._settings["lid_deg"]), self._settings,
        )  # fmt: skip
        if not check:
            self._count_level(fill, flags, true, cover)
        found = self._judge.sample(time_s, fill, distance_mm, half_c, tilt_deg, flags, None, alike(readings))
        self._score.stuck_false += self._judge.stuck
        for code, state, _ in found:
            if code == events.FULL:
                self._said_full = state == events.RAISED
        return [code for code, state, _ in found if state == events.RAISED]

    def _count_level(self, fill: int, flags: int, true: float, cover: str) -> None:
        score = self._score
        if cover:
            score.covered += 1
            if fill in SPECIAL or flags:
                score.covered_told += 1
            elif abs(fill - true) > MARGIN:
                score.covered_wrong += 1
        elif fill in SPECIAL:
            score.unmeasured += 1
        if fill not in SPECIAL:
            score.errors.append(abs(fill - true))

    def _visit(self, true: float) -> None:
        limit = self._settings["full_percent"]
        self._score.visits += 1
        self._score.said_full_was_not += self._said_full and true < limit - MARGIN
        self._score.was_full_not_said += not self._said_full and true >= limit + MARGIN / 2

    def _count_emptyings(self, story: Story, told: list[int]) -> None:
        score = self._score
        left = list(told)
        for hour in story.emptied:
            fall = (story.levels[hour - 1] if hour else 0.0) - story.levels[hour]
            found = [each for each in left if hour <= each <= hour + LATEST_H]
            if found:
                left.remove(found[0])
            if fall >= LEAST_FALL:
                score.emptied += 1
                score.emptied_found += bool(found)
                score.emptied_soon += bool(found) and found[0] <= hour + SOON_H
            else:
                score.slight += 1
                score.slight_found += bool(found)
        score.emptied_false += len(left)

    def _count_fulls(self, story: Story, told: list[int]) -> None:
        """An episode: from the limit and some to the emptying; alarms a little before it are right too."""
        score, limit = self._score, float(self._settings["full_percent"])
        begin = None
        for hour, true in enumerate([*story.levels, 0.0]):
            if true >= limit + MARGIN / 5 and begin is None:
                begin = hour
            elif true < limit - MARGIN and begin is not None:
                if hour - begin > SOON_H:
                    score.full += 1
                    since = max([h for h in range(begin) if story.levels[h] < limit - MARGIN], default=-1)
                    score.full_found += any(since < each <= hour for each in told)
                begin = None
        score.full_false += sum(story.levels[each] < limit - MARGIN for each in told)


def _level_row(name: str, score: Score, attribution: str) -> dict[str, object]:
    errors = sorted(score.errors)
    return {
        "truth": SIMULATED,
        "levels": name,
        "bin_years": score.years,
        "samples": len(errors),
        "median_error_percent": errors[len(errors) // 2],
        "aim_median": AIM_MEDIAN,
        "p95_error_percent": _high(errors),
        "aim_p95": AIM_P95,
        "no_level_share": score.unmeasured / score.hours,
        "bag_wet_or_lid": score.covered,
        "told_share": score.covered_told / max(1, score.covered),
        "wrong_and_not_told": score.covered_wrong,
        "attribution": attribution,
    }


def _event_row(name: str, score: Score, attribution: str) -> dict[str, object]:
    return {
        "truth": SIMULATED,
        "events": name,
        "bin_years": score.years,
        "emptyings": score.emptied,
        "found_share": score.emptied_found / max(1, score.emptied),
        "aim": 0.98,
        "within_2_h_share": score.emptied_soon / max(1, score.emptied),
        "false_a_bin_year": score.emptied_false / score.years,
        "below_20_percent": f"{score.slight_found} of {score.slight}",
        "fulls": score.full,
        "fulls_found_share": score.full_found / max(1, score.full),
        "aim_fulls": 0.99,
        "false_fulls_a_bin_year": score.full_false / score.years,
        "taken_for_stuck": score.stuck_false,
        "crew_visits": score.visits,
        "said_full_was_not": score.said_full_was_not,
        "was_full_not_said": score.was_full_not_said,
        "attribution": attribution,
    }


def stuck_row(bins: int = STUCK_BINS) -> dict[str, object]:
    """Rangers that stick at a level that may be: when that is told, without an accelerometer and with one."""
    took_h: dict[bool, list[int]] = {False: [], True: []}
    for tilts in took_h:
        for number in range(bins):
            settings = _defaults() | {"empty_mm": EMPTY_MM, "full_mm": FULL_MM}
            bin_, judge = Bin(f"stuck/{number}", 0), new_judge(settings)
            readings: list[int] = []
            for hour in range(-48, 240):
                if hour < 0:
                    readings, _ = bin_.echoes((hour + 48) * HOUR_S, 50.0, settings["echoes"])
                elif not hour:
                    readings = [round(bin_.distance_mm(50.0))] * settings["echoes"]
                fill, distance_mm, flags = level(readings, 20, a02yyuw.REFERENCE_C, a02yyuw.NEAREST_MM, 0, settings)
                emptied = tilts and hour % EMPTIED_EACH_H == EMPTIED_EACH_H - 1
                for tilt_deg in (100, 0) if emptied else (0,):
                    shown = NO_ECHO if tilt_deg else fill
                    told = judge.sample(hour * HOUR_S, shown, distance_mm, 20, tilt_deg, flags, None, alike(readings))
                    took_h[tilts] += [hour for _, _, evidence in told if evidence.get(TROUBLE) == AT_DISTANCE | STUCK]
    return {
        "truth": SIMULATED, "stuck_rangers": bins, "told": len(took_h[False]),
        "before_they_stuck": sum(hour < 0 for hour in took_h[False] + took_h[True]),
        "slowest_h": max(took_h[False]), "with_a_tilt_a_day_slowest_h": max(took_h[True]),
    }  # fmt: skip


def fire_rows(rates: Sequence[float] = FIRE_RATES, phases: int = FIRES) -> Iterator[dict[str, object]]:
    """Fires among the looks at the temperature, and the same judge. phases: fires of each rate, lit at any moment."""
    for rate in rates:
        took_s = sorted(_told_after_s(rate, number) for number in range(phases))
        yield {
            "truth": SIMULATED, "fire_kelvin_a_minute": rate, "fires": len(took_s),
            "told_within_5_min_share": sum(0 <= each <= 300 for each in took_s) / len(took_s),
            "median_s": took_s[len(took_s) // 2], "slowest_s": took_s[-1],
            "before_it_was_lit": sum(each < 0 for each in took_s),
        }  # fmt: skip


def _told_after_s(rate: float, number: int) -> int:
    """Seconds from the lighting of a fire to its alarm at the gateway; an hour where none came."""
    settings = _defaults()
    dice = random.Random(f"fire/{rate}/{number}")  # noqa: S311
    bin_ = Bin(f"fire/{rate}/{number}", number % PROFILES)
    fire = levels_world.Fire(rate)
    judge = new_judge(settings)
    lit_s = 86_400 * number + dice.randrange(86_400)
    time_s = lit_s - 7200 + dice.randrange(settings["heat_s"])
    while time_s < lit_s + HOUR_S:
        for look_s in (time_s, time_s + RECHECK_S):
            before = judge.pack()[events.FIRE]
            half_c = min(250, round(2 * (bin_.celsius(look_s) + fire.rise_k(look_s - lit_s))))
            if any(code == events.FIRE for code, _, _ in judge.sample(look_s, None, None, half_c, None, 0, None)):
                return look_s + SENDING_S - lit_s
            if judge.pack()[events.FIRE] == before:
                break
        time_s = _next_look_s(time_s + LOOK_S, judge.heat_s)
    return HOUR_S


def _next_look_s(now_s: int, heat_s: int) -> int:
    """When a node wakes next: for a look, or for a sample on the full hour."""
    due_ms = _clock.next_due_ms(now_s * 1000, HOUR_S * 1000)
    return cast("tuple[int, int]", _clock.next_wake_s(int, now_s * 1000, due_ms, heat_s))[0]


def sun_row(lid: levels_world.Lid, days: int = 366, first_day: int = 0) -> dict[str, object]:
    """A year of looks at a bin in the sun: what is taken for a fire, and how often it looks sooner because it warms."""
    settings = _defaults()
    bin_, sun = Bin(lid.name, 0), levels_world.Sun(lid.name, lid)
    judge = new_judge(settings)
    time_s = first_day * 86_400
    found = looks = soon = 0
    shown: list[tuple[int, float]] = []
    steepest = 0.0
    while time_s < (first_day + days) * 86_400:
        kelvin = bin_.celsius(time_s) + sun.kelvin(time_s)
        told = judge.sample(time_s, None, None, round(2 * kelvin), None, 0, None)
        found += sum(code == events.FIRE and state == events.RAISED for code, state, _ in told)
        shown = [each for each in shown if time_s - each[0] <= events.RISE_S + LOOK_S] + [(time_s, kelvin)]
        steepest = max(steepest, kelvin - shown[0][1])
        looks += 1
        soon += judge.heat_s < settings["heat_s"]
        time_s = _next_look_s(time_s + LOOK_S, judge.heat_s)
    return {
        "truth": SIMULATED, "sun_on": lid.name, "bin_years": days / 365.25, "false_fires": found,
        "steepest_kelvin_in_4_min": steepest, "limit_kelvin": settings["fire_rise_c"],
        "looks_a_day": looks / days, "of_these_in_haste": soon / days,
    }  # fmt: skip


def _high(ordered: list[float]) -> float:
    """The 95th percentile."""
    return ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)]


def _defaults() -> dict[str, int]:
    return cast("dict[str, int]", cast(Any, config).parse("{}")[0])


def _wyndham(folder: Path) -> Iterator[Story]:
    """Each run of days without a gap of a bin. An alert at level 0 is a sensor fault: no day."""
    taken: dict[str, list[tuple[int, int]]] = {}
    with gzip.open(folder / "wyndham_bins" / "levels_dev.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            tenths = int(row["level_tenths"])
            if row["reason"] != "ALERT" or tenths:
                day = datetime.fromisoformat(row["date"]).replace(tzinfo=timezone.utc)  # noqa: UP017
                taken.setdefault(row["bin"], []).append((int(day.timestamp()), tenths))
    for name, found in taken.items():
        run: list[tuple[int, int]] = []
        for day in [*sorted(found), (1 << 40, 0)]:
            if run and day[0] - run[-1][0] > LONGEST_GAP_S:
                if len(run) > 1:
                    yield levels_world.from_days(
                        f"{name}/{run[0][0]}", run[0][0], [t for _, t in run], f"{name}/{run[0]}"
                    )
                run = []
            run.append(day)


def _dtu_rows(folder: Path) -> Iterator[dict[str, object]]:
    """The recorded distances themselves, one echo a sample, through level and judge."""
    taken: dict[str, list[tuple[int, int]]] = {}
    with gzip.open(folder / "dtu_lora_bins" / "uplinks_dev.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            time_s = int(datetime.fromisoformat(row["received_utc"].replace("Z", "+00:00")).timestamp())
            found = taken.setdefault(row["node"], [])
            if not found or time_s - found[-1][0] > 2:
                found.append((time_s, int(row["distance_cm"]) * 10 or NO_ECHO))
    for node, found in taken.items():
        settings = _defaults() | {"echoes": 1, "empty_mm": 1000, "full_mm": 100}
        judge = new_judge(settings)
        told: list[tuple[int, int]] = []
        levels = flagged = stuck = 0
        for time_s, reading in found:
            fill, distance_mm, flags = level([reading], 40, a02yyuw.REFERENCE_C, a02yyuw.NEAREST_MM, 0, settings)
            levels += fill not in SPECIAL
            flagged += flags != 0
            still_mm = None if reading == NO_ECHO else reading  # as if a sample had heard it more than once
            said = judge.sample(time_s, fill, distance_mm, NOT_FITTED, None, flags, None, still_mm)
            told += [each[:2] for each in said]
            stuck += judge.stuck
        gaps = sorted(after[0] - before[0] for before, after in pairwise(found))
        expected = (found[-1][0] - found[0][0]) / gaps[len(gaps) // 2] + 1
        yield {
            "recorded_distances": f"DTU node {node}",
            "readings": len(found),
            "lost_on_air_share": 1 - len(found) / expected,
            "no_echo_share": sum(reading == NO_ECHO for _, reading in found) / len(found),
            "levels": levels,
            "flagged": flagged,
            "emptied": sum(code == events.EMPTIED for code, _ in told),
            "full": told.count((events.FULL, events.RAISED)),
            "taken_for_stuck": stuck,
            "sensor_faults": told.count((events.SENSOR_FAULT, events.RAISED)),
            "attribution": "AndreCL/Smart-trash, MIT licence, (c) 2016 Andre",
        }
