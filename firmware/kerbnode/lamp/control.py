"""The state table of a lamp: what it shows and why. LAMP.md explains the rows; a test walks them all.

The first row whose condition holds decides. Priorities stand in this order and nowhere else. What a row offers is then
raised by group messages, scaled for the age of the lamp and capped by heat, in that order (`shown`).
"""

from kerbwire.channels import (
    BY_COMMAND,
    BY_FAULT,
    BY_PHOTOCELL,
    BY_PRESENCE,
    BY_SCHEDULE,
    BY_WAVE,
    HOLD_OVER,
)  # fmt: skip
from kerbwire.compat import const

(EMERGENCY, OPERATOR, BURN, DAY, DARK, BLIND, PRESENT, HOLD, WAVE, IDLE) = range(10)
STATES = (
    "emergency", "operator", "burn", "day", "dark by policy", "sensor not believed", "present", "hold", "wave", "idle",
)  # fmt: skip

FULL = const(100)
SLOW_MS = const(500)


class Facts:
    """What the table looks at. Levels are percent; None where there is none."""

    __slots__ = (
        "burning",
        "by_sun",
        "emergency",
        "exempt",
        "has_sensor",
        "high",
        "holds",
        "is_night",
        "is_present",
        "knows_time",
        "low",
        "operator",
        "raised",
        "scheduled",
        "sensor_works",
        "wave",
    )

    def __init__(self):
        self.emergency: "int | None" = None  # level of the command in force, of each class
        self.operator: "int | None" = None
        self.scheduled: "int | None" = None
        self.burning = False  # commissioning burn
        self.is_night = True
        self.by_sun = False  # the verdict on the night rests on clock and sun
        self.knows_time = False
        self.high = FULL  # of the calendar: while somebody is there
        self.low = FULL  # and while nobody is; high and low 0: dark by policy
        self.exempt = False  # this lamp takes no part in dark by policy
        self.has_sensor = False
        self.sensor_works = False
        self.is_present = False
        self.holds = False
        self.wave: "int | None" = None
        self.raised: "int | None" = None  # of group messages


def _low(facts):
    """Nobody is there: the calendar's low level, or that of a command of the lowest class."""
    return facts.low if facts.scheduled is None else facts.scheduled


def _high(facts):
    return max(facts.high, _low(facts), facts.wave or 0)


def _is_policy(facts):
    """Dark is what the calendar says, for this lamp, at a time that is known."""
    dark = not (facts.high or facts.low or facts.scheduled)
    return dark and facts.knows_time and not facts.exempt


# state, holds when, level, cause
ROWS = (
    (EMERGENCY, lambda facts: facts.emergency is not None, lambda facts: facts.emergency, BY_COMMAND),
    (OPERATOR, lambda facts: facts.operator is not None, lambda facts: facts.operator, BY_COMMAND),
    (BURN, lambda facts: facts.burning, lambda facts: FULL, BY_COMMAND),
    (DAY, lambda facts: not facts.is_night, lambda facts: 0, BY_PHOTOCELL),
    (DARK, _is_policy, lambda facts: 0, BY_SCHEDULE),
    (BLIND, lambda facts: facts.has_sensor and not facts.sensor_works, _high, BY_FAULT),
    (PRESENT, lambda facts: facts.is_present, _high, BY_PRESENCE),
    (HOLD, lambda facts: facts.holds, _high, HOLD_OVER),
    (WAVE, lambda facts: facts.wave is not None, lambda facts: max(facts.wave, _low(facts)), BY_WAVE),
    (IDLE, lambda facts: True, _low, BY_SCHEDULE),
)


def _first(facts):
    for row in ROWS:
        if row[1](facts):
            return row
    return ROWS[-1]


def decide(facts, floor):
    """(state, level, cause). floor: percent that a lit lamp is never below."""
    state, _, level, cause = _first(facts)
    wanted = level(facts)
    if state == DAY and facts.by_sun:
        cause = BY_SCHEDULE
    if state > DARK or facts.burning:
        wanted = max(wanted, floor)
    by_day = facts.by_sun and not facts.is_night
    if facts.raised is not None and facts.raised > wanted and not by_day:
        return state, facts.raised, BY_WAVE
    return state, wanted, cause


def shown(level, floor, lumen_percent, heat_cap):
    """The level for the driver: scaled by constant light output, capped by heat, and lit if it is to be lit."""
    if not level:
        return 0
    return max(min(floor, level), min((level * lumen_percent + 50) // 100, heat_cap))


class Ramp:
    """Brings the shown level to the wanted one: fast up, slowly down. Spans are ms from 0 to 100 percent.

    It begins at full light: what a driver shows until it is told. fade_ms: how long the ramp under way takes as a
    whole, where a command said so; else 0.
    """

    def __init__(self, up_ms, down_ms):
        self.level = FULL
        self.target = FULL
        self._up_ms = up_ms
        self._down_ms = down_ms
        self._from = FULL
        self._start_ms = 0
        self.fade_ms = 0

    def jump(self, level):
        """Show a level at once: what goes out by day need not go out softly."""
        self.level = self._from = self.target = level
        self.fade_ms = 0
        return level

    @property
    def is_slow(self):
        """A step of one percent takes SLOW_MS and more: nobody sees one that is late."""
        return self.fade_ms >= SLOW_MS * abs(self.target - self._from)

    def toward(self, target, now_ms):
        """The level at now_ms, monotonic, on the way to the target."""
        return self.begin(target, now_ms) if target != self.target else self._show(now_ms)

    def begin(self, target, now_ms, fade_ms=0):
        """A ramp begins here, also to the target that there is: it takes fade_ms as a whole, or what its step takes."""
        self._from, self.target, self._start_ms = self._at(now_ms), target, now_ms
        self.fade_ms = fade_ms if target != self._from else 0
        return self._show(now_ms)

    def _show(self, now_ms):
        self.level = self._at(now_ms)
        return self.level

    def ends_ms(self):
        """When the target is reached."""
        rise = self.target - self._from
        if self.fade_ms:
            return self._start_ms + self.fade_ms
        return self._start_ms + (abs(rise) * (self._up_ms if rise > 0 else self._down_ms) + FULL - 1) // FULL

    def _at(self, now_ms):
        rise = self.target - self._from
        if self.fade_ms:
            return self._from + rise * min(now_ms - self._start_ms, self.fade_ms) // self.fade_ms
        span_ms = self._up_ms if rise > 0 else self._down_ms
        step = (now_ms - self._start_ms) * FULL // span_ms if span_ms else FULL
        if step >= abs(rise):
            return self.target
        return self._from + (step if rise > 0 else -step)
