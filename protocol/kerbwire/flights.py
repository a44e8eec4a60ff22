"""Reports under way, and how often each was passed over (laws 3 and 5). Pure: the owner keeps it on flash.

An ack with echo E that does not list report N < E says: a later frame was accepted, this one is not committed. Silence
says nothing, and counts for nothing.
"""

MAX_IN_FLIGHT = 8  # reports remembered as sent: as many as an ack lists
MAX_REFUSALS = 8  # law 5: more is no loss of the air (at 50 % loss 1 in 256) but something in these records


class Flights:
    """flying: [number, first record, count], oldest first. refused: [first record, times], of those under way again."""

    def __init__(self, flying: "list[list[int]] | None" = None, refused: "list[list[int]] | None" = None):
        self.flying = flying or []
        self.refused = refused or []

    def sent(self, seq: int, first: int, count: int) -> None:
        """A report with these records has left."""
        self.flying.append([seq, first, count])
        del self.flying[:-MAX_IN_FLIGHT]

    def carries(self, index: int) -> bool:
        """Whether a report under way carries this record."""
        return any(first <= index < first + count for _, first, count in self.flying)

    def settle(self, committed: "list[int]", echo: int) -> "tuple[list[list[int]], list[list[int]]]":
        """Take an ack: (reports that it commits, reports to set aside). What it passed over waits again."""
        done: "list[list[int]]" = []
        aside: "list[list[int]]" = []
        left: "list[list[int]]" = []
        for flight in self.flying:
            if flight[0] in committed:
                done.append(flight)
                self._forget(flight[1])
            elif flight[0] > echo:
                left.append(flight)
            elif self._count(flight[1]) >= MAX_REFUSALS:
                self._forget(flight[1])
                aside.append(flight)
        self.flying = left
        return done, aside

    def _count(self, first: int) -> int:
        for entry in self.refused:
            if entry[0] == first:
                entry[1] += 1
                return entry[1]
        self.refused.append([first, 1])
        del self.refused[:-MAX_IN_FLIGHT]
        return 1

    def _forget(self, first: int) -> None:
        self.refused = [entry for entry in self.refused if entry[0] != first]
