"""Nodes: frames that are refused, programs that differ, boots that repeat, and the alarms that are open."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kerbtools.field.findings import FAIL, OK, SKIPPED, WARN, Finding
from kerbtools.field.screen import clean, listed, span
from kerbtools.field.subject import RUNNING, Subject
from kerbwire.events import CRITICAL
from kerbwire.messages import PROTOCOL_VERSION

SEVERAL = 3  # refused frames of one node and reason in an hour: one may be chance
MANY = 30  # of those that end by themselves
LOOP = 5  # boots in an hour: a node that never comes to work
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Means:
    """What a reason of refusal means. {node} and {inlet} are put in. least: from so many frames on."""

    said: str
    causes: tuple[str, ...]
    next: tuple[str, ...]
    verdict: str = WARN
    least: int = SEVERAL
    weight: int = 0


_REVOKE = "kerb revoke {node} --because stolen --registry {registry}"
_PROVISION = "provision the board of node {node} again: kerb provision"
_IMPORT = "kerb registry import EXPORT --registry {registry}"
MEANS: dict[str, Means] = {
    "replay": Means(
        "frames of node {node} that were accepted long ago come again",
        (
            "somebody replays recorded frames, which changes nothing here, or has the node's key and not its counters:"
            " a stolen or copied node",
            "a board runs on an older copy of its flash",
        ),
        (
            "is the board at its place and does it blink: kerb send identify --node {node}; if not, it is stolen:",
            _REVOKE,
            _PROVISION,
        ),
        weight=9,  # a warning: whoever is in range of a node can cause it, and nothing is lost by it
    ),
    "closed life": Means(
        "node {node} is heard in a life that has ended, beside its newer one",
        (
            "two boards have the key of this node: one was cloned, or its flash copied",
            "somebody replays old frames",
            "a board was provisioned again, and an old frame of it waited at the broker",
        ),
        ("find both boards: kerb send identify --node {node}", _REVOKE, _PROVISION),
        FAIL,
        weight=8,
    ),
    "two nodes": Means(
        "node {node} works, and other frames with its address do not open under its key",
        ("two nodes have this address: a board of another bench or registry", "somebody who has no key tries"),
        (
            "kerb send identify --node {node}",
            "provision the other board again, with an address of this registry: kerb provision",
        ),
        FAIL,
        weight=7,
    ),
    "unsealed": Means(
        "no frame of node {node} opens under the key of this registry",
        ("it was provisioned again elsewhere, and this registry is older", "another node has its address"),
        (_IMPORT, _PROVISION),
        FAIL,
        weight=6,
    ),
    "stolen node": Means(
        "node {node} was reported stolen, and is on the air at {inlet}",
        ("the stolen node is near", "it was found, and not marked so"),
        ("look for it at {inlet}", "if it is back: kerb registry mark {node} find --registry {registry}"),
        weight=5,
        least=1,
    ),
    "no key": Means(
        "the registry's row of node {node} does not open",
        ("registry and key file are of different copies",),
        ("put back the key file of this registry", _IMPORT),
        FAIL,
        weight=5,
        least=1,
    ),
    "unknown node": Means(
        "node {node} is heard at {inlet} and is in no registry here",
        ("a node of another gateway: its own hears it too", "a new node whose export was not taken in"),
        ("nothing to do if it is a neighbour's; if it is ours: kerb registry import EXPORT --registry {registry}",),
        least=1,
    ),
    "wrong epoch": Means(
        "node {node} speaks under another key epoch",
        ("a change of keys was not finished at the node or here",),
        (_IMPORT, _PROVISION),
        weight=4,
    ),
    "no life": Means(
        "node {node} speaks, and this gateway has never had its hello",
        ("the store is new: the node says hello by itself after three unanswered reports", "its answers do not arrive"),
        ("kerb show {node}", "restart the node"),
        least=MANY,
    ),
    "not an uplink": Means(
        "frames to nodes come back to the gateway",
        ("an echo: a half-duplex line that hears itself", "two gateways"),
        ("switch the echo of the RS-485 adapter off",),
        least=MANY,
    ),
}
_STATES = ("quarantined node", "returned node", "retired node", "pending node")


def refused(subject: Subject) -> Iterator[Finding]:
    """Who was refused in the last hour, and what that means."""
    if subject.mode != RUNNING:
        yield Finding("refused", SKIPPED, "the gateway does not run: who it refused is not kept")
        return
    found = [finding for row in _merged(subject.condition["refused"]) for finding in _refused(subject, row)]
    yield from found or [Finding("refused", OK, "nobody in the last hour")]


def _merged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reports of a closed life do not open, and only its hello says why: both are one thing."""
    unsealed = {row["node"]: row["count"] for row in rows if row["reason"] == "unsealed"}
    closed = {row["node"] for row in rows if row["reason"] == "closed life"}
    return [
        row | {"count": row["count"] + unsealed.get(row["node"], 0)} if row["reason"] == "closed life" else row
        for row in rows
        if not (row["reason"] == "unsealed" and row["node"] in closed)
    ]


