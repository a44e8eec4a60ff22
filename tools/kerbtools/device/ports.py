"""Ports that a board may be on. What is found here is a candidate: only the board itself says what it is."""

from collections.abc import Iterable
from dataclasses import dataclass

from serial.tools import list_ports

from kerbtools import boards


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port: the name to open it by, USB ids (vendor, product) and serial number, what the system calls it."""

    path: str
    ids: tuple[int, int] | None
    serial: str
    title: str


def find() -> list[Port]:
    """Serial ports with the USB vendor id of a known board or of a bridge chip that boards carry, sorted by path."""
    vendors = {vendor for vendor, _ in known_ids()}
    return [port for port in listed() if port.ids is not None and port.ids[0] in vendors]


def listed() -> list[Port]:
    """Every serial port that the system lists, sorted by path."""
    found: list[Port] = []
    for entry in list_ports.comports():
        ids = None if entry.vid is None or entry.pid is None else (entry.vid, entry.pid)
        found.append(Port(entry.device, ids, entry.serial_number or "", entry.description or entry.device))
    return sorted(found, key=lambda port: port.path)


def known_ids() -> Iterable[tuple[int, int]]:
    """The USB vendor and product ids of all boards' facts."""
    for name in boards.names():
        yield from boards.load(name).identify.usb
