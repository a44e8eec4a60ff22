"""Presence as a level on a pin: a PIR, or a radar's output. kerbnode.lamp.presence judges it."""


class Driver:
    """One sensor. What a level cannot tell, it does not: reason is always 0."""

    reason = raw = 0

    def __init__(self, hal, facts, fitted):
        machine = hal.machine
        self._pin = machine.Pin(facts["pin"], machine.Pin.IN)
        self._edges = machine.Pin.IRQ_RISING | machine.Pin.IRQ_FALLING
        self._active = facts["active"]

    def poll(self, now_ms):
        """Nothing to ask for."""

    def read(self):
        """Whether somebody is there."""
        return self._pin.value() == self._active

    def watch(self, callback):
        """Call back at each change. True: it does."""
        self._pin.irq(lambda pin: callback(), self._edges)
        return True
