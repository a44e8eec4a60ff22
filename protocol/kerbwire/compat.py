"""What differs between MicroPython and CPython: AES, and nothing else.

`aead(key)` gives AES-CCM-16-64-128 (RFC 9053 section 4.2) as an object with
`encrypt(nonce, message, aad)` and `decrypt(nonce, sealed, aad)`; decrypt raises WireError("unsealed").
"""

import sys

from kerbwire.errors import UNSEALED, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Aead(Protocol):
        def encrypt(self, nonce: bytes, message: bytes, aad: bytes) -> bytes: ...

        def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes: ...


if sys.implementation.name == "micropython":
    from cryptolib import aes  # type: ignore

    from kerbwire.ccm import Ccm

    def ecb(key: bytes, blocks: bytes) -> bytes:
        """Whole 16-byte blocks, each encrypted on its own."""
        return aes(key, 1).encrypt(blocks)  # type: ignore

    def cbc(key: bytes, blocks: bytes) -> bytes:
        """Whole 16-byte blocks, chained from a zero vector."""
        return aes(key, 2, bytes(16)).encrypt(blocks)  # type: ignore

    def _aead(key: bytes) -> "Aead":
        return Ccm(key, ecb, cbc)

else:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    class _NativeCcm:
        def __init__(self, key: bytes):
            self._cipher = AESCCM(key, tag_length=8)

        def encrypt(self, nonce: bytes, message: bytes, aad: bytes) -> bytes:
            return self._cipher.encrypt(nonce, message, aad)

        def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
            try:
                return self._cipher.decrypt(nonce, sealed, aad)
            except InvalidTag:
                raise WireError(UNSEALED, "tag does not match")

    def _aead(key: bytes) -> "Aead":
        return _NativeCcm(key)


def aead(key: bytes) -> "Aead":
    """AES-CCM of one 16-byte key: on a board from ECB and CBC, elsewhere at native speed."""
    return _aead(key)


def const(value: int) -> int:
    """MicroPython folds `NAME = const(1)` into the code that uses it; elsewhere it is the value itself."""
    return value
