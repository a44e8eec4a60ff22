"""A lamp's program on CPython against a gateway that is slow, silent or asks for much, and its starts and ends."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kerbnode.lamp import app as lampapp
from kerbnode.lamp import settings as lampsettings
from kerbnode.lamp.node import SAFE_FAILURES
from kerbnode.slots import Slots
from kerbtools.bench.native import SENSORS, NativeGateway, NativeLamp, power_mw
from kerbtools.emulator.ether import Ether
from kerbtools.emulator.street_scene import ColumnScene
from kerbtools.emulator.world import START_UTC, World
from kerbwire.channels import BY_COMMAND, BY_FAULT, CAUSE, LEVEL
from kerbwire.controls import APPLIED, DIM, EMERGENCY, OPERATOR, RESEND, RESTART, SAMPLE, Command, Result
from kerbwire.events import Event
from kerbwire.messages import Report

NODE, SECRET = 801, bytes(16)
LOOK_S = 2
CONFIG = f'"look_s": {LOOK_S}, "spread_s": 5'
TICK_LATE_MS = 50
SOFT = 3  # of kerbnode.hal: a reset that is no power-on
BOARD = {"sensors": SENSORS}


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


def test_an_event_that_is_to_be_sent_again_is_sent_and_the_program_rests(world: World, tmp_path: Path) -> None:
    """A range that is asked for again holds an event; what spoke of it by reports alone would turn in a circle."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    first = lamp_of(world, ether, tmp_path)
    world.advance(60, timeout_s=30)
    first.stop()
    lamp = lamp_of(world, ether, tmp_path)  # its supply was lost: an event
    world.advance(600, timeout_s=30)
    before = events(gateway)
    assert before
    gateway.tell(NODE, order(world, 8, RESEND, 0, 1000)(last_seq(lamp)))
    world.advance(2 * 3600, timeout_s=20)
    assert lamp.failure is None and (8, APPLIED) in results(gateway)
    assert events(gateway) == before + sorted(set(before))
    world.advance(3600, timeout_s=10)


def events(gateway: NativeGateway) -> list[int]:
    return [message.index for message in gateway.heard[NODE] if isinstance(message, Event)]


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
    shown = lamp.luminaire.shown
    lamp.hal.lux = lambda: 85 if lamp.luminaire.percent == 100 else 17
    world.advance(1200, timeout_s=30)  # a program that does not rest would not come so far
    assert any("safe mode" in text for _, text in lamp.lines)
    assert lamp.luminaire.percent == 100 and dark_s(shown) <= LOOK_S, shown


def test_a_start_beside_its_own_light_without_a_clock_is_dark_for_no_longer_than_a_look(
    world: World, tmp_path: Path
) -> None:
    lamp = lamp_of(world, Ether(world), tmp_path)
    shown = lamp.luminaire.shown
    lamp.hal.lux = lambda: 85 * lamp.luminaire.percent // 100
    world.advance(300, timeout_s=30)
    assert lamp.luminaire.percent and dark_s(shown) <= LOOK_S, shown
    assert lamp.node.lamp.cell.is_dark and 80 <= lamp.node.lamp.cell.own_lux <= 90


def dark_s(shown: list[tuple[int, int]]) -> float:
    """Seconds at level 0. shown: (virtual us, percent) of each change."""
    return sum((after - at) / 1e6 for (at, percent), (after, _) in itertools.pairwise(shown) if not percent)


