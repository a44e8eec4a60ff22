"""`machine.Pin`, `Signal` and `ADC` of an emulated board; machine.py hands them out."""

import os

import kerb_irq
import kerb_rpc
import umachine
from kerb_rpc import call

_RP2 = os.getenv("KERB_PORT") == "rp2"
_CHIP = os.getenv("KERB_CHIP") or ""
Signal = umachine.Signal
# What the host understands of each mode, pull and edge of the port (rpc.py).
_MODES = (0, 1, 2) if _RP2 else {1: 0, 3: 1, 7: 2}
_PULLS = (0, 1, 2) if _RP2 else (0, 2, 1)
_PINS = 30 if _RP2 else 49 if _CHIP == "esp32_s3" else 22


class _Irq:
    """What `Pin.irq()` returns."""

    def __init__(self, pin, handler, trigger):
        self._pin = pin
        self._handler = handler
        self._trigger = trigger
        self._last = 0

    def __call__(self):
        self._last = self._trigger
        if self._handler:
            self._handler(self._pin)

    def flags(self):
        return self._last

    def trigger(self, trigger=None):
        before = self._trigger
        if trigger is not None:
            self._trigger = trigger
            call(kerb_rpc.PIN_IRQ, self._pin.id, _edges(trigger))
        return before


class Pin(umachine.PinBase):
    PULL_UP = 1 if _RP2 else 2
    PULL_DOWN = 2 if _RP2 else 1
    if _RP2:
        IN, OUT, OPEN_DRAIN, ALT = 0, 1, 2, 3
        ALT_SPI, ALT_UART, ALT_I2C, ALT_PWM, ALT_SIO, ALT_PIO0, ALT_PIO1, ALT_GPCK, ALT_USB = range(1, 10)
        IRQ_FALLING, IRQ_RISING = 4, 8
    else:
        IN, OUT, OPEN_DRAIN = 1, 3, 7
        IRQ_RISING, IRQ_FALLING, WAKE_LOW, WAKE_HIGH = 1, 2, 4, 5
        DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = range(4)

    def __init__(self, id, mode=-1, pull=-1, **options):
        if isinstance(id, Pin):
            id = id.id
        elif isinstance(id, str):
            id = int(id[2:] if id.startswith("GP") else id[4:] if id.startswith("GPIO") else id)
        if not 0 <= id < _PINS:
            raise ValueError("invalid pin")
        self.id = id
        self._trigger = None
        self.init(mode, pull, **options)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        if value is not None:
            self.value(value)
        if mode in (-1, None) and pull == -1:
            return
        state = 0 if mode in (-1, None) else _MODES[mode if mode < 3 or not _RP2 else 0]
        call(kerb_rpc.PIN_MODE, self.id, state | (_PULLS[pull] if pull not in (-1, None) else 0) << 4)

    def value(self, level=None):
        if level is None:
            return call(kerb_rpc.PIN_READ, self.id)[0]
        call(kerb_rpc.PIN_WRITE, self.id, 1 if level else 0)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self.value())

    if _RP2:
        high = on
        low = off

    def irq(self, handler=None, trigger=None, *, priority=1, wake=None, hard=False):
        if trigger is None:
            trigger = self.IRQ_FALLING | self.IRQ_RISING
        if not _RP2 and wake:
            if trigger not in (self.WAKE_LOW, self.WAKE_HIGH):
                raise ValueError("bad wake value")
            if _CHIP != "esp32_s3":
                raise ValueError("no resources")  # ext0, which the ESP32-C3 does not have
            call(kerb_rpc.WAKE_PINS, 1 << self.id, 1 | (trigger == self.WAKE_HIGH) << 4)
            return None
        found = _Irq(self, handler, trigger)
        kerb_irq.set_handler(kerb_irq.PIN, self.id, found if handler else None)
        call(kerb_rpc.PIN_IRQ, self.id, _edges(trigger) if handler else 0)
        return found

    def __repr__(self):
        return "Pin(%d)" % self.id


def _edges(trigger):
    """Neutral bits: 1 rising, 2 falling."""
    return (1 if trigger & Pin.IRQ_RISING else 0) | (2 if trigger & Pin.IRQ_FALLING else 0)


class ADC:
    if _RP2:
        CORE_TEMP = 4
    else:
        ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = range(4)
        WIDTH_12BIT = 12

    def __init__(self, pin, **options):
        if isinstance(pin, Pin):
            pin = pin.id
        elif _RP2 and pin <= 4:
            pin += 26  # a channel; the fifth is the chip's thermometer
        self._pin = pin

    def read_u16(self):
        return call(kerb_rpc.ADC_READ, self._pin)[0]

    if not _RP2:

        def init(self, **options):
            pass

        def atten(self, attenuation):
            pass

        def width(self, bits):
            pass

        def read(self):
            return self.read_u16() >> 4

        def read_uv(self):
            return call(kerb_rpc.ADC_READ, self._pin)[1]
