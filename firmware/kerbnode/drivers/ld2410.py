"""HLK-LD2410 24 GHz radar: a report some ten times a second at 256000 8N1, unasked.

    F4 F3 F2 F1, length (2), type (01 engineering, 02 target), AA, state, moving cm (2) and energy, still cm (2) and
    energy, detection cm (2), in an engineering report more, 55 00, F8 F7 F6 F5; numbers low byte first

HLK-LD2410 serial communication protocol V1.02, section 2.3. There is no checksum, so all that is fixed is compared. It
sees 6 m: for the bench only.
"""

from kerbwire.channels import GARBLED, SILENT

QUIET_MS = 2000  # twenty reports
LONGEST = 64  # bytes: an engineering report has 45
FARTHEST_CM = 1000  # twice what it can see
_HEAD, _TAIL = b"\xf4\xf3\xf2\xf1", b"\xf8\xf7\xf6\xf5"


class Driver:
    """active: True, False, or None where it says nothing. raw: bytes since its last report that were none."""

    def __init__(self, hal, facts, fitted):
        self._uart = hal.uart(facts, 4 * LONGEST)
        self._chunk = bytearray(LONGEST)
        self._held = bytearray(2 * LONGEST)
        self._size = 0
        self._heard_ms = None
        self._fresh = False  # a report has come since the last poll
        self.active = None
        self.distance_cm = 0
        self.reason = self.raw = 0

    def poll(self, now_ms):
        """Take what has come, and notice what has not."""
        self._take()
        if self._heard_ms is None or self._fresh:
            self._heard_ms = now_ms
            self._fresh = False
        if now_ms - self._heard_ms > QUIET_MS:
            self.active = None
            self.reason = GARBLED if self.raw else SILENT

    def read(self):
        """Whether somebody is there, by the newest report; None where it says nothing."""
        self._take()
        return self.active

    def watch(self, callback):
        """Nothing calls back: it is to be polled."""
        return False

    def _take(self):
        for _ in range(4):
            if not self._uart.any():
                break
            count = self._uart.readinto(self._chunk) or 0
            for at in range(count):
                self._held[self._size + at] = self._chunk[at]
            self._size += count
            self._parse()

    def _parse(self):
        """Take whole reports, skip what is none; of a report that has begun, less than LONGEST bytes are left."""
        held, at = self._held, 0
        while self._size - at >= 4:
            if self._is(at, _HEAD):
                if self._size - at < 6:
                    break
                end = at + 10 + (held[at + 4] | held[at + 5] << 8)
                if end - at <= LONGEST:
                    if self._size < end:
                        break
                    if self._report(at, end):
                        self._fresh, self.reason, self.raw = True, 0, 0
                        at = end
                        continue
            at += 1
            self.raw = min(self.raw + 1, 65535)
        if at:
            self._size -= at
            for place in range(self._size):
                held[place] = held[at + place]

    def _is(self, at, four):
        held = self._held
        for byte in four:
            if held[at] != byte:
                return False
            at += 1
        return True

    def _report(self, at, end):
        held = self._held
        if end - at < 23 or not self._is(end - 4, _TAIL) or held[end - 6] != 0x55 or held[end - 5]:
            return False
        state = held[at + 8]
        far_cm = held[at + 15] | held[at + 16] << 8
        if held[at + 6] not in (1, 2) or held[at + 7] != 0xAA or state > 3 or far_cm > FARTHEST_CM:
            return False
        self.active, self.distance_cm = state > 0, far_cm
        return True
