"""Whether it is night, by a ladder: the sun, a switched supply, the photocell, the learnt night, else light.

Each rung is used only where it can be believed, and what it says against a better rung is a fault of it. In twilight,
where some minutes of a wrong clock or a dark sky decide, the sun leaves it to a photocell that is believed. A clock may
be wrong by hours: until a dusk or a dawn that the photocell saw has borne it out, and again after it was set by far, a
dark photocell and a supply of the night count for more. LAMP.md has the table. Nothing here waits or reads a clock:
time is handed in.
"""

from kerbnode import astro
from kerbwire.compat import const

SUN, SUPPLY, CELL, LEARNT, UNKNOWN = const(0), const(1), const(2), const(3), const(4)
SOURCES = ("sun", "supply", "photocell", "learnt", "unknown")

COVERED, DISAGREES = const(1), const(2)  # what is wrong with the photocell
COVERED_S = const(2 * 3600)  # of full day that it called night
DISAGREES_S = const(1800)  # of deep night that it called day
AGREES_S = const(6 * 3600)  # by day and by night, until it is believed again
LONGEST_DAY_S, LONGEST_NIGHT_S = const(23 * 3600), const(20 * 3600)  # where only the cell knows, more is a fault of it
SHORTEST_NIGHT_S = const(1800)  # a shorter one teaches nothing
DOUBT_S = const(2100)  # clouds move dusk and dawn by less from day to day
CLOCK_STEP_S = const(900)  # a clock that was set by less is still the one that was borne out
TWILIGHT_S = const(7200)  # a storm's dusk comes no earlier, and beyond it night and day are certain
LEARNT_DAYS = const(40)  # for so long the learnt night is believed
MARGIN_S, MARGIN_DAY_S = const(600), const(180)  # on either side of it, and more for each day: towards light

_WRONG = (COVERED, DISAGREES)  # by day, by night
_LIMIT_S = (COVERED_S, DISAGREES_S)
_LONGEST = (DISAGREES, LONGEST_DAY_S), (COVERED, LONGEST_NIGHT_S)  # of light, of dark
_HIGH_SUN = const(3425)  # sine of a height of 6 degrees, in 1 / 2^15: full day under any cloud
_DEEP_NIGHT = const(-6813)  # of -12 degrees: past nautical twilight
_TWILIGHT = const(1143), const(-3425)  # of 2 and -6 degrees: in between a believed photocell knows better
_RISING_S = const(120)  # the sun's direction is told over this span; about its turning points it does not matter


