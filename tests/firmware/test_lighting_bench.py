"""The street of `kerb bench lighting`: jumping from event to event is walking, on both runtimes, and its sums are right."""

import json
import random
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from kerbnode.lamp import schedule
from kerbtools.bench.lighting import centre, count, ladder, least, nights, rows
from kerbtools.bench.lighting.people import CYCLISTS, GROUP, PER_ARRIVAL, Person, arrivals
from kerbtools.bench.lighting.street import LAMP_W, NO_FAULTS, STANDBY_W, Faults, Street, lux_at, power_w
from kerbtools.emulator import interpreter
from kerbwire.waves import Wave

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent

NOON_S = 1561032000  # 2019-06-20 12:00 UTC
BUSIER = (127, 101, 1231, 0, 1439, 60, 20)


def night(per_hour: float, columns: int = 3, faults: Faults = NO_FAULTS, **changes: int) -> nights.Night:
    return nights.Night(
        f"test {per_hour}", ladder.BRISTOL, NOON_S, (per_hour,) * 24, (100,) * 24, frozenset(range(12, 17)),
        nights.Settings(**changes), faults, (BUSIER,), (0,), columns,
    )  # fmt: skip


def people_of(what: nights.Night, street: Street, start_s: int, end_s: int) -> list[Person]:
    return arrivals(what.seed, start_s, end_s, lambda _: what.per_hour[0], street.columns[-1].x_m)


SAMPLE = {  # a night; dusk or dawn of it, seconds from there and how many: the part that is walked
    "quiet": (night(40), 0, -300, 900),
    "faults": (night(120, faults=Faults(0.02, 0.05, 0.3, 600)), 0, -600, 1500),
    "busy": (night(900, ahead=1, hold_ms=5000), 0, 0, 700),
    "dawn": (night(60, faults=Faults(0.02, 0.05, 0, 600)), 1, -900, 1500),
}


@pytest.mark.parametrize("name", SAMPLE)
def test_from_event_to_event_is_the_same_as_ten_times_a_second(name: str) -> None:
    what, edge, from_s, for_s = SAMPLE[name]
    start_s = nights.dusk_and_dawn(what.noon_s, what.place)[edge] + from_s
    jumped, walked = nights.street_of(what), nights.street_of(what)
    people = people_of(what, jumped, start_s, start_s + for_s)
    jumped.run(start_s, start_s + for_s, people)
    walked.walk(start_s, start_s + for_s, people)
    assert [column.shown for column in jumped.columns] == [column.shown for column in walked.columns]
    assert [column.told for column in jumped.columns] == [column.told for column in walked.columns]
    assert sum(len(column.shown) for column in jumped.columns) > 5


