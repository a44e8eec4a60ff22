"""A luminaire with a dimmable driver: what its dimming input and its relay make of mains, power and light."""

from collections.abc import Callable

from kerbtools.emulator.parts.part import Part

FLOOR = 0.1  # of full light: what a 0-10 V driver does at 1 V and below (IEC 60929 annex E leaves it to the maker)
STANDBY_W = 0.5


class Luminaire(Part):
    """rated_w at full light. Power is standby, a tenth of the rest for the driver, and the light in proportion.

    The power factor falls with the load, as that of drivers does. The curve is invented and plausible. floor: the least
    light of a driver that has mains. on_level: called with each level that is asked for, and its moment. Of "dead" its
    light source is open, of "driver" it is the driver, which draws nothing; of "partial" a string of four is dark; of
    "cycling" it goes out for one minute in five.
    """

    FAULTS = ("dead", "driver", "partial", "stuck_full", "cycling")

    def __init__(self, mains_v: Callable[[int], float], rated_w: float = 60.0) -> None:
        super().__init__()
        self.rated_w = rated_w
        self.level = 1.0  # dimming level asked for, 0..1: an open input is full light
        self.closed = True  # whether the relay gives it mains
        self.floor = FLOOR
        self.on_power: Callable[[], None] = _nothing  # its driver gets mains again
        self.on_level: Callable[[float, int], None] = _nobody
        self._mains_v = mains_v
        self._energy_wh = 0.0
        self._counted_us: int | None = None

    def light(self, now_us: int) -> float:
        """Light as a share of full, 0..1."""
        if not self.closed or self._mains_v(now_us) < 100 or not self.present or self.fault in ("dead", "driver"):
            return 0.0
        if self.fault == "cycling" and now_us // 60_000_000 % 5 == 0:
            return 0.0
        return 1.0 if self.fault == "stuck_full" else max(self.floor, self.level)

    def power_w(self, now_us: int) -> float:
        if not self.closed or self._mains_v(now_us) < 100 or not self.present or self.fault == "driver":
            return 0.0
        light = self.light(now_us) * (0.75 if self.fault == "partial" else 1.0)
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
            self._luminaire.on_level(self._luminaire.level, now_us)
        self.draws(duty > 0, now_us)


class Relay(Part):
    """The relay in the luminaire's supply. lit_level: the pin's level at which the lamp has mains.

    moved_us: when its contacts met or parted, operate_ms or release_ms after its pin. Of "no_zero" its zero-cross
    detector is broken.
    """

    FAULTS = ("welded", "open", "no_zero")

    def __init__(self, luminaire: Luminaire, lit_level: int, operate_ms: int = 0, release_ms: int = 0) -> None:
        super().__init__()
        self._luminaire = luminaire
        self._lit_level = lit_level
        self._moves_us = operate_ms * 1000, release_ms * 1000
        self.moved_us: int | None = None

    def begin(self, now_us: int) -> None:
        """Its pin was told already."""

    def drive(self, level: int, now_us: int) -> None:
        self._luminaire.settle(now_us)
        closed = level == self._lit_level or not self.present or self.fault == "welded"
        closed = closed and self.fault != "open"
        if closed != self._luminaire.closed:
            self._luminaire.closed = closed
            self.moved_us = now_us + self._moves_us[closed]
            if closed:
                self._luminaire.on_power()
        self.draws(level != self._lit_level, now_us)


class ZeroCross:
    """The zero-cross detector beside a relay: high for a millisecond from each zero of the mains on."""

    HALF_US = 10_000
    PULSE_US = 1_000

    def __init__(self, luminaire: Luminaire, relay: Relay) -> None:
        self.present = True
        self._luminaire = luminaire
        self._relay = relay

    def level(self, now_us: int) -> int:
        """Its pin."""
        works = self._relay.fault != "no_zero" and self._luminaire.volts(now_us) > 50
        return int(works and now_us % self.HALF_US < self.PULSE_US)

    def next_change_us(self, after_us: int) -> int:
        """The next edge."""
        begun_us = after_us - after_us % self.HALF_US
        return begun_us + (self.PULSE_US if after_us < begun_us + self.PULSE_US else self.HALF_US)


def _nothing() -> None:
    pass


def _nobody(level: float, now_us: int) -> None:
    """Nobody asks what its level is."""
