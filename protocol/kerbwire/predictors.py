"""What the packed coders of a lamp expect next: pure state, the same at both ends, integers only."""

DARK = 34  # eighths of an octave, 18 lx: below it a street at night reads noise around its own mean


class Adaptive:
    """The Rice parameter of the next number, from a fading mean of those before."""

    __slots__ = ("_count", "_total")

    def __init__(self, total: int):
        self._total = total
        self._count = 2

    def parameter(self) -> int:
        k = 0
        while self._count << k < self._total and k < 7:
            k += 1
        return k

    def learn(self, number: int) -> None:
        self._total += number if number < 40 else 40
        self._count += 1
        if self._count == 8:
            self._total = self._total + 1 >> 1
            self._count = 4


class Light:
    """Lux: the value before; in the dark the fading mean of the dark."""

    __slots__ = ("_count", "_total")

    def __init__(self, first: int):
        self._total = self._count = 0
        self.learn(first)

    def expect(self, before: int) -> int:
        if before >= DARK:
            return before
        return (self._total + (self._count >> 1)) // self._count

    def learn(self, value: int) -> None:
        if value < DARK:
            if self._count >= 8:
                self._total -= self._total >> 2
                self._count -= 2
            self._total += value
            self._count += 1


class Watts:
    """Power: the fading mean at each dimming level; a new level by proportion from the lit level used last."""

    def __init__(self, high: int) -> None:
        self._high = high
        self._means: "dict[int, list[int]]" = {}
        self._lit = 0

    def expect(self, level: int) -> "int | None":
        """None where nothing is known yet: the first lit and the first unlit value."""
        mean = self._means.get(level)
        if mean:
            return (mean[0] + (mean[1] >> 1)) // mean[1]
        if level and self._lit:
            total, count = self._means[self._lit]
            return min(total * level // (count * self._lit), self._high)
        return None

    def learn(self, level: int, value: int) -> None:
        mean = self._means.get(level)
        if mean is None:
            mean = self._means[level] = [0, 0]
        elif mean[1] >= 16:
            mean[0] -= mean[0] >> 2
            mean[1] -= 4
        mean[0] += value
        mean[1] += 1
        if level:
            self._lit = level


class Meter:
    """A cumulative count: what flowed since the last whole unit, `unit` of it to one count."""

    __slots__ = ("_high", "_rest", "_unit")

    def __init__(self, unit: int, high: int, rest: int):
        self._unit = unit
        self._high = high
        self._rest = rest

    def expect(self, before: int, flow: int) -> int:
        """The next value, from the one before and the flow since."""
        self._rest += flow
        return min(before + self._rest // self._unit, self._high)

    def learn(self, counted: int) -> None:
        self._rest = min(max(self._rest - counted * self._unit, 0), self._unit - 1)
