"""The A02YYUW ultrasonic ranger."""

from collections.abc import Callable

from kerbtools.emulator.parts.echo import COVERS, Echo, speed_of_sound
from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.scene import Truth


class A02yyuw(Part):
    """Ultrasonic ranger: 0xFF, distance in mm (big-endian), checksum; a frame each 100 ms while it has power.

    Frame and timing: DFRobot SEN0311 product page. It knows no air temperature: it counts with the speed of sound at
    `reference_c`. No echo is a frame with 0 mm. A reading is a function of seed and time. Of "brown_out" it starts anew
    with each ping, and never speaks.
    """

    FAULTS = ("silent", "garbled", "stuck", "brown_out", *COVERS)
    FRAME_US = 100_000
    FARTHEST_MM = 4500

    def __init__(self, seed: str, truth: Callable[[int], Truth], *, reference_c: int, warm_up_ms: int) -> None:
        super().__init__()
        self._echo = Echo(seed, truth)
        self._reference_c = reference_c
        self._warm_up_us = warm_up_ms * 1000
        self._powered_us: int | None = None

    def begin(self, now_us: int) -> None:
        self.draws(self._powered_us is not None, now_us)

    def power(self, on: bool, now_us: int) -> None:
        self.draws(on, now_us)
        if not on:
            self._powered_us = None
        elif self._powered_us is None:
            self._powered_us = now_us

    def sent(self, from_us: int, to_us: int, room: int) -> bytes:
        if self._powered_us is None or not self.present or self.fault in ("silent", "brown_out"):
            return b""
        first_us = self._powered_us + self._warm_up_us
        number = max(0, (from_us - first_us) // self.FRAME_US + 1)
        data = bytearray()
        while (frame_us := first_us + number * self.FRAME_US) <= to_us and len(data) < room:
            data += self._frame(frame_us)
            number += 1
        return bytes(data[:room])

    def write(self, data: bytes, now_us: int) -> None:
        """Its receive pin chooses a mode that this model does not have."""

    def _frame(self, at_us: int) -> bytes:
        true_mm, own = self._echo.at(at_us, self.fault)
        if self.fault == "garbled":
            return own.randbytes(4)
        high, low = divmod(self._shown_mm(true_mm, at_us), 256)
        return bytes((0xFF, high, low, 0xFF + high + low & 0xFF))

    def _shown_mm(self, true_mm: float | None, at_us: int) -> int:
        if self.fault == "stuck":
            return 777
        if true_mm is None:
            return 0
        shown_mm = round(true_mm * speed_of_sound(self._reference_c) / speed_of_sound(self._echo.celsius(at_us)))
        return shown_mm if 0 < shown_mm <= self.FARTHEST_MM else 0
