"""The gateway's end of a link as a table: what becomes of a frame that has opened (law 4). PROTOCOL.md shows it.

    state     what the gateway has of a (node, life, key epoch)
    STRANGE   no window: it commits nothing
    ASKED     no window, and a challenge is out
    OPEN      a window
    CLOSED    a window, but a later life of the node was confirmed

Check and set have to be one transaction with the data; this module says what that transaction is to do. `Lives` is
the whole of it in memory: the pattern of a store, and what tests drive. It runs on hosts only.
"""

from collections.abc import Callable

from kerbwire import window as windows
from kerbwire.window import Window

STRANGE, ASKED, OPEN, CLOSED = "strange", "asked", "open", "closed"

# Events. The first three are frames without a window to judge them, the next three frames with one.
HELLO = "hello"  # without our challenge, or with another
PROOF = "proof"  # a hello that returns the challenge in time
DATA = "data"  # anything else
NEW = "new"
DUPLICATE = "duplicate"
REPLAY = "replay"
EXPIRED = "expired"  # the challenge is too old
SUCCEEDED = "succeeded"  # a later life of the node was confirmed
LOST = "lost"  # the store is gone, or is a copy from before: its windows cannot be believed

# Verdicts
COMMIT = "commit"  # with the window, in one transaction; then ack
OPEN_LIFE = "open life"  # the same; the window begins, with this number as its floor; the node's other lives close
ACK_AGAIN = "ack again"  # nothing is stored
CHALLENGE = "challenge"  # nothing is stored
REFUSE = "refuse"  # nothing is stored, sent or remembered
NOTHING = "nothing"

TABLE: dict[tuple[str, str], tuple[str, str]] = {
    (STRANGE, HELLO): (ASKED, CHALLENGE),
    (STRANGE, PROOF): (OPEN, OPEN_LIFE),  # where the caller keeps elsewhere what it has asked
    (STRANGE, DATA): (STRANGE, REFUSE),
    (STRANGE, LOST): (STRANGE, NOTHING),
    (ASKED, HELLO): (ASKED, CHALLENGE),  # the same challenge: a replayed hello takes nothing away
    (ASKED, PROOF): (OPEN, OPEN_LIFE),
    (ASKED, DATA): (ASKED, REFUSE),
    (ASKED, EXPIRED): (STRANGE, NOTHING),
    (ASKED, LOST): (STRANGE, NOTHING),
    (OPEN, NEW): (OPEN, COMMIT),
    (OPEN, DUPLICATE): (OPEN, ACK_AGAIN),
    (OPEN, REPLAY): (OPEN, REFUSE),
    (OPEN, SUCCEEDED): (CLOSED, NOTHING),
    (OPEN, LOST): (STRANGE, NOTHING),
    (CLOSED, HELLO): (CLOSED, REFUSE),
    (CLOSED, PROOF): (CLOSED, REFUSE),
    (CLOSED, DATA): (CLOSED, REFUSE),
    (CLOSED, LOST): (STRANGE, NOTHING),
}
_SEEN = {windows.NEW: NEW, windows.DUPLICATE: DUPLICATE, windows.REPLAY: REPLAY}


def judge(window: Window | None, closed: bool, hello: bool, proof: bool, seq: int) -> str:
    """The verdict on a frame that opened. window: of its life and epoch, or None. Changes nothing.

    closed: a later life was confirmed. proof: it is a hello that returns the pending challenge.
    """
    state = CLOSED if closed else STRANGE if window is None else OPEN
    if state == OPEN and window is not None:
        event = _SEEN[window.check(seq)]
    else:
        event = PROOF if proof else HELLO if hello else DATA
    return TABLE[state, event][1]


class _Life:
    __slots__ = ("asked_s", "challenge", "state", "window")

    def __init__(self) -> None:
        self.state = STRANGE
        self.window = Window()
        self.challenge = b""
        self.asked_s = 0.0


class Lives:
    """The lives of one node. draw(): 8 random bytes. expiry_s: how long a challenge may be out."""

    def __init__(self, draw: Callable[[], bytes], expiry_s: float = 60.0):
        self._draw = draw
        self._expiry_s = expiry_s
        self._lives: dict[tuple[bytes, int], _Life] = {}

    def state(self, life: bytes, epoch: int) -> str:
        found = self._lives.get((life, epoch))
        return STRANGE if found is None else found.state

    def window(self, life: bytes, epoch: int) -> Window:
        """The window of an open life: its newest numbers and its echo go into acks."""
        return self._lives[life, epoch].window

    def current(self) -> bytes | None:
        """The life that is confirmed: the one that frames without a context belong to."""
        for (life, _), known in self._lives.items():
            if known.state == OPEN:
                return life
        return None

    def take(
        self, life: bytes, epoch: int, seq: int, hello: bool, returned: bytes | None, now_s: float
    ) -> tuple[str, bytes]:
        """(verdict, the challenge to send or b""). returned: the challenge in a hello, or None."""
        name = (life, epoch)
        known = self._lives.get(name)
        if known is None:
            known = self._lives[name] = _Life()
            if any(other.state == CLOSED for (same, _), other in self._lives.items() if same == life):
                known.state = CLOSED
        if known.state == ASKED and now_s - known.asked_s >= self._expiry_s:
            self._move(known, EXPIRED)
        if known.state == OPEN:
            verdict = self._move(known, _SEEN[known.window.check(seq)])
        elif hello and known.state == ASKED and returned == known.challenge:
            verdict = self._move(known, PROOF)
        else:
            before = known.state
            verdict = self._move(known, HELLO if hello else DATA)
            if before == STRANGE and verdict == CHALLENGE:
                known.challenge, known.asked_s = self._draw(), now_s
        if verdict == OPEN_LIFE:
            known.window = Window(floor=seq)
            for (other, _), older in self._lives.items():
                if other != life and older.state == OPEN:
                    self._move(older, SUCCEEDED)
        if verdict in (COMMIT, OPEN_LIFE):
            known.window.accept(seq)
        return verdict, known.challenge if verdict == CHALLENGE else b""

    def lose(self) -> None:
        """The windows cannot be believed any more: the store was lost, or restored from a copy."""
        for known in self._lives.values():
            self._move(known, LOST)

    def restart(self) -> None:
        """A new process: challenges are in memory only."""
        for known in self._lives.values():
            if known.state == ASKED:
                self._move(known, EXPIRED)

    def _move(self, known: _Life, event: str) -> str:
        known.state, verdict = TABLE[known.state, event]
        return verdict
