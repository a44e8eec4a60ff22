"""Registries travel from the bench to a cabinet: exports sealed to one gateway, and what an import takes over.

An import takes all or nothing. It is refused unless it is for this registry, from a sender that was named once, and
newer than the last one taken in from there. Of a node that both know, the side with more provisionings wins; of the
same provisioning, the side that calls it stolen or retired, and then the newer change.
"""

import json
import os
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kerbgate.errors import RegistryError
from kerbgate.registry import cards, envelope, inventory, states
from kerbgate.registry.cards import Asset, Binding
from kerbgate.registry.registry import NO_SECRET, SECRET_SIZE, Registry, check

VERSION = 1
_PRIVATE = "private key"
_PRIVATE_SIZE = 32
_FINAL = (states.STOLEN, states.RETIRED)
_DAMAGED = "make a new export with the version of kerb that this gateway has"


@dataclass(frozen=True, slots=True)
class Taken:
    """What an import did. kept: nodes of which this registry knows newer things."""

    serial: int
    sender: str
    added: int
    changed: int
    kept: int
    assets: int


def public_key(registry: Registry) -> bytes:
    """The registry's X25519 public key; its pair is made when it is first asked for."""
    return envelope.public_of(_private(registry))


def export(registry: Registry, receiver: bytes, *, site: str | None = None) -> tuple[bytes, int, int]:
    """(file, serial, number of nodes): all finished nodes with their secrets and all assets, or those of one site."""
    private = _private(registry)
    nodes: list[dict[str, Any]] = []
    for node in registry.list():
        card = registry.card(node.address)
        if site is None or card.site == site:
            facts = asdict(card)
            for own in ("unfinished", "asset"):
                del facts[own]
            nodes.append(facts | {"secret": registry.secret(node).hex() if node.sealed else ""})
    places = [asdict(place) for place in inventory.assets(registry, site)]
    names = {place["asset"] for place in places}
    history = [asdict(item) for item in inventory.bindings(registry) if item.asset in names]
    body = {"v": VERSION, "nodes": nodes, "assets": places, "bindings": history}
    with registry.transaction() as db:
        serial = _number(db, "receiver " + receiver.hex(), -1) + 1
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", ("receiver " + receiver.hex(), str(serial)))
    return (
        envelope.seal(private, receiver, serial, json.dumps(body, separators=(",", ":")).encode()),
        serial,
        len(nodes),
    )


def take(registry: Registry, data: bytes, *, sender: bytes | None = None) -> Taken:
    """Take an export in, whole or not at all. sender: a public key that is trusted from now on. RegistryError."""
    header = envelope.read(data)
    body = _body(envelope.unseal(_private(registry), data))
    name = "sender " + header.sender.hex()
    with registry.transaction() as db:
        last = _number(db, name, -1)
        if last < 0 and sender != header.sender:
            raise RegistryError(
                f"the sender {envelope.fingerprint(header.sender)} is not known here",
                "compare this fingerprint with the bench's, then name its key once: --from BENCH.pub",
            )
        if header.serial <= last:
            raise RegistryError(
                f"export {header.serial} is not newer than export {last}, which was taken in before",
                "make a new export: kerb registry export",
            )
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, str(header.serial)))
        before = len(registry)
        try:
            taken = _merge(registry, db, *body)
        except sqlite3.IntegrityError as error:
            raise RegistryError(
                f"the export does not fit what this registry holds: {error}",
                "a board or an asset is another node's here: kerb registry list, then unbind or remove that node",
            ) from error
    registry.take_in(*(node["address"] for node in taken))
    added = len(registry) - before
    return Taken(
        header.serial,
        envelope.fingerprint(header.sender),
        added,
        len(taken) - added,
        len(body[0]) - len(taken),
        len(body[1]),
    )


