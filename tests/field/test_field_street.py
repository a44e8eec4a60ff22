"""Faults of nodes and of the clock, one at a time on one street: what nodes report, and what several of them tell."""

from collections.abc import Iterator

import pytest
from field_harness import BINS, DAY, HOUR, LAMPS, WATTS, Doctor, World, asset, problems, until, well
from gateway_harness import START

from kerbgate.registry import inventory
from kerbtools.cli import main as kerb
from kerbwire import events
from kerbwire.channels import BATTERY, DISTANCE, FAULT, FAULTS, FILL, LEVEL, LUX, POWER, SUPPLY

F1, F2 = LAMPS[:3], LAMPS[3:]
SUPPLY_TOO_LOW = 256  # the bit of the faults channel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("street"))
    made.set_clock(START + 20 * HOUR)
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def healthy(world: World) -> None:
    """Before each fault nothing is wrong. What was silent while time went by has been heard for a while."""
    if problems(world.config):
        world.pass_time(HOUR / 2)
        world.say_all()
    well(world.config)


def until_hour(world: World, hour: int) -> None:
    """Go on to the next such hour, UTC."""
    world.pass_time((hour * HOUR - world.now % DAY) % DAY or DAY)


def night(world: World) -> None:
    """Go on to the evening, and let everybody speak."""
    until_hour(world, 20)
    world.say_all()


def test_a_drained_battery(world: World, named: Doctor) -> None:
    world.say(1, values={BATTERY: 305})
    world.pass_time(10 * HOUR)
    world.say_all_but(1)
    world.pass_time(HOUR / 2)  # lamps that were silent while time went by are well again
    world.say_all_but(1)
    named("drained battery", world.config, "nodes", "its cells are at their end", "change the cells of node 1", node=1)
    world.say(1)
    world.pass_time(40 * HOUR)
    world.say_all()


def test_a_dead_sensor(world: World, named: Doctor) -> None:
    world.say(2, values={FILL: FAULT, DISTANCE: FAULT})
    world.pass_time(4 * HOUR)
    world.say_all_but(2)
    named("dead sensor", world.config, "nodes", "a sensor is dead", "kerb send self_test --node 2", node=2)
    world.say(2)
    world.pass_time(4 * HOUR)
    world.say_all()


def test_a_photocell_that_is_covered(world: World, named: Doctor) -> None:
    world.tell(801, events.PHOTOCELL_FAULT, events.WARNING, {LUX: 0})
    world.pass_time(2 * HOUR)
    world.say_all()
    named(
        "covered photocell",
        world.config,
        "nodes",
        "the photocell is covered",
        "clean the photocell of node 801",
        node=801,
    )
    world.tell(801, events.PHOTOCELL_FAULT, events.WARNING, {LUX: 80}, state=events.CLEARED)
    world.pass_time(40 * HOUR)
    world.say_all()


def test_a_dip_of_the_network_operators_supply(world: World, named: Doctor) -> None:
    world.say(*LAMPS, values={SUPPLY: 196, FAULTS: SUPPLY_TOO_LOW})
    world.pass_time(0.25 * HOUR)
    named("supply dip", world.config, "supply", "the network operator", "network operator")
    world.say_all()
    world.pass_time(HOUR)
    world.say_all()


def test_lamps_bound_to_each_others_column(world: World, named: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    with world.registry() as registry:  # columns 802 and 805 have other luminaires, and their nodes were exchanged
        inventory.take(registry, [asset(802, "lamp", wattage_w=20.0), asset(805, "lamp", wattage_w=90.0)])
    night(world)
    world.say(802, values={LEVEL: 100, POWER: 900}, count=16)
    world.say(805, values={LEVEL: 100, POWER: 200}, count=16)
    world.pass_time(HOUR)
    world.say_all_but(802, 805)
    first = named(
        "lamp at the wrong column", world.config, "columns", "bound to each other's column", "kerb bind", node=802
    )
    assert first.nodes == (802, 805)
    commands = next(step for step in first.next if "kerb bind" in step).split("; ")
    for command in commands:  # what it says is what mends it
        words = [word.strip("'") for word in command.split()][1:]
        assert kerb([*words, "--registry", str(world.registry_path)]) == 0, command
    capsys.readouterr()
    with world.registry() as registry:
        assert registry.card(802).asset == "lamp-805"
    well(world.config)
    with world.registry() as registry:
        inventory.take(registry, [asset(802, "lamp", wattage_w=WATTS), asset(805, "lamp", wattage_w=WATTS)])
        for address in (802, 805):
            inventory.unbind(registry, address)
        for address in (802, 805):
            inventory.bind(registry, address, asset(address, "lamp"))
    world.pass_time(4 * DAY)
    night(world)


def test_a_feeder_that_its_cabinet_switches(world: World, named: Doctor) -> None:
    """The inventory says permanent. By day its lamps are silent, at night they speak, and that is no fault."""
    others = (*BINS, *F1)
    for _ in range(2):
        until_hour(world, 6)
        world.say(*F2, count=40)
        world.say(*others)
        until_hour(world, 20)
        world.say(*others, *F2)
    until_hour(world, 5)
    for _ in range(5):  # its pace: a quarter of an hour
        world.pass_time(900)
        world.say(*F1, *F2)
    for _ in range(3):  # by day; the others speak on
        world.pass_time(3000)
        world.say(*others)
    named("switched feeder", world.config, "supply", "its cabinet switches the feeder", "--supply switched")
    with world.registry() as registry:
        inventory.take(registry, [asset(address, "lamp", supply="switched") for address in F2])
    night(world)
    world.pass_time(HOUR / 2)
    world.say_all()
    well(world.config)


def test_a_clock_that_is_an_hour_ahead(world: World, named: Doctor) -> None:
    night(world)
    world.set_clock(world.clock.utc() + HOUR)
    for address in (*BINS, *LAMPS):
        node = world.nodes[address]
        node.take_values(world.now - HOUR, {FILL: 30} if address in BINS else {LEVEL: 100, POWER: 403})
    world.exchange(*BINS, *LAMPS)
    first = named(
        "clock off by an hour", world.config, "clock", "the host's clock is wrong", "timedatectl set-ntp true"
    )
    assert "ahead" in first.evidence and ("60 min" in first.evidence or "h ahead" in first.evidence)
    world.set_clock(world.clock.utc() - HOUR)
    world.say_all()
    until(lambda: "ahead" not in str(problems(world.config, ["clock"])), "the clock agrees with the nodes again")
