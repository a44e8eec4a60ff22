"""`time` of an emulated board: the virtual clock of its world. Ticks wrap at 2**30, as on boards."""

import os as _os

import utime as _utime
from kerb_irq import sleep_us as _sleep_us
from kerb_rpc import CLOCK, call, uptime_us

_PERIOD = 1 << 30
_HALF = 1 << 29
_EPOCH = 946684800 if _os.getenv("KERB_PORT") == "esp32" else 0  # Unix seconds at which time.time() is 0


def ticks_us():
    return uptime_us() & (_PERIOD - 1)


ticks_cpu = ticks_us


def ticks_ms():
    return uptime_us() // 1000 & (_PERIOD - 1)


def ticks_add(ticks, delta):
    return ticks + delta & (_PERIOD - 1)


def ticks_diff(end, start):
    return (end - start + _HALF & (_PERIOD - 1)) - _HALF


def sleep(seconds):
    _sleep_us(max(0, int(seconds * 1000000)))


def sleep_ms(ms):
    _sleep_us(max(0, ms * 1000))


def sleep_us(us):
    _sleep_us(max(0, us))


def time():
    return call(CLOCK)[0] // 1000000 - _EPOCH


def time_ns():
    return (call(CLOCK)[0] - _EPOCH * 1000000) * 1000


def gmtime(seconds=None):
    return _utime.gmtime((time() if seconds is None else seconds) + _EPOCH)[:8]


localtime = gmtime


def mktime(moment):
    return _utime.mktime(moment[:8] if len(moment) > 8 else moment) - _EPOCH
