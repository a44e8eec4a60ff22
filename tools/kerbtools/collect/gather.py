"""A round: each node that advertises is visited, and its frames go into a capture file, sealed as they are.

The file is on the disk after each visit. Nobody is answered, so nothing depends on it. Where the disk takes no more the
round ends: the file keeps the whole records that it has, and the nodes keep everything.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import kerbwire
from kerbgate.errors import ControlError, InletError
from kerbgate.inlets.base import parse_url
from kerbgate.inlets.ble_central import Central, Peer
from kerbgate.inlets.ble_radio import Radio, choose
from kerbwire import capture, frame, gatt
from kerbwire.errors import WireError

RETRY_S = 2.0  # after an adapter's fault
MAX_NODES = 65536


@dataclass(slots=True)
class Found:
    """What came of one node. hellos: frames with a life in the clear: it has not met its gateway since its start."""

    frames: int = 0
    size: int = 0
    hellos: int = 0
    rssi: int = 0


class Round:
    """One file. tell: takes a line for the technician. ControlError where the file cannot be made."""

    def __init__(self, path: Path, radio: Radio, site: str | None, tell: Callable[[str], object]):
        self.nodes: dict[int, Found] = {}
        self._tell = tell
        self._radio = radio
        self._site = None if site is None else gatt.tag(site)
        self._visits: dict[Peer, Counter[int]] = {}  # frames of each node, by connection
        self._broken = asyncio.Event()
        self._failure: ControlError | None = None
        self._path = path
        self._whole = self._safe = 0  # bytes of whole records in the file, and of those that are on the disk
        self._writer = capture.Writer("ble:", round(time.time() * 1000), f"kerb {kerbwire.__version__}")
        self._began_ns = _steady_ns()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise ControlError(f"{path} exists already", "name another file: a round is never written over") from error
        except OSError as error:
            raise _refused(path, error) from error
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            self._append(self._writer.start())
            os.fsync(descriptor)
            _sync_folder(path.parent)  # else the file's name may be gone with the power, and the whole round with it
        except OSError as error:
            self._file.close()
            path.unlink(missing_ok=True)
            raise _refused(path, error) from error
        self._safe = self._whole

    async def run(self, span_s: float | None) -> None:
        """For so long, or until it is cancelled. InletError where there is no adapter at the start; ControlError where
        the file takes no more."""
        end = None if span_s is None else time.monotonic() + span_s
        worked = False
        while end is None or time.monotonic() < end:
            central = Central(
                self._radio, gatt.ROUND, self._take, site=self._site, hears=self._hears, ended=self._ended
            )
            try:
                async with asyncio.timeout(None if end is None else max(end - time.monotonic(), 0)):
                    await self._visit(central)
            except TimeoutError:
                return
            except InletError as error:
                if not (worked or central.tally.scans):
                    raise
                self._tell(f"{error.cause}; {error.hint}")
                await asyncio.sleep(RETRY_S)
            worked = True

    async def _visit(self, central: Central) -> None:
        """Until the adapter fails, InletError, or the file does, ControlError."""
        work, broken = asyncio.create_task(central.run()), asyncio.create_task(self._broken.wait())
        try:
            await asyncio.wait({work, broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            broken.cancel()
            work.cancel()
            await asyncio.wait({work})
        if self._failure is not None:
            raise self._failure
        work.result()

    def close(self) -> None:
        if not self._file.closed:
            self._sync()
            self._file.close()

    def _hears(self, error: InletError | None) -> None:
        self._tell(f"{self._radio.name} listens" if error is None else f"{error.cause}; {error.hint}")

    def _take(self, data: bytes, peer: Peer) -> None:
        try:
            header = frame.parse(data)
        except WireError:
            return  # nobody's: the gateway would refuse it
        if header.space != frame.UP or (header.node not in self.nodes and len(self.nodes) >= MAX_NODES):
            return
        offset_us = (_steady_ns() - self._began_ns) // 1000
        if not self._write(self._writer.record(offset_us, capture.UP, 0, data)):
            return
        found = self.nodes.setdefault(header.node, Found())
        found.frames += 1
        found.size += len(data)
        found.hellos += bool(header.context)
        found.rssi = peer.rssi
        self._visits.setdefault(peer, Counter())[header.node] += 1

    def _ended(self, peer: Peer) -> None:
        """A node has hung up: what it said is safe before anything else is."""
        self._sync()
        visit = self._visits.pop(peer, Counter[int]())
        if self._failure is not None:
            return
        for node, frames in visit.items():
            found = self.nodes[node]
            note = ", only hello: it has yet to meet its gateway" if found.hellos == found.frames else ""
            self._tell(f"node {node}: {frames} frames, {found.size} bytes in all, {peer.rssi} dBm{note}")
        if not visit and not peer.frames:
            name = f"node {peer.node}" if peer.node is not None else peer.address
            self._tell(f"{name}: lost before it spoke, {peer.rssi} dBm: go nearer, it will try again")

    def _write(self, record: bytes) -> bool:
        """Write a record whole, or not at all; False: not."""
        if self._failure is not None:
            return False
        try:
            self._append(record)
        except OSError as error:
            self._fail(error, self._whole)
            return False
        return True

    def _append(self, data: bytes) -> None:
        if self._file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._whole += len(data)

    def _sync(self) -> None:
        if self._failure is not None:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._fail(error, self._safe)
            return
        self._safe = self._whole

    def _fail(self, error: OSError, size: int) -> None:
        """The round is over; the file ends with its last whole record."""
        with contextlib.suppress(OSError):  # then a reader skips what is torn at its end
            self._file.truncate(size)
            os.fsync(self._file.fileno())
        self._failure = ControlError(
            f"the round is over: {self._path} takes no more ({error.strerror}); what it has is whole",
            f"make room and begin another file; this one is good: kerb collect hand {self._path}",
        )
        self._broken.set()


def radio_of(link: str) -> Radio:
    """The adapter of a link string. InletError."""
    url = parse_url(link)
    if url.scheme != "ble":
        raise InletError(f"{link!r} is no Bluetooth", "write ble:, or ble:hci1 for the second adapter")
    url.only(radio=str)
    return choose(url.rest, url.options.get("radio"))


def _refused(path: Path, error: OSError) -> ControlError:
    """A file that could not be begun; nothing of it is left."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ControlError(f"no room for a round on this disk: {path}", "make room, or name a file elsewhere")
    return ControlError(f"{path} cannot be written: {error.strerror}", "name another file")


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # a system on which a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _steady_ns() -> int:
    """A clock that nobody sets and that goes on while the laptop sleeps, where the system has one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)
