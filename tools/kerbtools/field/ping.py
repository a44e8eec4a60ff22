"""`kerb ping NODE`: a sealed round trip. A lamp answers at once; a bin sleeps, and answers at its next report."""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from kerbgate import asking
from kerbtools.field import words
from kerbtools.field.screen import signal_of, span, when
from kerbtools.field.subject import Subject

SLICE_S = 10.0  # of one request: the rest is asked for again
_WAITING = ("accepted", "queued", "sent")


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when the node answered, 1 where it could not be asked, 4 when it has not answered yet."""
    parser = words.parser(
        "ping",
        "Ask a node for a record, sealed both ways, and say how long that took.",
        "exit status: 0 answered, 1 could not be asked, 4 no answer yet. A ping that waits stays in the node's queue.",
    )
    parser.add_argument("node", type=int)
    parser.add_argument("--wait", type=words.span_of, default=10, metavar="SPAN", help="for its answer (default: 10s)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return words.run(_ping, parser.parse_args(list(arguments)))


def _ping(options: argparse.Namespace) -> int:
    state = Subject(options.config).state
    end = time.monotonic() + options.wait
    while True:
        wait_s = min(max(end - time.monotonic(), 0), SLICE_S)
        found: dict[str, Any] = asking.ask(state, "ping", node=options.node, wait_s=wait_s)["ping"]
        if found["state"] not in _WAITING or time.monotonic() >= end:
            break
    print(json.dumps(found) if options.json else plain(found))
    return 0 if found["answered"] else 4


def plain(found: dict[str, Any]) -> str:
    """What became of a ping, for a terminal."""
    node = found["node"]
    arrived = f"{found['arrived']} of its last {found['frames']} frames arrived" if found["frames"] else "no frame yet"
    link = signal_of(found["signal"]) + arrived
    if found["answered"]:
        took = "" if found["took_s"] is None else f" in {1000 * found['took_s']:.0f} ms"
        return f"node {node} answered{took} ({found['state']}), sealed both ways; signal: {link}"
    expected = found["expected_s"]
    if found["role"] == "bin" and found["state"] in _WAITING:
        usual = f", expected about {when(expected)}" if expected is not None else ""
        return (
            f"node {node} sleeps: it gets this with the ack of its next report{usual}, and answers then\n"
            f"      signal: {link}\n"
            f"      it stays in the node's queue: kerb ping {node} again, or kerb show {node}"
        )
    heard = "never" if found["seen_ms"] is None else when(found["seen_ms"] / 1000)
    return (
        f"node {node} has not answered in {span(found['waited_s'])} ({found['state']}); heard last {heard}\n"
        f"      signal: {link}\n"
        f"      why: kerb show {node}; the link: kerb doctor --only inlets,refused"
    )
