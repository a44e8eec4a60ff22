"""BH1750FVI ambient light sensor on I2C: measures all the time, 1.2 counts a lux, 180 ms a result at most.

Technical note 11046EDT01, electrical characteristics and instruction set.
"""

from kerbwire.channels import FAULT, SILENT

PERIOD_MS = 200  # as of the VEML7700
REMIND_MS = 60000  # it does not tell that it lost power: it is told its mode again
_ON, _CONTINUOUS = b"\x01", b"\x10"


class Driver:
    """lux: the newest, or FAULT. raw: the bus's error number."""

    def __init__(self, hal, facts, fitted):
        self._bus = hal.i2c(facts)
        self._address = facts["address"]
        self._data = bytearray(2)
        self._next_ms = None
        self._told_ms = None
        self.lux = FAULT
        self.reason = self.raw = 0

    def poll(self, now_ms):
        """Read it where the last reading is so old."""
        if self._next_ms is not None and now_ms < self._next_ms:
            return
        self._next_ms = now_ms + PERIOD_MS
        try:
            fresh = self._told_ms is None
            if not fresh:
                self._bus.readfrom_into(self._address, self._data)
                self.lux = (self._data[0] << 8 | self._data[1]) * 5 // 6
                self.reason = 0
            if fresh or now_ms - self._told_ms >= REMIND_MS:
                self._bus.writeto(self._address, _ON)
                self._bus.writeto(self._address, _CONTINUOUS)
                self._told_ms = now_ms
        except OSError as error:
            self.lux, self._told_ms = FAULT, None
            self.reason, self.raw = SILENT, error.errno or 0
