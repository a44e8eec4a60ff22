"""What a presence sensor is believed: presence and its hold, passages counted, a sensor that is stuck."""

from kerbwire.compat import const

STUCK_ON_MS = const(30 * 60000)  # a queue at a stop is shorter; a branch before the sensor is not
MERGE_MS = const(2000)  # pauses of a sensor within one passage
USUAL = const(4)  # passages a night from which on a night without one is odd
STUCK_OFF_NIGHTS = const(3)  # of such nights in a row

WORKS, STUCK_ON, STUCK_OFF, BROKEN = const(0), const(1), const(2), const(3)


class Presence:
    """One sensor. verdict: WORKS, or why it is not believed; quiet_nights and usual survive with the owner's state."""

    def __init__(self, hold_ms):
        self.hold_ms = hold_ms
        self.verdict = WORKS
        self.is_present = False
        self.passages = 0  # since the owner last took them
        self._present_ms = 0  # likewise
        self._tick_ms = 0
        self.usual = 0  # passages of the busiest nights, slowly forgotten
        self.quiet_nights = 0
        self._since_ms = None  # of the presence that is going on
        self._last_ms = None  # the last tick with presence
        self._tonight = 0

    def tick(self, active, now_ms):
        """active: what the sensor says now, None where it says nothing. now_ms: monotonic, never wraps."""
        if active is None:
            self.verdict, self.is_present = BROKEN, False
            return
        if self.verdict == BROKEN:
            self.verdict = WORKS
        if self.is_present:
            self._present_ms += now_ms - self._tick_ms
        self._tick_ms = now_ms
        was_present, self.is_present = self.is_present, active
        if active:
            if not was_present and (self._last_ms is None or now_ms - self._last_ms > MERGE_MS):
                self.passages += 1
                self._tonight += 1
                self._since_ms = now_ms
            self._last_ms = now_ms
            if self.verdict == STUCK_OFF:
                self.verdict, self.quiet_nights = WORKS, 0
            if now_ms - self._since_ms >= STUCK_ON_MS:
                self.verdict = STUCK_ON
        elif self.verdict == STUCK_ON and now_ms - self._last_ms > MERGE_MS:
            self.verdict = WORKS

    def holds(self, now_ms):
        """Whether somebody is there, or was within the hold time."""
        return self._last_ms is not None and now_ms - self._last_ms <= self.hold_ms

    def take_ms(self):
        """Milliseconds with somebody there since the last call."""
        taken, self._present_ms = self._present_ms, 0
        return taken

    def ends_ms(self):
        """When the hold ends; None where nobody was seen."""
        return None if self._last_ms is None else self._last_ms + self.hold_ms + 1

    def night_over(self):
        """A whole night has gone by: judge whether the sensor still sees anybody."""
        if self._tonight:
            self.quiet_nights = 0
        elif self.usual >= USUAL:
            self.quiet_nights += 1
            if self.quiet_nights >= STUCK_OFF_NIGHTS and self.verdict == WORKS:
                self.verdict = STUCK_OFF
        if self._tonight:  # what nobody passes for nights is no usual, but must not be forgotten while it is judged
            self.usual = max(self._tonight, self.usual - self.usual // 8)
        self._tonight = 0
