"""AES-CCM-16-64-128 on a block cipher that offers only ECB and CBC, as MicroPython's `cryptolib` does.

NIST SP 800-38C with a 13-byte nonce, a 2-byte length field and an 8-byte tag (RFC 9053 section 4.2, COSE algorithm 10).
One CBC call computes the MAC, one ECB call encrypts all counter blocks.
"""

from kerbwire.errors import RANGE, TRUNCATED, UNSEALED, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    BlockCipher = Callable[[bytes, bytes], bytes]

NONCE_SIZE = 13
TAG_SIZE = 8
MAX_PLAINTEXT = 65535  # what the 2-byte length field can say
MAX_AAD = 0xFEFF  # longer additional data takes another length form, which nothing here needs

_FLAGS = 0x40 | (TAG_SIZE - 2) // 2 << 3 | 1  # SP 800-38C A.2.1: additional data present, tag length, length field of 2


class Ccm:
    """One key. `ecb(key, blocks)` and `cbc(key, blocks)` encrypt whole 16-byte blocks, CBC from a zero vector."""

    def __init__(self, key: bytes, ecb: "BlockCipher", cbc: "BlockCipher"):
        self._key = key
        self._ecb = ecb
        self._cbc = cbc

    def encrypt(self, nonce: bytes, message: bytes, aad: bytes) -> bytes:
        """Ciphertext followed by the 8-byte tag. aad must not be empty."""
        _check(nonce, len(message), aad)
        stream = self._stream(nonce, len(message))
        tag = _xor(self._mac(nonce, message, aad), stream[:TAG_SIZE])
        return _xor(message, stream[16 : 16 + len(message)]) + tag

    def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The message; WireError("unsealed") when the tag does not match, compared in constant time."""
        size = len(sealed) - TAG_SIZE
        if size < 0:
            raise WireError(TRUNCATED, "shorter than its tag")
        _check(nonce, size, aad)
        stream = self._stream(nonce, size)
        message = _xor(sealed[:size], stream[16 : 16 + size])
        expected = _xor(self._mac(nonce, message, aad), stream[:TAG_SIZE])
        if not equal(expected, sealed[size:]):
            raise WireError(UNSEALED, "tag does not match")
        return message

    def _mac(self, nonce: bytes, message: bytes, aad: bytes) -> bytes:
        head = bytes((_FLAGS,)) + nonce + len(message).to_bytes(2, "big") + len(aad).to_bytes(2, "big") + aad
        blocks = head + bytes(-len(head) % 16) + message + bytes(-len(message) % 16)
        return self._cbc(self._key, blocks)[-16:][:TAG_SIZE]

    def _stream(self, nonce: bytes, size: int) -> bytes:
        counters = bytearray()
        start = b"\x01" + nonce
        for block in range((size + 15) // 16 + 1):
            counters += start + block.to_bytes(2, "big")
        return self._ecb(self._key, bytes(counters))


def _check(nonce: bytes, size: int, aad: bytes) -> None:
    if len(nonce) != NONCE_SIZE or not 0 < len(aad) <= MAX_AAD or size > MAX_PLAINTEXT:
        raise WireError(RANGE, "nonce, additional data or message length")


def equal(a: bytes, b: bytes) -> bool:
    """Whether two byte strings are the same, in a time that depends on their length only."""
    if len(a) != len(b):
        return False
    difference = 0
    for x, y in zip(a, b):
        difference |= x ^ y
    return difference == 0


def _xor(a: bytes, b: bytes) -> bytes:
    # Whole-number arithmetic runs in C on both runtimes; a loop over bytes would not.
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(len(a), "big") if a else b""
