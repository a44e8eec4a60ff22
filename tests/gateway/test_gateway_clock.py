"""Clocks: the host's, and the one that an emulated world shares."""

import ctypes
import mmap
import struct
import threading
import time
from pathlib import Path

import pytest

from kerbgate.clock import SharedClock, SystemClock, kernel_synchronised, open_clock, write_shared
from kerbgate.errors import ClockError


def shared(tmp_path: Path) -> tuple[Path, mmap.mmap]:
    path = tmp_path / "clock"
    path.write_bytes(bytes(40))
    with path.open("r+b") as file:
        return path, mmap.mmap(file.fileno(), 40)


def test_the_shared_clock_runs_at_its_rate(tmp_path: Path) -> None:
    path, writer = shared(tmp_path)
    write_shared(writer, 1_772_323_200.5, rate=0.0)
    clock = open_clock(f"shared:{path}")
    assert clock.utc() == 1_772_323_200.5 and clock.synchronised()
    write_shared(writer, 1_772_323_200, rate=3600.0, synchronised=False)
    before = time.monotonic()
    first = clock.utc()
    while time.monotonic() < before + 0.01:
        pass
    assert clock.utc() - first >= 36 and not clock.synchronised()
    assert struct.unpack_from("<Q", writer)[0] == 4


def test_a_reader_never_sees_half_a_write(tmp_path: Path) -> None:
    path, writer = shared(tmp_path)
    write_shared(writer, 1_000, rate=0.0)
    clock = SharedClock(path)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            write_shared(writer, (1_000, 4_000_000_000)[number % 2], rate=0.0)

    def read() -> float | None:
        try:
            return clock.utc()
        except ClockError:  # this writer never rests, and a reader gives up in bounded time
            return None

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = {read() for _ in range(3000)}
        assert seen & {1_000.0, 4_000_000_000.0} and seen <= {1_000.0, 4_000_000_000.0, None}
    finally:
        stop.set()
        thread.join()


def test_a_clock_that_is_written_without_end_is_an_error(tmp_path: Path) -> None:
    path, writer = shared(tmp_path)
    struct.pack_into("<Q", writer, 0, 1)
    with pytest.raises(ClockError):
        SharedClock(path).utc()


@pytest.mark.parametrize("source", ["gps", "shared:/nowhere/clock", ""])
def test_a_source_that_is_not_understood_is_an_error(source: str) -> None:
    with pytest.raises(ClockError) as caught:
        open_clock(source)
    assert caught.value.hint


def test_the_system_clock_is_trusted_by_the_kernel_or_by_word() -> None:
    assert abs(open_clock("system").utc() - time.time()) < 5
    assert open_clock("trusted").synchronised() is True
    assert SystemClock().synchronised() is kernel_synchronised()
    timex = ctypes.create_string_buffer(1024)
    asked = getattr(ctypes.CDLL(None), "adjtimex", None)
    if asked is not None and asked(timex) == 5:
        assert not kernel_synchronised()
