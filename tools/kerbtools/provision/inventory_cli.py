"""`kerb inventory`: the council's list of assets, and how what was heard differs from it."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from kerbgate import config
from kerbgate.registry import Registry, inventory
from kerbgate.store import Reader
from kerbtools.provision import report, sheet, shell
from kerbtools.provision.shell import opened, show, table

STORE = "store.sqlite"


def main(arguments: Sequence[str]) -> int:
    """`kerb inventory VERB ...`."""
    return shell.verbs("inventory", VERBS, arguments)


def import_(arguments: Sequence[str]) -> int:
    parser = shell.parser(
        "inventory import",
        "Take an inventory in, all of it or nothing.",
        epilog="Columns: asset, site, role (needed); latitude, longitude, usrn, supply, wattage_w, luminaire, feeder.",
    )
    parser.add_argument("file", type=Path, help="CSV in UTF-8, its first line the names of the columns")
    parser.add_argument("--whole", action="store_true", help="assets of its sites that it lacks leave the inventory")
    return shell.run(_import, parser.parse_args(arguments))


def report_(arguments: Sequence[str]) -> int:
    parser = shell.parser(
        "inventory report", "In the inventory and not heard, heard and not in it, or of another wattage than it says."
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the gateway's configuration: its registry and store"
    )
    parser.add_argument("--store", type=Path, metavar="FILE", help=f"a store (default: {STORE} beside the registry)")
    parser.add_argument("--site", help="only this site")
    parser.add_argument(
        "--within",
        type=float,
        default=report.HEARD_WITHIN_H,
        metavar="H",
        help="hours that count as heard (default 48)",
    )
    return shell.run(_report, parser.parse_args(arguments))


VERBS = {
    "import": (import_, "take in an inventory (CSV)"),
    "report": (report_, "compare the inventory with what was heard"),
}


def _import(options: argparse.Namespace) -> int:
    registry = opened(options)
    new, changed = inventory.take(registry, sheet.read_inventory(options.file), whole=options.whole)
    known = sum(1 for item in inventory.assets(registry) if item.inventory)
    show(
        options,
        {"v": 1, "new": new, "changed": changed, "assets": known},
        f"{new} assets are new and {changed} changed; the inventory has {known}",
    )
    return 0


def _report(options: argparse.Namespace) -> int:
    if options.config is not None:
        loaded = config.load(options.config)
        registry, store = Registry(loaded.gateway.registry), loaded.gateway.state / STORE
    else:
        registry, store = opened(options), options.registry.with_name(STORE)
    store = options.store or store
    reader = Reader(store) if store.exists() or options.store or options.config else None
    found = report.compare(registry, reader, time.time_ns() // 1_000_000, site=options.site, within_h=options.within)
    parts = [f"{found.well} of {found.assets} assets are well" + ("" if reader else f"; there is no store at {store}")]
    for name, rows, columns in (
        ("in the inventory, not heard", found.missing, ("asset", "site", "node", "why")),
        ("heard, not in the inventory", found.foreign, ("node", "site", "why")),
        ("of another wattage", found.wattage, ("asset", "node", "luminaire", "inventory_w", "measured_w", "readings")),
    ):
        if rows:
            head = [column.replace("_w", " (W)").upper() for column in columns]
            parts.append(f"{name}: {len(rows)}\n" + table(head, [[row[column] for column in columns] for row in rows]))
    show(options, found.as_json(), "\n\n".join(parts))
    return 0
