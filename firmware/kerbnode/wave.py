"""Light that goes ahead of people, from lamp to lamp: what a column tells its neighbours, and what it makes of theirs.

The street is a chain: each lamp knows the members on either side, the nearest first. On a link that all of them hear, a
lamp lights for what one of its AHEAD nearest saw and passes nothing on; where a link reaches only the next column,
`hops` says how far a message is carried. The reach is bounded by the chain and by hops: nothing runs round a loop.
"""

from kerbwire.compat import const
from kerbwire.waves import BOTH, DOWNWARDS, UPWARDS, Wave

AHEAD = const(2)  # columns lit before somebody comes there
EVERY_MS = const(2000)  # nothing is told or relayed sooner than this after the last time
AGAIN_MS = const(10000)  # a presence that lasts is told again: well within the time that a wave holds
LINK_MS = const(40000)  # a neighbour's wave and one's own presence within this are the same walker
MAX_DECI_MPS = const(600)


class Waves:
    """chain: (members below, members above), each the nearest first. spacing_dm: between columns, decimetres."""

    def __init__(self, below, above, spacing_dm, level, lifetime_s, hops=0):
        self._sides = (below, above)
        self._spacing_dm = spacing_dm
        self._level = level
        self._lifetime_s = lifetime_s
        self._hops = hops
        self._told_ms = None
        self._seen_ms = None
        self._relayed_ms = None
        self._heard = [None, None]  # when the nearest on each side last saw somebody

    def seen(self, now_ms):
        """Somebody is at this column: the wave to send now, or None. now_ms: monotonic, never wraps."""
        is_new = self._seen_ms is None or now_ms - self._seen_ms > EVERY_MS
        self._seen_ms = now_ms
        if self._told_ms is not None and now_ms - self._told_ms < (EVERY_MS if is_new else AGAIN_MS):
            return None
        self._told_ms = now_ms
        direction, speed = BOTH, 0
        below, above = self._heard
        if below is not None and (above is None or above < below) and now_ms - below <= LINK_MS:
            direction, speed = UPWARDS, self._speed(now_ms - below)
        elif above is not None and (below is None or below < above) and now_ms - above <= LINK_MS:
            direction, speed = DOWNWARDS, self._speed(now_ms - above)
        lifetime_s = self._lifetime_s
        if speed:  # a known walker needs no more than twice the way to the last column that is lit
            lifetime_s = min(lifetime_s, 2 * AHEAD * self._spacing_dm // speed + 2)
        return Wave(self._level, 0, direction, speed, lifetime_s)

    def heard(self, member, wave, now_ms):
        """A neighbour's wave: (whether to light up, the wave to pass on or None)."""
        for side in (0, 1):
            members = self._sides[side]
            if member in members:
                break
        else:
            return False, None
        place = members.index(member) + wave.hop  # 0: the next column
        if place == 0:
            self._heard[side] = now_ms
        # From below, light goes up: a wave that only goes down is not for a column above it.
        if place >= AHEAD or wave.direction == (DOWNWARDS if side == 0 else UPWARDS):
            return False, None
        onward = None
        if wave.hop < self._hops and (self._relayed_ms is None or now_ms - self._relayed_ms >= EVERY_MS):
            self._relayed_ms = now_ms
            onward = Wave(wave.level, wave.hop + 1, UPWARDS if side == 0 else DOWNWARDS, wave.speed, wave.lifetime)
        return True, onward

    def _speed(self, span_ms):
        """0.1 m/s from one column to the next."""
        return min(MAX_DECI_MPS, self._spacing_dm * 1000 // max(span_ms, 1))
