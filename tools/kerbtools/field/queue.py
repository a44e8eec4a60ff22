"""`kerb queue`: what waits for each council system, since when, and why it does not go."""

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerbtools.field import words
from kerbtools.field.screen import Screen, clean, span
from kerbtools.field.subject import Subject

if TYPE_CHECKING:
    from kerbgate.field.sight import Sight


def main(arguments: Sequence[str]) -> int:
    """Returns 0; 1 where nobody can be asked."""
    parser = words.parser("queue", "Documents that wait for each outlet.")
    parser.add_argument("--outlet", help="only this one")
    parser.add_argument("--json", action="store_true", help="one JSON object an outlet")
    return words.run(_list, parser.parse_args(list(arguments)))


def _list(options: argparse.Namespace) -> int:
    rows = [row for row in fetch(Subject(options.config)) if options.outlet in (None, row["outlet"])]
    if options.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print("\n".join(plain(rows, Screen())))
    return 0


def fetch(subject: Subject) -> list[dict[str, Any]]:
    """A row for each outlet that is configured or that something waits for; with its state, if the gateway runs."""

    def offline(sight: "Sight") -> dict[str, Any]:
        from kerbgate.field import queues

        return {"queues": queues.queues(sight, subject.now_s), "outlets": None}

    answer = subject.ask("queue", offline)
    live = answer["outlets"]
    return joined(
        answer, [outlet.name for outlet in subject.config.outlets] if live is None else [o["name"] for o in live]
    )


def joined(answer: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """What waits and who works, as one row for each outlet. names: of those that are configured."""
    waiting = {row["outlet"]: row for row in answer["queues"]}
    states = {row["name"]: row for row in answer["outlets"] or ()}
    empty = {
        "reports": 0,
        "oldest_age_s": None,
        "alarms": 0,
        "rollups": 0,
        "rollups_due": 0,
        "inherits": False,
        "oldest_report": None,
        "newest_report": None,
    }
    return [
        {"outlet": name} | waiting.get(name, empty) | {"configured": name in names, "state": states.get(name)}
        for name in [*names, *(name for name in waiting if name not in names)]
    ]


def plain(rows: list[dict[str, Any]], screen: Screen) -> list[str]:
    """Queues as a table, and below it what keeps each from going."""
    if not rows:
        return ["no outlet is configured, and nothing waits"]
    told = [
        (
            "(the first outlet)" if row["inherits"] else clean(row["outlet"]),
            _state(row),
            str(row["reports"]),
            span(row["oldest_age_s"]),
            str(row["alarms"]),
            f"{row['rollups_due']}/{row['rollups']}",
            str(row["state"]["set_aside"]) if row["state"] else "-",
            span(row["state"]["last_puback_s_ago"]) if row["state"] else "-",
        )
        for row in rows
    ]
    heads = ("OUTLET", "STATE", "REPORTS", "OLDEST", "ALARMS", "ROLL-UPS", "ASIDE", "LAST SENT")
    lines = screen.table(told, heads, right=range(2, 8))
    for row in rows:
        name, state = clean(row["outlet"]), row["state"]
        if state and not state["connected"] and state["last_error"]:
            lines += screen.wrap(f"{name}: {clean(state['last_error'])}", "  ")
        if state and state["set_aside"]:
            causes = "; ".join(clean(cause) for cause in state["set_aside_causes"])
            lines += screen.wrap(f"{name}: set aside: {causes}; tried again after: kerb gateway reload", "  ")
        if not row["configured"] and not row["inherits"]:
            lines += screen.wrap(f"{name} is not configured: kerb gateway reload --drop-outlet {name} forgets it", "  ")
    return lines


def _state(row: dict[str, Any]) -> str:
    if not row["configured"]:
        return "waits" if row["inherits"] else "gone"
    if row["state"] is None:
        return "gateway off"
    return "connected" if row["state"]["connected"] else "down"
