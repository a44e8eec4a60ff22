"""Expiry and schedule of commands, with clocks that are right, wrong and set."""

import pytest
from commands_harness import CommandRig, document
from gateway_harness import START

from kerbwire.controls import Command


@pytest.mark.parametrize("early_s", [0, 1, 2])
def test_expiry_is_honoured_to_the_second(command_rig: CommandRig, early_s: int) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    command_rig.clock.now, command_rig.mono = START + 60 - early_s, command_rig.mono + 60 - early_s
    command_rig.speak(node)
    if early_s:
        (command,) = node.heard
        assert isinstance(command, Command) and command.remaining == early_s and command.expiry == START + 60
        assert len(node.done) == 1
    else:
        assert not node.heard and command_rig.states("a") == {17: "expired"}
    command_rig.pass_time(early_s)
    assert command_rig.states("a")[17] == ("unanswered" if early_s else "expired")


def test_a_fraction_of_a_second_is_not_sent(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    command_rig.clock.now, command_rig.mono = START + 59.5, command_rig.mono + 59.5
    command_rig.speak(node)
    assert not node.heard  # no whole second is left, which is what the wire counts


def test_a_clock_set_back_lengthens_no_command(command_rig: CommandRig) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    command_rig.clock.now -= 86400
    command_rig.mono += 61
    command_rig.speak(node)
    assert not node.heard and command_rig.states("a") == {17: "expired"}


@pytest.mark.parametrize("left_s", [1, 0])
def test_a_clock_set_forward_ends_it_by_utc(command_rig: CommandRig, left_s: int) -> None:
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    command_rig.clock.now += 60 - left_s  # and the seconds that were counted since have not gone by
    command_rig.speak(node)
    assert [command.remaining for command in node.heard if isinstance(command, Command)] == [1][:left_s]
    assert command_rig.states("a") == {17: "sent" if left_s else "expired"}


def test_without_a_trusted_clock_only_the_seconds_go_out(command_rig: CommandRig) -> None:
    node = command_rig.bin(17, clock_set=False)
    command_rig.confirm(node)
    command_rig.clock.is_synchronised = False
    assert command_rig.ask(document("a", "sample", {"node": 17}))["reason"] == "clock not synchronised"
    local = {"schema": "kerbstone/command/1", "id": "b", "operation": "sample", "target": {"node": 17}, "valid_s": 90}
    assert command_rig.ask(local, "local")["event"] == "accepted"
    command_rig.speak(node)
    (command,) = node.heard
    assert isinstance(command, Command) and command.remaining == 90 and command.expiry == (1 << 32) - 1


def test_a_late_answer_still_counts(command_rig: CommandRig) -> None:
    """A bin obeys, and tells of it a day later: what was unknown becomes applied."""
    node = command_rig.bin(17)
    command_rig.confirm(node)
    command_rig.ask(document("a", "sample", {"node": 17}, expires=START + 60))
    command_rig.speak(node)
    command_rig.pass_time(86400)
    assert command_rig.states("a") == {17: "unanswered"}
    ended = command_rig.entries()[-1]
    assert ended["event"] == "ended" and ended["unanswered"] == [17]
    command_rig.speak(node)
    assert command_rig.states("a") == {17: "applied"} and command_rig.intake.undecoded == 0
    assert command_rig.entries()[-1]["changes"] == [{"node": 17, "state": "applied"}]


def test_a_scheduled_command_waits_for_its_time(command_rig: CommandRig) -> None:
    lamp = command_rig.lamp(801)
    command_rig.confirm(lamp)
    command_rig.ask(document("later", not_before=START + 600, until=START + 900, arguments={"level_percent": 10}))
    command_rig.ask(document("now", arguments={"level_percent": 70}))
    assert command_rig.states("later") == {801: "accepted"}
    command_rig.speak(lamp)
    command_rig.speak(lamp)
    command_rig.pass_time(599)
    command_rig.speak(lamp)
    assert command_rig.states("later") == {801: "accepted"} and len(lamp.done) == 1
    command_rig.pass_time(1)
    for sealed in command_rig.air.sent:  # it listens
        lamp.feed(sealed)
    assert lamp.done[-1][2] == (10, 2, 300)  # until the time that was named
    command_rig.speak(lamp)
    assert command_rig.states("later") == {801: "applied"}
