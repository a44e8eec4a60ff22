"""VEML7700 ambient light sensor on I2C: gain 1/8 and 100 ms, so that 0.5376 lux are a count, from night to full sun.

Registers of 16 bits, low byte first: data sheet 84286, table 1 and on. Above 1,000 lux it reads low: the application
note "Designing the VEML7700 into an application" has the polynomial.
"""

from kerbwire.channels import FAULT, SILENT, WRONG_PART

PERIOD_MS = 200  # each look sees the light of its own moment: that of the level before would teach a wrong own light
IDENTITY = 0x81  # low byte of register 7; the high byte tells the address
_CONF, _ALS, _ID = 0, 4, 7
_SETTINGS = b"\x00\x10"  # gain 1/8, 100 ms, on
CROOKED_LUX = 1000
HIGHEST = 24000  # of what it reads, in lux: beyond, the polynomial, made for up to 120,000, means nothing


class Driver:
    """lux: the newest, or FAULT. raw: the bus's error number, or what it says that it is."""

    def __init__(self, hal, facts, fitted):
        self._bus = hal.i2c(facts)
        self._address = facts["address"]
        self._data = bytearray(2)
        self._next_ms = None
        self.lux = FAULT
        self.reason = self.raw = 0

    def poll(self, now_ms):
        """Read it where the last reading is so old; one that lost its settings is told them again."""
        if self._next_ms is not None and now_ms < self._next_ms:
            return
        self._next_ms = now_ms + PERIOD_MS
        data = self._data
        try:
            self._fetch(_CONF)
            if data != _SETTINGS:
                self._fetch(_ID)
                if data[0] != IDENTITY:
                    self.lux, self.reason, self.raw = FAULT, WRONG_PART, data[0]
                    return
                self._bus.writeto_mem(self._address, _CONF, _SETTINGS)
                return
            self._fetch(_ALS)
            self.lux = lux_of(data[0] | data[1] << 8)
            self.reason = 0
        except OSError as error:
            self.lux, self.reason, self.raw = FAULT, SILENT, error.errno or 0

    def _fetch(self, register):
        self._bus.readfrom_mem_into(self._address, register, self._data)


def lux_of(counts):
    """Lux of a reading, straightened above CROOKED_LUX."""
    lux = counts * 336 // 625
    if lux < CROOKED_LUX:
        return lux
    lux = min(lux, HIGHEST)
    # 6.0135e-13 x^4 - 9.3924e-9 x^3 + 8.1488e-5 x^2 + 1.0023 x, in integers below 2^30
    across = lux >> 4
    bend = 8149 - 939 * lux // 1000 + across * across * 154 // 10000
    return lux + lux * 23 // 10000 + bend * across // 100 * across // 3906
