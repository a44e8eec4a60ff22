"""What a node is to become: from options or a line of a CSV file, completed from the registry and checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kerbgate.registry import ROLES, Asset, Registry, cards, inventory, provisioning
from kerbnode import config
from kerbnode.lamp import settings as lampsettings
from kerbtools.provision.errors import OrderError
from kerbtools.provision.links import read_links

# Columns of a CSV file, and options by the same names. Of these, the first block describes the asset.
ASSET_COLUMNS = ("asset", "site", "role", "latitude", "longitude", "usrn", "supply", "wattage_w", "luminaire", "feeder")
NODE_COLUMNS = ("address", "unique_id", "settings", "replace", "lamp_hours", "links")
MAX_TEXT = 1000  # characters of a field
PLACE_UNIT = 10_000  # of a lamp's latitude and longitude: 11 m
_LAMP_COLUMNS = ("supply", "wattage_w", "luminaire", "feeder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One node to be. line: of the CSV file, 0 without one.

    role: None takes that of the firmware on the board, and the asset's is not settled before. links: strings of
    links.json; none: those of all nodes of this run.
    """

    site: str
    role: str | None = None
    address: int | None = None
    unique_id: str | None = None
    asset: Asset | None = None
    replaces: int | None = None
    start_hours: int | None = None
    settings: dict[str, int] = field(default_factory=dict[str, int])
    links: tuple[str, ...] = ()
    line: int = 0

    @property
    def name(self) -> str:
        """How to speak of it before it has an address."""
        if self.asset is not None:
            return f"asset {self.asset.asset}"
        return "a node for stock" if self.address is None else f"node {self.address}"


def asset_from(fields: Mapping[str, str], known: Asset | None = None, *, inventory: bool = False) -> Asset:
    """An asset from text fields over what is known of it; an absent field changes nothing. OrderError, RegistryError.

    inventory: it is a line of the council's inventory, which says all that it is: an empty field removes.
    """
    given: dict[str, Any] = {name: text for name in ASSET_COLUMNS if (text := fields.get(name, ""))}
    for name in ("latitude", "longitude", "wattage_w"):
        if name in given:
            given[name] = number(name, given[name])
    for name in ("asset", "site", "role"):
        if name not in given and known is None:
            raise OrderError(f"{name} is missing", f"give the asset's {name}")
    if known is not None and not inventory:
        return cards.check(replace(known, **given))
    return cards.check(Asset(**given, inventory=inventory))


def order_from(registry: Registry, fields: Mapping[str, str], *, line: int = 0) -> Order:
    """An order from text fields. OrderError, RegistryError."""
    settled = fields.get("role", "")
    replaces = whole("replace", fields["replace"], 65535) if fields.get("replace") else None
    name = fields.get("asset", "") or (inventory.last_asset(registry, replaces) if replaces is not None else "")
    asset = former = None
    if replaces is not None:
        former = registry.card(replaces)
    if name:
        known = next((item for item in inventory.assets(registry) if item.asset == name), None)
        role = fields.get("role", "") or (former.role if former else known.role if known else "")
        site = fields.get("site", "") or (former.site if former else "")
        is_lamp = any(fields.get(column) for column in _LAMP_COLUMNS)
        settled = role or ("lamp" if is_lamp else "")
        filled = {**fields, "asset": name, "role": settled or ROLES[0]} | ({"site": site} if site else {})
        asset = asset_from(filled, known)
    elif stray := [column for column in ASSET_COLUMNS[3:] if fields.get(column)]:
        raise OrderError(
            f"{' and '.join(stray)} say where a node is, and no asset is named",
            "name the asset; where the council has no names, make one up, such as the street and a number",
        )
    site = asset.site if asset else fields.get("site", "") or (former.site if former else "")
    if not site:
        raise OrderError("site is missing", "name the site that the gateway serves")
    settings = read_settings(fields.get("settings", ""), settled)
    return Order(
        site=site,
        role=settled or None,
        address=whole("address", fields["address"], 65535) if fields.get("address") else None,
        unique_id=fields.get("unique_id", "").lower() or None,
        asset=asset,
        replaces=replaces,
        start_hours=whole("lamp_hours", fields["lamp_hours"], 1 << 20) if fields.get("lamp_hours") else None,
        settings=former.settings if former and not settings else settings,
        links=read_links(fields.get("links", "").replace(";", " ").split()),
        line=line,
    )


