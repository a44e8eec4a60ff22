"""The clear header of a sealed frame: one control byte, address, sequence number, and at times a context.

    control   bit 7    version, 0
              bits 6-5 space: 0 up, 1 down, 2 group, 3 other
              bits 4-3 key epoch, modulo 4
              bit 2    node address in two bytes (else one)
              bits 1-0 sequence number in 1, 2, 3 or 5 bytes
    other     only in space 3: bits 1-0 the true space, bit 2 set; an 8-byte context ends the header
    node      1..65535, big-endian
    sequence  0..2^40-1, big-endian: the partial IV of RFC 8613
    context   8 bytes in the clear: a life on the way up, an instance on the way down

Only the shortest forms are legal. PROTOCOL.md has the picture.
"""

from kerbwire.errors import NOT_CANONICAL, RANGE, TOO_LONG, TRUNCATED, UNSUPPORTED, WireError

UP, DOWN, GROUP = 0, 1, 2
CONTEXT_SIZE = 8  # of a life and of an instance
MAX_NODE = 65535
MAX_SEQ = (1 << 40) - 1  # RFC 8613 section 5.2: a partial IV has at most five bytes
MAX_FRAME = 243  # one BLE notification of 244 bytes less its fragment head; LoRaWAN DR3 and upwards carry 222
TAG_SIZE = 8
MAX_MESSAGE = MAX_FRAME - 8 - TAG_SIZE  # what fits behind the longest header without a context

_OTHER = 3
_CONTEXT_FOLLOWS = 4
_SEQ_SIZES = (1, 2, 3, 5)


class Header:
    """What a frame says in the clear. `size` is the header's length in bytes; the ciphertext follows it."""

    __slots__ = ("context", "epoch", "node", "seq", "size", "space")

    def __init__(self, space: int, epoch: int, node: int, seq: int, context: bytes, size: int):
        self.space = space
        self.epoch = epoch
        self.node = node
        self.seq = seq
        self.context = context
        self.size = size


def pack(space: int, epoch: int, node: int, seq: int, context: bytes = b"") -> bytes:
    """The header's bytes. WireError("range") for a number that it cannot carry."""
    if not (0 <= space <= GROUP and 0 <= epoch <= 3 and 1 <= node <= MAX_NODE and 0 <= seq <= MAX_SEQ):
        raise WireError(RANGE, "frame header")
    if context and (len(context) != CONTEXT_SIZE or space == GROUP):
        raise WireError(RANGE, "context")
    wide = node > 255
    code = 0 if seq < 1 << 8 else 1 if seq < 1 << 16 else 2 if seq < 1 << 24 else 3
    head = (_OTHER if context else space) << 5 | epoch << 3 | wide << 2 | code
    size = 2 + wide + _SEQ_SIZES[code]
    if context:
        head = head << 8 | space | _CONTEXT_FOLLOWS
        size += 1
    number = (head << (16 if wide else 8) | node) << 8 * _SEQ_SIZES[code] | seq
    return number.to_bytes(size, "big") + context


def parse(frame: bytes) -> Header:
    """The header of a frame that is long enough to hold a message and its tag. Raises WireError and nothing else."""
    size = len(frame)
    if size > MAX_FRAME:
        raise WireError(TOO_LONG, "frame")
    if size < 2:
        raise WireError(TRUNCATED, "frame")
    control = frame[0]
    if control & 0x80:
        raise WireError(UNSUPPORTED, "frame version")
    space = control >> 5
    at = 1
    context_size = 0
    if space == _OTHER:
        space = frame[1] & 3
        if frame[1] & ~3 != _CONTEXT_FOLLOWS or space > DOWN:
            raise WireError(UNSUPPORTED, "other space")
        context_size = CONTEXT_SIZE
        at = 2
    node_size = 2 if control & 4 else 1
    seq_size = _SEQ_SIZES[control & 3]
    body = at + node_size + seq_size + context_size
    if size <= body + TAG_SIZE:
        raise WireError(TRUNCATED, "frame")
    node = int.from_bytes(frame[at : at + node_size], "big")
    at += node_size
    seq = int.from_bytes(frame[at : at + seq_size], "big")
    at += seq_size
    if node == 0:
        raise WireError(RANGE, "node address")
    if (node_size == 2 and node < 256) or (seq_size > 1 and seq >> 8 * _SEQ_SIZES[(control & 3) - 1] == 0):
        raise WireError(NOT_CANONICAL, "frame header")
    return Header(space, control >> 3 & 3, node, seq, bytes(frame[at:body]), body)
