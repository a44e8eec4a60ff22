"""The serial inlet: frames with COBS and CRC-16 on a port or pty, reopened whenever it vanishes.

USB ports come and go with a cable and with each reset of a board. The inlet tries again for ever, at bounded
intervals, and holds at most MAX_UNSENT bytes for a port that does not take them.
"""

import asyncio
import random

import serial
from serial_asyncio_fast import SerialTransport

from kerbgate.errors import InletError
from kerbgate.inlets.base import Counters, LinkUrl, Take
from kerbwire import line

DEFAULT_BAUD = 115200
MAX_UNSENT = 64 * 1024  # bytes: five seconds at 115,200 baud; an ack older than that is of no use to a node
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0  # a technician who plugs a cable back in waits no longer than this


class SerialInlet:
    """One port. `name` is its path."""

    signal = None  # a wire

    def __init__(self, path: str, baud: int = DEFAULT_BAUD):
        self.name = f"serial:{path}"
        self.counters = Counters()
        self._path = path
        self._baud = baud
        self._transport: SerialTransport | None = None
        self._silent = False

    def silence(self) -> None:
        self._silent = True

    @classmethod
    def from_url(cls, url: LinkUrl) -> "SerialInlet":
        url.only(baud=baud_of)
        if not url.rest.startswith("/"):
            raise InletError(f"the inlet {url.text!r} names no device", "use a path, such as serial:/dev/ttyACM0")
        return cls(url.rest, baud_of(url.options.get("baud", str(DEFAULT_BAUD))))

    async def run(self, intake: Take) -> None:
        """Read until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._session(intake)
                retry_s = FIRST_RETRY_S
            except InletError as error:
                self.counters.last_error = error.cause
                retry_s = min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    def send(self, frame: bytes) -> bool:
        if self._silent:
            return False
        transport = self._transport
        data = line.encode(frame)
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() + len(data) > MAX_UNSENT:
            self.counters.unsent += 1
            return False
        transport.write(data)
        self.counters.sent += 1
        return True

    def settle(self, kept: bool) -> None:
        """A serial line acknowledges nothing by itself: a node sends again what no ack names."""

    async def _session(self, intake: Take) -> None:
        """From opening the port until it is lost. InletError when it cannot be opened."""
        try:
            port = serial.Serial(self._path, self._baud, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise InletError(
                f"{self._path} cannot be opened: {error}", "check cable, path and group (dialout)"
            ) from error
        lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        protocol = _Frames(self.counters, self, intake, lost)
        self._transport = _Transport(asyncio.get_running_loop(), protocol, port)
        self.counters.connected = True
        self.counters.opened += 1
        try:
            error = await lost
            self.counters.last_error = f"{self._path} was lost" + (f": {error}" if error else "")
        finally:
            self.counters.connected = False
            self._transport.abort()  # not close(): that would wait for a port that takes nothing
            self._transport = None
            protocol.drop()


class _Transport(SerialTransport):
    """Stops watching for room to write once everything is written, and ends once.

    serial_asyncio_fast 0.16 goes on watching: its _write_ready then fails on each turn of the loop. And an abort after
    the port was lost tells a protocol that is gone.
    """

    def abort(self) -> None:
        if self._protocol is not None:
            super().abort()

    def _write_ready(self) -> None:
        if self._write_buffer:
            super()._write_ready()
        if not self._write_buffer:
            self._remove_writer()


class _Frames(asyncio.Protocol):
    """Bytes to frames; stops reading while the intake is full, so that the port's own buffer fills instead of ours."""

    def __init__(self, counters: Counters, route: SerialInlet, intake: Take, lost: "asyncio.Future[Exception | None]"):
        self._counters = counters
        self._route = route
        self._intake = intake
        self._lost = lost
        self._reader = line.Reader()
        self._noise_before = counters.noise
        self._transport: SerialTransport | None = None
        self._resume: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, SerialTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        frames = self._reader.feed(data)
        self._counters.noise = self._noise_before + self._reader.noise
        self._counters.frames += len(frames)
        for frame in frames:
            self._intake.take(frame, self._route)
        if self._intake.full and self._resume is None and self._transport is not None:
            self._transport.pause_reading()
            self._resume = asyncio.create_task(self._read_again(), name=f"{self._route.name} waits for room")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(exc)

    def drop(self) -> None:
        if self._resume is not None:
            self._resume.cancel()

    async def _read_again(self) -> None:
        await self._intake.room()
        self._resume = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def baud_of(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1200 <= int(text) <= 4_000_000:
        raise ValueError("use a baud rate from 1200 to 4000000")
    return int(text)
