"""Causes that ended while something of them may still be on its way: what comes late must not raise them again."""

from collections import OrderedDict

MAX_REMEMBERED = 2_000  # the newest; of alarms that were told the store knows more

Key = tuple[str, str]  # kind, subject


class Past:
    """How new the newest evidence was. In memory only."""

    def __init__(self) -> None:
        self._turns: OrderedDict[Key, int] = OrderedDict()

    def add(self, key: Key, turn: int) -> None:
        self._turns[key] = max(turn, self._turns.get(key, 0))
        self._turns.move_to_end(key)
        if len(self._turns) > MAX_REMEMBERED:
            self._turns.popitem(last=False)

    def turn(self, key: Key) -> int:
        """-1 where nothing is known."""
        return self._turns.get(key, -1)

    def clear(self) -> None:
        self._turns.clear()
