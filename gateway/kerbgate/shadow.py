"""Shadow mode: an intake that hears everything, keeps it, and answers nothing (SHADOW.md).

Without a challenge nobody can be sure that a hello is of today, so a shadow takes a life for what sealed frames say of
it. Someone who replays an old hello can at worst make it deaf to one node's short headers for a while; therefore a
frame that the newest life does not open is tried once with the life before it, whose hello may be the true one.
"""

from typing import Any

from kerbgate.errors import ControlError
from kerbgate.inlets.base import Route
from kerbgate.intake import UNSEALED, Intake
from kerbgate.registry import Node
from kerbgate.store.items import Arrival, Outcome
from kerbwire import frame
from kerbwire.errors import WireError
from kerbwire.messages import Hello

MAX_FORMER = 20_000  # lives before the newest that are remembered: a district's, twice


class ShadowIntake(Intake):
    """Takes frames as an intake does; nothing is ever sent."""

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self._former: dict[int, bytes] = {}

    def _judge(self, data: bytes, route: Route) -> str | None:
        reason = super()._judge(data, route)
        if reason != UNSEALED:
            return reason
        try:
            header = frame.parse(data)
        except WireError:
            return reason
        former = self._former.get(header.node)
        if header.context or former is None:
            return reason
        newest = self._lives[header.node]
        self._lives[header.node] = former
        reason = super()._judge(data, route)
        if reason == UNSEALED:
            self._lives[header.node] = newest
        else:  # it speaks in this one: that is the newest
            self._former[header.node] = newest
        return reason

    def _returned(self, node: Node, life: bytes, hello: Hello) -> bool:
        return True

    def _settle(self, node: Node, arrival: Arrival, decoded: Any, route: Route, outcome: Outcome) -> None:
        before = self._lives.get(node.address)
        newest = None if before is None else self._newest.get((node.address, before))
        super()._settle(node, arrival, decoded, route, outcome)
        now = self._lives.get(node.address)
        if before is not None and before != now:
            if (displaced := self._former.pop(node.address, None)) is not None and displaced != now:
                self._newest.pop((node.address, displaced), None)
            self._former[node.address] = before
            if newest is not None:  # it may go on speaking in the life before, and say the low bits only
                self._newest[node.address, before] = newest
            if len(self._former) > MAX_FORMER:
                oldest = next(iter(self._former))
                self._newest.pop((oldest, self._former.pop(oldest)), None)

    def _acknowledge(self, node: Node, arrival: Arrival, route: Route, outcome: Outcome, *, fresh: bool) -> None:
        """A shadow acknowledges nothing: what it keeps, the node still owes to the other system."""

    def _challenge(self, node: Node, arrival: Arrival, route: Route) -> None:
        """Nor does it ask."""


async def no_commands(request: dict[str, Any]) -> dict[str, Any]:
    """What `kerb send` hears."""
    raise ControlError("this gateway is a shadow: it sends nothing", "send it to the gateway that the nodes hear")
