"""An update over the air: the offer and its blocks down, the node's state up.

The content is cut into `blocks` pieces of ceil(size / blocks) bytes, the last one shorter. The signed manifest stands
at its head: nothing is run before the signature was checked and the manifest's hash was found equal to `manifest`.
"""

from kerbwire.errors import RANGE, WireError
from kerbwire.frame import MAX_SEQ
from kerbwire.messages import (
    BYTES,
    OPTIONAL,
    REQUIRED,
    UINT,
    UPDATE_BLOCK,
    UPDATE_OFFER,
    UPDATE_STATE,
    Message,
)

MANIFEST_SIZE = 32  # SHA-256
SHORT_SIZE = 4  # of a manifest hash, where it only tells one update from another
SIGNER_SIZE = 4  # first bytes of the SHA-256 of the public key that signed
MAX_UPDATE = 1 << 20  # bytes: the largest board's free flash
MAX_BLOCK = 192  # bytes: fits beside the longest header
MAX_BLOCKS = 1 << 15
MAX_MISSING = 32  # bytes of a bitmap: 256 blocks at once

RECEIVING, RECEIVED, VERIFIED, ON_TRIAL, CONFIRMED, ROLLED_BACK, REFUSED = 0, 1, 2, 3, 4, 5, 6
STATES = ("receiving", "received", "verified", "on trial", "confirmed", "rolled back", "refused")


class UpdateOffer(Message):
    """Down: an update waits. manifest: SHA-256 of the signed manifest. signer: which key signed it."""

    KIND = UPDATE_OFFER
    ROWS = (
        (0, "echo", UINT, 0, MAX_SEQ, REQUIRED),
        (1, "manifest", BYTES, MANIFEST_SIZE, MANIFEST_SIZE, REQUIRED),
        (2, "size", UINT, 1, MAX_UPDATE, REQUIRED),
        (3, "blocks", UINT, 1, MAX_BLOCKS, REQUIRED),
        (4, "signer", BYTES, SIGNER_SIZE, SIGNER_SIZE, REQUIRED),
    )

    def __init__(self, echo: int, manifest: bytes, size: int, blocks: int, signer: bytes):
        self.echo = echo
        self.manifest = manifest
        self.size = size
        self.blocks = blocks
        self.signer = signer

    def block_size(self) -> int:
        """Bytes of every block but the last."""
        return (self.size + self.blocks - 1) // self.blocks

    def check(self) -> None:
        """No block is empty and none is over MAX_BLOCK."""
        if self.block_size() > MAX_BLOCK or (self.blocks - 1) * self.block_size() >= self.size:
            raise WireError(RANGE, "blocks")


class UpdateBlock(Message):
    """Down: block `number` (from 0) of the update whose manifest hash begins with `update`."""

    KIND = UPDATE_BLOCK
    ROWS = (
        (0, "echo", UINT, 0, MAX_SEQ, REQUIRED),
        (1, "update", BYTES, SHORT_SIZE, SHORT_SIZE, REQUIRED),
        (2, "number", UINT, 0, MAX_BLOCKS - 1, REQUIRED),
        (3, "data", BYTES, 1, MAX_BLOCK, REQUIRED),
    )

    def __init__(self, echo: int, update: bytes, number: int, data: bytes):
        self.echo = echo
        self.update = update
        self.number = number
        self.data = data


class UpdateState(Message):
    """Up: how far an update is.

    next: the first block that is missing. missing: bit i of byte n, lowest first, stands for block next + 8n + i and is
    set if it is missing; absent means all from `next` on. reason: why it was refused or rolled back.
    """

    KIND = UPDATE_STATE
    ROWS = (
        (1, "update", BYTES, SHORT_SIZE, SHORT_SIZE, REQUIRED),
        (2, "state", UINT, 0, 255, REQUIRED),
        (3, "next", UINT, 0, MAX_BLOCKS, OPTIONAL),
        (4, "missing", BYTES, 1, MAX_MISSING, OPTIONAL),
        (5, "reason", UINT, 0, 255, OPTIONAL),
    )

    def __init__(
        self,
        update: bytes,
        state: int,
        next: "int | None" = None,
        missing: "bytes | None" = None,
        reason: "int | None" = None,
    ):
        self.update = update
        self.state = state
        self.next = next
        self.missing = missing
        self.reason = reason


MESSAGES = (UpdateState, UpdateOffer, UpdateBlock)
