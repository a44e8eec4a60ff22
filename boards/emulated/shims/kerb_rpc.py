"""Calls from an emulated board to its host process: one 32-byte frame each way, payload behind it.

Request: sequence, operation, payload length, arguments a and b, microseconds spent since the last call.
Reply: sequence, errno (0: done), payload length, a, b, microseconds since the start, so that most readings of the clock
need no call. The numbers below are shared with kerbtools/emulator/rpc.py; a test compares the two files.
"""

import os
import struct

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

FRAME = "<IHHqqq"

_stream = open(int(os.getenv("KERB_RPC")), "r+b")
_head = bytearray(32)
_sequence = 0
_uptime_us = 0  # at the last reply
_spent_us = 0  # since then: each reading of the clock takes time, so that a loop that waits for a moment ends
READING_US = 20
MAX_SPENT_US = 1000

# What `machine.mem_backup()` hands out, and what the host holds of it: sent ahead of the next call after a change.
backup = bytearray(int(os.getenv("KERB_BACKUP_BYTES")))
_shadow = bytearray(len(backup))


def uptime_us():
    """Microseconds since this start of the chip. Behind another board's or a real gateway's time by at most 1 ms."""
    global _spent_us
    if _spent_us >= MAX_SPENT_US:
        call(TICKS)
    _spent_us += READING_US
    return _uptime_us + _spent_us


def call(operation, a=0, b=0, payload=None):
    """Ask the host; return (a, b) of its answer. OSError(errno)."""
    _flush_backup()
    return _exchange(operation, a, b, payload)[:2]


def fetch(operation, a=0, b=0):
    """Ask the host for bytes; return them. OSError(errno)."""
    _flush_backup()
    data = bytearray(_exchange(operation, a, b, None)[2])
    if data:
        _stream.readinto(data)
    return bytes(data)


def _flush_backup():
    if backup != _shadow:
        _shadow[:] = backup
        _exchange(BACKUP_WRITE, 0, 0, _shadow)


def _exchange(operation, a, b, payload):
    global _sequence, _spent_us, _uptime_us
    _sequence = _sequence + 1 & 0x3FFFFFFF
    struct.pack_into(FRAME, _head, 0, _sequence, operation, len(payload) if payload else 0, a, b, _spent_us)
    try:
        _stream.write(_head)
        if payload:
            _stream.write(payload)
        answered = _stream.readinto(_head)
    except OSError:
        answered = 0
    if not answered:
        os.system("kill -9 $PPID")  # the host is gone; no `except` of the firmware may keep this process alive
    sequence, errno, length, a, b, _uptime_us = struct.unpack_from(FRAME, _head)
    _spent_us = 0
    if sequence != _sequence:
        raise RuntimeError("answer to another call")
    if errno:
        raise OSError(errno)
    return a, b, length


if backup:
    backup[:] = fetch(RTC_READ)
    _shadow[:] = backup