def test_an_emergency_waits_neither_for_a_ramp_nor_for_what_is_to_be_reported(world: World, tmp_path: Path) -> None:
    """A ramp of a minute is under way, and a report waits for an answer that does not come."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path, more=', "ramp_down_ms": 60000, "ack_timeout_ms": 1000')
    world.advance(30, timeout_s=30)
    for ident, level in ((8, 100), (9, 20)):
        gateway.tell(NODE, order(world, ident, DIM, level, 0, 3600)(last_seq(lamp)))
        world.advance(3, timeout_s=30)
    assert not lamp.node.loop.is_steady
    until_s = world.start_utc + 86400
    gateway.tell(NODE, Command(last_seq(lamp), 10, DIM, [100, 0, 60], until_s, 86400, EMERGENCY))
    world.advance(0.7, timeout_s=30)  # the frame's time on the line, a tick, and the ramp up
    assert lamp.luminaire.percent == 100 and (10, APPLIED) in results(gateway)
    gateway.deaf = True
    lamp.node._report_ms = 0  # what waits is due now
    lamp.node._take_quarter()
    world.advance(0.5, timeout_s=30)
    at_s = world.now()
    gateway.tell(NODE, Command(last_seq(lamp), 11, DIM, [35, 0, 3600], until_s, 86400, EMERGENCY))
    while lamp.node.lamp.target != 35 and world.now() < at_s + 10:
        world.advance(0.1, timeout_s=30)
    assert world.now() - at_s <= 2.5 and lamp.failure is None  # two tries of a report, and no more of them


def last_seq(lamp: NativeLamp) -> int:
    return [int(words[2]) for words in (text.split() for _, text in lamp.lines) if words[0] == "sent"][-1]


def test_the_last_hello_of_a_window_has_room_to_be_said_again(world: World, tmp_path: Path) -> None:
    """The lamp that drew the latest moment, and whose first frame is lost: confirmed within the window all the same."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    gateway.deaf = True
    scene = ColumnScene("alone", world.start_utc * 1_000_000, 0.0, [])
    lamp = NativeLamp(world, ether, tmp_path / str(NODE), NODE, SECRET, scene, '{"look_s": 2, "spread_s": 60}')
    lamp.hal.random = lambda count: b"\xff" * count
    lamp.start()
    world.advance(3 + 49, timeout_s=30)
    assert sum(text.startswith("sent hello") for _, text in lamp.lines) == 1
    gateway.deaf = False
    world.advance(11, timeout_s=30)
    assert gateway.confirmed_s[NODE] <= 3 + 60 and lamp.failure is None


def test_a_long_fade_is_in_the_log_a_step_a_minute(world: World, tmp_path: Path) -> None:
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(30, timeout_s=30)
    began_mws, at_s = lamp.luminaire.settle(), int(world.now())
    gateway.tell(NODE, order(world, 8, DIM, 100, 600, 7200)(last_seq(lamp)))
    world.advance(900, timeout_s=30)
    used_mws = lamp.luminaire.settle() - began_mws
    gateway.tell(NODE, order(world, 9, SAMPLE)(last_seq(lamp)))
    world.advance(5, timeout_s=30)
    steps = [(at_s, 20)]
    for message in gateway.heard[NODE]:
        if isinstance(message, Report):
            steps += [
                (item.time, item.values[LEVEL]) for item in message.records if CAUSE in item.values and item.time > at_s
            ]
    assert len(steps) >= 10, steps
    ends = [at for at, _ in steps[1:]] + [at_s + 900]
    logged_mws = sum(power_mw(level) * (end - at) for (at, level), end in zip(steps, ends, strict=True))
    assert abs(logged_mws - used_mws) < 0.01 * used_mws, (logged_mws, used_mws)


def test_light_of_safe_mode_is_in_the_log(world: World, tmp_path: Path) -> None:
    ether = Ether(world)
    NativeGateway(world, ether, {NODE: SECRET})
    for _ in range(SAFE_FAILURES):
        lamp = lamp_of(world, ether, tmp_path)
        world.advance(4, timeout_s=30)
        lamp.stop()
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(600, timeout_s=30)
    dawn = world.now()
    lamp.hal.lux = lambda: 9000
    world.advance(600, timeout_s=30)
    at_s, boot, values = lamp.node.outbox.newest()[:3]  # on flash, for a start that reports
    assert values == {LEVEL: 0, CAUSE: BY_FAULT} and not boot and abs(at_s - dawn - 61) < 5, (dawn, at_s, values)


def test_light_of_safe_mode_has_a_cause_of_its_own_where_the_level_stays(world: World, tmp_path: Path) -> None:
    for _ in range(SAFE_FAILURES + 1):
        lamp = lamp_of(world, Ether(world), tmp_path, more=', "low": 100')
        world.advance(4, timeout_s=30)
        lamp.stop()
    assert {percent for _, percent in lamp.luminaire.shown} <= {100}
    assert lamp.node.outbox.newest()[2] == {LEVEL: 100, CAUSE: BY_FAULT}


