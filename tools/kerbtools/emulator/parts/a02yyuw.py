"""The A02YYUW ultrasonic ranger."""

import random
from collections.abc import Callable

from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.scene import Truth


class A02yyuw(Part):
    """Ultrasonic ranger: 0xFF, distance in mm (big-endian), checksum; a frame each 100 ms while it has power.

    Frame and timing: DFRobot SEN0311 product page. It knows no air temperature: it counts with the speed of sound at
    `reference_c`. No echo is a frame with 0 mm. A reading is a function of seed and time.
    """

    FAULTS = ("silent", "no_echo", "garbled", "stuck")
    FRAME_US = 100_000
    RANGE_MM = (30, 4500)

    def __init__(self, seed: str, truth: Callable[[int], Truth], *, reference_c: int, warm_up_ms: int) -> None:
        super().__init__()
        self._seed = seed
        self._truth = truth
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
        if self._powered_us is None or not self.present or self.fault == "silent":
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
        own = random.Random(f"{self._seed}/{at_us}")  # noqa: S311  noise, not a secret
        high, low = divmod(self._reading_mm(at_us, own), 256)
        frame = bytes((0xFF, high, low, 0xFF + high + low & 0xFF))
        return own.randbytes(4) if self.fault == "garbled" else frame

    def _reading_mm(self, at_us: int, own: random.Random) -> int:
        chance = own.random()
        if self.fault == "stuck":
            return 777
        if self.fault == "no_echo" or chance < 0.02:
            return 0
        truth = self._truth(at_us)
        seen_mm = truth.distance_mm + own.gauss(0.0, 2.0)
        if chance > 0.98:  # an edge of the bin, or a bag on its way down
            seen_mm = own.uniform(60.0, truth.distance_mm)
        reading = round(seen_mm * speed_of_sound(self._reference_c) / speed_of_sound(truth.temperature_c))
        return reading if self.RANGE_MM[0] <= reading <= self.RANGE_MM[1] else 0


def speed_of_sound(celsius: float) -> float:
    """In dry air, m/s: 331.3 + 0.606 T, good to 0.2 % between -25 and 40 degC."""
    return 331.3 + 0.606 * celsius
