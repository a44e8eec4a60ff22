"""`kerb bench PART [--json]`: parts are modules with a `rows()` that yields dictionaries of the same keys."""

import argparse
import importlib
import json
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

# part: (module, what it measures)
PARTS = {
    "wire": ("kerbtools.bench.wire", "bytes beside peers and floor, air time, time and heap, recorded data"),
    "node": ("kerbtools.bench.node", "a node's code and heap, on 64 bits and on the 32 of a board"),
    "power": ("kerbtools.bench.power", "what a bin node draws by its board's currents, and the sources of these"),
    "faults": ("kerbtools.bench.faults", "every fault of every part of a bin, at the gateway and on the bench"),
    "levels": ("kerbtools.bench.levels", "a bin's levels and events beside a simulated truth"),
    "gateway": ("kerbtools.bench.gateway", "frames a second: opened, checked, committed"),
    "ble": ("kerbtools.bench.ble", "1,000 reports of 200 bytes over Bluetooth, with 0, 10 and 30 % of fragments lost"),
    "links": (
        "kerbtools.bench.links",
        "1,000 nodes on Wi-Fi through one mosquitto: CPU for a report, and its ack's time",
    ),
    "district": ("kerbtools.bench.district", "10,000 nodes for a simulated day, every roll-up recomputed"),
    "alarms": ("kerbtools.bench.alarms", "what alarms cost a report, and a look at a full district"),
    "lighting": (
        "kerbtools.bench.lighting.rows",
        "adaptive light: energy, and who stood in too little of it (simulated)",
    ),
    "street": (
        "kerbtools.bench.lighting.firmware",
        "twenty lamps' own program for three nights, and how soon boards light up (simulated)",
    ),
    "lampheap": ("kerbtools.bench.lampheap", "the least heap that a lamp lives with"),
    "lampfaults": ("kerbtools.bench.lampfaults", "faults of lamps: how soon told, what is told falsely (simulated)"),
    "lora": ("kerbtools.bench.lora", "a bin's day over LoRa with loss, and what one modem bears (emulated)"),
    "slices": ("kerbtools.bench.slices", "how long a lamp's light waits for its program, at 160 times the unix port"),
    "restore": ("kerbtools.bench.restore", "300 lamps get their power back at once (simulated)"),
    "field": ("kerbtools.bench.field", "the field's verbs on 10,000 nodes and a million records: first line, cold"),
    "tools": ("kerbtools.bench.flashing", "flashing: beside plain mpremote, and an unchanged board"),
    "gateways": ("kerbtools.bench.gateways.rows", "ours beside those that a council would pick today"),
}

PIPED_WIDTH = 180  # columns, where nothing says how wide the reader's page is
MOST_COLUMNS = 16


def main(arguments: Sequence[str]) -> int:
    """Runs one part, or all."""
    parser = argparse.ArgumentParser(
        prog="kerb bench",
        description="Print the figures behind every claim.",
        epilog="Parts:\n" + "\n".join(f"  {part:<10} {what}" for part, (_, what) in PARTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="?", default="all", choices=["all", *PARTS], help="what to measure")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="of part wire: seeds 1 to N (1000; below 50, a rough floor)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="of parts gateways and lighting: little of it, to see that all of it works"
    )
    parser.add_argument(
        "--boards", action="store_true", help="of part street: emulated boards, all of them, in place of native lamps"
    )
    options = parser.parse_args(arguments)
    if options.seeds is not None and options.seeds < 1:
        parser.error("--seeds: at least 1")
    for part in PARTS if options.part == "all" else [options.part]:
        module_name, title = PARTS[part]
        module = importlib.import_module(module_name)
        given: list[object] = []
        if part == "wire" and options.seeds:
            given.append(range(1, options.seeds + 1))
        elif part in ("gateways", "lighting"):
            given.append(options.quick)
        elif part == "street":
            given.append(options.boards)
        rows = module.rows(*given)
        if options.json:
            for row in rows:
                print(json.dumps({"part": part, **row}), flush=True)
        else:
            _print_tables(f"{part}: {title}", rows)
    return 0


def _print_tables(title: str, rows: Iterable[dict[str, object]]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    for columns, group in groupby(rows, key=tuple):
        upright = len(columns) > MOST_COLUMNS  # more of them cannot be read side by side
        table = Table(title=title, title_justify="left", show_header=not upright)
        for column in ("", "") if upright else columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in group:
            if upright:
                for name, value in row.items():
                    table.add_row(name.replace("_", " "), _shown(value))
                table.add_section()
            else:
                table.add_row(*map(_shown, row.values()))
        console.print(table)


def _shown(value: object) -> str:
    if isinstance(value, float):
        digits = 0 if value >= 1000 else 2 if value >= 0.1 or not value else 4
        return f"{value:,.{digits}f}"
    return str(value)
