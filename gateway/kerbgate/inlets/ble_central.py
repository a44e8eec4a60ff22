"""Who goes to the nodes over Bluetooth Low Energy: scans for their service, connects, listens, and goes to the next.

    a node advertises -> it waits here -> connect, subscribe, say who we are -> frames both ways -> it hangs up

A few nodes are connected at a time, one connection is made at a time (BlueZ refuses a second), and who waits longest
comes first. Everything has an end: a connection that says nothing, one that talks for ever, an address that was never
worth it. Scans die without a word (bleak#887): when nothing was heard for a while the scan is begun anew.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from kerbgate.errors import InletError
from kerbgate.inlets.ble_radio import Radio, deaf, fault, gone
from kerbwire import gatt
from kerbwire.fragment import MAX_NOTIFICATION, MIN_NOTIFICATION, Reader, split
from kerbwire.frame import MAX_FRAME

PLACES = 4  # connections at a time: cheap adapters bear seven, and some are the host's own
MAX_PLACES = 16
SILENCE_S = 300.0  # without any advertisement of a node, until the scan is begun anew
LOOK_S = 10.0  # before that, so long for anybody's: a street with people is seldom without
DEAF_LOOKS = 3  # in a row that heard nobody, where others did: the radio is deaf
LONELY_S = 26 * 3600.0  # without a node, where nobody else was ever heard: longer than bins are silent
CONNECT_S = 15.0
STEP_S = 5.0  # for one write, or one order to the adapter
IDLE_S = 20.0  # a connection without a frame; a node hangs up by itself
WANTED_S = 3.0  # the same, where others wait
LONGEST_S = 120.0  # a connection in all
WAITING_S = 12.0  # since it was last heard: a node advertises for 10 s
TICK_S = 1.0
MAX_WAITING = 256  # nodes heard that have no place yet: more are not noted, and are heard again
MAX_SHUNNED = 1024  # addresses that were not worth it, the newest
FIRST_SHUN_S, LAST_SHUN_S = 5.0, 300.0
MAX_DOWN = 16  # frames that wait for one node: acks and a command behind them


@dataclass(slots=True)
class Heard:
    """A node that advertises. node: what its name says, or None."""

    device: BLEDevice
    node: int | None
    rssi: int
    at_s: float


class Peer:
    """A node while it is connected. frames, noise, lost: what came of it, as of kerbwire.fragment's Reader."""

    def __init__(self, heard: Heard):
        self.address = heard.device.address
        self.node = heard.node
        self.rssi = heard.rssi
        self.frames = 0
        self.began_s = self.last_s = time.monotonic()
        self.reader = Reader()
        self.gone = asyncio.Event()
        self.has_down = asyncio.Event()
        self.down: deque[bytes] = deque()

    def send(self, frame: bytes) -> bool:
        """Queue a frame to it; False: it is gone, too much waits, or it is no frame by its length."""
        if self.gone.is_set() or len(self.down) >= MAX_DOWN or not 0 < len(frame) <= MAX_FRAME:
            return False
        self.down.append(frame)
        self.has_down.set()
        return True


