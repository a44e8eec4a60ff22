"""Calls from an emulated board to its host process: one 32-byte frame each way, payload behind it.

Request: sequence, operation, payload length, arguments a and b, microseconds spent since the last call.
Reply: sequence, errno (0: done), payload length, a, b, microseconds since the start, so that most readings of the clock
need no call. The numbers below are shared with kerbtools/emulator/rpc.py; a test compares the two files.

MicroPython raises the KeyboardInterrupt of a Ctrl-C at the next jump of its bytecode. An exchange with the host, and
the whole of a flash operation, are therefore written without any jump (no if, loop, try, and, or): they are never
broken off half way, as on a board, where both are C. Choices are made by indexing a tuple instead.
"""

import os
import struct
from array import array

BOOTED = 1
IDLE = 2
TICKS = 3
CLOCK = 4
CLOCK_SET = 5
SLEEP = 6
DEEPSLEEP = 7
RESET = 8
SOFT_RESET = 9
WDT_START = 10
WDT_FEED = 11
RTC_READ = 12
RTC_WRITE = 13
BACKUP_WRITE = 14
FLASH_PROGRAM = 15
FLASH_ERASE = 16
PIN_READ = 17
PIN_WRITE = 18
ADC_READ = 19
UART_OPEN = 20
UART_ANY = 21
UART_READ = 22
UART_WRITE = 23
UART_WAIT = 24
WIRE_RESET = 25
WIRE_READ = 26
WIRE_WRITE = 27
WIRE_SCAN = 28
KBD_INTR = 29
EVENTS = 40
TIMER_SET = 41
PIN_MODE = 42
PIN_IRQ = 43
WAKE_PINS = 44
LIGHTSLEEP = 45
WAKE_REASON = 46
PWM_SET = 47
I2C_WRITE = 48
I2C_READ = 49
I2C_SCAN = 50
SPI_TRANSFER = 51
POLL = 52
WIFI_ACTIVE = 53
WIFI_CONNECT = 54
WIFI_DISCONNECT = 55
WIFI_STATUS = 56
WIFI_SCAN = 57
NET_RESOLVE = 58
SOCKET_OPEN = 59
SOCKET_CONNECT = 60
SOCKET_SEND = 61
SOCKET_RECEIVE = 62
SOCKET_CLOSE = 63
PIN_PULSE = 64
LINE_SEND = 65
LINE_HEAR = 66
SOCKET_BIND = 67
BLE = 80

FRAME = "<IHHqqq"

_stream = open(int(os.getenv("KERB_RPC")), "r+b")
_head = bytearray(32)
_sequence = 0
_uptime_us = 0  # at the last reply
_spent_us = 0  # since then: each reading of the clock takes time, so that a loop that waits for a moment ends
READING_US = 20
MAX_SPENT_US = 1000
_trusted_us = MAX_SPENT_US  # so long the time of the last reply is good enough; 0 at the REPL
EVENTS_DUE = 0x8000  # added to the errno of a reply: a timer or a pin interrupts
BROKEN_OFF = 4  # EINTR: a wait was broken off by Ctrl-C; asked again, it goes on where it was

attend = None  # what runs the handlers, once there are any (kerb_irq)
_due = False

# What `machine.mem_backup()` hands out, and what the host holds of it: sent ahead of the next call after a change.
# 32-bit words, as the registers are.
backup = array("I", bytes(int(os.getenv("KERB_BACKUP_BYTES"))))
_shadow = array("I", backup)


def uptime_us():
    """Microseconds since this start of the chip. Behind another board's or a real gateway's time by at most 1 ms."""
    global _spent_us
    if _spent_us >= _trusted_us:
        call(TICKS)
    _spent_us += READING_US
    return _uptime_us + _spent_us


def always_ask():
    """From now on each reading of the clock asks the host: at the REPL, time passes between two calls."""
    global _trusted_us
    _trusted_us = 0


def call(operation, a=0, b=0, payload=b""):
    """Ask the host; return (a, b) of its answer. OSError(errno)."""
    return _ask(operation, a, b, payload)[:2]


def fetch(operation, a=0, b=0, payload=b""):
    """Ask the host for bytes; return them. OSError(errno)."""
    return bytes(_ask(operation, a, b, payload)[2])


def store(operation, block, offset=0, data=b""):
    """Program or erase flash; return 0 or a negative errno, as block devices do. Holds no jump: see above."""
    _SEND_BACKUP[backup != _shadow]()
    return -_exchange(operation, block, offset, data)[3]


def _ask(operation, a, b, payload):
    global _sequence
    _SEND_BACKUP[backup != _shadow]()
    try:
        answer = _exchange(operation, a, b, payload or b"")
        while answer[3] == BROKEN_OFF:
            answer = _exchange(operation, a, b, payload or b"")
    except OSError:
        _die()
    except KeyboardInterrupt:
        _sequence = _sequence + 1 & 0x3FFFFFFF  # it is not asked again
        raise
    if _due:
        attend(operation)
    if answer[3]:
        raise OSError(answer[3])
    return answer


def _exchange(operation, a, b, payload):
    """Returns (a, b, payload, errno) of the answer. Holds no jump: see above."""
    global _due, _sequence, _spent_us, _uptime_us
    struct.pack_into(FRAME, _head, 0, _sequence, operation, len(payload), a, b, _spent_us)
    _stream.write(_head)
    _stream.write(payload)
    _DIE_UNLESS[_stream.readinto(_head) == 32]()
    _, errno, length, a, b, _uptime_us = struct.unpack_from(FRAME, _head)
    data = _RECEIVE[length > 0](length)
    _spent_us = 0
    _due = errno >= EVENTS_DUE
    errno &= EVENTS_DUE - 1
    _sequence = _sequence + (errno != BROKEN_OFF) & 0x3FFFFFFF
    return a, b, data, errno


def _nothing(length=0):
    return b""


def _receive(length):
    data = bytearray(length)
    _stream.readinto(data)
    return data


def _send_backup():
    _shadow[:] = backup
    _exchange(BACKUP_WRITE, 0, 0, bytes(_shadow))


def _die():
    os.system("kill -9 $PPID")  # the host is gone; no `except` of the firmware may keep this process alive


_SEND_BACKUP = _nothing, _send_backup
_DIE_UNLESS = _die, _nothing
_RECEIVE = _nothing, _receive

if backup:
    backup[:] = array("I", fetch(RTC_READ))
    _shadow[:] = backup
