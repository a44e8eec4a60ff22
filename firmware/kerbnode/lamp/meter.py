"""What a lamp's power means: energy over restarts and by level, and what each level usually takes. Pure, integers.

Levels are learnt where the lamp really burns, eight of them at most: floor, low, high and what a command asked for. A
night teaches one mean a level; three nights make it known, and then it follows slowly, never a step like a fault's.
"""

from kerbwire.compat import const

LEVELS = const(8)
NIGHTS = const(3)  # until a level is known
ENOUGH = const(5)  # readings of a night
NEAR = const(5)  # percent of level: a neighbour that is known stands for it
FOLLOW = const(16)  # a known level moves by so much of the difference, each night
TRUST_PERCENT = const(8)  # and by no difference beyond this
STEPS = const(10)  # of energy by level: 1 to 10 %, 11 to 20 %, ...
HIGHEST_WH = const(0x7FFFFFF0)
_ROW = const(7)  # bytes of a packed level: level, power, nights, tonight's mean, tonight's readings


class Baseline:
    """What each level takes in watts, learnt over nights."""

    def __init__(self):
        self._rows = []  # [level, tenths of a watt, nights, tonight's sum, tonight's readings]

    def learn(self, level, power_mw):
        """One reading at a steady level, with nothing wrong."""
        row = self._row(level)
        if row is None:
            if len(self._rows) == LEVELS:
                self._forget()
            row = [level, 0, 0, 0, 0]
            self._rows.append(row)
        row[3] += (power_mw + 50) // 100
        row[4] += 1
        if row[4] == 4096:  # the mean stays
            row[3] >>= 1
            row[4] >>= 1

    def night_over(self, keep):
        """Take what tonight taught; keep False: something was wrong, so it taught nothing."""
        for row in self._rows:
            if keep and row[4] >= ENOUGH:
                mean = row[3] // row[4]
                if row[2] < NIGHTS:
                    row[1] = (row[1] * row[2] + mean) // (row[2] + 1)
                    row[2] += 1
                elif 100 * abs(mean - row[1]) <= TRUST_PERCENT * row[1]:
                    row[1] += (mean - row[1]) // FOLLOW if mean >= row[1] else -((row[1] - mean) // FOLLOW)
            row[3] = row[4] = 0

    def tonight(self):
        """(per cent, level, tenths of a watt): tonight's power of all known levels together, against what they usually
        take, and of the one that is furthest below. Zeros where too little is known."""
        expected = found = 0
        worst = (101, 0, 0)
        for row in self._rows:
            if row[2] >= NIGHTS and row[4] >= ENOUGH and row[1]:
                mean = row[3] // row[4]
                expected += row[1]
                found += mean
                worst = min(worst, (100 * mean // row[1], row[0], mean))
        return (100 * found // expected if expected else 0), worst[1], worst[2]

    def expected_mw(self, level):
        """What the level usually takes; 0 where that is not known."""
        best = None
        for row in self._rows:
            off = abs(row[0] - level)
            if row[2] >= NIGHTS and off <= NEAR and (best is None or off < abs(best[0] - level)):
                best = row
        if best is None:
            return 0
        # Between near levels the power goes as that of drivers does: 5 % and 95 % of the level.
        return best[1] * 100 * (500 + 95 * level) // (500 + 95 * best[0])

    def least_mw(self):
        """What the lowest known level takes; 0 where none is known."""
        return min([row[1] * 100 for row in self._rows if row[2] >= NIGHTS] or [0])

    def forget(self):
        """Another luminaire was fitted: learn anew."""
        self._rows = []

    def pack(self):
        """All of it, at most 56 bytes: a switched supply ends the night before the node can."""
        data = b""
        for row in self._rows:
            mean = row[3] // row[4] if row[4] else 0
            data += bytes((row[0], row[1] >> 8, row[1] & 255, row[2], mean >> 8, mean & 255, min(row[4], 255)))
        return data

    def unpack(self, data):
        """Go on from what was known. Anything else than `pack` gives is ignored."""
        if len(data) % _ROW or len(data) > _ROW * LEVELS:
            return
        self._rows = []
        for at in range(0, len(data), _ROW):
            level, high, low, nights, mean_high, mean_low, count = data[at : at + _ROW]
            self._rows.append([level, high << 8 | low, min(nights, NIGHTS), (mean_high << 8 | mean_low) * count, count])

    def _row(self, level):
        for row in self._rows:
            if row[0] == level:
                return row
        return None

    def _forget(self):
        """The level that is known least makes room."""
        self._rows.remove(min(self._rows, key=lambda row: (row[2], row[4])))


class Energy:
    """total_wh: over restarts. by_level: Wh of each tenth of the levels since the owner took them, [0] of darkness."""

    def __init__(self):
        self.total_wh = 0
        self.by_level = [0] * (STEPS + 1)
        self._rest_mws = 0  # of a watt hour, in mW s
        self._counted = None  # Wh as the part showed it
        self._before = None  # (second, mW, level)

    def take(self, now_s, level, power_mw, counted_wh):
        """One reading. counted_wh: of the part's own counter, negative where it has none: then power is integrated."""
        gained = 0
        if self._before is not None and power_mw >= 0 and now_s > self._before[0]:
            at_s, before_mw, before_level = self._before
            span_s = min(now_s - at_s, 900)  # longer, nobody knows what it did
            # Whole mW s in numbers below 2^30: 100 W for 15 minutes are 9 x 10^7.
            self._rest_mws += (before_mw + power_mw) // 2 * span_s
            gained = self._rest_mws // 3600000
            self._rest_mws %= 3600000
            self.by_level[(before_level + STEPS - 1) // STEPS] += gained
        if power_mw >= 0:
            self._before = (now_s, power_mw, level)
        if counted_wh >= 0:
            if self._counted is not None:
                gained = counted_wh - self._counted
                if gained < 0:  # it began anew
                    gained = counted_wh
            else:
                gained = 0
            self._counted = counted_wh
        self.total_wh = min(self.total_wh + gained, HIGHEST_WH)
