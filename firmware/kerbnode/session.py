"""The node's end of the seal: what leaves, and which of the frames that come are the gateway's answer to it (law 2).

A downlink counts if it is addressed to this node, opens, is new within its gateway instance, and echoes a frame that
this node has sent since its boot or wake: so nothing replayed or held back does. Another instance than the current one
is believed only on a newer echo than any before.
"""

from kerbwire import frame as frames
from kerbwire import messages, seal
from kerbwire.errors import WireError
from kerbwire.window import NEW, Window

MAX_BAD_FRAMES = 8  # law 10: what a battery pays for strangers in one listen window

FOREIGN, DAMAGED, UNSEALED, REPLAYED, STALE, UNKNOWN = (
    "foreign", "damaged", "unsealed", "replayed", "stale", "unknown",
)  # fmt: skip


class Session:
    """One boot's or wake's exchange with the gateway. take_seq() gives a reserved sequence number.

    refused: counts by reason. skipped: unknown fields of what was taken. bad_frames: refused ones in this listen
    window; another node's frame and a kind that a newer gateway knows are not bad.
    """

    def __init__(self, identity, life, take_seq, instance=bytes(8)):
        self._identity = identity
        self._life = life
        self._take_seq = take_seq
        self._uplink = seal.uplink_key(identity.secret, identity.node, life)
        self._downlink = None
        self._window = Window()
        self._first_seq = None
        self._highest_echo = -1
        self.instance = instance
        self.last_seq = -1
        self.refused = {}
        self.skipped = 0
        self.bad_frames = 0

    def seal(self, body, with_life=False):
        """(sequence number, frame) of an encoded message; with_life: the life goes in the clear, as hello needs it."""
        seq = self._take_seq()
        identity = self._identity
        context = self._life if with_life else b""
        frame = self._uplink.seal(frames.UP, identity.epoch, identity.node, seq, body, context)
        if self._first_seq is None:
            self._first_seq = seq
        self.last_seq = seq
        return seq, frame

    def listen(self):
        """A listen window begins."""
        self.bad_frames = 0

    def receive(self, frame):
        """The Ack or Challenge in a frame, or None: refused and counted."""
        try:
            header = frames.parse(frame)
        except WireError:
            return self._refuse(DAMAGED)
        if header.space != frames.DOWN or header.node != self._identity.node:
            return self._refuse(FOREIGN)
        if header.epoch != self._identity.epoch:
            return self._refuse(UNSEALED)
        instance = header.context or self.instance
        key, window = self._downlink, self._window
        if key is None or instance != self.instance:
            key = seal.downlink_key(self._identity.secret, self._life, instance)
            window = Window()
        try:
            body = key.open(frame, header)
        except WireError:
            return self._refuse(UNSEALED)
        try:
            message = messages.decode(body, frames.DOWN)
        except WireError:
            return self._refuse(DAMAGED)
        if not isinstance(message, (messages.Ack, messages.Challenge)):
            return self._refuse(UNKNOWN)
        if self._first_seq is None or not self._first_seq <= message.echo <= self.last_seq:
            return self._refuse(STALE)
        if instance != self.instance and message.echo <= self._highest_echo:
            return self._refuse(STALE)
        if window.check(header.seq) != NEW:
            return self._refuse(REPLAYED)
        window.accept(header.seq)
        self.skipped += message.skipped
        self.instance, self._downlink, self._window = instance, key, window
        self._highest_echo = max(self._highest_echo, message.echo)
        return message

    def _refuse(self, reason):
        self.refused[reason] = self.refused.get(reason, 0) + 1
        if reason not in (FOREIGN, UNKNOWN):
            self.bad_frames += 1
        return None
