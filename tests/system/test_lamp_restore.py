"""Power comes back to a whole street: every lamp is confirmed within the window, and the line bears it."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from kerbtools.bench.native import NativeGateway, NativeLamp
from kerbtools.emulator.ether import Ether
from kerbtools.emulator.street_scene import ColumnScene, Walker
from kerbtools.emulator.world import World
from kerbwire.channels import CAUSE, HOURS, LEVEL
from kerbwire.controls import DIM, OPERATOR, Command
from kerbwire.events import Event
from kerbwire.messages import Hello, Report

LAMPS = 30
SPREAD_S = 60
BAUD = 19_200
USB_S, EXCHANGE_S = 3, 5


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=4, paused=True) as made:
        yield made


def restore(world: World, folder: Path, count: int, baud: int) -> tuple[Ether, NativeGateway, list[NativeLamp]]:
    ether = Ether(world, baud=baud)
    secrets = {node: bytes([node % 251]) * 16 for node in range(801, 801 + count)}
    gateway = NativeGateway(world, ether, secrets)
    scene = ColumnScene("dark", world.start_utc * 1_000_000, 0.0, [])
    lamps = [
        NativeLamp(world, ether, folder / str(node), node, secret, scene, f'{{"look_s": 60, "spread_s": {SPREAD_S}}}')
        for node, secret in secrets.items()
    ]
    for lamp in lamps:
        lamp.start()
    return ether, gateway, lamps


def test_a_street_comes_back_within_its_window(world: World, tmp_path: Path) -> None:
    ether, gateway, lamps = restore(world, tmp_path, LAMPS, BAUD)
    obeyed = dict.fromkeys(lamps, 0)
    # A command without its echo, before anybody has spoken and again while they do: nobody may take it.
    forged = Command(10**6, 7, DIM, [0, 0, 3600], world.start_utc + 86400, 86400, OPERATOR)
    for node in gateway.heard:
        gateway.ask(node, lambda echo: forged)
    world.advance(USB_S + SPREAD_S + EXCHANGE_S, timeout_s=120)
    assert set(gateway.confirmed_s) == set(gateway.heard)
    assert max(gateway.confirmed_s.values()) <= USB_S + SPREAD_S + EXCHANGE_S
    moments = sorted(gateway.confirmed_s.values())
    assert moments[-1] - moments[0] > SPREAD_S / 2  # spread, and not all at once
    assert ether.tally.busy_us < 0.5 * SPREAD_S * 1_000_000  # no storm: the line is idle for more than half of the time
    hellos = sum(isinstance(message, Hello) for messages in gateway.heard.values() for message in messages)
    assert hellos == LAMPS and gateway.refused == 0
    for lamp in lamps:
        obeyed[lamp] = sum(line.startswith("obeyed") for _, line in lamp.lines)
        assert lamp.failure is None and lamp.luminaire.percent  # and it is night: all of them shine
    assert not any(obeyed.values())
    # With its echo it is taken, by the one that it is for.
    gateway.ask(801, lambda echo: Command(echo, 8, DIM, [40, 0, 3600], world.start_utc + 86400, 86400, OPERATOR))
    world.advance(900, timeout_s=120)
    assert any(line == "obeyed 8 0" for _, line in lamps[0].lines), lamps[0].lines[-5:]
    assert lamps[0].node.lamp.ramp.level == 40 and lamps[1].node.lamp.ramp.level != 40


def test_a_gateway_that_is_silent_for_hours_costs_no_record_and_no_light(world: World, tmp_path: Path) -> None:
    """More quarters of an hour than the register holds, level changes besides, and what was in flight when it fell silent."""
    begin_us = world.start_utc * 1_000_000
    walkers = [Walker(begin_us + 600_000_000 * number, 1.4) for number in range(1, 60)]
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {801: bytes(16)})
    scene = ColumnScene("dark", begin_us, 0.0, walkers)
    lamp = NativeLamp(world, ether, tmp_path / "801", 801, bytes(16), scene, '{"look_s": 60, "spread_s": 5}')
    lamp.start()
    world.advance(1200, timeout_s=60)
    gateway.deaf = True
    world.advance(2 * 3600, timeout_s=120)
    assert lamp.luminaire.percent  # it is night still
    world.advance(6 * 3600, timeout_s=120)
    assert lamp.failure is None
    silent = sum(line.startswith("sent") and at_s > 1300 for at_s, line in lamp.lines)
    assert 10 < silent < 150  # it asks again, seldom
    gateway.deaf = False
    world.advance(5400, timeout_s=120)
    assert lamp.failure is None
    kept = {int(line.split()[2]) for _, line in lamp.lines if line.split()[0] in ("taken", "changed", "event")}
    came: list[int] = []
    for message in gateway.heard[801]:
        if isinstance(message, Report):
            came += [record.index for record in message.records]
        elif isinstance(message, Event):
            came.append(message.index)
    assert len(came) == len(set(came)) and set(came) <= kept
    waiting = kept - set(came)  # of the hour that is not reported yet
    assert len(waiting) < 20 and len(kept) > 80, (len(kept), sorted(waiting))
    quarters = [
        record.time for message in gateway.heard[801] if isinstance(message, Report)
        for record in message.records if HOURS in record.values
    ]  # fmt: skip
    assert all(later - sooner == 900 for sooner, later in pairwise(sorted(quarters))) and len(quarters) >= 8 * 4


def test_after_a_power_cut_the_log_claims_no_light_that_nobody_paid_for(world: World, tmp_path: Path) -> None:
    """From the last moment that the flash knows of until the power is back, the level is 0; nothing is numbered twice."""
    begin_us = world.start_utc * 1_000_000
    walkers = [Walker(begin_us + 600_000_000 * number, 1.4) for number in range(1, 6)]
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {801: bytes(16)})
    scene = ColumnScene("dark", begin_us, 0.0, walkers)

    def power_on() -> NativeLamp:
        lamp = NativeLamp(world, ether, tmp_path / "801", 801, bytes(16), scene, '{"look_s": 60, "spread_s": 60}')
        lamp.start()
        return lamp

    first = power_on()
    world.advance(3400, timeout_s=60)  # the last walker but one is past, and 45 minutes are on flash
    first.stop()
    world.advance(1800, timeout_s=60)
    second = power_on()
    world.advance(7200, timeout_s=60)
    assert first.failure is None and second.failure is None
    reports = [message for message in gateway.heard[801] if isinstance(message, Report)]
    indices = [record.index for report in reports for record in report.records]
    assert len(indices) == len(set(indices))
    dated = [record for report in reports if report.boot is None for record in report.records if CAUSE in record.values]
    changes = sorted((record.time - world.start_utc, record.values[LEVEL]) for record in dated)
    (dark,) = [at_s for at_s, level in changes if level == 0]
    assert 2700 <= dark <= 3400, changes  # by the last quarter of an hour, or the last change
    assert not [change for change in changes if dark < change[0] < 5200]
    # What a start shows before it knows the time comes with its boot, to be dated by the gateway.
    undated = [(report.boot, record.values[LEVEL]) for report in reports if report.boot for record in report.records]
    assert undated == [(1, 100), (1, 20), (2, 100), (2, 20)]  # what a driver shows until it is told, then the floor
