"""The BH1750 ambient light sensor on I2C."""

from collections.abc import Callable

from kerbtools.emulator.parts.part import Part

_HIGH_US, _LOW_US = 120_000, 16_000  # typical; 180 and 24 ms at most


class Bh1750(Part):
    """One-byte commands, a 16-bit result, high byte first: technical note 11046EDT01, from memory.

    counts = lux x 1.2 x MTreg / 69, twice that in mode 2; MTreg stretches the measuring time in proportion. A result
    stands when its measurement ends. Powered down it acknowledges, and keeps the last result.
    """

    FAULTS = ("stuck",)

    def __init__(self, lux: Callable[[int], float], address: int = 0x23) -> None:
        super().__init__()
        self.address = address
        self._lux = lux
        self._mtreg = 69
        self._mode: int | None = None  # the command that measures
        self._since_us = 0
        self._on = False
        self._counts = 0

    def begin(self, now_us: int) -> None:
        self.draws(self._mode is not None, now_us)

    def write(self, data: bytes, now_us: int) -> int:
        for command in data:
            self._settle(now_us)
            self._command(command, now_us)
        return len(data)

    def read(self, count: int, now_us: int) -> bytes:
        self._settle(now_us)
        return (self._counts.to_bytes(2, "big") + b"\xff" * count)[:count]

    def _command(self, command: int, now_us: int) -> None:
        if command == 0x00:
            self._on, self._mode = False, None
        elif command == 0x01:
            self._on = True
        elif command == 0x07 and self._on:
            self._counts = 0
        elif command & 0xF8 == 0x40:
            self._mtreg = (command & 0x07) << 5 | self._mtreg & 0x1F
        elif command & 0xE0 == 0x60:
            self._mtreg = self._mtreg & 0xE0 | command & 0x1F
        elif command in (0x10, 0x11, 0x13, 0x20, 0x21, 0x23):
            self._on, self._mode, self._since_us = True, command, now_us
        self.draws(self._mode is not None, now_us)

    def _settle(self, now_us: int) -> None:
        if self._mode is None or self.fault == "stuck":
            return
        took_us = (_LOW_US if self._mode & 3 == 3 else _HIGH_US) * max(self._mtreg, 31) // 69
        if now_us < self._since_us + took_us:
            return
        continuous = self._mode < 0x20
        ended_us = now_us - (now_us - self._since_us) % took_us if continuous else self._since_us + took_us
        scale = 1.2 * self._mtreg / 69 * (2 if self._mode & 3 == 1 else 1)
        self._counts = min(65535, round(self._lux(ended_us) * scale))
        if not continuous:
            self._on, self._mode = False, None
            self.draws(False, ended_us)
