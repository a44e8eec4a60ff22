"""LoRa: a bin's day over the emulated air by the firmware's own link, and what one modem bears. Nothing on hardware.

The radio is the emulated SX1262 at +14 dBm, its currents those of boards/radios.toml at 3.3 V. The chip of the board is
counted apart, with an ESP32-C3's 28 mA awake and 0.13 mA in light sleep, computing not included. The gateway is the
modem's own program, and an ack of the usual size behind each frame.

A day: one report (the workload's bin days) under the firmware's rule: a frame goes out, once more as it is when nothing
answers, and anew under another number after that; then the backoff of kerbnode.bin.pace.
Capacity: bins that speak at any moment, each once, without listening first, which many cannot where they do not hear
each other; the modem is deaf while it answers.
"""

import math
import random
import tempfile
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

from kerbnode.bin.pace import Pace
from kerbnode.link import lora as link
from kerbtools import boards
from kerbtools.bench import ours, workload
from kerbtools.bench.lora_rig import DOWN_KHZ, FACTS, POWER_DBM, UP_KHZ, Clock, Gateway, fitted
from kerbtools.emulator import World
from kerbtools.emulator.energy import Ledger
from kerbtools.emulator.lora_air import LoraAir
from kerbtools.emulator.world import START_UTC
from kerbwire import frame, lora, messages

VOLTS = 3.3
FACTORS = (7, 9, 12)
LOSSES = (0.0, 0.3, 0.5)
DAYS = 200
TRIES, ACK_TIMEOUT_MS = 2, 3000  # the firmware's own settings
HOURS = 24
STEP_MS = 5
LOST_SHARE = 0.1  # one frame in ten needs a second send: more, and a street talks itself to pieces