def test_a_quarter_s_record_waits_for_a_steady_light_and_is_of_its_second(world: World, tmp_path: Path) -> None:
    """A ramp of a minute goes on, and frames come meanwhile."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path, more=', "ramp_down_ms": 60000')
    file = tmp_path / str(NODE) / "lamp"
    world.advance(890, timeout_s=30)
    for ident, level in ((8, 100), (9, 20)):
        gateway.tell(NODE, order(world, ident, DIM, level, 0, 3600)(last_seq(lamp)))
        world.advance(3, timeout_s=30)
    before = file.read_bytes()
    world.advance(10, timeout_s=30)
    gateway.tell(NODE, order(world, 10, DIM, 20, 0, 3600)(last_seq(lamp)))
    world.advance(20, timeout_s=30)
    assert not lamp.node.loop.is_steady and file.read_bytes() == before
    (item,) = lamp.node.register.waiting
    assert item[0] == world.start_utc + 900
    world.advance(40, timeout_s=30)
    assert lamp.node.loop.is_steady and file.read_bytes() != before and lamp.failure is None


def test_where_no_light_is_steady_a_quarter_s_record_waits_no_longer_than_a_minute(
    world: World, tmp_path: Path
) -> None:
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path, more=', "ramp_down_ms": 60000, "ramp_up_ms": 10000')
    file = tmp_path / str(NODE) / "lamp"
    world.advance(895, timeout_s=30)
    before = file.read_bytes()
    for ident in range(8, 24):
        gateway.tell(NODE, order(world, ident, DIM, 20 if ident & 1 else 100, 0, 3600)(last_seq(lamp)))
        world.advance(2 if ident & 1 == 0 else 8, timeout_s=30)
        if world.now() < world.start_utc + 955:
            assert file.read_bytes() == before
    assert world.now() > world.start_utc + 970 and file.read_bytes() != before and lamp.failure is None


@pytest.mark.parametrize("level", [55, 100])
def test_light_after_an_error_is_in_the_log_of_the_start_that_follows(world: World, tmp_path: Path, level: int) -> None:
    """What was not on flash yet when the error came is, too; and its cause, where it is full light before and after."""
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path)
    world.advance(60, timeout_s=30)
    lamp.stop()
    node, hal = lamp.node, Ticks(lamp.hal)
    node.clock._ticks_ms = hal.ticks_ms
    node.changes.jump(level, BY_COMMAND, node.clock.uptime_ms())  # in memory alone
    lampapp._hold(hal, BOARD, (node.changes, node.clock, node.boot, node.counters.life), str(tmp_path / str(NODE)))
    lamp = lamp_of(world, ether, tmp_path)
    lamp.hal.cause = SOFT
    world.advance(3700, timeout_s=30)
    assert lamp.failure is None
    found = [
        (item.values[LEVEL], item.values[CAUSE]) for message in gateway.heard[NODE] if isinstance(message, Report)
        for item in message.records if CAUSE in item.values and message.boot is None
    ]  # fmt: skip
    assert (level, BY_COMMAND) in found and found[found.index((level, BY_COMMAND)) + 1] == (100, BY_FAULT), found
    assert not (tmp_path / str(NODE) / "held").exists()


class Ticks:
    """The board of a node that has failed: its time goes on by what is waited for."""

    def __init__(self, hal: Any) -> None:
        self._ms = hal.ticks_ms()
        self.machine, self.scene, self.luminaire, self.lux = hal.machine, hal.scene, hal.luminaire, hal.lux
        self.world, self.chip_celsius = hal.world, hal.chip_celsius

    def ticks_ms(self) -> int:
        return self._ms

    def sleep_ms(self, ms: int) -> None:
        self._ms += ms

    def start_watchdog(self) -> None:
        """It bites nobody here."""

    def feed(self) -> None:
        """Likewise."""


def test_the_smallest_block_of_numbers_is_not_a_flash_write_a_frame(world: World, tmp_path: Path) -> None:
    ether = Ether(world)
    gateway = NativeGateway(world, ether, {NODE: SECRET})
    lamp = lamp_of(world, ether, tmp_path, more=', "seq_block": 16')
    world.advance(60, timeout_s=30)
    before, first = lamp.node.counters.generation, last_seq(lamp)
    for ident in range(20, 60):
        gateway.tell(NODE, order(world, ident, DIM, ident, 0, 60)(last_seq(lamp)))
        world.advance(2, timeout_s=30)
    assert last_seq(lamp) - first >= 40
    assert lamp.node.counters.generation - before <= (last_seq(lamp) - first) // 8 + 3


def test_a_burn_does_not_begin_again_where_the_register_is_lost(tmp_path: Path) -> None:
    with World(seed=4, start_utc=START_UTC + 10 * 3600, paused=True) as world:
        ether = Ether(world)
        first = lamp_of(world, ether, tmp_path, more=', "burn_h": 1')
        world.advance(3900, timeout_s=30)
        assert first.luminaire.percent == 0
        first.stop()
        (tmp_path / str(NODE) / "lamp").unlink()
        second = lamp_of(world, ether, tmp_path, more=', "burn_h": 1')
        world.advance(600, timeout_s=30)
        assert second.luminaire.percent == 0 and second.node.register.hours == 0


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
        assert [percent for _, percent in second.luminaire.shown] == [0]
