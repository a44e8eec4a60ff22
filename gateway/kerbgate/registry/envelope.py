"""Sealing a registry export to one gateway, and opening it: HPKE's authenticated mode in its simplest shape.

    file    = header || ciphertext
    header  = magic (8) || serial (8, big-endian) || sender's public key (32) || receiver's (32) || ephemeral (32)
    key     = HKDF-SHA256(X25519(ephemeral, receiver) || X25519(sender, receiver), salt = header, info, 32 bytes)
    ciphertext = ChaCha20-Poly1305(key, nonce = 0, aad = header); a key seals one file, since its ephemeral is fresh

Only the receiver's private key opens it (RFC 7748, RFC 5869, RFC 8439), and only a holder of the sender's can have made
it (RFC 9180 section 5.1.3 derives from the same two secrets). The magic's last byte is the version.
"""

import base64
import hashlib
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kerbgate.errors import RegistryError

PUBLIC_SIZE = 32
MAX_EXPORT = 64 << 20  # bytes of a file: a city's nodes and assets take about a third
MAX_SERIAL = (1 << 63) - 1

_MAGIC = b"KERBREG1"
_INFO = b"kerbstone registry export 1"
_HEADER_SIZE = len(_MAGIC) + 8 + 3 * PUBLIC_SIZE
_NONCE = bytes(12)
_PUBLIC_WORD = "kerbstone-public-key-1"


@dataclass(frozen=True, slots=True)
class Header:
    """What an export says in the clear."""

    serial: int
    sender: bytes
    receiver: bytes
    ephemeral: bytes

    def pack(self) -> bytes:
        return _MAGIC + self.serial.to_bytes(8, "big") + self.sender + self.receiver + self.ephemeral


def read(data: bytes) -> Header:
    """The header of an export. RegistryError for anything else."""
    if len(data) < _HEADER_SIZE or not data.startswith(_MAGIC[:-1]):
        raise RegistryError(
            "this is no registry export", "check which file was copied; make it with: kerb registry export"
        )
    if not data.startswith(_MAGIC):
        raise RegistryError("this export was made by a later version", "upgrade this gateway")
    serial = int.from_bytes(data[8:16], "big")
    keys = [data[16 + i * PUBLIC_SIZE : 16 + (i + 1) * PUBLIC_SIZE] for i in range(3)]
    return Header(serial, keys[0], keys[1], keys[2])


def seal(private: X25519PrivateKey, receiver: bytes, serial: int, body: bytes) -> bytes:
    """An export for one receiver. RegistryError for a public key that is none."""
    ephemeral = X25519PrivateKey.from_private_bytes(os.urandom(PUBLIC_SIZE))
    header = Header(serial, public_of(private), receiver, public_of(ephemeral)).pack()
    secrets = _agree(ephemeral, receiver) + _agree(private, receiver)
    data = header + ChaCha20Poly1305(_key(secrets, header)).encrypt(_NONCE, body, header)
    if len(data) > MAX_EXPORT:
        raise RegistryError("the export is too large", "export one site at a time: --site")
    return data


def unseal(private: X25519PrivateKey, data: bytes) -> bytes:
    """The body of an export for us. RegistryError if any bit is another than the sender's."""
    header = read(data)
    if header.receiver != public_of(private):
        raise RegistryError(
            f"this export is for the gateway {fingerprint(header.receiver)}, not for this one",
            "export it again with --for and this gateway's key: kerb registry public-key",
        )
    secrets = _agree(private, header.ephemeral) + _agree(private, header.sender)
    clear = header.pack()
    try:
        return ChaCha20Poly1305(_key(secrets, clear)).decrypt(_NONCE, data[len(clear) :], clear)
    except InvalidTag as error:
        raise RegistryError("the export is damaged or forged", "copy it again, or make a new export") from error


def public_of(private: X25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def fingerprint(public: bytes) -> str:
    """What two people compare by voice: 80 bits of the key's SHA-256."""
    digits = hashlib.sha256(public).hexdigest()[:20]
    return " ".join(digits[i : i + 4] for i in range(0, 20, 4))


def write_public(public: bytes, name: str) -> str:
    """A public key as one line of text."""
    return f"{_PUBLIC_WORD} {base64.b64encode(public).decode()} {name}\n"


def read_public(text: str) -> tuple[bytes, str]:
    """(public key, name) of such a line. RegistryError."""
    words = text.split()
    try:
        public = base64.b64decode(words[1], validate=True) if len(words) == 3 and words[0] == _PUBLIC_WORD else b""
    except ValueError:
        public = b""
    if len(public) != PUBLIC_SIZE:
        raise RegistryError("this is no public key of a gateway", "make it there with: kerb registry public-key")
    return public, words[2]


def _agree(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:  # a point of small order
        raise RegistryError("this public key is not usable", "make a new one: kerb registry public-key") from error


def _key(secrets: bytes, header: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=header, info=_INFO).derive(secrets)
