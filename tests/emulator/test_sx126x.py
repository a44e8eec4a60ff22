"""The firmware's LoRa driver on the emulated radio, command by command, and the air between two of them."""

from collections.abc import Iterator

import pytest

from kerbnode.drivers import sx126x
from kerbtools.bench.lora_rig import FACTS, Clock, fitted
from kerbtools.emulator import World
from kerbtools.emulator.lora_air import CAPTURE_DB, LoraAir
from kerbwire import lora

UP = 868_100


@pytest.fixture
def clock() -> Iterator[Clock]:
    with World(seed=1, paused=True) as world:
        made = Clock(world)
        yield made
        world.leave(made.actor)


def pair(clock: Clock, air: LoraAir, factor: int = 9, away_m: float = 100.0):
    """Two radios that were told all: (chip, board, driver) each."""
    made = []
    for name, x in (("one", 0.0), ("other", away_m)):
        chip, hal = fitted(clock, air, name, (x, 0.0))
        driver = sx126x.Radio(hal, FACTS)
        driver.start(factor, 14)
        driver.tune(UP)
        made.append((chip, hal, driver))
    return made


def heard(clock: Clock, driver: sx126x.Radio, ms: int) -> tuple[int, bytes | None]:
    """(interrupts within that time, the packet or None)."""
    found = driver._await(ms)  # pyright: ignore[reportPrivateUsage]
    ok = found & sx126x.RX_DONE and not found & sx126x.CRC_ERROR
    return found, driver.packet() if ok else None


@pytest.mark.parametrize("factor", range(7, 13))
def test_a_packet_takes_its_air_time_and_arrives(clock: Clock, factor: int) -> None:
    air = LoraAir(clock.world)
    (one, _, sender), (other, _, listener) = pair(clock, air, factor)
    listener.listen()
    before_us = clock.now_us()
    assert sender.send(bytes(range(60)), clock.sleep_ms)
    took_us = clock.now_us() - before_us
    assert 0 <= took_us - lora.air_us(60, factor) < 20_000
    _, data = heard(clock, listener, 50)
    assert data == bytes(range(60)) and listener.rssi < -60 and listener.snr > 0
    assert not one.mistakes and not other.mistakes
    assert one.power_dbm() == 14


def test_a_window_ends_by_itself_and_waits_for_a_packet_that_has_begun(clock: Clock) -> None:
    air = LoraAir(clock.world)
    (_, _, sender), (_, _, listener) = pair(clock, air)
    before_us = clock.now_us()
    listener.listen(300)
    assert heard(clock, listener, 1000) == (sx126x.TIMEOUT, None)
    assert 300_000 <= clock.now_us() - before_us < 305_000
    listener.listen(150)
    sender.begin_send(b"x" * 60)
    assert heard(clock, listener, 1000)[1] == b"x" * 60


def test_who_listens_too_late_hears_nothing_of_it(clock: Clock) -> None:
    air = LoraAir(clock.world)
    (_, _, sender), (_, _, listener) = pair(clock, air)
    sender.begin_send(b"x" * 60)
    clock.sleep_ms(30)  # four of the preamble's eight symbols
    listener.listen(500)
    assert heard(clock, listener, 1000) == (sx126x.TIMEOUT, None)


def test_a_search_finds_who_sends_and_nobody_else(clock: Clock) -> None:
    air = LoraAir(clock.world)
    (_, _, sender), (_, _, listener) = pair(clock, air)
    assert not listener.is_busy()
    sender.begin_send(b"x" * 60)
    listener.tune(UP)
    assert listener.is_busy()
    listener.tune(868_300)
    assert not listener.is_busy()


def test_a_packet_that_is_being_received_is_known(clock: Clock) -> None:
    air = LoraAir(clock.world)
    (_, _, sender), (_, _, listener) = pair(clock, air)
    listener.listen()
    assert not listener.is_receiving()
    sender.begin_send(b"x" * 60)
    clock.sleep_ms(150)
    assert listener.is_receiving()
    assert heard(clock, listener, 1000)[1] == b"x" * 60 and not listener.is_receiving()


