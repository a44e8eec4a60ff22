"""Key derivation: HMAC-SHA256 (RFC 2104), HKDF-SHA256 (RFC 5869), and OSCORE's use of it (RFC 8613 section 3.2.1)."""

from hashlib import sha256

from kerbwire import cbor
from kerbwire.errors import RANGE, WireError

AES_CCM_16_64_128 = 10  # COSE algorithm number, RFC 9053 section 4.2
HASH_SIZE = 32
_BLOCK_SIZE = 64
_MAX_OUTPUT = 255 * HASH_SIZE  # RFC 5869 section 2.3


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """The 32-byte HMAC-SHA256 of a message."""
    if len(key) > _BLOCK_SIZE:
        key = sha256(key).digest()
    key = key + bytes(_BLOCK_SIZE - len(key))
    inner = sha256(bytes(byte ^ 0x36 for byte in key))
    inner.update(message)
    outer = sha256(bytes(byte ^ 0x5C for byte in key))
    outer.update(inner.digest())
    return outer.digest()


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF extract and expand; an empty salt stands for 32 zero bytes. WireError("range") beyond 8,160 bytes."""
    if not 0 < size <= _MAX_OUTPUT:
        raise WireError(RANGE, "HKDF output size")
    pseudorandom_key = hmac_sha256(salt or bytes(HASH_SIZE), secret)
    output = block = b""
    counter = 1
    while len(output) < size:
        block = hmac_sha256(pseudorandom_key, block + info + bytes((counter,)))
        output += block
        counter += 1
    return output[:size]


def oscore(secret: bytes, salt: bytes, ident: bytes, id_context: "bytes | None", kind: str, size: int) -> bytes:
    """One output of RFC 8613 section 3.2.1.

    secret, salt: the master secret and master salt. ident: the sender's id, empty for a common IV.
    id_context: the context, or None for none. kind: "Key" or "IV". size: 16 for a key, 13 for an IV.
    """
    info = cbor.encode([ident, id_context, AES_CCM_16_64_128, kind, size])
    return hkdf_sha256(secret, salt, info, size)
