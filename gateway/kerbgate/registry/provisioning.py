"""Giving a node its secret, in two steps, so that nothing is half valid wherever it is cut.

    reserve   an address is taken for one board; no secret exists in the registry
    (the board is written and read back)
    commit    secret, state, asset and, for a replacement, the former node change in one transaction

Until `commit` the registry holds what it held: a node that is provisioned again keeps its old secret here, a new one
has none, so that what a half-written board sends is refused. Whoever reserves later wins; the other's commit fails.
"""

import json
import os
import sqlite3
from dataclasses import dataclass, field

from kerbgate.errors import RegistryError
from kerbgate.registry import cards, inventory, states
from kerbgate.registry.cards import Asset, Card
from kerbgate.registry.registry import MAX_ADDRESS, NO_SECRET, SECRET_SIZE, Registry, check, now_ms

_TOKEN_SIZE = 8
_EPOCH = 0  # a new secret begins a new count of epochs


@dataclass(frozen=True, slots=True)
class Reservation:
    """An address that waits for its board."""

    address: int
    unique_id: str
    token: bytes = field(repr=False)


def reserve(
    registry: Registry,
    *,
    unique_id: str,
    site: str,
    role: str,
    board: str,
    address: int | None = None,
    claimed: int | None = None,
) -> Reservation:
    """Reserve an address for a board: its own if it has one already, the given one, or the next free one.

    claimed: the address in the identity that lies on the board now; it tells whose board this is where the registry
    does not know the unique id. RegistryError for an address that another board has.
    """
    token = os.urandom(_TOKEN_SIZE)
    with registry.transaction() as db:
        own = _own(db, unique_id)
        if address is None:
            address = own if own is not None else _next_free(db)
        check(address, site, role, board, unique_id)
        if own is not None and own != address:
            if registry.card(own).state != states.PENDING:
                raise RegistryError(
                    f"this board is node {own} already", f"provision it again as node {own}, or retire node {own} first"
                )
            db.execute("DELETE FROM node WHERE address=?", (own,))
        _claim(registry, db, address, unique_id, claimed, (site, role, board))
        db.execute("UPDATE node SET reservation=? WHERE address=?", (token, address))
    registry.take_in(*{address, own if own is not None else address})
    return Reservation(address, unique_id, token)


def commit(
    registry: Registry,
    reservation: Reservation,
    secret: bytes,
    *,
    site: str,
    role: str,
    board: str,
    settings: dict[str, int],
    asset: Asset | None = None,
    replaces: int | None = None,
    start_hours: int | None = None,
) -> Card:
    """The board holds this secret, read back: make the node valid. RegistryError leaves everything as it was.

    asset: where the node goes; None leaves it where it is. replaces: the node that leaves that asset, for the depot.
    """
    address = reservation.address
    if len(secret) != SECRET_SIZE:
        raise RegistryError("the node's secret has the wrong size", "provision the node again")
    with registry.transaction() as db:
        _check_token(db, reservation)
        card = registry.card(address)
        here = asset or (inventory.asset(registry, card.asset) if card.asset is not None else None)
        if here is not None and (here.site, here.role) != (site, role):
            raise RegistryError(
                f"asset {here.asset} is a {here.role} of site {here.site}, the node a {role} of {site}",
                "give the asset's own site and role, or unbind the node first",
            )
        db.execute(
            "UPDATE node SET site=?, role=?, board=?, epoch=?, secret=?, unique_id=?, settings=?,"
            " provisions=provisions+1, rekey_since_ms=NULL, reservation=NULL WHERE address=?",
            (
                site, role, board, _EPOCH, registry.seal_secret(secret, address, _EPOCH), reservation.unique_id,
                json.dumps(settings, sort_keys=True), address,
            ),
        )  # fmt: skip
        registry.move(db, address, states.PROVISION)
        if replaces is not None:
            _make_room(registry, db, replaces)
        if asset is not None:
            inventory.place(registry, db, address, asset, start_hours)
    registry.take_in(address, *([] if replaces is None else [replaces]))
    return registry.card(address)


