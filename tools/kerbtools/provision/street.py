"""A lamp's place in its street: /node/street.cbor, the group's key and the member number that it speaks under (law 8).

The street is a group with a `scope` in the gateway's groups file; its lamps stand along the street in the order in
which that file names them. A member number is a place, and above it a generation. The place is the lamp's for ever: its
neighbours know it by that after each new provisioning. The generation is a new one each time, because the lamp's
sequence numbers begin anew. No number is given twice under one key: that is kept beside the registry, by the key's
fingerprint. So a site is commissioned from one registry.
"""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kerbgate import audit
from kerbgate.commands.brighten import MEMBER
from kerbgate.commands.groups import Group, Groups
from kerbgate.registry import SECRET_SIZE
from kerbnode.lamp.street import PLACES  # pyright: ignore[reportUnknownVariableType]
from kerbtools.provision.errors import OrderError
from kerbwire import cbor
from kerbwire.group import MAX_MEMBER, MAX_SENDERS

STREET = "/node/street.cbor"
MEMBERS = ".members"  # behind the registry's name
FIRST_PLACE = MEMBER + 1  # the gateway's own comes before
REACH = MAX_SENDERS // 8  # neighbours on either side that a lamp is told of
MIN_SPACING_M, MAX_SPACING_M = 5.0, 200.0  # bounds of the setting spacing_dm
_TABLE = (
    "CREATE TABLE IF NOT EXISTS member (key TEXT, node INTEGER, place INTEGER, used INTEGER, PRIMARY KEY (key, node))"
)
_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Streets:
    """groups: of the site, by the file. book: where the numbers are kept. spacing_m: None leaves the setting alone."""

    groups: Groups
    file: Path
    key: bytes
    book: Path
    spacing_m: float | None = None

    @classmethod
    def load(cls, file: Path, key_file: Path, registry: Path, spacing_m: float | None) -> "Streets":
        """OrderError, ConfigError for the groups file, AuditError for the key's."""
        if spacing_m is not None and not MIN_SPACING_M <= spacing_m <= MAX_SPACING_M:
            raise OrderError(f"columns {spacing_m:g} m apart are no street", "give the metres from column to column")
        key = audit.private_file(key_file, SECRET_SIZE + 1)
        return cls(Groups.load("", file), file, key, registry.with_name(registry.name + MEMBERS), spacing_m)

    def settings(self) -> dict[str, int]:
        """What a lamp is told of its street besides."""
        return {} if self.spacing_m is None else {"spacing_dm": round(10 * self.spacing_m)}

    def file_of(self, node: int) -> bytes:
        """/node/street.cbor of a lamp, with the number that `begin` then takes. OrderError."""
        street = self._street(node)
        at = street.chain.index(node)
        below, above = street.chain[max(0, at - REACH) : at][::-1], street.chain[at + 1 : at + 1 + REACH]
        with closing(self._open()) as book:
            places = self._places(book, street.chain)
            (used,) = book.execute("SELECT used FROM member WHERE key=? AND node=?", (self._name(), node)).fetchone()
        member = places[node] + (PLACES + 1) * used
        if member > MAX_MEMBER:
            raise OrderError(
                f"node {node} has been provisioned {used} times under this group's key",
                "give the lamps of the site another: see gateway/COMMANDS.md",
            )
        fields = {1: self.key[1:], 2: self.key[0] & 3, 3: member, 4: street.scope or 0}
        fields |= {5: [places[other] for other in below], 6: [places[other] for other in above]}
        return cbor.encode(fields)

    def begin(self, node: int) -> None:
        """Its number counts as given from now on. Call it before the file is on a board."""
        with closing(self._open()) as book:
            book.execute("UPDATE member SET used=used+1 WHERE key=? AND node=?", (self._name(), node))
            book.execute("COMMIT")

    def _street(self, node: int) -> Group:
        found = [group for group in self.groups.groups() if node in group.nodes and group.scope is not None]
        if len(found) != 1:
            raise OrderError(
                f"node {node} stands in {len(found) or 'no'} streets of {self.file}",
                "name it in one [[group]] with a scope, where it stands in its row; see gateway/COMMANDS.md",
            )
        return found[0]

    def _places(self, book: sqlite3.Connection, chain: tuple[int, ...]) -> dict[int, int]:
        """The place of each lamp of a street; those that have none yet get theirs."""
        key = self._name()
        known: dict[int, int] = dict(book.execute("SELECT node, place FROM member WHERE key=?", (key,)))
        place = max(known.values(), default=FIRST_PLACE - 1)
        for node in chain:
            if node not in known:
                place += 1
                known[node] = place
                book.execute("INSERT INTO member VALUES (?,?,?,0)", (key, node, place))
        if place > PLACES:
            book.execute("ROLLBACK")
            raise OrderError(
                f"the lamps of this site are more than {PLACES - MEMBER}", "give some of them a gateway of their own"
            )
        book.execute("COMMIT")
        return known

    def _open(self) -> sqlite3.Connection:
        """In a transaction that no other process is in."""
        book = sqlite3.connect(self.book, timeout=_WAIT_S, isolation_level=None)
        book.execute("PRAGMA synchronous=FULL")
        book.execute("BEGIN IMMEDIATE")
        book.execute(_TABLE)
        return book

    def _name(self) -> str:
        """The key's fingerprint: what tells keys apart, and nothing more of them."""
        return hashlib.sha256(b"kerb members" + self.key).hexdigest()[:16]
