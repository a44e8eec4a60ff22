"""`machine` of an emulated board, true to the port and chip named by KERB_PORT and KERB_CHIP.

Names that a port does not have are absent here too. Every object is a thin call to the host, which owns the hardware.
"""

import os as _os

import kerb_irq as _irq
import kerb_port  # noqa: F401  what else the board has in its firmware
import kerb_rpc as _rpc
from kerb_buses import I2C, PWM, SPI, SoftI2C, SoftSPI, Timer  # noqa: F401
from kerb_pin import ADC, Pin, Signal  # noqa: F401
from kerb_rpc import call as _call
from kerb_uart import UART  # noqa: F401

_RP2 = _os.getenv("KERB_PORT") == "rp2"
_CAUSE = int(_os.getenv("KERB_CAUSE"))

PWRON_RESET = 1
WDT_RESET = 3
if not _RP2:
    HARD_RESET = 2
    DEEPSLEEP_RESET = 4
    SOFT_RESET = 5
    SLEEP = 2
    DEEPSLEEP = 4
    PIN_WAKE = EXT0_WAKE = 2
    EXT1_WAKE = 3
    TIMER_WAKE = 4
    TOUCHPAD_WAKE = 5
    ULP_WAKE = 6


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
    _call(_rpc.LIGHTSLEEP, -1 if time_ms is None else time_ms * 1000)


def deepsleep(time_ms=None):
    _check_sleep(time_ms)
    if not _RP2:
        import esp32

        esp32._check_deepsleep()
    _call(_rpc.DEEPSLEEP, -1 if time_ms is None else time_ms)


if not _RP2:
    sleep = lightsleep

    def wake_reason():
        return _call(_rpc.WAKE_REASON)[0]

    def wake_pins():
        mask = _call(_rpc.WAKE_REASON)[1]
        return tuple([number for number in range(64) if mask >> number & 1])


def idle():
    _call(_rpc.SLEEP, 1000)


def time_pulse_us(pin, pulse_level, timeout_us=1000000):
    """extmod/machine_pulse.c: -2: the pin did not get to the level in time; -1: it did not leave it again in time."""
    wait_us, width_us = _call(_rpc.PIN_PULSE, pin.id, pulse_level)
    comes = 0 <= wait_us < timeout_us
    ends = 0 <= width_us < timeout_us
    _call(_rpc.SLEEP, (wait_us if comes else timeout_us) + (0 if not comes else width_us if ends else timeout_us), 1)
    return -2 if not comes else width_us if ends else -1


def unique_id():
    return bytes.fromhex(_os.getenv("KERB_UNIQUE_ID"))


_frequency = int(_os.getenv("KERB_FREQUENCY") or 0)


def freq(hz=None):
    """The set value is kept and told, no more: computing takes no virtual time."""
    global _frequency
    if hz is None:
        return _frequency
    _frequency = hz


def disable_irq():
    return _irq.mask()


def enable_irq(state=0):
    _irq.unmask(state)


_LONGEST_WATCHDOG_MS = int(_os.getenv("KERB_WATCHDOG_MS") or 0)  # 0: the port knows no limit


class WDT:
    def __init__(self, id=0, timeout=5000):
        if _LONGEST_WATCHDOG_MS and timeout > _LONGEST_WATCHDOG_MS:
            raise ValueError("timeout exceeds %d" % _LONGEST_WATCHDOG_MS)
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

        def init(self, moment):
            self.datetime(moment)

        def memory(self, data=None):
            if data is None:
                return _rpc.fetch(_rpc.RTC_READ)
            if len(data) > 2048:
                raise ValueError("buffer too long")
            _call(_rpc.RTC_WRITE, payload=data)


if _RP2:
    # ports/rp2/machine_mem_backup.c: words of the watchdog's scratch 0 to 3, of 5 to 7, and of the RP2350's POWMAN.
    _words = memoryview(_rpc.backup)
    _regions = tuple([_words[a:b] for a, b in ((0, 4), (4, 7), (7, 15)) if b <= len(_words)])

    def mem_backup(region=0):
        return _regions if region == -1 else _regions[region]