def release(registry: Registry, reservation: Reservation) -> None:
    """Give an address back whose board was not written. What the registry held before is untouched."""
    with registry.transaction() as db:
        _check_token(db, reservation)
        db.execute("UPDATE node SET reservation=NULL WHERE address=?", (reservation.address,))
        db.execute("DELETE FROM node WHERE address=? AND state=?", (reservation.address, states.PENDING))


def of_board(registry: Registry, unique_id: str) -> Card | None:
    """The node whose board this is, finished or not; a retired one does not count."""
    rows = registry.query("SELECT address FROM node WHERE unique_id=? AND state != ?", unique_id, states.RETIRED)
    return registry.card(rows[0][0]) if rows else None


def begin_rekey(registry: Registry, site: str, *, quarantine: bool = False) -> list[Card]:
    """Mark every node of a site that holds a secret as waiting for a new one, or go on with a round that is not done.

    quarantine: refuse their frames until then. Returns those that wait. RegistryError if the site has none.
    """
    with registry.transaction() as db:
        found = [card for card in registry.cards(site) if card.state in states.KEYED]
        if not found:
            raise RegistryError(f"site {site[: cards.MAX_TEXT]!r} has no node with a secret", "check the site's name")
        if all(card.rekey_since_ms is None for card in found):
            now = now_ms()
            for card in found:
                db.execute("UPDATE node SET rekey_since_ms=? WHERE address=?", (now, card.address))
        waiting = [card for card in registry.cards(site) if card.rekey_since_ms is not None]
        if quarantine:
            for card in waiting:
                if card.state in states.HEARD:
                    registry.move(db, card.address, states.QUARANTINE)
    registry.take_in(*(card.address for card in waiting))
    return [registry.card(card.address) for card in waiting]


def _own(db: sqlite3.Connection, unique_id: str) -> int | None:
    row = db.execute(
        "SELECT address FROM node WHERE unique_id=? AND state != ? ORDER BY state=?",
        (unique_id, states.RETIRED, states.PENDING),
    ).fetchone()
    return None if row is None else row[0]


def _next_free(db: sqlite3.Connection) -> int:
    """Above the highest that was ever given; once that is reached, the lowest gap."""
    highest = db.execute("SELECT coalesce(max(address), 0) FROM node").fetchone()[0]
    if highest < MAX_ADDRESS:
        return highest + 1
    given = {row[0] for row in db.execute("SELECT address FROM node")}
    for address in range(1, MAX_ADDRESS):
        if address not in given:
            return address
    raise RegistryError("no node address is free", "use a registry a district")


def _claim(
    registry: Registry,
    db: sqlite3.Connection,
    address: int,
    unique_id: str,
    claimed: int | None,
    made: tuple[str, str, str],
) -> None:
    """See that the row of this address is this board's."""
    row = db.execute("SELECT state, unique_id FROM node WHERE address=?", (address,)).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO node (address, site, role, board, state, epoch, secret, unique_id, provisions, changed_ms)"
            " VALUES (?,?,?,?,?,?,?,?,0,?)",
            (address, *made, states.PENDING, _EPOCH, NO_SECRET, unique_id, now_ms()),
        )
        return
    state, known = row
    if state == states.PENDING:
        db.execute("UPDATE node SET site=?, role=?, board=?, unique_id=? WHERE address=?", (*made, unique_id, address))
    elif known == unique_id or (known is None and claimed == address):
        states.after(address, state, states.PROVISION)
    else:
        raise _duplicate(address)


def _make_room(registry: Registry, db: sqlite3.Connection, former: int) -> None:
    if registry.card(former).state in states.KEYED:
        registry.move(db, former, states.RETURN)


def _check_token(db: sqlite3.Connection, reservation: Reservation) -> None:
    row = db.execute("SELECT reservation FROM node WHERE address=?", (reservation.address,)).fetchone()
    if row is None or row[0] != reservation.token:
        raise RegistryError(
            f"address {reservation.address} was reserved for another board meanwhile",
            "see who else provisions with this registry, then provision this board again",
        )


def _duplicate(address: int) -> RegistryError:
    return RegistryError(
        f"another board is node {address} already",
        f"leave the address out for the next free one; to swap boards: --replace {address}",
    )
