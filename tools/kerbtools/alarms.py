"""`kerb alarms`: what is wrong on a site, whose business it is, who has taken it, and where people work.

kerb alarms                                              what is open, the worst first
kerb alarms ack ID --reason "crew on its way"            somebody has taken it
kerb alarms maintenance --scope feeder:F3 --for 4h --reason "new lanterns"
kerb alarms morning --out list.csv                       the morning list, now
kerb alarms log 17                                       what a node sent of its log
"""

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kerbgate import asking
from kerbgate.errors import ControlError, GatewayError
from kerbtools.field.subject import Subject
from kerbtools.field.words import span_of

if TYPE_CHECKING:
    from kerbgate.field.sight import Sight


def main(arguments: Sequence[str]) -> int:
    """Returns 0, or 1 with a cause and a hint on standard error."""
    options = _parser().parse_args(list(arguments))
    try:
        return _VERBS[options.verb](options, Subject(options.config))
    except GatewayError as error:
        print(f"kerb: {error.cause}\n      {error.hint}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kerb alarms", description="Alarms of a running gateway.", epilog="gateway/ALARMS.md explains them."
    )
    parser.add_argument("verb", nargs="?", choices=list(_VERBS), default="list")
    parser.add_argument("what", nargs="*", help="of ack: ids of alarms; of log: a node")
    parser.add_argument("--config", type=Path, help="default: gateway.toml here, else /etc/kerbstone/gateway.toml")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    parser.add_argument("--limit", type=int, default=200, help="of list and maintenance: how many")
    only = parser.add_argument_group("of list")
    only.add_argument("--past", action="store_true", help="those that have ended, the newest first")
    for name in ("state", "kind", "route", "severity", "subject"):
        only.add_argument(f"--{name}", help=f"only this {name}")
    only.add_argument("--node", type=int, help="only this node")
    people = parser.add_argument_group("of ack and maintenance")
    people.add_argument("--user", default=None, help="who you are (default: your login)")
    people.add_argument("--reason", default="", help="why; it is told and kept")
    window = parser.add_argument_group("of maintenance; without --scope and --end it is listed")
    window.add_argument("--scope", help="where: " + "node:17, group:NAME, feeder:NAME, site:NAME or gateway:")
    window.add_argument("--begins", help="UTC, such as 2026-03-01T08:00:00Z (default: now)")
    window.add_argument("--until", help="UTC")
    window.add_argument("--for", dest="span", type=span_of, metavar="SPAN", help="instead of --until: 30min, 4h, 2d")
    window.add_argument("--end", type=int, metavar="NUMBER", help="end one before its time")
    parser.add_argument("--out", type=Path, help="of morning: write the CSV there, not to the terminal")
    return parser


def _list(options: argparse.Namespace, subject: Subject) -> int:
    names = ("state", "kind", "route", "severity", "subject", "node")
    wanted = {name: value for name in names if (value := getattr(options, name)) is not None}
    found = _fetch(subject, filter=wanted, past=options.past, limit=options.limit)["alarms"]
    if options.json:
        print(json.dumps(found))
        return 0
    if not found:
        print("no alarm" + (" of this kind" if wanted else "") + (" has ended" if options.past else " is open"))
    for alarm in found:
        print(f"{alarm['severity']:9} {alarm['kind']}, {alarm['where']}: {alarm['state']} since {alarm['since']}")
        said = "; ".join(f"{name} {_plain(value)}" for name, value in alarm["evidence"].items())
        about = [alarm["route"], *([said] if said else [])]
        if alarm.get("member_count"):
            about.append(f"{alarm['member_count']} nodes")
        if alarm.get("part_of"):
            about.append(f"part of {alarm['part_of']}")
        if alarm["acknowledged"]:
            about.append(f"taken by {alarm['acknowledged']['by']}: {alarm['acknowledged']['reason']}")
        if alarm["maintenance"] is not None:
            about.append(f"maintenance {alarm['maintenance']}")
        print(f"          {', '.join(about)}\n          {alarm['id']}")
    return 0


