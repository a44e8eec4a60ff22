"""A peripheral on a BleAir: bumble's device with a controller of its own. Called from any thread but the air's."""

import contextlib
from collections.abc import Callable

from bumble import hci
from bumble.controller import Controller
from bumble.core import BaseBumbleError
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from kerbtools.emulator.ble_air import BleAir

CONNECTED, DISCONNECTED, WRITTEN, MTU_EXCHANGED = 1, 2, 3, 21  # events, by the numbers of MicroPython's bluetooth
MAX_MTU = 517

# An event: what, connection, handle or MTU or address type, value or address. Called in the air's thread.
OnEvent = Callable[[int, int, int, bytes], None]


class Peripheral:
    """It is on the air until `close`. address: static random, as text."""

    def __init__(self, air: BleAir, address: str, on_event: OnEvent) -> None:
        self.air = air
        self._on_event = on_event
        self._connections: dict[int, Connection] = {}
        self._places: dict[int, Characteristic[bytes]] = {}
        self._controller, self._device = air.do(self._begin(address))

    @property
    def is_connected(self) -> bool:
        return bool(self._connections)

    def close(self) -> None:
        """Gone at once, as without power: what it was connected to notices."""
        with contextlib.suppress(OSError):  # the air is gone, and everything with it
            self.air.do(self._end())

    def set_mtu(self, mtu: int) -> None:
        self._device.gatt_server.max_mtu = min(mtu, MAX_MTU)

    def add_service(self, uuid: str, items: list[tuple[str, int]]) -> list[int]:
        """items: (uuid, properties) of its characteristics. Returns their handles."""
        places = [self._place(item, properties) for item, properties in items]
        self.air.do(self._add(Service(uuid, places)))
        self._places |= {place.handle: place for place in places}
        return [place.handle for place in places]

    def advertise(self, interval_ms: float, data: bytes) -> None:
        """interval_ms: 0 stops it; a connection does so too."""
        self.air.do(self._advertise(interval_ms, data))

    def notify(self, connection: int, handle: int, data: bytes) -> bool:
        """False: there is no such connection. What does not fit the MTU is cut off, as by both ports' stacks."""
        found, place = self._connections.get(connection), self._places.get(handle)
        if found is None or place is None:
            return False
        self.air.do(self._device.gatt_server.notify_subscriber(found, place, data, force=True))
        return True

    def disconnect(self, connection: int) -> bool:
        """False: there is no such connection."""
        found = self._connections.get(connection)
        if found is not None:
            self.air.do(self._hang_up(found))
        return found is not None

    # In the air's thread.

    async def _begin(self, address: str) -> tuple[Controller, Device]:
        controller = Controller(address, link=self.air.link)
        own = hci.Address(address, hci.Address.RANDOM_DEVICE_ADDRESS)
        device = Device(
            config=DeviceConfiguration(name="node", address=own, irk=bytes(range(16))),
            host=Host(controller, AsyncPipeSink(controller)),
        )
        device.on(Device.EVENT_CONNECTION, self._connected)
        await device.power_on()
        return controller, device

    async def _end(self) -> None:
        self._controller.le_legacy_advertiser.stop()
        for one in self._controller.advertising_sets.values():
            one.stop()
        for peer in list(self._controller.le_connections):
            self.air.link.end(self._controller, peer)
        self.air.link.remove_controller(self._controller)

    async def _add(self, service: Service) -> None:
        self._device.add_service(service)

    async def _advertise(self, interval_ms: float, data: bytes) -> None:
        if interval_ms <= 0:
            await self._device.stop_advertising()
        else:
            await self._device.start_advertising(
                advertising_data=data, advertising_interval_min=interval_ms, advertising_interval_max=interval_ms
            )

    async def _hang_up(self, connection: Connection) -> None:
        with contextlib.suppress(BaseBumbleError):  # it is gone, which is what was wanted
            await connection.disconnect()

    def _place(self, uuid: str, properties: int) -> "Characteristic[bytes]":
        def write(connection: Connection, value: bytes) -> None:
            self._on_event(WRITTEN, connection.handle, place.handle, bytes(value))

        place = Characteristic[bytes](
            uuid,
            Characteristic.Properties(properties),
            Characteristic.Permissions.READABLE | Characteristic.Permissions.WRITEABLE,
            CharacteristicValue[bytes](write=write),
        )
        return place

    def _connected(self, connection: Connection) -> None:
        peer = bytes(connection.peer_address)[:6]
        self._connections[connection.handle] = connection

        def gone(reason: int) -> None:
            self._connections.pop(connection.handle, None)
            self._on_event(DISCONNECTED, connection.handle, 1, peer)

        def exchanged() -> None:
            self._on_event(MTU_EXCHANGED, connection.handle, connection.att_mtu, b"")

        connection.on(Connection.EVENT_DISCONNECTION, gone)
        connection.on(Connection.EVENT_CONNECTION_ATT_MTU_UPDATE, exchanged)
        self._on_event(CONNECTED, connection.handle, 1, peer)
