"""Sealing: frames are compressed COSE_Encrypt0 objects, as OSCORE's are (RFC 8613 section 6).

Keys come from the node's 16-byte master secret. The sender's id is the node's address on the way up and empty on the
way down; the id context is the node's life on the way up, life and instance on the way down. A number is never used
twice under one key, because a life's numbers only grow and an instance lives as long as one gateway process.
"""

from kerbwire import frame as frames
from kerbwire.compat import aead
from kerbwire.errors import RANGE, TOO_LONG, WireError
from kerbwire.frame import Header
from kerbwire.kdf import oscore

SECRET_SIZE = 16
KEY_SIZE = 16
NONCE_SIZE = 13

# Enc_structure of RFC 9052 section 5.3 up to the length byte of external_aad, which is the frame's header:
# ["Encrypt0", h'a1010a' (algorithm 10), header]. `protected` is fixed and never sent.
_AAD_START = b"\x83\x68Encrypt0\x43\xa1\x01\x0a"


class Key:
    """What one sender seals with and its peer opens with. Never shows its bytes."""

    __slots__ = ("_aead", "_nonce")

    def __init__(self, key: bytes, iv: bytes, ident: bytes):
        self._aead = aead(key)
        self._nonce = int.from_bytes(nonce(iv, ident, 0), "big")  # the number of a frame is its low bits

    def __repr__(self) -> str:
        return "<Key>"

    def seal(self, space: int, epoch: int, node: int, seq: int, message: bytes, context: bytes = b"") -> bytes:
        """A whole frame. WireError for a number out of range or a frame over MAX_FRAME."""
        header = frames.pack(space, epoch, node, seq, context)
        if not message or len(header) + len(message) + frames.TAG_SIZE > frames.MAX_FRAME:
            raise WireError(TOO_LONG, "message")
        return header + self._aead.encrypt((self._nonce ^ seq).to_bytes(NONCE_SIZE, "big"), message, aad(header))

    def open(self, frame: bytes, header: Header) -> bytes:
        """The message of a frame whose header was parsed. WireError("unsealed") unless every bit is the sender's."""
        size = header.size
        number = (self._nonce ^ header.seq).to_bytes(NONCE_SIZE, "big")
        return self._aead.decrypt(number, frame[size:], aad(frame[:size]))


def uplink_key(secret: bytes, node: int, life: bytes) -> Key:
    """What a node seals with during one life, in spaces up and other."""
    return _key(secret, node_ident(node), life)


def downlink_key(secret: bytes, life: bytes, instance: bytes) -> Key:
    """What one gateway process seals with towards one life of a node."""
    return _key(secret, b"", life + instance)


def node_ident(node: int) -> bytes:
    """A node's OSCORE sender id: its address in one or two bytes, the shorter that fits."""
    return node.to_bytes(2 if node > 255 else 1, "big")


def nonce(iv: bytes, ident: bytes, seq: int) -> bytes:
    """The 13-byte AEAD nonce of RFC 8613 section 5.2 from the common IV, the sender's id and its sequence number."""
    plain = bytes((len(ident),)) + bytes(NONCE_SIZE - 6 - len(ident)) + ident + seq.to_bytes(5, "big")
    return (int.from_bytes(iv, "big") ^ int.from_bytes(plain, "big")).to_bytes(NONCE_SIZE, "big")


def _key(secret: bytes, ident: bytes, context: bytes) -> Key:
    if len(secret) != SECRET_SIZE or len(context) not in (frames.CONTEXT_SIZE, 2 * frames.CONTEXT_SIZE):
        raise WireError(RANGE, "key derivation")
    key = oscore(secret, b"", ident, context, "Key", KEY_SIZE)
    return Key(key, oscore(secret, b"", b"", context, "IV", NONCE_SIZE), ident)


def aad(header: bytes) -> bytes:
    """Enc_structure of RFC 9052 section 5.3 over a frame's header."""
    return _AAD_START + bytes((0x40 | len(header),)) + header
