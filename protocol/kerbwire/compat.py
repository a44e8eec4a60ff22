"""What differs between MicroPython and CPython: AES, and nothing else.

`aead(key)` gives AES-CCM-16-64-128 (RFC 9053 section 4.2) as an object with
`encrypt(nonce, message, aad)` and `decrypt(nonce, sealed, aad)`; decrypt raises WireError("unsealed").
"""

import sys

from kerbwire.errors import UNSEALED, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from kerbwire.ccm import BlockCipher

    class Aead(Protocol):
        def encrypt(self, nonce: bytes, message: bytes, aad: bytes) -> bytes: ...

        def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes: ...


if sys.implementation.name == "micropython":
    from cryptolib import aes  # type: ignore

    from kerbwire.ccm import Ccm

    def block_ciphers(key: bytes) -> "tuple[BlockCipher, BlockCipher]":
        """(ECB, CBC from a zero vector) over whole 16-byte blocks, which each overwrites and returns."""
        # Kept: setting up a key takes longer than encrypting four blocks.
        blocks_of: "Any" = aes(key, 1)  # type: ignore

        def ecb(blocks: bytearray) -> bytearray:
            blocks_of.encrypt(blocks, blocks)  # type: ignore
            return blocks

        def cbc(blocks: bytearray) -> bytearray:
            # By hand (SP 800-38A section 6.2): an `aes` for each chain is 320 bytes in one piece of the heap.
            block = bytearray(16)
            for at in range(0, len(blocks), 16):
                for place in range(16):
                    block[place] ^= blocks[at + place]
                blocks[at : at + 16] = ecb(block)
            return blocks

        return ecb, cbc

    def _aead(key: bytes) -> "Aead":
        return Ccm(*block_ciphers(key))

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
