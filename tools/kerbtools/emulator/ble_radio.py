"""The Bluetooth radio of an emulated board: what `bluetooth.BLE` of the shims asks for.

Called from the board's thread. Events come from the air's thread, and wait until the board takes them.
"""

import contextlib
import errno
import hashlib
import json
import os
import select
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kerbtools.emulator.radio import Air

if TYPE_CHECKING:  # it needs bumble, which is there where a world has a BleAir
    from kerbtools.emulator.ble_peripheral import Peripheral

# Sub-operations of Op.BLE: the same in boards/emulated/shims/bluetooth.py.
ACTIVE, MTU, REGISTER, ADVERTISE, NOTIFY, DISCONNECT, READ, VALUE, ROOM, EVENT = range(10)
CONNECTED, DISCONNECTED, WRITTEN = 1, 2, 3
MAX_EVENTS = 64  # that wait for a board: more are lost, as in the ports' ring buffer
DEFAULT_ROOM = 20  # bytes of a value, where gatts_set_buffer did not say more
LEAST_MTU = 23
DEFAULT_RSSI = -61

Reply = tuple[int, int, bytes]


class BleRadio:
    """seed: what its address follows from. rssi: dBm at which adapters hear it. nudge: ends a wait of the board.

    heard: writes that have come, which are answers to who waits for one.
    """

    def __init__(self, air: Air, seed: str) -> None:
        raw = bytearray(hashlib.sha256(f"{seed}/ble".encode()).digest()[:6])
        raw[0] |= 0xC0  # a static random address (Bluetooth Core 5.4, vol. 6 part B, section 1.3.2.1)
        self.address = ":".join(f"{byte:02X}" for byte in raw)
        self.nudge: Callable[[], None] = _nobody
        self.heard = 0
        self.rssi = DEFAULT_RSSI
        self.is_on = False
        self.most_mtu = 517  # of a stack that agrees to less
        self._air = air
        self._peripheral: Peripheral | None = None  # None: the world has no BleAir, and nobody hears it
        self._speaks = False
        self._lock = threading.Lock()
        self._events: deque[bytes] = deque()
        self._file = -1  # an event file, while it is on
        self._mtu = LEAST_MTU
        self._values: dict[int, bytes] = {}
        self._rooms: dict[int, int] = {}
        self._handles = 0

    # What a host may wait for.

    def has_peer(self) -> bool:
        """Whether something real may answer: it speaks or is spoken to, and somebody is on the air."""
        peripheral = self._peripheral
        return peripheral is not None and peripheral.air.listens and (self._speaks or peripheral.is_connected)

    def has_events(self) -> bool:
        return bool(self._events)

    def files(self) -> list[int]:
        """What becomes readable with an event."""
        return [self._file] if self.is_on else []

    def wait(self, seconds: float) -> None:
        """Block until an event has come; at most so long."""
        poll = select.poll()
        for file in self.files():
            poll.register(file, select.POLLIN)
        poll.poll(seconds * 1000)

    def power(self, on: bool) -> None:
        """Off, it forgets everything."""
        if on == self.is_on:
            return
        if on:
            self._file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self.is_on = True
            if self._air.ble is not None:
                from kerbtools.emulator.ble_peripheral import Peripheral

                self._air.ble.signals[self.address] = self.rssi
                self._peripheral = Peripheral(self._air.ble, self.address, self._post)
            return
        peripheral, self._peripheral = self._peripheral, None
        if peripheral is not None:
            peripheral.close()
        with self._lock:
            self.is_on = False
            self._events.clear()
            os.close(self._file)
        self._speaks = False
        self._values.clear()
        self._rooms.clear()
        self._handles = 0
        self._mtu = LEAST_MTU

    # Calls of the board.

    def answer(self, what: int, number: int, payload: bytes) -> Reply:
        """One sub-operation. OSError with the errno that the board sees."""
        if what == ACTIVE:
            if number >= 0:
                self.power(number > 0)
            return int(self.is_on), 0, b""
        if not self.is_on:
            raise OSError(errno.ENODEV, "the radio is off")
        peripheral = self._peripheral
        if what == MTU:
            return self._set_mtu(number)
        if what == REGISTER:
            return 0, 0, json.dumps(self._register(json.loads(payload))).encode()
        if what == EVENT:
            return 0, 0, self._take()
        if what == READ:
            return 0, 0, self._values.get(number, b"")
        if what == VALUE:
            self._values[number] = payload
        elif what == ROOM:
            self._rooms[number & 0xFFFF] = number >> 16
        elif what == ADVERTISE:
            self._speaks = number > 0
            if peripheral is not None:
                peripheral.advertise(number / 1000, payload)
        elif what == NOTIFY:
            if peripheral is None or not peripheral.notify(number >> 16, number & 0xFFFF, payload):
                raise OSError(errno.ENOTCONN, "no such connection")
        elif what == DISCONNECT:
            return int(peripheral is not None and peripheral.disconnect(number)), 0, b""
        else:
            raise OSError(errno.EINVAL, f"operation {what}")
        return 0, 0, b""

    def _set_mtu(self, number: int) -> Reply:
        """Negative: the address; 0: what it is; else the largest that it agrees to."""
        if number < 0:
            return 0, 0, bytes.fromhex(self.address.replace(":", ""))
        if number:
            self._mtu = min(max(number, LEAST_MTU), self.most_mtu)
            if self._peripheral is not None:
                self._peripheral.set_mtu(self._mtu)
        return self._mtu, 0, b""

    def _register(self, services: list[Any]) -> list[list[int]]:
        found: list[list[int]] = []
        for uuid, items in services:
            if self._peripheral is not None:
                self._peripheral.set_mtu(self._mtu)
                found.append(self._peripheral.add_service(_dashed(uuid), [(_dashed(item), how) for item, how in items]))
            else:
                found.append([self._handles + at + 1 for at in range(len(items))])
                self._handles += len(items)
        return found

    # Events.

    def _post(self, event: int, connection: int, number: int, data: bytes) -> None:
        """In the air's thread."""
        if event == WRITTEN:
            self.heard += 1
        elif event == CONNECTED:
            self._speaks = False
        with self._lock:
            if self.is_on and len(self._events) < MAX_EVENTS:
                self._events.append(struct.pack("<BBH", event, connection & 0xFF, number) + data)
                os.eventfd_write(self._file, 1)
        self.nudge()

    def _take(self) -> bytes:
        with self._lock:
            event = self._events.popleft() if self._events else b""
            if not self._events:
                self._drain()
        if event and event[0] == WRITTEN:  # both ports tell of a write before they take the next
            handle = int.from_bytes(event[2:4], "little")
            self._values[handle] = event[4:][: self._rooms.get(handle, DEFAULT_ROOM)]
            return event[:4]
        return event

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._file)


def _dashed(text: str) -> str:
    """A UUID as bumble reads it."""
    return text if len(text) < 32 else f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _nobody() -> None:
    pass
