"""The Bluetooth adapter that bleak is to use, and what goes wrong with it in plain words.

An adapter is the host's own (`ble:`, `ble:hci0`), or of another radio that an entry point of the group "kerbgate.ble"
gives (`ble:ADDRESS?radio=NAME`): a function of the address that returns what bleak's scanner and client are given, and
a function that says whether the adapter is still there.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)

from kerbgate.errors import InletError

GROUP = "kerbgate.ble"
_ADAPTER = re.compile(r"hci\d{1,2}")

_MISSING = ("is not there", "plug the adapter in; then: lsusb; kerb doctor --only ble")
_OFF = ("is switched off", "sudo rfkill unblock bluetooth; bluetoothctl power on")
_DENIED = ("may not be used by this user", "sudo usermod -aG bluetooth kerbstone, then restart the gateway")
_NO_BLUEZ = ("cannot be reached: BlueZ does not run", "sudo apt install bluez; sudo systemctl enable --now bluetooth")
_BUSY = ("is busy with another program's scan", "bluetoothctl scan off; end the other program; it is tried again")
_REASONS = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: _MISSING,
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: (
        "is no adapter for Bluetooth Low Energy",
        "use one that is: Bluetooth 4.2 or later",
    ),
    BleakBluetoothNotAvailableReason.POWERED_OFF: _OFF,
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: _DENIED,
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: _DENIED,
    BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN: _DENIED,
}
_DBUS = {
    "org.freedesktop.DBus.Error.ServiceUnknown": _NO_BLUEZ,
    "org.freedesktop.DBus.Error.NameHasNoOwner": _NO_BLUEZ,
    "org.freedesktop.DBus.Error.NoReply": _NO_BLUEZ,
    "org.freedesktop.DBus.Error.AccessDenied": _DENIED,
    "org.freedesktop.DBus.Error.UnknownObject": _MISSING,
    "org.bluez.Error.NotReady": _OFF,
    "org.bluez.Error.NotAuthorized": _DENIED,
    "org.bluez.Error.NotPermitted": _DENIED,
    "org.bluez.Error.InProgress": _BUSY,
}

_HOST = Path("/sys/class/bluetooth")
_EACH = {
    "filters": {"DuplicateData": True}
}  # a node that advertises again at once, after a lost connection, is told too

Options = tuple[dict[str, Any], dict[str, Any], Callable[[], bool]]


@dataclass(frozen=True, slots=True)
class Radio:
    """name: as people know the adapter. scanner, client: further arguments of bleak's classes. there: bleak itself does
    not tell of an adapter that was pulled out; true where nobody knows."""

    name: str
    scanner: dict[str, Any]
    client: dict[str, Any]
    there: Callable[[], bool]


def choose(address: str, radio: str | None) -> Radio:
    """The adapter of a link string. InletError."""
    if radio is not None:
        found = next(iter(entry_points(group=GROUP, name=radio)), None)
        if found is None:
            known = sorted(point.name for point in entry_points(group=GROUP))
            raise InletError(f"no radio is called {radio!r}", "there are: " + (", ".join(known) or "none"))
        make: Callable[[str], Options] = found.load()
        return Radio(f"{radio} {address}", *make(address))
    if not address:
        return Radio("the Bluetooth adapter", {"bluez": _EACH}, {}, lambda: _any_there("hci*"))
    if not _ADAPTER.fullmatch(address):
        raise InletError(
            f"{address!r} names no adapter", "write ble: for the first, or ble:hci1; see: bluetoothctl list"
        )
    adapter = {"adapter": address}
    return Radio(address, {"bluez": adapter | _EACH}, {"bluez": adapter}, lambda: _any_there(address))


def gone(name: str) -> InletError:
    """The adapter was there a moment ago."""
    return InletError(f"{name} {_MISSING[0]} any more", _MISSING[1])


def deaf(name: str) -> InletError:
    """It says that it scans, and hears nothing."""
    return InletError(
        f"{name} hears nobody any more, no phone and no node",
        "check antenna and place; unplug it and plug it in again; sudo systemctl restart bluetooth",
    )


def _any_there(pattern: str) -> bool:
    return not _HOST.is_dir() or any(_HOST.glob(pattern))


def fault(name: str, error: Exception) -> InletError:
    """What is wrong with an adapter, and what to do."""
    said = None
    if isinstance(error, BleakBluetoothNotAvailableError):
        said = _REASONS.get(error.reason)
    elif isinstance(error, BleakDBusError):
        said = _DBUS.get(error.dbus_error)
    elif isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        said = _NO_BLUEZ  # the socket of D-Bus itself
    elif isinstance(error, TimeoutError):
        said = ("does not answer", "unplug it and plug it in again; sudo systemctl restart bluetooth")
    if said is None and isinstance(error, BleakError):
        said = (f"cannot be used: {error}", "bluetoothctl list; kerb doctor --only ble")
    elif said is None:
        said = (f"fails: {type(error).__name__}: {error}", "sudo systemctl restart bluetooth; kerb doctor --only ble")
    return InletError(f"{name} {said[0]}", said[1])
