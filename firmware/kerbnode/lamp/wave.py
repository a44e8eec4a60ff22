"""Light that goes ahead of people, from lamp to lamp: what a column tells its neighbours, and what it makes of theirs.

The street is a chain: each lamp knows the members on either side, the nearest first. On a link that all of them hear, a
lamp lights for what one of its AHEAD nearest saw and passes nothing on; where a link reaches only the next column,
`hops` says how far a message is carried. The reach is bounded by the chain and by hops: nothing runs round a loop.
"""

from kerbwire.compat import const
from kerbwire.waves import BOTH, DOWNWARDS, UPWARDS, Wave

AHEAD = const(2)  # columns lit before somebody comes there
EVERY_MS = const(2000)  # nothing is told or relayed sooner than this after the last time
AGAIN_MS = const(15000)  # a presence that lasts is told again: well within the time that a wave holds
LINK_MS = const(40000)  # a neighbour's wave and one's own presence within this are the same walker
MAX_DECI_MPS = const(600)


class Waves:
    """chain: (members below, members above), each the nearest first. spacing_dm: between columns, decimetres.

    level: what neighbours are asked for; its owner sets it to its own of the hour. seen_ms: of the last presence here.
    """

    def __init__(self, below, above, spacing_dm, level, lifetime_s, hops=0, ahead=AHEAD):
        self.level = level
        self.seen_ms = None
        self._sides = (below, above)
        self._spacing_dm = spacing_dm
        self._lifetime_s = lifetime_s
        self._hops = hops
        self._ahead = ahead
        self._told_ms = None
        self._told = None  # the wave told then
        self._relayed_ms = None
        self._heard = [None, None]  # when the nearest on each side last saw somebody come this way

    def seen(self, now_ms):
        """Somebody is at this column: the wave to send now, or None. Asked at each tick; now_ms never wraps."""
        is_new = self.seen_ms is None or now_ms - self.seen_ms > EVERY_MS
        self.seen_ms = now_ms
        if self._told_ms is not None and now_ms - self._told_ms < (EVERY_MS if is_new else AGAIN_MS):
            return None
        direction, speed = BOTH, 0
        below_ms, above_ms = [None if at is None or now_ms - at > LINK_MS else now_ms - at for at in self._heard]
        if above_ms is None and below_ms is not None:
            direction, speed = UPWARDS, self._speed(below_ms)
        elif below_ms is None and above_ms is not None:
            direction, speed = DOWNWARDS, self._speed(above_ms)
        told = self._told if self._told is not None and now_ms - self._told_ms < AGAIN_MS else None
        if told is not None and told.level >= self.level and told.direction in (BOTH, direction):
            return None  # it still holds
        lifetime_s = self._lifetime_s
        if speed:  # a known walker needs no more than twice the way to the last column; it holds until it is told again
            needed_s = max(2 * self._ahead * self._spacing_dm // speed, AGAIN_MS // 1000) + 2
            lifetime_s = min(lifetime_s, needed_s)
        self._told_ms = now_ms
        self._told = Wave(self.level, 0, direction, speed, lifetime_s)
        return self._told

    def again_ms(self):
        """When a presence that lasts is told again; None before the first."""
        return None if self._told_ms is None else self._told_ms + AGAIN_MS

    def heard(self, member, wave, now_ms):
        """A neighbour's wave: (whether to light up, the wave to pass on or None)."""
        for side in (0, 1):
            members = self._sides[side]
            if member in members:
                break
        else:
            return False, None
        # From below, light goes up: a wave that only goes down is not for a column above it.
        if wave.direction == (DOWNWARDS if side == 0 else UPWARDS):
            return False, None
        place = members.index(member) + wave.hop  # 0: the next column
        if place == 0:
            self._heard[side] = now_ms
        if place >= self._ahead:
            return False, None
        onward = None
        if wave.hop < self._hops and (self._relayed_ms is None or now_ms - self._relayed_ms >= EVERY_MS):
            self._relayed_ms = now_ms
            onward = Wave(wave.level, wave.hop + 1, UPWARDS if side == 0 else DOWNWARDS, wave.speed, wave.lifetime)
        return True, onward

    def _speed(self, span_ms):
        """0.1 m/s from one column to the next."""
        return min(MAX_DECI_MPS, self._spacing_dm * 1000 // max(span_ms, 1))
