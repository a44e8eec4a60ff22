"""Assets and which node they have, and had: the history of a lamp column or a bin outlives every board in it."""

import sqlite3
from collections.abc import Iterable
from typing import Any

from kerbgate.errors import RegistryError
from kerbgate.registry import cards, states
from kerbgate.registry.cards import Asset, Binding, Card
from kerbgate.registry.registry import Registry, now_ms

MAX_ASSETS = 200_000  # of one registry: a large city's lamps; bounds what an import may hold
MAX_HOURS = 1 << 20  # lamp hours: the range of the wire's channel

_ASSET = (
    "SELECT asset, site, role, latitude, longitude, usrn, supply, wattage_w, luminaire, feeder, inventory FROM asset"
)
_BINDING = "SELECT asset, node, since_ms, until_ms, start_hours FROM binding"


def assets(registry: Registry, site: str | None = None) -> list[Asset]:
    """All assets by name, or those of one site."""
    rows = registry.query(f"{_ASSET} WHERE ? IS NULL OR site=? ORDER BY asset", site, site)
    return [_asset(row) for row in rows]


def asset(registry: Registry, name: str) -> Asset:
    """One asset; RegistryError if it is not known."""
    rows = registry.query(f"{_ASSET} WHERE asset=?", name)
    if not rows:
        raise RegistryError(f"asset {name[: cards.MAX_TEXT]!r} is not known", "give its facts, or import the inventory")
    return _asset(rows[0])


def history(registry: Registry, name: str) -> list[Binding]:
    """The nodes of an asset, the oldest first."""
    return bindings(registry, "asset=?", name)


def bindings(registry: Registry, where: str = "1", *values: object) -> list[Binding]:
    """Bindings in the order of their begin."""
    rows = registry.query(f"{_BINDING} WHERE {where} ORDER BY since_ms, asset", *values)
    return [Binding(asset=r[0], node=r[1], since_ms=r[2], until_ms=r[3], start_hours=r[4]) for r in rows]


def take(registry: Registry, found: Iterable[Asset], *, whole: bool = False) -> tuple[int, int]:
    """Take an inventory's assets in, all or none: (new, changed). RegistryError.

    whole: assets of the same sites that are not among them leave the inventory; their history stays.
    """
    given = {item.asset: item for item in map(cards.check, found)}
    with registry.transaction() as db:
        before = {item.asset: item for item in assets(registry)}
        for name, item in given.items():
            kept = before.get(name)
            if kept is not None and (kept.site, kept.role) != (item.site, item.role) and _node_of(db, name) is not None:
                raise RegistryError(
                    f"asset {name} has a node as {kept.role} of site {kept.site}", "keep site and role, or unbind it"
                )
            put(db, item)
        if len(before | given) > MAX_ASSETS:
            raise RegistryError(f"the inventory has more than {MAX_ASSETS} assets", "use a registry a district")
        if whole:
            for item in before.values():
                if item.site in {other.site for other in given.values()} and item.asset not in given:
                    db.execute("UPDATE asset SET inventory=0 WHERE asset=?", (item.asset,))
    new = given.keys() - before.keys()
    return len(new), sum(1 for name in given.keys() & before.keys() if given[name] != before[name])


def bind(registry: Registry, address: int, item: Asset, *, start_hours: int | None = None) -> Card:
    """Put a node that has keys at an asset, which becomes known by it. RegistryError."""
    with registry.transaction() as db:
        place(registry, db, address, item, start_hours)
    registry.take_in(address)
    return registry.card(address)


