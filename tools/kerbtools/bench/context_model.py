"""A trained context model: counts of residuals under chains of contexts, mixed; what it yields is an ideal code length.

One `Mixture` models one column. Each of its experts predicts the next value, takes the residual, and estimates its
probability from counts in ever more special contexts: the special one is trusted as far as it has been seen (weight
n / (n + 2)), the rest falls to the more general, and at the bottom to a fixed heavy-tailed law. Experts are weighted by
how well they did so far in this series. It is an estimate of the entropy, from above: a better model would need less.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

_TRUST = 2.0  # virtual sightings of the more general estimate
_FORGET = 0.95  # how fast an expert's past is forgotten
_DECIMALS = 4  # in which part of a step a prediction lies is a context of its own

# What an expert says of the next value: a prediction, and its contexts from general to special.
Guess = tuple[float, Sequence[Hashable]]
Expert = Callable[[int], Guess]


@dataclass
class _Counts:
    total: int = 0
    of: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, symbol: int) -> None:
        self.total += 1
        self.of[symbol] = self.of.get(symbol, 0) + 1


class Mixture:
    """The model of one column."""

    def __init__(self, experts: int) -> None:
        self._tables: list[dict[Hashable, _Counts]] = [{} for _ in range(experts)]
        self._logs = [0.0] * experts

    def restart(self) -> None:
        """A new series: the experts' weights start equal again."""
        self._logs = [0.0] * len(self._logs)

    def learn(self, value: int, guesses: Sequence[Guess]) -> None:
        """Count one value of the training set."""
        for table, guess in zip(self._tables, guesses, strict=True):
            base, contexts = _split(guess)
            for context in contexts:
                table.setdefault(context, _Counts()).add(value - base)

    def bits(self, value: int, guesses: Sequence[Guess]) -> float:
        """Ideal code length of a value in bits."""
        chances = [self._chance(table, value, guess) for table, guess in zip(self._tables, guesses, strict=True)]
        highest = max(self._logs)
        weights = [math.exp(log - highest) for log in self._logs]
        mixed = sum(w * p for w, p in zip(weights, chances, strict=True)) / sum(weights)
        self._logs = [_FORGET * log + math.log(p) for log, p in zip(self._logs, chances, strict=True)]
        return -math.log2(mixed)

    @staticmethod
    def _chance(table: dict[Hashable, _Counts], value: int, guess: Guess) -> float:
        base, contexts = _split(guess)
        symbol = value - base
        folded = 2 * symbol if symbol >= 0 else -2 * symbol - 1
        chance = 1 / ((folded + 1) * (folded + 2))  # sums to one over all integers
        for context in contexts:
            counts = table.get(context)
            if counts is not None:
                chance = (counts.of.get(symbol, 0) + _TRUST * chance) / (counts.total + _TRUST)
        return chance


def _split(guess: Guess) -> tuple[int, Sequence[Hashable]]:
    """The prediction's whole part, and its contexts, each also by the part of a step that is left."""
    prediction, contexts = guess
    base = math.floor(prediction)
    part = int((prediction - base) * _DECIMALS)
    return base, [(part, context) for context in contexts]


def regression(rows: Sequence[Sequence[int]], order: int) -> list[float]:
    """Least squares weights of the last `order` values, newest first, for the next, by Gauss-Jordan."""
    square = [[1e-6 * (i == j) for j in range(order)] for i in range(order)]
    right = [0.0] * order
    for row in rows:
        for i in range(order, len(row)):
            past = row[i - order : i][::-1]
            for a in range(order):
                right[a] += past[a] * row[i]
                for b in range(order):
                    square[a][b] += past[a] * past[b]
    for a in range(order):
        scale = square[a][a]
        square[a] = [x / scale for x in square[a]]
        right[a] /= scale
        for b in range(order):
            if b != a and square[b][a]:
                factor = square[b][a]
                square[b] = [x - factor * y for x, y in zip(square[b], square[a], strict=True)]
                right[b] -= factor * right[a]
    return right


def weighted(values: Sequence[int], at: int, weights: Sequence[float]) -> float:
    """The regression's prediction of values[at]."""
    return sum(w * values[at - 1 - i] for i, w in enumerate(weights))


def bucket(number: float) -> int:
    """A number's magnitude in half octaves, for use as a context."""
    return round(2 * math.log2(abs(number) + 1))
