"""Where nodes are, as alarms need it: a picture of registry and groups, taken now and then; nothing in it changes."""

import math
from collections import Counter
from dataclasses import dataclass, field

from kerbgate.registry import HEARD, Registry

NEAR_M = 150  # columns of a street stand 25 to 50 m apart: a gap of two does not part a street
_M_A_DEGREE = 111_320

_BOUND = (
    "SELECT node, asset.asset, latitude, longitude, supply, feeder FROM binding JOIN asset USING (asset)"
    " WHERE until_ms IS NULL"
)


@dataclass(frozen=True, slots=True)
class Place:
    """One node. groups: the names that commands know it by; street: as people do."""

    node: int
    site: str
    role: str
    asset: str = ""
    latitude: float | None = None
    longitude: float | None = None
    supply: str | None = None
    feeder: str | None = None
    groups: tuple[str, ...] = ()
    street: str = ""

    @property
    def where(self) -> str:
        """For people: asset and street, or the node's number."""
        return ", ".join(filter(None, (self.asset, self.street))) or f"node {self.node}"


@dataclass(frozen=True, slots=True)
class Places:
    """All nodes that a gateway listens to, by address."""

    site: str
    nodes: dict[int, Place] = field(default_factory=dict[int, Place])
    feeders: Counter[str] = field(default_factory=Counter[str])  # lamps of each

    @classmethod
    def read(
        cls, site: str, registry: Registry, groups: dict[int, tuple[str, ...]], streets: dict[int, str]
    ) -> "Places":
        """RegistryError and sqlite3.Error as the registry's own. groups, streets: by node."""
        bound = {row[0]: row[1:] for row in registry.query(_BOUND)}
        nodes: dict[int, Place] = {}
        for node in registry.list():
            if node.state in HEARD:
                about = (groups.get(node.address, ()), streets.get(node.address, ""))
                asset, latitude, longitude, supply, feeder = bound.get(node.address, ("", None, None, None, None))
                nodes[node.address] = Place(
                    node.address, node.site, node.role, asset, latitude, longitude, supply, feeder, *about
                )
        return cls(site, nodes, Counter(place.feeder for place in nodes.values() if place.feeder))

    def get(self, node: int, role: str = "") -> Place:
        """A node's place; of one that is not in the registry any more, all that is known."""
        return self.nodes.get(node) or Place(node, self.site, role)

    def middle(self) -> tuple[float, float] | None:
        """Of all that have a position: where the site is."""
        known = [
            (place.latitude, place.longitude)
            for place in self.nodes.values()
            if place.latitude is not None and place.longitude is not None
        ]
        if not known:
            return None
        return sum(north for north, _ in known) / len(known), sum(east for _, east in known) / len(known)


def distance_m(one: Place, other: Place) -> float:
    """Between two places that have positions, on a plane: streets are short."""
    if one.latitude is None or one.longitude is None or other.latitude is None or other.longitude is None:
        return math.inf
    north = (one.latitude - other.latitude) * _M_A_DEGREE
    east = (one.longitude - other.longitude) * _M_A_DEGREE * math.cos(math.radians(one.latitude))
    return math.hypot(north, east)


def clusters(places: list[Place]) -> list[list[Place]]:
    """Places with positions, each with those that it can be reached from by steps of at most NEAR_M."""
    grid: dict[tuple[int, int], list[int]] = {}
    cells: list[tuple[int, int]] = []
    for number, place in enumerate(places):
        latitude, longitude = place.latitude or 0.0, place.longitude or 0.0
        east = longitude * _M_A_DEGREE * math.cos(math.radians(round(latitude, 1)))
        cell = (math.floor(latitude * _M_A_DEGREE / NEAR_M), math.floor(east / NEAR_M))
        cells.append(cell)
        grid.setdefault(cell, []).append(number)
    found: list[list[Place]] = []
    seen = [False] * len(places)
    for number in range(len(places)):
        if seen[number]:
            continue
        seen[number] = True
        queue, members = [number], [places[number]]
        while queue:
            at = queue.pop()
            x, y = cells[at]
            for cell in [(x + a, y + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
                left: list[int] = []
                for near in grid.get(cell, ()):
                    if seen[near]:
                        continue
                    if distance_m(places[at], places[near]) <= NEAR_M:
                        seen[near] = True
                        queue.append(near)
                        members.append(places[near])
                    else:
                        left.append(near)
                grid[cell] = left
        found.append(members)
    return found
