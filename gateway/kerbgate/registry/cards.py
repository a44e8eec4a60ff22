"""What the registry tells of nodes, assets and their history, as plain data. None of it holds a secret."""

import re
from dataclasses import dataclass

from kerbgate.errors import RegistryError
from kerbgate.settings import NAME

ROLES = ("bin", "lamp")
SUPPLIES = ("permanent", "switched")
MAX_TEXT = 64  # characters of an asset's or a luminaire's name: what a label bears
MAX_WATTAGE_W = 2000  # of a luminaire; the wire's power channel ends there

ASSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/:#-]{0,63}")
_USRN = re.compile(r"[1-9][0-9]{0,7}")  # at most eight digits (GeoPlace, data entry conventions for streets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One node. Times are UTC, Unix milliseconds.

    unique_id: of its microcontroller, hex. provisions: how often it got a secret. rekey_since_ms: it waits for a new
    secret. unfinished: a provisioning was begun and not finished. asset: where it is, or where it waits in quarantine.
    """

    address: int
    site: str
    role: str
    board: str
    state: str
    epoch: int
    unique_id: str | None
    settings: dict[str, int]
    provisions: int
    changed_ms: int
    rekey_since_ms: int | None
    unfinished: bool
    asset: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A lamp column or a bin, whichever node it has. feeder: the circuit of its cabinet. inventory: it stands there."""

    asset: str
    site: str
    role: str
    latitude: float | None = None
    longitude: float | None = None
    usrn: str | None = None
    supply: str | None = None
    wattage_w: float | None = None
    luminaire: str | None = None
    feeder: str | None = None
    inventory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A node at an asset, until now if until_ms is None. start_hours: the luminaire's hours when the node came."""

    asset: str
    node: int
    since_ms: int
    until_ms: int | None
    start_hours: int


def check_kind(site: str, role: str) -> None:
    """RegistryError if these cannot be a site and a role."""
    if role not in ROLES:
        raise RegistryError(f"role {role[:MAX_TEXT]!r} is not known", "use one of " + ", ".join(ROLES))
    if not NAME.fullmatch(site):
        raise RegistryError(f"site {site[:MAX_TEXT]!r} is no name", "use a-z, 0-9, - and _, at most 32")


def check(asset: Asset) -> Asset:
    """The same asset; RegistryError if a field of it cannot be."""
    if not ASSET_NAME.fullmatch(asset.asset):
        raise RegistryError(f"asset {asset.asset[:MAX_TEXT]!r} is no name", "use letters, digits and . _ / : # -")
    check_kind(asset.site, asset.role)
    if (asset.latitude is None) != (asset.longitude is None):
        raise RegistryError("a position needs latitude and longitude", "give both, in degrees (WGS 84)")
    for value, most, name in ((asset.latitude, 90, "latitude"), (asset.longitude, 180, "longitude")):
        if value is not None and not -most <= value <= most:
            raise RegistryError(f"{name} {value} is out of range", f"use degrees (WGS 84), -{most} to {most}")
    if asset.usrn is not None and not _USRN.fullmatch(asset.usrn):
        raise RegistryError(f"USRN {asset.usrn[:MAX_TEXT]!r} is none", "a USRN has one to eight digits")
    if asset.supply is not None and asset.supply not in SUPPLIES:
        raise RegistryError(f"supply {asset.supply[:MAX_TEXT]!r} is not known", "use " + " or ".join(SUPPLIES))
    if asset.wattage_w is not None and not 0 < asset.wattage_w <= MAX_WATTAGE_W:
        raise RegistryError(f"wattage {asset.wattage_w} is out of range", f"use watts, up to {MAX_WATTAGE_W}")
    if asset.luminaire is not None and not (0 < len(asset.luminaire) <= MAX_TEXT and asset.luminaire.isprintable()):
        raise RegistryError("the luminaire's name is too long or not printable", f"use at most {MAX_TEXT} characters")
    if asset.feeder is not None and not ASSET_NAME.fullmatch(asset.feeder):
        raise RegistryError(f"feeder {asset.feeder[:MAX_TEXT]!r} is no name", "use letters, digits and . _ / : # -")
    if asset.role != "lamp" and (asset.supply or asset.wattage_w or asset.luminaire or asset.feeder):
        raise RegistryError(f"asset {asset.asset} is no lamp", "supply, wattage, luminaire and feeder belong to lamps")
    return asset
