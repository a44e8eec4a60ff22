"""Key epochs and their change-over (law 7): one structure for both ends.

Either end keeps the old secret until it has opened a frame under the new one: the node a downlink, the gateway an
uplink. Until then there is no third epoch. The header's two bits name the epoch, so a frame is tried under one key.
The window of a new epoch begins as that of a life does, with a challenge.
"""

from kerbwire import kdf
from kerbwire.errors import RANGE, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Secrets(Protocol):
        """What a NodeEnd asks: Epochs, or what a node has that knows one epoch only."""

        def secret_of(self, epoch: int) -> "bytes | None": ...

        def sealing(self) -> int: ...

        def opened(self, epoch: int) -> bool: ...


EPOCHS = 4  # two bits of the header; two are in use at a time, so they cannot be mistaken
_CONTEXT = b"kerb epoch"  # ten bytes: no life (8) and no life with instance (16) is as long


def successor(secret: bytes, epoch: int) -> bytes:
    """The 16-byte secret of an epoch, from that of the one before it: both ends derive it, none is sent.

    It bounds what one key seals. It does not help against theft: who has a secret has its successors.
    """
    return kdf.oscore(secret, b"", bytes((epoch,)), _CONTEXT, "Key", 16)


class Epochs:
    """epoch: the newest, 0..3. older: the secret of the one before it while the change-over lasts, else None.

    The owner keeps epoch and both secrets on flash, or in its registry, when `begin` and `opened` have changed them.
    Never shows a secret.
    """

    __slots__ = ("epoch", "older", "newest", "_turn")

    def __init__(self, epoch: int, secret: bytes, older: "bytes | None" = None):
        self.epoch = epoch
        self.newest = secret
        self.older = older
        self._turn = 0

    def __repr__(self) -> str:
        return "<Epochs {}{}>".format(self.epoch, "" if self.older is None else ", changing over")

    def begin(self) -> None:
        """Turn over to the next epoch. WireError("range") while the last change-over is not done."""
        if self.older is not None:
            raise WireError(RANGE, "a change-over of keys is not done")
        self.epoch = (self.epoch + 1) % EPOCHS
        self.older = self.newest
        self.newest = successor(self.older, self.epoch)
        self._turn = 0

    def secret_of(self, epoch: int) -> "bytes | None":
        """The secret that opens a frame of this epoch; None: unknown here, no opening is tried."""
        if epoch == self.epoch:
            return self.newest
        return self.older if epoch == (self.epoch - 1) % EPOCHS else None

    def opened(self, epoch: int) -> bool:
        """A frame of the peer opened, was new, and is believed. True: it ended the change-over, keep that."""
        if epoch != self.epoch or self.older is None:
            return False
        self.older = None
        return True

    def sealing(self) -> int:
        """The epoch of the node's next frame: the new, and each third frame the old, until an answer has come.

        A gateway that was restored from a copy knows only the old one.
        """
        self._turn += 1
        return self.epoch if self.older is None or self._turn % 3 else (self.epoch - 1) % EPOCHS
