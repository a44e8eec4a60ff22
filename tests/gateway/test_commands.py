"""Commands from document to result: over the real intake and store, with nodes that follow law 6."""

import contextlib
import sqlite3
from typing import Any

import pytest
from commands_harness import CommandRig, document
from gateway_harness import START, secret_of

from kerbgate import audit, commands
from kerbgate.commands import orders, reasons, table
from kerbgate.commands.operations import NO_ISOLATION, OPERATIONS
from kerbwire import controls
from kerbwire.commands import KEEP
from kerbwire.controls import DIM, SAMPLE, Command, Config


def test_public_names_are_these() -> None:
    assert commands.__all__ == ["Commands", "GroupVoice", "Groups", "Ledger"]


def test_the_table_is_walked() -> None:
    """Every row is taken; every other pair is no transition; what was answered stands for good."""
    for state in table.STATES:
        for event in table.EVENTS:
            after = table.step(state, event)
            assert after == table.TABLE.get((state, event))
            assert after is None or after in table.STATES
    reached = {table.ACCEPTED, table.QUEUED}
    for _ in table.STATES:
        reached |= {after for (state, _), after in table.TABLE.items() if state in reached}
    assert reached == set(table.STATES)
    for state in (*table.ANSWERED, table.CANCELLED):
        answered = [event for event in table.EVENTS if table.step(state, event)]
        assert not answered, f"{state} is an end"
    for state in table.WAITING:
        assert table.step(state, table.EXPIRY) in (table.EXPIRED, table.UNANSWERED)  # nothing waits for ever
    assert table.step(table.SENT, table.EXPIRY) == table.UNANSWERED  # what was sent is never called "not applied"
    for event in (table.EXPIRY, table.CANCEL, table.NEWER):
        assert table.step(table.SENT, event) == table.UNANSWERED
    assert [table.answer(status) for status in (0, 6, 7, 255)] == [
        "answer applied", "answer superseded", "answer delivered", "answer delivered",
    ]  # fmt: skip


def test_the_places_of_a_node_suffice(command_rig: CommandRig) -> None:
    """What is repeated is still among the ids that a node keeps: those sent behind it, and asks, are fewer."""
    from kerbgate.store.asks import MAX_ASKS

    assert orders.EMERGENCY_WINDOW + MAX_ASKS <= KEEP and orders.WINDOW < orders.EMERGENCY_WINDOW


def test_a_command_goes_with_an_ack_and_ends_with_the_nodes_result(command_rig: CommandRig) -> None:
    lamp = command_rig.lamp(801)
    command_rig.confirm(lamp)
    answer = command_rig.ask(document("d1"))
    assert answer["event"] == "accepted" and answer["nodes"] == 1 and answer["counts"] == {"queued": 1}
    assert answer["streets"] == {"River Street": 1} and answer["notice"] == NO_ISOLATION
    assert command_rig.states("d1") == {801: "queued"}
    assert len(command_rig.speak(lamp)) == 2  # the ack, and the command behind it
    assert command_rig.states("d1") == {801: "sent"}
    (command,) = lamp.heard
    assert isinstance(command, Command)
    assert (command.operation, command.arguments) == (DIM, [40, 2, 3600])
    assert (command.expiry, command.remaining, command.priority) == (START + 3600, 3600, controls.OPERATOR)
    assert len(command_rig.speak(lamp)) == 1  # the result, and its ack
    assert command_rig.states("d1") == {801: "applied"}
    assert command_rig.commands.open == (0, 0)
    (asked,) = command_rig.entries("note")
    assert asked["asked"] == "d1" and asked["role"] == "operator" and asked["document"] == document("d1")
    entries = command_rig.entries()
    assert [entry["event"] for entry in entries] == ["accepted", "changed", "changed", "ended"]
    assert [entry.get("changes") for entry in entries[1:3]] == [
        [{"node": 801, "state": "sent"}], [{"node": 801, "state": "applied"}],
    ]  # fmt: skip
    assert entries[-1]["counts"] == {"applied": 1} and entries[-1]["unanswered"] == []
    assert all(entry["notice"] == NO_ISOLATION for entry in entries)  # of off and of dim alike
    assert command_rig.intake.undecoded == 0 and command_rig.query("SELECT * FROM report WHERE state='undecoded'") == []


