"""The node's LoRa link and the modem's program on the emulated air: budget, channel, repeats, answers, faults."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kerbnode import modem as modem_program
from kerbnode.drivers import sx126x
from kerbnode.link import lora as lora_link
from kerbtools.bench.lora_rig import FACTS, Clock, Gateway, Hal, fitted
from kerbtools.emulator import World
from kerbtools.emulator.lora_air import LoraAir
from kerbtools.emulator.parts import Sx126x
from kerbwire import frame, line, lora, modem

NODE = 300
FRAME = frame.pack(frame.UP, 0, NODE, 5) + bytes(60)
ANSWER = frame.pack(frame.DOWN, 0, NODE, 1) + bytes(20)
OTHERS = frame.pack(frame.DOWN, 0, NODE + 1, 1) + bytes(20)


@pytest.fixture
def clock() -> Iterator[Clock]:
    with World(seed=1, paused=True) as world:
        made = Clock(world)
        yield made
        world.leave(made.actor)


def answering(clock: Clock, air: LoraAir, *answers: bytes) -> Gateway:
    return Gateway(clock, air, lambda _: answers)


def beside(hal: Hal, gateway: Gateway | None) -> None:
    """While this board sleeps, the gateway's works."""
    clock = hal.clock

    def sleep_ms(ms: int) -> None:
        for _ in range(ms):
            clock.sleep_ms(1)
            if gateway is not None:
                gateway.step()

    hal.sleep_ms = hal.light_sleep_ms = sleep_ms


def opened(
    clock: Clock, air: LoraAir, folder: Path, gateway: Gateway | None, name: str = "node", **options: str
) -> tuple[Any, Sx126x, Hal]:
    chip, hal = fitted(clock, air, name, (150.0, 0.0))
    beside(hal, gateway)
    link = lora_link.opened(
        hal, {"lora": FACTS}, "868.1", {"spread": "0", "folder": str(folder), **options}, SimpleNamespace(node=NODE)
    )
    return link, chip, hal


def test_a_frame_goes_up_and_its_answer_comes_down(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air, ANSWER)
    link, chip, hal = opened(clock, air, tmp_path, gateway)
    link.send(FRAME)
    assert link.receive(3000) == ANSWER
    assert gateway.frames == [FRAME] and gateway.done == [modem.SENT]
    [heard] = gateway.heard
    assert heard.is_of(FRAME) and -120 < heard.rssi_dbm < -60 and heard.air_ms == lora.air_us(len(FRAME), 9) // 1000
    tally = link.tally
    assert (tally.frames, tally.bytes, tally.retries, tally.lost) == (1, len(FRAME), 0, 0)
    assert tally.airtime_ms == heard.air_ms + 1 and -120 < tally.rssi < -60 and tally.snr > 0
    link.close()
    assert chip.busy.level(clock.now_us()), "it sleeps"
    assert hal.radio_off is not None
    hal.radio_off()
    assert chip.busy.level(clock.now_us()) and not chip.mistakes and not gateway.chip.mistakes


def test_what_follows_an_answer_at_once_is_heard_and_what_is_for_others_is_not(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air, OTHERS, ANSWER, b"\x00no frame", ANSWER + b"2")
    link, _, hal = opened(clock, air, tmp_path, gateway)
    link.send(FRAME)
    assert link.receive(3000) == ANSWER
    hal.sleep_ms(45)  # a node opens the seal, and writes its flash
    assert link.receive(3000) == ANSWER + b"2"
    assert link.overheard == 1 and link.noise == 1


def test_a_busy_ether_makes_no_window_longer_and_silences_no_link(clock: Clock, tmp_path: Path) -> None:
    """Another node's answers fill the air, one on the heels of the other."""
    air = LoraAir(clock.world)
    link, _, hal = opened(clock, air, tmp_path, None)
    talker = sx126x.Radio(fitted(clock, air, "other modem", (150.0, 30.0))[1], FACTS)
    talker.start(9, 14)
    link.send(FRAME)
    talker.tune(869_525)

    def sleep_ms(ms: int) -> None:
        for _ in range(ms):
            clock.sleep_ms(1)
            if talking and talker.irqs():
                talker.begin_send(OTHERS)

    hal.sleep_ms = hal.light_sleep_ms = link.rest_ms = sleep_ms
    talking = True
    talker.begin_send(OTHERS)
    longest_us = 3_000_000 + 1_500_000 + lora.air_us(len(OTHERS), 9) + sx126x.MARGIN_MS * 1000
    for _ in range(3):
        begin_us = clock.now_us()
        assert link.receive(3000) is None
        assert 2_900_000 < clock.now_us() - begin_us < longest_us
    assert link.overheard >= 20 and link.tally.retries == 1
    talking = False
    clock.sleep_ms(500)
    gateway = answering(clock, air, ANSWER)
    beside(hal, gateway)
    link.rest_ms = hal.light_sleep_ms
    link.send(FRAME)
    assert link.receive(3000) == ANSWER and link.tally.lost == 0


