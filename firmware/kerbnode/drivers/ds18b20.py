"""DS18B20 temperature sensor, through the onewire and ds18x20 modules that the board builds freeze in."""

from kerbwire.channels import FAULT, GARBLED, NO_CONVERSION, OUT_OF_RANGE, SILENT, STUCK

CONVERSION_MS = 750  # data sheet, 12 bits
LOWEST_HALF_C, HIGHEST_HALF_C = -110, 250
_POWER_ON_C = 85  # what the part shows before its first conversion: it lost power in between. Its steps are 1/16 degC


def start(hal, facts):
    """Start a conversion. Returns what `read` takes CONVERSION_MS later."""
    import ds18x20
    import onewire

    bus = ds18x20.DS18X20(onewire.OneWire(hal.pin(facts["pin"])))
    try:
        bus.convert_temp()
        return bus, bus.ow.readbyte()  # data sheet: it answers zeros while it converts
    except Exception:  # ds18x20 raises a plain Exception for a checksum, onewire its own error for an empty bus
        return None, 0


def read(started):
    """(half degrees Celsius or FAULT, reason, raw): of several parts on the bus the first found. raw: in 1/16 degC."""
    bus, busy = started
    if bus is None:
        return FAULT, SILENT, 0
    try:
        roms = bus.scan()
    except Exception:
        roms = None
    if not roms:
        return FAULT, SILENT, 0
    try:
        celsius = bus.read_temp(roms[0])
    except Exception:
        return FAULT, GARBLED, 9  # bytes of its scratchpad
    half_c = round(celsius * 2)
    reason = 0
    if celsius == _POWER_ON_C:
        reason = NO_CONVERSION
    elif not LOWEST_HALF_C <= half_c <= HIGHEST_HALF_C:
        reason = OUT_OF_RANGE
    elif busy:
        reason = STUCK
    return FAULT if reason else half_c, reason, round(celsius * 16) & 0xFFFF
