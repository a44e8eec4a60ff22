"""No way by fault or silence to dark at night or to burning by day: every combination of what can fail, over three days.

The control is the node's own, whole: photocell, ladder, calendar, presence, waves, commands. What fails is every clock
with every photocell, place, supply and calendar, from the start or after two days; and every presence sensor with every
neighbour and gateway. A cell that is partly covered is walked beside clocks off by minutes and hours, in three seasons.
"""

import itertools
import math
from functools import cache
from typing import Any

import pytest

from kerbnode.lamp import astro, control
from kerbnode.lamp.lamp import Lamp
from kerbnode.lamp.night import CELL, COVERED, LEARNT, LONGEST_DAY_S, LONGEST_NIGHT_S, SUN, SUPPLY, UNKNOWN, Night
from kerbnode.lamp.photocell import SETTLE_S, Photocell
from kerbtools.bench.lighting.ladder import BRISTOL
from kerbtools.bench.lighting.nights import Settings, lamp_settings
from kerbtools.bench.lighting.street import lux_at, remembered
from kerbwire import commands
from kerbwire.channels import FAULT, NOT_FITTED

NOON_S = 1774180800  # 2026-03-22 12:00 UTC
STEP_S = 1800
FAILS_S, END_S = 48 * 3600, 96 * 3600
HOURS_OFF = {
    "an hour slow": -1, "an hour fast": 1, "three hours slow": -3, "four hours fast": 4, "seven hours slow": -7,
    "half a day off": 12,
}  # fmt: skip
NIGHT_DEGREES, DAY_DEGREES = -8.0, 4.0  # where a cell is believed against the sun, and ten minutes of a clock, wider
FOUND_S = 3 * 3600  # after it began to contradict a full day, a covered cell is found out

CLOCKS = ("right", "ten minutes slow", "ten minutes fast", "lost", "never set", *HOURS_OFF)
CELLS = {"right": None, "covered": 0, "in a light": 500, "silent": FAULT, "not fitted": NOT_FITTED}
PLACES = ("known", "unknown")
SUPPLIES = ("permanent", "switched")
POLICIES = ("lit", "dark", "dark, exempt")
SENSORS = ("nobody", "somebody", "stuck on", "silent", "not fitted")
NEIGHBOURS = ("silent", "a storm of waves")
GATEWAYS = ("silent", "put it out for an hour at noon and at midnight")
DARK = [[127, 101, 1231, 0, 1440, 0, 0]]

SHARES = (1.0, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.003)  # of the light that comes through leaves and dirt to the cell
MINUTES_OFF = (0, -10, 10, -30, 30, -60, 60, -120, 120, -180, 180, -300, 300, -480, 480, 720)
SEASONS_S = tuple(NOON_S + days * 86400 for days in (0, 91, 275))  # March, June, December
COVER_STEP_S, COVER_DAYS = 1200, 6
COST_DAYS, COST_H = 4, 16  # a cover costs light by day on so many days after a start, and so many hours in all


@cache
def degrees(utc_s: int) -> float:
    return math.degrees(math.asin(astro.sun_height(utc_s, *BRISTOL) / astro.ONE))


