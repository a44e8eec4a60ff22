"""BL0942 energy meter on a UART, behind its isolator: asked once a second for all it has measured.

58 AA is answered by 55, current (3), voltage (3), fast current (3), power (3, signed), energy count (3), frequency (2),
0, status, 0, 0, and a checksum, low byte first: the inverted low byte of the sum of 58 and all before it. Data sheet
BL0942 V1.06, sections 3 and 4. Of a count: voltage 73,989 x mV / 1.218 at the pin, power 3,537 x mV x mV / 1.218^2,
energy 1,638.4 x 256 power counts over a second.
"""

from kerbwire.channels import FAULT, GARBLED, NOT_FITTED, OUT_OF_RANGE, SILENT, STUCK

PERIOD_MS = 1000
QUIET_MS = 3500  # three questions without an answer
SAME = 60  # answers in a row, to the bit: its lowest bits are noise while it measures
HIGHEST_MV = 400000
_ASK = b"\x58\xaa"
_SIZE = 23
_WRAP = 1 << 24


class Driver:
    """power_mw, supply_mv: the newest, of moment_ms, or FAULT. energy_wh: since the start. gear, celsius: not known.

    raw: bytes that were no answer, or volts.
    """

    gear = 0
    celsius = NOT_FITTED

    def __init__(self, hal, facts, fitted):
        self._uart = hal.uart(facts, 64)
        self._answer = bytearray(_SIZE)
        self._before = bytearray(_SIZE)
        self._into = memoryview(self._answer)
        top_ohm, bottom_ohm = facts["divider_top_ohm"], facts["divider_bottom_ohm"]
        volts = (top_ohm + bottom_ohm) / bottom_ohm * 1.218  # at the mains, for a volt at the pin, times the reference
        watts = volts * 1.218 / (3537 * facts["shunt_uohm"])  # of a count
        self._mv_4096 = round(volts / 73989 * 64 * 4096)
        self._mw_1024 = round(watts * 1000 * 1024)
        self._mwh_16 = round(watts * 1638.4 * 256 / 3600 * 1000 * 16)
        self._part_16 = 0  # of a watt hour, in 1/16 mWh
        self._count = None
        self._same = self._noise = 0
        self._asked_ms = self._heard_ms = None
        self._waits = False
        self.moment_ms = 0
        self.power_mw = self.supply_mv = FAULT
        self.energy_wh = 0
        self.reason = self.raw = 0

    def poll(self, now_ms):
        """Ask, or take the answer to the question before."""
        if self._heard_ms is None:
            self._heard_ms = now_ms
        if self._asked_ms is not None and now_ms - self._asked_ms < PERIOD_MS:
            if self._waits and self._uart.any() >= _SIZE:
                self._waits = False
                self._take(now_ms)
            return
        while self._uart.any():  # late, cut or noise
            self._noise = min(self._noise + (self._uart.readinto(self._into) or 0), 65535)
        if now_ms - self._heard_ms > QUIET_MS:
            self.power_mw = self.supply_mv = FAULT
            self.reason, self.raw = GARBLED if self._noise else SILENT, self._noise
        self._uart.write(_ASK)
        self._asked_ms, self._waits = now_ms, True

    def hurry(self):
        """It is asked every second anyway."""

    def _take(self, now_ms):
        answer = self._answer
        self._uart.readinto(self._into)
        total = _ASK[0]
        for at in range(_SIZE - 1):
            total += answer[at]
        if answer[0] != 0x55 or answer[_SIZE - 1] != ~total & 0xFF:
            self._noise = min(self._noise + _SIZE, 65535)
            return
        self._heard_ms = self.moment_ms = now_ms
        self._noise = 0
        self._same = self._same + 1 if answer == self._before else 0
        self._before[:] = answer
        supply_mv = (self._number(4) >> 6) * self._mv_4096 >> 12
        counts = self._number(10)
        if counts >= _WRAP >> 1:
            counts -= _WRAP
        if self._same >= SAME:
            self.reason, self.raw = STUCK, supply_mv // 1000
        elif supply_mv > HIGHEST_MV:
            self.reason, self.raw = OUT_OF_RANGE, min(supply_mv // 1000, 65535)
        else:
            self._add(self._number(13))
            self.supply_mv, self.power_mw = supply_mv, max(0, counts * self._mw_1024 >> 10)
            self.reason = self.raw = 0
            return
        self.power_mw = self.supply_mv = FAULT

    def _add(self, count):
        """Energy since the answer before; a count that falls is a meter that started anew, or wrapped."""
        if self._count is not None:
            gone = count - self._count
            if gone < 0:
                gone = gone + _WRAP if self._count > _WRAP - 4096 else count
            if gone < 4096:  # more than 700 Wh between two answers is none of a lamp
                self._part_16 += gone * self._mwh_16
                self.energy_wh += self._part_16 // 16000
                self._part_16 %= 16000
        self._count = count

    def _number(self, at):
        answer = self._answer
        return answer[at] | answer[at + 1] << 8 | answer[at + 2] << 16