def test_micropython_shows_the_same_to_the_second(tmp_path: Path) -> None:
    """One column of a busy street through dusk: the same inputs to the same source on the boards' runtime."""
    what = night(100, 4)
    dusk_s = nights.dusk_and_dawn(what.noon_s, what.place)[0]
    start_s, end_s = (dusk_s - 120) // 60 * 60, dusk_s + 900
    street = nights.street_of(what)
    column = street.columns[1]
    heard: list[list[object]] = []
    take = column.waves.heard

    def listen(member: int, wave: Wave, now_ms: int) -> object:
        heard.append([now_ms, member, [getattr(wave, row[1]) for row in wave.ROWS]])
        return take(member, wave, now_ms)

    column.waves.heard = listen
    people = people_of(what, street, start_s, end_s)
    street.run(start_s, end_s, people)
    told = nights.street_of(what).edges(start_s, people)
    inputs = {
        "settings": nights.lamp_settings(what.place, what.settings), "rules": [list(BUSIER)], "zone": [0],
        "below": [1], "above": [3, 4], "start_s": start_s, "seconds": end_s - start_s, "heard": heard,
        "lux": [lux_at(start_s + second, what.place) for second in range(end_s - start_s)],
        "edges": [[at_ms, seen] for at_ms, seen, place in told if place == 1],
    }  # fmt: skip
    (tmp_path / "inputs.json").write_text(json.dumps(inputs))
    done = subprocess.run(
        [*interpreter.command(), "-X", "heapsize=4M", str(TESTS / "firmware" / "lamp_walk.py"), str(tmp_path / "inputs.json")],
        env={"MICROPYPATH": f"{ROOT / 'protocol'}:{ROOT / 'firmware'}:.frozen"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    shown = [[at_ms, target] for at_ms, _, _, target in column.shown if at_ms < (end_s - start_s) * 1000]
    *ramps, told_there = [json.loads(line) for line in done.stdout.splitlines()]
    assert ramps == shown and len(shown) > 10
    assert told_there == column.told > 10 and len(heard) > 10


def test_sums_are_those_of_a_walk_second_by_second() -> None:
    what = night(120, faults=Faults(0.2, 0.2, 0, 0), hold_ms=3000, ahead=1)
    dusk_s, _ = nights.dusk_and_dawn(what.noon_s, what.place)
    street = nights.street_of(what)
    people = people_of(what, street, dusk_s, dusk_s + 2400)
    street.run(dusk_s, dusk_s + 2400, people)
    needs = [(0, 1_200_000, 100), (1_200_000, 2_400_000, 60)]
    got = count.Count()
    count.add(got, street.columns, people, dusk_s, needs, (dusk_s, dusk_s + 2400), 0, 20)

    def level(place: int, at_ms: float) -> float:
        begin, low, end, high = [ramp for ramp in street.columns[place].shown if ramp[0] <= at_ms][-1]
        return high if at_ms >= end else low + (high - low) * (at_ms - begin) / (end - begin)

    stood = dark = around = 0
    for person in people:
        for half in range(120, 4680):
            x = person.at(dusk_s + half / 2)
            if 0 < x < 70:
                needed = needs[half >= 2400][2]
                stood += 1
                dark += level(round(x / 35), half * 500) < needed
                around += any(level(place, half * 500) < needed for place in (int(x // 35), int(x // 35) + 1))
    assert got.person_s == pytest.approx(stood / 2, rel=0.04)  # whoever is half way at an end is left out
    assert got.dark_s == pytest.approx(dark / 2, rel=0.05, abs=8) and got.dark_s > 20
    assert got.around_s == pytest.approx(around / 2, rel=0.05, abs=8) and got.around_s > got.dark_s


def test_energy_and_the_least_of_it() -> None:
    assert power_w(0) == STANDBY_W and power_w(100) == LAMP_W and power_w(20) == 30 * (0.05 + 0.95 * 0.2)
    shown = [(0, 0, 0, 100), (3_600_000, 100, 3_600_000, 20)]
    assert count.energy_wh(shown, 0, 7_200_000) == pytest.approx(power_w(100) + power_w(20))
    street = nights.street_of(night(0, 1))
    walker = Person(1000, -70.0, 1.4)  # within 35 m of the column for 50 s
    found = count.least_wh(street.columns, [walker, Person(1001, -70.0, 1.4)], 0, [(0, 3_600_000, 100)], 20, 35.0)
    assert found == pytest.approx(power_w(20) + (power_w(100) - power_w(20)) * 51 / 3600)


def test_a_ramp_is_dark_until_it_passes_what_is_needed() -> None:
    shown = [(0, 0, 0, 20), (10_000, 20, 10_800, 100), (20_000, 100, 26_400, 20)]
    assert count.dark_spans(shown, [(0, 30_000, 60)]) == [(0, 10_000), (10_000, 10_400), (23_200, 30_000)]
    assert count.dark_spans(shown, [(0, 15_000, 20), (15_000, 30_000, 100)]) == [(20_000, 30_000)]


def test_what_is_seen_from_a_window() -> None:
    shown = [
        (0, 0, 100, 20),
        (1000, 20, 1400, 100),
        (2000, 100, 8000, 20),
        (2100, 95, 2200, 100),
        (9000, 100, 9500, 20),
    ]
    assert count.switchings(shown) == 2  # on and up is one rise; a dip of 5 % is not seen; down


def test_people_come_at_the_rate_and_in_the_groups_that_they_should() -> None:
    people = arrivals("rate", 0, 500 * 3600, lambda _: 30.0, 600.0)
    assert len(people) == pytest.approx(15_000, rel=0.03)
    assert sum(abs(person.speed_mps) > 2 for person in people) / len(people) == pytest.approx(
        CYCLISTS / PER_ARRIVAL, rel=0.1
    )
    assert sum(size * share for size, share in enumerate(GROUP, 1)) == pytest.approx(2.0)


def test_a_night_of_the_quiet_path_keeps_the_aims() -> None:
    what = replace(night(3, nights.COLUMNS, Faults(clock_off_s=600)), rules=())
    got = nights.run(what)
    assert 100 * (1 - got.wh / got.full_wh) > 65 and got.wh > got.least_wh
    assert got.dark_s <= 0.005 * got.person_s and got.day_lit_s == 0 and got.person_s > 1000
    own, full, ahead = (
        sorted(spans)[len(spans) * 99 // 100] for spans in (got.own_ms, got.own_full_ms, got.ahead_full_ms)
    )
    assert own <= 200 and full <= 800 and ahead <= 1100
    row = rows._row(rows.Street("path", "all faults", [what]), got)
    assert row["saving_percent"] > 65 and 0.8 < row["share_of_it"] < 1 and row["switchings_a_lamp_night"] < 100
    assert row["saving_of_half_nights"] < row["saving_percent"] < row["most_possible"]
    assert rows._summary("all", [got, got])["saving_median"] == row["saving_percent"]
    assert rows._response(rows.Street("path", "", []), got)["own_column_is_full_s_p99"] == full / 1000


@pytest.mark.skipif(not centre.recorded().exists(), reason="recorded counts lie beside a source checkout only")
def test_a_calendar_says_what_most_nights_of_other_weeks_need() -> None:
    name, date = "8 Darby Street EW", datetime(2019, 5, 14)
    rules = [list(rule) for rule in centre.plan(name, date, 90, 20)]
    assert 4 < len(rules) <= schedule.MAX_RULES
    made = centre.night(name, date, nights.Settings(), NO_FAULTS)
    planned = [schedule.levels(rules, list(centre.LAMP_ZONE), NOON_S + 3600 * hour, 100, 20)[0] for hour in range(168)]
    assert set(planned) == {60, 75, 100}
    assert len(made.per_hour) == 24 and [centre.required(people) for people in made.per_hour] == list(made.required)
    assert 0 < least.expected(centre.counters()[name], [date], least.READINGS[0]) < 75


def test_calendar_spans_are_painted_over_each_other() -> None:
    dice = random.Random(1)
    for _ in range(200):
        levels = [dice.choice((60, 75, 100)) for _ in range(24)]
        shown = [100] * 24
        for level, begin, end in centre._painted(levels):
            shown[begin:end] = [level] * (end - begin)
        assert shown == levels
        before = list(levels)
        if min(levels) < 100:
            centre._simplify([levels])
            assert all(new >= old for new, old in zip(levels, before, strict=True)) and levels != before


def test_a_month_of_the_night_without_clock_and_cell_burns_no_day_and_is_not_dark() -> None:
    month = ladder.Trouble("both", None, 0, 10 * 86400, 20 * 86400)
    day_lit_s, night_dark_s, lit_s = ladder.year(ladder.BRISTOL, month, 600, 30)
    assert night_dark_s == 0 and lit_s > 400 * 3600
    assert day_lit_s <= 10 * 3600  # the covered cell is found out within two hours of a day
