"""bleak on a virtual adapter: a scanner and a client of bleak that speak HCI to a BleAir, in any process.

The gateway asks for it with `ble:HOST:PORT?radio=virtual`, by the entry point "virtual" of the group "kerbgate.ble".
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, cast

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError
from bumble import hci
from bumble.core import AdvertisingData, BaseBumbleError
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt_client import CharacteristicProxy
from bumble.transport import open_transport
from bumble.transport.common import Transport

logging.getLogger("bumble").setLevel(logging.CRITICAL)  # what it warns of, lost connections, is what is done on purpose
_SCAN_MS = 60
_MTU = 517  # as BlueZ asks for
_UP_S = 5.0


def options(adapter: str) -> tuple[dict[str, Any], dict[str, Any], Callable[[], bool]]:
    """What BleakScanner and BleakClient are given for an adapter, host:port of a BleAir, and whether it is there."""
    scanner, client = {"backend": BumbleScanner, "hci": adapter}, {"backend": BumbleClient, "hci": adapter}
    return scanner, client, lambda: _Adapter.known(adapter)


class _Adapter:
    """One virtual adapter of this process; scanner and clients share it."""

    _all: "dict[tuple[asyncio.AbstractEventLoop, str], _Adapter]" = {}  # noqa: RUF012

    def __init__(self, transport: Transport, device: Device) -> None:
        self.device = device
        self.connecting = asyncio.Lock()
        self.clients: set[BumbleClient] = set()
        self._transport = transport

    @classmethod
    def known(cls, hci_address: str) -> bool:
        return (asyncio.get_running_loop(), hci_address) in cls._all

    @classmethod
    async def get(cls, hci_address: str) -> "_Adapter":
        """BleakBluetoothNotAvailableError where it is not plugged in."""
        key = asyncio.get_running_loop(), hci_address
        known = cls._all.get(key)
        if known is not None:
            return known
        transport: Transport | None = None
        try:
            async with asyncio.timeout(_UP_S):
                transport = await open_transport(f"tcp-client:{hci_address}")
                raw = bytearray(secrets.token_bytes(6))
                raw[0] |= 0xC0
                address = hci.Address(":".join(f"{byte:02X}" for byte in raw), hci.Address.RANDOM_DEVICE_ADDRESS)
                device = Device.with_hci("gateway", address, transport.source, transport.sink)
                await device.power_on()
        except (OSError, TimeoutError, BaseBumbleError) as error:
            if transport is not None:
                await transport.close()
            raise BleakBluetoothNotAvailableError(
                f"no adapter answers at {hci_address}", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
            ) from error
        adapter = cls(transport, device)
        cls._all[key] = adapter
        transport.source.terminated.add_done_callback(lambda _: adapter._lost(key))  # pyright: ignore
        return adapter

    def _lost(self, key: "tuple[asyncio.AbstractEventLoop, str]") -> None:
        if self._all.get(key) is self:
            del self._all[key]
        for client in list(self.clients):
            client.lost()


class BumbleScanner(BaseBleakScanner):
    """Keywords as bleak names them. hci: host:port."""

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str = "active",
        *,
        hci: str,
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._hci = hci
        self._adapter: _Adapter | None = None

    async def start(self) -> None:
        self.seen_devices = {}
        self._adapter = adapter = await _Adapter.get(self._hci)
        adapter.device.on(Device.EVENT_ADVERTISEMENT, self._heard)
        try:
            async with asyncio.timeout(_UP_S):
                await adapter.device.start_scanning(active=False, scan_interval=_SCAN_MS, scan_window=_SCAN_MS)
        except (TimeoutError, BaseBumbleError) as error:
            raise BleakError(f"the scan does not start: {error}") from error

    async def stop(self) -> None:
        adapter, self._adapter = self._adapter, None
        if adapter is None:
            return
        adapter.device.remove_listener(Device.EVENT_ADVERTISEMENT, self._heard)  # pyright: ignore[reportUnknownMemberType]
        try:
            async with asyncio.timeout(_UP_S):
                await adapter.device.stop_scanning()
        except (TimeoutError, BaseBumbleError) as error:
            raise BleakError(f"the scan does not stop: {error}") from error

    def _heard(self, advertisement: Advertisement) -> None:
        data = advertisement.data
        found = cast("list[Any]", data.get(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS) or [])
        uuids = [uuid.to_hex_str("-").lower() for uuid in found]
        if not self.is_allowed_uuid(uuids):
            return
        name = data.get(AdvertisingData.COMPLETE_LOCAL_NAME)
        said = AdvertisementData(name, {}, {}, uuids, None, advertisement.rssi, ())
        address = str(advertisement.address)[:17]
        device = self.create_or_update_device(address, address, name, advertisement.address, said)
        self.call_detection_callbacks(device, said)


class BumbleClient(BaseBleakClient):
    """Keywords as bleak names them. hci: host:port."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        hci: str,
        **_: Any,
    ) -> None:
        super().__init__(address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout)
        self._hci = hci
        self._adapter: _Adapter | None = None
        self._connection: Connection | None = None
        self._subscribers: dict[int, Callable[[bytes], Any]] = {}

    @property
    def name(self) -> str:
        return self.address

    @property
    def mtu_size(self) -> int:
        return self._connection.att_mtu if self._connection else 23

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        adapter = await _Adapter.get(self._hci)
        try:
            async with asyncio.timeout(self._timeout):
                async with adapter.connecting:
                    address = hci.Address(self.address, hci.Address.RANDOM_DEVICE_ADDRESS)
                    connection = await adapter.device.connect(address, timeout=self._timeout)
                self._adapter, self._connection = adapter, connection
                adapter.clients.add(self)
                connection.on(Connection.EVENT_DISCONNECTION, self._ended)
                peer = Peer(connection)
                await peer.request_mtu(_MTU)
                await peer.discover_all()
                self.services = self._collect(peer)
        except BaseBumbleError as error:
            await self.disconnect()
            raise BleakError(f"{self.address} does not answer: {error}") from error
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self) -> None:
        connection = self._connection
        self._disconnected_callback = None  # called of what is unasked only
        self.lost()
        if connection is not None:
            try:
                async with asyncio.timeout(_UP_S):
                    await connection.disconnect()
            except (TimeoutError, BaseBumbleError):
                pass  # it is gone already

    def _ended(self, reason: int) -> None:
        self.lost()

    def lost(self) -> None:
        """The connection is gone."""
        adapter, self._adapter = self._adapter, None
        if adapter is not None:
            adapter.clients.discard(self)
        if self._connection is not None:
            self._connection = None
            if self._disconnected_callback is not None:
                self._disconnected_callback()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    async def unpair(self) -> None:
        raise NotImplementedError

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._do(_proxy(characteristic).read_value()))

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **kwargs: Any) -> bytearray:
        raise NotImplementedError

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        await self._do(_proxy(characteristic).write_value(bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        raise NotImplementedError

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        def heard(value: bytes) -> None:
            callback(bytearray(value))

        self._subscribers[characteristic.handle] = heard
        await self._do(_proxy(characteristic).subscribe(heard))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        subscriber = self._subscribers.pop(characteristic.handle, None)
        await self._do(_proxy(characteristic).unsubscribe(subscriber))  # pyright: ignore[reportUnknownMemberType]

    async def _do(self, work: Any) -> Any:
        if self._connection is None:
            work.close()
            raise BleakError("Not connected")
        try:
            return await work
        except BaseBumbleError as error:
            raise BleakError(str(error)) from error

    def _collect(self, peer: Peer) -> BleakGATTServiceCollection:
        found = BleakGATTServiceCollection()
        for service in peer.services:
            entry = BleakGATTService(service, service.handle, service.uuid.to_hex_str("-").lower())
            found.add_service(entry)
            for item in service.characteristics:
                found.add_characteristic(
                    BleakGATTCharacteristic(
                        item,
                        item.handle,
                        item.uuid.to_hex_str("-").lower(),
                        list(gatt_char_props_to_strs(int(item.properties))),
                        lambda: self.mtu_size - 3,
                        entry,
                    )
                )
        return found


def _proxy(characteristic: BleakGATTCharacteristic) -> "CharacteristicProxy[bytes]":
    return cast("CharacteristicProxy[bytes]", characteristic.obj)
