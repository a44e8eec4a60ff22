"""A presence sensor with a level output: PIR, or a radar's output pin."""

from collections.abc import Callable

from kerbtools.emulator.parts.part import Part


class Presence(Part):
    """present_at(now) and next_change(after) are the scene's. active: the level that means somebody is there."""

    FAULTS = ("stuck", "stuck_off")

    def __init__(self, present_at: Callable[[int], bool], next_change: Callable[[int], int], active: int = 1) -> None:
        super().__init__()
        self._present_at = present_at
        self._next_change = next_change
        self._active = active

    def begin(self, now_us: int) -> None:
        self.draws(True, now_us)

    def level(self, now_us: int) -> int:
        if not self.present or self.fault == "stuck_off":
            return 1 - self._active
        seen = self.fault == "stuck" or self._present_at(now_us)
        return self._active if seen else 1 - self._active

    def next_change_us(self, after_us: int) -> int:
        return self._next_change(after_us)
