"""The UDP inlet: one frame a datagram, for cellular nodes behind a private network (an APN, or a VPN of the operator).

    udp:0.0.0.0:5690        udp:[::]:5690

An answer goes to where the newest frame of a node came from: operators keep that way open for a minute or so, which is
enough for an ack and the command behind it. Who a frame is from says its sealed header, never its source. Datagrams
that find no room are dropped and counted: the node has the records until an ack names them.
"""

import asyncio
import ipaddress
import random
import socket
from typing import Any, Protocol, cast

from kerbgate.errors import InletError
from kerbgate.inlets.base import Counters, LinkUrl, Take
from kerbwire.frame import MAX_FRAME

RECEIVE_BUFFER = 1 << 20  # bytes that the kernel holds while the gateway is busy: some 4,000 frames
MAX_UNSENT = 64 * 1024  # bytes for a network that takes none
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0

Source = tuple[Any, ...]  # (host, port), and two more of IPv6


class _Transport(Protocol):
    """What asyncio's datagram transport has, more than its declared type."""

    def sendto(self, data: bytes, addr: Source) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def is_closing(self) -> bool: ...


class UdpInlet:
    """One local address. `name` is that address."""

    def __init__(self, host: str, port: int):
        """host: a numeric address. port: 0 for any that is free; `bound` says which."""
        shown = f"[{host}]" if ":" in host else host
        self.name = f"udp:{shown}:{port}"
        self.counters = Counters()
        self.bound: int | None = None
        self._address = (host, port)
        self._transport: _Transport | None = None
        self._silent = False

    @classmethod
    def from_url(cls, url: LinkUrl) -> "UdpInlet":
        """InletError for a link string that is not understood."""
        url.only()
        host, colon, port = url.rest.removeprefix("//").rpartition(":")
        try:
            address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
            if not colon or not port.isascii() or not port.isdecimal() or not 0 <= int(port) <= 65535:
                raise ValueError("no port")
        except ValueError as error:
            raise InletError(
                f"the inlet {url.text!r} names no address to listen on",
                "write it as udp:0.0.0.0:5690, or with the address of one interface",
            ) from error
        return cls(str(address), int(port))

    def silence(self) -> None:
        self._silent = True

    async def run(self, intake: Take) -> None:
        """Take datagrams until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._session(intake)
                retry_s = FIRST_RETRY_S
            except OSError as error:
                self.counters.last_error = f"{self.name} cannot be opened: {error}"
                retry_s = min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    async def _session(self, intake: Take) -> None:
        """From opening the socket until it is lost. OSError."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Exception | None] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self, intake, ended), local_addr=self._address
        )
        listening: socket.socket = transport.get_extra_info("socket")
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.bound = listening.getsockname()[1]
        self._transport = cast(_Transport, transport)
        self.counters.connected = True
        self.counters.opened += 1
        try:
            error = await ended
            self.counters.last_error = f"{self.name} was lost" + (f": {error}" if error else "")
        finally:
            self.counters.connected = False
            self._transport = None
            transport.abort()

    def send(self, frame: bytes, to: Source) -> bool:
        """Send a frame to where another came from; False, and counted, if it cannot go now."""
        if self._silent:
            return False
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() + len(frame) > MAX_UNSENT:
            self.counters.unsent += 1
            return False
        transport.sendto(frame, to)
        self.counters.sent += 1
        return True


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, inlet: UdpInlet, intake: Take, ended: "asyncio.Future[Exception | None]"):
        self._inlet = inlet
        self._intake = intake
        self._ended = ended

    def datagram_received(self, data: bytes, addr: Source) -> None:
        counters = self._inlet.counters
        if 0 < len(data) <= MAX_FRAME:
            counters.frames += 1
            self._intake.take(data, _Way(self._inlet, addr))
        else:
            counters.noise += 1

    def error_received(self, exc: Exception) -> None:
        """The network said that an answer did not arrive: a node sends again what no ack names."""
        self._inlet.counters.unsent += 1
        self._inlet.counters.last_error = f"{self._inlet.name}: {exc}"

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(exc)


class _Way:
    """The way that one frame came, and back to its node."""

    __slots__ = ("_inlet", "_source", "counters")

    signal = None

    def __init__(self, inlet: UdpInlet, source: Source):
        self.counters = inlet.counters
        self._inlet = inlet
        self._source = source

    def send(self, frame: bytes) -> bool:
        return self._inlet.send(frame, self._source)

    def settle(self, kept: bool) -> None:
        """A datagram is acknowledged by nothing but our ack."""