def place(registry: Registry, db: sqlite3.Connection, address: int, item: Asset, start_hours: int | None) -> None:
    """`bind` within a transaction. start_hours: of the luminaire; None: as the asset's last node began, else 0."""
    cards.check(item)
    card = registry.card(address)
    if (card.site, card.role) != (item.site, item.role):
        raise RegistryError(
            f"node {address} is a {card.role} of site {card.site}, asset {item.asset} a {item.role} of {item.site}",
            "choose another asset, or provision the node for this one",
        )
    there = _node_of(db, item.asset)
    if there == address:
        put(db, item)
        if start_hours is not None:
            _check_hours(start_hours)
            db.execute("UPDATE binding SET start_hours=? WHERE asset=? AND until_ms IS NULL", (start_hours, item.asset))
        return
    if there is not None:
        raise RegistryError(
            f"asset {item.asset} has node {there} already", f"replace it (--replace {there}), or unbind it first"
        )
    db.execute("UPDATE binding SET until_ms=? WHERE node=? AND until_ms IS NULL", (now_ms(), address))
    put(db, item)
    if start_hours is None:
        start_hours = last_hours(db, item.asset)
    _check_hours(start_hours)
    db.execute(
        "INSERT INTO binding (asset, node, since_ms, start_hours) VALUES (?,?,?,?)",
        (item.asset, address, max(now_ms(), _newest(db, item.asset) + 1), start_hours),
    )
    registry.move(db, address, states.BIND)


def unbind(registry: Registry, address: int) -> Card:
    """Take a working node from its asset, back into stock. RegistryError."""
    with registry.transaction() as db:
        registry.move(db, address, states.UNBIND)
    registry.take_in(address)
    return registry.card(address)


def last_asset(registry: Registry, address: int) -> str:
    """The asset that this node has, or had last. RegistryError if it never had one."""
    rows = registry.query("SELECT asset FROM binding WHERE node=? ORDER BY since_ms DESC LIMIT 1", address)
    if not rows:
        raise RegistryError(f"node {address} never had an asset", "name the asset: --asset")
    return rows[0][0]


def last_hours(db: sqlite3.Connection, name: str) -> int:
    """With how many hours of the luminaire the asset's latest node began; 0 where it had none."""
    row = db.execute("SELECT start_hours FROM binding WHERE asset=? ORDER BY since_ms DESC LIMIT 1", (name,)).fetchone()
    return row[0] if row else 0


def put(db: sqlite3.Connection, item: Asset) -> None:
    """Within a transaction: write an asset over what was known of it. Once in the inventory, it stays there."""
    db.execute(
        "INSERT INTO asset"
        " (asset, site, role, latitude, longitude, usrn, supply, wattage_w, luminaire, feeder, inventory)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (asset) DO UPDATE SET"
        " site=excluded.site, role=excluded.role, latitude=excluded.latitude, longitude=excluded.longitude,"
        " usrn=excluded.usrn, supply=excluded.supply, wattage_w=excluded.wattage_w, luminaire=excluded.luminaire,"
        " feeder=excluded.feeder,"
        " inventory=max(inventory, excluded.inventory)",
        (
            item.asset, item.site, item.role, item.latitude, item.longitude, item.usrn, item.supply, item.wattage_w,
            item.luminaire, item.feeder, int(item.inventory),
        ),
    )  # fmt: skip


def _check_hours(hours: int) -> None:
    if not 0 <= hours <= MAX_HOURS:
        raise RegistryError(f"lamp hours {hours} are out of range", f"use 0 to {MAX_HOURS}")


def _node_of(db: sqlite3.Connection, name: str) -> int | None:
    row = db.execute("SELECT node FROM binding WHERE asset=? AND until_ms IS NULL", (name,)).fetchone()
    return None if row is None else row[0]


def _newest(db: sqlite3.Connection, name: str) -> int:
    return db.execute("SELECT coalesce(max(since_ms), -1) FROM binding WHERE asset=?", (name,)).fetchone()[0]


def _asset(row: tuple[Any, ...]) -> Asset:
    *facts, in_inventory = row
    name, site, role, latitude, longitude, usrn, supply, wattage_w, luminaire, feeder = facts
    return Asset(
        asset=name, site=site, role=role, latitude=latitude, longitude=longitude, usrn=usrn, supply=supply,
        wattage_w=wattage_w, luminaire=luminaire, feeder=feeder, inventory=bool(in_inventory),
    )  # fmt: skip
