"""`kerb nodes`: who is there, where, heard when, and in one word how.

kerb nodes                        all of them
kerb nodes --state silent         silent, alarm, stranger, new, works, well, quarantined ...
kerb nodes --age 2d --sort age    not heard for two days, the longest first
"""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerbtools.field import words
from kerbtools.field.screen import Screen, clean, span
from kerbtools.field.subject import Subject

if TYPE_CHECKING:
    from kerbgate.field.sight import Sight

LIMIT = 200  # rows on a terminal; --limit 0 has all
_COLOURS = {"silent": "red", "alarm": "yellow", "stranger": "yellow", "new": "dim", "well": "green", "works": "dim"}
_SORTS = ("node", "age", "state", "place", "site", "role", "link")
_FIELDS = ("site", "role", "state", "place", "silent_s", "sort", "reverse", "limit")


def main(arguments: Sequence[str]) -> int:
    """Returns 0, also where no node fits; 1 where nobody can be asked."""
    parser = words.parser(
        "nodes", "Nodes of a site.", "spans: 90s, 15min, 2h, 1d; `kerb show NODE` tells one node's story"
    )
    parser.add_argument("--site")
    parser.add_argument("--role", choices=("bin", "lamp"))
    parser.add_argument("--state", help="silent, alarm, stranger, new, works, well, or a state of the registry")
    parser.add_argument("--place", metavar="TEXT", help="a part of an asset's, a street's or a feeder's name")
    parser.add_argument(
        "--age", dest="silent_s", type=words.span_of, metavar="SPAN", help="not heard for so long, or never"
    )
    parser.add_argument("--sort", choices=_SORTS, default="node")
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("--limit", type=int, help=f"rows; 0 for all (default: {LIMIT}, of --json all)")
    parser.add_argument("--json", action="store_true", help="one JSON object a node")
    return words.run(_list, parser.parse_args(list(arguments)))


def _list(options: argparse.Namespace) -> int:
    limit = options.limit if options.limit is not None else (0 if options.json else LIMIT)
    fields = {name: getattr(options, name, None) for name in _FIELDS} | {"limit": max(limit, 0)}
    answer = fetch(Subject(options.config), fields)
    if options.json:
        for row in answer["nodes"]:
            print(json.dumps(row))
    else:
        print("\n".join(plain(answer, Screen())))
    return 0


def fetch(subject: Subject, fields: dict[str, Any]) -> dict[str, Any]:
    """The answer of `kerbgate.field.nodes`. GatewayError."""
    given = {name: value for name, value in fields.items() if value is not None}

    def offline(sight: "Sight") -> dict[str, Any]:
        from kerbgate.field import nodes

        return nodes.nodes(sight, subject.now_s, nodes.Wanted.of(given))

    return subject.ask("nodes", offline, **given)


def plain(answer: dict[str, Any], screen: Screen) -> list[str]:
    """Nodes as a table for a terminal."""
    rows = [
        (
            str(row["node"]),
            row["role"],
            row["state"],
            span(row["age_s"]) if row["seen_ms"] is not None else "never",
            f"{row['arrived']}/{row['frames']}" if row["frames"] else "-",
            clean(", ".join(filter(None, (row["asset"], row["street"]))) or "-"),
            clean(", ".join(row["alarms"]) or "-"),
        )
        for row in answer["nodes"]
    ]
    lines = screen.table(rows, ("NODE", "ROLE", "STATE", "HEARD", "LINK", "PLACE", "ALARMS"), right=(0, 3, 4))
    lines = [lines[0], *(_painted(line, row, screen) for line, row in zip(lines[1:], rows, strict=True))]
    shown, total = len(answer["nodes"]), answer["total"]
    states = ", ".join(f"{count} {state}" for state, count in answer["states"].items())
    more = f"; {total - shown} more: --limit 0 lists them all" if total > shown else ""
    if answer["registry_error"]:
        lines.append(f"the registry cannot be read: {clean(answer['registry_error'])}")
    return [*lines, f"{total} of {sum(answer['states'].values())} nodes ({states}){more}" if states else "no node yet"]


def _painted(line: str, row: Sequence[str], screen: Screen) -> str:
    """The word of the state in its colour, wherever the columns ended up."""
    word = row[2]
    at = line.find(f" {word}")
    return (
        line if at < 0 else line[: at + 1] + screen.paint(word, _COLOURS.get(word, "dim")) + line[at + 1 + len(word) :]
    )
