"""The level-change log: what a lamp shows, as steps of whole seconds with a cause, evidence for settling the bill.

A ramp counts as one step, at the second at which that step gives the same light in sum; what the rounding leaves over
goes into the next one. So the sum of the log is that of the lamp, at any time, to one second of one step.
"""

from kerbwire.channels import CAUSE, LEVEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_WAITING = 64  # steps in memory until they are on flash: a lamp that never rests for so long is told about


class Changes:
    """Times are monotonic ms. level: what the log shows now, None before the first step."""

    def __init__(self):
        self.level: "Any" = None
        self.waiting = []  # (second, level, cause), monotonic
        self.dropped = 0
        self.unkept = []  # items that were taken and found no place, events too
        self._shown = 0  # what the lamp really shows since _at_ms
        self._at_ms = 0
        self._since_ms = 0  # of the step that the log shows
        self._wanted = 0
        self._measured = None  # what the lamp does in spite of it
        self._owed = 0  # percent times ms by which the lamp has given more light than the log shows

    def start(self, level, cause, now_ms):
        """The lamp begins to show a level."""
        self._shown, self._at_ms = level, now_ms
        self._step(level, cause, now_ms // 1000 * 1000)

    def show(self, level, now_ms):
        """The lamp shows this level from now on, and has shown that of the call before until now."""
        if self._measured is None:
            self._owed += (self._shown - self.level) * (now_ms - self._at_ms)
        self._shown, self._at_ms = level, now_ms

    def settle(self, level, cause, now_ms):
        """A ramp to this level has ended, or another begins: the log shows it, as of the second that evens out the sum.
        Nothing is logged where it shows the level already."""
        self._wanted = level
        rise = level - self.level
        if rise and self._measured is None:
            self.show(self._shown, now_ms)
            at_ms = (now_ms - self._owed // rise + 500) // 1000 * 1000
            at_ms = max(self._since_ms, min(now_ms // 1000 * 1000, at_ms))
            self._owed -= rise * (now_ms - at_ms)
            self._step(level, cause, at_ms)

    def jump(self, level, cause, now_ms, is_anew=False):
        """The lamp shows this level from now on, without a ramp. is_anew: for a cause of its own, though the level may
        stay what it was."""
        if self.level is None:
            self.start(level, cause, now_ms)
        else:
            before = self.level
            self.show(level, now_ms)
            self.settle(level, cause, now_ms)
            if is_anew and self._measured is None and level == before:
                self._step(level, cause, max(self._since_ms, now_ms // 1000 * 1000))

    def measure(self, level, cause, now_ms):
        """What the meter says against what was asked for, a lamp that is dark or lit in spite of it; None: they agree
        again, and the log shows what is asked for."""
        if level != self._measured:
            self._measured = level
            if level is None:
                level = self._wanted
            self._shown, self._at_ms, self._owed = level, now_ms, 0
            if level != self.level:
                self._step(level, cause, max(self._since_ms, now_ms // 1000 * 1000))

    def take(self, clock, boot):
        """What waits, as items for the outbox, with the times that are known now; and let it go."""
        offset_s = None
        utc_s = clock.utc()
        if utc_s is not None:
            offset_s = utc_s - clock.uptime()
        items, self.unkept = self.unkept, []
        for second, level, cause in self.waiting:
            dated = offset_s is not None
            items.append(
                [second + offset_s if dated else second, 0 if dated else boot, {LEVEL: level, CAUSE: cause}, b""]
            )
        self.waiting = []
        return items

    def _step(self, level, cause, at_ms):
        self.level, self._since_ms = level, at_ms
        if len(self.waiting) >= MAX_WAITING:
            self.waiting.pop(0)
            self.dropped += 1
        self.waiting.append((at_ms // 1000, level, cause))
