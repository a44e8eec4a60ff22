"""`bluetooth` for CPython: with it kerbnode.link.ble runs in the host's own process, on a BleAir, without a board.

For tests and load. It stands in for the module; events come at each wait, as on a board.
"""

import json
import os
import struct
import time
from collections.abc import Callable
from typing import Any

from kerbtools.emulator import ble_radio
from kerbtools.emulator.ble_radio import BleRadio
from kerbtools.emulator.radio import Air


class HostBluetooth:
    """The module of one radio. name: what its address follows from."""

    def __init__(self, air: Air, name: str) -> None:
        self.radio = BleRadio(air, name)
        self._ble = HostBle(self.radio)

    def BLE(self) -> "HostBle":
        return self._ble

    def UUID(self, text: str) -> str:
        return text


class HostHal:
    """What a link asks of a node's hal. Waits are real, and hand on the radio's events."""

    def __init__(self, bluetooth: HostBluetooth) -> None:
        self.radio_off: Callable[[], None] | None = None
        self._ble = bluetooth.BLE()

    def ticks_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def ticks_diff(self, end: int, begin: int) -> int:
        return end - begin

    def sleep_ms(self, ms: int) -> None:
        self._ble.attend(ms / 1000)

    def random(self, count: int) -> bytes:
        return os.urandom(count)

    def feed(self) -> None:
        """No watchdog."""


class HostBle:
    """The calls that a node's link makes; errors as OSError."""

    def __init__(self, radio: BleRadio) -> None:
        self._radio = radio
        self._handler: Callable[[int, tuple[Any, ...]], None] | None = None

    def active(self, on: bool) -> None:
        self._radio.answer(ble_radio.ACTIVE, int(on), b"")

    def irq(self, handler: Callable[[int, tuple[Any, ...]], None]) -> None:
        self._handler = handler

    def config(self, mtu: int) -> None:
        self._radio.answer(ble_radio.MTU, mtu, b"")

    def gatts_register_services(self, services: Any) -> tuple[tuple[int, ...], ...]:
        asked = [
            [uuid.replace("-", ""), [[name.replace("-", ""), how] for name, how in items]] for uuid, items in services
        ]
        found = self._radio.answer(ble_radio.REGISTER, 0, json.dumps(asked).encode())[2]
        return tuple(tuple(handles) for handles in json.loads(found))

    def gatts_set_buffer(self, handle: int, size: int) -> None:
        self._radio.answer(ble_radio.ROOM, handle | size << 16, b"")

    def gatts_read(self, handle: int) -> bytes:
        return self._radio.answer(ble_radio.READ, handle, b"")[2]

    def gatts_notify(self, connection: int, handle: int, data: bytes) -> None:
        self._radio.answer(ble_radio.NOTIFY, connection << 16 | handle, data)

    def gap_advertise(self, interval_us: int | None, adv_data: bytes = b"") -> None:
        self._radio.answer(ble_radio.ADVERTISE, interval_us or 0, adv_data)

    def gap_disconnect(self, connection: int) -> None:
        self._radio.answer(ble_radio.DISCONNECT, connection, b"")

    def attend(self, seconds: float) -> None:
        """Wait so long, or until an event has come; then hand on what has come."""
        self._radio.wait(seconds)
        while self._radio.is_on and (data := self._radio.answer(ble_radio.EVENT, 0, b"")[2]):
            event, connection, number = struct.unpack_from("<BBH", data)
            if self._handler is not None:
                self._handler(event, (connection, number, data[4:]))
