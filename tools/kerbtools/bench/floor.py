"""The entropy floor: the ideal code length of the same records under a trained context model (`context_model`).

The model is trained on other seeds of the same generator than those it is measured on. It knows the channels' physics:
energy from power, lamp hours from light, dimming from darkness, hour and presence. To the values come 4 bytes that name
the records (16 bits each of index and time), as every coder must. It is an estimate, and from above.
"""

import math
from collections.abc import Callable, Hashable, Sequence

from kerbtools.bench.context_model import Guess, Mixture, bucket, regression, weighted
from kerbtools.bench.workload import TENTHS, Series, lux_code

NAMING_BYTES = 4
TRAINING_SEEDS = range(20_001, 21_501)
NIGHT_TRAINING = 600  # of these seeds: a night holds many times the values of a day

_ORDER = 4  # of the regressions
_FIRST = "first"
_GAIN = 0.6  # of the filtered fill level
_DARK = 34  # lux code: below 18 lx a photocell sees lamps and the moon
_UNIFORM = {"energy": 21.4, "hours": 15.2, "battery": 5.6}  # bits of a first value that nothing predicts
_ALARM_BITS = 4 + 2 + 1 + 8.5  # of 16 codes, 4 severities, raised or cleared, a DS18B20's range
_SECONDS_BITS = 6  # an alarm's time is known to the second


class Floor:
    """The model of one kind of series; `columns` fixes their order, so that one may lean on those before it."""

    def __init__(self, training: Sequence[Series]) -> None:
        self._names = list(training[0].columns)
        if "lux" in self._names:
            self._names = ["lux", "presence", "level", "power", "energy", "hours", "faults"]
        prepared = [_prepared(series) for series in training]
        self._weights = {
            name: regression([columns[name] for columns in prepared], _ORDER)
            for name in self._names
            if name in ("fill", "temperature", TENTHS, "lux")
        }
        self._mixtures = {name: Mixture((3 if name == "fill" else 2) + (name in self._weights)) for name in self._names}
        for columns in prepared:
            self._walk(columns, self._learn)

    def bytes(self, series: Series) -> int:
        """Whole bytes of one message."""
        return NAMING_BYTES + math.ceil(self.bits(series) / 8)

    def bits(self, series: Series) -> float:
        """Ideal code length of the values alone."""
        spent = sum(_UNIFORM[name] for name in series.once)
        for mixture in self._mixtures.values():
            mixture.restart()

        def measure(name: str, value: int, guesses: Sequence[Guess]) -> None:
            nonlocal spent
            spent += self._mixtures[name].bits(value, guesses)

        columns = _prepared(series)
        self._walk(columns, measure)
        return spent + sum(_UNIFORM.get(name, 0) for name in columns)

    def _learn(self, name: str, value: int, guesses: Sequence[Guess]) -> None:
        self._mixtures[name].learn(value, guesses)

    def _walk(self, columns: dict[str, list[int]], use: Callable[[str, int, Sequence[Guess]], None]) -> None:
        for name in self._names:
            values = columns[name]
            experts = _EXPERTS.get(name, _hold)
            for i, value in enumerate(values):
                if i == 0 and name in _UNIFORM:
                    continue
                guesses = experts(columns, values, i)
                if name in self._weights:
                    guesses.append(self._regressed(columns, name, i))
                use(name, value, guesses)

    def _regressed(self, columns: dict[str, list[int]], name: str, i: int) -> Guess:
        values = columns[name]
        if i < _ORDER:
            return (float(values[i - 1]), ["early"]) if i else (0.0, [_FIRST])
        light: Hashable = values[i - 1] < _DARK if name == "lux" else _activity(values, i)
        return weighted(values, i, self._weights[name]), ["", light, (light, _clip(values[i - 1] - values[i - 2], 2))]


def alarm_bytes() -> int:
    """Nothing can be trained on one alarm: its fields, uniform over their ranges."""
    return NAMING_BYTES + math.ceil((_ALARM_BITS + _SECONDS_BITS) / 8)


def changes_floor(training: Sequence[Series]) -> Callable[[Series], int]:
    """The floor of a log of level changes: intervals by quarter octave, then uniform; level and cause by the last."""
    mixtures = {"gap": Mixture(1), "level": Mixture(1), "cause": Mixture(1)}

    def each(series: Series, use: Callable[[str, int, Sequence[Guess]], float | None]) -> float:
        spent = 0.0
        level = cause = 0
        for i, time in enumerate(series.times):
            if i:
                gap = time - series.times[i - 1]
                if cause == 1:
                    gap -= 60  # a lamp stays up for its hold time
                spent += use("gap", gap if gap < 16 else 16 + _octave(gap), [(0.0, [cause])]) or 0
                spent += math.log2(_octave_width(gap)) if gap >= 16 else 0
            next_level, next_cause = series.columns["level"][i], series.columns["cause"][i]
            spent += use("level", next_level, [(0.0, [level])]) or 0
            spent += use("cause", next_cause, [(0.0, [(next_level, cause)])]) or 0
            level, cause = next_level, next_cause
        return spent

    for series in training:
        each(series, lambda name, value, guesses: mixtures[name].learn(value, guesses))

    def measure(series: Series) -> int:
        for mixture in mixtures.values():
            mixture.restart()
        return NAMING_BYTES + math.ceil(each(series, lambda name, value, g: mixtures[name].bits(value, g)) / 8)

    return measure


