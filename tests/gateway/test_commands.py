"""Commands from document to result: over the real intake and store, with nodes that follow law 6."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands_harness import CommandRig, document
from gateway_harness import SITE, START, add_node, secret_of

from kerbgate import audit, commands
from kerbgate.commands import orders, reasons, table
from kerbgate.commands.operations import NO_ISOLATION, OPERATIONS
from kerbwire import controls, frame, group, messages
from kerbwire.commands import KEEP, Commands
from kerbwire.controls import DIM, SAMPLE, Command, Config
from kerbwire.waves import Brighten


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[CommandRig]:
    made = CommandRig(tmp_path)
    yield made
    made.close()


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


def test_the_places_of_a_node_suffice(rig: CommandRig) -> None:
    """What is repeated is still among the ids that a node keeps: those sent behind it, and asks, are fewer."""
    from kerbgate.store.asks import MAX_ASKS

    assert orders.EMERGENCY_WINDOW + MAX_ASKS <= KEEP and orders.WINDOW < orders.EMERGENCY_WINDOW


def test_a_command_goes_with_an_ack_and_ends_with_the_nodes_result(rig: CommandRig) -> None:
    lamp = rig.lamp(801)
    rig.confirm(lamp)
    answer = rig.ask(document("d1"))
    assert answer["event"] == "accepted" and answer["nodes"] == 1 and answer["counts"] == {"queued": 1}
    assert answer["streets"] == {"River Street": 1} and answer["notice"] == NO_ISOLATION
    assert rig.states("d1") == {801: "queued"}
    assert len(rig.speak(lamp)) == 2  # the ack, and the command behind it
    assert rig.states("d1") == {801: "sent"}
    (command,) = lamp.heard
    assert isinstance(command, Command)
    assert (command.operation, command.arguments) == (DIM, [40, 2, 3600])
    assert (command.expiry, command.remaining, command.priority) == (START + 3600, 3600, controls.OPERATOR)
    assert len(rig.speak(lamp)) == 1  # the result, and its ack
    assert rig.states("d1") == {801: "applied"}
    assert rig.commands.open == (0, 0)
    (asked,) = rig.entries("note")
    assert asked["asked"] == "d1" and asked["role"] == "operator" and asked["document"] == document("d1")
    entries = rig.entries()
    assert [entry["event"] for entry in entries] == ["accepted", "changed", "changed", "ended"]
    assert [entry.get("changes") for entry in entries[1:3]] == [
        [{"node": 801, "state": "sent"}], [{"node": 801, "state": "applied"}],
    ]  # fmt: skip
    assert entries[-1]["counts"] == {"applied": 1} and entries[-1]["unanswered"] == []
    assert all(entry["notice"] == NO_ISOLATION for entry in entries)  # of off and of dim alike
    assert rig.intake.undecoded == 0 and rig.query("SELECT * FROM report WHERE state='undecoded'") == []


def test_a_sleeping_bin_gets_one_command_a_report(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    assert rig.ask(document("a", "identify", {"node": 17}, arguments={"for_s": 30}))["event"] == "accepted"
    assert rig.ask(document("b", "sample", {"node": 17}))["event"] == "accepted"
    rig.pass_time(1800)  # asleep: nothing is pushed
    assert rig.air.counters.sent == 2
    for expected in (1, 2, 2):
        rig.speak(node)
        assert len(node.heard) == expected
    rig.speak(node)
    assert [operation for _, operation, _ in node.done] == [controls.IDENTIFY, SAMPLE]
    assert rig.states("a") == rig.states("b") == {17: "applied"}


def test_a_lamp_that_listens_is_told_at_once(rig: CommandRig) -> None:
    lamp = rig.lamp(801)
    rig.confirm(lamp)
    rig.speak(lamp)
    rig.air.sent.clear()
    rig.ask(document("d1", "restart"), listening=True)
    (frame_,) = rig.air.sent
    assert lamp.feed(frame_) and lamp.done[0][1] == controls.RESTART
    assert rig.states("d1") == {801: "sent"}
    rig.pass_time(orders.PAUSE_S + 1)  # its result was lost: it is asked again, under the same id
    assert lamp.feed(rig.air.sent[1])
    assert len(lamp.done) == 1 and lamp.heard[0].ident == lamp.heard[1].ident
    rig.speak(lamp)
    assert rig.states("d1") == {801: "applied"}


@pytest.mark.parametrize("early_s", [0, 1, 2])
def test_expiry_is_honoured_to_the_second(rig: CommandRig, early_s: int) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    rig.clock.now, rig.mono = START + 60 - early_s, rig.mono + 60 - early_s
    rig.speak(node)
    if early_s:
        (command,) = node.heard
        assert isinstance(command, Command) and command.remaining == early_s and command.expiry == START + 60
        assert len(node.done) == 1
    else:
        assert not node.heard and rig.states("a") == {17: "expired"}
    rig.pass_time(early_s)
    assert rig.states("a")[17] == ("unanswered" if early_s else "expired")


def test_a_fraction_of_a_second_is_not_sent(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    rig.clock.now, rig.mono = START + 59.5, rig.mono + 59.5
    rig.speak(node)
    assert not node.heard  # no whole second is left, which is what the wire counts


def test_a_clock_set_back_lengthens_no_command(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    rig.clock.now -= 86400
    rig.mono += 61
    rig.speak(node)
    assert not node.heard and rig.states("a") == {17: "expired"}


@pytest.mark.parametrize("left_s", [1, 0])
def test_a_clock_set_forward_ends_it_by_utc(rig: CommandRig, left_s: int) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    rig.clock.now += 60 - left_s  # and the seconds that were counted since have not gone by
    rig.speak(node)
    assert [command.remaining for command in node.heard if isinstance(command, Command)] == [1][:left_s]
    assert rig.states("a") == {17: "sent" if left_s else "expired"}


def test_without_a_trusted_clock_only_the_seconds_go_out(rig: CommandRig) -> None:
    node = rig.bin(17, clock_set=False)
    rig.confirm(node)
    rig.clock.is_synchronised = False
    assert rig.ask(document("a", "sample", {"node": 17}))["reason"] == "clock not synchronised"
    local = {"schema": "kerbstone/command/1", "id": "b", "operation": "sample", "target": {"node": 17}, "valid_s": 90}
    assert rig.ask(local, "local")["event"] == "accepted"
    rig.speak(node)
    (command,) = node.heard
    assert isinstance(command, Command) and command.remaining == 90 and command.expiry == (1 << 32) - 1


def test_a_late_answer_still_counts(rig: CommandRig) -> None:
    """A bin obeys, and tells of it a day later: what was unknown becomes applied."""
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    rig.speak(node)
    rig.pass_time(86400)
    assert rig.states("a") == {17: "unanswered"}
    ended = rig.entries()[-1]
    assert ended["event"] == "ended" and ended["unanswered"] == [17]
    rig.speak(node)
    assert rig.states("a") == {17: "applied"} and rig.intake.undecoded == 0
    assert rig.entries()[-1]["changes"] == [{"node": 17, "state": "applied"}]


def test_an_answer_that_this_version_does_not_know_is_delivered(rig: CommandRig) -> None:
    node = rig.bin(17)
    node.answers[SAMPLE] = 99
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}))
    rig.speak(node)
    rig.speak(node)
    assert rig.states("a") == {17: "delivered"}


def test_a_node_that_died_while_it_obeyed_does_not_act_again(rig: CommandRig) -> None:
    class Died(Exception):
        pass

    def die(command: Any) -> None:
        raise Died

    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "restart", {"node": 17}))
    node.on_obey = die
    with pytest.raises(Died):
        rig.speak(node)
    node._commands = Commands(node._commands.stored)  # flash is all that it has left
    node.reset()
    node.on_obey = lambda command: None
    rig.pass_time(60)
    rig.exchange(node)
    for _ in range(2):
        rig.speak(node)
    assert rig.states("a") == {17: "interrupted"} and not node.done


def test_the_newest_of_a_class_takes_the_place_of_older_ones(rig: CommandRig) -> None:
    lamp = rig.lamp(801)
    rig.confirm(lamp)
    for ident, level in (("first", 10), ("second", 20), ("third", 30)):
        rig.ask(document(ident, arguments={"level_percent": level}))
        rig.clock.now += 1
    rig.ask(document("plan", arguments={"level_percent": 5}, priority="schedule"))
    rig.ask(document("fire", arguments={"level_percent": 100}), "emergency")
    assert rig.states("first") == rig.states("second") == {801: "superseded"}
    for _ in range(6):
        rig.speak(lamp)
    assert [arguments[0] for _, _, arguments in lamp.done] == [100, 30, 5]  # by class, the emergency first
    assert {rig.states(name)[801] for name in ("third", "plan", "fire")} == {"applied"}


def test_a_start_settles_which_is_the_newest(rig: CommandRig) -> None:
    """The gateway dies after the newer one is written down, and before the older one is."""
    rig.confirm(lamp := rig.lamp(801))
    rig.ask(document("old", arguments={"level_percent": 10}))
    rig.store.dying = True
    with contextlib.closing(sqlite3.connect(rig.store.path, timeout=5)) as db:
        now_ms = START * 1000 + 5000
        text = json.dumps(document("new", arguments={"level_percent": 90}))
        row = ("new", b"", "operator", "dim", 1, text, START, START + 3600, now_ms)
        db.execute("INSERT INTO command VALUES (?,?,?,?,?,?,?,?,?,NULL)", row)
        db.execute("INSERT INTO command_order VALUES (1,'new',801,NULL,NULL,'queued',NULL,NULL,?)", (now_ms,))
        db.commit()
    rig.restart()
    for _ in range(3):
        rig.speak(lamp)
    assert [arguments[0] for _, _, arguments in lamp.done] == [90]
    assert rig.states("old") == {801: "unanswered"}  # the process before may have sent it


def test_what_was_sent_and_then_replaced_is_not_sent_again(rig: CommandRig) -> None:
    """Else a lost frame of an older command, repeated, would be the newest that the lamp hears."""
    lamp = rig.lamp(801)
    rig.confirm(lamp)
    rig.ask(document("old", arguments={"level_percent": 10}))
    lamp.take(1, START)
    report = lamp.next_frame()
    assert report is not None
    ack, _lost = rig.send(report)
    lamp.feed(ack)
    rig.settle()
    assert rig.states("old") == {801: "sent"}
    rig.clock.now += 1
    rig.ask(document("new", arguments={"level_percent": 90}))
    assert rig.states("old") == {801: "unanswered"}
    rig.pass_time(60)
    for _ in range(3):
        rig.speak(lamp)
    assert [arguments[0] for _, _, arguments in lamp.done] == [90]


def test_groups_sites_and_streets(rig: CommandRig) -> None:
    for address in range(801, 807):
        add_node(rig.registry, address, "lamp")
    add_node(rig.registry, 17, "bin")
    add_node(rig.registry, 900, "lamp")
    dry = rig.ask(document("dry", target={"group": "quay"}, dry_run=True))
    assert (dry["event"], dry["nodes"], dry["streets"]) == ("dry run", 3, {"The Quay": 3})  # the bin is no lamp
    assert dry["until"] == "2026-03-01T01:00:00Z" and dry["notice"] == NO_ISOLATION
    assert rig.query("SELECT * FROM command") == [] and rig.entries() == []
    site = rig.ask(document("site", target={"site": SITE}))
    assert site["nodes"] == 7 and site["streets"] == {"River Street": 3, "The Quay": 3}
    assert rig.ask(document("all", "sample", {"site": SITE}))["nodes"] == 8
    assert rig.ask(document("x", target={"site": "elsewhere"}))["reason"] == "other site"
    assert rig.ask(document("x", target={"group": "nowhere"}))["reason"] == "unknown group"
    assert rig.ask(document("x", target={"nodes": [801, 17]}))["reason"] == "no such role"
    assert rig.ask(document("x", target={"node": 4000}))["reason"] == "unknown node"
    rig.registry.mark(806, "quarantine")
    assert rig.ask(document("x", target={"node": 806}))["reason"] == "out of service"
    assert rig.ask(document("y", target={"group": "quay"}))["nodes"] == 2


def test_a_scheduled_command_waits_for_its_time(rig: CommandRig) -> None:
    lamp = rig.lamp(801)
    rig.confirm(lamp)
    rig.ask(document("later", not_before=START + 600, until=START + 900, arguments={"level_percent": 10}))
    rig.ask(document("now", arguments={"level_percent": 70}))
    assert rig.states("later") == {801: "accepted"}
    rig.speak(lamp)
    rig.speak(lamp)
    rig.pass_time(599)
    rig.speak(lamp)
    assert rig.states("later") == {801: "accepted"} and len(lamp.done) == 1
    rig.pass_time(1)
    for sealed in rig.air.sent:  # it listens
        lamp.feed(sealed)
    assert lamp.done[-1][2] == (10, 2, 300)  # until the time that was named
    rig.speak(lamp)
    assert rig.states("later") == {801: "applied"}


def test_configuration_goes_as_a_patch_with_a_growing_version(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    for ident, settings in (("c1", {"1": 600, "2": None}), ("c2", {"1": 900})):
        answer = rig.ask(document(ident, "configure", {"node": 17}, settings=settings))
        assert answer["event"] == "accepted"
        rig.speak(node)
        rig.speak(node)
        assert rig.states(ident) == {17: "applied"}
    first, second = node.heard
    assert isinstance(first, Config) and isinstance(second, Config)
    assert first.patch == {1: 600, 2: None} and second.patch == {1: 900} and second.version > first.version


def test_a_command_is_withdrawn_before_it_is_sent_and_not_after(rig: CommandRig) -> None:
    first, second = rig.bin(17), rig.bin(18)
    rig.confirm(first)
    rig.confirm(second)
    rig.ask(document("a", "sample", {"nodes": [17, 18]}))
    rig.speak(first)
    answer = rig.ask({"schema": "kerbstone/command/1", "id": "stop", "operation": "cancel", "cancels": "a"})
    assert answer["event"] == "cancelled" and answer["nodes"] == 2
    assert rig.states("a") == {17: "unanswered", 18: "cancelled"}
    rig.speak(first)
    rig.speak(second)
    assert rig.states("a") == {17: "applied", 18: "cancelled"} and not second.heard
    again = rig.ask({"schema": "kerbstone/command/1", "id": "stop2", "operation": "cancel", "cancels": "a"})
    assert again["reason"] == "nothing to cancel"
    rig.ask(document("fire", target={"node": 17}, operation="sample"), "emergency")
    low = {"schema": "kerbstone/command/1", "id": "stop3", "operation": "cancel", "cancels": "fire"}
    assert rig.ask(low, "operator")["reason"] == "not allowed"


def test_a_document_that_comes_twice_counts_once(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    asked = document("a", "sample", {"node": 17})
    assert rig.ask(asked)["event"] == "accepted"
    again = rig.ask(asked)
    assert again["event"] == "known" and again["counts"] == {"queued": 1}
    assert rig.ask(document("a", "sample", {"node": 17}, note="another"))["reason"] == "id used"
    rig.speak(node)
    rig.speak(node)
    assert rig.ask(asked)["counts"] == {"applied": 1}  # also when it has ended
    rig.speak(node)
    assert len(node.done) == 1 and rig.query("SELECT count(*) FROM command_order") == [(1,)]


def test_a_brighten_is_one_group_message_and_says_who_did_not_answer(rig: CommandRig) -> None:
    lamps = [rig.lamp(address) for address in (801, 802, 803)]
    for lamp in lamps:
        rig.confirm(lamp)
        rig.speak(lamp)
    rig.air.sent.clear()
    answer = rig.ask(document("b", "brighten", {"group": "river-street"}), "emergency", listening=True)
    assert answer["nodes"] == 3 and answer["until"] == "2026-03-01T00:30:00Z"
    for step in (0, 3, 12, 60):
        rig.pass_time(step)
    data = (rig.folder / "group.key").read_bytes()
    key = group.GroupKey(data[1:], data[0] & 3)
    numbers: list[int] = []
    for sealed in rig.broadcasts:
        header = frame.parse(sealed)
        assert (header.space, header.node) == (frame.GROUP, 1)
        message = messages.decode(key.open(sealed, header), frame.GROUP)
        assert isinstance(message, Brighten) and (message.level, message.scope) == (100, 7)
        assert 1785 <= message.seconds <= 1800
        numbers.append(header.seq)
    assert len(numbers) == 3 and len(set(numbers)) == 3
    pushed = list(rig.air.sent)
    for lamp in lamps[:2]:
        for sealed in pushed:
            lamp.feed(sealed)
        assert [operation for _, operation, _ in lamp.done] == [SAMPLE]
        rig.speak(lamp)
    assert rig.states("b") == {801: "applied", 802: "applied", 803: "sent"}
    rig.pass_time(1800)
    ended = rig.entries()[-1]
    assert ended["event"] == "ended" and ended["unanswered"] == [803]


def test_no_start_repeats_a_number_of_a_group_message(rig: CommandRig) -> None:
    rig.lamp(801)
    seen: set[int] = set()
    for start in range(3):
        rig.ask(document(f"b{start}", "brighten", {"site": SITE}), "emergency")
        rig.pass_time(5)
        numbers = {frame.parse(sealed).seq for sealed in rig.broadcasts}
        assert numbers and not numbers & seen
        seen |= numbers
        rig.broadcasts.clear()
        rig.restart()


def test_brighten_is_for_those_whom_a_group_message_reaches(rig: CommandRig) -> None:
    add_node(rig.registry, 804, "lamp")
    assert rig.ask(document("b", "brighten", {"group": "quay"}), "emergency")["reason"] == "bad target"  # no scope
    assert rig.ask(document("b", "brighten", {"node": 804}), "emergency")["reason"] == "bad target"
    assert rig.ask(document("b", "brighten", {"site": SITE}), "schedule")["reason"] == "not allowed"
    assert rig.broadcasts == []


def test_commands_survive_a_restart_and_are_sent_under_the_same_id(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}))
    rig.ask(document("b", "identify", {"node": 17}))
    rig.speak(node)
    assert node.done and rig.states("a") == {17: "sent"}
    node._results.clear()  # lost on the way
    rig.restart()
    rig.pass_time(30)
    node.reset()
    rig.exchange(node)  # says hello
    for _ in range(6):
        if rig.states("b") != {17: "applied"}:
            rig.speak(node)
    assert [operation for _, operation, _ in node.done] == [SAMPLE, controls.IDENTIFY]
    assert rig.states("a") == rig.states("b") == {17: "applied"}


def test_what_left_as_the_gateway_died_is_not_called_expired(rig: CommandRig) -> None:
    """The frame is committed, its command has left, and that it left was never written down."""
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}))
    rig.ask(document("b", "sample", {"node": 17}, not_before=START + 1000))
    rig.store.dying = True
    rig.speak(node)
    assert len(node.done) == 1 and rig.states("a") == {17: "queued"}
    rig.restart()
    rig.pass_time(4000)
    assert rig.states("a") == {17: "unanswered"} and rig.states("b") == {17: "expired"}


def test_what_is_repeated_is_still_among_the_ids_that_a_node_keeps(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    for number in range(2 * KEEP):
        rig.ask(document(f"a{number:02}", "sample", {"node": 17}))
    rig.speak(node)
    node._results.clear()  # the first answer is lost, all others come
    for _ in range(3 * KEEP):
        rig.speak(node)
    assert len(node.done) == orders.WINDOW
    rig.pass_time(orders.PAUSE_S + 1)
    for _ in range(6 * KEEP):
        rig.speak(node)
    assert len({ident for ident, _, _ in node.done}) == len(node.done) == 2 * KEEP
    assert rig.query("SELECT DISTINCT state FROM command_order") == [("applied",)]


def test_what_an_ended_life_may_have_had_is_lost_and_not_sent_to_the_next(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("sent", "sample", {"node": 17}))
    rig.speak(node)
    rig.ask(document("waits", "identify", {"node": 17}))
    node.wipe()
    rig.confirm(node)
    for _ in range(4):
        rig.speak(node)
    assert rig.states("sent") == {17: "lost"}
    assert rig.states("waits") == {17: "applied"}  # nobody had it: it goes to the new life
    assert [operation for _, operation, _ in node.done] == [SAMPLE, controls.IDENTIFY]


def test_after_a_start_what_waited_goes_to_no_other_life(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}))
    rig.restart()  # the process before this one may have sent it
    node.wipe()
    rig.confirm(node)
    rig.speak(node)
    assert rig.states("a") == {17: "lost"} and not node.heard


def test_a_node_without_a_life_gets_its_command_once_it_has_one(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.ask(document("a", "sample", {"node": 17}))
    rig.confirm(node)
    rig.speak(node)
    rig.speak(node)
    rig.speak(node)
    assert rig.states("a") == {17: "applied"} and len(node.done) == 1


def test_a_restored_store_sends_nothing_that_it_may_have_sent_before(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    rig.ask(document("a", "sample", {"node": 17}))
    rig.close()
    copy = sqlite3.connect(rig.folder / "store.sqlite")
    copy.execute("INSERT INTO meta VALUES ('copied_at', 1)")
    copy.commit()
    copy.close()
    secret = (rig.folder / "group.key").read_bytes()
    rig.open()
    assert rig.states("a") == {17: "lost"}
    assert (rig.folder / "group.key").read_bytes() != secret  # its numbers may have been used
    rig.restart()
    assert len([entry for entry in rig.entries("note") if "restored" in entry]) == 1  # once
    node.reset()
    rig.confirm(node)
    rig.speak(node)
    assert not node.heard


def test_a_refusal_has_a_reason_and_a_hint_and_fills_no_log(rig: CommandRig) -> None:
    for number in range(200):
        answer = rig.ask(document(f"x{number}", "no such thing"))
        assert answer["event"] == "refused" and answer["hint"] == reasons.HINTS[answer["reason"]]
    assert len(rig.entries("note")) == reasons.REFUSALS
    rig.pass_time(reasons.REFUSAL_S)
    rig.ask(b"{")
    assert rig.entries("note")[-1]["unlogged_before"] == 180


def test_open_commands_are_bounded(rig: CommandRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerbgate.commands.ledger.MAX_OPEN", 3)
    rig.bin(17)
    answers = [rig.ask(document(f"a{n}", "sample", {"node": 17})) for n in range(5)]
    assert [answer.get("reason") for answer in answers] == [None, None, None, "too many", "too many"]


def test_what_ended_long_ago_is_forgotten(rig: CommandRig) -> None:
    rig.bin(17)
    rig.ask(document("a", "sample", {"node": 17}, expires=START + 5))
    rig.pass_time(10)
    rig.pass_time(31 * 86400)
    rig.pass_time(3601)
    assert rig.query("SELECT * FROM command") == [] and rig.query("SELECT * FROM command_order") == []


def test_the_chain_holds_over_all_of_it(rig: CommandRig) -> None:
    node = rig.bin(17)
    rig.confirm(node)
    for number in range(5):
        rig.ask(document(f"a{number}", "sample", {"node": 17}))
        rig.speak(node)
        rig.restart()
    with contextlib.closing(sqlite3.connect(rig.store.path)) as db:
        verdict = audit.verify(db, rig.key)
    assert verdict.sound and verdict.entries == verdict.last > 10


def test_every_operation_is_sent_by_its_code(rig: CommandRig) -> None:
    lamp = rig.lamp(801)
    rig.confirm(lamp)
    given: dict[str, Any] = {"configure": {"settings": {"1": 2}}}
    for name in OPERATIONS:
        if name != "brighten":
            assert rig.ask(document(f"o-{name}", name, **given.get(name, {})))["event"] == "accepted", name
            rig.speak(lamp)
            rig.speak(lamp)
            rig.clock.now += 1
            assert rig.states(f"o-{name}") == {801: "applied"}, name
    codes = {row.code for row in OPERATIONS.values() if row.code is not None}
    assert {operation for _, operation, _ in lamp.done} == codes | {-1}
    assert codes == set(controls.OPERATIONS) - {controls.RESEND}  # that one is the store's, after a restore
    assert secret_of(801) not in rig.store.path.read_bytes()
