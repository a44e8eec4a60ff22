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
EVENTS_DUE = 0x8000  # added to the errno of a reply: a timer or a pin interrupts the board


class Op(IntEnum):
    """Operations. a and b are the arguments, -> what the reply's a, b and payload hold."""

    BOOTED = 1  # a: heap in use by the shims, b: heap free
    IDLE = 2  # main.py is over: what is left is the REPL. a: 1: in raw mode
    TICKS = 3  # only to learn the time, which each reply tells
    CLOCK = 4  # -> a: the board's clock, Unix microseconds
    CLOCK_SET = 5  # a: Unix microseconds
    SLEEP = (
        6  # a: microseconds, negative: for ever, b: 1: interrupts wait -> a: microseconds left, b: its end since start
    )
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
    KBD_INTR = 29  # a: the character that interrupts, -1: none, what is printed now is not text
    EVENTS = 40  # -> payload: what interrupted, 2 bytes each: kind (1 timer, 2 pin) and number
    TIMER_SET = 41  # a: timer | periodic << 8, b: period in us, 0: stop
    PIN_MODE = 42  # a: pin, b: mode (0 in, 1 out, 2 open drain) | pull (0 none, 1 up, 2 down) << 4
    PIN_IRQ = 43  # a: pin, b: edges that interrupt (1 rising, 2 falling)
    WAKE_PINS = 44  # a: mask of pins, b: source (1 ext0, 2 ext1, 3 gpio) | level << 4; ends a sleep at that level
    LIGHTSLEEP = 45  # a: microseconds, negative: for ever
    WAKE_REASON = 46  # -> a: what ended the last sleep (0 nothing, 2 ext0, 3 ext1, 4 timer, 7 gpio), b: mask of pins
    PWM_SET = 47  # a: pin, b: frequency in Hz << 16 | duty of 65535; negative: off
    I2C_WRITE = 48  # a: sda | scl << 8 | address << 16, b: 1: stop, payload: bytes -> a: bytes acknowledged
    I2C_READ = 49  # a: as I2C_WRITE, b: bytes -> payload
    I2C_SCAN = 50  # a: sda | scl << 8 -> payload: addresses
    SPI_TRANSFER = 51  # a: clock pin, payload: bytes out -> payload: bytes in
    POLL = (
        52  # a: 1: interrupts wait, b: timeout in us, negative: none, payload: 3 bytes each: kind (1 UART, 2 socket),
    )
    # number, flags -> payload: which flags hold
    WIFI_ACTIVE = 53  # a: 1 on, 0 off, negative: ask -> a: state
    WIFI_CONNECT = 54  # payload: ssid, 0, key
    WIFI_DISCONNECT = 55
    WIFI_STATUS = 56  # -> a: state (radio.State), b: rssi in dBm
    WIFI_SCAN = 57  # -> payload: access points, one a line: ssid, bssid in hex, channel, rssi, security, tab-separated
    NET_RESOLVE = 58  # payload: host -> payload: its address
    SOCKET_OPEN = 59  # a: 1: UDP -> a: number
    SOCKET_CONNECT = 60  # a: socket, payload: address:port
    SOCKET_SEND = 61  # a: socket, payload -> a: bytes taken
    SOCKET_RECEIVE = 62  # a: socket, b: at most so many bytes -> payload; empty: the peer has closed
    SOCKET_CLOSE = 63  # a: socket
    PIN_PULSE = 64  # a: pin, b: level -> a: microseconds until the pin has it, b: for how long; negative: for ever
    LINE_SEND = 65  # a: pin of a DALI transmitter, b: microseconds a half bit, payload: its levels, one a byte
    LINE_HEAR = (
        66  # a: pin of a DALI receiver, b: nanoseconds a sample -> payload: its levels from an answer's start on
    )
    SOCKET_BIND = 67  # a: socket, b: port
    BLE = 80  # a: a sub-operation of ble_radio, b: its number, payload: its data -> a, payload


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
