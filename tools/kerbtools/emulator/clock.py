"""The world's clock: virtual microseconds that stand still, run at real pace or jump, shared through a small file.

File, 40 bytes, little endian: u64 sequence (odd while it is written), i64 virtual_us (Unix microseconds),
i64 monotonic_ns (CLOCK_MONOTONIC at which virtual_us held), f64 rate (virtual seconds per real second from then on),
u64 flags (bit 0: synchronised). A reader takes virtual_us + (monotonic_now - monotonic_ns) / 1000 * rate, and tries
again while the sequence is odd or has changed. Time in the file never goes back.
"""

import mmap
import struct
import time
from pathlib import Path

_RECORD = struct.Struct("<QqqdQ")
SIZE = _RECORD.size
SYNCHRONISED = 1


class VirtualClock:
    """Not locked: its world calls it under its own lock. `rate` is 0 (stands still) or 1 (real pace)."""

    def __init__(self, path: Path, start_us: int) -> None:
        self.path = path
        path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        self._sequence = 0
        self._virtual_us = start_us
        self._monotonic_ns = time.monotonic_ns()
        self._rate = 0
        self._flags = SYNCHRONISED
        self._publish()

    @property
    def now_us(self) -> int:
        if not self._rate:
            return self._virtual_us
        return self._virtual_us + (time.monotonic_ns() - self._monotonic_ns) // 1000

    def run(self) -> None:
        """From now on at real pace."""
        self._set(self.now_us, 1)

    def stop(self) -> None:
        """Stand still from now on."""
        self._set(self.now_us, 0)

    def advance_to(self, virtual_us: int) -> None:
        """Jump ahead; a moment that has passed changes nothing."""
        now_us = self.now_us
        if virtual_us > now_us:
            self._set(virtual_us, self._rate)

    def set_synchronised(self, synchronised: bool) -> None:
        """Whether readers may trust the time and hand it on."""
        self._flags = SYNCHRONISED if synchronised else 0
        self._publish()

    def close(self) -> None:
        self._map.close()

    def _set(self, virtual_us: int, rate: int) -> None:
        self._virtual_us = virtual_us
        self._monotonic_ns = time.monotonic_ns()
        self._rate = rate
        self._publish()

    def _publish(self) -> None:
        self._sequence += 1
        struct.pack_into("<Q", self._map, 0, self._sequence)
        _RECORD.pack_into(
            self._map, 0, self._sequence, self._virtual_us, self._monotonic_ns, float(self._rate), self._flags
        )
        self._sequence += 1
        struct.pack_into("<Q", self._map, 0, self._sequence)
