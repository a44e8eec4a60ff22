"""AES-CCM-16-64-128 on a block cipher that offers only ECB and CBC, as MicroPython's `cryptolib` does.

NIST SP 800-38C with a 13-byte nonce, a 2-byte length field and an 8-byte tag (RFC 9053 section 4.2, COSE algorithm 10).
One CBC call computes the MAC, one ECB call encrypts all counter blocks, one exclusive or covers MAC and message.
"""

import struct

from kerbwire.errors import RANGE, TRUNCATED, UNSEALED, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    BlockCipher = Callable[[bytearray], bytes | bytearray]

NONCE_SIZE = 13
TAG_SIZE = 8
MAX_PLAINTEXT = 65535  # what the 2-byte length field can say
MAX_AAD = 0xFEFF  # longer additional data takes another length form, which nothing here needs

_BLOCK = 16
_FLAGS = 0x40 | (TAG_SIZE - 2) // 2 << 3 | 1  # SP 800-38C A.2.1: additional data present, tag length, length field of 2
_HEAD = ">B13sHH"  # flags, nonce, length of the message: the first block; length of the additional data before it
_HEAD_SIZE = 18


class Ccm:
    """One key. `ecb(blocks)` and `cbc(blocks)` encrypt whole 16-byte blocks under it, CBC from a zero vector.

    Either may write its result over the blocks that it is given.
    """

    __slots__ = ("_cbc", "_ecb")

    def __init__(self, ecb: "BlockCipher", cbc: "BlockCipher"):
        self._ecb = ecb
        self._cbc = cbc

    def encrypt(self, nonce: bytes, message: bytes, aad: bytes) -> bytes:
        """Ciphertext followed by the 8-byte tag. aad must not be empty."""
        _check(nonce, len(message), aad)
        text = self._crypt(nonce, self._mac(nonce, message, aad) + message)
        return text[_BLOCK : _BLOCK + len(message)] + text[:TAG_SIZE]

    def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The message; WireError("unsealed") when the tag does not match, compared in constant time."""
        size = len(sealed) - TAG_SIZE
        if size < 0:
            raise WireError(TRUNCATED, "shorter than its tag")
        _check(nonce, size, aad)
        text = self._crypt(nonce, sealed[size:] + bytes(_BLOCK - TAG_SIZE) + sealed[:size])
        message = text[_BLOCK : _BLOCK + size]
        if not equal(self._mac(nonce, message, aad)[:TAG_SIZE], text[:TAG_SIZE]):
            raise WireError(UNSEALED, "tag does not match")
        return message

    def _mac(self, nonce: bytes, message: bytes, aad: bytes) -> "bytes | bytearray":
        """The last block of the chain; its first 8 bytes are the tag before encryption."""
        size = len(message)
        start = _HEAD_SIZE + len(aad)
        start += -start % _BLOCK
        blocks = bytearray(start + size + -size % _BLOCK)
        struct.pack_into(_HEAD, blocks, 0, _FLAGS, nonce, size, len(aad))
        blocks[_HEAD_SIZE : _HEAD_SIZE + len(aad)] = aad
        blocks[start : start + size] = message
        return self._cbc(blocks)[-_BLOCK:]

    def _crypt(self, nonce: bytes, text: "bytes | bytearray") -> bytes:
        """A block for the tag and the text behind it, exclusive or the key stream, filled to whole blocks."""
        count = (len(text) + _BLOCK - 1) // _BLOCK
        counters = bytearray((b"\x01" + nonce + b"\x00\x00") * count)
        for number in range(1, count):
            counters[_BLOCK * number + 15] = number & 255
            if number > 255:
                counters[_BLOCK * number + 14] = number >> 8
        # Whole-number arithmetic runs in C on both runtimes; a loop over bytes would not. Little-endian, so that both
        # begin at the same end.
        stream = int.from_bytes(self._ecb(counters), "little")
        return (int.from_bytes(text, "little") ^ stream).to_bytes(_BLOCK * count, "little")


def _check(nonce: bytes, size: int, aad: bytes) -> None:
    if len(nonce) != NONCE_SIZE or not 0 < len(aad) <= MAX_AAD or size > MAX_PLAINTEXT:
        raise WireError(RANGE, "nonce, additional data or message length")


def equal(a: "bytes | bytearray", b: "bytes | bytearray") -> bool:
    """Whether two byte strings are the same, in a time that depends on their length only."""
    if len(a) != len(b):
        return False
    difference = 0
    for x, y in zip(a, b):
        difference |= x ^ y
    return difference == 0
