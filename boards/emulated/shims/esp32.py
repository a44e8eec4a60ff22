"""`esp32` of an emulated board: what wakes it, as far as its chip has it, and the flash under the file system."""

import os

import kerb_rpc
from kerb_flash import Blocks as _Blocks

_S3 = os.getenv("KERB_CHIP") == "esp32_s3"

WAKEUP_ALL_LOW = False
WAKEUP_ANY_HIGH = True


_gpio_mask = 0


def _wake(pins, source, level):
    mask = 0
    for pin in pins or ():
        if source != 3 and pin.id > 21:  # ext0 and ext1: the RTC's pins only, GPIO 0 to 21 of an ESP32-S3
            raise ValueError("invalid pin")
        mask |= 1 << pin.id
    kerb_rpc.call(kerb_rpc.WAKE_PINS, mask, source | (1 if level else 0) << 4)
    return mask


def wake_on_gpio(pins=None, level=False):
    global _gpio_mask
    _gpio_mask = _wake(pins, 3, level)


def _check_deepsleep():
    """As mp_machine_deepsleep: an ESP32-S3 has no such wake-up from deep sleep, an ESP32-C3 one by GPIO 0 to 5."""
    if _gpio_mask and _S3:
        raise ValueError("DEEPSLEEP with gpio pins not supported on this chip")
    if _gpio_mask >> 6:
        raise ValueError("wake-up pin not supported")


if _S3:

    def wake_on_ext0(pin=None, level=False):
        _wake((pin,) if pin else (), 1, level)

    def wake_on_ext1(pins=None, level=False):
        _wake(pins, 2, level)


_CHIP = 255  # where the host has the chip's thermometer among the ADC's pins


def mcu_temperature():
    return kerb_rpc.call(kerb_rpc.ADC_READ, _CHIP)[1] or 30


class RMT:
    """Sends levels of one length, as a DALI line needs it; other forms of `write_pulses` are not emulated."""

    PULSE_MAX = 32767

    def __init__(self, id=-1, *, pin, resolution_hz=None, clock_div=None, idle_level=False, **options):
        self._pin = pin.id
        self._hz = resolution_hz or 80000000 // (clock_div or 8)

    def write_pulses(self, duration, data=True):
        if not isinstance(duration, int):
            raise NotImplementedError("write_pulses of several lengths")
        kerb_rpc.call(
            kerb_rpc.LINE_SEND, self._pin, duration * 1000000 // self._hz, bytes([1 if level else 0 for level in data])
        )

    def wait_done(self, *, timeout=0):
        return True


class Partition(_Blocks):
    """Of the partition table the file system's alone is there."""

    TYPE_APP = 0
    TYPE_DATA = 1

    @staticmethod
    def find(type=TYPE_APP, subtype=0xFF, label=None, block_size=None):
        fits = type == 1 and subtype in (0xFF, 0x81) and label in (None, "vfs")
        return [Partition()] if fits else []
