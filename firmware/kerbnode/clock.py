"""The node's two clocks: uptime since boot, kept across sleeps, and UTC, which only the gateway sets.

ticks_ms and ticks_diff are MicroPython's: they start at 0 when the board does and wrap, so each reading must come
within 6 days of the last.
"""

from kerbnode.retained import CHECK, MAX_PPM, SAMPLE

EARLIEST_UTC_S = 1735689600  # 2025-01-01, before this firmware existed: an earlier time is a gateway's unset clock
LATEST_UTC_S = 0xFFFFFFFF  # 2106: what retained memory holds
LEARN_S = 6 * 3600  # between two acks: whole seconds then tell the oscillator's error to 100 ppm, and better each day
MAX_ACK_AGE_MS = 10000  # law 2: an answer later than this may have been held back


class Clock:
    """uptime_s and utc_s are the values when ticks were 0; utc_s is None where no gateway has told the time.

    ppm: how much longer a second of the sleeping board lasts than one of UTC, as far as acks have shown. synced_s: UTC
    of the ack that the next one is compared with, or 0.
    """

    def __init__(self, ticks_ms, ticks_diff, uptime_s=0, utc_s=None, ppm=0):
        self.ppm = ppm
        self.synced_s = 0
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
        now_s = self.utc()
        passed_s = utc_s - self.synced_s
        if now_s is not None and self.synced_s and passed_s >= LEARN_S:
            error = (utc_s - now_s) * 1000000 // passed_s  # what the ppm so far have not explained; half is believed
            self.ppm = max(-MAX_PPM, min(MAX_PPM, self.ppm + error // 2))
        if now_s is None or not self.synced_s or passed_s >= LEARN_S or passed_s < 0:
            self.synced_s = utc_s
        self._utc_offset_ms = utc_s * 1000 - self.uptime_ms()
        return True


def sleep_ms(span_ms, ppm):
    """What to ask of the sleeping board's clock, so that span_ms pass."""
    return span_ms - span_ms * ppm // 1000000


def next_wake_s(span_ms, now_ms, due_ms, heat_s, check_ms=None):
    """(second to wake at, flag of kerbnode.retained): the sample at due_ms, a check at check_ms, or what comes before
    either of them, a look at the temperature or the end of the longest sleep. span_ms(ms): what one sleep can do."""
    goal_ms, flag = due_ms, SAMPLE
    if check_ms is not None and check_ms < due_ms:
        goal_ms, flag = check_ms, CHECK
    until_ms = goal_ms
    if heat_s:  # at its multiples, as the sample is, so that no two looks lie further apart
        heat_ms = heat_s * 1000
        look_ms = (now_ms + heat_ms // 8) // heat_ms * heat_ms + heat_ms
        if look_ms + heat_ms // 4 < goal_ms:  # one right before another wake would tell nothing new
            until_ms = look_ms
    wake_s = max((now_ms + span_ms(until_ms - now_ms)) // 1000, now_ms // 1000 + 1)  # a whole one: it is retained
    return wake_s, flag if wake_s >= goal_ms // 1000 else 0


def next_due_ms(now_ms, interval_ms, sampled_ms=None):
    """When the next sample is due: a multiple of the interval after now, not within a quarter of one after the last.

    The quarter is for a clock that was set back a little: the slot just sampled does not come again.
    """
    due_ms = (now_ms // interval_ms + 1) * interval_ms
    if sampled_ms is not None and due_ms - sampled_ms < interval_ms // 4:
        due_ms += interval_ms
    return due_ms
