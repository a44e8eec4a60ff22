"""A sealed round trip to a node: a command that asks for one record, sealed and answered as every command is.

A lamp listens and answers at once. A bin sleeps: it gets the command with the ack of its next report, and answers then;
the ping stays in its queue until it expires, and the story says when that report is expected.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kerbgate.commands import request as requests
from kerbgate.commands import table
from kerbgate.errors import ControlError
from kerbgate.field import story
from kerbgate.field.sight import Sight
from kerbgate.registry import HEARD

if TYPE_CHECKING:
    from kerbgate.app import Gateway

MAX_WAIT_S = 25  # of one request: the control socket answers within 30
LOOK_S = 0.005  # between looks at what became of it: how fine the time is
VALID_S = 120  # a lamp obeys no older ping
SLEEPER_VALID_S = 2 * 86_400  # a bin speaks once a day
_STATE = "SELECT state, status FROM command_order WHERE command_id=?"
_OPEN = (
    "SELECT command_id FROM command JOIN command_order USING (command_id) WHERE node=? AND closed IS NULL"
    " AND command_id LIKE 'ping-%' ORDER BY accepted DESC LIMIT 1"
)

Look = Callable[[Callable[[Sight], Any]], Awaitable[Any]]


def address(request: dict[str, Any]) -> int:
    """The node of a request. ControlError."""
    node: Any = request.get("node")
    if type(node) is not int or not 1 <= node <= 65535:
        raise ControlError(f"{node!r} is no node's address", "use a number from 1 to 65535")
    return node


async def ping(gateway: "Gateway", request: dict[str, Any], look: Look) -> dict[str, Any]:
    """Send a ping, or go on waiting for the one with `id`; what became of it within `wait_s`. ControlError.

    state: of COMMANDS.md. took_s: from its leaving to the commit of its answer; None until then, and where
    it left before this was asked.
    """
    node, wait_s = address(request), request.get("wait_s", 10)
    if type(wait_s) not in (int, float) or not 0 <= wait_s <= MAX_WAIT_S:
        raise ControlError("wait_s is no such time", f"use 0 to {MAX_WAIT_S} seconds")
    row = gateway.registry.get(node)
    if row is None or row.state not in HEARD:
        why = "is not in the registry" if row is None else f"is {row.state}"
        raise ControlError(f"node {node} {why}: its frames are not opened", f"look at it: kerb show {node}")
    if gateway.intake.life_of(node) is None:
        raise ControlError(f"node {node} was never heard here", f"look at what was refused: kerb show {node}")
    ident = await look(lambda sight: sight.one(_OPEN, node))
    if ident is None:
        ident = await _send(gateway, node, row.role)
    began = now = time.monotonic()
    commands = gateway.command_service.commands
    sent: float | None = None
    while (state := commands.state_of(ident)) is not None:
        now = time.monotonic()
        if sent is None and state == table.SENT:
            sent = now
        if now - began >= wait_s:
            break
        await asyncio.sleep(LOOK_S)
    now = time.monotonic()
    ended = await look(lambda sight: sight.db.execute(_STATE, (ident,)).fetchone())
    state, status = ended or (table.LOST, None)
    answered = state not in table.WAITING and status is not None
    found = await look(lambda sight: _link(sight, node)) | {"signal": gateway.field.watcher.signal(node)}
    return {
        "node": node, "id": ident, "role": row.role, "state": state, "answered": answered,
        "took_s": round(now - sent, 3) if answered and sent is not None else None,
        "waited_s": round(now - began, 3), **found,
    }  # fmt: skip


async def _send(gateway: "Gateway", node: int, role: str) -> str:
    ident = f"ping-{node}-{time.time_ns() // 1000:x}"
    document = {
        "schema": requests.SCHEMA, "id": ident, "operation": "sample", "target": {"nodes": [node]},
        "valid_s": VALID_S if role == "lamp" else SLEEPER_VALID_S, "priority": "schedule", "note": "ping",
    }  # fmt: skip
    answer = (await gateway.command_service.operations["send"]({"document": document}))["answer"]
    if answer["event"] == "refused":
        raise ControlError(f"the ping was refused: {answer['reason']}", str(answer["hint"]))
    return ident


def _link(sight: Sight, node: int) -> dict[str, Any]:
    """How the node is heard, and when it is expected."""
    row = sight.db.execute("SELECT life_id FROM life WHERE node=? AND state='confirmed'", (node,)).fetchone()
    if row is None:
        return {"seen_ms": None, "arrived": 0, "frames": 0, "expected_s": None}
    window = sight.db.execute(
        "SELECT top, bits, floor, seen FROM window WHERE life_id=? ORDER BY epoch DESC LIMIT 1", row
    ).fetchone()
    if window is None:
        return {"seen_ms": None, "arrived": 0, "frames": 0, "expected_s": None}
    top, bits, floor, seen = window
    frames = min(64, top - floor + 1)
    pause_s = story.pause(sight, row[0])
    return {
        "seen_ms": seen, "arrived": (bits & ((1 << frames) - 1)).bit_count(), "frames": frames,
        "expected_s": None if pause_s is None else round(seen / 1000 + pause_s),
    }  # fmt: skip