def test_two_at_once_spoil_each_other_and_the_louder_lives(clock: Clock) -> None:
    air = LoraAir(clock.world)
    (_, _, one), (chip, _, listener) = pair(clock, air)
    far, hal = fitted(clock, air, "far", (900.0, 0.0))
    third = sx126x.Radio(hal, FACTS)
    third.start(9, 14)
    third.tune(UP)
    listener.listen()
    one.begin_send(b"near" * 10)
    third.begin_send(b"farr" * 10)
    assert heard(clock, listener, 2000)[1] == b"near" * 10 and air.tally.collided == 1
    packet = air.on(UP, 9, 0).__next__()
    assert air.level(packet, chip) - air.level(next(p for p in air.on(UP, 9, 0) if p.sender is far), chip) > CAPTURE_DB
    clock.sleep_ms(2000)
    near, hal = fitted(clock, air, "near", (100.0, 5.0))  # as loud as can be: nobody is 6 dB above it
    fourth = sx126x.Radio(hal, FACTS)
    fourth.start(9, 14)
    fourth.tune(UP)
    listener.listen(3000)
    third.begin_send(b"first" * 10)
    clock.sleep_ms(200)
    fourth.begin_send(b"later" * 10)
    found, data = heard(clock, listener, 4000)
    assert data is None and found & sx126x.CRC_ERROR and not near.mistakes


def test_chance_takes_its_share_and_some_of_it_is_heard_with_an_error(clock: Clock) -> None:
    air = LoraAir(clock.world, loss=0.5)
    (_, _, sender), (_, _, listener) = pair(clock, air, 7)
    fine = spoilt = 0
    listener.listen()
    for number in range(100):
        assert sender.send(bytes([number]) * 20, clock.sleep_ms)
        found, data = heard(clock, listener, 5)
        fine += data is not None
        spoilt += bool(found & sx126x.CRC_ERROR)
    assert 35 <= fine <= 65 and 4 <= spoilt <= 25


def test_distance_ends_it_and_a_slower_factor_reaches_further(clock: Clock) -> None:
    for factor, arrives in ((7, False), (12, True)):
        air = LoraAir(clock.world)
        (_, _, sender), (_, _, listener) = pair(clock, air, factor, 4000.0)
        listener.listen()
        sender.send(b"x" * 20, clock.sleep_ms)
        assert (heard(clock, listener, 50)[1] is not None) is arrives


def test_after_a_sleep_nothing_is_remembered_and_start_tells_it_all(clock: Clock) -> None:
    air = LoraAir(clock.world)
    (one, _, sender), (_, _, listener) = pair(clock, air)
    sender.sleep()
    assert one.busy.level(clock.now_us()) == 1
    with pytest.raises(OSError, match="busy"):
        sender.tune(UP)
    sender.start(9, 14)
    sender.tune(UP)
    listener.listen()
    assert sender.send(b"x" * 20, clock.sleep_ms) and heard(clock, listener, 50)[1] == b"x" * 20
    assert not one.mistakes


@pytest.mark.parametrize(("dbm", "row"), [(2, 14), (14, 14), (15, 17), (20, 20), (22, 22)])
def test_power_is_what_was_asked_and_draws_what_its_amplifier_does(clock: Clock, dbm: int, row: int) -> None:
    air = LoraAir(clock.world)
    chip, hal = fitted(clock, air, "one")
    states: list[str] = []
    chip.draws_as = lambda state, now_us: states.append(state)
    driver = sx126x.Radio(hal, FACTS)
    driver.start(7, dbm)
    driver.tune(869_525)
    assert driver.send(b"x" * 20, clock.sleep_ms) and chip.power_dbm() == dbm
    driver.sleep()
    assert [state for state in states if state != "standby"] == [f"tx{row}", "sleep"]


@pytest.mark.parametrize(
    ("trouble", "told"), [("absent", "does not answer"), ("stuck_busy", "stays busy")]
)  # fmt: skip
def test_a_radio_that_is_not_there_is_told_in_words(clock: Clock, trouble: str, told: str) -> None:
    chip, hal = fitted(clock, LoraAir(clock.world), "one")
    chip.present = trouble != "absent"
    chip.fault = None if trouble == "absent" else trouble
    with pytest.raises(OSError, match=told):
        sx126x.Radio(hal, FACTS).start(9, 14)


def test_a_radio_that_lost_its_settings_does_not_say_that_it_sent(clock: Clock) -> None:
    (one, _, sender), _ = pair(clock, LoraAir(clock.world))
    one.fault = "brown_out"
    assert not sender.send(b"x" * 20, clock.sleep_ms)


def test_without_its_oscillator_and_switch_a_driver_is_not_heard(clock: Clock) -> None:
    for key, value in (("tcxo_mv", 0), ("dio2_switch", 0)):
        air = LoraAir(clock.world)
        _, hal = fitted(clock, air, "one")
        careless = sx126x.Radio(hal, {**FACTS, key: value})
        careless.start(9, 14)
        careless.tune(UP)
        _, listening = pair(clock, air, 9, 1500.0)
        listening[2].listen()
        sent = careless.send(b"x" * 20, clock.sleep_ms)
        assert sent is (key == "dio2_switch") and heard(clock, listening[2], 50)[1] is None
