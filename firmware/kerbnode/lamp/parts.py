"""A lamp's parts as board.json names them: one object that the board's loop polls, shows levels with, and reads.

Nothing here waits. A call takes some milliseconds at most: a part is asked in one tick, and answers in a later one.
"""

from kerbwire.channels import (
    AT_DIMMER,
    AT_LIGHT,
    AT_METER,
    AT_PRESENCE,
    AT_RELAY,
    CHANNELS,
    ENERGY,
    FAULT,
    NOT_FITTED,
    POWER,
    SUPPLY,
)  # fmt: skip
from kerbwire.compat import const

OFF_MS = const(1000)  # of level 0, before the relay takes the mains from a driver that does not go out by itself
REST_MS = const(600000)  # and from one that does: a relay lives for some 100,000 switchings
# In this order: the meter may ask over the dimmer's bus.
_SLOTS = (
    ("dimmer", AT_DIMMER), ("relay", AT_RELAY), ("presence", AT_PRESENCE), ("light", AT_LIGHT), ("meter", AT_METER),
)  # fmt: skip


class Parts:
    """facts: board.json's "sensors". ValueError for a driver that this firmware does not have."""

    def __init__(self, hal, facts):
        self._fitted = {}
        self._parts = []  # (slot in `trouble`, driver)
        for slot, at in _SLOTS:
            if facts.get(slot):
                self._fit(hal, facts[slot]["driver"], facts[slot], slot, at)
        self._presence = self._fitted.get("presence")
        self._light = self._fitted.get("light")
        self._meter = self._fitted.get("meter")
        self._dimmer = self._fitted["dimmer"]
        self._relay = self._fitted.get("relay")
        self._bank = None  # the memory banks of a DALI driver, where another part is the meter
        meter = facts.get("meter") or {}
        if facts["dimmer"]["driver"] == "dali" and meter.get("driver") != "d4i":
            self._bank = _driver("d4i", "meter").Driver(hal, facts["dimmer"], self._fitted)
        self.has_sensor = self._presence is not None
        self.has_relay = self._relay is not None
        self._chip_celsius = hal.chip_celsius
        self._shown = None
        self._dark_ms = None

    def _fit(self, hal, name, facts, slot, at):
        part = _driver(name, slot).Driver(hal, facts, self._fitted)
        self._fitted[slot] = part
        self._parts.append((at, part))

    def poll(self, now_ms):
        """Let each part do its next step. now_ms: monotonic, never wraps."""
        for _, part in self._parts:
            part.poll(now_ms)
        if self._bank:
            self._bank.poll(now_ms)
        if self._relay and self._dark_ms is not None and now_ms - self._dark_ms >= self._rest_ms():
            self._dark_ms = None
            self._relay.close(False)

    @property
    def is_busy(self):
        """Whether something on the dimmer's bus goes on, which wants a poll every 100 ms."""
        return getattr(self._dimmer, "is_busy", False)

    def show(self, percent, now_ms):
        """Show a level: at once, but for a frame that is on the bus; then with the next poll."""
        if percent == self._shown:
            return
        self._shown = percent
        self._dimmer.set(percent)
        self._dimmer.poll(now_ms)
        if self._meter:
            self._meter.hurry()
        if self._relay:
            if percent:
                self._dark_ms = None
                self._relay.close(True)
            else:
                self._dark_ms = now_ms

    def _rest_ms(self):
        return REST_MS if self._dimmer.goes_out and not self._dimmer.reason else OFF_MS

    def active(self):
        """Whether somebody is there; None where no sensor says so."""
        return self._presence.read() if self._presence else None

    def watch(self, callback):
        """Call back at each change of presence. False: it has to be polled."""
        return self._presence is not None and self._presence.watch(callback)

    def lux(self):
        """Of the newest reading, FAULT or NOT_FITTED."""
        return self._light.lux if self._light else NOT_FITTED

    @property
    def puts_out(self):
        """Whether darkness is the relay's, within a second, and not the driver's own."""
        return self._relay is not None and self._rest_ms() == OFF_MS

    @property
    def is_closed(self):
        """Whether the lamp is to have mains."""
        return self._relay.is_closed if self._relay else True

    @property
    def power_mw(self):
        return self._meter.power_mw if self._meter else NOT_FITTED

    @property
    def power_s(self):
        """Monotonic second of the newest power."""
        return self._meter.moment_ms // 1000 if self._meter else 0

    @property
    def supply_mv(self):
        return self._meter.supply_mv if self._meter else NOT_FITTED

    @property
    def energy_wh(self):
        """As the part counts it: a D4i driver's own where there is one. NOT_FITTED where nothing counts."""
        if self._bank and self._bank.energy_wh >= 0:
            return self._bank.energy_wh
        return self._meter.energy_wh if self._meter else NOT_FITTED

    @property
    def celsius(self):
        """Of driver or light source, whichever is hotter, as a D4i driver says; else of the board's own chip."""
        celsius = (self._bank or self._meter).celsius if self._meter else NOT_FITTED
        return self._chip_celsius() if celsius in (NOT_FITTED, FAULT) else celsius

    @property
    def gear(self):
        """What a D4i driver says is wrong: bits of kerbnode.drivers.d4i."""
        return (self._bank or self._meter).gear if self._meter else 0

    @property
    def status(self):
        """QUERY STATUS of a DALI driver, 0 where nothing is known."""
        return getattr(self._dimmer, "status", 0) or 0

    def values(self):
        """What a record holds of the meter, in the units of the channels; what they do not hold is a FAULT."""
        power_mw, supply_mv = self.power_mw, self.supply_mv
        values = {
            POWER: (power_mw + 50) // 100 if power_mw >= 0 else power_mw,
            ENERGY: self.energy_wh,
            SUPPLY: (supply_mv + 500) // 1000 if supply_mv >= 0 else supply_mv,
        }
        for ident in values:
            if values[ident] > CHANNELS[ident].high:
                values[ident] = FAULT
        return values

    @property
    def troubles(self):
        """(TROUBLE, RAW) of each part that is at fault."""
        return [(at | part.reason, part.raw) for at, part in self._parts if part.reason]


def _driver(name, slot):
    """The module of a driver. ValueError for one that this firmware does not have."""
    try:
        return __import__("kerbnode.drivers." + name, None, None, (name,))
    except ImportError:
        raise ValueError("board.json: no driver %s for %s" % (name, slot))
