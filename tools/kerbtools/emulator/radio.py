"""Wi-Fi: the access points of a world, and the station of a board."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it needs bumble, which only a world with Bluetooth does
    from kerbtools.emulator.ble_air import BleAir

SCAN_US = 2_000_000
JOIN_US = 1_200_000  # authentication and association
ADDRESS_US = 800_000  # DHCP
LOST_US = 6_000_000  # without beacons before a station gives up


class State(IntEnum):
    """What WIFI_STATUS says; the shim turns it into the port's own numbers."""

    OFF = 0
    IDLE = 1
    CONNECTING = 2
    GOT_ADDRESS = 3
    NO_ACCESS_POINT = 4
    WRONG_PASSWORD = 5
    BEACONS_LOST = 6


@dataclass
class AccessPoint:
    """One access point; every field may be changed at any time. rssi in dBm, as every board hears it."""

    ssid: str
    password: str = ""
    channel: int = 6
    rssi: int = -61
    present: bool = True

    @property
    def bssid(self) -> bytes:
        return b"\x02" + hashlib.sha256(self.ssid.encode()).digest()[:5]


class Air:
    """What is on the air of a world, and which hosts can be reached over it: none but this machine's own.

    `hosts` maps a name or an address that a firmware uses to "127.0.0.1" and, with a port, "127.0.0.1:18830".
    """

    LOOPBACK = "127.0.0.1"

    def __init__(self) -> None:
        self.access_points: dict[str, AccessPoint] = {}
        self.hosts: dict[str, str] = {"localhost": self.LOOPBACK, self.LOOPBACK: self.LOOPBACK}
        self.ble: BleAir | None = None  # set by a BleAir of this world

    def add_access_point(self, ssid: str, password: str = "", *, channel: int = 6, rssi: int = -61) -> AccessPoint:
        """Put an access point on the air; returns it, to be changed."""
        point = self.access_points[ssid] = AccessPoint(ssid, password, channel, rssi)
        return point

    def add_host(self, name: str, port: int | None = None) -> None:
        """Let firmware reach this machine under `name`, whatever port it asks for, or always at `port`."""
        self.hosts[name] = self.LOOPBACK if port is None else f"{self.LOOPBACK}:{port}"

    def resolve(self, name: str) -> str | None:
        """The address that a firmware is told for a name; None: nobody knows it."""
        if name not in self.hosts:
            return None
        return name if name.replace(".", "").isdigit() else self.LOOPBACK if ":" not in self.hosts[name] else name

    def place(self, host: str, port: int) -> tuple[str, int] | None:
        """Where a connection really goes; None: nowhere."""
        found = self.hosts.get(host)
        if found is None:
            return None
        address, _, own_port = found.partition(":")
        return address, int(own_port or port)


class Station:
    """The radio of a board as a Wi-Fi station. deaf: it hears and reaches nobody, and does not know it.

    Its state follows from what was asked when, and from the air now, so nothing runs between two calls. Times are
    plausible, not measured.
    """

    def __init__(self, air: Air, has_radio: bool) -> None:
        self.air = air
        self.has_radio = has_radio
        self.deaf = False
        self.is_on = False
        self._wanted: tuple[str, str] | None = None
        self._asked_us = 0
        self._joined = False
        self._gone_us: int | None = None  # since when a joined access point is not heard

    def reset(self) -> None:
        self.is_on = False
        self._wanted = None
        self._joined = False
        self._gone_us = None

    def power(self, on: bool) -> None:
        if not on:
            self.reset()
        self.is_on = on

    def connect(self, ssid: str, password: str, now_us: int) -> None:
        self._wanted = ssid, password
        self._asked_us = now_us
        self._joined = False
        self._gone_us = None

    def disconnect(self) -> None:
        self._wanted = None
        self._joined = False

    def state(self, now_us: int) -> State:
        if not self.is_on:
            return State.OFF
        if self._wanted is None:
            return State.IDLE
        point = self._heard(self._wanted[0])
        waited_us = now_us - self._asked_us
        if self._joined:
            return self._keep(point, now_us)
        if waited_us < SCAN_US:
            return State.CONNECTING
        if point is None:
            return State.NO_ACCESS_POINT
        if waited_us < SCAN_US + JOIN_US:
            return State.CONNECTING
        if point.password != self._wanted[1]:
            return State.WRONG_PASSWORD
        if waited_us < SCAN_US + JOIN_US + ADDRESS_US:
            return State.CONNECTING
        self._joined = True
        return State.GOT_ADDRESS

    def is_linked(self, now_us: int) -> bool:
        """Whether frames really go through now: the access point is there and the radio is not deaf."""
        return self.state(now_us) == State.GOT_ADDRESS and self._gone_us is None and not self.deaf

    def rssi(self) -> int:
        point = self._heard(self._wanted[0]) if self._wanted else None
        return point.rssi if point else 0

    def scan(self) -> list[AccessPoint]:
        return [point for point in self.air.access_points.values() if point.present and not self.deaf]

    def _heard(self, ssid: str) -> AccessPoint | None:
        point = self.air.access_points.get(ssid)
        return point if point is not None and point.present else None

    def _keep(self, point: AccessPoint | None, now_us: int) -> State:
        if point is not None and point.password == (self._wanted or ("", ""))[1]:
            self._gone_us = None
            return State.GOT_ADDRESS
        if self._gone_us is None:
            self._gone_us = now_us
        if now_us - self._gone_us < LOST_US:
            return State.GOT_ADDRESS
        # It goes on trying, as both ports do: where the access point comes back it is joined again.
        self._joined = False
        self._asked_us = now_us - SCAN_US
        self._gone_us = None
        return State.BEACONS_LOST
