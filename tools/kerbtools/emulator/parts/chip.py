"""The thermometer in the board's own chip."""

from collections.abc import Callable

ESP32_PIN, RP2_PIN = 255, 30  # among the ADC's pins: where the shims ask for it


class Chip:
    """celsius: of the air around it; the chip is WARMER_C above it."""

    WARMER_C = 12

    def __init__(self, celsius: Callable[[int], float], rp2: bool) -> None:
        self._celsius = celsius
        self._rp2 = rp2

    def read(self, now_us: int) -> tuple[int, int]:
        """rp2: (0..65535 of 3.3 V, 0), by section 4.9.5 of the RP2040 data sheet; esp32: (0, degrees C)."""
        celsius = self._celsius(now_us) + self.WARMER_C
        if not self._rp2:
            return 0, round(celsius)
        return round((0.706 - 0.001721 * (celsius - 27)) / 3.3 * 65535), 0
