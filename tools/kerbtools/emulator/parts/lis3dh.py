"""The LIS3DH accelerometer on I2C or SPI, with its INT1 pin."""

import math
import random
from collections.abc import Callable

from kerbtools.emulator.parts.part import Part

_FOREVER = 1 << 62
_WHO_AM_I, _CTRL1, _CTRL3, _CTRL4, _CTRL5, _STATUS, _OUT = 0x0F, 0x20, 0x22, 0x23, 0x24, 0x27, 0x28
_ADC3, _TEMP_CFG, _INT1_CFG, _INT1_SRC, _INT1_THS = 0x0C, 0x1F, 0x30, 0x31, 0x32
_SELF_TEST_MG = 400.0  # that the self-test pulls at each axis: the data sheet has 68 to 1440 mg
_TEMPERATURE_ERROR_C = 3.0  # its zero is that of the die, and no part's is right
_MG_A_DIGIT = (1, 2, 4, 12)  # high resolution, by full scale 2, 4, 8, 16 g
_THRESHOLD_MG = (16, 32, 62, 186)


class Lis3dh(Part):
    """Registers as in data sheet DocID17530, chapters 6 to 8; from memory. At rest: gravity along z, tilted about y.

    tilt_degrees(now_us) is what the world does to it. Models: who-am-i, data rate (off or on), full scale, the three
    output forms, auto-increment, INT1 with thresholds on |x|, |y|, |z| (OR and AND, latched or not), self-test, the
    die's temperature. Not: filters, FIFO, clicks, free fall, duration. Of "stuck" its mass does not move, of "noisy" it
    is shaken, of "brown_out" it forgets what it was told with each call.
    """

    FAULTS = ("stuck", "wrong_id", "noisy", "out_of_range", "brown_out")

    def __init__(
        self,
        tilt_degrees: Callable[[int], float],
        address: int = 0x19,
        *,
        celsius: Callable[[int], float] = lambda now_us: 25.0,
    ) -> None:
        super().__init__()
        self.address = address
        self._celsius = celsius
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
        self._latch(self._triggers(now_us))

    def knock(self, mg: int, now_us: int) -> None:
        """A blow from the side, shorter than anybody looks."""
        threshold = (self._registers[_INT1_THS] & 0x7F) * _THRESHOLD_MG[self._registers[_CTRL4] >> 4 & 3]
        self._latch(bool(self._registers[_CTRL1] >> 4) and bool(self._registers[_INT1_CFG] & 0x0A) and mg > threshold)

    def _latch(self, triggers: bool) -> None:
        if self._registers[_CTRL5] & 0x08 and self._registers[_CTRL3] & 0x40 and triggers:
            self._latched = True

    def _point(self, register: int, increments: bool) -> None:
        self._pointer = register & 0x3F
        self._increments = increments

    def _advance(self) -> None:
        if self._increments:
            self._pointer = self._pointer + 1 & 0x3F

    def _store(self, value: int, now_us: int) -> None:
        if self.fault == "brown_out":
            pass
        elif 0x1E <= self._pointer <= 0x26 or self._pointer in (_INT1_CFG, _INT1_THS, 0x33):
            self._registers[self._pointer] = value
            if self._pointer == _CTRL1:
                self.draws(bool(value >> 4), now_us)
        self._advance()

    def _fetch(self, now_us: int) -> int:
        register = self._pointer
        self._advance()
        if register == _WHO_AM_I and self.fault == "wrong_id":
            return 0x44  # another of the family
        if register == _ADC3 + 1:
            degrees = round(self._celsius(now_us) + _TEMPERATURE_ERROR_C - 25)
            return max(-128, min(127, degrees)) & 0xFF if self._registers[_TEMP_CFG] == 0xC0 else 0
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
        if self.fault == "out_of_range":
            return 0.0, 0.0, 0.0
        if self.fault == "noisy":
            own = random.Random(now_us)  # noqa: S311
            return own.gauss(0, 6000), own.gauss(0, 6000), own.gauss(0, 6000)
        angle = math.radians(self._stuck)
        x, y, z = 1000 * math.sin(angle), 0.0, 1000 * math.cos(angle)
        if self._registers[_CTRL4] & 0x06 and self.fault != "stuck":
            return x + _SELF_TEST_MG, y + _SELF_TEST_MG, z + _SELF_TEST_MG
        return x, y, z

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
