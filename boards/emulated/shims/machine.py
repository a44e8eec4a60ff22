"""`machine` of an emulated board, as far as the firmware uses it, true to the port named by KERB_PORT.

Names that a port does not have are absent here too. Every object is a thin call to the host, which owns the hardware.
"""

import os as _os

import kerb_rpc as _rpc
from kerb_rpc import call as _call

_RP2 = _os.getenv("KERB_PORT") == "rp2"
_CAUSE = int(_os.getenv("KERB_CAUSE"))

PWRON_RESET = 1
WDT_RESET = 3
if not _RP2:
    HARD_RESET = 2
    DEEPSLEEP_RESET = 4
    SOFT_RESET = 5


def reset():
    _call(_rpc.RESET)


def soft_reset():
    raise SystemExit


def reset_cause():
    return _CAUSE


def _check_sleep(ms):
    # ports/rp2/modmachine.c: the timer alarm is 32 bits of microseconds.
    if _RP2 and ms is not None and ms >= 4294967:
        raise ValueError("sleep too long")


def lightsleep(time_ms=None):
    _check_sleep(time_ms)
    _call(_rpc.SLEEP, -1 if time_ms is None else time_ms * 1000)


def deepsleep(time_ms=None):
    _check_sleep(time_ms)
    _call(_rpc.DEEPSLEEP, -1 if time_ms is None else time_ms)


def idle():
    _call(_rpc.SLEEP, 1000)


def unique_id():
    return bytes.fromhex(_os.getenv("KERB_UNIQUE_ID"))


def freq(hz=None):
    if hz is None:
        return int(_os.getenv("KERB_FREQUENCY"))


def disable_irq():
    return 0


def enable_irq(state=0):
    pass


class Pin:
    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_UP = 1
    PULL_DOWN = 2

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        self.id = id
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, alt=None, hold=None):
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            return _call(_rpc.PIN_READ, self.id)[0]
        _call(_rpc.PIN_WRITE, self.id, 1 if level else 0)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    if _RP2:
        high = on
        low = off

    def __repr__(self):
        return "Pin(%d)" % self.id


class ADC:
    if not _RP2:
        ATTN_0DB = 0
        ATTN_2_5DB = 1
        ATTN_6DB = 2
        ATTN_11DB = 3

    def __init__(self, pin, **options):
        self._pin = pin.id if isinstance(pin, Pin) else pin

    def read_u16(self):
        return _call(_rpc.ADC_READ, self._pin)[0]

    if not _RP2:

        def atten(self, attenuation):
            pass

        def read_uv(self):
            return _call(_rpc.ADC_READ, self._pin)[1]


class WDT:
    def __init__(self, id=0, timeout=5000):
        if _RP2 and timeout > 8388:
            raise ValueError("timeout exceeds 8388")
        _call(_rpc.WDT_START, timeout)

    def feed(self):
        _call(_rpc.WDT_FEED)


class RTC:
    def __init__(self, id=0):
        pass

    def datetime(self, moment=None):
        import utime

        if moment is None:
            us = _call(_rpc.CLOCK)[0]
            year, month, day, hour, minute, second, weekday = utime.gmtime(us // 1000000)[:7]
            return year, month, day, weekday, hour, minute, second, 0 if _RP2 else us % 1000000
        year, month, day, _, hour, minute, second, us = moment
        _call(_rpc.CLOCK_SET, utime.mktime((year, month, day, hour, minute, second, 0, 0)) * 1000000 + us)

    if not _RP2:

        def memory(self, data=None):
            if data is None:
                return _rpc.fetch(_rpc.RTC_READ)
            if len(data) > 2048:
                raise ValueError("buffer too long")
            _call(_rpc.RTC_WRITE, payload=data)


if _RP2:

    def mem_backup():
        return memoryview(_rpc.backup)


class UART:
    def __init__(self, id, baudrate=115200, **options):
        self._id = id
        self._timeout = 0
        self._timeout_char = 0
        self.init(baudrate, **options)

    def init(self, baudrate=115200, bits=8, parity=None, stop=1, *, timeout=0, timeout_char=0, rxbuf=256, **options):
        self._timeout = timeout
        self._timeout_char = timeout_char
        _call(_rpc.UART_OPEN, self._id, rxbuf)

    def deinit(self):
        pass

    def any(self):
        return _call(_rpc.UART_ANY, self._id)[0]

    def readinto(self, buffer, count=None):
        view = memoryview(buffer)
        count = len(view) if count is None else min(count, len(view))
        done = 0
        while done < count:
            if not _call(_rpc.UART_WAIT, self._id, self._timeout_char if done else self._timeout)[0]:
                break
            data = _rpc.fetch(_rpc.UART_READ, self._id, count - done)
            view[done : done + len(data)] = data
            done += len(data)
        return done or None

    def read(self, count=None):
        if count is None:
            count = self.any()
            if not count:
                count = _call(_rpc.UART_WAIT, self._id, self._timeout)[0]
        buffer = bytearray(count)
        done = self.readinto(buffer)
        return bytes(buffer[:done]) if done else None

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self.read(1)
            if byte is None:
                break
            line += byte
        return line or None

    def write(self, data):
        if isinstance(data, str):
            data = data.encode()
        view = memoryview(data)
        for start in range(0, len(view), 4096):
            _call(_rpc.UART_WRITE, self._id, payload=view[start : start + 4096])
        return len(view)

    def txdone(self):
        return True

    def flush(self):
        pass
