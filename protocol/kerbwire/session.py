"""The node's end of a link as a table: what may happen in each state, and what is done about it. PROTOCOL.md shows it.

    state    what the node waits for
    FRESH    the life is not confirmed since this node's start: nothing but hello may leave
    HELLO    a hello is out
    SILENT   no hello was answered: the backoff runs
    REST     nothing is out
    REPORT   a report is out
    BACKOFF  no report was answered: the backoff runs

A Session opens nothing and reads no clock: its owner sends, listens and keeps time, tells it what happened, and does
what it returns. What is not in the table is a SessionError: a mistake of the owner, never of the peer.
"""

from kerbwire.compat import const

# A state, and an action in the same place of the table's values: state | action, as state | event are its keys.
FRESH = const(0x00)
HELLO = const(0x10)
SILENT = const(0x20)
REST = const(0x30)
REPORT = const(0x40)
BACKOFF = const(0x50)

# Events
HELLO_DUE = const(0)  # a boot, a gap to declare, or three frames in a row without an answer
REPORT_DUE = const(1)  # records wait that no report under way carries
ACK = const(2)  # an ack lists the frame that is out
LATE_ACK = const(3)  # an ack lists only frames sent before; also one that lists nothing of ours
CHALLENGE = const(4)  # the gateway knows no window for this life: a hello must return these bytes
DUPLICATE = const(5)  # a downlink that was taken before, or that answers none of our frames
UNANSWERED = const(6)  # the listen window ended, and a try is left
EXHAUSTED = const(7)  # the listen window ended, and no try is left
SPENT = const(8)  # the day's sequence numbers are spent
REFUSED = const(9)  # a report was passed over for the eighth time
UNSENDABLE = const(10)  # not even one record fits a frame
WAITED = const(11)  # the backoff has run out
SETTLED = const(12)  # late acks have committed all that waited

# Actions
NOTHING = const(0)
SEND_HELLO = const(1)
SEND_REPORT = const(2)
CONFIRM = const(3)  # the hello is committed: the life is confirmed, its gaps are told; settle what the ack lists
SETTLE = const(4)  # what the ack lists is committed
BACK_OFF = const(5)  # one level longer than the last time
SET_ASIDE = const(6)  # out of the way, on flash, until the next boot
GIVE_UP = const(7)  # declare a gap
STOP = const(8)  # until tomorrow

TABLE = {
    FRESH | HELLO_DUE: HELLO | SEND_HELLO,
    FRESH | ACK: REST | CONFIRM,  # of a hello that was given up: better late than never
    FRESH | LATE_ACK: FRESH | SETTLE,
    FRESH | CHALLENGE: FRESH | NOTHING,  # kept: the next hello returns it
    FRESH | DUPLICATE: FRESH | NOTHING,
    FRESH | REFUSED: FRESH | SET_ASIDE,
    HELLO | ACK: REST | CONFIRM,
    HELLO | LATE_ACK: HELLO | SETTLE,
    HELLO | CHALLENGE: HELLO | SEND_HELLO,
    HELLO | DUPLICATE: HELLO | NOTHING,
    HELLO | UNANSWERED: HELLO | SEND_HELLO,
    HELLO | EXHAUSTED: SILENT | BACK_OFF,
    HELLO | SPENT: SILENT | BACK_OFF,
    HELLO | REFUSED: HELLO | SET_ASIDE,
    SILENT | HELLO_DUE: HELLO | SEND_HELLO,  # a boot's own hello does not wait
    SILENT | ACK: REST | CONFIRM,
    SILENT | LATE_ACK: SILENT | SETTLE,
    SILENT | CHALLENGE: SILENT | NOTHING,
    SILENT | DUPLICATE: SILENT | NOTHING,
    SILENT | REFUSED: SILENT | SET_ASIDE,
    SILENT | WAITED: FRESH | NOTHING,
    REST | HELLO_DUE: HELLO | SEND_HELLO,
    REST | REPORT_DUE: REPORT | SEND_REPORT,
    REST | ACK: REST | SETTLE,
    REST | LATE_ACK: REST | SETTLE,
    REST | CHALLENGE: REST | NOTHING,
    REST | DUPLICATE: REST | NOTHING,
    REST | REFUSED: REST | SET_ASIDE,
    REPORT | ACK: REST | SETTLE,
    REPORT | LATE_ACK: REPORT | SETTLE,
    REPORT | CHALLENGE: REPORT | NOTHING,
    REPORT | DUPLICATE: REPORT | NOTHING,
    REPORT | UNANSWERED: REPORT | SEND_REPORT,
    REPORT | EXHAUSTED: BACKOFF | BACK_OFF,
    REPORT | SPENT: REST | STOP,  # which is no fault of the gateway
    REPORT | REFUSED: REPORT | SET_ASIDE,
    REPORT | UNSENDABLE: REST | GIVE_UP,
    REPORT | SETTLED: REST | NOTHING,
    BACKOFF | HELLO_DUE: HELLO | SEND_HELLO,
    BACKOFF | ACK: REST | SETTLE,
    BACKOFF | LATE_ACK: BACKOFF | SETTLE,
    BACKOFF | CHALLENGE: BACKOFF | NOTHING,
    BACKOFF | DUPLICATE: BACKOFF | NOTHING,
    BACKOFF | REFUSED: BACKOFF | SET_ASIDE,
    BACKOFF | WAITED: REST | NOTHING,
}

MAX_CHALLENGES = 2  # answered in one hello beyond its tries: a gateway that restarts in between asks twice


class SessionError(Exception):
    """An event that the table does not have in this state."""


class Session:
    """One node's conversation. confirmed: a gateway has committed a hello of this life since the node's start.

    tries: frames that one answer may cost. challenge: what the next hello returns, or None. state: as in the table.
    """

    def __init__(self, tries: int, confirmed: bool = False):
        self.state = REST if confirmed else FRESH
        self.challenge: "bytes | None" = None
        self._tries = self._left = tries
        self._challenges = 0
        self._out: "list[int]" = []  # frames of which any ack is the answer: of a hello each, of a report the last

    def on(self, event: int) -> int:
        """What to do about an event. SessionError if it cannot happen now."""
        row = TABLE.get(self.state | event)
        if row is None:
            raise SessionError("state %d, event %d" % (self.state >> 4, event))
        if event <= REPORT_DUE:
            self._left = self._tries
            self._challenges = 0
            self._out = []
        self.state = row & 0xF0
        return row & 0x0F

    def sent(self, seq: int) -> None:
        """The frame that was asked for has left."""
        if self.state == REPORT:
            self._out = []
        self._out.append(seq)

    def answered(self, committed: "list[int]") -> int:
        """An ack that passed law 2 lists these numbers."""
        for seq in self._out:
            if seq in committed:
                action = self.on(ACK)
                self.challenge = None
                return action
        return self.on(LATE_ACK)

    def challenged(self, challenge: bytes) -> int:
        """A challenge to the latest frame. One too many in a row costs a try."""
        if self.state != REPORT:
            self.challenge = challenge
        self._challenges += 1
        return self.unanswered() if self.state == HELLO and self._challenges > MAX_CHALLENGES else self.on(CHALLENGE)

    def unanswered(self) -> int:
        """The listen window of the frame that is out has ended."""
        self._left -= 1
        return self.on(UNANSWERED if self._left > 0 else EXHAUSTED)
