"""The registry's file: nodes, their secrets, and the memory from which the intake is answered.

Secrets are encrypted at rest (AES-256-GCM, bound to address and epoch) under a key file of mode 0600 beside the
registry; the registry alone opens nothing. In memory they stay sealed too, until a key is derived. No representation
of a node shows its secret.
"""

import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kerbgate.errors import RegistryError
from kerbgate.registry import keyfile, schema, states
from kerbgate.registry.cards import Card, check_kind

SECRET_SIZE = 16  # bytes: the master secret of kerbwire.seal
MAX_ADDRESS = 65535
NO_SECRET = b""

_NONCE_SIZE = 12
_CHECK = b"kerbstone registry 1"  # sealed under the key: tells a wrong key file from a damaged row
_BUSY_TIMEOUT_S = 5.0  # another process (kerb provision) writes one row at a time
_BOARD = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_UNIQUE_ID = re.compile(r"[0-9a-f]{2,64}")
_HOT = "SELECT address, site, role, board, state, epoch, secret FROM node"
_CARD_FIELDS = (
    "address", "site", "role", "board", "state", "epoch", "unique_id", "settings", "provisions", "changed_ms",
    "rekey_since_ms", "unfinished", "asset",
)  # fmt: skip
_CARD = (
    "SELECT address, node.site, node.role, board, state, epoch, unique_id, settings, provisions, changed_ms,"
    " rekey_since_ms, reservation IS NOT NULL, binding.asset FROM node"
    " LEFT JOIN binding ON binding.node = address AND until_ms IS NULL"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `sealed` is the encrypted secret, which `Registry.secret` opens; empty where the state has none."""

    address: int
    site: str
    role: str
    board: str
    state: str
    epoch: int
    sealed: bytes = field(repr=False, compare=False)


class Registry:
    """The nodes of one gateway or one bench. `get` answers from memory; `refresh` takes in what others changed."""

    def __init__(self, path: Path, *, create: bool = False):
        """Open a registry, or with `create` make it and its key file. RegistryError says what is missing."""
        self.path = path
        self.key_path = path.with_suffix(".key")
        if create and not path.exists():
            keyfile.make(self.key_path)
        elif not path.exists():
            raise RegistryError(
                f"there is no registry at {path}",
                "correct the path, or make one: kerb gateway init (gateway), kerb registry init (bench)",
            )
        self._aead = AESGCM(keyfile.read(self.key_path))
        self._lock = threading.RLock()  # several boards are provisioned at once, each in a thread
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._open(create)
            self._nodes: dict[int, Node] = {}
            self._version = -1
            self._read()
        except sqlite3.Error as error:
            raise RegistryError(f"the registry {path} cannot be opened: {error}", keyfile.RESTORE) from error

    def _open(self, create: bool) -> None:
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA secure_delete=ON")  # a secret that was replaced is not left in a free page
        version = schema.version_of(self._db)
        if version == 0 and not create:
            raise RegistryError(f"{self.path} is no registry", "correct registry = in the configuration")
        if version > schema.VERSION:
            raise RegistryError(f"the registry {self.path} was written by a later version", "upgrade this gateway")
        if version < schema.VERSION:
            self.path.chmod(0o600)
            with self.transaction() as db:
                fresh = schema.version_of(db) == 0  # another process may have been first
                schema.migrate(db)
                if fresh:
                    db.execute("INSERT INTO meta VALUES ('check', ?)", (self._seal(_CHECK, b"check"),))
        row = self._db.execute("SELECT value FROM meta WHERE name='check'").fetchone()
        if row is None or self._unseal(row[0], b"check") != _CHECK:
            raise RegistryError(f"the registry {self.path} is not complete", keyfile.RESTORE)

    def close(self) -> None:
        with self._lock:  # a thread may be reading
            self._db.close()

    # What the intake asks, frame by frame: memory only.

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, address: int) -> Node | None:
        """The node with this address, from memory."""
        return self._nodes.get(address)

    def list(self) -> "list[Node]":
        """All nodes by address."""
        return [self._nodes[address] for address in sorted(self._nodes)]

    def secret(self, node: Node) -> bytes:
        """A node's master secret in the clear: derive from it and let it go. RegistryError where there is none."""
        if not node.sealed:
            raise RegistryError(f"node {node.address} is {node.state}: its secret is gone", "provision the node again")
        return self._unseal(node.sealed, bound_to(node.address, node.epoch))

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
        rows = self._db.execute(f"{_HOT} WHERE state != ?", (states.PENDING,)).fetchall()
        self._nodes = {row[0]: Node(*row) for row in rows}
        self._version = version
        return True

    # What people ask.

    def card(self, address: int) -> Card:
        """All that is known of a node but its secret. RegistryError if it is not there."""
        row = self._db.execute(f"{_CARD} WHERE address=?", (address,)).fetchone()
        if row is None:
            raise RegistryError(f"node {address} is not in the registry", "check the address on the node's label")
        return _card(row)

    def cards(self, site: str | None = None) -> "list[Card]":
        """All nodes by address, or those of one site."""
        rows = self._db.execute(f"{_CARD} WHERE ? IS NULL OR node.site=? ORDER BY address", (site, site)).fetchall()
        return [_card(row) for row in rows]

    # Changes.

    def add(self, *, address: int, site: str, role: str, board: str, secret: bytes, epoch: int = 0) -> Node:
        """Add a node that has its secret already, in state stock. RegistryError unless the address is free."""
        check(address, site, role, board)
        if len(secret) != SECRET_SIZE or not 0 <= epoch <= 3:
            raise RegistryError("the node's secret or key epoch has the wrong size", "provision the node again")
        sealed = self.seal_secret(secret, address, epoch)
        node = Node(address, site, role, board, states.STOCK, epoch, sealed)
        with self.transaction() as db:
            try:
                db.execute(
                    "INSERT INTO node (address, site, role, board, state, epoch, secret, changed_ms)"
                    " VALUES (?,?,?,?,?,?,?,?)",
                    (address, site, role, board, states.STOCK, epoch, sealed, now_ms()),
                )
            except sqlite3.IntegrityError as error:
                raise RegistryError(f"node {address} is in the registry already", "choose another address") from error
        self._nodes[address] = node
        return node

    def remove(self, address: int) -> None:
        """Take a node and its history out; its frames are then those of a stranger. RegistryError if not there."""
        with self.transaction() as db:
            self.card(address)
            db.execute("DELETE FROM binding WHERE node=?", (address,))
            db.execute("DELETE FROM node WHERE address=?", (address,))
        self._nodes.pop(address, None)

    def revoke(self, address: int) -> None:
        """The node was stolen: refuse it from now on, and forget its secret. RegistryError if it is not there."""
        self.mark(address, states.STEAL)

    def mark(self, address: int, event: str) -> Card:
        """Change a node's state by an event of `states`, but for those that need more (provision, bind)."""
        with self.transaction() as db:
            self.move(db, address, event)
        self.take_in(address)
        return self.card(address)

    def move(self, db: sqlite3.Connection, address: int, event: str) -> str:
        """Within a transaction: the node's new state, with all that belongs to it. RegistryError."""
        card, now = self.card(address), now_ms()
        state = states.after(address, card.state, event)
        if state == states.STOCK and event in (states.PROVISION, states.READMIT) and card.asset is not None:
            state = states.after(address, state, states.BIND)  # an asset that it kept in quarantine has it again
        db.execute("UPDATE node SET state=?, changed_ms=? WHERE address=?", (state, now, address))
        if state not in states.KEYED:
            db.execute("UPDATE node SET secret=?, rekey_since_ms=NULL WHERE address=?", (NO_SECRET, address))
        if state not in states.PLACED:
            db.execute("UPDATE binding SET until_ms=? WHERE node=? AND until_ms IS NULL", (now, address))
        return state

    # What the modules of this package build on.

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """One change, whole or not at all, durable when this returns. RegistryError if the file does not take it."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise RegistryError(
                    f"the registry {self.path} did not take a change: {error}",
                    "check free space and other programs that hold it, then try again",
                ) from error

    def take_in(self, *addresses: int) -> None:
        """Bring these nodes in memory to what was just committed."""
        for address in addresses:
            row = self._db.execute(f"{_HOT} WHERE address=? AND state != ?", (address, states.PENDING)).fetchone()
            if row is None:
                self._nodes.pop(address, None)
            else:
                self._nodes[address] = Node(*row)

    def query(self, text: str, *values: object) -> "list[tuple[Any, ...]]":
        """Rows of a reading statement."""
        with self._lock:
            return self._db.execute(text, values).fetchall()

    def seal_secret(self, secret: bytes, address: int, epoch: int) -> bytes:
        return self._seal(secret, bound_to(address, epoch))

    def seal_meta(self, clear: bytes, name: str) -> bytes:
        """Encrypt what lies in `meta` under this name."""
        return self._seal(clear, b"meta " + name.encode())

    def unseal_meta(self, sealed: bytes, name: str) -> bytes:
        return self._unseal(sealed, b"meta " + name.encode())

    def _seal(self, clear: bytes, bound: bytes) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, clear, bound)

    def _unseal(self, sealed: bytes, bound: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], bound)
        except (InvalidTag, ValueError) as error:
            raise RegistryError(
                f"the key file {self.key_path} does not open the registry {self.path}",
                "put back the key file that was made with this registry",
            ) from error


def bound_to(address: int, epoch: int) -> bytes:
    """What a sealed secret is bound to, so that rows cannot be swapped."""
    return b"node %d %d" % (address, epoch)


def now_ms() -> int:
    """UTC, Unix milliseconds, for the registry's own notes of when."""
    return time.time_ns() // 1_000_000


def check(address: int, site: str, role: str, board: str, unique_id: str | None = None) -> None:
    """RegistryError if these cannot be a node's."""
    if not 1 <= address <= MAX_ADDRESS:
        raise RegistryError(f"node address {address} is out of range", f"use 1 to {MAX_ADDRESS}")
    check_kind(site, role)
    if not _BOARD.fullmatch(board):
        raise RegistryError(f"board {board[:64]!r} is no name", "use a-z, 0-9, - and _, at most 32")
    if unique_id is not None and not _UNIQUE_ID.fullmatch(unique_id):
        raise RegistryError(f"the board's unique id {unique_id[:64]!r} is no hex string", "flash the board again")


def _card(row: tuple[Any, ...]) -> Card:
    values: dict[str, Any] = dict(zip(_CARD_FIELDS, row, strict=True))
    values["settings"], values["unfinished"] = json.loads(values["settings"]), bool(values["unfinished"])
    return Card(**values)