class Walk:
    """Four days of one lamp; check() is asked at each step."""

    def __init__(self, clock: str, cell: str, place: str, supply: str, policy: str) -> None:
        settings: dict[str, Any] = lamp_settings(BRISTOL, Settings())
        if place == "unknown":
            settings["latitude"] = settings["longitude"] = None
        settings["supply_switched"] = int(supply == "switched")
        settings["exempt"] = int(policy == "dark, exempt")
        self.clock, self.cell, self.policy = clock, cell, policy
        self.fits_cell = cell != "not fitted"
        self.lamp = Lamp(settings, [] if policy == "lit" else DARK, [0], False)
        self.floor = settings["floor"]
        self.lit_by_day_s = 0  # since the last dark step

    def utc(self, now_s: int, fails: bool) -> int | None:
        if self.clock == "never set" or (self.clock == "lost" and fails):
            return None
        off_s = {"ten minutes slow": -600, "ten minutes fast": 600}.get(self.clock, 0) if fails else 0
        off_s += HOURS_OFF.get(self.clock, 0) * 3600 if fails else 0
        return NOON_S + now_s + off_s

    def run(self, fails_from_s: int) -> None:
        for now_s in range(0, END_S, STEP_S):
            fails = now_s >= fails_from_s
            truth = lux_at(NOON_S + now_s, BRISTOL)
            told = CELLS[self.cell]
            lux = truth if told is None or (not fails and self.fits_cell) else told
            self.lamp.sense(lux, now_s)
            self.lamp.sense(lux, now_s + SETTLE_S)  # and all the time in between
            utc_s = self.utc(now_s, fails)
            self.lamp.judge(now_s + SETTLE_S, utc_s)
            self.lamp.tick(False, 1000 * (now_s + SETTLE_S))
            self.check(now_s, utc_s, self.lamp.target)

    def check(self, now_s: int, utc_s: int | None, level: int) -> None:
        lamp, night = self.lamp, self.lamp.night
        said = f"{now_s / 3600:.1f} h, {night.source=} {night.faults=} {lamp.state=}"
        if degrees(NOON_S + now_s) < NIGHT_DEGREES:
            borne_out = not night.doubts or lamp.cell.is_dark is None
            if self.policy == "dark" and utc_s is not None and borne_out:
                by_lie = self.believes_a_lie(now_s) or self.has_no_witness(now_s)
                assert level == 0 and (lamp.state == control.DARK or by_lie), said
                return
            assert level >= self.floor or self.believes_a_lie(now_s) or self.has_no_witness(now_s), said
        elif degrees(NOON_S + now_s) > DAY_DEGREES:
            self.lit_by_day_s = self.lit_by_day_s + STEP_S if lamp.target else 0
            if not lamp.target:
                return
            if self.clock in HOURS_OFF and night.source == SUN and utc_s is not None:
                assert night._height(utc_s) < night._heights[0] + 4 * 572, said  # it is night by that clock
                return
            if night.source == CELL:  # covered, and not found out yet: by the day learnt, or by a night that never ends
                known = now_s - lamp.cell.since_s <= LONGEST_NIGHT_S
                assert self.cell == "covered" and known and self.lit_by_day_s <= 13 * 3600, said
            elif night.source == LEARNT:
                assert self.lit_by_day_s <= FOUND_S, said
            else:  # nothing says that it is day
                assert night.source in (UNKNOWN, SUPPLY), said
                doubted = night.source == SUPPLY and night.doubts and lamp.cell.is_dark is not False
                assert utc_s is None or lamp.night._place is None or doubted, said
                assert night.source == SUPPLY or night.faults or lamp.cell.is_dark is None, said

    def has_no_witness(self, now_s: int) -> bool:
        """A clock that is hours wrong, and no cell that could say so: it takes two faults."""
        return self.clock in HOURS_OFF and self.cell != "right" and self.lamp.night.source == SUN

    def believes_a_lie(self, now_s: int) -> bool:
        """A cell in a light, without a clock: within an hour of the learnt dusk, or of a day where none was learnt."""
        night, cell = self.lamp.night, self.lamp.cell
        if self.cell != "in a light" or night.source != CELL:
            return False
        if night._learnt(now_s) is None:
            return now_s - cell.since_s < LONGEST_DAY_S
        return not night._learnt(now_s - 3600)


COMBINATIONS = list(itertools.product(CLOCKS, CELLS, PLACES, SUPPLIES, POLICIES))


@pytest.mark.parametrize("fails_from_s", [0, FAILS_S], ids=["from the start", "after two days"])
def test_whatever_fails_of_clock_cell_place_and_supply(fails_from_s: int) -> None:
    sources: set[int] = set()
    with remembered():
        for combination in COMBINATIONS:
            walk = Walk(*combination)
            try:
                walk.run(fails_from_s)
            except AssertionError as error:
                raise AssertionError(f"{', '.join(combination)}: {error}") from None
            sources.add(walk.lamp.night.source)
    assert len(COMBINATIONS) == 660 and len(sources) == 5 - (fails_from_s == 0)  # every rung was stood upon


