"""`kerb tail`: records and events as they are committed, a line each.

kerb tail -f             until Ctrl-C
kerb tail --node 17      the newest of one node
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from kerbtools.field import words
from kerbtools.field.screen import Screen, clean, when
from kerbtools.field.subject import Subject

if TYPE_CHECKING:
    from kerbgate.field.sight import Sight

EVERY_S = 0.5
MAX_LIMIT = 500
_COLOURS = {"emergency": "red", "critical": "red", "warning": "yellow"}


def main(arguments: Sequence[str]) -> int:
    """Returns 0; 1 where nobody can be asked."""
    parser = words.parser("tail", "Records and events, in the order in which they were committed.")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument("-n", "--lines", type=int, default=20, help="reports to begin with (default: 20)")
    parser.add_argument("--node", type=int, help="only this node")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return words.run(_tail, parser.parse_args(list(arguments)))


def _tail(options: argparse.Namespace) -> int:
    screen = Screen()
    subject = Subject(options.config)
    limit = min(max(options.lines, 0), MAX_LIMIT)
    for row in rows(subject, limit, options.node, follow=options.follow):
        print(json.dumps(row) if options.json else line(row, screen), flush=options.follow)
    return 0


def rows(subject: Subject, limit: int, node: int | None = None, *, follow: bool = False) -> Iterator[dict[str, Any]]:
    """The newest reports' records, oldest first; with `follow` also what comes. GatewayError."""
    answer = fetch(subject, {"limit": limit, "node": node})
    while True:
        yield from answer["rows"]
        if not follow:
            return
        time.sleep(EVERY_S)
        answer = fetch(subject, {"after": answer["after"], "limit": MAX_LIMIT, "node": node})


def fetch(subject: Subject, fields: dict[str, Any]) -> dict[str, Any]:
    """The answer of `kerbgate.field.records`. GatewayError."""
    given = {name: value for name, value in fields.items() if value is not None}

    def offline(sight: "Sight") -> dict[str, Any]:
        from kerbgate.field import records

        return records.tail(sight, given)

    return subject.ask("tail", offline, **given)


def line(row: dict[str, Any], screen: Screen) -> str:
    """One row for a terminal."""
    at = row.get("time") or when(row.get("time_s"))
    head = f"{at:20}  node {row['node']:<5} "
    if "event" in row:
        told = f"{row['severity']} {row['event']} {row['state']}"
        return head + screen.paint(told, _COLOURS.get(row["severity"], "bold")) + _values(row["values"])
    if "level_changes" in row:
        return f"{head}{row['level_changes']} level changes"
    derived = "  (time derived)" if row["time_quality"] == "derived" else ""
    return f"{head}#{row['index']}{_values(row['values'])}{derived}"


def _values(values: dict[str, Any]) -> str:
    return "".join(f"  {name} {clean(_plain(value))}" for name, value in values.items())


def _plain(value: Any) -> str:
    return ",".join(map(str, cast(list[Any], value))) or "none" if isinstance(value, list) else str(value)