class Night:
    """The verdict and what it rests on: what is not known to be day is night.

    latitude, longitude: 1e-4 degrees, None where the place is unknown. dusk_sun, dawn_sun: heights of the sun's centre
    in tenths of a degree. switched: the cabinet gives the lamp its supply by night only.
    """

    def __init__(self, cell, latitude, longitude, dusk_sun, dawn_sun, switched):
        self.cell = cell
        self.source = UNKNOWN
        self.is_night = True
        self.faults = 0
        self._place = None if latitude is None or longitude is None else (latitude, longitude)
        self._heights = astro.sine(astro.angle_of(dusk_sun)), astro.sine(astro.angle_of(dawn_sun))
        self._switched = switched
        self._odd_s = [0, 0]  # by how long the cell contradicts full day, and deep night
        self._right_s = [0, 0]
        self._seen_s = None
        self._turned_s = None  # of the cell's dusk or dawn when it was last looked at
        self._flipped = False  # there was another since the look before
        self._offset_s = None  # UTC less monotonic time, of a clock that was borne out
        self.doubts = False  # clock and place are known, and nothing has borne them out
        self._dusk_s = None  # monotonic second of the last dusk that a rung above `learnt` saw
        self._night_s = None  # how long the night before it was

    def decide(self, now_s, utc_s):
        """True by night. now_s: monotonic, and never less than before; utc_s: None while the clock is unset."""
        height = None if utc_s is None or self._place is None else self._height(utc_s)
        self.doubts = utc_s is not None and height is not None and not self._bears_out(utc_s - now_s)
        self._judge_cell(now_s, height)
        before = self.is_night
        if utc_s is not None and height is not None:
            rising = self._height(utc_s + _RISING_S) > height
            self.source, self.is_night = SUN, height < self._heights[rising]
            if _TWILIGHT[1] < height < _TWILIGHT[0] and self._believes_cell():
                self.is_night = self.cell.is_dark
            if self.doubts and not self.is_night:
                if self._switched and self.cell.is_dark is not False:
                    self.source, self.is_night = SUPPLY, True
                elif self.cell.is_dark and not self.faults & COVERED:
                    self.source, self.is_night = CELL, True
        elif self._switched:
            self.source, self.is_night = SUPPLY, True
        elif self._believes_cell():
            # One that sees day well within the learnt night may see a light: until that is certain, light.
            self.source, self.is_night = CELL, self.cell.is_dark or self._learnt(now_s, -DOUBT_S) is True
        else:
            learnt = self._learnt(now_s)
            self.source, self.is_night = (UNKNOWN, True) if learnt is None else (LEARNT, learnt)
        if self.source == SUN and self.is_night != before:
            self._learn(now_s, self.is_night)
        elif self.source == CELL and self._flipped and self._certain(now_s, None) is None:
            self._learn(now_s, self.cell.is_dark)
        return self.is_night

    def _height(self, utc_s):
        latitude, longitude = self._place or (0, 0)
        return astro.sun_height(utc_s, latitude, longitude)

    def _bears_out(self, offset_s):
        """Whether the last dusk or dawn that the photocell saw, or one before it, lay in this clock's twilight."""
        if self._offset_s is None or abs(offset_s - self._offset_s) > CLOCK_STEP_S:
            self._offset_s = None
            if self.cell.is_dark is not None and self.cell.turned_s is not None:
                utc_s = self.cell.turned_s + offset_s
                height = self._height(utc_s)
                rising = self._height(utc_s + _RISING_S) > height
                if _TWILIGHT[1] < height < _TWILIGHT[0] and rising != self.cell.is_dark:
                    self._offset_s = offset_s
        return self._offset_s is not None

    def _believes_cell(self):
        return self.cell.is_dark is not None and not self.faults and not self.cell.is_blind()

    def _judge_cell(self, now_s, height):
        """Count how long the cell contradicts what is certain."""
        span_s = 0 if self._seen_s is None else now_s - self._seen_s
        self._seen_s = now_s
        is_dark = self.cell.is_dark
        self._flipped = is_dark is not None and self.cell.turned_s != self._turned_s
        if is_dark is None:
            return
        if height is None:
            fault, longest_s = _LONGEST[is_dark]
            if now_s - self.cell.since_s >= longest_s:
                self.faults |= fault
            elif self._flipped and self._learnt(now_s) is None:
                self.faults = 0  # it saw night or day come, and nothing is known against it
        self._turned_s = self.cell.turned_s
        if self.doubts and is_dark:  # against this clock it may be the night: no longer than the longest
            if now_s - self.cell.since_s >= LONGEST_NIGHT_S:
                self.faults |= COVERED
            return
        part = self._certain(now_s, height)
        if part is None:
            return
        if is_dark == part:
            self._odd_s[part] = 0
            self._right_s[part] += span_s
            if self._right_s[part] >= AGREES_S:
                self.faults &= ~_WRONG[part]
        else:
            self._right_s[part] = 0
            self._odd_s[part] += span_s
            if self._odd_s[part] >= _LIMIT_S[part]:
                self.faults |= _WRONG[part]

    def _certain(self, now_s, height):
        """1: deep night, 0: full day, by the sun or else by the learnt night; None: neither."""
        if height is not None:
            return 0 if height >= _HIGH_SUN else 1 if height <= _DEEP_NIGHT else None
        outer, inner = self._learnt(now_s, TWILIGHT_S), self._learnt(now_s, -TWILIGHT_S)
        return outer if outer == inner else None

    def _learn(self, now_s, is_dusk):
        """Take a dusk or a dawn as it was. The caller leaves out a photocell's, far from what was learnt: a storm."""
        if is_dusk:
            self._dusk_s = now_s
        elif self._dusk_s is not None:
            night_s = (now_s - self._dusk_s) % astro.DAY_S
            if night_s >= SHORTEST_NIGHT_S and now_s - self._dusk_s < astro.DAY_S:
                self._night_s = night_s

    def _learnt(self, now_s, wider_s=0):
        """Whether it is night by the last night seen; None while there was none, or it is too long ago.

        wider_s: on either side of that night, beyond the margin.
        """
        if self._dusk_s is None or self._night_s is None:
            return None
        days, second = divmod(now_s - self._dusk_s, astro.DAY_S)
        margin_s = wider_s + (MARGIN_S + MARGIN_DAY_S * days) * (1 if wider_s >= 0 else -1)
        if days >= LEARNT_DAYS:
            return None
        if margin_s < 0:
            return -margin_s <= second < self._night_s + margin_s
        return second < self._night_s + margin_s or second >= astro.DAY_S - margin_s
