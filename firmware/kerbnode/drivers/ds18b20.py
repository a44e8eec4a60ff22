"""DS18B20 temperature sensor, through the onewire and ds18x20 modules that the board builds freeze in."""

from kerbwire.channels import FAULT

CONVERSION_MS = 750  # data sheet, 12 bits
LOWEST_HALF_C, HIGHEST_HALF_C = -110, 250
_POWER_ON_C = 85  # what the part shows before its first conversion: it lost power in between. Its steps are 1/16 degC


class Ds18b20:
    """bus: a ds18x20.DS18X20. One part on the bus; of several the first found counts."""

    def __init__(self, bus):
        self._bus = bus
        self._started = False

    def start(self):
        """Start a conversion; `read` may follow CONVERSION_MS later."""
        self._started = self._call(self._bus.convert_temp) is not FAULT

    def read(self):
        """Half degrees Celsius, or FAULT: no part, a bad checksum, or a value that is none."""
        if not self._started:
            return FAULT
        roms = self._call(self._bus.scan)
        if roms is FAULT or not roms:
            return FAULT
        celsius = self._call(self._bus.read_temp, roms[0])  # pyright: ignore[reportIndexIssue]  # FAULT went above
        if celsius is FAULT:
            return FAULT
        half_c = round(celsius * 2)
        if celsius == _POWER_ON_C or not LOWEST_HALF_C <= half_c <= HIGHEST_HALF_C:
            return FAULT
        return half_c

    def _call(self, method, *arguments):
        try:
            return method(*arguments)
        except Exception:  # ds18x20 raises a plain Exception for a checksum, onewire its own error for an empty bus
            return FAULT
