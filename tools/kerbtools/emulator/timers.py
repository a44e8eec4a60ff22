"""The timers of a board: periods and single shots in the world's time."""

from kerbtools.emulator.world import FOREVER


class Timers:
    """Numbers are the board's. A period that was missed while the board was busy is not made up for."""

    def __init__(self) -> None:
        self._next: dict[int, tuple[int, int]] = {}  # due, period (0: once)

    def reset(self) -> None:
        self._next.clear()

    def set(self, number: int, period_us: int, *, periodic: bool, now_us: int) -> None:
        """period_us 0 stops it."""
        self._next.pop(number, None)
        if period_us > 0:
            self._next[number] = now_us + period_us, period_us if periodic else 0

    def next_us(self) -> int:
        return min((due for due, _ in self._next.values()), default=FOREVER)

    def take(self, now_us: int) -> list[int]:
        """The timers that are due, in order of their time."""
        due = sorted((at, number) for number, (at, _) in self._next.items() if at <= now_us)
        for at, number in due:
            period_us = self._next[number][1]
            if period_us:
                self._next[number] = at + ((now_us - at) // period_us + 1) * period_us, period_us
            else:
                del self._next[number]
        return [number for _, number in due]

    def stand_still(self, us: int) -> None:
        """They did not count for so long (light sleep of an ESP32)."""
        self._next = {number: (due + us, period) for number, (due, period) in self._next.items()}
