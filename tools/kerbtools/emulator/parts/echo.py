"""What comes back to a ranger from inside a bin, and what may hang before it."""

import random
from collections.abc import Callable

from kerbtools.emulator.scene import Truth

COVERS = ("no_echo", "covered", "wet", "noisy")  # faults of what a ranger meets, of each kind of ranger
NO_ECHO_SHARE = 0.02
STRAY_SHARE = 0.02
NOISE_MM = 2.0
BAG_MM = (5.0, 70.0)  # a bag hangs on the sensor
DROP_MM = (5.0, 45.0)  # water on its face: it hears its own ringing, or nothing
DROP_SHARE = 0.6


class Echo:
    """What one ranger meets, as a function of seed and time."""

    def __init__(self, seed: str, truth: Callable[[int], Truth]) -> None:
        self._seed = seed
        self._truth = truth

    def at(self, at_us: int, fault: str | None) -> tuple[float | None, random.Random]:
        """(mm to what it meets, None: nothing comes back; the dice of this moment). fault: one of COVERS counts."""
        own = random.Random(f"{self._seed}/{at_us}")  # noqa: S311  noise, not a secret
        chance = own.random()
        if fault == "no_echo" or chance < NO_ECHO_SHARE:
            return None, own
        if fault == "covered":
            return own.uniform(*BAG_MM), own
        if fault == "wet":
            return (own.uniform(*DROP_MM) if own.random() < DROP_SHARE else None), own
        if fault == "noisy":
            return own.uniform(60.0, 4000.0), own
        true_mm = self._truth(at_us).distance_mm
        if chance > 1 - STRAY_SHARE:  # an edge of the bin, or a bag on its way down
            return own.uniform(60.0, true_mm), own
        return true_mm + own.gauss(0.0, NOISE_MM), own

    def celsius(self, at_us: int) -> float:
        """Of the air that sound goes through."""
        return self._truth(at_us).temperature_c


def speed_of_sound(celsius: float) -> float:
    """In dry air, m/s: 331.3 + 0.606 T, good to 0.2 % between -25 and 40 degC."""
    return 331.3 + 0.606 * celsius
