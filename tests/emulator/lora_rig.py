"""The firmware's own driver and link on the emulated radio, in one process: machine, pins and time by hand."""

from collections.abc import Callable
from types import SimpleNamespace

from kerbtools import boards
from kerbtools.emulator import World
from kerbtools.emulator.lora_air import LoraAir
from kerbtools.emulator.parts import Sx126x

FACTS = boards.load("pico_w").on_board("bin")["lora"]
CALL_US = 20  # as of a board's call


class Clock:
    """World time that only this thread moves, by sleeping and by calls."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.actor = world.join()

    def now_us(self) -> int:
        return self.world.now_us()

    def call(self) -> int:
        return self.world.charge(CALL_US)

    def sleep_ms(self, ms: int) -> None:
        self.world.charge(ms * 1000)

    def ticks_ms(self) -> int:
        self.call()
        return self.now_us() // 1000


class Hal:
    """What the driver and the link ask of a board that has this radio."""

    def __init__(self, clock: Clock, radio: Sx126x, facts: dict[str, int]) -> None:
        self.clock = clock
        self.sleep_ms = self.light_sleep_ms = clock.sleep_ms
        self.ticks_ms = clock.ticks_ms
        self.slept_ms = 0
        self.fed = 0
        self.radio_off: Callable[[], None] | None = None
        self._drawn = 0
        hal = self

        class Pin:
            IN, OUT, IRQ_RISING = 0, 1, 8

            def __init__(self, number: int, mode: int = 0, value: int | None = None) -> None:
                self.number = number
                if value is not None:
                    self.value(value)

            def value(self, level: int | None = None) -> int | None:
                now_us = clock.call()
                if level is None:
                    if self.number == facts["busy"]:
                        return radio.busy.level(now_us)
                    return radio.level(now_us) if self.number == facts["dio1"] else 0
                if self.number == facts["cs"]:
                    radio.select(not level, now_us)
                elif self.number == facts["reset"]:
                    radio.reset_pin.drive(level, now_us)
                return None

        class Spi:
            def __init__(self, *_: object, **__: object) -> None: ...

            def write_readinto(self, data: bytes, into: bytearray) -> None:
                now_us = clock.call()
                into[:] = radio.exchange(data, now_us) if radio.present else b"\xff" * len(data)

        hal.machine = SimpleNamespace(Pin=Pin, SPI=Spi)

    def ticks_diff(self, end: int, start: int) -> int:
        return end - start

    def ticks_add(self, ticks: int, delta: int) -> int:
        return ticks + delta

    def feed(self) -> None:
        self.fed += 1

    def random(self, count: int) -> bytes:
        self._drawn += 1
        return bytes(self._drawn * 37 + at & 255 for at in range(count))

    def uptime_s(self) -> int:
        return self.clock.now_us() // 1_000_000 - self.clock.world.start_utc

    seconds = uptime_s


def fitted(clock: Clock, air: LoraAir, name: str, place_m: tuple[float, float] = (0.0, 0.0)) -> tuple[Sx126x, Hal]:
    """A radio with power, and the board that it is wired to."""
    radio = Sx126x(name, FACTS, air, place_m)
    radio.begin(clock.now_us())
    return radio, Hal(clock, radio, FACTS)
