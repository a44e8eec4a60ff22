"""Which nodes belong to this gateway, and their secrets: one SQLite file, opened nowhere else.

Secrets are encrypted at rest (AES-256-GCM, bound to address and epoch) under a key file of mode 0600 beside the
registry; the registry alone opens nothing. In memory they stay sealed too, until a key is derived. No representation
of a node shows its secret.
"""

import os
import re
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kerbgate.config import NAME
from kerbgate.errors import RegistryError

SECRET_SIZE = 16  # bytes: the master secret of kerbwire.seal
MAX_ADDRESS = 65535
ROLES = ("bin", "lamp")
ACTIVE, REVOKED = "active", "revoked"

_KEY_SIZE = 32
_NONCE_SIZE = 12
_VERSION = 1
_CHECK = b"kerbstone registry 1"  # sealed under the key: tells a wrong key file from a damaged row
_BUSY_TIMEOUT_S = 5.0  # another process (kerb provision) writes one row at a time
_RESTORE = "restore registry and key file together from a backup"
_BOARD = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

_SCHEMA = """
CREATE TABLE node (
    address INTEGER PRIMARY KEY CHECK (address BETWEEN 1 AND 65535),
    site TEXT NOT NULL,
    role TEXT NOT NULL,
    board TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    secret BLOB NOT NULL
);
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `sealed` is the encrypted secret, which `Registry.secret` opens."""

    address: int
    site: str
    role: str
    board: str
    state: str
    epoch: int
    sealed: bytes = field(repr=False, compare=False)


class Registry:
    """The nodes of one gateway. `get` answers from memory; `refresh` takes in what another process changed."""

    def __init__(self, path: Path, *, create: bool = False):
        """Open a registry, or with `create` make it and its key file. RegistryError says what is missing."""
        self.path = path
        self.key_path = path.with_suffix(".key")
        if create and not path.exists():
            _make_key(self.key_path)
        elif not path.exists():
            raise RegistryError(f"there is no registry at {path}", "run: kerb gateway init, or correct registry =")
        self._aead = AESGCM(_read_key(self.key_path))
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._open(create)
            self._nodes: dict[int, Node] = {}
            self._version = -1
            self._read()
        except sqlite3.Error as error:
            raise RegistryError(f"the registry {path} cannot be opened: {error}", _RESTORE) from error

    def _open(self, create: bool) -> None:
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and create:
            self.path.chmod(0o600)
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_VERSION}")
            self._db.execute("INSERT INTO meta VALUES ('check', ?)", (self._seal(_CHECK, b"check"),))
            self._db.execute("COMMIT")
        elif version == 0:
            raise RegistryError(f"{self.path} is no registry", "correct registry = in the configuration")
        elif version > _VERSION:
            raise RegistryError(f"the registry {self.path} was written by a later version", "upgrade this gateway")
        row = self._db.execute("SELECT value FROM meta WHERE name='check'").fetchone()
        if row is None or self._unseal(row[0], b"check") != _CHECK:
            raise RegistryError(f"the registry {self.path} is not complete", _RESTORE)

    def close(self) -> None:
        self._db.close()

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, address: int) -> Node | None:
        """The node with this address, from memory."""
        return self._nodes.get(address)

    def list(self) -> "list[Node]":
        """All nodes by address."""
        return [self._nodes[address] for address in sorted(self._nodes)]

    def secret(self, node: Node) -> bytes:
        """A node's master secret in the clear: derive from it and let it go."""
        return self._unseal(node.sealed, _bound_to(node.address, node.epoch))

    def refresh(self) -> bool:
        """Read the file again if another process changed it; True if so. Cheap when nothing changed.

        Never waits: while another process holds the file it is False, and the next call takes in the change.
        """
        self._db.execute("PRAGMA busy_timeout=0")
        try:
            return self._read()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        finally:
            self._db.execute(f"PRAGMA busy_timeout={round(_BUSY_TIMEOUT_S * 1000)}")

    def _read(self) -> bool:
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return False
        rows = self._db.execute("SELECT address, site, role, board, state, epoch, secret FROM node").fetchall()
        self._nodes = {row[0]: Node(*row) for row in rows}
        self._version = version
        return True

    def add(self, *, address: int, site: str, role: str, board: str, secret: bytes, epoch: int = 0) -> Node:
        """Add a node under an address that is free; RegistryError otherwise. The secret is not kept in the clear."""
        if not 1 <= address <= MAX_ADDRESS:
            raise RegistryError(f"node address {address} is out of range", f"use 1 to {MAX_ADDRESS}")
        if role not in ROLES:
            raise RegistryError(f"role {role!r} is not known", "use one of " + ", ".join(ROLES))
        if not NAME.fullmatch(site) or not _BOARD.fullmatch(board):
            raise RegistryError(f"site {site!r} or board {board!r} is no name", "use a-z, 0-9, - and _, at most 32")
        if len(secret) != SECRET_SIZE or not 0 <= epoch <= 3:
            raise RegistryError("the node's secret or key epoch has the wrong size", "provision the node again")
        node = Node(address, site, role, board, ACTIVE, epoch, self._seal(secret, _bound_to(address, epoch)))
        try:
            self._db.execute(
                "INSERT INTO node VALUES (?,?,?,?,?,?,?)", (address, site, role, board, ACTIVE, epoch, node.sealed)
            )
        except sqlite3.IntegrityError as error:
            raise RegistryError(f"node {address} is in the registry already", "choose another address") from error
        self._nodes[address] = node
        return node

    def remove(self, address: int) -> None:
        """Take a node out; its frames are then those of a stranger. RegistryError if it is not there."""
        if self._db.execute("DELETE FROM node WHERE address=?", (address,)).rowcount == 0:
            raise RegistryError(f"node {address} is not in the registry", "check the address on the node's label")
        self._nodes.pop(address, None)

    def revoke(self, address: int) -> None:
        """Refuse a node from now on, and keep its row. RegistryError if it is not there."""
        if self._db.execute("UPDATE node SET state=? WHERE address=?", (REVOKED, address)).rowcount == 0:
            raise RegistryError(f"node {address} is not in the registry", "check the address on the node's label")
        self._version = -1
        self._read()

    def _seal(self, clear: bytes, bound_to: bytes) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, clear, bound_to)

    def _unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], bound_to)
        except (InvalidTag, ValueError) as error:
            raise RegistryError(
                f"the key file {self.key_path} does not open the registry {self.path}",
                "put back the key file that was made with this registry",
            ) from error


def _bound_to(address: int, epoch: int) -> bytes:
    return b"node %d %d" % (address, epoch)


def _make_key(path: Path) -> None:
    """Write a new key file, whole or not at all; an existing one is never touched."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".key.new")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_SIZE))
            file.flush()
            os.fsync(descriptor)
        path.hardlink_to(draft)  # fails where a key exists, unlike a rename
        draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except FileExistsError as error:
        raise RegistryError(
            f"a key file without its registry lies at {path}",
            "restore the registry from a backup, or move the key file away",
        ) from error
    except OSError as error:
        raise RegistryError(
            f"the key file {path} cannot be made: {error}", "check the folder and free space"
        ) from error


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(_KEY_SIZE + 1)
    except OSError as error:
        raise RegistryError(f"the registry's key file {path} cannot be read: {error.strerror}", _RESTORE) from error
    if mode & 0o077:
        raise RegistryError(f"the key file {path} can be read by others", f"run: chmod 600 {path}")
    if len(key) != _KEY_SIZE:
        raise RegistryError(f"the key file {path} is not {_KEY_SIZE} bytes long", "restore it from a backup")
    return key
