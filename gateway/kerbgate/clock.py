"""The gateway's time, as a seam: what is written down and handed to nodes comes from here and from nowhere else.

`open_clock` takes one string: `system` (the host's clock, trusted when the kernel says that it is disciplined),
`trusted` (the host's clock, trusted on the operator's word), `shared:PATH` (the clock of an emulated world).
Intervals and timeouts never use this clock: they run on time.monotonic, which no one sets.
"""

import ctypes
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Protocol

from kerbgate.errors import ClockError

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_STA_UNSYNC = 0x0040
_CHECK_INTERVAL_S = 1.0

_SHARED = struct.Struct("<QqqdQ")
_SYNCHRONISED = 1
_READ_ATTEMPTS = 1000  # a writer holds the sequence odd for microseconds


class Clock(Protocol):
    """Where time comes from."""

    def utc(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z, UTC."""
        ...

    def synchronised(self) -> bool:
        """Whether this time may be handed to a node."""
        ...

    def pace(self) -> float:
        """Its seconds in a second of the host: 1, but for an emulated world."""
        ...


def open_clock(source: str) -> Clock:
    """The clock that a configuration names; ClockError for anything else."""
    if source == "system":
        return SystemClock()
    if source == "trusted":
        return SystemClock(trusted=True)
    if source.startswith("shared:"):
        return SharedClock(Path(source[len("shared:") :]))
    raise ClockError(f"clock source {source!r} is not known", "use system, trusted, or shared:PATH")


class SystemClock:
    """The host's clock. Synchronised when adjtimex(2) says so, or when the operator does (`trusted`)."""

    def __init__(self, *, trusted: bool = False):
        self._trusted = trusted
        self._checked_at = float("-inf")
        self._state = trusted

    def utc(self) -> float:
        return time.time()

    def pace(self) -> float:
        return 1.0

    def synchronised(self) -> bool:
        if self._trusted:
            return True
        now = time.monotonic()
        if now - self._checked_at >= _CHECK_INTERVAL_S:
            self._state = kernel_synchronised()
            self._checked_at = now
        return self._state


def kernel_synchronised() -> bool:
    """What the kernel's clock discipline says (adjtimex with no modes set); False where it cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    timex = _Timex()  # modes = 0: read only
    state = adjtimex(ctypes.byref(timex))
    return 0 <= state < _TIME_ERROR and not timex.status & _STA_UNSYNC


class _Timex(ctypes.Structure):
    """The head of struct timex (adjtimex(2)); `rest` is room for its tail, 208 bytes in all on 64-bit Linux."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


class SharedClock:
    """The clock of an emulated world, read from a 40-byte memory-mapped file that the world writes.

    Little endian: u64 sequence (odd while it is written), i64 virtual time (Unix microseconds), i64 CLOCK_MONOTONIC
    nanoseconds at which it held, f64 rate (virtual seconds per real second since), u64 flags (bit 0: synchronised).
    """

    def __init__(self, path: Path):
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), _SHARED.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ClockError(
                f"the shared clock {path} cannot be read: {error}", "start the emulated world first, then the gateway"
            ) from error

    def utc(self) -> float:
        _, virtual_us, at_ns, rate, _ = self._read()
        return virtual_us / 1e6 + (time.monotonic_ns() - at_ns) / 1e9 * rate

    def synchronised(self) -> bool:
        return bool(self._read()[4] & _SYNCHRONISED)

    def pace(self) -> float:
        return self._read()[3]

    def _read(self) -> tuple[int, int, int, float, int]:
        for _ in range(_READ_ATTEMPTS):
            before = self._map[: _SHARED.size]
            fields = _SHARED.unpack(before)
            if fields[0] % 2 == 0 and self._map[:8] == before[:8]:
                return fields
            os.sched_yield()
        raise ClockError("the shared clock is being written without end", "restart the emulated world")


def write_shared(file: mmap.mmap, utc: float, rate: float, synchronised: bool = True) -> None:
    """Set a shared clock. One writer a file; readers retry while the sequence is odd."""
    sequence = struct.unpack_from("<Q", file, 0)[0] & ~1
    struct.pack_into("<Q", file, 0, sequence + 1)
    struct.pack_into(
        "<qqdQ", file, 8, round(utc * 1e6), time.monotonic_ns(), rate, _SYNCHRONISED if synchronised else 0
    )
    struct.pack_into("<Q", file, 0, sequence + 2)
