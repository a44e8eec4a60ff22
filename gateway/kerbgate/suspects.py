"""Finding the one document that a broker will not take, so that the others can go.

A broker that refuses a document often just ends the connection, with a whole window of them under way. After STRIKES
connections that ended with the same oldest document, what was under way is published one at a time, oldest first, and
the document on which the connection ends is the suspect. A broker that takes nothing must not condemn anything. So a
suspect is published right after another document that was taken, and set aside only when it ends CONVICTIONS such
connections. That witness is the oldest document of another node, so that nothing of a node overtakes, as long as the
broker takes one of those. This module does no I/O; it knows documents by what orders them.
"""

from collections.abc import Iterable, Mapping

Ident = tuple[int, ...]
STRIKES = 3  # two may be chance: a broker that restarts
CONVICTIONS = 2  # a broker may end once by chance in the very moment after it took another document


class Suspects:
    """What one pump holds against its documents. `begin`, `publishes`, `taken` and `ended` follow a connection."""

    def __init__(self) -> None:
        self.doubted: Ident = ()  # up to this one documents are published one at a time; (): none is doubted
        self._oldest: Ident = ()
        self._strikes = 0
        self._suspect: Ident | None = None
        self._convictions = 0
        self._next_witness = 0
        self._alone: Ident | None = None
        self._taken = False

    def begin(self) -> None:
        """A connection is attempted. If there is none, nothing is held against any document."""
        self._alone, self._taken = None, False

    def order(self, waiting: Mapping[Ident, object]) -> list[Ident]:
        """The doubted among those that wait, oldest first; a suspect before them all, and before it its witness.

        waiting: whose each of them is; the documents of one node keep their order.
        """
        suspect = self._suspect
        if suspect is None or suspect not in waiting:
            self._suspect, self._convictions = None, 0
            return sorted(ident for ident in waiting if ident <= self.doubted)
        others = sorted(ident for ident in waiting if ident != suspect)
        witness: list[Ident] = []
        if others:
            own = waiting[suspect]
            oldest: dict[object, Ident] = {}
            for ident in others:
                if waiting[ident] != own:
                    oldest.setdefault(waiting[ident], ident)
            first = list(oldest.values())
            able = first + [ident for ident in others if ident not in first]
            witness = [able[self._next_witness % len(able)]]
        return [*witness, suspect, *(i for i in others if i <= self.doubted and i not in witness)]

    def doubt(self, idents: Iterable[Ident]) -> None:
        """One of these was refused, and it is not known which: publish them one at a time."""
        self.doubted = max(self.doubted, *idents)

    def publishes(self, ident: Ident) -> None:
        """This document is under way, and no other."""
        self._alone = ident

    def taken(self) -> None:
        """The broker took the document that was under way alone."""
        if self._alone == self._suspect:
            self._suspect, self._convictions = None, 0
        self._alone, self._taken = None, True

    def cleared(self) -> None:
        """Every doubted document was taken or set aside."""
        self.doubted, self._alone = (), None
        self._strikes = self._next_witness = 0

    def ended(self, under_way: Iterable[Ident]) -> Ident | None:
        """The connection ended with these under way. Returns the document to set aside, if that is now sure."""
        alone = self._alone
        if alone is None:
            self._strike(sorted(under_way))
        elif not self._taken:  # it may be the broker that is at fault
            if self._suspect is None:
                self._suspect = alone
            elif alone != self._suspect:
                self._next_witness += 1
        else:
            self._convictions = self._convictions + 1 if alone == self._suspect else 1
            self._suspect = alone
            if self._convictions >= CONVICTIONS:
                self._suspect, self._convictions = None, 0
                return alone
        return None

    def _strike(self, under_way: list[Ident]) -> None:
        if not under_way:
            return
        oldest = under_way[0]
        self._strikes = self._strikes + 1 if oldest == self._oldest else 1
        self._oldest = oldest
        if self._strikes >= STRIKES:
            self.doubted = under_way[-1]