def settle(order: Order, role: str) -> Order:
    """The order for a board whose firmware has this role. A lamp is told its place, by which it knows its night.
    OrderError, RegistryError."""
    if order.role is None and order.asset is not None:
        order = replace(order, asset=cards.check(replace(order.asset, role=role)))
    order = replace(order, role=order.role or role)
    asset = order.asset
    if order.role == "lamp" and asset is not None and asset.latitude is not None and asset.longitude is not None:
        place = {"latitude": round(asset.latitude * PLACE_UNIT), "longitude": round(asset.longitude * PLACE_UNIT)}
        order = replace(order, settings=place | order.settings)
    complaints = _complaints(order.settings, order.role or role)
    if complaints:
        raise OrderError(f"settings: {complaints[0]}", "see firmware/SETTINGS.md for names and bounds")
    return order


def order_again(registry: Registry, address: int) -> Order:
    """The same node once more, with a new secret."""
    card = registry.card(address)
    return Order(site=card.site, role=card.role, address=address, unique_id=card.unique_id, settings=card.settings)


def check(registry: Registry, order: Order, unique_id: str) -> None:
    """See before the board is written that its asset will take it. OrderError, RegistryError."""
    known = provisioning.of_board(registry, unique_id)
    address = order.address or (known.address if known else None)
    if order.replaces is not None and order.replaces == address:
        raise OrderError(
            f"this board is node {address} itself", "plug in the board that takes its place, or leave out --replace"
        )
    if order.asset is None:
        if known is not None and known.asset is not None:
            here = inventory.asset(registry, known.asset)
            if (here.site, here.role) != (order.site, order.role):
                raise OrderError(
                    f"node {address} is at asset {here.asset}, a {here.role} of site {here.site}",
                    f"give it that site and role, or take it from there first: kerb bind {address} --unbind",
                )
        return
    there = next((item for item in inventory.history(registry, order.asset.asset) if item.until_ms is None), None)
    if there is not None and there.node not in (address, order.replaces):
        raise OrderError(
            f"asset {order.asset.asset} has node {there.node} already", f"to swap its board: --replace {there.node}"
        )


def read_settings(text: str, role: str = "") -> dict[str, int]:
    """Settings written as `name=value`, separated by spaces or semicolons, held to the firmware's own table of a role.

    role: "" where it is not known yet; then those of any role are taken, and the node complains of a foreign one.
    """
    settings: dict[str, int] = {}
    for word in text.replace(";", " ").split():
        name, equals, value = word.partition("=")
        if not equals or name in settings:
            raise OrderError(f"setting {word[:80]!r} is no name=value, or comes twice", "see firmware/SETTINGS.md")
        settings[name] = whole(name, value.removeprefix("-"), (1 << 31) - 1) * (-1 if value.startswith("-") else 1)
    roles = [role] if role else list(ROLES)
    complaints = [_complaints(settings, one) for one in roles]
    if all(complaints):
        raise OrderError(f"settings: {complaints[0][0]}", "see firmware/SETTINGS.md for names and bounds")
    return settings


def _complaints(settings: Mapping[str, int], role: str) -> list[str]:
    """What the firmware of a role would say of these settings."""
    rows = lampsettings.ROWS if role == "lamp" else config.SETTINGS
    return config.parse(json.dumps(dict(settings)), None, rows)[1]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def whole(name: str, text: str, most: int) -> int:
    """A whole number from 0 to `most`. OrderError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= most):
        raise OrderError(f"{name} {text[:80]!r} is no whole number up to {most}", f"write {name} in digits")
    return int(text)


def number(name: str, text: str) -> float:
    """A finite number. OrderError."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:  # also false for what is no number
        raise OrderError(f"{name} {text[:80]!r} is no number", f"write {name} with a decimal point, without a unit")
    return value
