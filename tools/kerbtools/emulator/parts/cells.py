"""The battery behind its divider."""

from collections.abc import Callable

from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.scene import Truth


class Cells(Part):
    """The battery behind its divider, as an ADC pin sees it."""

    def __init__(self, truth: Callable[[int], Truth], *, top_ohm: int, bottom_ohm: int, full_scale_mv: int) -> None:
        super().__init__()
        self._truth = truth
        self._share = bottom_ohm / (top_ohm + bottom_ohm)
        self._full_scale_mv = full_scale_mv

    def begin(self, now_us: int) -> None:
        self.draws(True, now_us)

    def read(self, now_us: int) -> tuple[int, int]:
        """(0..65535, microvolts) at the pin."""
        if not self.present:
            return 0, 0
        pin_mv = min(self._truth(now_us).battery_v * 1000 * self._share, self._full_scale_mv)
        return round(pin_mv * 65535 / self._full_scale_mv), round(pin_mv * 1000)