def _prepared(series: Series) -> dict[str, list[int]]:
    columns = dict(series.columns)
    if "lux" in columns:
        columns["lux"] = [lux_code(value) for value in columns["lux"]]
    return columns


def _hold(_columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    """The value before; under the last change, and under how busy the series has been."""
    if i == 0:
        return [(0.0, [_FIRST]), (0.0, [_FIRST])]
    change = values[i - 1] - values[i - 2] if i > 1 else 0
    busy = _activity(values, i)
    near = _clip(change, 3)
    return [
        (float(values[i - 1]), ["", near, (near, busy)]),
        (values[i - 1] + change / 2, ["", busy, (busy, _clip(values[i - 2] - values[i - 3], 2) if i > 2 else 0)]),
    ]


def _fill(columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    """Deposits only add, echo noise comes back: a filtered level, under the rate since the last emptying."""
    if i == 0:
        return [(0.0, [_FIRST])] * 3
    level = float(values[0])
    start = 0
    for j in range(1, i):
        change = values[j] - level
        if change < -4:
            start = j
        level = values[j] if abs(change) > 2 else level + _GAIN * change
    rate = bucket(6 * max(0, values[i - 1] - values[start]) / (i - start))
    last = _clip(values[i - 1] - values[i - 2], 3) if i > 1 else 0
    recent = _clip(values[i - 1] - values[max(start, i - 4)], 5)
    return [
        (level, ["", rate, (rate, min(i - start, 5)), (rate, recent)]),
        (level, ["", last, (last, rate)]),
        (float(values[i - 1]), ["", last, (last, rate)]),
    ]


def _lux(columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    guesses = _hold(columns, values, i)
    dark = [value for value in values[:i] if value < _DARK]
    if i and values[i - 1] < _DARK and dark:
        guesses[1] = (sum(dark) / len(dark), ["dark", ("dark", min(len(dark), 8)), ("dark", i // 4)])
    return guesses


def _presence(_columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    mean = bucket(2 * sum(values[:i]) / i) if i else -1
    recent = min(sum(values[max(0, i - 4) : i]), 12)
    return [(0.0, ["", i // 4, (i // 4, mean)]), (0.0, ["", recent, (recent, mean)])]


def _level(columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    before = values[i - 1] if i else -1
    lux, passed = columns["lux"][i], columns["presence"][i]
    light = min(max(lux - 32, 0), 12)
    return [
        (0.0, ["", before, (before, light), (before, light, i // 4, min(passed, 3))]),
        (0.0, ["", i // 4, (i // 4, light > 5), (i // 4, light > 5, min(passed, 6))]),
    ]


def _power(columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    levels = columns["level"]
    level = levels[i]
    same = [values[j] for j in range(i) if levels[j] == level]
    lit = [(levels[j], values[j]) for j in range(i) if levels[j]]
    if same:
        mean = sum(same) / len(same)
        seen = min(len(same), 6)
        spread = bucket(mean) if level else 0
        return [(mean, [level > 0, (level > 0, spread), (level > 0, spread, seen)]), (same[-1], [level > 0])]
    if level and lit:
        other, watts = lit[-1]
        guess = 4 + (watts - 4) * (level / other) ** 1.08
        return [(guess, ["scaled", ("scaled", bucket(guess))]), (guess, ["scaled"])]
    return [(0.0, [_FIRST, (_FIRST, level)]), (0.0, [_FIRST, (_FIRST, level)])]


def _energy(columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    """What the power so far adds up to, in steps of a quarter hour: 0.1 W * 0.25 h = Wh / 40."""
    fortieths = sum(columns["power"][1 : i + 1])
    exact = values[0] + fortieths / 40
    spent = values[i - 1]
    part = round(exact - spent, 1)
    add = columns["power"][i] / 40
    return [(exact, ["", part]), (spent + add, ["", round(add, 1)])]


def _hours(columns: dict[str, list[int]], values: list[int], i: int) -> list[Guess]:
    """An hour is counted with every fourth lit quarter; the phase shows at the first count."""
    lit = columns["level"][i] > 0
    since = 0
    known = False
    for j in range(i - 1, 0, -1):
        if values[j] != values[j - 1]:
            known = True
            break
        since += columns["level"][j] > 0
    return [(float(values[i - 1]), [(lit, since, known)])] * 2


_EXPERTS: dict[str, Callable[[dict[str, list[int]], list[int], int], list[Guess]]] = {
    "fill": _fill,
    "lux": _lux,
    "presence": _presence,
    "level": _level,
    "power": _power,
    "energy": _energy,
    "hours": _hours,
}


def _activity(values: list[int], i: int) -> int:
    """Mean change so far, by half octave."""
    return bucket(4 * sum(abs(values[j] - values[j - 1]) for j in range(1, i)) / (i - 1)) if i > 1 else -1


def _clip(number: int, most: int) -> int:
    return max(-most, min(most, number))


def _octave(gap: int) -> int:
    return int(4 * math.log2(gap / 16))


def _octave_width(gap: int) -> float:
    """How many whole seconds share this gap's quarter octave."""
    number = _octave(gap)
    low, high = 16 * 2 ** (number / 4), 16 * 2 ** ((number + 1) / 4)
    return max(1, math.ceil(high) - math.ceil(low))
