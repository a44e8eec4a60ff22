"""Asking the nodes of a restored store for what they still hold, as `resend` commands (law 6).

Which ranges, and what a node has answered, is in the store (store.asks). This says which ask goes out now: one with an
answer to a frame, the oldest first, again after a pause until the node has answered, and a bounded number of times a
start of the gateway. A node that does not know the command ignores it, and its gaps stay in the ledger as `waiting`.
"""

from kerbgate.store.items import Ask
from kerbwire.columns import MAX_NUMBER
from kerbwire.controls import MAX_REMAINING_S, RESEND, SCHEDULE, Command

PAUSE_S = 60.0  # a slow radio may take so long to bring the answer
MAX_TRIES = 8  # of one ask a start


class Resends:
    """Asks not yet answered, by (node, life). Times are seconds of any clock that only goes forward."""

    def __init__(self, pending: dict[tuple[int, bytes], tuple[Ask, ...]]):
        self._pending = {key: [_Turn(ask) for ask in asks] for key, asks in pending.items()}

    def __len__(self) -> int:
        return sum(len(turns) for turns in self._pending.values())

    def replace(self, node: int, life: bytes, asks: tuple[Ask, ...]) -> None:
        """The store has decided anew what this life is asked for."""
        self._pending.pop((node, life), None)
        if asks:
            self._pending[node, life] = [_Turn(ask) for ask in asks]

    def answered(self, node: int, life: bytes, ident: int) -> bool:
        """A result has come: whether it was to one of these."""
        turns = self._pending.get((node, life), [])
        left = [turn for turn in turns if turn.ask.ident != ident]
        if len(left) == len(turns):
            return False
        if left:
            self._pending[node, life] = left
        else:
            del self._pending[node, life]
        return True

    def due(self, node: int, life: bytes, now: float) -> Ask | None:
        """The ask to send now; it counts as sent."""
        for turn in self._pending.get((node, life), ()):
            if turn.tries < MAX_TRIES and now >= turn.next_s:
                turn.tries += 1
                turn.next_s = now + PAUSE_S
                return turn.ask
        return None


class _Turn:
    """An ask and when it was sent."""

    __slots__ = ("ask", "tries", "next_s")

    def __init__(self, ask: Ask):
        self.ask = ask
        self.tries = 0
        self.next_s = float("-inf")


def command(ask: Ask, echo: int, utc_s: int | None) -> Command:
    """The downlink of an ask. echo: the highest number accepted from the node. utc_s: None while no clock is trusted.

    Without a trusted clock only the seconds that remain end it, which the node counts itself.
    """
    expiry = MAX_NUMBER if utc_s is None else min(utc_s + MAX_REMAINING_S, MAX_NUMBER)
    return Command(echo, ask.ident, RESEND, [ask.first, ask.count], expiry, MAX_REMAINING_S, SCHEDULE)
