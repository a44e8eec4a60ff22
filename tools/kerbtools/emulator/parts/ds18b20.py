"""The DS18B20 thermometer, alone on its one-wire bus."""

from collections.abc import Callable

from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.scene import Truth


class Ds18b20(Part):
    """One-wire thermometer, alone on its bus, 12 bits. Commands and scratchpad: DS18B20 data sheet, pages 10 to 12.

    While it converts it answers zeros. Of "stuck" it never converts, of "brown_out" it forgets what it converted.
    """

    FAULTS = ("stuck", "garbled", "brown_out", "out_of_range")
    CONVERSION_US = 750_000
    POWER_ON_C = 85.0

    def __init__(self, serial: int, truth: Callable[[int], Truth]) -> None:
        super().__init__()
        head = b"\x28" + serial.to_bytes(6, "little")
        self.address = head + bytes((crc8(head),))
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

    def read(self, now_us: int) -> int:
        """The next byte on the bus; 0xFF where nobody pulls it down."""
        if not self.present:
            return 0xFF
        if not self._output:
            return 0x00 if self._pending and now_us < self._pending[0] else 0xFF
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
            self.draws(True, now_us)
            self.draws(False, now_us + self.CONVERSION_US)
            if self.fault != "stuck":
                self._pending = (now_us + self.CONVERSION_US, self._truth(now_us).temperature_c)
        elif command == b"\xbe":
            self._output = self._scratchpad(now_us)
        elif len(command) == 4 and command[0] == 0x4E:
            self._limits[:] = command[1:]

    def _scratchpad(self, now_us: int) -> bytes:
        if self.fault == "brown_out":
            self._value_c = self.POWER_ON_C
        elif self._pending and now_us >= self._pending[0]:
            self._value_c = self._pending[1]
            self._pending = None
        shown_c = 150.0 if self.fault == "out_of_range" else max(-55.0, min(125.0, self._value_c))
        raw = round(shown_c * 16) & 0xFFFF
        pad = raw.to_bytes(2, "little") + bytes(self._limits) + b"\xff\x0c\x10"
        return pad + bytes((crc8(pad) ^ (0x5A if self.fault == "garbled" else 0),))


def crc8(data: bytes) -> int:
    """The CRC of one-wire devices (Maxim application note 27): x8 + x5 + x4 + 1, low bit first."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc
