"""Fragments: a frame over Bluetooth Low Energy notifications (or writes), each with a one-byte head.

    head      bit 7    first fragment of its frame
              bits 6-4 the frame's number, modulo 8
              bits 3-0 fragments of this frame that follow this one

A frame that fits goes in one fragment. The count runs down, so each fragment's place is known from the end and the
first one says how many there are. A Reader lives as long as one connection.
"""

from kerbwire.errors import RANGE, TOO_LONG, WireError
from kerbwire.frame import MAX_FRAME

HEAD_SIZE = 1
MIN_NOTIFICATION = 20  # bytes: the smallest ATT MTU, 23, less 3 (Bluetooth Core 5.4, vol. 3 part F, section 3.2.8)
MAX_NOTIFICATION = 244  # bytes: what one link-layer packet of 251 bytes carries whole
MAX_FRAGMENTS = 16  # four bits; a full frame in the smallest notifications takes 13
NUMBERS = 8  # frame numbers before they come round
WINDOW = 4  # frames that may be under way or finished lately: half the numbers, so that none is taken for its successor

_FIRST = 0x80


def split(frame: bytes, number: int, notification: int) -> "list[bytes]":
    """The fragments of a frame, in the order of sending.

    number: counts this sender's frames on this connection, from 0; its last three bits travel.
    notification: bytes that one notification carries, ATT MTU less 3; over MAX_NOTIFICATION counts as that.
    WireError for an empty or too long frame, or a notification that is too small.
    """
    size = min(notification, MAX_NOTIFICATION) - HEAD_SIZE
    if not 0 < len(frame) <= MAX_FRAME:
        raise WireError(TOO_LONG, "frame")
    if notification < MIN_NOTIFICATION or number < 0:
        raise WireError(RANGE, "fragment")
    follow = (len(frame) - 1) // size
    head = _FIRST | number % NUMBERS << 4
    fragments: "list[bytes]" = []
    for at in range(0, len(frame), size):
        fragments.append(bytes((head | follow,)) + frame[at : at + size])
        follow -= 1
        head &= ~_FIRST
    return fragments


class Reader:
    """Frames out of notifications that may be lost, doubled, or come out of order within WINDOW frames.

    Holds at most WINDOW frames of MAX_FRAME bytes. A lost fragment costs its frame only, unless four whole frames
    in a row were lost too; the parts of two frames that are joined then do not open under any key.

    lost: frames given up with a fragment missing. doubled: fragments that came again. noise: what no sender writes.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.doubled = 0
        self.noise = 0
        self._frames: "list[_Frame]" = []  # the oldest first

    def feed(self, fragment: bytes) -> "bytes | None":
        """The frame that this notification completes, or None; never raises."""
        if not HEAD_SIZE < len(fragment) <= MAX_NOTIFICATION:
            self.noise += 1
            return None
        head = fragment[0]
        number, follow, first = head >> 4 & 7, head & 15, head & _FIRST
        data = bytes(fragment[HEAD_SIZE:])
        frame = self._find(number)
        if frame and not frame.agrees(follow, first, data):
            self._drop(frame)  # the numbers came round, and what was kept is a frame of long ago
            frame = None
        if frame is None:
            frame = _Frame(number)
            self._frames.append(frame)
            if len(self._frames) > WINDOW:
                self._drop(self._frames[0])
        if frame.has(follow):
            self.doubled += 1
            return None
        frame.put(follow, first, data)
        if frame.size > MAX_FRAME:
            self._frames.remove(frame)
            self.noise += 1
        elif frame.complete():
            return frame.joined()
        return None

    def _find(self, number: int) -> "_Frame | None":
        for frame in self._frames:
            if frame.number == number:
                return frame
        return None

    def _drop(self, frame: "_Frame") -> None:
        if not frame.complete():
            self.lost += 1
        self._frames.remove(frame)


class _Frame:
    """What has come of one frame: its fragments by how many follow, and their number once the first one is there."""

    __slots__ = ("_count", "_parts", "number", "size")

    def __init__(self, number: int):
        self.number = number
        self.size = 0
        self._count = 0
        self._parts: "dict[int, bytes]" = {}

    def has(self, follow: int) -> bool:
        return follow in self._parts

    def put(self, follow: int, first: int, data: bytes) -> None:
        self._parts[follow] = data
        self.size += len(data)
        if first:
            self._count = follow + 1

    def agrees(self, follow: int, first: int, data: bytes) -> bool:
        """Whether a fragment can belong to this frame: the same as before in its place, or below the first one."""
        if follow in self._parts:
            return self._parts[follow] == data and bool(first) == (follow + 1 == self._count)
        if first:
            return not self._count and all(other < follow for other in self._parts)
        return not self._count or follow + 1 < self._count

    def complete(self) -> bool:
        return len(self._parts) == self._count

    def joined(self) -> bytes:
        return b"".join([self._parts[follow] for follow in range(self._count - 1, -1, -1)])