def cover(share: float, minutes_off: int, from_s: int) -> tuple[list[float], float, int]:
    """Hours lit by day, day by day; hours dark by night; faults that it told."""
    cell = Photocell(70, 35)
    night = Night(cell, *BRISTOL, -20, -30, False)
    burnt, dark_h, faults = [0.0] * COVER_DAYS, 0.0, 0
    for now_s in range(0, COVER_DAYS * 86400, COVER_STEP_S):
        lux = int(lux_at(from_s + now_s, BRISTOL) * share)
        cell.sample(lux, 0, now_s)
        cell.sample(lux, 0, now_s + SETTLE_S)
        is_night = night.decide(now_s + SETTLE_S, from_s + now_s + 60 * minutes_off)
        faults |= night.faults
        height = degrees(from_s + now_s)
        if height > DAY_DEGREES and is_night:
            burnt[now_s // 86400] += COVER_STEP_S / 3600
        elif height < NIGHT_DEGREES and not is_night:
            dark_h += COVER_STEP_S / 3600
    return burnt, dark_h, faults


def test_a_partly_covered_cell_beside_any_clock() -> None:
    costly = 0
    with remembered():
        for share, minutes_off, season_s, start_h in itertools.product(SHARES, MINUTES_OFF, SEASONS_S, (0, 12)):
            burnt, dark_h, faults = cover(share, minutes_off, season_s + 3600 * start_h)
            said = f"{share=} {minutes_off=} {season_s=} {start_h=}: {burnt} {dark_h}"
            if share == 1 or abs(minutes_off) <= 10:
                assert not dark_h, said
            else:  # clock and cell are wrong: by no more than the clock is, and it is told
                assert dark_h <= COVER_DAYS * abs(minutes_off) / 60 and (not dark_h or faults & COVERED), said
            if abs(minutes_off) <= 10:
                assert not any(burnt[COST_DAYS:]) and sum(burnt) <= COST_H, said
                assert faults & COVERED or sum(burnt) <= 1, said
                costly += sum(burnt) > 1
    assert costly > 50


def test_whatever_fails_of_sensor_neighbours_and_gateway() -> None:
    for sensor, neighbour, gateway, clock in itertools.product(SENSORS, NEIGHBOURS, GATEWAYS, ("right", "never set")):
        settings = lamp_settings(BRISTOL, Settings())
        lamp = Lamp(settings, [], [0], sensor != "not fitted")
        active = {"nobody": False, "not fitted": False, "silent": None}.get(sensor, True)
        high = 0
        for now_s in range(0, 36 * 3600, 300):
            lux = lux_at(NOON_S + now_s, BRISTOL)
            lamp.sense(lux, now_s)
            lamp.sense(lux, now_s + SETTLE_S)
            lamp.judge(now_s + SETTLE_S, NOON_S + now_s if clock == "right" else None)
            if neighbour != "silent":
                lamp.light_up(100, 600, 1000 * now_s)
            put_out = gateway != "silent" and now_s % (12 * 3600) < 3600
            if put_out and now_s % (12 * 3600) == 0:
                lamp.command(commands.OPERATOR, now_s, now_s + 1, 0, now_s + 3600)
            level = lamp.tick(active, 1000 * (now_s + SETTLE_S))
            said = f"{sensor}, {neighbour}, {gateway}, {clock}, {now_s / 3600:.1f} h: {control.STATES[lamp.state]}"
            if degrees(NOON_S + now_s) < NIGHT_DEGREES and not put_out:
                assert lamp.target >= settings["floor"], said
                high += lamp.target == 100
            elif degrees(NOON_S + now_s) < NIGHT_DEGREES:
                assert lamp.state == control.OPERATOR and lamp.target == 0, said
            elif degrees(NOON_S + now_s) > DAY_DEGREES:
                assert lamp.target == 0 and (level == 0 or not now_s), said  # the driver begins at full light
        if sensor in ("somebody", "stuck on", "silent") or neighbour != "silent":
            assert high > 50, f"{sensor}, {neighbour}"


def test_a_cell_that_is_mended_is_believed_again_without_a_clock() -> None:
    lamp = Lamp(lamp_settings(BRISTOL, Settings()), [], [0], False)
    for now_s in range(0, 120 * 3600, STEP_S):
        covered = 0 <= now_s < 30 * 3600
        lux = 0 if covered else lux_at(NOON_S + now_s, BRISTOL)
        lamp.sense(lux, now_s)
        lamp.sense(lux, now_s + SETTLE_S)
        lamp.judge(now_s + SETTLE_S, None)
        lamp.tick(False, 1000 * (now_s + SETTLE_S))
        if 21 * 3600 < now_s < 30 * 3600:
            assert lamp.night.faults == COVERED and lamp.night.source == UNKNOWN and lamp.target
        if now_s > 48 * 3600 and degrees(NOON_S + now_s) > DAY_DEGREES:
            assert lamp.night.source == CELL and not lamp.target, now_s / 3600
