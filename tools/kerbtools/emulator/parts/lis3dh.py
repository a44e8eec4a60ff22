"""The LIS3DH accelerometer on I2C or SPI, with its INT1 pin."""

import math
from collections.abc import Callable

from kerbtools.emulator.parts.part import Part

_FOREVER = 1 << 62
_WHO_AM_I, _CTRL1, _CTRL3, _CTRL4, _CTRL5, _STATUS, _OUT = 0x0F, 0x20, 0x22, 0x23, 0x24, 0x27, 0x28
_INT1_CFG, _INT1_SRC, _INT1_THS = 0x30, 0x31, 0x32
_MG_A_DIGIT = (1, 2, 4, 12)  # high resolution, by full scale 2, 4, 8, 16 g
_THRESHOLD_MG = (16, 32, 62, 186)


class Lis3dh(Part):
    """Registers as in data sheet DocID17530, chapters 6 to 8; from memory. At rest: gravity along z, tilted about y.

    tilt_degrees(now_us) is what the world does to it. Models: who-am-i, data rate (off or on), full scale, the three
    output forms, auto-increment, INT1 with thresholds on |x|, |y|, |z| (OR and AND, latched or not). Not: filters,
    FIFO, clicks, free fall, temperature, duration.
    """

    FAULTS = ("stuck",)

    def __init__(self, tilt_degrees: Callable[[int], float], address: int = 0x19) -> None:
        super().__init__()
        self.address = address
        self._tilt = tilt_degrees
        self._registers = bytearray(0x40)
        self._registers[_WHO_AM_I] = 0x33
        self._registers[_CTRL1] = 0x07
        self._pointer = 0
        self._increments = False
        self._latched = False
        self._stuck = 0.0
        self._selected = bytearray()

    def begin(self, now_us: int) -> None:
        self.draws(bool(self._registers[_CTRL1] >> 4), now_us)

    def write(self, data: bytes, now_us: int) -> int:
        if data:
            self._point(data[0] & 0x7F, bool(data[0] & 0x80))
            for value in data[1:]:
                self._store(value, now_us)
        return len(data)

    def read(self, count: int, now_us: int) -> bytes:
        return bytes(self._fetch(now_us) for _ in range(count))

    # SPI: the first byte says read (0x80), auto-increment (0x40) and the register.

    def select(self, selected: bool, now_us: int) -> None:
        self._selected.clear()

    def exchange(self, data: bytes, now_us: int) -> bytes:
        answer = bytearray()
        for value in data:
            if not self._selected:
                self._selected.append(value)
                self._point(value & 0x3F, bool(value & 0x40))
                answer.append(0xFF)
            elif self._selected[0] & 0x80:
                answer.append(self._fetch(now_us))
            else:
                self._store(value, now_us)
                answer.append(0xFF)
        return bytes(answer)

    # INT1.

    def level(self, now_us: int) -> int:
        if not self._registers[_CTRL3] & 0x40:
            return 0
        return int(self._latched or self._triggers(now_us))

    def next_change_us(self, after_us: int) -> int:
        return _FOREVER

    def moved(self, now_us: int) -> None:
        """Told by the world when the tilt has changed: a latched interrupt stands from now on."""
        if self._registers[_CTRL5] & 0x08 and self._registers[_CTRL3] & 0x40 and self._triggers(now_us):
            self._latched = True

    def _point(self, register: int, increments: bool) -> None:
        self._pointer = register & 0x3F
        self._increments = increments

    def _advance(self) -> None:
        if self._increments:
            self._pointer = self._pointer + 1 & 0x3F

    def _store(self, value: int, now_us: int) -> None:
        if 0x1E <= self._pointer <= 0x26 or self._pointer in (_INT1_CFG, _INT1_THS, 0x33):
            self._registers[self._pointer] = value
            if self._pointer == _CTRL1:
                self.draws(bool(value >> 4), now_us)
        self._advance()

    def _fetch(self, now_us: int) -> int:
        register = self._pointer
        self._advance()
        if _OUT <= register < _OUT + 6:
            return self._output(now_us)[register - _OUT]
        if register == _STATUS:
            return 0x0F if self._registers[_CTRL1] >> 4 else 0
        if register == _INT1_SRC:
            active = self._latched or self._triggers(now_us)
            self._latched = False
            return 0x40 if active else 0
        return self._registers[register]

    def _acceleration_mg(self, now_us: int) -> tuple[float, float, float]:
        if self.fault != "stuck":
            self._stuck = self._tilt(now_us)
        angle = math.radians(self._stuck)
        return 1000 * math.sin(angle), 0.0, 1000 * math.cos(angle)

    def _output(self, now_us: int) -> bytes:
        if not self._registers[_CTRL1] >> 4:
            return bytes(6)
        low_power = self._registers[_CTRL1] & 0x08
        bits = 8 if low_power else 12 if self._registers[_CTRL4] & 0x08 else 10
        scale = _MG_A_DIGIT[self._registers[_CTRL4] >> 4 & 3]
        data = b""
        for axis, mg in enumerate(self._acceleration_mg(now_us)):
            enabled = self._registers[_CTRL1] >> axis & 1
            digits = max(-2048, min(2047, round(mg / scale))) if enabled else 0
            data += ((digits >> 12 - bits) << 16 - bits).to_bytes(2, "little", signed=True)
        return data

    def _triggers(self, now_us: int) -> bool:
        conf = self._registers[_INT1_CFG]
        if not conf & 0x3F or not self._registers[_CTRL1] >> 4:
            return False
        threshold = (self._registers[_INT1_THS] & 0x7F) * _THRESHOLD_MG[self._registers[_CTRL4] >> 4 & 3]
        met: list[bool] = []
        for axis, mg in enumerate(self._acceleration_mg(now_us)):
            if conf >> 2 * axis & 1:
                met.append(abs(mg) < threshold)
            if conf >> 2 * axis + 1 & 1:
                met.append(abs(mg) > threshold)
        return all(met) if conf & 0x80 else any(met)