def _merge(
    registry: Registry, db: sqlite3.Connection, nodes: list[dict[str, Any]], places: list[Asset], history: list[Binding]
) -> list[dict[str, Any]]:
    """Take over what is newer; returns the nodes that were."""
    for place in places:
        inventory.put(db, place)
    taken = [node for node in nodes if _is_newer(registry, db, node)]
    addresses = {node["address"] for node in taken}
    for node in taken:
        address, epoch, secret = node["address"], node["epoch"], bytes.fromhex(node["secret"])
        db.execute("DELETE FROM binding WHERE node=?", (address,))
        db.execute(
            "INSERT OR REPLACE INTO node (address, site, role, board, state, epoch, secret, unique_id, settings,"
            " provisions, changed_ms, rekey_since_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                address, node["site"], node["role"], node["board"], node["state"], epoch,
                registry.seal_secret(secret, address, epoch) if secret else NO_SECRET, node["unique_id"],
                json.dumps(node["settings"], sort_keys=True), node["provisions"], node["changed_ms"],
                node["rekey_since_ms"],
            ),
        )  # fmt: skip
    for item in history:
        if item.node in addresses:
            db.execute(
                "INSERT INTO binding (asset, node, since_ms, until_ms, start_hours) VALUES (?,?,?,?,?)",
                (item.asset, item.node, item.since_ms, item.until_ms, item.start_hours),
            )
    return taken


def _is_newer(registry: Registry, db: sqlite3.Connection, node: dict[str, Any]) -> bool:
    """Whether theirs is to be taken. RegistryError where the address is another board's here."""
    row = db.execute(
        "SELECT unique_id, provisions, state, changed_ms, epoch, secret FROM node WHERE address=? AND state != ?",
        (node["address"], states.PENDING),
    ).fetchone()
    if row is None:
        return True
    unique_id, provisions, state, changed_ms, epoch, sealed = row
    if unique_id != node["unique_id"] or unique_id is None:
        known = registry.get(node["address"])
        if not sealed or known is None or registry.secret(known).hex() != node["secret"] or epoch != node["epoch"]:
            raise RegistryError(
                f"node {node['address']} is another board here than in the export",
                "give one of them another address: kerb provision, or kerb registry remove",
            )
    if provisions != node["provisions"]:
        return node["provisions"] > provisions
    if (state in _FINAL) != (node["state"] in _FINAL):
        return node["state"] in _FINAL
    return node["changed_ms"] > changed_ms


def _body(clear: bytes) -> tuple[list[dict[str, Any]], list[Asset], list[Binding]]:
    """Nodes, assets and bindings of an export, each checked. RegistryError."""
    try:
        body: dict[str, Any] = json.loads(clear)
        if body["v"] != VERSION:
            raise RegistryError("this export was made by a later version", "upgrade this gateway")
        nodes: list[dict[str, Any]] = body["nodes"]
        for node in nodes:
            check(node["address"], node["site"], node["role"], node["board"], node["unique_id"])
            size = SECRET_SIZE if node["state"] in states.KEYED else 0
            numbers = (node["epoch"], node["provisions"], node["changed_ms"], node["rekey_since_ms"] or 0)
            if node["state"] not in states.STATES or len(bytes.fromhex(node["secret"])) != size:
                raise ValueError("node")
            if not all(type(number) is int for number in numbers) or not 0 <= node["epoch"] <= 3:
                raise ValueError("node")
        places = [cards.check(Asset(**item)) for item in body["assets"]]
        return nodes, places, [Binding(**item) for item in body["bindings"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # the cause may quote the text, and that holds secrets
    raise RegistryError("the export does not hold what an export holds", _DAMAGED)


def _number(db: sqlite3.Connection, name: str, default: int) -> int:
    row = db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
    return default if row is None else int(row[0])


def _private(registry: Registry) -> X25519PrivateKey:
    with registry.transaction() as db:
        row = db.execute("SELECT value FROM meta WHERE name=?", (_PRIVATE,)).fetchone()
        if row is None:
            clear = os.urandom(_PRIVATE_SIZE)
            db.execute("INSERT INTO meta VALUES (?, ?)", (_PRIVATE, registry.seal_meta(clear, _PRIVATE)))
        else:
            clear = registry.unseal_meta(row[0], _PRIVATE)
    return X25519PrivateKey.from_private_bytes(clear)
