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
    "wire": ("kerbtools.bench.wire", "bytes of sealed reports over the fixed workload"),
    "gateway": ("kerbtools.bench.gateway", "frames a second: opened, checked, committed"),
}


def main(arguments: Sequence[str]) -> int:
    """Runs one part, or all."""
    parser = argparse.ArgumentParser(prog="kerb bench", description="Print the figures behind every claim.")
    parser.add_argument("part", nargs="?", default="all", choices=["all", *PARTS], help="what to measure")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    options = parser.parse_args(arguments)
    for part in PARTS if options.part == "all" else [options.part]:
        module_name, title = PARTS[part]
        rows = importlib.import_module(module_name).rows()
        if options.json:
            for row in rows:
                print(json.dumps({"part": part, **row}), flush=True)
        else:
            _print_tables(f"{part}: {title}", rows)
    return 0


def _print_tables(title: str, rows: Iterable[dict[str, object]]) -> None:
    console = Console()
    for columns, group in groupby(rows, key=tuple):
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in group:
            table.add_row(*map(_shown, row.values()))
        console.print(table)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"
    return str(value)
