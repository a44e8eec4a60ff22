"""What a bin's samples mean: each sample in, events out. Pure: no clock, no file, integers only.

Every condition is a latch. A sample says yes, no or nothing of it (its value lies between the two limits, or is none):

    latch      yes                               nothing         no
    clear      count up; at `raise_at`: raised   count from 0    count from 0
    raised     count from 0                      count from 0    count up; at `clear_at`: cleared

The level that is judged is a confirmed one: a jump counts when the next sample, or a tilt over, agrees. While something
waits for that, `hurry` asks for a sample soon. firmware/EVENTS.md has each condition with its limits.
"""

from kerbwire.channels import (
    AT_DISTANCE,
    BATTERY,
    COVERED,
    DISTANCE,
    FAULT,
    FAULTY_PART,
    FILL,
    NO_ECHO,
    NOT_FITTED,
    NOT_UPRIGHT,
    OPEN_LID,
    QUALITY,
    RAW,
    STUCK,
    TEMPERATURE,
    TILT,
    TROUBLE,
)  # fmt: skip

# Codes as in kerbwire.events, which most wakes need not load; what has none there travels by WIRE.
FIRE, FULL, EMPTIED, TILTED, LID_OPEN, SENSOR_FAULT, BATTERY_LOW, NEARLY_FULL, MOVED = 0, 1, 2, 3, 4, 5, 6, 7, 8
RAISED, HELD, CLEARED = 0, 1, 2
NOTICE, WARNING, CRITICAL = 0, 1, 2

# Code -> code on the wire, severity.
WIRE = (
    (FIRE, CRITICAL), (FULL, WARNING), (EMPTIED, NOTICE), (TILTED, WARNING), (LID_OPEN, NOTICE),
    (SENSOR_FAULT, WARNING), (BATTERY_LOW, WARNING), (FULL, NOTICE), (TILTED, NOTICE),
)  # fmt: skip

UNSURE = COVERED | NOT_UPRIGHT | OPEN_LID  # quality of a level that is not the waste's

# Code -> raise_at, clear_at: yes or no so many times in a row.
_COUNTS = {
    FIRE: (2, 5), FULL: (2, 1), TILTED: (2, 2), LID_OPEN: (2, 1), SENSOR_FAULT: (12, 3), BATTERY_LOW: (4, 2),
    NEARLY_FULL: (2, 1), MOVED: (2, 1),
}  # fmt: skip
_HURRIES = (FIRE, FULL, TILTED, LID_OPEN, NEARLY_FULL, MOVED)  # a fault and a low battery take their time

HYSTERESIS_PERCENT = 10
JUMP_PERCENT = 20  # a fall or rise of the level that one sample alone does not prove
EMPTIED_BELOW = 50  # percent: a fall that ends above it was a settling, or somebody took something out
TIPPED_DEGREES = 60  # nobody tilts a bin so far but to empty it, or it has fallen over
TIPPED_FALL = 5  # percent: with a tilt over in between so small a fall is an emptying
TILT_HYSTERESIS = 15
MOVED_DEGREES = 8  # a bin that stands on other ground stands otherwise
RISE_S = 240  # `fire_rise_c` within so long is a fire; within a longer time it takes as much more
WARMS_HALF_C = 8  # above an earlier look: look again soon
HASTE_S = 30  # how soon
LATE_S = 16  # by which a look may come early or late and still counts as one of the usual two
FOLLOW_S = 1024  # while a fire stands, what it is measured against rises by a degree in so long: days are warm too
FIRE_HYSTERESIS_HALF_C = 40
FAULT_WEIGHT = 4  # a part that says nothing is a fault after 3 samples, one that hears nothing after 12
STILL_SAMPLES = 48  # in a row without one echo that differs by a millimetre: no ranger in the air is so still
STILL_TIPPED = 24  # of them are saved by a tilt over that changed nothing
COLD_MV = 2  # a cell's voltage falls by so much for each degree below 20: the day is cold, the cell not empty

FAST = 5  # leading bytes of `pack` that a sample of the temperature alone may change
SIZE = 21
_NONE = 255
# Places in the state: a latch (bit 7: raised; its count) for each code but EMPTIED, which has none, at _LATCH + code.
# _NEWER, _OLDER: the last two looks at the temperature, degrees + _ZERO_C, 0: none; _AT: when the newer one was.
_NEWER, _OLDER, _AT, _LATCH, _LEVEL, _JUMP, _UPRIGHT, _TIPPED, _STILL, _STILL_MM = 1, 2, 3, 5, 14, 15, 16, 17, 18, 19
_ZERO_C = 60

# Below so many 10 mV, at rest and in the warmth, so many percent of the charge of Li-SOCl2 cells are left.
_LEFT = ((345, 12), (340, 8), (330, 5), (320, 3), (310, 2), (300, 0))


