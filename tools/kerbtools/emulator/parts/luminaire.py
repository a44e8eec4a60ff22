"""A luminaire with a dimmable driver: what its dimming input and its relay make of mains, power and light."""

from collections.abc import Callable

from kerbtools.emulator.parts.part import Part

FLOOR = 0.1  # of full light: what a 0-10 V driver does at 1 V and below (IEC 60929 annex E leaves it to the maker)
STANDBY_W = 0.5


class Luminaire(Part):
    """rated_w at full light. Power is standby, a tenth of the rest for the driver, and the light in proportion.

    The power factor falls with the load, as that of drivers does. The curve is invented and plausible.
    """

    FAULTS = ("dead", "stuck_full")

    def __init__(self, mains_v: Callable[[int], float], rated_w: float = 60.0) -> None:
        super().__init__()
        self.rated_w = rated_w
        self.level = 1.0  # dimming level asked for, 0..1: an open input is full light
        self.closed = True  # whether the relay gives it mains
        self._mains_v = mains_v
        self._energy_wh = 0.0
        self._counted_us: int | None = None

    def light(self, now_us: int) -> float:
        """Light as a share of full, 0..1."""
        if not self.closed or self._mains_v(now_us) < 100 or self.fault == "dead" or not self.present:
            return 0.0
        return 1.0 if self.fault == "stuck_full" else max(FLOOR, self.level)

    def power_w(self, now_us: int) -> float:
        if not self.closed or self._mains_v(now_us) < 100 or not self.present:
            return 0.0
        light = self.light(now_us)
        return STANDBY_W + (self.rated_w - STANDBY_W) * (0.1 + 0.9 * light) * (light > 0)

    def power_factor(self, now_us: int) -> float:
        return 0.4 + 0.57 * min(1.0, self.power_w(now_us) / (0.5 * self.rated_w)) if self.power_w(now_us) else 1.0

    def volts(self, now_us: int) -> float:
        return self._mains_v(now_us)

    def energy_wh(self, now_us: int) -> float:
        """Since the first reading or change; power counts as constant between two of them."""
        self.settle(now_us)
        return self._energy_wh

    def settle(self, now_us: int) -> None:
        """Count the energy up to now, ahead of a change."""
        if self._counted_us is not None and now_us > self._counted_us:
            self._energy_wh += self.power_w(self._counted_us) * (now_us - self._counted_us) / 3.6e9
        self._counted_us = max(now_us, self._counted_us or 0)


class Dimmer(Part):
    """The dimming output: PWM, filtered to 0-10 V. full_light_duty: the duty, 0 or 65535, of full light."""

    def __init__(self, luminaire: Luminaire, full_light_duty: int) -> None:
        super().__init__()
        self._luminaire = luminaire
        self._inverted = full_light_duty == 0

    def begin(self, now_us: int) -> None:
        """Its pin was told already."""

    def pwm(self, duty: float, frequency_hz: int, now_us: int) -> None:
        self._luminaire.settle(now_us)
        if self.present:
            self._luminaire.level = 1.0 - duty if self._inverted else duty
        self.draws(duty > 0, now_us)


class Relay(Part):
    """The relay in the luminaire's supply. lit_level: the pin's level at which the lamp has mains."""

    FAULTS = ("welded", "open")

    def __init__(self, luminaire: Luminaire, lit_level: int) -> None:
        super().__init__()
        self._luminaire = luminaire
        self._lit_level = lit_level

    def begin(self, now_us: int) -> None:
        """Its pin was told already."""

    def drive(self, level: int, now_us: int) -> None:
        self._luminaire.settle(now_us)
        closed = level == self._lit_level or not self.present or self.fault == "welded"
        self._luminaire.closed = closed and self.fault != "open"
        self.draws(level != self._lit_level, now_us)
