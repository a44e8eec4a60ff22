"""`machine.Timer`, `PWM`, `I2C`, `SPI` and their software forms on an emulated board; machine.py hands them out."""

import os

import kerb_irq
import kerb_rpc
from kerb_pin import Pin
from kerb_rpc import call, fetch

_RP2 = os.getenv("KERB_PORT") == "rp2"
_TIMERS = 4 if os.getenv("KERB_CHIP") == "esp32_s3" else 2
_EIO = 5
_ENODEV = 19
_virtual = 100  # numbers of timers without hardware of their own


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id=-1, **options):
        global _virtual
        if _RP2:
            if id != -1:
                raise ValueError("Timer doesn't exist")
            _virtual = _virtual + 1 if _virtual < 199 else 100
            id = _virtual
        elif not 0 <= id < _TIMERS:
            raise ValueError("invalid Timer number")
        self._number = id
        if options:
            self.init(**options)

    def init(self, *, mode=PERIODIC, callback=None, period=-1, freq=-1, tick_hz=1000, hard=False):
        us = int(1000000 / freq) if freq > 0 else period * 1000000 // tick_hz
        kerb_irq.set_handler(kerb_irq.TIMER, self._number, (lambda: callback(self)) if callback else None)
        call(kerb_rpc.TIMER_SET, self._number | (mode == self.PERIODIC) << 8, max(us, 1))

    def deinit(self):
        kerb_irq.set_handler(kerb_irq.TIMER, self._number, None)
        call(kerb_rpc.TIMER_SET, self._number, 0)


class PWM:
    def __init__(self, pin, **options):
        self._pin = pin.id if isinstance(pin, Pin) else pin
        self._freq = 0 if _RP2 else 5000
        self._duty = 0 if _RP2 else 32768
        if options or not _RP2:
            self.init(**options)

    def init(self, *, freq=None, duty_u16=None, duty_ns=None, duty=None, invert=False):
        if freq is not None:
            self._freq = freq
        if duty is not None:
            duty_u16 = duty << 6
        if duty_ns is not None:
            duty_u16 = self._from_ns(duty_ns)
        if duty_u16 is not None:
            self._duty = duty_u16
        self._invert = invert
        self._set()

    def deinit(self):
        call(kerb_rpc.PWM_SET, self._pin, -1)

    def freq(self, value=None):
        if value is None:
            return self._freq
        if value < 1:
            raise ValueError("freq too small" if _RP2 else "frequency must be from 1Hz to 40MHz")
        self._freq = value
        self._set()

    def duty_u16(self, value=None):
        if value is None:
            return self._duty
        if not _RP2 and not 0 <= value <= 65535:
            raise ValueError("duty_u16 must be from 0 to 65535")
        self._duty = min(max(value, 0), 65535)
        self._set()

    def duty_ns(self, value=None):
        if value is None:
            return self._duty * 1000000000 // 65535 // self._freq if self._freq else 0
        self.duty_u16(self._from_ns(value))

    if not _RP2:

        def duty(self, value=None):
            if value is None:
                return self._duty >> 6
            self.duty_u16(value << 6)

    def _from_ns(self, ns):
        return min(65535, ns * self._freq * 65535 // 1000000000)

    _invert = False

    def _set(self):
        if self._freq:
            duty = 65535 - self._duty if self._invert else self._duty
            call(kerb_rpc.PWM_SET, self._pin, self._freq << 16 | duty)


def _number(pin):
    return pin.id if isinstance(pin, Pin) else pin


class SoftI2C:
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self._wire(_number(scl), _number(sda))

    def _wire(self, scl, sda):
        self._bus = sda | scl << 8

    def init(self, *, scl=None, sda=None, freq=400000):
        if scl is not None:
            self._wire(_number(scl), _number(sda))

    def deinit(self):
        pass

    def scan(self):
        return list(fetch(kerb_rpc.I2C_SCAN, self._bus))

    def writeto(self, address, data, stop=True):
        return call(kerb_rpc.I2C_WRITE, self._bus | address << 16, 1 if stop else 0, data)[0]

    def writevto(self, address, vector, stop=True):
        return self.writeto(address, b"".join([bytes(part) for part in vector]), stop)

    def readfrom(self, address, count, stop=True):
        return fetch(kerb_rpc.I2C_READ, self._bus | address << 16, count)

    def readfrom_into(self, address, buffer, stop=True):
        buffer[:] = self.readfrom(address, len(buffer))

    def readfrom_mem(self, address, register, count, *, addrsize=8):
        self.writeto(address, register.to_bytes(addrsize // 8, "big"), False)
        return self.readfrom(address, count)

    def readfrom_mem_into(self, address, register, buffer, *, addrsize=8):
        buffer[:] = self.readfrom_mem(address, register, len(buffer), addrsize=addrsize)

    def writeto_mem(self, address, register, data, *, addrsize=8):
        self.writeto(address, register.to_bytes(addrsize // 8, "big") + bytes(data))


class I2C(SoftI2C):
    def __init__(self, id, *, scl=None, sda=None, freq=400000, timeout=50000):
        # Default pins: rp2 as ports/rp2/machine_i2c.h; esp32 builds of C3 and S3 differ, so name them there.
        if scl is None or sda is None:
            if not _RP2:
                raise ValueError("name scl and sda: the emulated board has no default pins")
            scl, sda = (7, 6) if id else (5, 4)
        self._wire(_number(scl), _number(sda))

    if _RP2:
        # ports/rp2/machine_i2c.c: any failure but a timeout is EIO.
        def writeto(self, address, data, stop=True):
            try:
                return SoftI2C.writeto(self, address, data, stop)
            except OSError:
                raise OSError(_EIO)

        def readfrom(self, address, count, stop=True):
            try:
                return SoftI2C.readfrom(self, address, count, stop)
            except OSError:
                raise OSError(_EIO)


class SoftSPI:
    LSB, MSB = (0, 1) if _RP2 else (1, 0)

    def __init__(self, baudrate=500000, *, sck=None, mosi=None, miso=None, **options):
        self._clock = _number(sck)

    def init(self, baudrate=1000000, **options):
        pass

    def deinit(self):
        pass

    def write(self, data):
        self.write_readinto(data, bytearray(len(data)))

    def read(self, count, write=0):
        return fetch(kerb_rpc.SPI_TRANSFER, self._clock, payload=bytes([write]) * count)

    def readinto(self, buffer, write=0):
        buffer[:] = self.read(len(buffer), write)

    def write_readinto(self, out, into):
        into[:] = fetch(kerb_rpc.SPI_TRANSFER, self._clock, payload=out)


class SPI(SoftSPI):
    def __init__(self, id, baudrate=1000000, *, sck=None, mosi=None, miso=None, **options):
        if sck is None:
            if not _RP2:
                raise ValueError("name sck, mosi and miso: the emulated board has no default pins")
            sck = 10 if id else 18
        self._clock = _number(sck)
