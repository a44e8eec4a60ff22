"""Whether it is night, by a ladder: the sun, a switched supply, the photocell, the learnt night, else light.

Each rung is used only where it can be believed, and what it says against a better rung is a fault of it. In twilight,
where some minutes of a wrong clock or a dark sky decide, the sun leaves it to a photocell that is believed. A clock may
be wrong by hours: until a dusk or a dawn that the photocell saw has borne it out, and again after it was set by far, a
dark photocell and a supply of the night count for more. A clock that is wrong moves dusk and dawn the same way, a
photocell that is partly covered moves them apart: that is how they are told. LAMP.md has the table. Nothing here waits
or reads a clock: time is handed in.
"""

from kerbnode.lamp import astro
from kerbwire.compat import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SUN, SUPPLY, CELL, LEARNT, UNKNOWN = const(0), const(1), const(2), const(3), const(4)
SOURCES = ("sun", "supply", "photocell", "learnt", "unknown")

COVERED, DISAGREES = const(1), const(2)  # what is wrong with the photocell
COVERED_S = const(2 * 3600)  # of full day that it called night
DISAGREES_S = const(1800)  # of deep night that it called day
AGREES_S = const(6 * 3600)  # by day and by night, until it is believed again
LONGEST_DAY_S, LONGEST_NIGHT_S = const(23 * 3600), const(20 * 3600)  # where only the cell knows, more is a fault of it
SHORTEST_NIGHT_S = const(1800)  # a shorter one teaches nothing
DOUBT_S = const(2100)  # clouds move dusk and dawn by less from day to day
CLOCK_STEP_S = const(900)  # a clock that was set by less is still the same one
APART_NIGHTS = const(3)  # in a row that the cell saw begin too early and end too late: no storm lasts for so long
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
_DEGREE = const(572)
_CLOUDS = const(4)  # by so much they darken a dusk against the noon before it


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
        self._offset_s = None  # UTC less monotonic time, of the clock that is looked at
        self._borne_out = False  # it is right, to some minutes
        self._weighed_s = None  # of the dusk or dawn that was last held against it
        self._extreme: "Any" = None  # the sun by it: its highest since the cell's dawn, its lowest since its dusk
        self._early = None  # height of the sun at the cell's dusk, where that was too early
        self._apart = 0  # nights in a row that began too early and ended too late
        self.doubts = False  # clock and place are known, and nothing has borne them out
        self._dusk_s = None  # monotonic second of the last dusk that a rung above `learnt` saw
        self._night_s = None  # how long the night before it was

    def decide(self, now_s, utc_s):
        """True by night. now_s: monotonic, and never less than before; utc_s: None while the clock is unset."""
        height = None if utc_s is None or self._place is None else self._height(utc_s)
        if utc_s is not None and height is not None:
            self._weigh(utc_s - now_s, height)
        self.doubts = height is not None and not self._borne_out
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
                elif self.cell.is_dark and now_s - self.cell.since_s < LONGEST_NIGHT_S:
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

    def _weigh(self, offset_s, height):
        """Hold what the cell saw against this clock."""
        cell = self.cell
        is_new = self._offset_s is None or abs(offset_s - self._offset_s) > CLOCK_STEP_S
        if is_new:
            self._offset_s, self._borne_out, self._apart = offset_s, False, 0
            self._extreme = self._early = self._weighed_s = None
        if cell.is_dark is None:
            return
        if cell.turned_s is not None and cell.turned_s != self._weighed_s:
            self._weighed_s = cell.turned_s
            self._weigh_turn(self._height(cell.turned_s + offset_s), offset_s, is_new)
            self._extreme = height
        elif self._extreme is None or (height < self._extreme if cell.is_dark else height > self._extreme):
            self._extreme = height

    def _weigh_turn(self, height, offset_s, is_new):
        """A dusk or a dawn of the cell, with the sun at this height: in its twilight it bears the clock out. One that
        lies in its night shows that either is wrong. Nights that are too long at both ends are those of a cell that is
        partly covered: clouds and a wrong clock make none, three times in a row."""
        is_dusk = self.cell.is_dark
        rising = self._height(self.cell.turned_s + offset_s + _RISING_S) > height
        if _TWILIGHT[1] < height < _TWILIGHT[0] and rising != is_dusk:
            self._offset_s, self._borne_out, self._apart = offset_s, True, 0
        elif height <= _TWILIGHT[1]:
            self._apart = 0
        early, self._early = self._early, None
        if height < _TWILIGHT[0] or is_new:
            return
        if is_dusk:
            if self._extreme and self._is_dimmed(height):
                self._early = height
        elif early is not None and self._extreme < min(early, height) - _DEGREE:  # the sun was down in between
            self._apart += 1
            if self._apart >= APART_NIGHTS:
                self._borne_out = True
                self.faults |= COVERED

    def _is_dimmed(self, height):
        """Whether the light before this dusk was no more than a cover lets through, by this clock's sun. Else the light
        is good, and the clock has the wrong season. Daylight rises by less than the square of the sun's sine."""
        high, low = self._extreme >> 7, height >> 7
        return self.cell.brightest * low * low <= _CLOUDS * self.cell.dusk_lux * high * high

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
            if self._right_s[part] >= AGREES_S and (part or self._apart < APART_NIGHTS):
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
