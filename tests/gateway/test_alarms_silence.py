"""Silence: of single nodes, of a feeder, of a place; switched supplies, links that are down, a full district."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alarms_harness import DARK, LATITUDE, LIT, LONGITUDE, AlarmRig
from gateway_harness import START

from kerbgate.alarms import grouping, kinds
from kerbgate.alarms.grouping import Parent, Single
from kerbgate.alarms.hearing import Hearing
from kerbgate.alarms.places import Place, Places, clusters
from kerbtools.simulate import SimulatedNode
from kerbwire.channels import BATTERY, FILL, QUALITY, TEMPERATURE
from kerbwire.events import RAISED, SUPPLY_LOW, WARNING

QUARTER = 900
SUNRISE = START + 6 * 3600 + 50 * 60  # at the harness' place, to a few minutes


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AlarmRig]:
    made = AlarmRig(tmp_path)
    yield made
    made.close()
    made.registry.close()


def live(rig: AlarmRig, lamps: list[SimulatedNode], seconds: float, values: Any = LIT) -> None:
    """Lamps report each quarter of an hour, spread over it, and the watch looks."""
    end = rig.clock.now + seconds
    while rig.clock.now < end:
        for number, lamp in enumerate(lamps):
            if number % 30 == int((rig.clock.now - START) % QUARTER) // 30:
                rig.report(lamp, values() if callable(values) else values)
        rig.pass_time(30)


def test_a_lamp_that_falls_silent_is_told_once_and_when_it_is_back(rig: AlarmRig) -> None:
    lamps = [rig.lamp(801, number=0, supply="permanent"), rig.lamp(802, number=1, supply="permanent")]
    live(rig, lamps, 2 * 3600)
    last = rig.clock.now
    live(rig, lamps[1:], 2 * 3600)
    assert rig.told() == [("lamp silent", "raised")]
    body = rig.waiting()[0].body
    assert body["subject"] == {"type": "node", "name": 801} and body["route"] == "communications"
    since = rig.query("SELECT since FROM alarm")[0][0]
    assert last - QUARTER <= since <= last
    live(rig, lamps, 1800)
    assert rig.told() == [("lamp silent", "raised"), ("lamp silent", "cleared")]


def test_a_bin_that_reports_once_a_day_may_be_silent_for_a_day(rig: AlarmRig) -> None:
    node = rig.bin(17)
    values = {FILL: 20, TEMPERATURE: 22, QUALITY: 0, BATTERY: 360}
    for day in range(6):
        for hour in range(24):
            node.take_values(START + day * 86_400 + hour * 3600, values)
        rig.exchange(node)
        rig.pass_time(86_400, 3600)
        assert rig.told() == []
    rig.pass_time(3 * 86_400, 3600)
    assert rig.told() == [("silent", "raised")]


def test_the_interval_is_the_nodes_own() -> None:
    hearing = Hearing()
    assert hearing.limit_s(1, "lamp") == 2 * 3600 and hearing.limit_s(2, "bin") == 50 * 3600
    for number in range(5):
        hearing.heard(1, "lamp", number * 900.0)
        hearing.heard(2, "bin", number * 3600.0)
        hearing.heard(3, "lamp", number * 1800.0)
    assert hearing.limit_s(1, "lamp") == 45 * 60 and hearing.limit_s(2, "bin") == 26 * 3600
    assert hearing.limit_s(3, "lamp") == 3 * 1800
    hearing.heard(1, "lamp", 4 * 900.0 + 40_000)  # an outage of eleven hours teaches little
    assert hearing.limit_s(1, "lamp") == 3 * 45 * 60
    for number in range(20):
        hearing.heard(1, "lamp", 4 * 900.0 + 40_000 + number)  # a backlog: no interval
    assert hearing.limit_s(1, "lamp") == 3 * 45 * 60
    hearing.heard(4, "lamp", 0.0, 95 * 900)  # a night in one report: it speaks once a day
    assert hearing.limit_s(4, "lamp") == 3 * 95 * 900


def test_a_gateway_that_was_off_blames_no_node_and_remembers_who_was_silent(rig: AlarmRig) -> None:
    lamps = [rig.lamp(801, number=0, supply="permanent"), rig.lamp(802, number=1, supply="permanent")]
    live(rig, lamps, 3600)
    live(rig, lamps[1:], 2700)  # 801 is silent for less than it may be
    rig.close()
    rig.clock.now += 3 * 86_400
    rig.mono = 50.0
    rig.open()
    rig.pass_time(4000)
    assert [subject for _, subject, _ in rig.states()] == []
    rig.pass_time(3300)
    assert [subject for _, subject, _ in rig.states()] == ["node:801", "node:802"]


def test_one_power_cut_of_200_lamps_is_one_alarm_and_clears_as_one(rig: AlarmRig) -> None:
    lamps = [rig.lamp(1000 + n, number=n, supply="permanent", feeder="Quay 3/L2") for n in range(200)]
    others = [rig.lamp(2000 + n, number=300 + n, supply="permanent", feeder="Quay 4") for n in range(5)]
    live(rig, lamps + others, 5 * QUARTER)
    live(rig, others, 6 * QUARTER)
    first = rig.waiting()
    assert {(letter.body["kind"], letter.body["state"]) for letter in first} == {("power cut", "raised")}
    assert {letter.body["alarm"] for letter in first} == {first[0].body["alarm"]} and len(first) <= 3
    assert [alarm["member_count"] for alarm in rig.alarms(kind="power cut")] == [200]
    assert first[0].body["subject"] == {"type": "feeder", "name": "Quay 3/L2"}
    assert first[0].topic == "feeder/Quay_3_L2" and first[0].body["route"] == "network operator"
    assert {state for kind, _, state in rig.states() if kind == "lamp silent"} == {"grouped"}
    live(rig, lamps + others, 2 * QUARTER)
    told = rig.told()
    assert told[len(first) :] == [("power cut", "cleared")] and rig.states() == []
    assert rig.waiting()[-1].body["member_count"] == 200 and len(rig.waiting()[-1].body["members"]) == 200


def test_those_that_stay_dark_after_a_power_cut_are_told_each(rig: AlarmRig) -> None:
    lamps = [rig.lamp(1000 + n, number=n, supply="permanent", feeder="F1") for n in range(20)]
    live(rig, lamps, 5 * QUARTER)
    live(rig, [], 6 * QUARTER)
    live(rig, lamps[2:], 3 * QUARTER)
    assert rig.states() == [("lamp silent", "node:1000", "raised"), ("lamp silent", "node:1001", "raised")]
    assert rig.told() == [
        ("power cut", "raised"), ("lamp silent", "raised"), ("lamp silent", "raised"), ("power cut", "cleared"),
    ]  # fmt: skip


def test_lamps_that_tell_a_low_supply_are_one_power_cut_within_minutes(rig: AlarmRig) -> None:
    lamps = [rig.lamp(1000 + n, number=n, feeder="F1") for n in range(10)]
    for lamp in lamps:
        rig.event(lamp, SUPPLY_LOW, WARNING, RAISED)
        rig.pass_time(5, 5)
    rig.pass_time(300, 10)
    assert rig.told() == [("power cut", "raised")]
    assert rig.waiting()[0].body["member_count"] == 10


def test_without_a_feeder_place_and_time_say_what_belongs_together(rig: AlarmRig) -> None:
    street = [rig.lamp(1000 + n, number=n, supply="permanent") for n in range(8)]
    far = [rig.lamp(2000 + n, number=500 + n, supply="permanent") for n in range(3)]
    live(rig, street + far, 5 * QUARTER)
    live(rig, [], 6 * QUARTER)
    told = rig.told()
    assert told.count(("power cut", "raised")) == len({b["alarm"] for b in _bodies(rig, "power cut")}) == 1
    assert told.count(("lamp silent", "raised")) == 3  # three far away are three single faults
    assert _bodies(rig, "power cut")[0]["subject"] == {"type": "around", "name": "1000"}


def _bodies(rig: AlarmRig, kind: str) -> list[dict[str, Any]]:
    return [letter.body for letter in rig.waiting() if letter.body.get("kind") == kind]


def test_a_switched_feeder_goes_dark_each_morning_and_that_is_no_fault(rig: AlarmRig) -> None:
    lamps = [rig.lamp(1000 + n, number=n, supply="switched", feeder="F1") for n in range(6)]
    for _ in range(2):
        live(rig, lamps, _until(rig, SUNRISE) or QUARTER)
        live(rig, [], 11 * 3600)  # the day
        live(rig, lamps, 12 * 3600)
    assert rig.told() == []
    live(rig, [], 4 * 3600)  # into the next day
    assert rig.told() == []


def _until(rig: AlarmRig, moment: float) -> float:
    return max((moment - rig.clock.now) % 86_400, 0)


def test_a_switched_feeder_that_stays_dark_at_night_is_a_power_cut(rig: AlarmRig) -> None:
    lamps = [rig.lamp(1000 + n, number=n, supply="switched", feeder="F1") for n in range(6)]
    live(rig, lamps, SUNRISE - START)
    live(rig, [], 14 * 3600)  # to nine in the evening
    assert ("power cut", "raised") in rig.told() and ("lamp silent", "raised") not in rig.told()


def test_a_supply_that_nobody_knows_may_be_switched(rig: AlarmRig) -> None:
    unknown, dark = rig.lamp(1000, number=0), rig.lamp(1001, number=1)
    live(rig, [unknown, dark], 2 * 3600)
    live(rig, [unknown], SUNRISE - rig.clock.now)
    live(rig, [], 6 * 3600)
    assert rig.states() == [("lamp silent", "node:1001", "raised")]  # that one fell silent at night


def test_while_a_link_is_down_no_node_is_silent(rig: AlarmRig) -> None:
    lamps = [rig.lamp(801, number=0, supply="permanent")]
    live(rig, lamps, 5 * QUARTER)
    down: dict[Any, Any] = {(kinds.INLET_DOWN, "inlet:mqtt"): {}}
    rig.watch.health(down, deaf=True)
    live(rig, [], 6 * 3600)
    assert rig.told() == [("inlet down", "raised")]
    rig.watch.health({}, deaf=False)
    live(rig, [], 1800)
    live(rig, lamps, 1800, DARK)
    assert rig.told() == [("inlet down", "raised"), ("inlet down", "cleared")]


def test_silent_bins_of_one_place_are_one_alarm_of_the_link(rig: AlarmRig) -> None:
    bins = [rig.bin(100 + n, groups=("quay",)) for n in range(6)]
    for node in bins:
        rig.report(node, {FILL: 20, QUALITY: 0})
    rig.pass_time(52 * 3600, 1800)
    assert rig.told() == [("area silent", "raised")]
    assert rig.waiting()[0].body["subject"] == {"type": "group", "name": "quay"}
    assert rig.waiting()[0].body["route"] == "communications"


def test_a_full_district_is_looked_at_in_slices_and_once_each(rig: AlarmRig) -> None:
    count = 10_000
    rig.places = {
        n: Place(n, "harbour", "lamp", f"c{n}", LATITUDE, LONGITUDE + n * 0.00045, "permanent", f"F{(n - 1) // 50}")
        for n in range(1, count + 1)
    }
    rig.look_at_places()
    rig.hearing.last.update(dict.fromkeys(rig.places, rig.mono))
    yields = 0

    async def tick() -> None:
        nonlocal yields
        task = asyncio.create_task(rig.watch.tick())
        while not task.done():
            yields += 1
            await asyncio.sleep(0)

    asyncio.run(tick())
    assert rig.watch.looked == count and yields >= count // 500
    rig.clock.now += 3 * 3600
    rig.mono += 3 * 3600
    asyncio.run(tick())
    assert rig.watch.looked == 2 * count
    assert rig.query("SELECT count(*) FROM alarm WHERE kind='lamp silent'") == [(count,)]
    rig.pass_time(130, 65)
    assert rig.query("SELECT count(*), min(state) FROM alarm WHERE kind='lamp silent' AND state != 'grouped'") == [
        (0, None)
    ]
    assert rig.told() == [("power cut", "raised")] * (count // 50)
    commits = rig.store.health.commits
    rig.pass_time(600, 60)
    assert rig.store.health.commits - commits <= 20  # what is known is not told the store again


# Pure parts.


def test_clusters_hang_together_by_steps() -> None:
    places = [Place(n, "s", "lamp", "", LATITUDE, LONGITUDE + at * 0.00045) for n, at in enumerate((0, 1, 2, 6, 7, 30))]
    found = sorted(sorted(place.node for place in cluster) for cluster in clusters(places))
    assert found == [[0, 1, 2, 3, 4], [5]]
    assert len(clusters([Place(n, "s", "lamp", "", 0.0, 0.0) for n in range(5000)])) == 1


def test_a_plan_needs_enough_at_one_time() -> None:
    places = Places("s", {n: Place(n, "s", "lamp", feeder="F") for n in range(10)})
    places.feeders.update(F=10)
    singles = [Single(n, n, START + n * 60, kinds.POWER_CUT) for n in range(5)]
    assert [len(plan.alarms) for plan in grouping.plan(singles, [], places)] == [5]
    assert grouping.plan(singles[:4], [], places) == []  # less than half of the feeder
    apart = [Single(n, n, START + n * 3600, kinds.POWER_CUT) for n in range(10)]
    assert grouping.plan(apart, [], places) == []  # one an hour is no power cut
    parent = Parent(kinds.POWER_CUT, "feeder:F", START)
    assert [plan.alarms for plan in grouping.plan(apart, [parent], places)] == [list(range(10))]
    old = [Single(1, 1, START - 7 * 86_400, kinds.POWER_CUT)]
    assert grouping.plan(old, [parent], places) == []  # it was dark before
    site = Places("s", {n: Place(n, "s", "lamp") for n in range(10)})
    alone = [Single(n, n, START, kinds.POWER_CUT) for n in range(10)]
    assert [plan.subject for plan in grouping.plan(alone, [], site)] == ["site:s"]
    assert grouping.plan(alone[:9], [], site) == []
