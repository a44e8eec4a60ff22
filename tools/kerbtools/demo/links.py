"""How the nodes of the demo's street reach their gateway: one kind of link each, by name, or a mixture of them.

Lamps have a line of their own, on which their waves go whatever else they have. A kind is a class `Link` in
`kerbtools.demo.link_NAME`; it is loaded only when it is asked for.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kerbtools.demo.broker import Broker
from kerbtools.emulator import Board, World

NAMES = ("serial", "mqtt", "ble", "lora")
MIXED = "mixed"  # each bin has another kind, in turn, and each lamp
LAMP_NAMES = ("mqtt", "lora")  # kinds that a lamp has beside its line
LINE = "line"  # the kind of a lamp that has none beside it
LINKS_FILE = "/node/links.json"

Wait = Callable[[float], object]  # so many real seconds, or until the demo ends


@dataclass(frozen=True, slots=True)
class Ground:
    """What a kind is made on. broker: the council's, which nodes may use too; it runs before `Link.start`."""

    world: World
    site: str
    seed: int
    folder: Path  # a folder of the kind's own, which is not there yet
    broker: Broker


@dataclass(frozen=True, slots=True)
class Misfortune:
    """One thing that chaos may do to a link. do(wait) does it, waits, and undoes it before it returns."""

    name: str  # of its count in the demo's report, as "access_point_gone"
    do: Callable[[Wait], None]


class Link(Protocol):
    """One kind of link, for some of the nodes. Made before any board is."""

    note: str  # one line for the people who look on: what carries the frames

    def __init__(self, ground: Ground, /) -> None: ...

    def options(self, node: int, /) -> Mapping[str, Any]:
        """Keywords of `Board` for this node, as `ether` or `wiring`; `board` where it needs another than it has."""
        ...

    def join(self, node: int, board: Board, /) -> None:
        """Put on its flash what the board needs, links.json among it. It is off."""
        ...

    def inlets(self) -> Sequence[str]:
        """The gateway's inlet strings; asked once, when all boards have joined."""
        ...

    def environment(self) -> Mapping[str, str]:
        """What the gateway's process is given beside its settings."""
        ...

    def start(self) -> None:
        """Start what runs beside gateway and boards: before the gateway does."""
        ...

    def stop(self) -> None:
        """End it, whether it was started or not: after boards and gateway."""
        ...

    def check(self) -> None:
        """Raise what ended by itself."""
        ...

    def misfortunes(self) -> Sequence[Misfortune]: ...


def names() -> list[str]:
    """The kinds that this installation has."""
    return [name for name in NAMES if importlib.util.find_spec(f"kerbtools.demo.link_{name}")]


def open_links(name: str, bins: Sequence[int], lamps: Sequence[int], ground: Ground) -> "Links":
    """The kinds for these nodes, none of them started. name: of one kind, or MIXED."""
    # There are fewer bins than kinds: a cable is the one to do without.
    kinds = sorted(names(), key=lambda kind: kind == "serial") if name == MIXED else [name]
    made: dict[str, Link] = {}
    for kind in kinds[: len(bins)]:
        module = importlib.import_module(f"kerbtools.demo.link_{kind}")
        folder = ground.folder / kind
        made[kind] = module.Link(Ground(ground.world, ground.site, ground.seed, folder, ground.broker))
    order = list(made)
    for_lamps = [kind for kind in order if kind in LAMP_NAMES] + ([LINE] if name not in LAMP_NAMES else [])
    found = {node: order[place % len(order)] for place, node in enumerate(bins)}
    return Links(found | {node: for_lamps[place % len(for_lamps)] for place, node in enumerate(lamps)}, made)


def write_links(board: Board, *strings: str) -> None:
    """Name a board's links, in their order."""
    board.write_file(LINKS_FILE, json.dumps(strings).encode())


class Links:
    """The kinds of one street as one. kinds: of each node, by its address; LINE: of a lamp that has its line alone."""

    def __init__(self, kinds: Mapping[int, str], made: Mapping[str, Link]):
        self.kinds = kinds
        self._made = made

    @property
    def note(self) -> str:
        return " ".join(f"{name}: {link.note} ({self._nodes(name)})." for name, link in self._made.items()) + self._more

    def _nodes(self, kind: str) -> str:
        return "node " + ", ".join(str(node) for node, its in self.kinds.items() if its == kind)

    @property
    def _more(self) -> str:
        if not self.has_line:
            return ""
        why = " Bluetooth is for bins and technicians: a lamp listens all the time." if "ble" in self._made else ""
        return f" {LINE}: lamps share it with the gateway ({self._nodes(LINE)}).{why}"

    def kind(self, name: str) -> Link:
        """KeyError where none of the nodes has it."""
        return self._made[name]

    def options(self, node: int) -> Mapping[str, Any]:
        made = self._made.get(self.kinds[node])
        return {} if made is None else made.options(node)

    def join(self, node: int, board: Board) -> None:
        made = self._made.get(self.kinds[node])
        if made is not None:
            made.join(node, board)

    @property
    def has_line(self) -> bool:
        """Whether a lamp has no other way to the gateway than its street's line."""
        return LINE in self.kinds.values()

    def inlets(self) -> list[str]:
        return [inlet for link in self._made.values() for inlet in link.inlets()]

    def environment(self) -> dict[str, str]:
        return {name: text for link in self._made.values() for name, text in link.environment().items()}

    def start(self) -> None:
        for link in self._made.values():
            link.start()

    def stop(self) -> None:
        with ExitStack() as ends:  # one end that fails does not keep the others
            for link in self._made.values():
                ends.callback(link.stop)

    def check(self) -> None:
        for link in self._made.values():
            link.check()

    def misfortunes(self) -> list[Misfortune]:
        return [deed for link in self._made.values() for deed in link.misfortunes()]