def test_a_sleeping_bin_gets_one_command_a_report(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    assert command_rig.ask(document("a", "identify", {"node": 17}, arguments={"for_s": 30}))["event"] == "accepted"
    assert command_rig.ask(document("b", "sample", {"node": 17}))["event"] == "accepted"
    command_rig.pass_time(1800)  # asleep: nothing is pushed
    assert command_rig.air.counters.sent == 2
    for expected in (1, 2, 2):
        command_rig.speak(node)
        assert len(node.heard) == expected
    command_rig.speak(node)
    assert [operation for _, operation, _ in node.done] == [controls.IDENTIFY, SAMPLE]
    assert command_rig.states("a") == command_rig.states("b") == {17: "applied"}


def test_a_lamp_that_listens_is_told_at_once(command_rig: CommandRig) -> None:
    lamp = command_rig.lamp(801)
    command_rig.confirm(lamp)
    command_rig.speak(lamp)
    command_rig.air.sent.clear()
    command_rig.ask(document("d1", "restart"), listening=True)
    (frame_,) = command_rig.air.sent
    assert lamp.feed(frame_) and lamp.done[0][1] == controls.RESTART
    assert command_rig.states("d1") == {801: "sent"}
    command_rig.pass_time(orders.PAUSE_S + 1)  # its result was lost: it is asked again, under the same id
    assert lamp.feed(command_rig.air.sent[1])
    assert len(lamp.done) == 1 and lamp.heard[0].ident == lamp.heard[1].ident
    command_rig.speak(lamp)
    assert command_rig.states("d1") == {801: "applied"}


@pytest.mark.parametrize(("detail", "failed"), [(0, []), (0b100010, ["flash", "distance"]), (1 << 30, ["another"])])
def test_a_self_test_says_in_words_what_failed(command_rig: CommandRig, detail: int, failed: list[str]) -> None:
    node = command_rig.bin(17)
    node.details[controls.SELF_TEST] = detail
    command_rig.confirm(node)
    command_rig.ask(document("a", "self_test", {"node": 17}))
    command_rig.speak(node)
    command_rig.speak(node)
    changes = [change for entry in command_rig.entries() for change in entry.get("changes", [])]
    assert changes[-1] == {"node": 17, "state": "applied", "detail": detail, "failed_checks": failed}


def test_an_answer_that_this_version_does_not_know_is_delivered(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    node.answers[SAMPLE] = 99
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}))
    command_rig.speak(node)
    command_rig.speak(node)
    assert command_rig.states("a") == {17: "delivered"}


def test_the_newest_of_a_class_takes_the_place_of_older_ones(command_rig: CommandRig) -> None:
    lamp = command_rig.lamp(801)
    command_rig.confirm(lamp)
    for ident, level in (("first", 10), ("second", 20), ("third", 30)):
        command_rig.ask(document(ident, arguments={"level_percent": level}))
        command_rig.clock.now += 1
    command_rig.ask(document("plan", arguments={"level_percent": 5}, priority="schedule"))
    command_rig.ask(document("fire", arguments={"level_percent": 100}), "emergency")
    assert command_rig.states("first") == command_rig.states("second") == {801: "superseded"}
    for _ in range(6):
        command_rig.speak(lamp)
    assert [arguments[0] for _, _, arguments in lamp.done] == [100, 30, 5]  # by class, the emergency first
    assert {command_rig.states(name)[801] for name in ("third", "plan", "fire")} == {"applied"}


def test_what_was_sent_and_then_replaced_is_not_sent_again(command_rig: CommandRig) -> None:
    """Else a lost frame of an older command, repeated, would be the newest that the lamp hears."""
    lamp = command_rig.lamp(801)
    command_rig.confirm(lamp)
    command_rig.ask(document("old", arguments={"level_percent": 10}))
    lamp.take(1, START)
    report = lamp.next_frame()
    assert report is not None
    ack, _lost = command_rig.send(report)
    lamp.feed(ack)
    command_rig.settle()
    assert command_rig.states("old") == {801: "sent"}
    command_rig.clock.now += 1
    command_rig.ask(document("new", arguments={"level_percent": 90}))
    assert command_rig.states("old") == {801: "unanswered"}
    command_rig.pass_time(60)
    for _ in range(3):
        command_rig.speak(lamp)
    assert [arguments[0] for _, _, arguments in lamp.done] == [90]


