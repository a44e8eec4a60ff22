"""The node's two clocks: uptime since boot, kept across sleeps, and UTC, which only the gateway sets.

ticks_ms and ticks_diff are MicroPython's: they start at 0 when the board does and wrap, so each reading must come
within 6 days of the last.
"""

EARLIEST_UTC_S = 1735689600  # 2025-01-01, before this firmware existed: an earlier time is a gateway's unset clock
LATEST_UTC_S = 0xFFFFFFFF  # 2106: what retained memory holds
MAX_ACK_AGE_MS = 10000  # law 2: an answer later than this may have been held back


class Clock:
    """uptime_s and utc_s are the values when ticks were 0; utc_s is None where no gateway has told the time."""

    def __init__(self, ticks_ms, ticks_diff, uptime_s=0, utc_s=None):
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._last_ticks = 0
        self._uptime_ms = uptime_s * 1000
        self._utc_offset_ms = None if utc_s is None else (utc_s - uptime_s) * 1000

    def uptime_ms(self):
        now = self._ticks_ms()
        self._uptime_ms += self._ticks_diff(now, self._last_ticks)
        self._last_ticks = now
        return self._uptime_ms

    def uptime(self):
        """Whole seconds since boot, sleeps included."""
        return self.uptime_ms() // 1000

    def utc_ms(self):
        return None if self._utc_offset_ms is None else self.uptime_ms() + self._utc_offset_ms

    def utc(self):
        """Whole UTC seconds since 1970, or None."""
        utc_ms = self.utc_ms()
        return None if utc_ms is None else utc_ms // 1000

    def is_set(self):
        return self._utc_offset_ms is not None

    def local_ms(self):
        """What sampling is aligned to: UTC where it is known, else uptime."""
        utc_ms = self.utc_ms()
        return self.uptime_ms() if utc_ms is None else utc_ms

    def offer(self, utc_s, age_ms):
        """Take the time of an ack to the node's latest frame, sent age_ms ago. False: too late, or not plausible."""
        if not 0 <= age_ms <= MAX_ACK_AGE_MS or not EARLIEST_UTC_S <= utc_s <= LATEST_UTC_S:
            return False
        self._utc_offset_ms = utc_s * 1000 - self.uptime_ms()
        return True


def next_due_ms(now_ms, interval_ms, sampled_ms=None):
    """When the next sample is due: a multiple of the interval after now, not within a quarter of one after the last.

    The quarter is for a clock that was set back a little: the slot just sampled does not come again.
    """
    due_ms = (now_ms // interval_ms + 1) * interval_ms
    if sampled_ms is not None and due_ms - sampled_ms < interval_ms // 4:
        due_ms += interval_ms
    return due_ms