def _refused(subject: Subject, row: dict[str, Any]) -> Iterator[Finding]:
    reason, node = row["reason"], row["node"]
    if reason == "unsealed" and row["heard_s_ago"] is not None and row["heard_s_ago"] <= max(row["first_s_ago"], 600):
        reason = "two nodes"
    means = MEANS.get(reason)
    registry = subject.config.gateway.registry
    if means is None and reason in _STATES:
        state = reason.partition(" ")[0]
        means = Means(
            "node {node} is " + state + " in the registry, and speaks",
            ("it was put back to work and not marked so",),
            (f"kerb registry mark {{node}} readmit --registry {registry}" if state == "quarantined" else _PROVISION,),
            least=1,
        )
    if means is None or row["count"] < means.least or not node:
        return
    words = {"node": node, "inlet": clean(row["inlet"]) or "an inlet", "registry": registry}
    when = f"{row['count']} frames, the last {span(row['last_s_ago'])} ago"
    yield Finding(
        "refused",
        means.verdict,
        f"{means.said.format(**words)}: {when} ({row['reason']})",
        means.causes,
        tuple(step.format(**words) for step in means.next),
        subject=f"node {node}",
        nodes=(node,),
        weight=means.weight,
    )


def programs(subject: Subject) -> Iterator[Finding]:
    """Nodes of one role and board that run another program than most."""
    if not subject.store.exists():
        yield Finding("programs", SKIPPED, "no node was heard yet")
        return
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in subject.condition["programs"]:
        kinds.setdefault((row["role"], row["board"]), []).append(row)
    found: list[Finding] = []
    for (role, board), rows in sorted(kinds.items()):
        most, others = rows[0], rows[1:]  # the most first
        if others:
            nodes = [node for row in others for node in row["nodes"]]
            count = sum(row["count"] for row in others)
            versions = ", ".join(sorted({_program(row) for row in others}))
            found.append(
                Finding(
                    "programs",
                    WARN,
                    f"{count} {role}s on {board} run {versions}: {listed(nodes)}; {most['count']} run {_program(most)}",
                    ("an update that did not reach all of them", "a board that was flashed at another bench"),
                    ("kerb flash --role " + role, f"kerb nodes --role {role}"),
                    nodes=tuple(nodes),
                    subject=f"node {nodes[0]}",
                )
            )
        for row in rows:
            if row["protocol"] != PROTOCOL_VERSION:
                found.append(
                    Finding(
                        "programs",
                        WARN,
                        f"{row['count']} {role}s speak protocol {row['protocol']}, this gateway"
                        f" {PROTOCOL_VERSION}: {listed(row['nodes'])}",
                        ("node and gateway are of different releases",),
                        ("kerb flash --role " + role,),
                        nodes=tuple(row["nodes"]),
                    )
                )
    said = ", ".join(f"{role} {_program(rows[0])}" for (role, _), rows in sorted(kinds.items())) or "no hello yet"
    yield from found or [Finding("programs", OK, said)]


def _program(row: dict[str, Any]) -> str:
    return f"{clean(row['firmware'])} ({row['bundle'][:8]})"


_RESETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "watchdog": (
        ("its program hangs: a sensor or a radio that does not answer", "a fault of the firmware"),
        ("kerb alarms log {node}", "kerb send self_test --node {node}", "kerb flash"),
    ),
    "brown-out": (
        ("its supply breaks down under load: weak cells or a bad contact", "a radio that takes too much"),
        ("change the cells and clean the contacts", "kerb show {node}"),
    ),
    "power on": (
        ("a loose contact, or a supply that comes and goes", "somebody switches it"),
        ("check its supply and connectors", "kerb show {node}"),
    ),
}
_OTHER_RESET = (
    ("its program ends and starts again: a fault of firmware or configuration", "somebody restarts it"),
    ("kerb send send_log --node {node}", "kerb alarms log {node}", "kerb flash"),
)


def boots(subject: Subject) -> Iterator[Finding]:
    """Nodes that booted again and again in the last hour."""
    if subject.mode != RUNNING:
        yield Finding("boots", SKIPPED, "the gateway does not run: boots of the last hour are not kept")
        return
    rows = subject.condition["boots"]
    for row in rows:
        node, why = row["node"], max(row["causes"].items(), key=lambda item: item[1])[0]
        causes, steps = _RESETS.get(why, _OTHER_RESET)
        told = ", ".join(f"{count} by {name}" for name, count in sorted(row["causes"].items()))
        yield Finding(
            "boots",
            FAIL if row["boots"] >= LOOP else WARN,
            f"node {node} booted {row['boots']} times in {span(row['span_s'])} ({told}); {row['count']} ever",
            causes,
            tuple(step.format(node=node) for step in steps),
            subject=f"node {node}",
            nodes=(node,),
            explains=(f"nodes/node {node}",),
            weight=row["boots"],
        )
    if not rows:
        yield Finding("boots", OK, "no node more than twice in the last hour")


_LOOK = "kerb show {node}"
_TEST = "kerb send self_test --node {node}"
# Kind of alarm: (likeliest causes, what to do).
ALARMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "fire": (("the bin burns", "a hot load"), ("call the fire service", _LOOK)),
    "bin full": (("it is to be emptied",), ("kerb alarms --kind 'bin full'",)),
    "tilted": (("it was knocked over", "its sensor sits loose"), ("set it upright", _LOOK)),
    "lid open": (("the lid is open or broken",), ("close it", _LOOK)),
    "battery low": (
        ("its cells are at their end", "cold, and cells that are passivated"),
        ("change the cells of node {node}", _LOOK),
    ),
    "sensor fault": (
        ("a sensor is dead, or its cable is loose or wet", "another part than its board's table says"),
        (_TEST, "change the sensor of node {node}", _LOOK),
    ),
    "sensor doubtful": (
        ("something is in the sensor's way, or it is dirty",),
        ("clean the sensor of node {node}", _LOOK),
    ),
    "crash": (
        ("a fault of its firmware",),
        ("kerb send send_log --node {node}", "kerb alarms log {node}", "kerb flash"),
    ),
    "safe mode": (
        ("ten failed boots: its program or configuration is broken",),
        ("kerb send send_log --node {node}", "kerb flash"),
    ),
    "flash fault": (("its flash is worn out or damaged",), ("change the board of node {node}: kerb provision",)),
    "silent": (
        ("its cells are empty, or the node is gone or broken", "something stands in its radio's way"),
        ("kerb ping {node}", _LOOK, "look at the place"),
    ),
    "lamp silent": (
        ("its column has no supply, or the node is broken", "something stands in its radio's way"),
        ("kerb ping {node}", _LOOK, "look whether it burns"),
    ),
    "area silent": (("a link or a repeater of that place is down", "its power is cut"), ("kerb nodes --state silent",)),
    "lamp failure": (("the lamp is at its end", "its fuse has blown"), ("change the lamp of node {node}", _LOOK)),
    "control gear failure": (("the driver is broken",), ("change the driver of node {node}", _LOOK)),
    "control gear silent": (("the driver's bus is open, or the driver broken",), (_TEST, _LOOK)),
    "day burner": (
        ("a relay or driver that does not switch off", "a photocell that is covered"),
        ("kerb send release --node {node}", _LOOK),
    ),
    "cycling": (("a discharge lamp at its end", "a driver that overheats"), ("change the lamp of node {node}", _LOOK)),
    "relay failure": (("the relay is welded or dead",), ("change the relay of node {node}", _LOOK)),
    "power too high": (("another luminaire than the table says", "a driver at its end"), (_LOOK,)),
    "power too low": (("a part of its LEDs is out", "another luminaire than the table says"), (_LOOK,)),
    "power factor too low": (("a driver at its end",), (_LOOK,)),
    "too hot": (("the luminaire does not cool",), (_LOOK,)),
    "photocell fault": (
        ("the photocell is covered: leaves, dirt, paint or a nest", "the photocell or its cable is broken"),
        ("clean the photocell of node {node} and cut back what shades it", _TEST, _LOOK),
    ),
    "supply too low": (("a dip or a weak phase of the network operator",), ("kerb alarms --kind 'supply too low'",)),
    "supply too high": (("a fault of the network operator: neutral or transformer",), ("call the network operator",)),
    "door open": (("the cabinet's or column's door is open",), ("close it", _LOOK)),
    "inlet silent": (
        ("the modem, bridge or repeater behind this link is off", "its cable is loose at the far end"),
        ("look at the device at the far end of the link", "kerb doctor --only inlets,serial,broker"),
    ),
    "task failing": (("a fault of this program",), ("kerb gateway status", "report it with the gateway's log")),
    "audit log changed": (("somebody changed the log of commands",), ("kerb audit verify",)),
    "fold failing": (("a fault of this program, or a damaged store",), ("kerb gateway status",)),
}
_QUIET = ("pending", "suppressed", "quiet")
ELSEWHERE = frozenset(("inlet down", "disk nearly full", "store failing", "clock not trusted", "outlet behind"))
OF_SUPPLY = frozenset(("power cut", "supply too low", "supply too high"))  # looked at together, by lamps.supply
_BUSINESS = frozenset(("bin full",))  # the day's work, and nothing that is wrong


