"""`kerb show NODE`: its whole story, and what is wrong with it."""

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from kerbtools.field import words
from kerbtools.field.screen import Screen, clean, signal_of, span, when
from kerbtools.field.subject import Subject

if TYPE_CHECKING:
    from kerbgate.field.sight import Sight
    from kerbtools.field.findings import Finding

LABEL = 11  # columns of the words before each line
_NODE_CHECKS = ("registry", "refused", "programs", "boots", "supply", "columns", "nodes", "inlets", "serial", "gateway")


def main(arguments: Sequence[str]) -> int:
    """Returns 0; 1 where nobody can be asked, or nothing is known of the node."""
    parser = words.parser("show", "One node's whole story.")
    parser.add_argument("node", type=int)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return words.run(_show, parser.parse_args(list(arguments)))


def _show(options: argparse.Namespace) -> int:
    subject = Subject(options.config)
    found = fetch(subject, options.node)
    screen = Screen()
    if not options.json:  # at once: what may be wrong with it takes a moment to find
        print("\n".join(plain(found, screen)), flush=True)
    wrong = findings(subject, options.node)
    if options.json:
        print(json.dumps(found | {"findings": [row.document() for row in wrong]}))
    else:
        print("\n".join(causes(wrong, screen)))
    return 0


def fetch(subject: Subject, node: int) -> dict[str, Any]:
    """The story of `kerbgate.field.story`. GatewayError."""

    def offline(sight: "Sight") -> dict[str, Any]:
        from kerbgate.field import story

        now_s = subject.now_s
        found = story.story(sight, node, now_s, subject.config.aggregate.timezone)
        # A running gateway remembers more.
        return {"story": found | {"refused": [], "booted": [], "signal": None, "now_s": now_s}}

    return subject.ask("story", offline, node=node)["story"]


def findings(subject: Subject, node: int) -> "list[Finding]":
    """What the doctor says about this node, and what of the gateway explains it; the likeliest root first."""
    from kerbtools.field import doctor
    from kerbtools.field.checks import CHECKS
    from kerbtools.field.findings import FAIL, UNKNOWN, WARN

    rows = doctor.examine(subject, [row for row in CHECKS if row.name in _NODE_CHECKS])
    about = {f"node {node}"}
    own = [row for row in rows if row.verdict in (FAIL, WARN) and (node in row.nodes or row.subject in about)]
    roots = {row.follows for row in own if row.follows}
    return [row for row in rows if row in own or (row.check in roots and row.verdict in (FAIL, WARN, UNKNOWN))]


def plain(story: dict[str, Any], screen: Screen) -> list[str]:
    """The story for a terminal."""
    lines: list[str] = []
    for label, text in _lines(story, story["now_s"], screen):
        lines += screen.wrap(clean(text), " " * LABEL, f"{label:<{LABEL}}")
    return lines


def causes(wrong: "list[Finding]", screen: Screen) -> list[str]:
    """What is wrong with it, for a terminal."""
    lines = [""]
    for row in wrong:
        lines += screen.wrap(clean(row.evidence), " " * LABEL, f"{row.verdict.upper():<{LABEL}}")
        if row.follows:
            continue
        for place, cause in enumerate(row.causes):
            lines += screen.wrap(clean(cause), " " * (LABEL + 8), f"{'':{LABEL}}{'likely' if place == 0 else 'or':7} ")
        for place, step in enumerate(row.next):
            lines += screen.wrap(clean(step), " " * (LABEL + 8), f"{'':{LABEL}}{'next' if place == 0 else '':7} ")
    return lines if wrong else ["", "nothing is wrong with it that is known here"]


def _lines(story: dict[str, Any], now_s: float, screen: Screen) -> Iterator[tuple[str, str]]:
    yield from _identity(story)
    yield from _heard(story, now_s)
    values = story["values"]
    if values is not None:
        told = "  ".join(f"{name} {_value(value)}" for name, value in values["values"].items())
        yield "newest", f"{when(values['time_s'])}  {told}"
    yield from _cells(story)
    week = story["week"]
    if any(value is not None for value in week["hours"]):
        hours = _halved(week["hours"], max(screen.width - LABEL - 1, 20))
        high = 100 if week["channel"] in ("fill", "level") else None
        yield "week", screen.spark(hours, 0, high)
        yield "", f"{week['channel']} over the last seven days, {span(7 * 86_400 / len(hours))} a mark"
    for alarm in story["open"]:
        told = "; ".join(f"{name} {_value(value)}" for name, value in alarm["evidence"].items())
        yield (
            "alarm",
            f"{alarm['kind']}: {alarm['state']} since {when(alarm['since_s'])}" + (f" ({told})" if told else ""),
        )
    for alarm in story["past"][:5]:
        ended = when(alarm["ended_ms"] / 1000)
        yield "was", f"{alarm['kind']} {alarm['occurrences']} times from {when(alarm['since_s'])} to {ended}"
    for row in story["commands"][:5]:
        yield "command", f"{row['operation']} {row['id']}: {row['state']} at {when(row['changed_ms'] / 1000)}"
    if story["log_pieces"]:
        yield "log", f"{story['log_pieces']} pieces: kerb alarms log {story['node']}"
    for row in story["refused"]:
        yield (
            "refused",
            f"{row['count']} frames, {row['reason']}, at {row['inlet']}, the last {span(row['last_s_ago'])} ago",
        )


