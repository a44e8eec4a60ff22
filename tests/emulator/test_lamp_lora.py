"""A lamp's LoRa link on the emulated air: it listens all the time, and no step of it waits."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kerbnode import flash
from kerbnode.link import lamplora
from kerbnode.link import lora as lora_link
from kerbtools.bench.lora_rig import FACTS, Clock, Gateway, fitted
from kerbtools.emulator import World
from kerbtools.emulator.lora_air import LoraAir
from kerbwire import frame, line, lora

NODE = 300
FRAME = frame.pack(frame.UP, 0, NODE, 5) + bytes(60)
ANSWER = frame.pack(frame.DOWN, 0, NODE, 1) + bytes(20)
OTHERS = frame.pack(frame.DOWN, 0, NODE + 1, 1) + bytes(20)
GROUP = frame.pack(frame.GROUP, 0, 1, 1) + bytes(20)
MOST_MS = 1  # of a step: its commands to the radio


class Street:
    """A lamp, and a gateway that says these answers to each frame."""

    def __init__(self, clock: Clock, folder: Path, *answers: bytes) -> None:
        self.clock = clock
        self.air = LoraAir(clock.world)
        self.chip, self.hal = fitted(clock, self.air, "lamp", (150.0, 0.0))
        self.gateway = Gateway(clock, self.air, lambda _: answers)
        self.link: Any = lamplora.made(
            self.hal, {"lora": FACTS}, "868.1", {"folder": str(folder)}, SimpleNamespace(node=NODE)
        )
        self.heard: list[bytes] = []
        self.longest_ms = 0

    def say(self, data: bytes) -> None:
        """The gateway speaks unasked."""
        self.gateway.program.feed(line.encode(data))

    def live(self, ms: int, step_ms: int = 2) -> None:
        """Steps as the lamp's loop takes them, so far apart at most."""
        for _ in range(ms // step_ms):
            begin = self.clock.now_us()
            self.link.step()
            self.longest_ms = max(self.longest_ms, (self.clock.now_us() - begin) // 1000)
            self.heard += self.link.frames
            self.link.frames.clear()
            self.clock.sleep_ms(step_ms)
            self.gateway.step()


@pytest.fixture
def clock() -> Iterator[Clock]:
    with World(seed=1, paused=True) as world:
        made = Clock(world)
        yield made
        world.leave(made.actor)


def test_a_frame_goes_up_its_answer_comes_down_and_no_step_waits(clock: Clock, tmp_path: Path) -> None:
    street = Street(clock, tmp_path, ANSWER)
    street.link.send(FRAME)
    assert street.link.holds
    street.live(2000)
    assert street.gateway.frames == [FRAME] and street.heard == [ANSWER] and not street.link.holds
    tally = street.link.tally
    assert (tally.frames, tally.retries, tally.lost) == (1, 0, 0) and tally.rssi < -50
    assert street.longest_ms <= MOST_MS and not street.chip.mistakes


def test_what_is_said_unasked_is_heard_a_group_message_too(clock: Clock, tmp_path: Path) -> None:
    street = Street(clock, tmp_path)
    street.live(100)
    for data in (GROUP, OTHERS, ANSWER):
        street.say(data)
    street.live(3000)
    assert street.heard == [GROUP, ANSWER] and street.link.overheard == 1
    assert street.link.next_ms() > 1000  # DIO1 tells, nobody looks


def test_a_frame_that_nobody_answers_goes_once_more(clock: Clock, tmp_path: Path) -> None:
    street = Street(clock, tmp_path)
    street.link.send(FRAME)
    street.live(5000)
    assert street.gateway.frames == [FRAME, FRAME]
    assert (street.link.tally.frames, street.link.tally.retries, street.link.holds) == (2, 1, False)


def test_while_others_speak_it_waits_and_in_the_end_gives_up(clock: Clock, tmp_path: Path) -> None:
    street = Street(clock, tmp_path)
    begin_us = clock.now_us()
    other = SimpleNamespace(name="other", place_m=(100.0, 0.0), air_changed=lambda: None)
    spoken_us = clock.now_us()
    street.link.send(FRAME)
    while clock.now_us() < begin_us + 40_000_000:
        if clock.now_us() >= spoken_us:
            spoken_us = street.air.send(other, bytes(255), 868_100, 9, 14, clock.now_us()).end_us
        street.live(40, 20)
    assert street.link.tally.lost == 1 and not street.link.holds and not street.gateway.frames
    assert street.longest_ms <= MOST_MS


def test_flash_is_written_at_a_steady_light_only(clock: Clock, tmp_path: Path) -> None:
    street = Street(clock, tmp_path, ANSWER)
    street.link.steady = False
    street.link.send(FRAME)
    street.live(3000)
    assert not street.gateway.frames and not (tmp_path / "lora.cbor").exists() and street.link.holds
    street.link.steady = True
    street.live(3000)
    assert street.gateway.frames == [FRAME] and (tmp_path / "lora.cbor").exists()
    street.link.steady = False  # room for a few more is reserved
    street.link.send(FRAME)
    street.live(3000)
    assert len(street.gateway.frames) == 2


def test_without_air_time_it_listens_still(clock: Clock, tmp_path: Path) -> None:
    budget = lora.Budget(10)
    budget.spend(36_000, 0)
    flash.replace(str(tmp_path / "lora.cbor"), budget.pack())
    street = Street(clock, tmp_path)
    street.link.send(FRAME)
    street.live(100)
    street.say(GROUP)
    street.live(2000)
    assert not street.gateway.frames and street.link.tally.lost == 1 and "air time" in street.link.trouble
    assert street.heard == [GROUP]


def test_a_radio_that_fails_is_started_anew(clock: Clock, tmp_path: Path) -> None:
    street = Street(clock, tmp_path, ANSWER)
    street.chip.fault = "stuck_busy"
    street.link.send(FRAME)
    street.live(300)
    assert not street.link.is_ready and street.link.trouble and street.link.tally.lost == 1
    street.chip.fault = None
    street.live(lamplora.MEND_MS, 50)
    assert street.link.is_ready
    street.link.send(FRAME)
    street.live(2000)
    assert street.heard == [ANSWER]


def test_at_its_end_the_radio_sleeps_and_what_was_reserved_is_given_back(clock: Clock, tmp_path: Path) -> None:
    street = Street(clock, tmp_path, ANSWER)
    street.link.send(FRAME)
    street.live(2000)
    street.link.end()
    budget = lora.Budget(10)
    budget.unpack(flash.load(str(tmp_path / "lora.cbor")), street.hal.seconds())
    assert abs(budget.spent_ms(street.hal.seconds()) - lora_link.packet_ms(len(FRAME), 9)) <= 1