def test_without_an_answer_a_frame_goes_again_as_it_was_and_once(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air)
    link, _, _ = opened(clock, air, tmp_path, gateway)
    link.send(FRAME)
    begin_us = clock.now_us()
    assert link.receive(3000) is None
    assert gateway.frames == [FRAME, FRAME] and (link.tally.frames, link.tally.retries) == (2, 1)
    assert clock.now_us() - begin_us < 3_000_000 + 1_500_000
    assert link.receive(100) is None and len(gateway.frames) == 2


def test_a_busy_channel_is_waited_for_and_one_that_never_ends_is_given_up(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air, ANSWER)
    link, _, _ = opened(clock, air, tmp_path, gateway)
    _, hal = fitted(clock, air, "other", (150.0, 30.0))
    talker = sx126x.Radio(hal, FACTS)
    talker.start(9, 14)
    talker.tune(868_100)
    talker.begin_send(FRAME)
    link.send(FRAME)
    assert link.receive(3000) == ANSWER and air.tally.collided == 0 and gateway.program.heard == 2
    assert link.tally.lost == 0
    step = gateway.step

    def jam() -> None:
        step()
        if talker.irqs():
            talker.begin_send(bytes(200))

    gateway.step = jam  # type: ignore[method-assign]
    talker.begin_send(bytes(200))
    link.send(FRAME)
    begin_us = clock.now_us()
    assert link.receive(3000) is None and clock.now_us() == begin_us, "nothing went, so nothing is waited for"
    assert link.tally.lost == 1


