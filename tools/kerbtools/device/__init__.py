"""Boards on a USB port: found, asked, written to and reset, over the raw REPL that every MicroPython board has.

    with Device.open("/dev/ttyACM0") as device:
        print(device.facts().machine)
        device.write("/node/config.json", b'{"interval_s":600}')
        device.reset()

`transport` is the one module that imports mpremote; errors and their tree: `errors`.
"""

from kerbtools.device.device import Device, Facts
from kerbtools.device.errors import (
    BoardRaised,
    DeviceError,
    FlashFull,
    FlashRefused,
    NoPermission,
    NoPort,
    NotAnswering,
    NotVerified,
    PortBusy,
    PortGone,
    WrongBoard,
    WrongMicroPython,
)

__all__ = [
    "BoardRaised", "Device", "DeviceError", "Facts", "FlashFull", "FlashRefused", "NoPermission", "NoPort",
    "NotAnswering", "NotVerified", "PortBusy", "PortGone", "WrongBoard", "WrongMicroPython",
]  # fmt: skip
