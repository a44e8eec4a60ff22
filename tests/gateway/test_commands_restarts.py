"""Commands over restarts, restores and new lives: nothing is sent twice, nothing to another life."""

import contextlib
import json
import sqlite3
from typing import Any

import pytest
from commands_harness import CommandRig, document
from gateway_harness import START

from kerbgate.commands import orders
from kerbwire import controls
from kerbwire.commands import KEEP, Commands
from kerbwire.controls import SAMPLE


def test_a_node_that_died_while_it_obeyed_does_not_act_again(command_rig: CommandRig) -> None:
    class Died(Exception):
        pass

    def die(command: Any) -> None:
        raise Died

    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "restart", {"node": 17}))
    node.on_obey = die
    with pytest.raises(Died):
        command_rig.speak(node)
    node._commands = Commands(node._commands.stored)  # flash is all that it has left
    node.reset()
    node.on_obey = lambda command: None
    command_rig.pass_time(60)
    command_rig.exchange(node)
    for _ in range(2):
        command_rig.speak(node)
    assert command_rig.states("a") == {17: "interrupted"} and not node.done


def test_a_start_settles_which_is_the_newest(command_rig: CommandRig) -> None:
    """The gateway dies after the newer one is written down, and before the older one is."""
    command_rig.confirm(lamp := command_rig.lamp(801))
    command_rig.ask(document("old", arguments={"level_percent": 10}))
    command_rig.store.dying = True
    with contextlib.closing(sqlite3.connect(command_rig.store.path, timeout=5)) as db:
        now_ms = START * 1000 + 5000
        text = json.dumps(document("new", arguments={"level_percent": 90}))
        row = ("new", b"", "operator", "dim", 1, text, START, START + 3600, now_ms)
        db.execute("INSERT INTO command VALUES (?,?,?,?,?,?,?,?,?,NULL)", row)
        db.execute("INSERT INTO command_order VALUES (1,'new',801,NULL,NULL,'queued',NULL,NULL,?)", (now_ms,))
        db.commit()
    command_rig.restart()
    for _ in range(3):
        command_rig.speak(lamp)
    assert [arguments[0] for _, _, arguments in lamp.done] == [90]
    assert command_rig.states("old") == {801: "unanswered"}  # the process before may have sent it


def test_commands_survive_a_restart_and_are_sent_under_the_same_id(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}))
    command_rig.ask(document("b", "identify", {"node": 17}))
    command_rig.speak(node)
    assert node.done and command_rig.states("a") == {17: "sent"}
    node._results.clear()  # lost on the way
    command_rig.restart()
    command_rig.pass_time(30)
    node.reset()
    command_rig.exchange(node)  # says hello
    for _ in range(6):
        if command_rig.states("b") != {17: "applied"}:
            command_rig.speak(node)
    assert [operation for _, operation, _ in node.done] == [SAMPLE, controls.IDENTIFY]
    assert command_rig.states("a") == command_rig.states("b") == {17: "applied"}


def test_what_left_as_the_gateway_died_is_not_called_expired(command_rig: CommandRig) -> None:
    """The frame is committed, its command has left, and that it left was never written down."""
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}))
    command_rig.ask(document("b", "sample", {"node": 17}, not_before=START + 1000))
    command_rig.store.dying = True
    command_rig.speak(node)
    assert len(node.done) == 1 and command_rig.states("a") == {17: "queued"}
    command_rig.restart()
    command_rig.pass_time(4000)
    assert command_rig.states("a") == {17: "unanswered"} and command_rig.states("b") == {17: "expired"}


def test_what_is_repeated_is_still_among_the_ids_that_a_node_keeps(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    for number in range(2 * KEEP):
        command_rig.ask(document(f"a{number:02}", "sample", {"node": 17}))
    command_rig.speak(node)
    node._results.clear()  # the first answer is lost, all others come
    for _ in range(3 * KEEP):
        command_rig.speak(node)
    assert len(node.done) == orders.WINDOW
    command_rig.pass_time(orders.PAUSE_S + 1)
    for _ in range(6 * KEEP):
        command_rig.speak(node)
    assert len({ident for ident, _, _ in node.done}) == len(node.done) == 2 * KEEP
    assert command_rig.query("SELECT DISTINCT state FROM command_order") == [("applied",)]


def test_what_an_ended_life_may_have_had_is_lost_and_not_sent_to_the_next(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("sent", "sample", {"node": 17}))
    command_rig.speak(node)
    command_rig.ask(document("waits", "identify", {"node": 17}))
    node.wipe()
    command_rig.confirm(node)
    for _ in range(4):
        command_rig.speak(node)
    assert command_rig.states("sent") == {17: "lost"}
    assert command_rig.states("waits") == {17: "applied"}  # nobody had it: it goes to the new life
    assert [operation for _, operation, _ in node.done] == [SAMPLE, controls.IDENTIFY]


def test_after_a_start_what_waited_goes_to_no_other_life(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}))
    command_rig.restart()  # the process before this one may have sent it
    node.wipe()
    command_rig.confirm(node)
    command_rig.speak(node)
    assert command_rig.states("a") == {17: "lost"} and not node.heard


def test_a_node_without_a_life_gets_its_command_once_it_has_one(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.ask(document("a", "sample", {"node": 17}))
    command_rig.confirm(node)
    command_rig.speak(node)
    command_rig.speak(node)
    command_rig.speak(node)
    assert command_rig.states("a") == {17: "applied"} and len(node.done) == 1


def test_a_restored_store_sends_nothing_that_it_may_have_sent_before(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}))
    command_rig.close()
    copy = sqlite3.connect(command_rig.folder / "store.sqlite")
    copy.execute("INSERT INTO meta VALUES ('copied_at', 1)")
    copy.commit()
    copy.close()
    secret = (command_rig.folder / "group.key").read_bytes()
    command_rig.open()
    assert command_rig.states("a") == {17: "lost"}
    assert (command_rig.folder / "group.key").read_bytes() != secret  # its numbers may have been used
    command_rig.restart()
    assert len([entry for entry in command_rig.entries("note") if "restored" in entry]) == 1  # once
    node.reset()
    command_rig.confirm(node)
    command_rig.speak(node)
    assert not node.heard
