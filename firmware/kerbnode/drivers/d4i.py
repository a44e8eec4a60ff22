"""The meter of a D4i driver: energy and diagnostics out of its memory banks, over the dimmer's DALI bus.

DiiA specifications of DALI parts 252 (energy) and 253 (diagnostics and maintenance), version 1.1, October 2019: FIELDS
has what of them is read, and where it lies. A value of ones is not implemented (MASK); one less, not to be had now
(TMASK). Numbers come highest byte first. A value that changes while it is read, byte by byte, comes too low, never too
high: an energy that falls is read again before it is believed.
"""

from kerbwire.channels import FAULT, GARBLED, NOT_FITTED, OUT_OF_RANGE, SILENT

POWER_MS, SLOW_MS = 30000, 300000  # energy and diagnostics are slow
HIGHEST_MW = 2000000
SCALED, PLAIN, TENTHS, CELSIUS, FLAG = 0, 1, 2, 3, 4  # how the bytes are read

# name: bank, place, bytes, how
FIELDS = {
    "energy_wh": (202, 0x04, 7, SCALED),
    "power_w": (202, 0x0B, 5, SCALED),
    "apparent_va": (203, 0x0B, 5, SCALED),
    "supply_v": (205, 0x0B, 2, TENTHS),
    "gear_failure": (205, 0x0F, 1, FLAG),
    "undervoltage": (205, 0x11, 1, FLAG),
    "overvoltage": (205, 0x13, 1, FLAG),
    "gear_derated": (205, 0x17, 1, FLAG),
    "gear_shut_down": (205, 0x19, 1, FLAG),
    "gear_celsius": (205, 0x1B, 1, CELSIUS),
    "lamp_failure": (206, 0x16, 1, FLAG),
    "short_circuit": (206, 0x18, 1, FLAG),
    "open_circuit": (206, 0x1A, 1, FLAG),
    "lamp_derated": (206, 0x1C, 1, FLAG),
    "lamp_shut_down": (206, 0x1E, 1, FLAG),
    "lamp_celsius": (206, 0x20, 1, CELSIUS),
    "useful_life_kh": (207, 0x04, 1, PLAIN),
}
# What is read in one go: bank, first place, bytes, how often. Bank 203 and 207 are the self-test's.
_GOES = ((202, 0x0B, 5, POWER_MS), (202, 0x04, 7, SLOW_MS), (205, 0x0B, 17, SLOW_MS), (206, 0x16, 11, SLOW_MS))

# Bits of `gear`.
GEAR_FAILURE, LAMP_FAILURE, OPEN, SHORT, DERATED, SHUT_DOWN, UNDER, OVER = 1, 2, 4, 8, 16, 32, 64, 128
_BITS = (
    ("gear_failure", GEAR_FAILURE), ("undervoltage", UNDER), ("overvoltage", OVER), ("gear_derated", DERATED),
    ("gear_shut_down", SHUT_DOWN), ("lamp_failure", LAMP_FAILURE), ("short_circuit", SHORT), ("open_circuit", OPEN),
    ("lamp_derated", DERATED), ("lamp_shut_down", SHUT_DOWN),
)  # fmt: skip


def field(name, data, first, unit=1):
    """A value out of bytes that begin at place `first`, times `unit`; NOT_FITTED or FAULT where there is none now.

    energy_wh and power_w: whole Wh and W, or with unit 1000 mWh and mW; supply_v: tenths; temperatures: degrees C.
    """
    _, place, size, how = FIELDS[name]
    at = place - first
    scale = 0
    if how == SCALED:
        scale = data[at] - (data[at] << 1 & 256)
        at, size = at + 1, size - 1
    value = int.from_bytes(bytes(data[at : at + size]), "big")
    top = (1 << 8 * size) - 1
    if value == top:
        return NOT_FITTED
    if value == top - 1 or not -6 <= scale <= 6:
        return FAULT
    if how == CELSIUS:
        return value - 60
    value *= unit
    return value * 10**scale if scale >= 0 else value // 10**-scale


class Driver:
    """power_mw, supply_mv, energy_wh, celsius: the newest, or FAULT or NOT_FITTED. gear: bits of what it says is wrong.

    moment_ms: of the power. raw: bytes that came, or watts.
    """

    def __init__(self, hal, facts, fitted):
        self._bus = fitted["dimmer"]
        self._due_ms = [0] * len(_GOES)
        self._going = 0
        self._now_ms = self.moment_ms = 0
        self._lower = False
        self._celsius = [NOT_FITTED, NOT_FITTED]
        self._bits = [0, 0]
        self.power_mw = self.supply_mv = FAULT
        self.energy_wh = NOT_FITTED
        self.celsius = NOT_FITTED
        self.gear = 0
        self.reason = self.raw = 0

    def poll(self, now_ms):
        """Have the bus read what is due."""
        self._now_ms = now_ms
        for go in range(len(_GOES)):
            if now_ms >= self._due_ms[go]:
                bank, place, size, every_ms = _GOES[go]
                if self._bus.read(bank, place, size, self._done):
                    self._going = go
                    self._due_ms[go] = now_ms + every_ms
                return

    def hurry(self):
        """The level has changed: read the power soon."""
        self._due_ms[0] = min(self._due_ms[0], self._now_ms + 2000)

    def _done(self, data, size):
        go = self._going
        bank, place, wanted, _ = _GOES[go]
        if size < wanted:
            if go == 0:
                self.power_mw = FAULT
                self.reason, self.raw = SILENT, size
            return
        if go == 0:
            self._take_power(field("power_w", data, place, 1000))
        elif go == 1:
            self._take_energy(field("energy_wh", data, place))
        else:
            self._take_bits(go - 2, bank, data, place)

    def _take_power(self, power_mw):
        self.moment_ms = self._now_ms
        if power_mw in (NOT_FITTED, FAULT):
            self.reason, self.raw = GARBLED, 0
        elif power_mw > HIGHEST_MW:
            self.reason, self.raw = OUT_OF_RANGE, min(power_mw // 1000, 65535)
            power_mw = FAULT
        else:
            self.reason = self.raw = 0
        self.power_mw = power_mw

    def _take_energy(self, energy_wh):
        if energy_wh in (NOT_FITTED, FAULT):
            return
        self._lower = not self._lower and self.energy_wh != NOT_FITTED and energy_wh < self.energy_wh
        if self._lower:
            self._due_ms[1] = 0
        else:
            self.energy_wh = energy_wh

    def _take_bits(self, at, bank, data, place):
        bits = 0
        for name, bit in _BITS:
            if FIELDS[name][0] == bank and field(name, data, place) == 1:
                bits |= bit
        self._bits[at] = bits
        self.gear = self._bits[0] | self._bits[1]
        self._celsius[at] = field("lamp_celsius" if at else "gear_celsius", data, place)
        self.celsius = max(self._celsius)
        if not at:
            volts = field("supply_v", data, place)
            self.supply_mv = volts if volts in (NOT_FITTED, FAULT) else volts * 100
