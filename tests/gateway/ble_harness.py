"""Nodes on a virtual Bluetooth: the firmware's own link in this process, and simulated nodes that speak through it."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

from gateway_harness import DEADLINE_S, SITE

from kerbnode.link import ble
from kerbtools.emulator.ble_air import BleAir
from kerbtools.emulator.ble_host import HostBluetooth, HostHal
from kerbtools.simulate import SimulatedNode
from kerbwire import gatt


def open_link(air: BleAir, world_air: object, node: int, *, site: str = SITE, rssi: int = -61) -> ble.Ble:
    """A link as kerbnode.link.ble.opened makes it, not started."""
    bluetooth = HostBluetooth(world_air, f"node {node}")  # type: ignore[arg-type]
    bluetooth.radio.rssi = rssi
    return ble.Ble(bluetooth, HostHal(bluetooth), gatt.advertisement(node, site))


class Walker(threading.Thread):
    """One node: exchange after exchange until nothing waits, with a connection for each few."""

    PATIENCE_MS = 400
    WINDOW_MS = 10_000
    EXCHANGES = 25  # of one connection

    def __init__(self, make: Callable[[], ble.Ble], node: SimulatedNode, step: Callable[[], bool] | None = None):
        super().__init__(name=f"walker {node.address}", daemon=True)
        self.node = node
        self.frames = self.lost = self.retries = 0
        self.failure: BaseException | None = None
        self._make = make
        self._step = step or (lambda: False)  # gives the node more to say; False: that was all
        self._end = time.monotonic() + DEADLINE_S

    def until(self, seconds: float) -> "Walker":
        self._end = time.monotonic() + seconds
        return self

    def run(self) -> None:
        try:
            while self._wants():
                if time.monotonic() > self._end:
                    raise TimeoutError(f"node {self.node.address} still has {self.node.waiting} records")
                link = self._make()
                link.start()
                try:
                    if link.wait(self.WINDOW_MS):
                        self._exchanges(link)
                finally:
                    link.close()
                    self.frames += link.tally.frames
                    self.lost += link.tally.lost
        except BaseException as error:
            self.failure = error

    def _wants(self) -> bool:
        return not self.node.confirmed or self.node.waiting > 0 or self._step()

    def _exchanges(self, link: ble.Ble) -> None:
        for _ in range(self.EXCHANGES):
            if not self._wants() or (frame := self.node.next_frame()) is None:
                return
            link.send(frame)
            begin = time.monotonic()
            while (left_ms := self.PATIENCE_MS - (time.monotonic() - begin) * 1000) > 0:
                answer = link.receive(left_ms)
                if answer is None or self.node.feed(answer):
                    break


def join_all(walkers: list[Walker], deadline_s: float = DEADLINE_S) -> None:
    for walker in walkers:
        walker.until(deadline_s).start()
    for walker in walkers:
        walker.join(deadline_s + DEADLINE_S)
    for walker in walkers:
        assert not walker.is_alive() and walker.failure is None, walker.failure


def named(node: int) -> SimpleNamespace:
    """An identity, as the link reads it."""
    return SimpleNamespace(node=node, site=SITE)
