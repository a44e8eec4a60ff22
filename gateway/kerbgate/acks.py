"""Acks of one commit: one to a node for all of its frames in it, and the bytes of an ack without the way round.

An ack lists the newest committed numbers of its node, so the last outcome of a commit speaks for those before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from kerbgate.inlets.base import Route
from kerbgate.registry import Node
from kerbgate.store.items import Outcome
from kerbwire.messages import ACK

_HEAD = bytes((0x82, ACK))  # CBOR: an array of two, the kind


@dataclass(slots=True)
class Owed:
    """An ack that is to be sent. own: the numbers of the frames that it answers. fresh: those were new."""

    node: Node
    life: bytes
    route: Route
    outcome: Outcome
    own: list[int]
    fresh: bool


class Acks:
    """What the commit at hand owes. `take` empties it."""

    def __init__(self) -> None:
        self._owed: dict[tuple[int, int, bytes, int], Owed] = {}
        self._more: list[Owed] = []

    def owe(self, node: Node, life: bytes, route: Route, seq: int, outcome: Outcome, *, fresh: bool) -> None:
        """A frame was committed, or known. Outcomes of a node come in the order in which they were judged."""
        if not fresh:  # whoever has sent it: it neither gets nor takes away what another frame is owed
            self._more.append(Owed(node, life, route, outcome, [seq], False))
            return
        # Each key epoch has numbers of its own; and a node that is heard on two links is answered on both.
        key = (node.address, node.epoch, life, id(route.counters))
        owed = self._owed.get(key)
        if owed is None:
            self._owed[key] = Owed(node, life, route, outcome, [seq], True)
            return
        if all(number in outcome.numbers for number in owed.own):
            owed.own.append(seq)
        else:  # what was owed would be left out of this one: an ack of its own
            self._more.append(Owed(owed.node, owed.life, owed.route, owed.outcome, owed.own, True))
            owed.own = [seq]
        owed.route, owed.outcome = route, outcome

    def take(self) -> Iterator[Owed]:
        """Everything that is owed."""
        more, self._more = self._more, []
        owed, self._owed = self._owed, {}
        yield from more
        yield from owed.values()


def encode(echo: int, committed: list[int], utc_s: int | None, more: bool) -> bytes:
    """The same bytes as messages.encode(Ack(...)), of numbers that the store has checked."""
    parts = [_HEAD, bytes((0xA2 + (utc_s is not None) + more, 0)), _uint(echo), bytes((1, 0x80 + len(committed)))]
    parts += map(_uint, committed)
    if utc_s is not None:
        parts += (b"\x02", _uint(utc_s))
    if more:
        parts.append(b"\x03\xf5")
    return b"".join(parts)


@lru_cache(maxsize=4096)  # nodes of one age have numbers of one size, and a second has one time
def _uint(number: int) -> bytes:
    """An unsigned integer in CBOR (RFC 8949 section 3)."""
    if number < 24:
        return bytes((number,))
    if number < 1 << 8:
        return bytes((24, number))
    size, code = (2, 25) if number < 1 << 16 else (4, 26) if number < 1 << 32 else (8, 27)
    return bytes((code,)) + number.to_bytes(size, "big")
