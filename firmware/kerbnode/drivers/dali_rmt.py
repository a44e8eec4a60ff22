"""A DALI line on an ESP32: its RMT peripheral sends, edges of a pin are listened to. Not run on hardware yet.

MicroPython's RMT sends and does not receive (micropython pull request 18454 would). So the edges of an answer are taken
by a pin's handler, which MicroPython runs some tens of microseconds after each: a half bit has 116 us of room. A
garbage collection in between spoils an answer, and it is asked for again. A timer arms the handler when the frame is
out, so that no other edge costs anything.
"""

from kerbnode.drivers import dali_frames
from kerbwire.compat import const

_OUT_MS = const(16)  # 34 half bits, 14.2 ms, and half of the shortest pause before an answer
_EDGES = const(20)  # of a backward frame at most 18
_WHOLE_US = const(25000)


class Line:
    """facts: tx, rx, and the level of each while the line is idle."""

    def __init__(self, hal, facts):
        import time

        import esp32  # pyright: ignore[reportMissingImports]  # not on rp2

        machine = hal.machine
        self._idle_tx = facts["idle_tx"]
        self._halves = [self._idle_tx] * (dali_frames.FORWARD + 2)
        self._ticks_us, self._diff = time.ticks_us, time.ticks_diff
        self._rmt = esp32.RMT(
            pin=machine.Pin(facts["tx"], machine.Pin.OUT, value=self._idle_tx),
            resolution_hz=1000000,
            idle_level=bool(self._idle_tx),
        )
        self._pin = machine.Pin(facts["rx"], machine.Pin.IN)
        self._both = machine.Pin.IRQ_RISING | machine.Pin.IRQ_FALLING
        self._timer = machine.Timer(1)
        self._one_shot = machine.Timer.ONE_SHOT
        self._at_us = [time.ticks_us()] * _EDGES
        self._count = 0
        self._on_time, self._on_edge = self._arm, self._edge  # bound once: a handler must not take heap

    def send(self, frame):
        """Begin to send a forward frame of 16 bits, and listen for what follows it."""
        halves = self._halves
        self._pin.irq(None)
        dali_frames.halves(frame, halves)
        for at in range(dali_frames.FORWARD):
            halves[at] ^= self._idle_tx
        self._count = 0
        self._rmt.write_pulses(dali_frames.HALF_US, halves)
        self._timer.init(mode=self._one_shot, period=_OUT_MS, callback=self._on_time)

    def take(self, spans):
        """How many spans of an answer there were since `send`: microseconds, active and idle in turn."""
        self._pin.irq(None)
        count = min(self._count, len(spans))
        for at in range(count - 1):
            spans[at] = min(self._diff(self._at_us[at + 1], self._at_us[at]), 65535)
        if count:
            spans[count - 1] = _WHOLE_US
        return count

    def _arm(self, timer):
        self._pin.irq(self._on_edge, self._both)

    def _edge(self, pin):
        if self._count < _EDGES:
            self._at_us[self._count] = self._ticks_us()
            self._count += 1
