"""The replay window of one sender under one key: 64 numbers wide, pure data (law 4 of PROTOCOL.md)."""

WIDTH = 64  # numbers below the highest that may still arrive late; RFC 8613 section 7.4 has 32 as its default

NEW, DUPLICATE, REPLAY = 0, 1, 2
_MASK = (1 << WIDTH) - 1


class Window:
    """Which numbers were accepted. `top` is the highest (-1 before the first), bit i of `bits` stands for top - i.

    floor: the number that the window began with. Where an earlier window was lost, nobody can say of a lower number
    whether it was accepted before, so all of them are replays.
    """

    __slots__ = ("bits", "floor", "top")

    def __init__(self, top: int = -1, bits: int = 0, floor: int = 0):
        self.top = top
        self.bits = bits
        self.floor = floor

    def check(self, seq: int) -> int:
        """NEW, DUPLICATE (accepted before, inside the window) or REPLAY (below it, or its floor). Changes nothing."""
        if seq > self.top:
            return NEW
        behind = self.top - seq
        if behind >= WIDTH or seq < self.floor:
            return REPLAY
        return DUPLICATE if self.bits >> behind & 1 else NEW

    def accept(self, seq: int) -> None:
        """Mark a number that `check` called NEW. Gaps are normal."""
        if seq > self.top:
            ahead = seq - self.top
            self.bits = (self.bits << ahead | 1) & _MASK if ahead < WIDTH else 1
            self.top = seq
        elif self.top - seq < WIDTH:
            self.bits |= 1 << (self.top - seq)

    def newest(self, count: int) -> "list[int]":
        """At most `count` accepted numbers, the highest first."""
        found: "list[int]" = []
        number, bits = self.top, self.bits
        while bits and len(found) < count:
            if bits & 1:
                found.append(number)
            number -= 1
            bits >>= 1
        return found
