"""The node's end of the seal: what leaves, and which of the frames that come are the gateway's answer to it (law 2).

A downlink counts if it is addressed to this node, opens, is new within its gateway instance, and echoes a frame that
this node has sent since its boot or wake: so nothing replayed or held back does. Another instance than the current one
is believed only on a newer echo than any before.
"""

from kerbwire import frame as frames
from kerbwire import messages, seal
from kerbwire.errors import WireError
from kerbwire.window import NEW, Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kerbwire.epochs import Secrets

MAX_BAD_FRAMES = 8  # law 10: what a battery pays for strangers in one listen window

FOREIGN, DAMAGED, UNSEALED, REPLAYED, STALE, UNKNOWN = (
    "foreign", "damaged", "unsealed", "replayed", "stale", "unknown",
)  # fmt: skip


class NodeEnd:
    """One boot's or wake's frames. take_seq() gives a reserved sequence number.

    refused: counts by reason. skipped: unknown fields of what was taken. bad_frames: refused ones in this listen
    window; another node's frame and a kind that a newer gateway knows are not bad. turned: a change-over of keys has
    ended, which the owner is to keep (law 7). order: of the last message that counted, by instance and number: what the
    gateway sent later has the higher one.
    """

    def __init__(
        self, node: int, epochs: "Secrets", life: bytes, take_seq: "Callable[[], int]", instance: bytes = bytes(8)
    ):
        self._node = node
        self._epochs = epochs
        self._life = life
        self._take_seq = take_seq
        self._uplink: "tuple[int, seal.Key] | None" = None
        self._downlink: "seal.Key | None" = None
        self._epoch: int = -1  # of the downlink key
        self._window = Window()
        self._first_seq = None
        self._highest_echo = -1
        self.instance = instance
        self.last_seq = -1
        self.refused: "dict[str, int]" = {}
        self.skipped = 0
        self.bad_frames = 0
        self.turned = False
        self.order = 0

    def seal(self, body: bytes, with_life: bool = False) -> "tuple[int, bytes]":
        """(sequence number, frame) of an encoded message; with_life: the life goes in the clear, as hello needs it."""
        seq = self._take_seq()
        epoch = self._epochs.sealing()
        if self._uplink is None or self._uplink[0] != epoch:
            secret = self._epochs.secret_of(epoch) or b""
            self._uplink = (epoch, seal.uplink_key(secret, self._node, self._life))
        frame = self._uplink[1].seal(frames.UP, epoch, self._node, seq, body, self._life if with_life else b"")
        if self._first_seq is None:
            self._first_seq = seq
        self.last_seq = seq
        return seq, frame

    def listen(self) -> None:
        """A listen window begins."""
        self.bad_frames = 0

    def receive(self, frame: bytes) -> "Any":
        """The message in a frame that counts, or None: refused and counted. Each has an echo."""
        try:
            header = frames.parse(frame)
        except WireError:
            return self._refuse(DAMAGED)
        if header.space != frames.DOWN or header.node != self._node:
            return self._refuse(FOREIGN)
        secret = self._epochs.secret_of(header.epoch)
        if secret is None:
            return self._refuse(UNSEALED)
        instance = header.context or self.instance
        key, window = self._downlink, self._window
        if key is None or instance != self.instance or header.epoch != self._epoch:
            key = seal.downlink_key(secret, self._life, instance)
            window = Window()
        try:
            body = key.open(frame, header)
        except WireError:
            return self._refuse(UNSEALED)
        try:
            message = messages.decode_down(body)
        except WireError:
            return self._refuse(DAMAGED)
        echo: "int | None" = getattr(message, "echo", None)
        if echo is None:
            return self._refuse(UNKNOWN)
        if self._first_seq is None or not self._first_seq <= echo <= self.last_seq:
            return self._refuse(STALE)
        if instance != self.instance and echo <= self._highest_echo:
            return self._refuse(STALE)
        if window.check(header.seq) != NEW:
            return self._refuse(REPLAYED)
        window.accept(header.seq)
        self.skipped += message.skipped
        turns = (self.order >> 40) + (instance != self.instance)
        self.order = turns << 40 | header.seq
        self.instance, self._downlink, self._window, self._epoch = instance, key, window, header.epoch
        self._highest_echo = max(self._highest_echo, echo)
        if self._epochs.opened(header.epoch):
            self.turned = True
        return message

    def _refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
        if reason not in (FOREIGN, UNKNOWN):
            self.bad_frames += 1
