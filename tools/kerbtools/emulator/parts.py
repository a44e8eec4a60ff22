"""Sensors of an emulated board, as they behave on its pins: an A02YYUW, a DS18B20, cells behind a divider."""

import random
from collections.abc import Callable
from typing import Literal, Protocol

from kerbtools.emulator.scene import Truth

TruthAt = Callable[[int], Truth]


class UartPart(Protocol):
    """Something that talks to a UART's receive pin."""

    def sent(self, from_us: int, to_us: int, room: int) -> bytes:
        """What it sent after from_us, up to and including to_us; at most the first `room` bytes."""
        ...


class A02yyuw:
    """Ultrasonic ranger: 0xFF, distance in mm (big-endian), checksum; a frame each 100 ms while it has power.

    Frame and timing: DFRobot SEN0311 product page. It knows no air temperature: it counts with the speed of sound at
    `reference_c`. No echo is a frame with 0 mm. A reading is a function of seed and time.
    """

    FRAME_US = 100_000
    RANGE_MM = (30, 4500)

    def __init__(self, seed: str, truth: TruthAt, *, reference_c: int, warm_up_ms: int) -> None:
        self.fault: Literal["silent", "no_echo", "garbled", "stuck"] | None = None
        self._seed = seed
        self._truth = truth
        self._reference_c = reference_c
        self._warm_up_us = warm_up_ms * 1000
        self._powered_us: int | None = None

    def power(self, on: bool, now_us: int) -> None:
        if not on:
            self._powered_us = None
        elif self._powered_us is None:
            self._powered_us = now_us

    def sent(self, from_us: int, to_us: int, room: int) -> bytes:
        if self._powered_us is None or self.fault == "silent":
            return b""
        first_us = self._powered_us + self._warm_up_us
        number = max(0, (from_us - first_us) // self.FRAME_US + 1)
        data = bytearray()
        while (frame_us := first_us + number * self.FRAME_US) <= to_us and len(data) < room:
            data += self._frame(frame_us)
            number += 1
        return bytes(data[:room])

    def _frame(self, at_us: int) -> bytes:
        own = random.Random(f"{self._seed}/{at_us}")  # noqa: S311  noise, not a secret
        high, low = divmod(self._reading_mm(at_us, own), 256)
        frame = bytes((0xFF, high, low, 0xFF + high + low & 0xFF))
        return own.randbytes(4) if self.fault == "garbled" else frame

    def _reading_mm(self, at_us: int, own: random.Random) -> int:
        chance = own.random()
        if self.fault == "stuck":
            return 777
        if self.fault == "no_echo" or chance < 0.02:
            return 0
        truth = self._truth(at_us)
        seen_mm = truth.distance_mm + own.gauss(0.0, 2.0)
        if chance > 0.98:  # an edge of the bin, or a bag on its way down
            seen_mm = own.uniform(60.0, truth.distance_mm)
        reading = round(seen_mm * speed_of_sound(self._reference_c) / speed_of_sound(truth.temperature_c))
        return reading if self.RANGE_MM[0] <= reading <= self.RANGE_MM[1] else 0


def speed_of_sound(celsius: float) -> float:
    """In dry air, m/s: 331.3 + 0.606 T, good to 0.2 % between -25 and 40 degC."""
    return 331.3 + 0.606 * celsius


class Ds18b20:
    """One-wire thermometer, alone on its bus, 12 bits. Commands and scratchpad: DS18B20 data sheet, pages 10 to 12."""

    CONVERSION_US = 750_000
    POWER_ON_C = 85.0

    def __init__(self, serial: int, truth: TruthAt) -> None:
        head = b"\x28" + serial.to_bytes(6, "little")
        self.address = head + bytes((crc8(head),))
        self.present = True
        self._truth = truth
        self._value_c = self.POWER_ON_C
        self._pending: tuple[int, float] | None = None  # ready at, value
        self._limits = bytearray(b"\x4b\x46\x7f")
        self._input = bytearray()
        self._output = b""

    def reset(self) -> bool:
        """A reset pulse; True where a device answers it."""
        self._input.clear()
        self._output = b""
        return self.present

    def scan(self) -> bytes:
        return self.address if self.present else b""

    def read(self) -> int:
        """The next byte on the bus; 0xFF where nobody pulls it down."""
        if not self.present or not self._output:
            return 0xFF
        value, self._output = self._output[0], self._output[1:]
        return value

    def write(self, value: int, now_us: int) -> None:
        self._input.append(value)
        if self._input[0] == 0xCC:
            command = bytes(self._input[1:])
        elif self._input[0] == 0x55 and len(self._input) > 9 and bytes(self._input[1:9]) == self.address:
            command = bytes(self._input[9:])
        else:
            return
        if command == b"\x44":
            self._pending = (now_us + self.CONVERSION_US, self._truth(now_us).temperature_c)
        elif command == b"\xbe":
            self._output = self._scratchpad(now_us)
        elif len(command) == 4 and command[0] == 0x4E:
            self._limits[:] = command[1:]

    def _scratchpad(self, now_us: int) -> bytes:
        if self._pending and now_us >= self._pending[0]:
            self._value_c = self._pending[1]
            self._pending = None
        raw = round(max(-55.0, min(125.0, self._value_c)) * 16) & 0xFFFF
        pad = raw.to_bytes(2, "little") + bytes(self._limits) + b"\xff\x0c\x10"
        return pad + bytes((crc8(pad),))


def crc8(data: bytes) -> int:
    """The CRC of one-wire devices (Maxim application note 27): x8 + x5 + x4 + 1, low bit first."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc


class Cells:
    """The battery behind its divider, as an ADC pin sees it."""

    def __init__(self, truth: TruthAt, *, top_ohm: int, bottom_ohm: int, full_scale_mv: int) -> None:
        self._truth = truth
        self._share = bottom_ohm / (top_ohm + bottom_ohm)
        self._full_scale_mv = full_scale_mv

    def read(self, now_us: int) -> tuple[int, int]:
        """(0..65535, microvolts) at the pin."""
        pin_mv = min(self._truth(now_us).battery_v * 1000 * self._share, self._full_scale_mv)
        return round(pin_mv * 65535 / self._full_scale_mv), round(pin_mv * 1000)