def alarms(subject: Subject) -> Iterator[Finding]:
    """Open alarms by kind: what nodes report of themselves, and who is silent."""
    if not subject.store.exists():
        yield Finding("nodes", SKIPPED, "no node was heard yet")
        return
    found = subject.condition
    told = [row for row in found["alarms"] if row["state"] not in _QUIET and not row["grouped"]]
    weak = {row["node"] for row in found["alarms"] if row["kind"] == "battery low"}
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in told:
        if row["kind"] not in ELSEWHERE | OF_SUPPLY | _BUSINESS:
            kinds.setdefault(row["kind"], []).append(row)
    out = [_of_kind(kind, rows, weak) for kind, rows in kinds.items()]
    counts = ", ".join(f"{count} {state}" for state, count in found["states"].items())
    yield from out or [Finding("nodes", OK, counts or "the registry is empty")]


def _of_kind(kind: str, rows: list[dict[str, Any]], weak: set[int | None]) -> Finding:
    causes, steps = ALARMS.get(kind, ((), ("kerb alarms",)))
    nodes = [row["node"] for row in rows if row["node"] is not None]
    if kind == "silent" and any(node in weak for node in nodes):
        causes = ("its cells are empty: its battery was low before it fell silent", *causes)
    first = rows[0]
    what = f"node {first['node']}" if nodes else clean(first["subject"])
    said = "; ".join(f"{name} {clean(value)}" for name, value in first["evidence"].items())
    others = f", and {len(rows) - 1} more: {listed(nodes[1:])}" if len(rows) > 1 else ""
    words = {"node": nodes[0] if nodes else "NODE"}
    grave = max(row["severity"] for row in rows) >= CRITICAL
    return Finding(
        "nodes",
        FAIL if grave else WARN,
        f"{kind}: {what}{f' ({said})' if said else ''}{others}",
        causes,
        tuple(step.format(**words) for step in steps),
        subject=what,
        nodes=tuple(nodes),
        weight=first["severity"],
    )
