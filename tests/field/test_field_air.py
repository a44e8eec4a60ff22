"""Faults on the air: who is refused, who starts again and again, who runs another program. One street for all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from field_harness import HOUR, Doctor, Node, World, well
from gateway_harness import secret_of

from kerbgate.registry import inventory
from kerbtools.cli import main as kerb
from kerbwire import channels, line, messages


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("air"))
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def healthy(world: World) -> Iterator[None]:
    """Before each fault nothing is wrong; after it an hour goes by, in which everybody speaks."""
    well(world.config)
    yield
    world.pass_time(3 * HOUR)
    world.say_all()


def test_frames_that_are_replayed_with_a_stolen_key(
    world: World, named: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    node = world.nodes[1]
    recorded: list[bytes] = []
    for _ in range(70):  # more than a window
        node.take_values(world.now, {channels.FILL: 10})
        recorded.append(node.next_frame() or b"")
    for data in recorded:
        world.put(line.encode(data))
    world.exchange(1)
    world.say(1)
    world.say(1)
    for data in recorded[:5]:
        world.put(line.encode(data))
    first = named("stolen key replaying", world.config, "refused", "replays recorded frames", "kerb revoke 1", node=1)
    step = next(one for one in first.next if one.startswith("kerb revoke")).split()
    assert kerb(step[1:]) == 0  # what it says is what mends it
    assert "1" in capsys.readouterr().out
    with world.registry() as registry:
        assert registry.card(1).state == "stolen"
        registry.remove(1)
        registry.add(address=1, site="harbour", role="bin", board="esp32_c3", secret=secret_of(1))
        inventory.bind(registry, 1, inventory.asset(registry, "bin-1"))


def test_two_nodes_with_one_address(world: World, named: Doctor) -> None:
    other = Node(2, secret_of(999), seed=5, role=channels.BIN)
    for _ in range(4):
        world.put(line.encode(other.next_frame() or b""))
        world.say(2)
    named("two nodes, one address", world.config, "refused", "two nodes have this address", "kerb provision", node=2)


def test_a_board_that_was_cloned(world: World, named: Doctor) -> None:
    clone = Node(3, secret_of(3), seed=77, role=channels.BIN)
    world.street.nodes[3] = clone
    world.nodes[3], original = clone, world.nodes[3]
    world.say(3)  # the clone has a life of its own: the other one's is closed
    original.take_values(world.now, {channels.FILL: 3})
    for _ in range(4):
        world.put(line.encode(original.next_frame() or b""))
        world.say(3)
    named("cloned node", world.config, "refused", "two boards have the key", "kerb send identify --node 3", node=3)


def test_a_registry_that_misses_a_node(world: World, named: Doctor) -> None:
    with world.registry() as registry:
        registry.remove(4)
    named(
        "registry misses a node", world.config, "registry", "older copy of the registry", "kerb registry import", node=4
    )
    with world.registry() as registry:
        registry.add(address=4, site="harbour", role="bin", board="esp32_c3", secret=secret_of(4))
        inventory.bind(registry, 4, inventory.asset(registry, "bin-4"))


def test_a_node_of_another_gateway(world: World, named: Doctor) -> None:
    foreign = Node(4711, secret_of(4711), seed=9, role=channels.BIN)
    world.put(line.encode(foreign.next_frame() or b""))
    named(
        "foreign gateway's node",
        world.config,
        "refused",
        "a node of another gateway",
        "kerb registry import",
        node=4711,
    )


def test_a_node_that_boots_in_a_loop(world: World, named: Doctor) -> None:
    node = world.nodes[2]
    assert isinstance(node, Node)
    node.reset_cause = messages.WATCHDOG
    for _ in range(6):
        node.reset()
        world.say(2)
    named("boot loop", world.config, "boots", "its program hangs", "kerb alarms log 2", node=2)
    node.reset_cause = messages.POWER_ON


def test_nodes_of_another_version(world: World, named: Doctor) -> None:
    node = world.nodes[2]
    assert isinstance(node, Node)
    node.firmware = "1.3.9"
    node.reset()
    world.say(2)
    named("version skew", world.config, "programs", "an update that did not reach", "kerb flash", node=2)
    node.firmware = "1.4.0"
    node.reset()
    world.say(2)


def test_what_is_refused_is_also_in_the_story_of_the_node(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = Node(2, secret_of(999), seed=6, role=channels.BIN)
    for _ in range(4):
        world.put(line.encode(other.next_frame() or b""))
        world.say(2)
    assert kerb(["show", "2", "--config", str(world.config)]) == 0
    said = capsys.readouterr().out
    assert "two nodes have this address" in said and "likely" in said and "unsealed" in said and "bin-2" in said
