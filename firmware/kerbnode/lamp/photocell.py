"""A photocell, latched by direction: dusk at the higher level, dawn at the lower, as street cells switch.

Between the two levels the direction decides: light that falls through `dusk_lux` is dusk, light that rises through
`dawn_lux` is dawn. Its own lamp's light is learnt at each change of level and taken off.
"""

from kerbwire.channels import FAULT, NOT_FITTED
from kerbwire.compat import const

SETTLE_S = const(60)  # headlights, lightning, a hand over the cell: shorter than this
LEARN_STEP = const(25)  # percent: a smaller change of level teaches nothing that noise would not
LEARN_S = const(5)  # around a change of level daylight stands still
GAP_S = const(3600)  # readings that fail for less end no verdict: a loose wire would hide a covered cell for ever
BLIND = const(4)  # own light of so many times `dawn_lux` hides the dawn


class Photocell:
    """is_dark: the latched verdict, None until there was a reading, and while there is no usable one."""

    def __init__(self, dusk_lux, dawn_lux):
        self.dusk_lux = dusk_lux
        self.dawn_lux = dawn_lux
        self.is_dark = None
        self.since_s = 0  # of the verdict
        self.turned_s = None  # of the last dusk or dawn that it saw: a first verdict is neither
        self.own_lux = 0  # of the own lamp at full light
        self.brightest = 0  # daylight since the last dawn, kept through the night
        self._armed = False  # the light went beyond the other level since the verdict changed
        self._crossing_s = None
        self._before = None  # (lux, percent, second) of the reading before
        self._verdict = None  # (is_dark, since_s, second) of the last one that there was

    def sample(self, lux, percent, now_s):
        """One reading while the own lamp shows `percent`; now_s: monotonic."""
        if lux in (FAULT, NOT_FITTED):
            if self.is_dark is not None:
                self._verdict = self.is_dark, self.since_s, now_s
            self.is_dark = self._before = None
            return
        self._learn(lux, percent, now_s)
        ambient = max(0, lux - self.own_lux * percent // 100)
        if self.is_dark is None:  # between the levels nothing tells dusk from dawn: then light
            self.is_dark = ambient < self.dusk_lux
            self.since_s = now_s
            if self._verdict and self._verdict[0] == self.is_dark and now_s - self._verdict[2] <= GAP_S:
                self.since_s = self._verdict[1]
            self._armed = not self.dawn_lux <= ambient < self.dusk_lux
        elif self.is_dark:
            self._armed = self._armed or ambient < self.dawn_lux
            # Unarmed it was found between the levels: only full daylight is then a dawn.
            self._cross(ambient >= (self.dawn_lux if self._armed else self.dusk_lux), now_s)
        else:
            self._armed = self._armed or ambient >= self.dusk_lux
            self.brightest = max(self.brightest, ambient)
            self._cross(ambient < (self.dusk_lux if self._armed else self.dawn_lux), now_s)

    def is_blind(self):
        """Whether the own lamp's light hides the dawn."""
        return self.own_lux > BLIND * self.dawn_lux

    def _cross(self, is_beyond, now_s):
        if not is_beyond:
            self._crossing_s = None
        elif self._crossing_s is None:
            self._crossing_s = now_s
        elif now_s - self._crossing_s >= SETTLE_S:
            if self.is_dark:
                self.brightest = 0
            self.is_dark = not self.is_dark
            self.since_s = self.turned_s = now_s
            self._armed = False
            self._crossing_s = None

    def _learn(self, lux, percent, now_s):
        """The step in the light when the own lamp changes is its own light."""
        if self._before is not None:
            old_lux, old_percent, old_s = self._before
            if abs(percent - old_percent) >= LEARN_STEP:
                if now_s - old_s <= LEARN_S:
                    own = max(0, (lux - old_lux) * 100 // (percent - old_percent))
                    is_first = self.is_dark is False and self.turned_s is None and not self.own_lux
                    if is_first and old_lux - own * old_percent // 100 < self.dusk_lux <= old_lux:
                        self.is_dark = None  # what it took for day was its own lamp
                    self.own_lux = (3 * self.own_lux + own) // 4 if self.own_lux else own
            elif now_s == old_s:
                return
        self._before = (lux, percent, now_s)
