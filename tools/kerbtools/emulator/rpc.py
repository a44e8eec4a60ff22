"""Calls of an emulated board to the host: 32-byte frames over a socket pair, payload behind.

The board's half is boards/emulated/shims/kerb_rpc.py; the numbers below are the same there.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

FRAME = struct.Struct("<IHHqqq")
MAX_SPENT_US = 1000  # that a board spends on reading its clock before it calls
MAX_PAYLOAD = 4096  # one flash block; the shims cut longer writes


class Op(IntEnum):
    """Operations. a and b are the arguments, -> what the reply's a, b and payload hold."""

    BOOTED = 1  # a: heap in use by the shims, b: heap free
    IDLE = 2  # main.py is over: nothing more happens until a reset
    TICKS = 3  # only to learn the time, which each reply tells
    CLOCK = 4  # -> a: the board's clock, Unix microseconds
    CLOCK_SET = 5  # a: Unix microseconds
    SLEEP = 6  # a: microseconds, negative: for ever
    DEEPSLEEP = 7  # a: milliseconds, negative: for ever; no reply
    RESET = 8  # machine.reset(); no reply
    SOFT_RESET = 9  # the VM starts anew, the chip does not; no reply
    WDT_START = 10  # a: timeout in ms
    WDT_FEED = 11
    RTC_READ = 12  # -> payload: retained memory
    RTC_WRITE = 13  # payload: all of RTC().memory()
    BACKUP_WRITE = 14  # payload: all of mem_backup()
    FLASH_PROGRAM = 15  # a: block, b: offset, payload: data
    FLASH_ERASE = 16  # a: block
    PIN_READ = 17  # a: pin -> a: level
    PIN_WRITE = 18  # a: pin, b: level
    ADC_READ = 19  # a: pin -> a: 0..65535, b: microvolts
    UART_OPEN = 20  # a: uart, b: size of the receive buffer
    UART_ANY = 21  # a: uart -> a: bytes waiting
    UART_READ = 22  # a: uart, b: at most so many bytes -> payload
    UART_WRITE = 23  # a: uart, payload
    UART_WAIT = 24  # a: uart, b: timeout in ms -> a: bytes waiting
    WIRE_RESET = 25  # a: pin -> a: 1 where something is on the one-wire bus
    WIRE_READ = 26  # a: pin -> a: byte
    WIRE_WRITE = 27  # a: pin, b: byte
    WIRE_SCAN = 28  # a: pin -> payload: addresses of 8 bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the board."""

    sequence: int
    op: int
    a: int
    b: int
    spent_us: int  # virtual time that the board has spent by itself since its last call
    payload: bytes


class Channel:
    """The host's end. One call is open at a time: the board waits for its reply."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Call | None:
        """The next call, or None: the board's end is closed. Blocks until the frame is whole."""
        head = self._take(FRAME.size)
        if head is None:
            return None
        sequence, op, length, a, b, spent_us = FRAME.unpack(head)
        payload = self._take(length) if length else b""
        return None if payload is None else Call(sequence, op, a, b, spent_us, payload)

    def reply(self, call: Call, uptime_us: int, a: int = 0, b: int = 0, payload: bytes = b"", error: int = 0) -> None:
        """Answer, with the time since the chip's start; a board that is gone does not mind."""
        try:
            self._socket.sendall(FRAME.pack(call.sequence, error, len(payload), a, b, uptime_us) + payload)
        except OSError as problem:
            if problem.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise

    def set_timeout(self, seconds: float) -> None:
        """From now on `receive` raises TimeoutError after so long."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        self._socket.close()

    def _take(self, count: int) -> bytes | None:
        while len(self._buffer) < count:
            try:
                data = self._socket.recv(FRAME.size + MAX_PAYLOAD)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
