"""The JSN-SR04T and AJ-SR04M ultrasonic rangers, with trigger and echo."""

from collections.abc import Callable

from kerbtools.emulator.parts.echo import COVERS, Echo, speed_of_sound
from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.scene import Truth

_FOREVER = 1 << 62


class JsnSr04t(Part):
    """A trigger of 10 us; after the burst the echo pin is high as long as the sound travels, or until it gives up.

    Leaflet of the JSN-SR04T-2.0. Nearer than `NEAREST_MM` it shows anything about that; a trigger that comes within an
    echo is not heard. Of "stuck" the echo pin stays high.
    """

    FAULTS = ("silent", "stuck", "brown_out", *COVERS)
    TRIGGER_US = 10
    BURST_US = 450  # from the trigger to the rise of the echo pin
    GIVES_UP_US = 38_000
    NEAREST_MM, FARTHEST_MM = 200, 4500

    def __init__(self, seed: str, truth: Callable[[int], Truth], *, warm_up_ms: int) -> None:
        super().__init__()
        self._echo = Echo(seed, truth)
        self._warm_up_us = warm_up_ms * 1000
        self._powered_us: int | None = None
        self._triggered_us: int | None = None  # the trigger went high
        self._pulse_us = (0, 0)  # begin and end

    def begin(self, now_us: int) -> None:
        self.draws(self._powered_us is not None, now_us)

    def power(self, on: bool, now_us: int) -> None:
        self.draws(on, now_us)
        if not on:
            self._powered_us = None
            self._pulse_us = (0, 0)
        elif self._powered_us is None:
            self._powered_us = now_us

    def drive(self, level: int, now_us: int) -> None:
        """Its trigger pin."""
        if level:
            self._triggered_us = now_us if self._triggered_us is None else self._triggered_us
            return
        begun_us, self._triggered_us = self._triggered_us, None
        if begun_us is not None and now_us - begun_us >= self.TRIGGER_US and now_us >= self._pulse_us[1]:
            self._ping(now_us)

    def level(self, now_us: int) -> int:
        """Its echo pin."""
        if self._powered_us is None:
            return 0
        return int(self.fault == "stuck" or self._pulse_us[0] <= now_us < self._pulse_us[1])

    def next_change_us(self, after_us: int) -> int:
        return min((moment for moment in self._pulse_us if moment > after_us), default=_FOREVER)

    def _ping(self, now_us: int) -> None:
        is_up = self._powered_us is not None and now_us >= self._powered_us + self._warm_up_us
        if not is_up or self.fault in ("silent", "brown_out"):
            return
        true_mm, own = self._echo.at(now_us, self.fault)
        width_us = self.GIVES_UP_US
        if true_mm is not None:
            if true_mm < self.NEAREST_MM:
                true_mm = self.NEAREST_MM + own.gauss(0.0, 15.0)
            width_us = round(2000 * true_mm / speed_of_sound(self._echo.celsius(now_us)))
        begin_us = now_us + self.BURST_US
        self._pulse_us = (begin_us, begin_us + min(width_us, self.GIVES_UP_US))
