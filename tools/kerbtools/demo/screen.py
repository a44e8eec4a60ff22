"""The live table of the demo: node by node, and what the council received last."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kerbtools.demo.chaos import Chaos
from kerbtools.demo.ledger import count_by_node
from kerbtools.demo.street import Street

STATUS_S = 1.0  # the picture of the street is drawn more often than the gateway is asked


def draw(street: Street, chaos: Chaos | None) -> RenderableType:
    """One picture of the street as it is now."""
    status = street.gateway.status(STATUS_S)
    stored = {int(node["node"]): node for node in status.get("nodes", [])}
    taken = count_by_node(street.ledger.taken())
    council = street.council.counts()
    newest = street.council.newest()
    now = street.world.now()
    when = datetime.fromtimestamp(now, UTC)
    table = Table(title=f"{when:%a %d %b %H:%M} UTC, virtual time", title_justify="left")
    for name in ("node", "board", "fill", "battery", "last seen", "taken", "committed", "at council"):
        table.add_column(name, justify="left" if name == "board" else "right")
    for node, board in street.nodes.items():
        if board.role != "bin":
            continue
        record = newest.get(node, {})
        seen = stored.get(node, {}).get("seen_ms")
        table.add_row(
            str(node),
            board.facts.name + ("" if board.alive else " (off)"),
            _shown(record, "fill_percent", "%"),
            _battery(street, node),
            "-" if seen is None else f"{max(0.0, now - seen / 1000) / 3600:.1f} h ago",
            str(taken.get(node, 0)),
            str(stored.get(node, {}).get("committed", 0)),
            str(council.get(node, 0)),
        )
    lines = [f"council's broker: {street.broker.name} on loopback port {street.broker.port}. {_last(street)}"]
    lines.append(street.links.note + (" Waves go from lamp to lamp on a line of their own." if street.lamps else ""))
    if chaos is not None:
        tally = chaos.tally
        lines.append(
            f"chaos: {tally.node_resets} node resets, {tally.power_cuts} power cuts, "
            f"{tally.gateway_kills} gateway kills, broker {street.broker.chaos_word} {tally.broker_cuts} times"
            + "".join(f", {name.replace('_', ' ')} {count} times" for name, count in tally.links.items())
        )
    parts: list[RenderableType] = [table]
    if street.lamps is not None:
        parts += [_lamps(street, newest, taken, council), street.lamps.picture()]
    return Group(*parts, Text("\n".join(lines)), Text("Ctrl-C ends the demo.", style="dim"))


def _lamps(
    street: Street, newest: dict[int, dict[str, Any]], taken: dict[int, int], council: dict[int, int]
) -> RenderableType:
    changed = count_by_node(street.ledger.changed())
    settled = {} if street.settlement is None else count_by_node(street.settlement.record_ids())
    table = Table()
    for name in (
        "lamp",
        "power",
        "energy",
        "people in 15 min",
        "taken",
        "at council",
        "level changes",
        "at settlement",
    ):
        table.add_column(name, justify="right")
    for node, board in street.nodes.items():
        if board.role == "lamp":
            record = newest.get(node, {})
            table.add_row(
                str(node) + ("" if board.alive else " (off)"),
                _shown(record, "power_w", "W"),
                _shown(record, "energy_wh", "Wh"),
                _shown(record, "presence_count", ""),
                str(taken.get(node, 0)),
                str(council.get(node, 0)),
                str(changed.get(node, 0)),
                str(max(0, settled.get(node, 0) - council.get(node, 0))),
            )
    return table


def _shown(record: dict[str, Any], name: str, unit: str) -> str:
    value = record.get(name)
    return record.get("missing", {}).get(name, "-") if value is None else f"{value} {unit}"


def _battery(street: Street, node: int) -> str:
    volts = street.council.battery_v(node)
    return "-" if volts is None else f"{volts:.2f} V"


def _last(street: Street) -> str:
    document = street.council.last()
    if document is None:
        return "It has received nothing yet."
    records: list[dict[str, Any]] = document["records"]
    return f"Last received: node {document['node']}, {len(records)} records up to {records[-1]['time']}."
