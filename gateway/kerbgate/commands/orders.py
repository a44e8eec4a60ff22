"""Orders in memory: which of a node's goes out next, and what becomes of those that a newer one replaces.

Pure: times are handed in, the owner keeps the store in step. `mono`: seconds of any clock that only goes forward.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kerbgate.commands import table
from kerbgate.commands.operations import Operation
from kerbgate.commands.request import Request
from kerbwire.columns import MAX_NUMBER
from kerbwire.controls import DIM, EMERGENCY, MAX_REMAINING_S, Command, Config

_GOING = (table.QUEUED, table.SENT)
# A node keeps 16 ids. One that is repeated must still be among them: so many others at most go out behind it, which
# leaves four for asks after a restore. The last places are for emergencies.
WINDOW = 8
EMERGENCY_WINDOW = 12
MAX_STREETS = 200  # named in one document, 18 KB; the count has all nodes
PAUSE_S = (
    20.0  # a slow radio may take so long to bring the answer; a node that sleeps longer is asked at its next frame
)


@dataclass(slots=True, eq=False)
class Held:
    """An open command. serial: by which the newer one is told. deadline: of `mono`, where expiry is by UTC."""

    request: Request
    serial: int
    deadline: float
    version: int
    orders: "list[Order]" = field(default_factory=list["Order"])
    sends: int = 0  # of its group message
    next_send: float = 0.0

    @property
    def operation(self) -> Operation:
        return self.request.operation

    def remaining(self, utc: float, mono: float) -> int:
        """Whole seconds in which it may still be obeyed, by the clock that is stricter."""
        return int(min(self.request.expiry - utc, self.deadline - mono, MAX_REMAINING_S))

    def over(self, utc: float, mono: float) -> bool:
        return utc >= self.request.expiry or mono >= self.deadline


@dataclass(slots=True, eq=False)
class Order:
    """A command to one node. life: the one that it goes to; turn: its place among those that the node gets.

    armed: both are on the disk, without which it does not go out. inherited: an earlier process may have sent it.
    """

    ident: int
    held: Held
    node: int
    state: str
    life: bytes | None = None
    turn: int | None = None
    armed: bool = False
    inherited: bool = False
    next_s: float = float("-inf")

    @property
    def rank(self) -> tuple[int, int]:
        """What goes out first: the higher class, and in it the older command."""
        return self.held.request.priority, self.held.serial


class Queue:
    """The open orders of one node. turns: how many it was ever given."""

    __slots__ = ("orders", "turns")

    def __init__(self, turns: int = 0):
        self.orders: list[Order] = []
        self.turns = turns

    def next(self, mono: float) -> Order | None:
        """The order to send now."""
        ready = [order for order in self.orders if order.armed and order.state in _GOING and mono >= order.next_s]
        return min(ready, key=lambda order: order.rank, default=None)

    def arm(self, life: bytes) -> list[Order]:
        """Give a life and a turn to those that have room; the owner writes that down."""
        given: list[Order] = []
        for order in sorted(self.orders, key=lambda item: item.rank):
            if order.turn is None and order.state == table.QUEUED and self._room(order):
                self.turns += 1
                order.life, order.turn = life, self.turns
                given.append(order)
        return given

    def replaced_by(self, newer: Order) -> list[Order]:
        """The older orders of its class that asked for light and would now come after it."""
        if not newer.held.operation.light:
            return []
        return [
            order
            for order in self.orders
            if order is not newer
            and order.held.operation.light
            and order.held.request.priority == newer.held.request.priority
            and order.state in (table.QUEUED, table.SENT)
            and order.held.serial <= newer.held.serial
        ]

    def _room(self, order: Order) -> bool:
        under_way = [item.turn for item in self.orders if item.turn is not None]
        limit = EMERGENCY_WINDOW if order.held.request.priority == EMERGENCY else WINDOW
        return not under_way or self.turns + 1 - min(under_way) < limit


def message(order: Order, echo: int, utc: float, mono: float, *, synchronised: bool) -> "Command | Config":
    """The downlink of an order that has a second left. echo: the highest number accepted from the node."""
    held = order.held
    request, operation = held.request, held.operation
    if operation.code is None:
        return Config(echo, order.ident, held.version, dict(request.settings))
    remaining = held.remaining(utc, mono)
    arguments = [] if operation.grouped else list(request.arguments)
    if operation.code == DIM and request.until is not None:
        arguments.append(max(1, min(int(request.until - utc), MAX_REMAINING_S)))
    expiry = request.expiry if synchronised else MAX_NUMBER
    return Command(echo, order.ident, operation.code, arguments, expiry, remaining, request.priority)


def facts(request: Request, nodes: Iterable[tuple[int, str]]) -> dict[str, Any]:
    """How many nodes, in which streets, until when: what a dry run says, and an acceptance too.

    nodes: (address, street).
    """
    streets: dict[str, int] = {}
    total = 0
    for _, street in nodes:
        total += 1
        if street and (street in streets or len(streets) < MAX_STREETS):
            streets[street] = streets.get(street, 0) + 1
    return {"nodes": total, "streets": streets}