def rows() -> Iterator[dict[str, object]]:
    """A row a spreading factor and loss; then one a spreading factor and band of the answers."""
    days = workload.load()
    reports = [ours.report(workload.records(workload.bin_day(days, seed))) for seed in range(1, DAYS + 1)]
    for factor in FACTORS:
        for loss in LOSSES:
            yield _days(factor, loss, reports)
    size = sorted(len(ours.sealed(report)) for report in reports)[len(reports) // 2]
    for factor in range(7, 13):
        for down_khz in (DOWN_KHZ, UP_KHZ):
            yield _capacity(factor, down_khz, size)


@cache
def ack() -> bytes:
    """An ack of one report with the time of day: its clear header, and as many bytes as its body and tag."""
    body = messages.encode(messages.Ack(ours.SEQ, [ours.SEQ], START_UTC))
    return frame.pack(frame.DOWN, 0, ours.NODE, 200) + bytes(len(body) + frame.TAG_SIZE)


def _days(factor: int, loss: float, reports: list[bytes]) -> dict[str, object]:
    """Days of one bin, each with its report, until that is acknowledged or the day is over."""
    told: set[bytes] = set()
    currents = {f"lora:{state}": ua for state, ua in boards.load("pico_w").lora.radio.currents.items()}  # pyright: ignore[reportOptionalMemberAccess]  # it has one
    currents |= {state: boards.load("esp32_c3").currents[state] for state in ("active", "lightsleep")}
    ledger = Ledger(currents)
    air_ms = sends = acked = 0
    with World(seed=factor, paused=True) as world, tempfile.TemporaryDirectory() as folder:
        clock = Clock(world)
        air = LoraAir(world, loss=loss, seed=f"{factor}/{loss}")
        gateway = Gateway(clock, air, lambda _: [ack()], factor=factor)
        chip, hal = fitted(clock, air, "bin", (250.0, 0.0))
        chip.draws_as = lambda state, now_us: ledger.run("lora", f"lora:{state}", now_us)
        hal.sleep_ms = lambda ms: _beside(clock, gateway, ms)

        def light_sleep_ms(ms: int) -> None:
            ledger.enter("lightsleep", clock.now_us())
            _beside(clock, gateway, ms)
            ledger.enter("active", clock.now_us())

        hal.light_sleep_ms = light_sleep_ms
        _pass(clock, gateway, 3_600_000)
        options = {"sf": str(factor), "spread": "0", "folder": folder}
        chip.lose_power(clock.now_us())
        chip.begin(clock.now_us())
        seq = 0
        for day, report in enumerate(reports):
            pace: Any = Pace(day=day, timeout_ms=ACK_TIMEOUT_MS)
            for hour in range(HOURS):
                pace.begin(day, hour > 0)
                if not pace.may_exchange():
                    continue
                ledger.enter("active", clock.now_us())
                opened: Any = link.opened(  # pyright: ignore[reportUnknownMemberType]
                    hal, {"lora": FACTS}, "868.1", options, SimpleNamespace(node=ours.NODE)
                )
                done = False
                for _ in range(TRIES):
                    if done or not pace.may_send():
                        break
                    seq += 1
                    packet = frame.pack(frame.UP, 0, ours.NODE, 256 + seq) + bytes(frame.TAG_SIZE) + report
                    opened.send(packet)
                    pace.sent()
                    done = opened.receive(ACK_TIMEOUT_MS) is not None
                opened.close()
                ledger.enter("deepsleep", clock.now_us())
                air_ms += opened.tally.airtime_ms
                sends += opened.tally.frames
                told.update({packet[-len(report) :] for packet in gateway.frames})
                gateway.frames.clear()
                gateway.said.clear()
                if done:
                    acked += 1
                    break
                pace.silent()
                _pass(clock, gateway, 3_600_000 - 10_000)
            _pass(clock, gateway, 3_600_000)
        chip.settle(clock.now_us())
        energy = ledger.sum(clock.now_us())
        world.leave(clock.actor)
    delivered = len(told & set(reports))
    radio = {cause: _mj(uah) for cause, uah in energy.charge_uah.items() if cause.startswith("lora:")}
    sent_mj = sum(mj for cause, mj in radio.items() if cause.startswith("lora:tx"))
    return {
        "bin_day_over_lora": f"SF{factor}", "loss": loss, "days": len(reports), "delivered": delivered,
        "acknowledged_same_day": acked, "sends_a_day": sends / len(reports),
        "air_time_s": air_ms / 1000 / delivered, "sending_mj": sent_mj / delivered,
        "listening_mj": (radio.get("lora:rx", 0.0) + radio.get("lora:standby", 0.0)) / delivered,
        "chip_mj": _mj(sum(energy.charge_uah.get(state, 0.0) for state in ("active", "lightsleep"))) / delivered,
    }  # fmt: skip


def _capacity(factor: int, down_khz: int, size: int) -> dict[str, object]:
    """How many frames of a bin's day in 24 hours, at which one in ten needs a second send, and what becomes of them."""
    up_s, down_s = lora.air_us(size, factor) / 1e6, lora.air_us(len(ack()), factor) / 1e6
    # A frame is lost to another that begins within its air time on either side, and to an answer likewise; where both
    # share a channel, an answer is as loud as any of them. ALOHA: Abramson 1970.
    by_air = -math.log(1 - LOST_SHARE) / (2 * up_s + up_s + down_s)
    by_duty = lora.band(down_khz)[0] / 1000 / down_s
    rate = min(by_air, by_duty)
    frames = int(rate * 86400)
    heard, answered, refused = _crowd(factor, down_khz, size, rate, hours=4 if factor < 10 else 12)
    return {
        "capacity": f"SF{factor}, answers at {down_khz / 1000} MHz", "report_ms": 1000 * up_s, "ack_ms": 1000 * down_s,
        "acks_a_day_by_duty_cycle": int(by_duty * 86400), "frames_a_day": frames,
        "bound_by": "duty cycle" if by_duty < by_air else "air",
        "heard_share": heard, "answered_share": answered, "refused_by_duty_share": refused,
    }  # fmt: skip


def _crowd(factor: int, down_khz: int, size: int, rate: float, hours: int) -> tuple[float, float, float]:
    """(heard, answered, refused) shares of frames that come at random moments, at this rate, to the modem's program."""
    chance = random.Random(factor)  # noqa: S311  a scene, not a secret
    with World(seed=factor, paused=True) as world:
        clock = Clock(world)
        air = LoraAir(world)
        gateway = Gateway(clock, air, lambda _: [ack()], factor=factor, down_khz=down_khz)
        end_us = clock.now_us() + hours * 3_600_000_000
        next_us = clock.now_us() + _gap_us(chance, rate)
        sent = 0
        while clock.now_us() < end_us:
            wait_us = gateway.step() * 1000
            until_us = min(next_us, clock.now_us() + max(1000, wait_us))
            world.charge(max(0, until_us - clock.now_us()))
            if clock.now_us() >= next_us:
                place_m = chance.uniform(-300, 300), chance.uniform(-300, 300)
                air.send(_Bin(f"bin{sent % 50}", place_m), bytes(size), UP_KHZ, factor, POWER_DBM, clock.now_us())
                gateway.chip.air_changed()
                sent += 1
                next_us += _gap_us(chance, rate)
        world.leave(clock.actor)
    answered, refused = gateway.done.count(0), gateway.done.count(1)
    return len(gateway.frames) / sent, answered / sent, refused / sent


class _Bin:
    """Somebody who sends, and hears nothing."""

    def __init__(self, name: str, place_m: tuple[float, float]) -> None:
        self.name = name
        self.place_m = place_m

    def air_changed(self) -> None: ...


def _gap_us(chance: random.Random, rate: float) -> int:
    return int(chance.expovariate(rate) * 1e6)


def _beside(clock: Clock, gateway: Gateway, ms: int) -> None:
    """While a board sleeps, the gateway works."""
    left_ms = ms
    while left_ms > 0:
        step_ms = min(left_ms, STEP_MS)
        clock.sleep_ms(step_ms)
        gateway.step()
        left_ms -= step_ms


def _pass(clock: Clock, gateway: Gateway, ms: int) -> None:
    """Nobody is awake but the gateway."""
    gateway.step()
    clock.sleep_ms(ms)
    gateway.step()


def _mj(uah: float) -> float:
    return uah * 3.6 * VOLTS
