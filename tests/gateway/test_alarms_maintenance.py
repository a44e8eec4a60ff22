"""Maintenance: what it suppresses, what it tells afterwards, and what is told all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alarms_harness import LIT, AlarmRig

from kerbgate.alarms import windows
from kerbwire.channels import FAULTS, POWER, TEMPERATURE
from kerbwire.events import EMERGENCY, FIRE, RAISED

OUT = LIT | {POWER: 8, FAULTS: 1}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AlarmRig]:
    made = AlarmRig(tmp_path)
    yield made
    made.close()
    made.registry.close()


@pytest.mark.parametrize("scope", ["node:801", "group:quay", "feeder:F1", "site:harbour"])
def test_maintenance_suppresses_and_says_so_afterwards(rig: AlarmRig, scope: str) -> None:
    lamp = rig.lamp(801, number=0, feeder="F1", groups=("quay",))
    other = rig.lamp(802, number=1, feeder="F2", groups=("other",))
    number = rig.maintain(scope, 7200)
    assert rig.told() == [("maintenance", "begun")]
    rig.report(lamp, OUT)
    rig.report(other, OUT)
    rig.pass_time(3600)
    outside = [] if scope.startswith("site") else [("lamp failure", "raised")]
    assert rig.told()[1:] == outside
    assert ("lamp failure", "node:801", "suppressed") in rig.states()
    rig.pass_time(3700)
    ended = [letter for letter in rig.waiting() if letter.body["state"] == "ended"]
    assert len(ended) == 1 and ended[0].topic == f"maintenance/{number}"
    suppressed = ended[0].body["suppressed"]
    assert len(suppressed) == ended[0].body["suppressed_count"] == (2 if scope.startswith("site") else 1)
    raised = [letter.body for letter in rig.waiting() if letter.body.get("alarm") in suppressed]
    assert {body["state"] for body in raised} == {"raised"} and {body["maintenance"] for body in raised} == {number}


def test_what_came_and_went_in_maintenance_is_told_only_by_its_end(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.maintain("node:801", 7200, after=60)
    rig.pass_time(90)
    rig.report(lamp, OUT)
    rig.pass_time(600)
    rig.report(lamp, LIT)
    rig.pass_time(7200)
    assert rig.told() == [("maintenance", "begun"), ("maintenance", "ended")]
    assert rig.waiting()[-1].body["suppressed_count"] == 1
    assert [alarm["state"] for alarm in rig.past()] == ["cleared"]


def test_maintenance_begins_over_an_alarm_that_was_told(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    rig.pass_time(930)
    number = rig.maintain("site:harbour", 7200)
    rig.report(lamp, LIT)
    rig.pass_time(1860)
    assert rig.told() == [
        ("lamp failure", "raised"), ("maintenance", "begun"), ("lamp failure", "suppressed"), ("lamp failure", "cleared"),
    ]  # fmt: skip
    assert rig.change(lambda db, now_ms: rig.book.end_maintenance(db, number, now_ms))
    assert not rig.change(lambda db, now_ms: rig.book.end_maintenance(db, number, now_ms))
    assert rig.told()[-1] == ("maintenance", "ended")


def test_a_fire_is_told_in_maintenance_too(rig: AlarmRig) -> None:
    node = rig.bin(17)
    rig.maintain("site:harbour", 7200)
    rig.event(node, FIRE, EMERGENCY, RAISED, {TEMPERATURE: 142})
    assert ("fire", "raised") in rig.told()


def test_maintenance_lasts_over_a_restart_and_ends_by_its_time(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.maintain("node:801", 3600)
    rig.restart()
    rig.report(lamp, OUT)
    rig.pass_time(1800)
    assert rig.states() == [("lamp failure", "node:801", "suppressed")]
    rig.close()
    rig.clock.now += 86_400  # ended while nothing ran
    rig.open()
    rig.pass_time(30)
    assert rig.states() == [("lamp failure", "node:801", "raised")]


# Letters.


def test_past_maintenance_is_forgotten_when_every_outlet_knows_of_its_end(rig: AlarmRig) -> None:
    number = rig.maintain("site:harbour", 60)
    rig.pass_time(90)
    later = round(rig.clock.now * 1000) + windows.KEPT_MS + 1000
    rig.change(lambda db, now_ms: windows.prune(db, later))
    assert rig.told() == [("maintenance", "begun"), ("maintenance", "ended")]
    keys = [letter.key for letter in rig.waiting()]
    rig.change(lambda db, now_ms: rig.letters.delivered(db, "council", keys))
    rig.change(lambda db, now_ms: windows.prune(db, later))
    assert rig.query("SELECT count(*) FROM maintenance") == rig.query("SELECT count(*) FROM alarm_change") == [(0,)]
    assert number == 1
