"""Nodes on a virtual Bluetooth: the firmware's own link in this process, and simulated nodes that speak through it."""

from gateway_harness import DEADLINE_S, SITE

from kerbnode.link import ble
from kerbtools.emulator import ble_walker
from kerbtools.emulator.ble_walker import Walker
from kerbtools.emulator.radio import Air


def open_link(air: Air, node: int, *, site: str = SITE, rssi: int = -61) -> ble.Ble:
    return ble_walker.open_link(air, node, site, rssi=rssi)


def join_all(walkers: list[Walker], deadline_s: float = DEADLINE_S) -> None:
    ble_walker.join_all(walkers, deadline_s)
