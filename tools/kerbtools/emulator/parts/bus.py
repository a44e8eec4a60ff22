"""What a part has to offer to the bus or pin that it is wired to. Times are the world's, in Unix microseconds."""

from typing import Protocol


class UartPart(Protocol):
    """Something at the other end of a UART."""

    present: bool

    def sent(self, from_us: int, to_us: int, room: int) -> bytes:
        """What it sent after from_us, up to and including to_us; at most the first `room` bytes."""
        ...

    def write(self, data: bytes, now_us: int) -> None:
        """What the board sent to it."""
        ...


class I2cPart(Protocol):
    """A device on an I2C bus. Where `present` is false nothing acknowledges its address."""

    present: bool
    address: int

    def write(self, data: bytes, now_us: int) -> int:
        """A write transfer; returns how many bytes it acknowledged."""
        ...

    def read(self, count: int, now_us: int) -> bytes:
        """A read transfer, from where the last write left off. `count` bytes."""
        ...


class SpiPart(Protocol):
    """A device on an SPI bus, selected by its own chip-select pin."""

    present: bool

    def select(self, selected: bool, now_us: int) -> None:
        """Its chip-select pin goes low (True) or high."""
        ...

    def exchange(self, data: bytes, now_us: int) -> bytes:
        """As many bytes back as came in."""
        ...


class Analogue(Protocol):
    """Something at an ADC pin."""

    def read(self, now_us: int) -> tuple[int, int]:
        """(0..65535, microvolts)."""
        ...


class Powered(Protocol):
    """A part behind a load switch, or with a pin that shuts it down."""

    def power(self, on: bool, now_us: int) -> None:
        """It has power, or is allowed to run, from now on, or no longer. Told once and again."""
        ...


class LevelSource(Protocol):
    """A part that drives a pin."""

    present: bool

    def level(self, now_us: int) -> int:
        """0 or 1."""
        ...

    def next_change_us(self, after_us: int) -> int:
        """When its level may change next; world.FOREVER where only a hand can change it."""
        ...


class LevelSink(Protocol):
    """A part that a pin drives."""

    def drive(self, level: int, now_us: int) -> None:
        """The pin's level, told at each change."""
        ...


class PwmSink(Protocol):
    """A part that a PWM pin drives."""

    def pwm(self, duty: float, frequency_hz: int, now_us: int) -> None:
        """The share of each period that the pin is high, 0..1; frequency 0: a steady level."""
        ...
