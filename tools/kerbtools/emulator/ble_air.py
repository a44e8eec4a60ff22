"""Bluetooth Low Energy between emulated boards and real gateways: bumble's virtual controllers on one link.

Each board has a controller of its own. A gateway, in this process or another, gets one by connecting to `port` on
loopback and speaking HCI over it, as to an adapter on a cable. Everything runs at real pace in a thread of its own; no
air time is modelled. What a real radio does badly is asked for: loss of fragments, lost connections, a deaf or an
unplugged adapter.
"""

import asyncio
import errno
import logging
import random
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from bumble import hci, ll
from bumble.controller import Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink
from bumble.transport.common import StreamPacketSink, StreamPacketSource

from kerbtools.emulator.world import World

TIMEOUT_S = 10.0  # for what the radio's thread is asked to do: it never takes long
MAX_ADAPTERS = 8
DEFAULT_RSSI = -61
_ATT, _NOTIFICATION, _WRITE_COMMAND = 4, 0x1B, 0x52  # L2CAP channel and opcodes of what no layer below repeats
_TIMED_OUT = 0x08  # the reason of a connection that is heard no more

T = TypeVar("T")

logging.getLogger("bumble").setLevel(logging.CRITICAL)  # what it warns of, lost connections, is what is done on purpose


class BleAir:
    """The Bluetooth of a world. loss: share of fragments that are lost, either way. cut: share that end the connection.

    Both may be changed at any time. Stops with the world. fragments, lost, cuts: what has happened so far.
    """

    def __init__(self, world: World, *, loss: float = 0.0, cut: float = 0.0, seed: str = "ble") -> None:
        self.loss = loss
        self.cut = cut
        self.deaf = False  # adapters hear no advertisement any more, and do not know it
        self.fragments = self.lost = self.cuts = 0
        self.chance = random.Random(f"{world.seed}/{seed}")  # noqa: S311  a scene, not a secret
        self.signals: dict[str, int] = {}  # dBm by a board's address
        self.link = Link(self)
        self._stopped = False
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._adapters: set[Adapter] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._listener.close()
        self._thread = threading.Thread(target=self._run, name="ble", daemon=True)
        self._thread.start()
        self.plug()
        world.air.ble = self
        world.attach(self)

    @property
    def url(self) -> str:
        """The inlet of a gateway that is to hear this air."""
        return f"ble:127.0.0.1:{self.port}?radio=virtual"

    @property
    def listens(self) -> bool:
        """Whether an adapter is in use: something real may answer a board."""
        return bool(self._adapters)

    def plug(self) -> None:
        """Adapters can be had."""
        self.do(self._serve())

    def unplug(self) -> None:
        """Every adapter is gone, and its connections are, until `plug`."""
        self.do(self._close())

    def break_connections(self) -> int:
        """End every connection, as when somebody walks through it; returns how many there were."""
        return self.do(self._break())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the radio's thread, from another. TimeoutError; OSError where the air is gone."""
        if self._stopped:
            work.close()
            raise OSError(errno.ENODEV, "the air is gone")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)

    def stop(self) -> None:
        if not self._stopped:
            self.unplug()
            self._stopped = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(TIMEOUT_S)
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        if tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=1))

    async def _serve(self) -> None:
        if self._server is None:
            self._server = await self._loop.create_server(lambda: Adapter(self), "127.0.0.1", self.port)

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for adapter in list(self._adapters):
            adapter.close()
        await asyncio.sleep(0)

    async def _break(self) -> int:
        found = [
            (adapter.controller, peer)
            for adapter in self._adapters
            if adapter.controller
            for peer in list(adapter.controller.le_connections)
        ]
        for controller, peer in found:
            self.link.end(controller, peer)
        return len(found)

    def joined(self, adapter: "Adapter") -> bool:
        """An adapter is in use; False: there are too many."""
        if len(self._adapters) >= MAX_ADAPTERS:
            return False
        self._adapters.add(adapter)
        return True

    def left(self, adapter: "Adapter") -> None:
        self._adapters.discard(adapter)

    def hears(self, controller: Controller) -> bool:
        """Whether advertisements reach a controller."""
        return not self.deaf


class Link(LocalLink):
    """What goes between controllers, where some of it is lost."""

    def __init__(self, air: BleAir) -> None:
        super().__init__()
        self._air = air

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        air = self._air
        if len(data) > 4 and data[2] == _ATT and data[4] in (_NOTIFICATION, _WRITE_COMMAND):
            air.fragments += 1
            if air.chance.random() < air.cut:
                air.cuts += 1
                self.end(sender_controller, destination_address)
                return
            if air.chance.random() < air.loss:
                air.lost += 1
                return
        super().send_acl_data(sender_controller, destination_address, transport, data)

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        loop = asyncio.get_running_loop()
        for controller in self.controllers:
            if controller is not sender_controller and (
                isinstance(packet, ll.ConnectInd) or self._air.hears(controller)
            ):
                loop.call_soon(controller.on_ll_advertising_pdu, packet)

    def end(self, controller: Controller, peer: hci.Address) -> None:
        """End a connection, as both ends notice it when nothing is heard any more."""
        other = self.find_le_controller(peer)
        for one, address in ((controller, peer), (other, controller.random_address)):
            connection = one.le_connections.get(address) if one is not None else None
            if one is not None and connection is not None:
                one.on_le_disconnected(connection, _TIMED_OUT)


class Adapter(StreamPacketSource):
    """A gateway's adapter: one connection to the HCI port, and the controller behind it."""

    def __init__(self, air: BleAir) -> None:
        super().__init__()
        self.controller: Controller | None = None
        self._air = air
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._air.joined(self):
            transport.abort()
            return
        self.controller = AdapterController(self._air, self, StreamPacketSink(transport))

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def close(self) -> None:
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        self._air.left(self)
        controller, self.controller = self.controller, None
        if controller is not None:
            for peer in list(controller.le_connections):
                self._air.link.end(controller, peer)
            self._air.link.remove_controller(controller)


class AdapterController(Controller):
    """It says how strong it hears each board: bumble's own says -50 dBm of all."""

    def __init__(self, air: BleAir, source: Adapter, sink: StreamPacketSink) -> None:
        super().__init__("adapter", source, sink, air.link)  # pyright: ignore[reportUnknownMemberType]
        self._air = air

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if isinstance(packet, (hci.HCI_LE_Advertising_Report_Event, hci.HCI_LE_Extended_Advertising_Report_Event)):
            for report in packet.reports:
                report.rssi = self._air.signals.get(str(report.address)[:17], DEFAULT_RSSI)
        super().send_hci_packet(packet)
