"""The replay inlet: what a capture holds of uplinks, as if its links brought it again. For a gateway on a bench.

    replay:/srv/bench/street.kcap        replay:street.kcap?speed=10&link=2

speed: times the capture's own pace, 0 as fast as the intake takes it. link: only what came over this link of it. The
frames are as sealed as they were, so a gateway that has heard them before refuses them or knows them; answers go
nowhere. At the file's end the inlet stays, and is silent. A file that is not there, or holds nothing yet, is looked for
again; one that cannot be read any further is not played twice.
"""

import asyncio
import stat
from pathlib import Path

from kerbgate.inlets.base import Counters, LinkUrl, Take
from kerbwire import capture
from kerbwire.errors import WireError

CHUNK = 65536
RETRY_S = 5.0  # a file that is not there yet, or cannot be read
MAX_SPEED = 1e6


class _Unplayable(Exception):
    """What lies there is no capture that could be played. Its text says why, and what to name."""


class ReplayInlet:
    """One capture. `name` is its path. at_end: all of it was handed on."""

    signal = None  # a capture does not hold how a frame was heard

    def __init__(self, path: Path, speed: float, link: int | None):
        self.name = f"replay:{path}"
        self.counters = Counters()
        self.at_end = False
        self._path = path
        self._speed = speed
        self._link = link

    @classmethod
    def from_url(cls, url: LinkUrl) -> "ReplayInlet":
        """InletError for a link string that is not understood."""
        url.only(speed=_speed, link=_number)
        link = url.options.get("link")
        return cls(Path(url.rest), _speed(url.options.get("speed", "1")), None if link is None else _number(link))

    def silence(self) -> None:
        """It says nothing anyhow."""

    def send(self, frame: bytes) -> bool:
        """Whoever said it is not here: counted, and gone."""
        self.counters.unsent += 1
        return False

    def settle(self, kept: bool) -> None:
        """A capture acknowledges nothing."""

    async def run(self, intake: Take) -> None:
        """Hand the file on, once, then wait until cancelled."""
        while not (self.at_end or self.counters.frames):
            try:
                await self._play(intake)
                self.at_end = True
            except (OSError, WireError, _Unplayable) as error:
                detail = error.strerror if isinstance(error, OSError) else str(error)
                how = (
                    f"ends early, after {self.counters.frames} frames" if self.counters.frames else "cannot be replayed"
                )
                self.counters.last_error = f"{self._path} {how}: {detail}"
                self.counters.connected = False
                if not self.counters.frames:
                    await asyncio.sleep(RETRY_S)
        await asyncio.Event().wait()

    async def _play(self, intake: Take) -> None:
        """OSError, WireError, _Unplayable."""
        if not stat.S_ISREG(self._path.stat().st_mode):  # to open a pipe would wait for its writer, and all with it
            raise _Unplayable("it is no regular file: name a capture")
        loop, reader = asyncio.get_running_loop(), capture.Reader()
        began_s: float | None = None
        first_us = 0
        is_capture = False  # even one whose head is damaged
        with self._path.open("rb") as file:
            self.counters.opened += 1
            while data := file.read(CHUNK):
                records = reader.feed(data)
                is_capture = is_capture or reader.head is not None or bool(records)
                if not is_capture:
                    continue
                self.counters.connected, self.counters.last_error = True, None
                for record in records:
                    if record.direction != capture.UP or self._link not in (None, record.link):
                        continue
                    if began_s is None:
                        began_s, first_us = loop.time(), record.offset_us
                    due_s = began_s + (record.offset_us - first_us) / 1e6 / self._speed if self._speed else 0.0
                    await asyncio.sleep(max(due_s - loop.time(), 0))
                    while intake.full:
                        await intake.room()
                    self.counters.frames += 1
                    intake.take(record.frame, self)
        if not is_capture:
            raise _Unplayable("it is empty, or its head is torn: name a capture that holds frames")
        self.counters.noise += reader.damaged + bool(reader.torn)


def _speed(text: str) -> float:
    value = float(text)
    if not 0 <= value <= MAX_SPEED:
        raise ValueError("speed is a number from 0")
    return value


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > capture.MAX_LINK:
        raise ValueError(f"link is a number from 0 to {capture.MAX_LINK}")
    return int(text)