def _fetch(subject: Subject, **fields: Any) -> dict[str, Any]:
    """The answer of the running gateway; of one that has stopped, what its store says."""

    def offline(sight: "Sight") -> dict[str, Any]:
        from kerbgate.field import alarms

        return alarms.alarms(sight, subject.config, fields)

    return subject.ask("alarms", offline, **fields)


def _acknowledge(options: argparse.Namespace, subject: Subject) -> int:
    done = asking.ask(
        subject.state, "acknowledge", alarms=options.what, user=_user(options), reason=options.reason
    )["acknowledged"]  # fmt: skip
    if options.json:
        print(json.dumps({"acknowledged": done}))
    else:
        missed = [ident for ident in options.what if ident not in done]
        print(f"acknowledged: {len(done)}" + "".join(f"\nnot open, or not told yet: {ident}" for ident in missed))
    return 0 if len(done) == len(set(options.what)) else 1


def _maintenance(options: argparse.Namespace, subject: Subject) -> int:
    if options.end is not None:
        answer = asking.ask(subject.state, "maintenance", end=options.end, user=_user(options), reason=options.reason)
        print(json.dumps({"ended": answer["ended"]}) if options.json else f"maintenance {answer['ended']} has ended")
        return 0
    if options.scope is None:
        found = _fetch(subject, maintenance=True, limit=options.limit)["maintenance"]
        if options.json:
            print(json.dumps(found))
            return 0
        for row in found:
            until = f"ended {row['ended']}" if row["ended"] else f"until {row['until']}"
            print(
                f"{row['maintenance']:6}  {row['scope']}, from {row['begins']}, {until}: {row['by']}, {row['reason']}"
            )
        return 0
    given = {"begins": options.begins, "until": options.until, "for_s": options.span}
    fields = {name: value for name, value in given.items() if value is not None}
    answer = asking.ask(
        subject.state, "maintenance", scope=options.scope, user=_user(options), reason=options.reason, **fields
    )  # fmt: skip
    number, until = answer["maintenance"], answer["until"]
    text = f"maintenance {number} of {options.scope} until {until}: its alarms are kept and not told"
    print(json.dumps({"maintenance": number, "until": until}) if options.json else text)
    return 0


def _morning(options: argparse.Namespace, subject: Subject) -> int:
    answer = asking.ask(subject.state, "morning")
    if options.json:
        print(json.dumps(answer["rows"]))
        return 0
    from kerbgate.alarms import morning

    text = morning.text(answer["rows"])
    if options.out is None:
        sys.stdout.write(text)
        return 0
    try:
        options.out.write_text(text, "utf-8", newline="")
    except OSError as error:
        raise ControlError(f"{options.out} cannot be written: {error.strerror}", "name another file") from error
    print(f"{len(answer['rows'])} rows in {options.out}; the daily lists are in {answer['folder']}")
    return 0


def _log(options: argparse.Namespace, subject: Subject) -> int:
    if len(options.what) != 1 or not options.what[0].isdecimal():
        raise ControlError("log needs one node", "write: kerb alarms log NODE")
    found = asking.ask(subject.state, "log", node=int(options.what[0]))["log"]
    if options.json:
        print(json.dumps(found))
        return 0
    if not found:
        print(f"nothing is kept: ask for it with kerb send send_log --node {options.what[0]}")
    boot = None
    for piece in found:
        if piece["boot"] != boot:
            boot = piece["boot"]
            print(f"boot {boot}")
        if piece["dropped"]:
            print(f"  ... {piece['dropped']} lines were overwritten ...")
        for number, line in enumerate(piece["text"].rstrip("\n").split("\n"), piece["line"]):
            print(f"{number:6}  {line}")
    return 0


def _user(options: argparse.Namespace) -> str:
    if options.user:
        return options.user
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ControlError("who you are cannot be found", "say it: --user NAME") from error


def _plain(value: Any) -> str:
    """A value without anything that a terminal obeys: some of it are a broker's words."""
    text = ", ".join(map(str, cast(list[Any], value))) if isinstance(value, list) else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)


_VERBS: dict[str, Callable[[argparse.Namespace, Subject], int]] = {
    "list": _list,
    "ack": _acknowledge,
    "maintenance": _maintenance,
    "morning": _morning,
    "log": _log,
}
