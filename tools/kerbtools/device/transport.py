"""The raw REPL of one board: open, execute, close. The only module that imports mpremote.

mpremote brings the protocol (raw REPL, raw paste with its flow control). Its waits do not end in all cases: on a
pseudo-terminal it blocks in reads of one byte. So it is given a line whose reads end at a deadline, and each operation
here sets one. Whatever goes wrong leaves as one of `kerbtools.device.errors`.
"""

import errno
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from kerbtools.device.errors import (
    BoardRaised,
    DeviceError,
    NoPermission,
    NoPort,
    NotAnswering,
    PortBusy,
    PortGone,
)

POLL_S = 0.05  # a read waits so long for the first byte before it looks at its deadline again
WRITE_TIMEOUT_S = 5.0  # a board that runs takes 128 bytes within milliseconds
ENTER_S = 0.25  # one attempt at the raw REPL; a board that boots meanwhile swallows what was sent
SETTLE_S = 0.1  # without a byte, after several attempts: then the answers to all of them are in
CLOSE_S = 0.5
BAUD = 115200  # of boards behind a bridge; USB ignores it
MAX_OUTPUT = 1 << 22  # bytes that one execution may print: four times the largest file system's listing

_BUSY = (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK)
_DENIED = (errno.EACCES, errno.EPERM)
_ABSENT = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


class Late(Exception):
    """The deadline passed."""


class Line:
    """What mpremote sees of a serial port. `deadline` (monotonic seconds) bounds every read: Late."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port
        self._held = bytearray()
        self.deadline = 0.0

    def read(self, size: int = 1) -> bytes:
        """Exactly `size` bytes."""
        while len(self._held) < size:
            self._fill()
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def read_until(self, ending: bytes) -> bytes:
        """Everything up to and with the first `ending`."""
        searched = 0
        while (at := self._held.find(ending, searched)) < 0:
            searched = max(0, len(self._held) - len(ending) + 1)
            if len(self._held) > MAX_OUTPUT:
                raise Late
            self._fill()
        return self.read(at + len(ending))

    def write(self, data: bytes) -> None:
        if time.monotonic() >= self.deadline:
            raise Late
        self._port.write(data)

    def inWaiting(self) -> int:
        """Bytes that a read gives at once. Late: so a board that prints without end holds nobody up."""
        if time.monotonic() >= self.deadline:
            raise Late
        return len(self._held) + self._port.in_waiting

    def settle(self, quiet_s: float) -> None:
        """Drop all that comes until nothing comes for so long."""
        quiet_at = time.monotonic() + quiet_s
        while time.monotonic() < quiet_at:
            if self._port.read(max(1, self._port.in_waiting)):
                quiet_at = time.monotonic() + quiet_s
            if time.monotonic() >= self.deadline:
                raise Late
        self._held.clear()

    def _fill(self) -> None:
        data = self._port.read(max(1, self._port.in_waiting))
        if data:
            self._held += data
        elif time.monotonic() >= self.deadline:
            raise Late


class _Transport(SerialTransport):
    """mpremote's, on a Line."""

    line: Line

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = None,
        data_consumer: Any = None,
        timeout_overall: float | None = None,
    ) -> bytes:
        return self.line.read_until(ending)


class Repl:
    """A port, opened. Use it as a context manager, or `close` it."""

    def __init__(self, port: str) -> None:
        """NoPort, PortBusy, NoPermission."""
        self.port = port
        try:
            self._transport: Any = _Transport(port, BAUD, timeout=POLL_S)
        except TransportError as error:
            raise _refusal(port) from error
        self._serial: serial.Serial = self._transport.serial
        self._serial.write_timeout = WRITE_TIMEOUT_S
        self._transport.line = self._transport.serial = self._line = Line(self._serial)

    def __enter__(self) -> "Repl":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port; a board that still answers is left at its friendly REPL."""
        if self._transport.in_raw_repl:
            with suppress(DeviceError), self._bounded(CLOSE_S):
                self._transport.exit_raw_repl()
        with suppress(OSError, TransportError):  # a port whose board is gone cannot be closed in style
            self._transport.serial = self._serial
            self._transport.close()

    def interrupt(self, timeout_s: float) -> None:
        """Stop what runs and enter the raw REPL, without a reset. NotAnswering, PortGone."""
        end = time.monotonic() + timeout_s
        attempts = 0
        while True:
            attempts += 1
            try:
                with self._bounded(min(ENTER_S, max(0.0, end - time.monotonic()))):
                    self._transport.enter_raw_repl(soft_reset=False)
                break
            except NotAnswering:
                if time.monotonic() >= end:
                    raise NotAnswering(self.port, timeout_s) from None
        if attempts > 1:
            with self._bounded(timeout_s):
                self._line.settle(SETTLE_S)
                self._transport.enter_raw_repl(soft_reset=False)

    def soft_reset(self, timeout_s: float) -> None:
        """A fresh heap: boot.py runs, main.py does not. NotAnswering, PortGone."""
        with self._bounded(timeout_s):
            self._transport.enter_raw_repl(soft_reset=True)

    def execute(self, code: str, timeout_s: float) -> bytes:
        """Run code; return what it printed. BoardRaised, NotAnswering, PortGone."""
        with self._bounded(timeout_s):
            printed, raised = self._transport.exec_raw(code)
        if raised:
            raise BoardRaised(self.port, raised.decode(errors="replace"))
        return printed

    def leave(self, code: str, timeout_s: float) -> None:
        """Run code that does not come back: a reset. NotAnswering, PortGone."""
        with self._bounded(timeout_s):
            self._transport.exec_raw_no_follow(code)
        self._transport.in_raw_repl = False

    @contextmanager
    def _bounded(self, timeout_s: float) -> Generator[None]:
        self._line.deadline = time.monotonic() + timeout_s
        try:
            yield
        except (Late, serial.SerialTimeoutException, TransportError) as error:
            raise NotAnswering(self.port, timeout_s) from error
        except OSError as error:  # SerialException is one; a port that is open fails only by going away
            raise PortGone(self.port) from error


def _refusal(port: str) -> DeviceError:
    """Why a port does not open. mpremote drops the cause, so it is asked for again."""
    try:
        serial.serial_for_url(port, exclusive=True, timeout=POLL_S).close()
    except OSError as error:
        if error.errno in _ABSENT:
            return NoPort(port)
        if error.errno in _DENIED:
            return NoPermission(port)
        if error.errno in _BUSY:
            return PortBusy(port)
        return PortGone(port)
    except ValueError:  # a URL that pyserial does not know
        return NoPort(port)
    return PortBusy(port)  # it was let go of between the two attempts
