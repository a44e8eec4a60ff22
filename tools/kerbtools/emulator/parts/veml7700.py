"""The VEML7700 ambient light sensor on I2C."""

from collections.abc import Callable

from kerbtools.emulator.parts.part import Part

_GAINS = (1.0, 2.0, 0.125, 0.25)
_TIMES_MS = {0b1100: 25, 0b1000: 50, 0b0000: 100, 0b0001: 200, 0b0010: 400, 0b0011: 800}
_RESOLUTION_LUX = 0.0042  # at gain 2 and 800 ms
_CONF, _ALS, _WHITE, _ID = 0, 4, 5, 7


class Veml7700(Part):
    """Seven registers of 16 bits, low byte first: data sheet 84286, tables 1 and following; from memory.

    A count is 0.0042 lux at gain 2 and 800 ms, in proportion otherwise. At gain 1/8 and 1/4 it reads low above 1,000
    lux, as the application note's polynomial says. A new value stands after each integration time, the first 2.5 ms
    after power-up besides. Of "wrong_id" another part is there.
    """

    FAULTS = ("stuck", "wrong_id")
    WAKE_US = 2_500

    def __init__(self, lux: Callable[[int], float], address: int = 0x10) -> None:
        super().__init__()
        self.address = address
        self._lux = lux
        self._registers = [0x0001, 0, 0, 0, 0, 0, 0, 0xC481 if address == 0x10 else 0xD481]
        self._pointer = 0
        self._on_us: int | None = None

    def begin(self, now_us: int) -> None:
        self.draws(self._on_us is not None, now_us)

    def write(self, data: bytes, now_us: int) -> int:
        if data:
            self._pointer = data[0] & 7
        if len(data) >= 3 and self._pointer <= 3:
            self._settle(now_us)
            self._registers[self._pointer] = data[1] | data[2] << 8
            if self._pointer == _CONF:
                self._on_us = None if self._registers[_CONF] & 1 else now_us + self.WAKE_US
                self.draws(self._on_us is not None, now_us)
        return min(len(data), 3)

    def read(self, count: int, now_us: int) -> bytes:
        self._settle(now_us)
        value = self._registers[self._pointer] ^ (0x10 if self.fault == "wrong_id" and self._pointer == _ID else 0)
        return (value.to_bytes(2, "little") + b"\xff" * count)[:count]

    def _settle(self, now_us: int) -> None:
        """Let the results of the last whole integration stand in the registers."""
        conf = self._registers[_CONF]
        time_ms = _TIMES_MS.get(conf >> 6 & 0b1111, 100)
        if self._on_us is None or now_us < self._on_us + time_ms * 1000 or self.fault == "stuck":
            return
        ended_us = now_us - (now_us - self._on_us) % (time_ms * 1000)
        gain = _GAINS[conf >> 11 & 0b11]
        lux_a_count = _RESOLUTION_LUX * (800 / time_ms) * (2 / gain)
        lux = self._lux(ended_us)
        self._registers[_ALS] = min(65535, round((_read_low(lux) if gain < 1 else lux) / lux_a_count))
        self._registers[_WHITE] = min(65535, round(1.3 * self._lux(ended_us) / lux_a_count))


def _read_low(lux: float) -> float:
    """What it reads of so much light: the polynomial of "Designing the VEML7700 into an application" turned round."""
    if lux < 1000:
        return lux
    low, high = 0.0, 40_000.0
    for _ in range(40):
        x = (low + high) / 2
        if 6.0135e-13 * x**4 - 9.3924e-9 * x**3 + 8.1488e-5 * x**2 + 1.0023 * x < lux:
            low = x
        else:
            high = x
    return high
