"""Commands to groups, streets and sites, and the group message `brighten`."""

from commands_harness import CommandRig, document
from gateway_harness import SITE, add_node

from kerbgate.commands.operations import NO_ISOLATION
from kerbwire import frame, group, messages
from kerbwire.controls import SAMPLE
from kerbwire.waves import Brighten


def test_groups_sites_and_streets(command_rig: CommandRig) -> None:
    for address in range(801, 807):
        add_node(command_rig.registry, address, "lamp")
    add_node(command_rig.registry, 17, "bin")
    add_node(command_rig.registry, 900, "lamp")
    dry = command_rig.ask(document("dry", target={"group": "quay"}, dry_run=True))
    assert (dry["event"], dry["nodes"], dry["streets"]) == ("dry run", 3, {"The Quay": 3})  # the bin is no lamp
    assert dry["until"] == "2026-03-01T01:00:00Z" and dry["notice"] == NO_ISOLATION
    assert command_rig.query("SELECT * FROM command") == [] and command_rig.entries() == []
    site = command_rig.ask(document("site", target={"site": SITE}))
    assert site["nodes"] == 7 and site["streets"] == {"River Street": 3, "The Quay": 3}
    assert command_rig.ask(document("all", "sample", {"site": SITE}))["nodes"] == 8
    assert command_rig.ask(document("x", target={"site": "elsewhere"}))["reason"] == "other site"
    assert command_rig.ask(document("x", target={"group": "nowhere"}))["reason"] == "unknown group"
    assert command_rig.ask(document("x", target={"nodes": [801, 17]}))["reason"] == "no such role"
    assert command_rig.ask(document("x", target={"node": 4000}))["reason"] == "unknown node"
    command_rig.registry.mark(806, "quarantine")
    assert command_rig.ask(document("x", target={"node": 806}))["reason"] == "out of service"
    assert command_rig.ask(document("y", target={"group": "quay"}))["nodes"] == 2


def test_a_brighten_is_one_group_message_and_says_who_did_not_answer(command_rig: CommandRig) -> None:
    lamps = [command_rig.lamp(address) for address in (801, 802, 803)]
    for lamp in lamps:
        command_rig.confirm(lamp)
        command_rig.speak(lamp)
    command_rig.air.sent.clear()
    answer = command_rig.ask(document("b", "brighten", {"group": "river-street"}), "emergency", listening=True)
    assert answer["nodes"] == 3 and answer["until"] == "2026-03-01T00:30:00Z"
    for step in (0, 3, 12, 60):
        command_rig.pass_time(step)
    data = (command_rig.folder / "group.key").read_bytes()
    key = group.GroupKey(data[1:], data[0] & 3)
    numbers: list[int] = []
    for sealed in command_rig.broadcasts:
        header = frame.parse(sealed)
        assert (header.space, header.node) == (frame.GROUP, 1)
        message = messages.decode(key.open(sealed, header), frame.GROUP)
        assert isinstance(message, Brighten) and (message.level, message.scope) == (100, 7)
        assert 1785 <= message.seconds <= 1800
        numbers.append(header.seq)
    assert len(numbers) == 3 and len(set(numbers)) == 3
    pushed = list(command_rig.air.sent)
    for lamp in lamps[:2]:
        for sealed in pushed:
            lamp.feed(sealed)
        assert [operation for _, operation, _ in lamp.done] == [SAMPLE]
        command_rig.speak(lamp)
    assert command_rig.states("b") == {801: "applied", 802: "applied", 803: "sent"}
    command_rig.pass_time(1800)
    ended = command_rig.entries()[-1]
    assert ended["event"] == "ended" and ended["unanswered"] == [803]


def test_no_start_repeats_a_number_of_a_group_message(command_rig: CommandRig) -> None:
    command_rig.lamp(801)
    seen: set[int] = set()
    for start in range(3):
        command_rig.ask(document(f"b{start}", "brighten", {"site": SITE}), "emergency")
        command_rig.pass_time(5)
        numbers = {frame.parse(sealed).seq for sealed in command_rig.broadcasts}
        assert numbers and not numbers & seen
        seen |= numbers
        command_rig.broadcasts.clear()
        command_rig.restart()


def test_brighten_is_for_those_whom_a_group_message_reaches(command_rig: CommandRig) -> None:
    add_node(command_rig.registry, 804, "lamp")
    assert (
        command_rig.ask(document("b", "brighten", {"group": "quay"}), "emergency")["reason"] == "bad target"
    )  # no scope
    assert command_rig.ask(document("b", "brighten", {"node": 804}), "emergency")["reason"] == "bad target"
    assert command_rig.ask(document("b", "brighten", {"site": SITE}), "schedule")["reason"] == "not allowed"
    assert command_rig.broadcasts == []
