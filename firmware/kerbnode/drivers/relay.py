"""The relay in the luminaire's supply, whose resting contact lights the lamp.

With a zero-cross detector its contacts meet and part where the voltage is nought, as capacitive drivers like it;
without one they do so when they are told.
"""

from kerbwire.channels import SILENT

EDGES_MS = 50  # five half waves of 50 Hz
_HALF_MS = 10


class Driver:
    """is_closed: whether the lamp has mains, as far as the coil says. reason: SILENT where no zero crossing came."""

    def __init__(self, hal, facts, fitted):
        machine = hal.machine
        self._lit = facts["lit_level"]
        self._pin = machine.Pin(facts["pin"], machine.Pin.OUT, value=self._lit)
        self._delays_ms = (facts["operate_ms"], facts["release_ms"])  # the coil pulls to open, and rests to close
        self._zero = None
        if "zero_cross" in facts:
            self._zero = machine.Pin(facts["zero_cross"], machine.Pin.IN)
            self._rising = machine.Pin.IRQ_RISING
            self._on_edge = self._edge
            self._on_time = self._switch
            self._timer = _timer(machine)
            self._one_shot = machine.Timer.ONE_SHOT
        self.is_closed = True
        self._waits = False  # for a zero crossing
        self._since_ms = None
        self.reason = self.raw = 0

    def close(self, closed):
        """Give the lamp mains, or take it away. It takes a few half waves."""
        if closed == self.is_closed:
            return
        self.is_closed = closed
        if self._zero is None:
            self._switch(None)
            return
        self._waits, self._since_ms = True, None
        self._zero.irq(self._on_edge, self._rising)

    def poll(self, now_ms):
        """Switch without a zero crossing, where none comes."""
        if not self._waits or self._zero is None:
            return
        if self._since_ms is None:
            self._since_ms = now_ms
        elif now_ms - self._since_ms > EDGES_MS:
            self._zero.irq(None)
            self.reason = SILENT
            self._switch(None)

    def _edge(self, pin):
        """A zero crossing: the contacts move at one of the next."""
        if not self._waits:
            return
        self._waits = False
        pin.irq(None)
        self.reason = 0
        wait_ms = -self._delays_ms[self.is_closed] % _HALF_MS
        self._timer.init(mode=self._one_shot, period=wait_ms or _HALF_MS, callback=self._on_time)

    def _switch(self, timer):
        self._waits = False
        self._pin.value(self._lit if self.is_closed else 1 - self._lit)


def _timer(machine):
    """A timer of this port: rp2 has software timers alone, an ESP32-C3 hardware timers alone."""
    try:
        return machine.Timer(-1)
    except ValueError:
        return machine.Timer(0)
