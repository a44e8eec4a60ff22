"""Frames as they go by, for who records them: a bounded memory that is kept only while somebody asks.

A recorder asks again and again for what came since; the gateway writes no file. Frames stay sealed, and waves of
lamps are not among them. What the memory could not hold until it was asked for is counted.
"""

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from kerbgate.errors import ControlError
from kerbgate.inlets.base import Counters
from kerbwire import frame
from kerbwire.capture import DOWN, UP
from kerbwire.errors import WireError

if TYPE_CHECKING:
    from kerbgate.app import Gateway

MAX_FRAMES = 5000  # 1.2 MB: two seconds of a full district's busiest minute, and recorders ask twice a second
KEPT_S = 10.0  # after the last question the recording ends
MAX_ANSWER = 2000  # frames of one answer: 1 MB of JSON

Frame = tuple[int, int, int, int, bytes]  # number, microseconds since the start, direction, link, frame


class Recorder:
    """The tap of one gateway's intake."""

    def __init__(self, gateway: "Gateway"):
        self._gateway = gateway
        self._frames: deque[Frame] = deque(maxlen=MAX_FRAMES)
        self._next = 0
        self._until = 0.0
        self._began = 0.0
        self._start_ms: int | None = None
        self._links: dict[int, int] = {}  # by the counters of an inlet
        self._ways: dict[int, int] = {}  # the link of each node that was heard meanwhile

    def since(self, after: Any) -> dict[str, Any]:
        """Begin, or go on: frames from number `after` on; None: from now on. ControlError."""
        if after is not None and (type(after) is not int or after < 0):
            raise ControlError("after is no number of a frame", "give `next` of the answer before")
        gateway, now = self._gateway, time.monotonic()
        if gateway.intake.tap is None:
            self._begin(now)
        self._until = now + KEPT_S
        first = self._next if after is None else after
        found = [row for row in self._frames if row[0] >= first][:MAX_ANSWER]
        reached = found[-1][0] + 1 if found else max(first, 0)
        oldest = self._frames[0][0] if self._frames else self._next
        return {
            "frames": [[offset, way, link, data.hex()] for _, offset, way, link, data in found],
            "next": reached,
            "lost": max(oldest - first, 0) if after is not None else 0,
            "start_ms": self._start_ms,
            "links": [inlet.name for inlet in gateway.inlets],
        }

    def up(self, data: bytes, counters: Counters) -> None:
        """A frame came from a node. What lamps tell each other is left out: its moment says that somebody passed."""
        if _is_group(data):
            return
        link = self._links.get(id(counters), 0)
        self._put(UP, link, data)
        self._ways[_node(data)] = link

    def down(self, node: int, data: bytes) -> None:
        """A frame goes to a node."""
        self._put(DOWN, self._ways.get(node, 0), data)

    def _begin(self, now: float) -> None:
        gateway = self._gateway
        self._frames.clear()
        self._ways.clear()
        self._links = {id(inlet.counters): place for place, inlet in enumerate(gateway.inlets)}
        self._began = now
        self._start_ms = round(gateway.clock.utc() * 1000) if gateway.clock.synchronised() else None
        gateway.intake.tap = self

    def _put(self, way: int, link: int, data: bytes) -> None:
        now = time.monotonic()
        if now > self._until:  # nobody asks any more
            self._gateway.intake.tap = None
            self._frames.clear()
            return
        self._frames.append((self._next, round((now - self._began) * 1e6), way, link, bytes(data)))
        self._next += 1


def _is_group(data: bytes) -> bool:
    try:
        return frame.parse(data).space == frame.GROUP
    except WireError:
        return False


def _node(data: bytes) -> int:
    """The address in a frame's head; 0 where it has none."""
    try:
        return frame.parse(data).node
    except WireError:
        return 0
