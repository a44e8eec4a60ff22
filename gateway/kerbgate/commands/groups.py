"""Groups and streets: one TOML file that names which nodes belong together. Read at start; ConfigError says the line.

[[group]]
name = "river-street"          # as commands name it
street = "River Street"        # as people do; a dry run says it
scope = 7                      # of group messages: the number that its lamps know; 0 reaches every lamp
nodes = ["801-815", "820"]     # the lamps of a street as they stand in it
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kerbgate.commands.reasons import Refusal
from kerbgate.commands.request import Target
from kerbgate.errors import ConfigError
from kerbgate.registry import HEARD, Node, Registry
from kerbgate.settings import NAME
from kerbwire.waves import EVERYONE, MAX_SCOPE

MAX_FILE = 1024 * 1024  # bytes: a district of 10,000 nodes, each named by itself, takes 100 KB
MAX_GROUPS = 2000
MAX_STREET = 80  # characters
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Group:
    """street: "" where the group is none. scope: of group messages, None: no group message reaches just these.
    chain: the nodes as they are named: the lamps of a street, as they stand."""

    name: str
    street: str
    scope: int | None
    nodes: frozenset[int]
    chain: tuple[int, ...]


class Groups:
    """The groups of a site. `resolve` turns a target into nodes of the registry."""

    def __init__(self, site: str, groups: dict[str, Group] | None = None):
        self._site = site
        self._groups = groups or {}
        self._streets = {node: group.street for group in self._groups.values() if group.street for node in group.nodes}

    @classmethod
    def load(cls, site: str, path: Path) -> "Groups":
        """ConfigError for a file that cannot be used."""
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_FILE + 1)
            if len(raw) > MAX_FILE:
                raise ConfigError(f"{path} is larger than {MAX_FILE} bytes", "write ranges such as 801-815")
            document = tomllib.loads(raw.decode())
        except OSError as error:
            raise ConfigError(
                f"the groups file {path} cannot be read: {error.strerror}", "correct groups = in the configuration"
            ) from error
        except ValueError as error:
            raise ConfigError(f"{path} is not TOML: {error}", "see COMMANDS.md for an example") from error
        rows: Any = document.pop("group", [])
        if document or not isinstance(rows, list) or len(cast(list[Any], rows)) > MAX_GROUPS:
            raise ConfigError(f"{path} holds more than [[group]] tables", f"write at most {MAX_GROUPS} [[group]]")
        groups: dict[str, Group] = {}
        for number, row in enumerate(cast(list[Any], rows), 1):
            group = _group(row, f"{path}: [[group]] {number}")
            if group.name in groups:
                raise ConfigError(f"{path}: two groups are called {group.name!r}", "give each a name of its own")
            groups[group.name] = group
        return cls(site, groups)

    def resolve(self, target: Target, registry: Registry, roles: tuple[str, ...]) -> list[Node]:
        """The nodes of a target that are of one of the roles, by address; Refusal.

        Named one by one each must fit; of a group or a site those of another role, and revoked ones, are passed over.
        """
        if target.kind == "site":
            if target.name != self._site:
                raise Refusal("other site", target.name)
            found = [node for node in registry.list() if node.state in HEARD]
        elif target.kind == "group":
            group = self._groups.get(target.name)
            if group is None:
                raise Refusal("unknown group", target.name)
            found = [node for node in registry.list() if node.address in group.nodes and node.state in HEARD]
        else:
            found = [self._named(address, registry) for address in target.nodes]
            for node in found:
                if node.role not in roles:
                    raise Refusal("no such role", f"node {node.address} is a {node.role}")
        fitting = [node for node in found if node.role in roles and node.site == self._site]
        if not fitting:
            raise Refusal("no such role")
        return fitting

    def street(self, address: int) -> str:
        """Where a node stands, "" if no group says so."""
        return self._streets.get(address, "")

    def memberships(self) -> dict[int, tuple[str, ...]]:
        """Which groups each node is in, by name."""
        found: dict[int, tuple[str, ...]] = {}
        for name in sorted(self._groups):
            for node in self._groups[name].nodes:
                found[node] = (*found.get(node, ()), name)
        return found

    def groups(self) -> list[Group]:
        """All of them."""
        return list(self._groups.values())

    def members(self) -> dict[str, frozenset[int]]:
        """The nodes of each group, by its name."""
        return {name: group.nodes for name, group in self._groups.items()}

    def streets(self) -> dict[int, str]:
        """Where nodes stand, of those whose group says so."""
        return dict(self._streets)

    def scope(self, target: Target) -> int | None:
        """The number that lamps know a target by; None: no group message reaches just these."""
        if target.kind == "site":
            return EVERYONE
        return self._groups[target.name].scope if target.kind == "group" else None

    def _named(self, address: int, registry: Registry) -> Node:
        node = registry.get(address)
        if node is None:
            raise Refusal("unknown node", str(address))
        if node.site != self._site:
            raise Refusal("other site", f"node {address}")
        if node.state not in HEARD:
            raise Refusal("out of service", str(address))
        return node


def _group(row: Any, where: str) -> Group:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"{where}: {what}", "write name, nodes, and if you like street and scope; see COMMANDS.md")

    if not isinstance(row, dict) or set(cast(dict[str, Any], row)) - {"name", "street", "scope", "nodes"}:
        raise wrong("a key is not known")
    values = cast(dict[str, Any], row)
    name, street, scope = values.get("name"), values.get("street", ""), values.get("scope")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise wrong("the name is not of a-z, 0-9, - and _")
    if not isinstance(street, str) or len(street) > MAX_STREET or not street.isprintable():
        raise wrong(f"the street is no text of at most {MAX_STREET} characters")
    if scope is not None and (type(scope) is not int or not 1 <= scope <= MAX_SCOPE):
        raise wrong(f"scope is no number from 1 to {MAX_SCOPE}")
    parts: Any = values.get("nodes")
    if not isinstance(parts, list):
        raise wrong("nodes is no list")
    nodes: dict[int, None] = {}
    for part in cast(list[Any], parts):
        match = _RANGE.fullmatch(str(part))
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else 0
        if not 1 <= first <= last <= 65535:
            raise wrong(f"nodes has {part!r}, which is no address and no range")
        nodes.update(dict.fromkeys(range(first, last + 1)))
    return Group(name, street, scope, frozenset(nodes), tuple(nodes))
