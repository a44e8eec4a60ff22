"""Nodes on a serial line: the master side of a pty, with frames as on a wire. What nobody reads is lost, as there."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from kerbwire import frame, line
from kerbwire.errors import WireError

WINDOW = 64  # frames under way: a street's worth; more would only wait in the pty
PATIENCE_S = 1.0  # without any answer: what is under way is lost, and its nodes send it again later


class Line:
    """`acknowledged` counts the gateway's answers: one to a frame."""

    path: str

    def __init__(self) -> None:
        self.acknowledged = 0
        self._reader = line.Reader()
        self._master = self._slave = -1
        self._heard: Callable[[bytes], None] = lambda data: None
        self._answered = asyncio.Event()

    def open(self, folder: Path, heard: Callable[[bytes], None]) -> None:
        """heard: gets each frame that comes down. The device's name is a link in the folder."""
        import pty  # POSIX only; the bench's other parts load elsewhere too
        import tty

        self._master, self._slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._heard = heard
        self.path = str(folder / "line")
        Path(self.path).symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def close(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    async def publish(self, messages: Sequence[tuple[str, bytes]], per_second: float | None = None) -> None:
        """Send all, in order, a bounded number under way. It does not send again: `Ours.settle` does, as nodes do."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        sent = self.acknowledged  # counts as answered what was given up
        for place, (_, data) in enumerate(messages):
            if per_second is not None:
                await asyncio.sleep(max(started + place / per_second - loop.time(), 0))
            if not await self._room(sent, WINDOW):
                sent = self.acknowledged
            await self._write(line.encode(data))
            sent += 1
        await self._room(sent, 1)

    async def _room(self, sent: int, window: int) -> bool:
        """Wait until fewer than so many are under way; False if nothing is answered any more."""
        while sent - self.acknowledged >= window:
            self._answered.clear()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._answered.wait()
            except TimeoutError:
                return False
        return True

    async def _write(self, data: bytes) -> None:
        """All of it; what a line that nobody reads does not take within PATIENCE_S is lost."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        while data and loop.time() < end:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            for data in self._reader.feed(os.read(self._master, 65536)):
                with contextlib.suppress(WireError):
                    if frame.parse(data).space == frame.DOWN:
                        self.acknowledged += 1
                        self._answered.set()
                        self._heard(data)
