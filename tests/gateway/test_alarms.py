"""Alarms: causes from records and events, restarts, clocks, letters in order."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alarms_harness import DARK, LIT, AlarmRig
from gateway_harness import START

from kerbgate.alarms import kinds, rows
from kerbgate.letters import ALARMS
from kerbwire.channels import (
    BATTERY,
    BY_COMMAND,
    BY_SCHEDULE,
    CAUSE,
    FAULT,
    FAULTS,
    FILL,
    LEVEL,
    POWER,
    QUALITY,
    TEMPERATURE,
)
from kerbwire.events import (
    CLEARED,
    CRASH,
    CRITICAL,
    EMERGENCY,
    EMPTIED,
    FIRE,
    HELD,
    LAMP_FAILURE,
    NOTICE,
    RAISED,
    WARNING,
)

NIGHT = START  # 2026-03-01T00:00:00Z
BIN = {FILL: 20, TEMPERATURE: 22, QUALITY: 0, BATTERY: 360}
OUT = LIT | {POWER: 8, FAULTS: 1}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AlarmRig]:
    made = AlarmRig(tmp_path)
    yield made
    made.close()
    made.registry.close()


# Causes.


def test_a_fault_bit_is_raised_after_its_time_and_cleared_after_its_own(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, LIT)
    rig.report(lamp, OUT)
    assert rig.states() == [("lamp failure", "node:801", "pending")] and rig.told() == []
    rig.pass_time(930)
    assert rig.told() == [("lamp failure", "raised")]
    letter = rig.waiting()[0]
    assert letter.topic == "node/801" and letter.body["evidence"] == {
        "level_percent": 100, "power_w": 0.8, "faults": ["lamp failure"],
    }  # fmt: skip
    assert letter.body["place"]["asset"] == "c801" and letter.body["route"] == "contractor"
    rig.report(lamp, LIT)
    assert rig.states() == [("lamp failure", "node:801", "held")]
    rig.pass_time(1770)
    assert rig.told() == [("lamp failure", "raised")]
    rig.pass_time(60)
    assert rig.told() == [("lamp failure", "raised"), ("lamp failure", "cleared")] and rig.states() == []


def test_a_cause_of_a_moment_is_never_told(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    rig.pass_time(300)
    rig.report(lamp, LIT)
    rig.pass_time(7200)
    assert rig.told() == [] and rig.query("SELECT count(*) FROM alarm") == [(0,)]


def test_a_flapping_signal_is_one_alarm_and_two_letters(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    rig.pass_time(930)
    for _ in range(20):
        rig.report(lamp, LIT)
        rig.pass_time(600)
        rig.report(lamp, OUT)
        rig.pass_time(600)
    assert rig.told() == [("lamp failure", "raised")]
    assert rig.alarms()[0]["occurrences"] == 21
    rig.report(lamp, LIT)
    rig.pass_time(1860)
    assert rig.told() == [("lamp failure", "raised"), ("lamp failure", "cleared")]


def test_late_and_doubled_data_move_nothing(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    lamp.take_values(NIGHT - 7200, OUT)
    late = lamp.next_frame()  # on its way for two hours
    lamp._outbox.clear()
    lamp._sent.clear()
    rig.report(lamp, LIT)
    assert late is not None
    rig.send(late)
    rig.send(late)
    assert rig.query("SELECT count(*) FROM report") == [(2,)]
    assert rig.states() == []


def test_a_run_of_records_tells_since_when(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.clock.now = NIGHT + 6000
    for minute, values in ((0, LIT), (15, OUT), (30, LIT), (45, OUT), (60, OUT), (75, OUT)):
        lamp.take_values(NIGHT + minute * 60, values)
    rig.exchange(lamp)
    assert rig.alarms()[0]["since"] == "2026-03-01T00:45:00Z"


def test_an_event_is_raised_at_once_and_carries_the_nodes_own_severity(rig: AlarmRig) -> None:
    node = rig.bin(17)
    rig.event(node, FIRE, EMERGENCY, RAISED, {TEMPERATURE: 142})
    rig.event(node, FIRE, EMERGENCY, HELD, {TEMPERATURE: 160})
    assert rig.told() == [("fire", "raised")]
    assert rig.waiting()[0].body["severity"] == "emergency"
    assert rig.alarms()[0]["evidence"] == {"temperature_c": 80.0}
    rig.event(node, FIRE, EMERGENCY, CLEARED)
    rig.pass_time(3660)
    assert rig.told() == [("fire", "raised"), ("fire", "cleared")]


def test_an_event_of_an_unknown_code_is_an_alarm_and_one_that_calls_for_nobody_is_none(rig: AlarmRig) -> None:
    node = rig.bin(17)
    rig.event(node, 61, CRITICAL, RAISED)
    rig.event(node, EMPTIED, NOTICE, RAISED, {FILL: 2})
    assert rig.told() == [("event 61", "raised")] and rig.waiting()[0].body["severity"] == "critical"


def test_what_nobody_says_is_over_ends_by_itself(rig: AlarmRig) -> None:
    node = rig.bin(17)
    for _ in range(3):
        rig.event(node, CRASH, WARNING, RAISED)
        rig.pass_time(3600, 600)
    assert rig.told() == [("crash", "raised")] and rig.alarms()[0]["occurrences"] == 3
    rig.pass_time(86_400, 3600)
    assert rig.told() == [("crash", "raised"), ("crash", "cleared")]


def test_a_weak_battery_and_a_dead_sensor_are_raised_and_clear_with_hysteresis(rig: AlarmRig) -> None:
    node = rig.bin(17)
    rig.report(node, BIN | {BATTERY: 319, FILL: FAULT})
    assert {kind for kind, _, _ in rig.states()} == {"battery low", "sensor fault"}
    rig.pass_time(6 * 3600 + 60, 600)
    rig.report(node, BIN | {BATTERY: 322})
    assert ("battery low", "node:17", "raised") in rig.states()  # above the limit, not yet well
    rig.report(node, BIN | {BATTERY: 326})
    assert ("battery low", "node:17", "held") in rig.states()
    rig.pass_time(86_460, 3600)
    assert [state for kind, state in rig.told() if kind == "battery low"] == ["raised", "cleared"]


def test_quality_flags_are_an_alarm_when_they_stay(rig: AlarmRig) -> None:
    node = rig.bin(17)
    for number in range(60):  # the weather: never a day in a row
        rig.report(node, BIN | {QUALITY: 0 if number % 23 == 0 else 2})
    assert rig.states() == []
    rig.report(node, BIN)
    for number in range(24):
        assert rig.states() == []
        rig.report(node, BIN | {QUALITY: 2}, at=NIGHT + number * 3600)
    assert rig.told() == [("sensor doubtful", "raised")]
    assert rig.alarms()[0]["evidence"] == {"quality": ["spread echoes"]}
    rig.report(node, BIN)
    rig.pass_time(86_460, 3600)
    assert rig.told() == [("sensor doubtful", "raised"), ("sensor doubtful", "cleared")]
    for hour in range(24):  # a day in one report
        node.take_values(NIGHT + 200_000 + hour * 3600, BIN | {QUALITY: 2})
    rig.exchange(node)
    assert rig.alarms()[0]["since"] == "2026-03-03T07:33:20Z"


def test_a_lamp_that_burns_by_day_is_found_and_one_that_burns_by_night_is_none(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, LIT)
    assert rig.states() == []
    rig.clock.now = NIGHT + 12 * 3600
    rig.report(lamp, LIT)
    rig.pass_time(1860)
    assert rig.told() == [("day burner", "raised")]
    rig.report(lamp, DARK)
    rig.pass_time(1860)
    assert rig.told()[-1] == ("day burner", "cleared")


def test_a_lamp_that_was_told_to_burn_is_no_day_burner_until_it_goes_its_own_way(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.clock.now = NIGHT + 12 * 3600
    rig.report(lamp, {LEVEL: 100, CAUSE: BY_COMMAND})
    for _ in range(4):
        rig.report(lamp, LIT)  # says nothing of why
        rig.pass_time(900)
    assert rig.told() == [] and rig.states() == []
    rig.report(lamp, {LEVEL: 90, CAUSE: BY_SCHEDULE})
    rig.report(lamp, LIT)
    rig.pass_time(1860)
    assert rig.told() == [("day burner", "raised")]


def test_a_lamp_in_standby_or_without_a_clock_burns_nothing(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.clock.now = NIGHT + 12 * 3600
    rig.report(lamp, DARK)
    rig.report(lamp, {LEVEL: 30, POWER: 10, FAULTS: 0})
    assert rig.states() == []


# People.


def test_an_acknowledgement_is_kept_told_and_survives_flapping(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    assert rig.acknowledge(rig.alarms()[0]["id"]) == []  # nobody was told yet
    rig.pass_time(930)
    ident = rig.alarms()[0]["id"]
    assert rig.acknowledge(ident, "no/such") == [ident]
    assert rig.waiting()[-1].body["acknowledged"] == {
        "by": "j.smith", "reason": "on my way", "time": rig.waiting()[-1].body["time"],
    }  # fmt: skip
    rig.report(lamp, LIT)
    rig.report(lamp, OUT)
    assert rig.states() == [("lamp failure", "node:801", "acknowledged")]
    rig.restart()
    assert rig.alarms()[0]["acknowledged"]["by"] == "j.smith"
    rig.report(lamp, LIT)
    rig.pass_time(1860)
    assert [state for _, state in rig.told()] == ["raised", "acknowledged", "cleared"]


def test_letters_go_to_each_outlet_that_wants_them_in_order_and_once(rig: AlarmRig) -> None:
    rig.wanted = ("council", "works")
    rig.restart()
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    rig.pass_time(930)
    rig.acknowledge(rig.alarms()[0]["id"])
    assert rig.told() == rig.told("works") == [("lamp failure", "raised"), ("lamp failure", "acknowledged")]
    first = rig.waiting()[0]
    rig.change(lambda db, now_ms: rig.letters.delivered(db, "council", [first.key, (99_999,)]))
    assert [letter.body["state"] for letter in rig.waiting()] == ["acknowledged"] and len(rig.waiting("works")) == 2
    assert len({letter.body["id"] for letter in rig.waiting("works")}) == 2
    rig.restart()
    assert next(letter.body for letter in rig.waiting("works")) == first.body


def test_a_new_outlet_starts_with_what_is_open_and_one_that_is_gone_keeps_what_waits(rig: AlarmRig) -> None:
    lamp, node = rig.lamp(801, number=0), rig.bin(17)
    rig.report(lamp, OUT)
    rig.event(node, FIRE, EMERGENCY, RAISED)
    rig.event(node, FIRE, EMERGENCY, CLEARED)
    rig.pass_time(3700)
    rig.change(lambda db, now_ms: rig.letters.outlets(db, {"works": frozenset((ALARMS,)), "portal": frozenset()}))
    assert rig.told("works") == [("lamp failure", "raised")] and rig.told("portal") == []
    rig.report(lamp, LIT)
    rig.pass_time(1860)
    assert ("lamp failure", "cleared") in rig.told("works") and ("lamp failure", "cleared") not in rig.told()
    with_db: dict[str, Any] = {}
    rig.change(lambda db, now_ms: with_db.update(rig.letters.backlog(db)))
    assert with_db == {"council": 3, "works": 2}
    assert rig.change(lambda db, now_ms: rig.letters.drop(db, "council", 2)) == 2
    assert len(rig.waiting()) == 1


def test_past_alarms_are_forgotten_only_when_every_outlet_has_them(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    rig.pass_time(930)
    rig.report(lamp, LIT)
    rig.pass_time(1860)
    later = round(rig.clock.now * 1000) + rows.KEPT_MS + 1000
    assert rig.change(lambda db, now_ms: rows.prune(db, later)) == 0
    keys = [letter.key for letter in rig.waiting()]
    rig.change(lambda db, now_ms: rig.letters.delivered(db, "council", keys))
    assert rig.change(lambda db, now_ms: rows.prune(db, later)) == 1
    assert rig.query("SELECT count(*) FROM alarm_change") == [(0,)]


# Restarts, rollbacks, clocks.


def test_a_restart_keeps_states_and_waits_again(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    rig.pass_time(600)
    rig.restart()
    rig.pass_time(600)
    assert rig.told() == []  # the wait begins anew
    rig.pass_time(330)
    assert rig.told() == [("lamp failure", "raised")]
    rig.restart()
    rig.report(lamp, LIT)
    rig.restart()
    rig.pass_time(1860)
    assert rig.told() == [("lamp failure", "raised"), ("lamp failure", "cleared")]


def test_a_commit_that_fails_takes_the_alarm_back_too(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, LIT)

    def fails(db: Any, now_ms: int) -> None:
        rig.book.observe(db, {("store failing", "gateway:store"): {}}, now_ms)
        raise ValueError("a change that cannot be")

    with pytest.raises(AssertionError, match="cannot be"):
        rig.change(fails)
    assert rig.states() == []
    rig.report(lamp, OUT)
    assert rig.states() == [("lamp failure", "node:801", "pending")]


@pytest.mark.parametrize("jump_s", [-86_400, 86_400, 40 * 86_400])
def test_a_clock_that_jumps_raises_and_clears_nothing(rig: AlarmRig, jump_s: int) -> None:
    lamp, node = rig.lamp(801, number=0), rig.bin(17)
    rig.report(lamp, OUT)
    rig.report(node, BIN)
    rig.pass_time(600)
    rig.clock.now += jump_s  # not by the steady clock
    rig.tick()
    assert rig.states() == [("lamp failure", "node:801", "pending")]
    rig.pass_time(330)
    rig.report(lamp, LIT, at=NIGHT + 2000)  # the node's own clock goes on
    rig.clock.now -= jump_s
    rig.tick()
    assert rig.states() == [("lamp failure", "node:801", "held")]


def test_health_of_the_gateway_is_raised_and_cleared(rig: AlarmRig) -> None:
    down: dict[Any, Any] = {(kinds.INLET_DOWN, "inlet:serial"): {"cause": "unplugged"}}
    rig.watch.health(down, deaf=True)
    rig.pass_time(150)
    assert rig.told() == [("inlet down", "raised")] and rig.waiting()[0].topic == "inlet/serial"
    rig.watch.health(down, deaf=True)
    rig.watch.health({}, deaf=False)
    rig.pass_time(90)
    assert rig.told()[-1] == ("inlet down", "cleared")
    rig.watch.health({(kinds.TASK, "gateway:outlet council"): {"cause": "ValueError"}}, deaf=False)
    assert rig.told()[-1] == ("task failing", "raised")


def test_more_alarms_than_the_bound_are_counted_and_not_kept(rig: AlarmRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerbgate.alarms.book.MAX_OPEN", 3)
    node = rig.bin(17)
    for code in range(50, 56):
        rig.event(node, code, WARNING, RAISED)
    assert len(rig.alarms()) == 3 and rig.book.overflow == 3


def test_a_node_that_leaves_takes_its_alarms_with_it(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    rig.pass_time(930)
    assert rig.book.strangers() == []
    del rig.places[801]
    rig.look_at_places()
    assert rig.book.strangers() == [801]
    rig.change(rig.book.leave)
    rig.pass_time(1860)
    assert rig.told() == [("lamp failure", "raised"), ("lamp failure", "cleared")] and rig.book.strangers() == []


def test_an_alarm_from_records_and_one_from_events_are_one(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.event(lamp, LAMP_FAILURE, CRITICAL, RAISED, {POWER: 8})
    rig.report(lamp, OUT)
    assert len(rig.alarms()) == 1
    rig.report(lamp, LIT)
    assert rig.states() == []  # it was told by nobody yet


def _event_frame(rig: AlarmRig, node: Any, state: int) -> bytes:
    """A frame that is on its way while others overtake it."""
    node.tell(FIRE, EMERGENCY, state, int(rig.clock.now))
    frame = node.next_frame()
    node._events.clear()
    node._sent.clear()
    return frame


@pytest.mark.parametrize("restart", [False, True])
def test_an_event_that_was_overtaken_by_its_end_raises_nothing(rig: AlarmRig, restart: bool) -> None:
    node = rig.bin(17)
    late = _event_frame(rig, node, RAISED)
    if restart:  # an alarm between them: what the store says of it is enough
        rig.event(node, FIRE, EMERGENCY, RAISED)
    rig.event(node, FIRE, EMERGENCY, CLEARED)
    rig.pass_time(3700)
    if restart:
        rig.restart()
    before = rig.told()
    rig.send(late)
    assert rig.query("SELECT count(*) FROM report WHERE keep=1") == [(3 if restart else 2,)]
    assert rig.told() == before and rig.states() == []


def test_an_end_that_was_overtaken_by_a_new_begin_ends_nothing(rig: AlarmRig) -> None:
    node = rig.bin(17)
    late = _event_frame(rig, node, CLEARED)
    rig.event(node, FIRE, EMERGENCY, RAISED)
    rig.send(late)
    assert rig.states() == [("fire", "node:17", "raised")]


def test_a_store_that_was_put_back_tells_higher_revisions_than_the_council_has(rig: AlarmRig) -> None:
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, OUT)
    before = rig.folder / "backup.sqlite"
    with contextlib.closing(sqlite3.connect(rig.store.path)) as db:
        db.execute("VACUUM INTO ?", (str(before),))
    for state in (OUT, LIT, OUT, LIT):
        rig.report(lamp, state)
        rig.pass_time(930)
    known = max(letter.body["revision"] for letter in rig.waiting())
    rig.close()
    for path in rig.folder.glob("store.sqlite*"):
        path.unlink()
    before.rename(rig.store.path)
    rig.open()
    rig.pass_time(930)
    assert [letter.body["revision"] > known for letter in rig.waiting()] == [True]