def test_configuration_goes_as_a_patch_with_a_growing_version(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    for ident, settings in (("c1", {"1": 600, "2": None}), ("c2", {"1": 900})):
        answer = command_rig.ask(document(ident, "configure", {"node": 17}, settings=settings))
        assert answer["event"] == "accepted"
        command_rig.speak(node)
        command_rig.speak(node)
        assert command_rig.states(ident) == {17: "applied"}
    first, second = node.heard
    assert isinstance(first, Config) and isinstance(second, Config)
    assert first.patch == {1: 600, 2: None} and second.patch == {1: 900} and second.version > first.version


def test_a_command_is_withdrawn_before_it_is_sent_and_not_after(command_rig: CommandRig) -> None:
    first, second = command_rig.bin(17), command_rig.bin(18)
    command_rig.confirm(first)
    command_rig.confirm(second)
    command_rig.ask(document("a", "sample", {"nodes": [17, 18]}))
    command_rig.speak(first)
    answer = command_rig.ask({"schema": "kerbstone/command/1", "id": "stop", "operation": "cancel", "cancels": "a"})
    assert answer["event"] == "cancelled" and answer["nodes"] == 2
    assert command_rig.states("a") == {17: "unanswered", 18: "cancelled"}
    command_rig.speak(first)
    command_rig.speak(second)
    assert command_rig.states("a") == {17: "applied", 18: "cancelled"} and not second.heard
    again = command_rig.ask({"schema": "kerbstone/command/1", "id": "stop2", "operation": "cancel", "cancels": "a"})
    assert again["reason"] == "nothing to cancel"
    command_rig.ask(document("fire", target={"node": 17}, operation="sample"), "emergency")
    low = {"schema": "kerbstone/command/1", "id": "stop3", "operation": "cancel", "cancels": "fire"}
    assert command_rig.ask(low, "operator")["reason"] == "not allowed"


def test_a_document_that_comes_twice_counts_once(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    asked = document("a", "sample", {"node": 17})
    assert command_rig.ask(asked)["event"] == "accepted"
    again = command_rig.ask(asked)
    assert again["event"] == "known" and again["counts"] == {"queued": 1}
    assert command_rig.ask(document("a", "sample", {"node": 17}, note="another"))["reason"] == "id used"
    command_rig.speak(node)
    command_rig.speak(node)
    assert command_rig.ask(asked)["counts"] == {"applied": 1}  # also when it has ended
    command_rig.speak(node)
    assert len(node.done) == 1 and command_rig.query("SELECT count(*) FROM command_order") == [(1,)]


def test_a_refusal_has_a_reason_and_a_hint_and_fills_no_log(command_rig: CommandRig) -> None:
    for number in range(200):
        answer = command_rig.ask(document(f"x{number}", "no such thing"))
        assert answer["event"] == "refused" and answer["hint"] == reasons.HINTS[answer["reason"]]
    assert len(command_rig.entries("note")) == reasons.REFUSALS
    command_rig.pass_time(reasons.REFUSAL_S)
    command_rig.ask(b"{")
    assert command_rig.entries("note")[-1]["unlogged_before"] == 180


def test_open_commands_are_bounded(command_rig: CommandRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerbgate.commands.ledger.MAX_OPEN", 3)
    command_rig.bin(17)
    answers = [command_rig.ask(document(f"a{n}", "sample", {"node": 17})) for n in range(5)]
    assert [answer.get("reason") for answer in answers] == [None, None, None, "too many", "too many"]


def test_what_ended_long_ago_is_forgotten(command_rig: CommandRig) -> None:
    command_rig.bin(17)
    command_rig.ask(document("a", "sample", {"node": 17}, expires=START + 5))
    command_rig.pass_time(10)
    command_rig.pass_time(31 * 86400)
    command_rig.pass_time(3601)
    assert command_rig.query("SELECT * FROM command") == [] and command_rig.query("SELECT * FROM command_order") == []


def test_the_chain_holds_over_all_of_it(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    for number in range(5):
        command_rig.ask(document(f"a{number}", "sample", {"node": 17}))
        command_rig.speak(node)
        command_rig.restart()
    with contextlib.closing(sqlite3.connect(command_rig.store.path)) as db:
        verdict = audit.verify(db, command_rig.key)
    assert verdict.sound and verdict.entries == verdict.last > 10


def test_every_operation_is_sent_by_its_code(command_rig: CommandRig) -> None:
    lamp = command_rig.lamp(801)
    command_rig.confirm(lamp)
    given: dict[str, Any] = {"configure": {"settings": {"1": 2}}}
    for name in OPERATIONS:
        if name != "brighten":
            assert command_rig.ask(document(f"o-{name}", name, **given.get(name, {})))["event"] == "accepted", name
            command_rig.speak(lamp)
            command_rig.speak(lamp)
            command_rig.clock.now += 1
            assert command_rig.states(f"o-{name}") == {801: "applied"}, name
    codes = {row.code for row in OPERATIONS.values() if row.code is not None}
    assert {operation for _, operation, _ in lamp.done} == codes | {-1}
    assert codes == set(controls.OPERATIONS) - {controls.RESEND}  # that one is the store's, after a restore
    assert secret_of(801) not in command_rig.store.path.read_bytes()