class Judge:
    """settings: heat_s, fire_c, fire_rise_c, full_percent, nearly_percent, tilt_degrees, battery_low_mv, cells_mah,
    draw_uah_day. days_left: of the battery as of its last sample while it is low, else None. heat_s: as the setting, or
    sooner while it warms up.
    """

    def __init__(self, settings):
        self._settings = settings
        self._state = bytearray(SIZE)
        self._state[_LEVEL] = self._state[_JUMP] = self._state[_UPRIGHT] = _NONE
        self._out = []
        self.days_left = None
        self.heat_s = settings["heat_s"]

    def pack(self):
        """The state, to be kept over a sleep: 21 bytes, of which the temperature alone changes the first 5."""
        return bytes(self._state)

    def unpack(self, data):
        """Go on from a state that was kept, or from its first FAST bytes, or from those behind them; anything else is
        ignored, and everything begins anew."""
        if len(data) in (SIZE, FAST):
            self._state[: len(data)] = data
        elif len(data) == SIZE - FAST:
            self._state[FAST:] = data

    @property
    def level(self):
        """The confirmed level in percent, or None before the first."""
        level = self._state[_LEVEL]
        return None if level == _NONE else level

    @property
    def hurry(self):
        """Something waits to be confirmed: sample again soon."""
        state = self._state
        return state[_JUMP] != _NONE or any(self._count(code) for code in _HURRIES)

    @property
    def doubts(self):
        """Some part is at fault, or was in the last sample: try what is tried once a day in each."""
        return self._state[_LATCH + SENSOR_FAULT] != 0

    @property
    def stuck(self):
        """The ranger has shown the same for so long that no real one could."""
        return self._state[_STILL] >= STILL_SAMPLES

    def sample(self, time_s, fill, distance_mm, temperature_half_c, tilt_deg, quality, battery_mv, still_mm=None):
        """Judge one sample; returns [(code, state, evidence by channel)], the gravest first.

        A value that was not measured is None; a special value of kerbwire.channels says why there is none. time_s: any
        clock that goes forward. battery_mv: at rest, after a load. still_mm: what every echo was to the millimetre, or
        None where they differ.
        """
        self._out = []
        self._fire(time_s, temperature_half_c, fill)
        if fill is not None or tilt_deg is not None:
            tilt = tilt_deg if _is_value(tilt_deg) else None
            evidence = {FILL: fill, DISTANCE: distance_mm, TEMPERATURE: temperature_half_c, TILT: tilt_deg}
            self._tilt(tilt)
            self._still(still_mm, tilt)
            if self.stuck:
                quality |= FAULTY_PART
                evidence[TROUBLE], evidence[RAW] = AT_DISTANCE | STUCK, still_mm
            self._level(fill if _is_value(fill) and not quality & UNSURE and not self.stuck else None)
            self._latch(LID_OPEN, 1 if quality & OPEN_LID else -1, {FILL: fill})
            self._faults(evidence, quality)
        if battery_mv is not None and _is_value(battery_mv):
            self._battery(battery_mv, temperature_half_c)
        return self._out

    def on_wire(self, code, state):
        """(code, severity, state) of an event of `sample`, as kerbwire.events says it."""
        if code == FULL and state == CLEARED and self._state[_LATCH + NEARLY_FULL] & 128:
            return FULL, NOTICE, HELD
        return WIRE[code] + (state,)

    def _fire(self, time_s, half_c, fill):
        """Absolute, or risen fast above one of the last two looks. A part that falls silent in the heat says yes."""
        if half_c is None or half_c == NOT_FITTED:
            return
        state, settings = self._state, self._settings
        if not _is_value(half_c):
            if self._count(FIRE):
                self._latch(FIRE, 1, {TEMPERATURE: half_c})
            return
        heat_s = self.heat_s = settings["heat_s"]
        rise, limit = 2 * settings["fire_rise_c"], 2 * settings["fire_c"]
        shifted = half_c + 2 * _ZERO_C
        newer = state[_NEWER]
        age_s = time_s - (state[_AT] << 8 | state[_AT + 1]) & 0xFFFF
        if not newer or age_s > 0xFF00:  # the first; or a clock that was put back a little
            age_s = 0
        risen = fast = 0
        for look, passed_s in ((newer, age_s), (state[_OLDER], age_s + heat_s)):
            above = shifted - 2 * look if look else 0
            risen = max(risen, above)
            fast = max(fast, above * RISE_S // max(passed_s, RISE_S))
        verdict = 0
        if half_c >= limit or fast >= rise:
            verdict = 1
        elif half_c < limit - FIRE_HYSTERESIS_HALF_C and risen < rise // 2:
            verdict = -1
        evidence = {TEMPERATURE: half_c}
        if fill is not None:
            evidence[FILL] = fill
        burnt = state[0] & 128
        self._latch(FIRE, verdict, evidence)
        if risen >= WARMS_HALF_C and heat_s:
            self.heat_s = min(heat_s, HASTE_S)
        if verdict > 0 or state[0] & 128:  # what it is measured against is the time before it
            if age_s < FOLLOW_S or not newer:
                return
            looks = min(newer + 1, 255), min(state[_OLDER] + 1, 255)
        elif newer and not burnt and age_s < heat_s - LATE_S:
            return
        else:
            look = (shifted + 1) // 2
            looks = look, newer if newer and not burnt and age_s <= heat_s + LATE_S else look
        state[_NEWER], state[_OLDER] = looks
        state[_AT], state[_AT + 1] = time_s >> 8 & 255, time_s & 255

    def _level(self, fill):
        """Confirm a level, find an emptying in it, and judge it."""
        if fill is None:
            return
        state = self._state
        level, jump = state[_LEVEL], state[_JUMP]
        fall = level - fill
        tipped = state[_TIPPED]
        if level == _NONE or (abs(fall) < JUMP_PERCENT and not (tipped and fall >= TIPPED_FALL)):
            state[_JUMP] = _NONE
        elif tipped or (jump != _NONE and abs(jump - fill) < JUMP_PERCENT):
            state[_JUMP] = _NONE
            if fall > 0 and fill < EMPTIED_BELOW:
                self._out.append((EMPTIED, RAISED, {FILL: fill}))
        else:
            state[_JUMP] = fill
            return
        state[_LEVEL] = fill
        state[_TIPPED] = 0
        settings = self._settings
        before = len(self._out)
        for code, limit in ((FULL, settings["full_percent"]), (NEARLY_FULL, settings["nearly_percent"])):
            verdict = 1 if fill >= limit else -1 if fill < limit - HYSTERESIS_PERCENT else 0
            self._latch(code, verdict, {FILL: fill})
        if len(self._out) == before + 2:  # both at once: the graver says it all
            self._out.pop()

    def _tilt(self, degrees):
        if degrees is None:
            return
        state = self._state
        if degrees >= TIPPED_DEGREES:
            state[_TIPPED] = 1
        limit = self._settings["tilt_degrees"]
        lies = 1 if degrees >= limit else -1 if degrees < limit - TILT_HYSTERESIS else 0
        self._latch(TILTED, lies, {TILT: degrees})
        if state[_UPRIGHT] == _NONE:
            state[_UPRIGHT] = degrees
        stands_otherwise = abs(degrees - state[_UPRIGHT]) >= MOVED_DEGREES and lies < 0
        self._latch(MOVED, 1 if stands_otherwise else -1, {TILT: degrees})
        if state[_LATCH + MOVED] & 128:  # it happened, and is over: here it stands now
            state[_LATCH + MOVED] = 0
            state[_UPRIGHT] = degrees

    def _still(self, still_mm, tilt):
        """Count the samples that are the same to the millimetre; a tilt over in between counts for many."""
        state = self._state
        count = 0
        if still_mm is not None:
            count = 1
            if still_mm == state[_STILL_MM] << 8 | state[_STILL_MM + 1]:
                tipped = state[_TIPPED] and tilt is not None and tilt < TIPPED_DEGREES
                count = state[_STILL] + (STILL_TIPPED if tipped else 1)
            state[_STILL_MM], state[_STILL_MM + 1] = still_mm >> 8, still_mm & 255
        state[_STILL] = min(count, STILL_SAMPLES)

    def _faults(self, evidence, quality):
        values = list(evidence.values())
        silent = FAULT in values or quality & FAULTY_PART
        weight = FAULT_WEIGHT if silent else 1 if evidence[FILL] == NO_ECHO or quality & COVERED else -1
        shown = {channel: value for channel, value in evidence.items() if value is not None}
        shown[QUALITY] = quality
        self._latch(SENSOR_FAULT, weight, shown)

    def _battery(self, battery_mv, half_c):
        """A cell that slept long gives little at first, and recovers within a day or two: that is passivation."""
        settings = self._settings
        evidence = {BATTERY: battery_mv // 10}
        if half_c is not None and _is_value(half_c):
            battery_mv += max(0, 40 - half_c) * COLD_MV // 2
        low_mv = settings["battery_low_mv"]
        verdict = 1 if battery_mv < low_mv else -1 if battery_mv > low_mv + 100 else 0
        self.days_left = None
        if verdict == 1:
            percent = 0
            for volts_10mv, left in _LEFT:
                if battery_mv // 10 < volts_10mv:
                    percent = left
            self.days_left = settings["cells_mah"] * 10 * percent // settings["draw_uah_day"]
        self._latch(BATTERY_LOW, verdict, evidence)

    def _count(self, code):
        """Of a latch that is clear: how often it was said yes."""
        latch = self._state[_LATCH + code if code else 0]
        return latch if latch < 128 else 0

    def _latch(self, code, verdict, evidence):
        """verdict: positive for yes, which counts so much; 0 for nothing; negative for no."""
        at = _LATCH + code if code else 0  # that of a fire lies among the fast bytes
        raised, count = self._state[at] & 128, self._state[at] & 127
        raise_at, clear_at = _COUNTS[code]
        count = 0 if not verdict or (verdict > 0) == (raised > 0) else count + abs(verdict)
        if count >= (clear_at if raised else raise_at):
            raised, count = raised ^ 128, 0
            self._out.append((code, RAISED if raised else CLEARED, evidence))
        self._state[at] = raised | count


def _is_value(value):
    return value is not None and value not in (NOT_FITTED, NO_ECHO, FAULT)
