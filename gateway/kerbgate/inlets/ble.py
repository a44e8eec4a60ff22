"""The BLE inlet: nodes over Bluetooth Low Energy, one after the other, by bleak.

    ble:        ble:hci0        ble:hci0?site=harbour&connections=6        ble:HOST:PORT?radio=virtual

site: nodes of other sites are left alone; without it every node in range is visited, and a stranger's frames are
counted as such. connections: at a time. radio: another radio than the host's (inlets.ble_radio). A node hangs up when
it has been answered; what it is sent while it is away waits for its next frame.
"""

import asyncio
import random

from kerbgate.errors import InletError
from kerbgate.inlets.base import Counters, LinkUrl, Signal, Take
from kerbgate.inlets.ble_central import MAX_PLACES, PLACES, SILENCE_S, Central, Peer
from kerbgate.inlets.ble_radio import Radio, choose
from kerbwire import gatt

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 15.0  # an adapter that is plugged in again is found within this


class BleInlet:
    """One adapter. `name` is the link string without its options."""

    def __init__(
        self,
        name: str,
        radio: Radio,
        *,
        site: str | None = None,
        connections: int = PLACES,
        silence_s: float = SILENCE_S,
    ):
        self.name = name
        self.counters = Counters()
        self._radio = radio
        self._site = None if site is None else gatt.tag(site)
        self._connections = connections
        self._silence_s = silence_s

    @classmethod
    def from_url(cls, url: LinkUrl) -> "BleInlet":
        """InletError for a link string that is not understood."""
        url.only(site=_site, connections=_connections, radio=str)
        radio = choose(url.rest, url.options.get("radio"))
        connections = _connections(url.options.get("connections", str(PLACES)))
        return cls(f"ble:{url.rest}", radio, site=url.options.get("site"), connections=connections)

    def silence(self) -> None:
        raise InletError(
            f"{self.name} cannot only listen: a node speaks to whoever connects to it, and to nobody else then",
            "leave this inlet out while shadow is on",
        )

    async def run(self, intake: Take) -> None:
        """Visit nodes until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            before = self.counters.opened
            try:
                await self._session(intake)
            except InletError as error:
                self.counters.last_error = f"{error.cause}: {error.hint}"
            if self.counters.opened > before:
                retry_s = FIRST_RETRY_S
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311
            retry_s = min(retry_s * 2, LAST_RETRY_S)

    async def _session(self, intake: Take) -> None:
        """While the adapter works. InletError when it does not."""
        counters = self.counters

        def take(frame: bytes, peer: Peer) -> None:
            counters.frames += 1
            intake.take(frame, _Way(counters, peer))

        def hears(error: InletError | None) -> None:
            if error is not None:
                counters.last_error = f"{error.cause}: {error.hint}"
            counters.opened += error is None and not counters.connected
            counters.connected = error is None

        def ended(peer: Peer) -> None:
            counters.noise += peer.reader.noise + peer.reader.lost
            counters.last_error = central.last_error or counters.last_error

        central = Central(
            self._radio,
            gatt.GATEWAY,
            take,
            places=self._connections,
            site=self._site,
            silence_s=self._silence_s,
            hears=hears,
            ended=ended,
        )
        try:
            await central.run()
        finally:
            counters.connected = False


class _Way:
    """The way that one frame came, and back to its node while it is connected."""

    __slots__ = ("_peer", "counters", "signal")

    def __init__(self, counters: Counters, peer: Peer):
        self.counters = counters
        self.signal = Signal(rssi_dbm=peer.rssi)
        self._peer = peer

    def send(self, frame: bytes) -> bool:
        if self._peer.send(frame):
            self.counters.sent += 1
            return True
        self.counters.unsent += 1
        return False

    def settle(self, kept: bool) -> None:
        """Nothing here acknowledges by itself: a node sends again what no ack names."""


def _site(text: str) -> str:
    if not text:
        raise ValueError("name a site, as in [gateway] of its configuration")
    return text


def _connections(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MAX_PLACES:
        raise ValueError(f"use a number from 1 to {MAX_PLACES}")
    return int(text)