def _identity(story: dict[str, Any]) -> Iterator[tuple[str, str]]:
    card, node = story["card"], story["node"]
    if card is None:
        yield "node", f"{node}, a {story['role']} that is NOT in the registry"
    else:
        unique = f", board {card['unique_id']}" if card["unique_id"] else ""
        yield (
            "node",
            f"{node}, a {card['role']} of site {card['site']} on {card['board']}{unique}, {card['registered']}",
        )
        place = ", ".join(filter(None, (card["asset"], story["street"]))) or "at no asset"
        more = [f"feeder {card['feeder']}"] if card["feeder"] else []
        more += [f"supply {card['supply']}"] if card["supply"] else []
        more += [f"{card['wattage_w']:.0f} W"] if card["wattage_w"] else []
        if card["latitude"] is not None:
            more.append(f"{card['latitude']:.5f} {card['longitude']:.5f}")
        since = f" since {when(card['bound_ms'] / 1000)}" if card["bound_ms"] else ""
        yield "place", ", ".join([f"{place}{since}", *more])
    if story["life"] is not None:
        yield "life", f"{story['life']}, confirmed {when(story['confirmed_ms'] / 1000)}"


def _heard(story: dict[str, Any], now_s: float) -> Iterator[tuple[str, str]]:
    hello, link = story["hello"], story["link"]
    if hello is not None:
        yield "hello", f"{when(hello['received_ms'] / 1000)}, reset by {hello['reset']}, boot {hello['boots']}"
        yield (
            "firmware",
            f"{hello['firmware']} (bundle {hello['bundle'][:8]}, configuration {hello['configuration'][:8]}), "
            f"protocol {hello['protocol']}",
        )
    for row in story["booted"]:
        causes = ", ".join(f"{count} by {name}" for name, count in row["causes"].items())
        if row["boots"] > 1:
            yield "boots", f"{row['boots']} in the last hour ({causes})"
    if link is None:
        yield "heard", "never"
        return
    pause = f"; speaks every {span(link['pause_s'])}, next about {when(link['expected_s'])}" if link["pause_s"] else ""
    yield "heard", f"{span(now_s - link['seen_ms'] / 1000)} ago{pause}"
    yield (
        "link",
        signal_of(story["signal"])
        + f"{link['arrived']} of its last {link['frames']} frames arrived; frame {link['number']}",
    )
    taken = link["records"] + link["missing"]
    share = f" ({100 * link['missing'] / taken:.1f} %)" if taken else ""
    yield "records", f"{link['records']} here, {link['missing']} missing{share}"
    for gap in story["gaps"][:5]:
        kind = "declared lost" if gap["declared"] else "missing"
        asked = f", asked for: {gap['asked']}" if gap["asked"] else ""
        yield "gap", f"{gap['count']} from {gap['first']} on, {kind} since {when(gap['since_ms'] / 1000)}{asked}"


def _cells(story: dict[str, Any]) -> Iterator[tuple[str, str]]:
    battery, full = story["battery"], story["full"]
    if battery is not None:
        trend = "" if battery["a_year_mv"] is None else f", {battery['a_year_mv']:+.0f} mV a year"
        left = "" if battery["days_left"] is None else f", about {span(battery['days_left'] * 86_400)} left"
        yield "battery", f"{battery['millivolts'] / 1000:.2f} V{trend}{left}"
    if full is not None:
        soon = f", full about {when(full['middle_s'])}" if full["middle_s"] else ""
        yield "fill", f"{full['fill_percent']} %, {full['percent_a_day']:.0f} % a day{soon}"


def _value(value: Any) -> str:
    return ",".join(map(str, cast(list[Any], value))) or "none" if isinstance(value, list) else str(value)


def _halved(values: list[Any], width: int) -> list[Any]:
    """At most `width` values: neighbours are put together until they fit, the highest counts."""
    while len(values) > width:
        values = [
            max((v for v in values[at : at + 2] if v is not None), default=None) for at in range(0, len(values), 2)
        ]
    return values
