"""A clock that somebody set while the gateway ran: found by comparing it with one that no one sets.

Records stay right: intervals run on the monotonic clock, a record's identity is its index, and a node keeps its own
time of measuring. What a step spoils is what is written beside a record as its arrival, so it is noted and shown.
"""

import time
from collections.abc import Callable

from kerbgate.clock import Clock

STEP_S = 2.0  # a disciplined clock slews by 0.5 ms a second at most; a look is a second or two after the other


def since_boot() -> float:
    """Seconds that no one sets, a suspended host's sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Steps:
    """Looks at a clock again and again."""

    def __init__(self, clock: Clock, steady: Callable[[], float] = since_boot):
        self.count = 0
        self.last_s: float | None = None  # by how much the clock was set last; negative: back
        self._clock = clock
        self._steady = steady
        self._before: tuple[float, float, float] | None = None

    def look(self) -> float | None:
        """By how many seconds the clock was set since the last look, or None."""
        steady, utc, pace = self._steady(), self._clock.utc(), self._clock.pace()
        before, self._before = self._before, (steady, utc, pace)
        if before is None or before[2] != pace:  # an emulated world changed its pace
            return None
        step = utc - before[1] - (steady - before[0]) * pace
        if abs(step) < STEP_S * max(pace, 1.0):
            return None
        self.count += 1
        self.last_s = round(step, 3)
        return self.last_s
