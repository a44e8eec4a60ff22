"""A simulated node that speaks through the firmware's own Bluetooth link, in a thread: for tests and load."""

import threading
import time
from collections.abc import Callable

from kerbnode.link import ble
from kerbtools.emulator.ble_host import HostBluetooth, HostHal
from kerbtools.emulator.radio import Air
from kerbtools.simulate import SimulatedNode
from kerbwire import gatt

PATIENCE_MS = 400  # for an answer
WINDOW_MS = 10_000  # for somebody to come
EXCHANGES = 25  # of one connection


def open_link(air: Air, node: int, site: str, *, rssi: int = -61, most_mtu: int = gatt.MTU) -> ble.Ble:
    """A link as kerbnode.link.ble.opened makes it, not started. most_mtu: what its radio agrees to."""
    bluetooth = HostBluetooth(air, f"node {node}")
    bluetooth.radio.rssi = rssi
    bluetooth.radio.most_mtu = most_mtu
    return ble.Ble(bluetooth, HostHal(bluetooth), gatt.advertisement(node, site))


class Walker(threading.Thread):
    """Exchange after exchange until nothing waits, with a connection for each few. give: takes new records before each
    exchange where none wait; False: that was all. frames, bytes, lost, connections: what it cost. failure: what ended
    it early."""

    def __init__(self, make: Callable[[], ble.Ble], node: SimulatedNode, give: Callable[[], bool] | None = None):
        super().__init__(name=f"walker {node.address}", daemon=True)
        self.node = node
        self.frames = self.bytes = self.lost = self.connections = 0
        self.failure: BaseException | None = None
        self._make = make
        self._give = give or (lambda: False)
        self._end = 0.0

    def run_for(self, seconds: float) -> "Walker":
        """Start; it fails after so long."""
        self._end = time.monotonic() + seconds
        self.start()
        return self

    def run(self) -> None:
        try:
            while self._wants():
                if time.monotonic() > self._end:
                    raise TimeoutError(f"node {self.node.address} still has {self.node.waiting} records")
                link = self._make()
                link.start()
                try:
                    if link.wait(WINDOW_MS):  # pyright: ignore[reportUnknownMemberType]
                        self.connections += 1
                        self._exchanges(link)
                finally:
                    link.close()
                    self.frames += link.tally.frames
                    self.bytes += link.tally.bytes
                    self.lost += link.tally.lost
        except BaseException as error:
            self.failure = error

    def _wants(self) -> bool:
        return not self.node.confirmed or self.node.waiting > 0 or self._give()

    def _exchanges(self, link: ble.Ble) -> None:
        for _ in range(EXCHANGES):
            if not self._wants() or (frame := self.node.next_frame()) is None:
                return
            link.send(frame)  # pyright: ignore[reportUnknownMemberType]  # the firmware's code has no hints
            begin = time.monotonic()
            while (left_ms := PATIENCE_MS - round((time.monotonic() - begin) * 1000)) > 0:
                answer: bytes | None = link.receive(left_ms)  # pyright: ignore[reportUnknownMemberType]
                if answer is None or self.node.feed(answer):
                    break


def join_all(walkers: list[Walker], deadline_s: float) -> None:
    """Run them side by side to their end. TimeoutError, or what one of them failed of."""
    for walker in walkers:
        walker.run_for(deadline_s)
    for walker in walkers:
        walker.join(deadline_s + WINDOW_MS / 1000 + 10)
        if walker.failure is not None:
            raise walker.failure
        if walker.is_alive():
            raise TimeoutError(f"{walker.name} does not end")
