"""`kerb audit`: read the audit log of a gateway, and check that nothing in it was changed, left out or reordered.

kerb audit verify --head heads.jsonl     against what the council received on .../audit/head
kerb audit show                          the newest entries
"""

import argparse
import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from kerbgate import audit, config
from kerbgate.commands.request import write_time
from kerbgate.errors import AuditError, GatewayError

MAX_HEADS = 16 * 1024 * 1024  # bytes of a file: ten years of hourly heads


def main(argv: list[str]) -> int:
    """Returns 0 when the log is whole, 1 when it is not or cannot be read."""
    parser = argparse.ArgumentParser(prog="kerb audit", description="Check or read a gateway's audit log.")
    parser.add_argument("what", choices=["verify", "show"])
    parser.add_argument("--config", type=Path, default=Path("gateway.toml"), help="default: gateway.toml")
    parser.add_argument("--head", type=Path, help="of verify: the heads that the council received, a document a line")
    parser.add_argument("--limit", type=int, default=20, help="of show: entries")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    arguments = parser.parse_args(argv)
    try:
        loaded = config.load(arguments.config)
        state = loaded.gateway.state
        with contextlib.closing(_open(state / "store.sqlite")) as db:
            if arguments.what == "show":
                return _show(db, arguments.limit, arguments.json)
            heads = _heads(arguments.head, loaded.gateway.site) if arguments.head else []
            verdict = audit.verify(db, audit.Key.open(state), heads)
    except GatewayError as error:
        print(f"kerb: {error.cause}\n      {error.hint}", file=sys.stderr)
        return 1
    except sqlite3.Error as error:
        print(f"kerb: the store cannot be read: {error}\n      start the gateway once", file=sys.stderr)
        return 1
    print(json.dumps(_fields(verdict)) if arguments.json else plain(verdict))
    return 0 if verdict.sound else 1


def plain(verdict: audit.Verdict) -> str:
    """What may be claimed, and no more."""
    if not verdict.sound:
        return "\n".join(
            ["NOT WHOLE"]
            + [f"  {fault}" for fault in verdict.faults]
            + ["  keep this store, and ask who had access to it"]
        )
    lines: list[str] = []
    if verdict.head is not None:
        who = "the council received" if verdict.outside else "the council acknowledged, as this machine remembers"
        when = f" at {write_time(verdict.head.at)}" if verdict.head.at else ""
        lines.append(f"whole up to entry {verdict.covered}: the head that {who}{when}")
        if not verdict.outside:
            lines.append("  hold it against the council's own copy: kerb audit verify --head FILE")
    else:
        lines.append("nothing is claimed: no head was published yet, so nobody else vouches for this log")
    after = verdict.last - verdict.covered
    if after:
        lines.append(f"{after} entries after it hang together, on the word of this machine alone")
    if verdict.first > 1:
        lines.append(f"entries 1 to {verdict.first - 1} were taken away in good order, since the log has a bound")
    return "\n".join(lines)


def _fields(verdict: audit.Verdict) -> dict[str, Any]:
    return {
        "sound": verdict.sound, "faults": verdict.faults, "entries": verdict.entries, "first": verdict.first,
        "last": verdict.last, "covered": verdict.covered, "outside": verdict.outside,
    }  # fmt: skip


def _show(db: sqlite3.Connection, limit: int, as_json: bool) -> int:
    rows = db.execute("SELECT seq, kind, entry FROM audit ORDER BY seq DESC LIMIT ?", (max(1, limit),)).fetchall()
    for seq, kind, entry in reversed(rows):
        print(entry if as_json else f"{seq:8} {kind:6} {entry[:200]}{'...' if len(entry) > 200 else ''}")
    return 0


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise AuditError(f"there is no store at {path}", "name the gateway's configuration with --config")
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)


def _heads(path: Path, site: str) -> list[audit.Head]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_HEADS).decode()
    except (OSError, ValueError) as error:
        raise AuditError(f"the heads {path} cannot be read: {error}", "name the file with --head") from error
    return audit.read_heads(text, site)
