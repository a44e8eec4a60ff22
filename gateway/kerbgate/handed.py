"""What a technician's round has gathered, handed to the gateway: sealed frames, each with the time when it was heard.

    {"v": 1, "op": "hand", "frames": [[1767571200000, "a150..."], ...]}
        ->  {"v": 1, "ok": true, "hand": {"committed": 3, "known": 1, "again": 0, "refused": {"unknown node": 1}}}

A frame passes the same door as one from a link: registry, seal, replay window, commit. It is dated by when it was
heard. Its node is far away by now: its ack and all else that would go to it are not sent, and it sends its records
again until an ack reaches it. What is handed twice is known, and stored once.
"""

import asyncio
from typing import Any, cast

from kerbgate.clock import Clock
from kerbgate.errors import ControlError
from kerbgate.inlets.base import Counters, Gathered
from kerbgate.intake import Intake
from kerbgate.store.items import DUPLICATE
from kerbwire.frame import MAX_FRAME

MAX_FRAMES = 32  # of one request: as hexadecimal digits they fit in a line of the control socket
TIMEOUT_S = 15.0  # for their commit
# What a laptop's clock may say of a round, where the gateway knows better: reports without a clock of their own are
# dated by it, for ever.
MAX_AGE_S = 90 * 86400
MAX_AHEAD_S = 600


class _Way(Gathered):
    """Of one frame."""

    signal = None

    def __init__(self, counters: Counters, heard_ms: int):
        self.counters = counters
        self.heard_ms = heard_ms
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def send(self, frame: bytes) -> bool:
        return False  # nobody is there

    def settle(self, kept: bool) -> None:
        if not self.settled.done():
            self.settled.set_result(kept)


class HandIn:
    """The operation `hand` of one gateway."""

    def __init__(self, intake: Intake, clock: Clock):
        self._intake = intake
        self._clock = clock

    async def operation(self, request: dict[str, Any]) -> dict[str, Any]:
        """ControlError for a request that cannot be read, or frames that are not committed in time."""
        frames = _frames(request)
        now_ms = round(self._clock.utc() * 1000)
        if self._clock.synchronised():
            _check_times([heard_ms for heard_ms, _ in frames], now_ms)
        counters = Counters()
        ways: list[_Way] = []
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for heard_ms, data in frames:
                    await self._intake.room()
                    ways.append(_Way(counters, min(heard_ms, now_ms)))
                    self._intake.take(data, ways[-1])
                kept = await asyncio.gather(*(way.settled for way in ways))
        except TimeoutError:
            raise ControlError(
                "the store did not take the frames in time", "hand the file again: what it has is known to it"
            ) from None
        refused = dict(counters.refused)
        known = refused.pop(DUPLICATE, 0)
        if counters.challenged:
            refused["no life"] = refused.get("no life", 0) + counters.challenged
        again = kept.count(False)
        return {"hand": {"committed": counters.committed, "known": known, "again": again, "refused": refused}}


def _check_times(heard_ms: list[int], now_ms: int) -> None:
    """ControlError where the laptop's clock cannot have been right."""
    ahead_s, age_s = (max(heard_ms) - now_ms) / 1000, (now_ms - min(heard_ms)) / 1000
    if ahead_s > MAX_AHEAD_S:
        raise ControlError(
            f"frames were heard {ahead_s / 60:.0f} minutes from now: the laptop's clock was ahead",
            "set the laptop's clock, and gather again: the nodes still have everything",
        )
    if age_s > MAX_AGE_S:
        raise ControlError(
            f"frames were heard {age_s / 86400:.0f} days ago: an old file, or the laptop's clock was behind",
            "set the laptop's clock, and gather again: the nodes still have what no ack named",
        )


def _frames(request: dict[str, Any]) -> list[tuple[int, bytes]]:
    rows = request.get("frames")
    hint = f'give "frames": [[Unix milliseconds, "hexadecimal digits"], ...], at most {MAX_FRAMES}'
    if not isinstance(rows, list) or not 0 < len(cast(list[Any], rows)) <= MAX_FRAMES:
        raise ControlError("the request has no frames, or too many", hint)
    found: list[tuple[int, bytes]] = []
    for row in cast(list[Any], rows):
        try:
            heard_ms, text = row
            data = bytes.fromhex(text)
        except (TypeError, ValueError):
            raise ControlError("a frame of the request cannot be read", hint) from None
        if type(heard_ms) is not int or heard_ms < 0 or not 0 < len(data) <= MAX_FRAME:
            raise ControlError("a frame of the request has no time, or no frame's length", hint)
        found.append((heard_ms, data))
    return found
