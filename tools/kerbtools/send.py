"""`kerb send`: ask the running gateway to command nodes, list what was asked, or withdraw it; through its socket.

kerb send dim --group river-street --level 40 --for 2h      kerb send list
kerb send restart --node 17                                 kerb send cancel ID
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from kerbgate import asking
from kerbgate.commands.operations import OPERATIONS, PRIORITY_NAMES
from kerbgate.commands.request import CANCEL, SCHEMA
from kerbgate.errors import GatewayError
from kerbtools.field.subject import Subject
from kerbtools.field.words import span_of

DEFAULT_VALID_S = 86400  # a bin speaks once a day


def main(argv: list[str]) -> int:
    """Returns 0 when the gateway accepted it, 1 when it refused or cannot be asked."""
    arguments = _parser().parse_args(argv)
    try:
        state = Subject(arguments.config).state
        if arguments.operation == "list":
            found = asking.ask(state, "commands", limit=arguments.limit)["commands"]
            print(json.dumps(found) if arguments.json else plain_list(found))
            return 0
        answer: dict[str, Any] = asking.ask(state, "send", document=document(arguments))["answer"]
    except GatewayError as error:
        print(f"kerb: {error.cause}\n      {error.hint}", file=sys.stderr)
        return 1
    print(json.dumps(answer) if arguments.json else plain(answer))
    return 1 if answer["event"] == "refused" else 0


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {name:10} {row.help}" for name, row in OPERATIONS.items())
    parser = argparse.ArgumentParser(
        prog="kerb send",
        description="Command nodes through the running gateway.",
        epilog=f"operations:\n{rows}\n  list       the newest commands, and which nodes did not answer\n"
        "  cancel     withdraw a command: kerb send cancel ID\n\nspans: 90s, 15min, 2h, 1d",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("operation", choices=[*OPERATIONS, "list", CANCEL], metavar="OPERATION")
    parser.add_argument("id", nargs="?", help="of cancel: the id of the command")
    parser.add_argument("--config", type=Path, help="default: gateway.toml here, else /etc/kerbstone/gateway.toml")
    parser.add_argument("--node", type=int, action="append", help="an address; may be given several times")
    parser.add_argument("--group", help="a group of the gateway's groups file")
    parser.add_argument("--site", help="every node of the site, by its name")
    parser.add_argument("--level", type=int, metavar="PERCENT", help="of dim and brighten; 0 is off")
    parser.add_argument("--fade", type=int, metavar="SECONDS", help="of dim")
    parser.add_argument("--for", dest="span", type=span_of, metavar="SPAN", help="how long it holds, or blinks")
    parser.add_argument("--valid", type=span_of, metavar="SPAN", help="no node obeys it later than this (default: 1d)")
    parser.add_argument("--in", dest="wait", type=span_of, metavar="SPAN", help="not before")
    parser.add_argument("--boot", type=int, help="of send_log")
    parser.add_argument("--line", type=int, help="of send_log")
    parser.add_argument("--set", action="append", metavar="NUMBER=VALUE", help="of configure; an empty value: default")
    parser.add_argument("--priority", choices=PRIORITY_NAMES, default="operator")
    parser.add_argument("--note", help="why, for the audit log")
    parser.add_argument("--dry-run", action="store_true", help="say how many, which streets, until when; send nothing")
    parser.add_argument("--limit", type=int, default=20, help="of list")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def document(arguments: argparse.Namespace) -> dict[str, Any]:
    """The document of the given words. What it lacks, the gateway says."""
    out: dict[str, Any] = {"schema": SCHEMA, "id": f"local-{os.urandom(6).hex()}", "operation": arguments.operation}
    user = os.environ.get("SUDO_USER") or os.environ.get("USER")
    out |= {"by": user} if user else {}
    out |= {"note": arguments.note} if arguments.note else {}
    if arguments.operation == CANCEL:
        return out | {"cancels": arguments.id}
    row = OPERATIONS[arguments.operation]
    named = [
        {"nodes": arguments.node} if arguments.node else {},
        {"group": arguments.group} if arguments.group else {},
        {"site": arguments.site} if arguments.site else {},
    ]
    out["target"] = {name: value for target in named for name, value in target.items()}
    given = {
        "level_percent": arguments.level, "fade_s": arguments.fade, "for_s": arguments.span,
        "boot": arguments.boot, "line": arguments.line,
    }  # fmt: skip
    names = {argument.name for argument in row.arguments}
    values = {name: value for name, value in given.items() if name in names and value is not None}
    out |= {"arguments": values} if values else {}
    if row.settings:
        out["settings"] = dict(_setting(text) for text in arguments.set or ())
    if row.timed:
        out |= {"until_s": arguments.span} if arguments.span is not None else {}
    if not row.timed and not row.grouped:
        out["valid_s"] = DEFAULT_VALID_S if arguments.valid is None else arguments.valid
    elif arguments.valid is not None:
        out["valid_s"] = arguments.valid
    out |= {"in_s": arguments.wait} if arguments.wait is not None else {}
    out |= {"dry_run": True} if arguments.dry_run else {}
    return out | {"priority": arguments.priority}


def plain(answer: dict[str, Any]) -> str:
    """An answer as text for a terminal."""
    event = answer["event"]
    if event == "refused":
        detail = f" ({answer['detail']})" if "detail" in answer else ""
        return f"REFUSED   {answer['reason']}{detail}\n          {answer['hint']}"
    lines = [f"{event:9} {answer['id']}"]
    if "nodes" in answer:
        until = answer.get("until") or answer.get("expires")
        lines.append(f"          {answer['nodes']} nodes" + (f", until {until}" if until else ""))
    for street, count in answer.get("streets", {}).items():
        lines.append(f"          {street}: {count}")
    if "notice" in answer:
        lines.append(f"          {answer['notice']}")
    if event == "accepted":
        lines.append("          what becomes of it: kerb send list")
    return "\n".join(lines)


def plain_list(commands: list[dict[str, Any]]) -> str:
    """Commands as text for a terminal."""
    lines: list[str] = []
    for row in commands:
        state = "ended" if row["ended"] else "open"
        counts = ", ".join(f"{count} {name}" for name, count in row["counts"].items())
        lines.append(f"{state:6} {row['id']}: {row['operation']} ({row['priority']}), until {row['expires']}: {counts}")
        for name in ("waiting", "unanswered"):
            if row[name]:
                nodes = " ".join(map(str, row[name][:20])) + (" ..." if len(row[name]) > 20 else "")
                lines.append(f"       {name}: {nodes}")
    return "\n".join(lines) or "no commands"


def _setting(text: str) -> tuple[str, Any]:
    number, _, value = text.partition("=")
    try:
        return number, int(value) if value else None
    except ValueError:
        return number, value
