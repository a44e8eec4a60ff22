"""What inlets on a serial port share: a port that is reopened whenever it vanishes, and a line that is read as the
intake has room.

USB ports come and go with a cable and with each reset of a board. A port is tried again for ever, at bounded intervals,
and at most MAX_UNSENT bytes are held for one that does not take them.
"""

import asyncio
import random
from abc import ABC, abstractmethod

import serial
from serial_asyncio_fast import SerialTransport

from kerbgate.errors import InletError
from kerbgate.inlets.base import Counters, Take
from kerbwire import line

MAX_UNSENT = 64 * 1024  # bytes: five seconds at 115,200 baud; an ack older than that is of no use to a node
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0  # a technician who plugs a cable back in waits no longer than this

Lost = asyncio.Future[Exception | None]


class PortInlet(ABC):
    """One port, by its path. `name` is scheme:path."""

    def __init__(self, scheme: str, path: str, baud: int, hint: str):
        """hint: what to check where the port cannot be opened."""
        self.name = f"{scheme}:{path}"
        self.counters = Counters()
        self.path = path
        self._baud = baud
        self._hint = hint
        self._transport: SerialTransport | None = None
        self._silent = False

    def silence(self) -> None:
        self._silent = True

    async def run(self, intake: Take) -> None:
        """Read until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._session(intake)
                retry_s = FIRST_RETRY_S
            except InletError as error:
                self.counters.last_error = self.told(error)
                retry_s = min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    @abstractmethod
    def line(self, intake: Take, lost: Lost) -> "PortLine":
        """The protocol of a port that was opened."""
        ...

    @abstractmethod
    async def watch(self, lost: Lost) -> None:
        """From there until the port is lost. InletError where what is at its end will not do."""
        ...

    def told(self, error: InletError) -> str:
        """An error as `last_error`."""
        return error.cause

    def write(self, data: bytes) -> bool:
        """Put a frame or message on the line; False if the port is down or takes nothing."""
        transport = self._transport
        encoded = line.encode(data)
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(encoded) > MAX_UNSENT:
            return False
        transport.write(encoded)
        return True

    async def _session(self, intake: Take) -> None:
        try:
            port = serial.Serial(self.path, self._baud, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise InletError(f"{self.path} cannot be opened: {error}", self._hint) from error
        lost: Lost = asyncio.get_running_loop().create_future()
        protocol = self.line(intake, lost)
        self._transport = _Transport(asyncio.get_running_loop(), protocol, port)
        self.counters.opened += 1
        try:
            await self.watch(lost)
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


class PortLine(asyncio.Protocol, ABC):
    """Bytes to frames; stops reading while the intake is full, so that the port's own buffer fills instead of ours."""

    def __init__(self, inlet: PortInlet, intake: Take, lost: Lost):
        self.reader = line.Reader()
        self._inlet = inlet
        self._intake = intake
        self._lost = lost
        self._noise_before = inlet.counters.noise
        self._transport: SerialTransport | None = None
        self._resume: asyncio.Task[None] | None = None

    @abstractmethod
    def take(self, frame: bytes) -> None:
        """One frame of the line."""

    def noise(self) -> int:
        """What came since the port was opened and was nothing."""
        return self.reader.noise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, SerialTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in self.reader.feed(data):
            self.take(frame)
        self._inlet.counters.noise = self._noise_before + self.noise()
        if self._intake.full and self._resume is None and self._transport is not None:
            self._transport.pause_reading()
            self._resume = asyncio.create_task(self._read_again(), name=f"{self._inlet.name} waits for room")

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
