"""A lamp's program on CPython against a gateway that is slow, silent or asks for much, and its starts and ends."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kerbnode import lampsettings
from kerbnode.lampnode import SAFE_FAILURES
from kerbnode.slots import Slots
from kerbtools.bench.native import NativeGateway, NativeLamp
from kerbtools.emulator.ether import Ether
from kerbtools.emulator.street_scene import ColumnScene
from kerbtools.emulator.world import START_UTC, World
from kerbwire.controls import APPLIED, DIM, OPERATOR, RESTART, SAMPLE, Command, Result

NODE, SECRET = 801, bytes(16)
LOOK_S = 2
CONFIG = f'"look_s": {LOOK_S}, "spread_s": 5'
TICK_LATE_MS = 50


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=4, start_utc=START_UTC + 20 * 3600, paused=True) as made:
        yield made


def lamp_of(world: World, ether: Ether, folder: Path, more: str = "") -> NativeLamp:
    scene = ColumnScene("alone", world.start_utc * 1_000_000, 0.0, [])
    lamp = NativeLamp(world, ether, folder / str(NODE), NODE, SECRET, scene, "{%s}" % (CONFIG + more))
    lamp.start()
    return lamp


def order(world: World, ident: int, operation: int, *arguments: int) -> "Callable[[int], Command]":
    until_s = world.start_utc + 86400

    def make(echo: int) -> Command:
        return Command(echo, ident, operation, list(arguments), until_s, 86400, OPERATOR)

    return make


def results(gateway: NativeGateway) -> "list[tuple[int, int]]":
    return [(message.ident, message.status) for message in gateway.heard[NODE] if isinstance(message, Result)]


def test_while_an_answer_is_long_in_coming_the_light_goes_on(world: World, tmp_path: Path) -> None:
    """Level changes wait for flash meanwhile; neither a tick nor the answer may wait for that."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET}, answer_us=2_000_000)
    gateway.ask(NODE, order(world, 8, DIM, 60, 0, 3600))
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(60, timeout_s=30)
    assert lamp.failure is None and results(gateway) == [(8, APPLIED)]
    assert lamp.node.lamp.ramp.level == 60 and lamp.node.loop.slowest_ms <= TICK_LATE_MS


def test_of_two_commands_that_come_together_the_later_one_holds(world: World, tmp_path: Path) -> None:
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    gateway.ask(NODE, order(world, 8, DIM, 60, 0, 3600))
    gateway.ask(NODE, order(world, 9, DIM, 70, 0, 3600))
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(60, timeout_s=30)
    assert results(gateway) == [(8, APPLIED), (9, APPLIED)] and lamp.node.lamp.ramp.level == 70


def test_what_is_asked_after_a_silence_is_obeyed(world: World, tmp_path: Path) -> None:
    """The gateway is back before the lamp tries again, and asks for a record at once."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(60, timeout_s=30)
    gateway.deaf = True
    world.advance(2 * 3600, timeout_s=30)
    assert lamp.node.pace.level
    sent = [int(words[2]) for words in (text.split() for _, text in lamp.lines) if words[0] == "sent"]
    gateway.deaf = False
    gateway.tell(NODE, order(world, 8, SAMPLE)(sent[-1]))
    world.advance(3600, timeout_s=30)
    assert lamp.failure is None and (8, APPLIED) in results(gateway)


def test_after_a_silence_that_left_nothing_to_say_the_program_rests(world: World, tmp_path: Path) -> None:
    """An answer that came late has settled all that was said; a program that turns in a circle would not come so far."""
    ether = Ether(world)
    _ = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(60, timeout_s=30)
    lamp.node.pace.silent()
    world.advance(600, timeout_s=10)
    assert lamp.failure is None and lamp.node.pace.level == 1


def test_a_restart_loses_no_level_change(world: World, tmp_path: Path) -> None:
    """A step waits in memory while a ramp of a minute is under way, and the ramp outlasts the restart's patience."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path, more=', "ramp_down_ms": 60000')
    world.advance(30, timeout_s=30)
    gateway.ask(NODE, order(world, 8, DIM, 100, 0, 3600))
    gateway.ask(NODE, order(world, 9, DIM, 20, 0, 3600))
    gateway.ask(NODE, order(world, 10, RESTART))
    world.advance(2 * 3600, timeout_s=30)
    assert lamp.failure is None and (10, APPLIED) in results(gateway)
    assert not lamp.node.changes.waiting and not lamp.node.loop.is_steady


def test_a_start_after_a_failed_one_gives_up_settings_on_trial_and_runs_by_the_good_ones(
    world: World, tmp_path: Path
) -> None:
    ether = Ether(world)
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(4, timeout_s=30)
    lamp.stop()
    high = [row[0] for row in lampsettings.ROWS].index("high")
    slots: Any = Slots(str(tmp_path / str(NODE)))
    slots.put(1, {high: 50})
    lamp = lamp_of(world, ether, tmp_path)  # the start before it did not last
    world.advance(30, timeout_s=30)
    assert lamp.failure is None and lamp.has_ended  # and resets
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(30, timeout_s=30)
    assert lamp.node.settings["high"] == 100 and not lamp.has_ended


def test_in_safe_mode_a_photocell_that_sees_the_own_lamp_does_not_put_it_out(world: World, tmp_path: Path) -> None:
    ether = Ether(world)
    for _ in range(SAFE_FAILURES):
        lamp = lamp_of(world, ether, tmp_path)
        world.advance(4, timeout_s=30)
        lamp.stop()
    lamp = lamp_of(world, ether, tmp_path)
    parts = lamp.parts
    parts.lux = lambda: 85 if parts.shown and parts.shown[-1][1] == 100 else 17  # type: ignore[method-assign]
    world.advance(1200, timeout_s=30)  # a program that does not rest would not come so far
    assert any("safe mode" in text for _, text in lamp.lines)
    assert parts.shown[-1][1] == 100 and dark_s(parts.shown) <= LOOK_S, parts.shown


def test_a_start_beside_its_own_light_without_a_clock_is_dark_for_no_longer_than_a_look(
    world: World, tmp_path: Path
) -> None:
    lamp = lamp_of(world, Ether(world), tmp_path)
    parts = lamp.parts
    parts.lux = lambda: 85 * (parts.shown[-1][1] if parts.shown else 100) // 100  # type: ignore[method-assign]
    world.advance(300, timeout_s=30)
    assert parts.shown[-1][1] and dark_s(parts.shown) <= LOOK_S, parts.shown
    assert lamp.node.lamp.cell.is_dark and 80 <= lamp.node.lamp.cell.own_lux <= 90


def dark_s(shown: list[tuple[int, int]]) -> float:
    """Seconds at level 0. shown: (virtual us, percent) of each change."""
    return sum((after - at) / 1e6 for (at, percent), (after, _) in itertools.pairwise(shown) if not percent)


def test_a_burn_that_is_over_does_not_come_back_with_a_start(tmp_path: Path) -> None:
    with World(seed=4, start_utc=START_UTC + 10 * 3600, paused=True) as world:
        ether = Ether(world)
        first = lamp_of(world, ether, tmp_path, more=', "burn_h": 1')
        world.advance(1800, timeout_s=30)
        assert first.node.lamp.ramp.level == 100  # by day
        world.advance(3600, timeout_s=30)
        assert first.node.lamp.ramp.level == 0
        first.stop()
        second = lamp_of(world, ether, tmp_path, more=', "burn_h": 1')
        world.advance(60, timeout_s=30)
        assert [percent for _, percent in second.parts.shown] == [0]