@dataclass(slots=True)
class Tally:
    """What has happened since the start. failed: connections that came to nothing."""

    heard: int = 0
    connections: int = 0
    failed: int = 0
    lost: int = 0
    noise: int = 0
    scans: int = 0


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncGenerator[None]:
    """asyncio.timeout around what bleak does. A cancellation that is lost below is raised here: asyncio.wait_for of
    Python 3.11 drops one that comes with its result (cpython#86296), and an inlet would never end."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds):
            yield
    finally:  # its result may have been an error
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


class Central:
    """listens: gatt.GATEWAY or gatt.ROUND. site: a tag of kerbwire.gatt; nodes of other sites are left alone.

    take(frame, peer) hears of each frame; ended(peer) of each connection's end; hears(None) when it works, hears(error)
    when it seems deaf. silence_s: as SILENCE_S.
    """

    def __init__(
        self,
        radio: Radio,
        listens: int,
        take: Callable[[bytes, Peer], None],
        *,
        places: int = PLACES,
        site: int | None = None,
        silence_s: float = SILENCE_S,
        hears: Callable[[InletError | None], None] = lambda error: None,
        ended: Callable[[Peer], None] = lambda peer: None,
    ):
        self.tally = Tally()
        self._radio = radio
        self._listens = listens
        self._take = take
        self._places = places
        self._site = site
        self._silence_s = silence_s
        self._hears = hears
        self._ended = ended
        self._waiting: dict[str, Heard] = {}
        self._talks: dict[str, tuple[Peer, asyncio.Task[None]]] = {}
        self._shunned: dict[str, tuple[int, float]] = {}  # failures in a row, until when
        self._changed = asyncio.Event()
        self._joining: Peer | None = None  # to which a connection is being made
        self._node_s = self._quiet_s = time.monotonic()  # since when: no node, nothing at all or a look
        self._empty_looks = 0  # in a row
        self._has_crowd = False  # a look has heard somebody
        self._is_deaf = False
        self.last_error: str | None = None

    async def run(self) -> None:
        """Until it is cancelled, or the adapter fails: InletError."""
        scanner = await self._scan()
        self._hears(None)
        try:
            while True:
                self._admit()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._changed.wait()
                self._changed.clear()
                self._end_idle()
                if not self._radio.there():
                    raise gone(self._radio.name)
                if time.monotonic() - self._quiet_s > self._silence_s and not self._talks:
                    await self._stop(scanner)
                    await self._look()
                    scanner = await self._scan()
        finally:
            talks = [task for _, task in self._talks.values()]
            for task in talks:
                task.cancel()
            if talks:
                await asyncio.wait(talks, timeout=2 * STEP_S)
            self._waiting.clear()
            await self._stop(scanner)

    # The scan.

    async def _scan(self) -> BleakScanner:
        scanner = BleakScanner(self._found, [gatt.SERVICE], **self._radio.scanner)
        await self._start(scanner)
        self._quiet_s = time.monotonic()
        self.tally.scans += 1
        return scanner

    async def _start(self, scanner: BleakScanner) -> None:
        try:
            async with _within(2 * STEP_S):
                await scanner.start()
        except asyncio.CancelledError:
            await self._stop(scanner)  # it may run already
            raise
        except Exception as error:  # bleak lets through what D-Bus raises: the edge to the adapter
            raise fault(self._radio.name, error) from error

    async def _stop(self, scanner: BleakScanner) -> None:
        with contextlib.suppress(Exception):  # it is let go of either way, and the next start says what is wrong
            async with _within(STEP_S):
                await scanner.stop()

    async def _look(self) -> None:
        """No node was heard for a while: is anybody?"""
        anybody = asyncio.Event()

        def found(device: BLEDevice, said: AdvertisementData) -> None:
            anybody.set()
            if gatt.SERVICE in said.service_uuids:
                self._found(device, said)

        scanner = BleakScanner(found, **self._radio.scanner)
        await self._start(scanner)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await anybody.wait()
        await self._stop(scanner)
        if anybody.is_set():
            self._has_crowd = True
            self._is_heard()
            return
        self._empty_looks += 1
        is_lonely = time.monotonic() - self._node_s > LONELY_S
        if not self._is_deaf and self._empty_looks >= DEAF_LOOKS and (self._has_crowd or is_lonely):
            self._is_deaf = True
            self._hears(deaf(self._radio.name))

    def _is_heard(self) -> None:
        self._empty_looks = 0
        if self._is_deaf:
            self._is_deaf = False
            self._hears(None)

    def _found(self, device: BLEDevice, said: AdvertisementData) -> None:
        now_s = self._node_s = self._quiet_s = time.monotonic()
        self.tally.heard += 1
        self._is_heard()
        named = gatt.named(said.local_name)
        if self._site is not None and (named is None or named[1] != self._site):
            return
        if device.address in self._talks or now_s < self._shunned.get(device.address, (0, 0.0))[1]:
            return
        known = self._waiting.get(device.address)
        if known is not None:
            known.at_s, known.rssi, known.device = now_s, said.rssi, device
        elif len(self._waiting) < MAX_WAITING:
            self._waiting[device.address] = Heard(device, named[0] if named else None, said.rssi, now_s)
            self._changed.set()

    # The nodes in turn.

    def _admit(self) -> None:
        now_s = time.monotonic()
        for address, heard in list(self._waiting.items()):
            if now_s - heard.at_s > WAITING_S:
                del self._waiting[address]
            elif len(self._talks) < self._places and self._joining is None:
                del self._waiting[address]
                self._joining = peer = Peer(heard)
                self._talks[address] = peer, asyncio.create_task(self._visit(heard, peer), name=f"ble {address}")

    def _end_idle(self) -> None:
        now_s = time.monotonic()
        most_s = WANTED_S if self._waiting and len(self._talks) >= self._places else IDLE_S
        for peer, _ in self._talks.values():
            if now_s - peer.last_s > most_s + CONNECT_S * (not peer.frames) or now_s - peer.began_s > LONGEST_S:
                peer.gone.set()

    async def _visit(self, heard: Heard, peer: Peer) -> None:
        """One connection, from its making to its end; whatever it raises is counted here."""
        try:
            await self._talk(heard.device, peer)
        except Exception as error:  # the edge of one connection: the others go on
            self.tally.failed += 1
            self.last_error = f"{peer.address}: {type(error).__name__}: {error}"
        finally:
            self._joined(peer)
            peer.gone.set()
            self.tally.lost += peer.reader.lost
            self.tally.noise += peer.reader.noise
            del self._talks[peer.address]
            self._judge(peer)
            self._ended(peer)
            self._changed.set()

    def _joined(self, peer: Peer) -> None:
        """Its connection is made, or is not: the next one's turn."""
        if self._joining is peer:
            self._joining = None
            self._changed.set()

    def _judge(self, peer: Peer) -> None:
        """Leave an address alone for longer and longer that never says anything."""
        failures = 0 if peer.frames else self._shunned.pop(peer.address, (0, 0.0))[0] + 1
        self._shunned.pop(peer.address, None)
        if failures:
            span_s = min(FIRST_SHUN_S * 2 ** (failures - 1), LAST_SHUN_S) if failures > 1 else 0.0
            self._shunned[peer.address] = failures, time.monotonic() + span_s
            if len(self._shunned) > MAX_SHUNNED:
                del self._shunned[next(iter(self._shunned))]

    async def _talk(self, device: BLEDevice, peer: Peer) -> None:
        client = BleakClient(device, lambda _: peer.gone.set(), timeout=CONNECT_S, **self._radio.client)

        def notified(_: BleakGATTCharacteristic, data: bytearray) -> None:
            frame = peer.reader.feed(bytes(data))
            if frame is not None:
                peer.frames += 1
                peer.last_s = time.monotonic()
                self._take(frame, peer)

        try:
            try:
                async with _within(CONNECT_S + STEP_S):
                    await client.connect()
            finally:
                self._joined(peer)
            peer.began_s = peer.last_s = time.monotonic()
            self.tally.connections += 1
            place = client.services.get_characteristic(gatt.DOWN)
            if place is None:
                raise InletError(f"{peer.address} has another service", "it is no node of ours")
            async with _within(2 * STEP_S):
                await client.start_notify(gatt.UP, notified)
                await client.write_gatt_char(place, bytes((self._listens,)), response=True)
            await self._write(client, place, peer)
        finally:
            with contextlib.suppress(Exception):  # it may be gone, and then it is what is wanted
                async with _within(STEP_S):
                    await client.disconnect()

    async def _write(self, client: BleakClient, place: BleakGATTCharacteristic, peer: Peer) -> None:
        """Hand on what is queued for it, until it is gone."""
        gone = asyncio.create_task(peer.gone.wait(), name=f"ble {peer.address} ends")
        number = 0
        try:
            while not peer.gone.is_set():
                size = min(max(place.max_write_without_response_size, MIN_NOTIFICATION), MAX_NOTIFICATION)
                while peer.down:
                    for part in split(peer.down.popleft(), number, size):
                        async with _within(STEP_S):
                            await client.write_gatt_char(place, part, response=False)
                    number += 1
                peer.has_down.clear()
                more = asyncio.create_task(peer.has_down.wait(), name=f"ble {peer.address} waits")
                await asyncio.wait({gone, more}, return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
        finally:
            gone.cancel()
