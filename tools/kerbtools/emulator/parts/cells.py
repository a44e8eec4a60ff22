"""The battery behind its divider."""

import math
from collections.abc import Callable

from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.scene import Truth

INNER_OHM = 0.2  # of the cells and their pulse capacitor
WORN_OHM = 25.0  # at the end of their life: fine without a load
PASSIVATED_OHM = 30.0  # the layer that grows on lithium in months of rest, at the begin of a load
PASSIVATED_S = 0.4  # in which a load takes it down to a third


class Cells(Part):
    """The battery behind its divider, as an ADC pin sees it. load_ua: what is drawn from it now.

    Of "open" the divider's upper resistor has no contact, of "saturated" its lower one.
    """

    FAULTS = ("passivated", "worn", "open", "saturated")

    def __init__(
        self,
        truth: Callable[[int], Truth],
        *,
        top_ohm: int,
        bottom_ohm: int,
        full_scale_mv: int,
        load_ua: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__()
        self._truth = truth
        self._share = bottom_ohm / (top_ohm + bottom_ohm)
        self._full_scale_mv = full_scale_mv
        self._load_ua = load_ua
        self._loaded_us = 0

    def begin(self, now_us: int) -> None:
        self._loaded_us = now_us
        self.draws(True, now_us)

    def read(self, now_us: int) -> tuple[int, int]:
        """(0..65535, microvolts) at the pin."""
        if not self.present or self.fault == "open":
            return 0, 0
        volts = max(0.0, self._truth(now_us).battery_v - self._inner_ohm(now_us) * self._load_ua() / 1e6)
        pin_mv = min(volts * 1000 * self._share, self._full_scale_mv)
        if self.fault == "saturated":
            pin_mv = self._full_scale_mv
        return round(pin_mv * 65535 / self._full_scale_mv), round(pin_mv * 1000)

    def _inner_ohm(self, now_us: int) -> float:
        if self.fault == "worn":
            return WORN_OHM
        if self.fault == "passivated":
            loaded_s = (now_us - self._loaded_us) / 1e6
            return INNER_OHM + PASSIVATED_OHM * math.exp(-loaded_s / PASSIVATED_S)
        return INNER_OHM
