"""The firmware's own LoRa driver, link and modem on the emulated radio, in one process: pins and time by hand."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from kerbnode import modem as modem_program
from kerbtools import boards
from kerbtools.emulator import World
from kerbtools.emulator.lora_air import LoraAir
from kerbtools.emulator.parts import Sx126x
from kerbwire import line, modem

FACTS: dict[str, int] = boards.load("pico_w").on_board("bin")["lora"]
CALL_US = 20  # as of a board's call
UP_KHZ, DOWN_KHZ = 868_100, 869_525
POWER_DBM = 14


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
        self.sleep_ms: Callable[[int], None] = clock.sleep_ms
        self.light_sleep_ms: Callable[[int], None] = clock.sleep_ms
        self.uptime_s: Callable[[], int] = self.seconds
        self.ticks_ms = clock.ticks_ms
        self.fed = 0
        self.radio_off: Callable[[], None] | None = None
        self._drawn = 0
        self.machine = SimpleNamespace(Pin=_pin(clock, radio, facts), SPI=_spi(clock, radio))

    def ticks_diff(self, end: int, start: int) -> int:
        return end - start

    def ticks_add(self, ticks: int, delta: int) -> int:
        return ticks + delta

    def feed(self) -> None:
        self.fed += 1

    def random(self, count: int) -> bytes:
        self._drawn += 1
        return bytes(self._drawn * 37 + at & 255 for at in range(count))

    def seconds(self) -> int:
        return self.clock.now_us() // 1_000_000 - self.clock.world.start_utc


def _pin(clock: Clock, radio: Sx126x, facts: dict[str, int]) -> type:
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

        def irq(self, handler: Callable[[], None] | None, trigger: int) -> None:
            """DIO1 is looked at."""

    return Pin


def _spi(clock: Clock, radio: Sx126x) -> type:
    class Spi:
        def __init__(self, *_: object, **__: object) -> None: ...

        def write_readinto(self, data: bytes, into: bytearray) -> None:
            now_us = clock.call()
            into[:] = radio.exchange(data, now_us) if radio.present else b"\xff" * len(data)

    return Spi


def fitted(clock: Clock, air: LoraAir, name: str, place_m: tuple[float, float] = (0.0, 0.0)) -> tuple[Sx126x, Hal]:
    """A radio with power, and the board that it is wired to."""
    radio = Sx126x(name, FACTS, air, place_m)
    radio.begin(clock.now_us())
    return radio, Hal(clock, radio, FACTS)


class Gateway:
    """The modem's program, and a gateway that answers each frame `delay_ms` later with `answers(frame)`.

    `step` lets it do what is due. said: what came over the line; frames, heard, done: of that, by kind.
    """

    def __init__(
        self,
        clock: Clock,
        air: LoraAir,
        answers: Callable[[bytes], Iterable[bytes]],
        *,
        factor: int = 9,
        down_khz: int = DOWN_KHZ,
        delay_ms: int = 30,
    ) -> None:
        self.clock = clock
        self.chip, self.hal = fitted(clock, air, "modem")
        self.said: list[bytes] = []
        self.frames: list[bytes] = []
        self.heard: list[modem.Heard] = []
        self.done: list[int] = []
        self._reader = line.Reader()
        self._answers = answers
        self._delay_us = delay_ms * 1000
        self._due: list[tuple[int, bytes]] = []
        self._ask = modem.Ask(UP_KHZ, down_khz, factor, POWER_DBM, 0)
        self.program: Any = modem_program.Modem(self.hal, FACTS, self._take, "0.1.0 pico_w")
        self.tell(self._ask)

    def tell(self, message: modem.Ask) -> None:
        self.program.feed(line.encode(message.encode()))

    def state(self) -> modem.State:
        """What the modem says of itself when it is asked."""
        self.tell(self._ask)
        found = modem.parse(self.said[-1])
        assert isinstance(found, modem.State)
        return found

    def step(self) -> int:
        """Returns ms until there may be more to do."""
        now_us = self.clock.now_us()
        for at_us, answer in list(self._due):
            if at_us <= now_us:
                self._due.remove((at_us, answer))
                self.program.feed(line.encode(answer))
        wait_ms: int = self.program.turn()
        due_us = [at_us for at_us, _ in self._due]
        next_us = min(self.chip.next_change_us(now_us), now_us + wait_ms * 1000, *due_us)
        return max(0, (next_us - now_us + 999) // 1000)

    def _take(self, data: bytes) -> None:
        for found in self._reader.feed(data):
            self.said.append(found)
            message = modem.parse(found)
            if modem.is_frame(found):
                self.frames.append(found)
                self._due += [(self.clock.now_us() + self._delay_us, answer) for answer in self._answers(found)]
            elif isinstance(message, modem.Heard):
                self.heard.append(message)
            elif isinstance(message, modem.Done):
                self.done.append(message.result)
