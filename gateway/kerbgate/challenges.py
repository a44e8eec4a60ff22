"""Challenges that were sent and not yet returned: bounded, short-lived, and only in memory (law 4).

One for each (node, life), so that an old hello, replayed, cannot take the place of the challenge that the node itself
is about to return.
"""

import os
from collections import OrderedDict

from kerbwire.messages import CHALLENGE_SIZE

EXPIRY_S = 60.0  # a node answers within its listen window of seconds; a minute leaves room for a slow radio
MAX_PENDING = 1024  # a street that lights up together spreads its hellos over more time than this many need


class Challenges:
    """Pending challenges by (node, life). Times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[int, bytes], tuple[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def issue(self, node: int, life: bytes, now: float) -> bytes:
        """The challenge for a hello: the pending one while it is young, so that a repeated hello changes nothing."""
        pending = self._pending.get((node, life))
        if pending is not None and now - pending[1] < EXPIRY_S:
            return pending[0]
        challenge = os.urandom(CHALLENGE_SIZE)
        self._pending[node, life] = (challenge, now)
        self._pending.move_to_end((node, life))
        if len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)
        return challenge

    def returned(self, node: int, life: bytes, challenge: bytes, now: float) -> bool:
        """Whether these bytes are the challenge that is pending for this life, and still in time."""
        pending = self._pending.get((node, life))
        return pending is not None and pending[0] == challenge and now - pending[1] < EXPIRY_S

    def settle(self, node: int, life: bytes) -> None:
        """The life is confirmed: nothing is pending any more."""
        self._pending.pop((node, life), None)