def test_the_budget_of_an_hour_holds_over_openings_and_a_new_clock(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    sent_ms = 0
    for wake in range(20):
        try:
            link, chip, hal = opened(clock, air, tmp_path, None, f"wake{wake}", sf="12")
        except OSError as error:
            assert "no air time left" in str(error)
            break
        link.send(FRAME)
        link.send(FRAME)
        sent_ms += link.tally.airtime_ms
        link.close()
        assert not chip.mistakes
        if wake == 5:
            hal.uptime_s = lambda: 0
    else:
        raise AssertionError("it was never spent")
    assert 36_000 - 2 * 2800 <= sent_ms <= 36_000 and sent_ms >= air.tally.air_ms
    clock.sleep_ms(3_900_000)
    link, _, _ = opened(clock, air, tmp_path, None, "later", sf="12")
    link.send(FRAME)
    assert link.tally.lost == 0


def test_a_frame_that_the_budget_does_not_bear_is_lost_and_not_listened_for(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    link, _, _ = opened(clock, air, tmp_path, None, sf="12")
    while not link.tally.lost:
        link.send(FRAME)
    begin_us = clock.now_us()
    assert link.receive(3000) is None and clock.now_us() == begin_us
    assert air.tally.air_ms <= 36_000


def test_a_flash_that_refuses_keeps_the_radio_silent(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    link, _, _ = opened(clock, air, tmp_path / "absent", None)
    link.send(FRAME)
    assert not air.tally.packets and link.tally.lost == 1


@pytest.mark.parametrize(
    ("address", "options", "told"),
    [
        ("433.1", {}, "no band"), ("868.1", {"sf": "20"}, "sf"), ("868.1", {"power": "20"}, "14 dBm"),
        ("868.1", {"spread": "x"}, "spread"), ("868.1", {"spread": "9999"}, "spread"),
    ],
)  # fmt: skip
def test_a_link_that_cannot_be_had_says_why(
    clock: Clock, tmp_path: Path, address: str, options: dict[str, str], told: str
) -> None:
    _, hal = fitted(clock, LoraAir(clock.world), "node")
    with pytest.raises(OSError, match=told):
        lora_link.opened(
            hal, {"lora": FACTS}, address, {"folder": str(tmp_path), **options}, SimpleNamespace(node=NODE)
        )
    with pytest.raises(OSError, match="no LoRa radio"):
        lora_link.opened(hal, {}, "868.1", {"folder": str(tmp_path)}, SimpleNamespace(node=NODE))


def test_a_street_that_wakes_at_one_moment_spreads_and_sleeps_meanwhile(clock: Clock, tmp_path: Path) -> None:
    clock.sleep_ms(120_000)
    begins: list[int] = []
    for number in range(6):
        air = LoraAir(clock.world)
        link, _, hal = opened(clock, air, tmp_path, None, f"node{number}", spread="60")
        hal._drawn = number * 11  # pyright: ignore[reportPrivateUsage]
        naps: list[int] = []
        hal.light_sleep_ms = lambda ms, naps=naps: (naps.append(ms), clock.sleep_ms(ms))[0]
        begin_us = clock.now_us()
        link.send(FRAME)
        begins.append((clock.now_us() - begin_us) // 1_000_000)
        assert sum(naps) <= 60_000 and all(ms <= lora_link.NAP_MS for ms in naps) and hal.fed > len(naps)
    assert len(set(begins)) > 3


def test_a_radio_that_fails_in_the_middle_costs_a_frame_and_not_the_wake(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air, ANSWER)
    link, chip, _ = opened(clock, air, tmp_path, gateway)
    chip.fault = "stuck_busy"
    link.send(FRAME)
    assert link.receive(3000) is None and link.tally.lost == 1
    link.close()


# The modem's program.


def test_a_modem_keeps_within_its_band_and_drops_what_is_late(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air, ANSWER)
    for _ in range(modem_program.MAX_QUEUE + 4):
        gateway.program.feed(line.encode(bytes([0x20]) + bytes(200)))
    for _ in range(12_000):
        clock.sleep_ms(1)
        gateway.step()
    assert gateway.done.count(modem.SENT) >= 4 and gateway.done.count(modem.LATE) >= 12
    assert gateway.done.count(modem.SENT) + gateway.done.count(modem.LATE) == modem_program.MAX_QUEUE + 4
    assert gateway.state().late == gateway.done.count(modem.LATE)
    gateway.tell(modem.Ask(868_100, 869_525, 9, 14, 359_900))  # what its gateway knows of this hour
    gateway.program.feed(line.encode(bytes([0x20]) + bytes(200)))
    for _ in range(300):
        clock.sleep_ms(1)
        gateway.step()
    assert gateway.done[-1] == modem.REFUSED and gateway.state().left_ms <= 100


def test_a_modem_lets_a_node_end_before_it_answers_another(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air)
    _, hal = fitted(clock, air, "node", (100.0, 0.0))
    node = sx126x.Radio(hal, FACTS)
    node.start(9, 14)
    node.tune(868_100)
    node.begin_send(FRAME)
    for ms in range(1200):
        clock.sleep_ms(1)
        if ms == 150:
            gateway.program.feed(line.encode(ANSWER))
        gateway.step()
    assert gateway.frames == [FRAME] and gateway.done == [modem.SENT]


def test_a_modem_tells_of_a_radio_that_fails_and_mends_it(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air, ANSWER)
    gateway.chip.fault = "brown_out"  # it starts anew with the next command, and knows nothing
    gateway.program.feed(line.encode(ANSWER))
    for _ in range(500):
        clock.sleep_ms(1)
        gateway.step()
    assert modem.FAILED in gateway.done and gateway.state().trouble == modem.FINE, "asked again, it begins anew"
    gateway.chip.fault = "stuck_busy"
    gateway.program.feed(line.encode(ANSWER))
    gateway.step()
    assert gateway.state().trouble == modem.NO_RADIO
    gateway.chip.fault = None
    for _ in range(31_000):
        clock.sleep_ms(1)
        gateway.step()
    told = modem.parse(gateway.said[-1])
    assert isinstance(told, modem.State) and told.trouble == modem.FINE


def test_a_tool_gets_the_repl_and_no_frame_does(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    program = answering(clock, air, ANSWER).program
    for first in range(0x20, 0x100):
        assert not program.feed(line.encode(bytes([first]) + b"\x03\r\x03" * 20))
    assert not program.feed(b"\x00" + b"x" + modem_program.BREAK)
    assert program.feed(b"\x00" + modem_program.BREAK)


def test_a_modem_that_was_told_nothing_is_silent_and_says_so(clock: Clock, tmp_path: Path) -> None:
    air = LoraAir(clock.world)
    gateway = answering(clock, air, ANSWER)
    said: list[bytes] = []
    _, hal = fitted(clock, air, "blank")
    blank = modem_program.Modem(hal, FACTS, said.append, "0.1.0 pico_w")
    blank.feed(line.encode(ANSWER))
    assert blank.turn() and not air.tally.packets
    blank.feed(line.encode(modem.Ask(433_000, 869_525, 9, 14, 0).encode()))
    blank.feed(line.encode(modem.Ask(868_100, 869_525, 200, 14, 0).encode()))
    [done, state, again] = [modem.parse(found) for found in line.Reader().feed(b"".join(said))]
    assert isinstance(done, modem.Done) and done.result == modem.FAILED
    assert isinstance(state, modem.State) and state.trouble == modem.UNSET
    assert isinstance(again, modem.State) and again.trouble == modem.UNSET
    assert gateway.state().trouble == modem.FINE
