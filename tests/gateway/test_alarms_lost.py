"""Alarms that must neither be lost nor made up: by a commit that fails, a frame that overtakes a look, a record that is silent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alarms_harness import LIT, AlarmRig
from gateway_harness import START
from test_alarms import BIN

from kerbgate.alarms import kinds, rows, watch
from kerbwire.channels import BY_PRESENCE, CAUSE, FAULT, FAULTS, LEVEL, LUX, QUALITY


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AlarmRig]:
    made = AlarmRig(tmp_path)
    yield made
    made.close()
    made.registry.close()


def test_records_that_say_nothing_of_a_faulty_sensor_end_no_alarm(rig: AlarmRig) -> None:
    """Level changes of an adaptive street come each few minutes and have no sensor in them."""
    lamp = rig.lamp(801, number=0)
    rig.report(lamp, LIT | {LUX: FAULT})
    for _ in range(9):
        rig.pass_time(900)
        rig.report(lamp, {LEVEL: 100, CAUSE: BY_PRESENCE})
    assert rig.told() == [("sensor fault", "raised")]
    rig.report(lamp, LIT)
    assert [state for _, _, state in rig.states()] == ["raised"]  # nor has this one
    rig.report(lamp, LIT | {LUX: 40})
    assert [state for _, _, state in rig.states()] == ["held"]


def test_a_node_that_speaks_between_look_and_commit_is_not_silent(rig: AlarmRig) -> None:
    node = rig.bin(17)
    rig.report(node, BIN)
    found: list[Any] = []
    rig.watch._submit = lambda apply: bool(found.append(apply)) or True
    rig.pass_time(51 * 3600, 3600)
    rig.report(node, BIN)
    for apply in found:
        rig.change(apply)
    assert rig.states() == []
    rig.watch._submit = rig._submit
    rig.pass_time(200 * 3600, 3600)
    assert rig.told() == [("silent", "raised")]


def test_what_is_wrong_with_the_gateway_is_noted_after_a_commit_that_failed(rig: AlarmRig) -> None:
    wrong: Any = {(kinds.AUDIT, "gateway:audit"): {"cause": "entry 7"}}
    lost: list[Any] = []
    rig.watch._submit = lambda apply: bool(lost.append(apply)) or True  # taken, and not committed
    rig.watch.health(wrong, deaf=False)
    assert lost and rig.told() == []
    rig.watch._submit = rig._submit
    rig.watch.health(wrong, deaf=False)
    assert rig.told() == [("audit log changed", "raised")]
    commits = rig.store.health.commits
    rig.watch.health(wrong, deaf=False)
    assert rig.store.health.commits == commits  # it is known


def test_records_that_are_sent_again_make_no_sensor_doubtful(rig: AlarmRig) -> None:
    node = rig.bin(17)
    for hour in range(13):
        node.take_values(START - 86_400 + hour * 3600, BIN | {QUALITY: 2})
    rig.send(lost := node.next_frame())
    assert lost is not None
    node._sent.clear()  # the ack is lost: they go again, and one with them
    node.take_values(START - 86_400 + 13 * 3600, BIN | {QUALITY: 2})
    rig.exchange(node)
    assert rig.query("SELECT sum(last - first + 1) FROM committed") == [(14,)]
    assert rig.query("SELECT count(*) FROM report WHERE state='decoded'")[0][0] > 1 and rig.states() == []


def test_a_power_cut_that_grows_after_a_restart_is_told_again(rig: AlarmRig) -> None:
    lamps = [rig.lamp(1000 + n, number=n, supply="permanent", feeder="F3") for n in range(12)]
    for lamp in lamps:
        rig.report(lamp, LIT | {FAULTS: 0})
    low = next(bit for bit, name in kinds.OF_BIT.items() if name == kinds.SUPPLY_LOW)
    for lamp in lamps[:6]:
        rig.report(lamp, LIT | {FAULTS: low})
    rig.pass_time(400)
    assert [body.body["member_count"] for body in rig.waiting()] == [6]
    rig.restart()
    rig.pass_time(60)
    for lamp in lamps[6:]:
        rig.report(lamp, LIT | {FAULTS: low})
    rig.pass_time(1200)
    assert [body.body["member_count"] for body in rig.waiting() if body.body["kind"] == kinds.POWER_CUT] == [6, 12]


def test_past_alarms_are_forgotten_as_fast_as_they_can_come(rig: AlarmRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_PAST", 5)
    monkeypatch.setattr(rows, "PRUNE", 10)
    columns = (
        "ident, kind, subject, role, severity, state, since, changed, ended, turn, evidence, occurrences, revision"
    )
    past = [
        (f"a{n}", "tilted", f"node:{n}", "bin", 1, "cleared", 0, 0, START * 1000 + n, 1, "{}", 1, 1) for n in range(100)
    ]
    marks = ",".join("?" * 13)
    rig.change(lambda db, now_ms: db.executemany(f"INSERT INTO alarm ({columns}) VALUES ({marks})", past))
    rig.pass_time(watch.PRUNE_S + 60, 2.0)
    assert rig.query("SELECT count(*) FROM alarm") == [(5,)]
