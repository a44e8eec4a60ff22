"""`kerb doctor`: what is wrong, why, and what to do next. It looks at everything and changes nothing.

kerb doctor                          the whole table, what to begin with first
kerb doctor --only serial,broker     some checks
kerb doctor --watch                  again and again, until Ctrl-C
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerbtools.field import deadline
from kerbtools.field.checks import CHECKS, ORDER
from kerbtools.field.findings import FAIL, OK, SKIPPED, STATUS, UNKNOWN, WARN, Finding, ranked, worst
from kerbtools.field.screen import Screen, clean
from kerbtools.field.subject import RUNNING, Subject

WATCH_S = 10.0
_COLOURS = {FAIL: "red", WARN: "yellow", UNKNOWN: "yellow", OK: "green", SKIPPED: "dim"}
_WORDS = {FAIL: "FAIL", WARN: "WARN", UNKNOWN: "?", OK: "ok", SKIPPED: "-"}


def main(arguments: Sequence[str]) -> int:
    """Exit status by the worst verdict: 0 well, 1 warn, 2 fail, 3 something could not be found out, or bad usage."""
    parser = _Parser(
        prog="kerb doctor",
        description="What is wrong with this gateway and its nodes, the likeliest cause first, and what to do next.",
        epilog="checks: "
        + ", ".join(row.name for row in CHECKS)
        + "\n\nexit status: 0 well, 1 warn, 2 fail, 3 unknown",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, help="default: gateway.toml here, else /etc/kerbstone/gateway.toml")
    parser.add_argument("--only", metavar="CHECK,...", help="only these checks")
    parser.add_argument("--problems", action="store_true", help="leave out what is well")
    parser.add_argument("--watch", action="store_true", help="look again and again, until Ctrl-C")
    parser.add_argument("--every", type=float, default=WATCH_S, metavar="S", help="of --watch: seconds (default: 10)")
    parser.add_argument("--json", action="store_true", help="one JSON object a finding, the one to begin with first")
    options = parser.parse_args(list(arguments))
    chosen = list(CHECKS)
    if options.only is not None:
        names = [name.strip() for name in options.only.split(",")]
        unknown = [name for name in names if name not in ORDER]
        if unknown:
            parser.error(f"no check is called {unknown[0]!r}; there are: {', '.join(ORDER)}")
        chosen = [row for row in CHECKS if row.name in names]
    if options.every < 1:
        parser.error("--every: at least 1 second")
    try:
        while True:
            subject = Subject(options.config)
            screen = Screen()
            if not options.json:  # at once: what is looked at takes a moment
                _begin(subject, screen, anew=options.watch)
            findings = examine(subject, chosen)
            _show(findings, options, screen)
            if not options.watch:
                return STATUS[worst(findings)]
            time.sleep(options.every)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3


def examine(subject: Subject, rows: Sequence[deadline.Row] = CHECKS) -> list[Finding]:
    """The findings of these checks, the one to begin with first."""
    return ranked(deadline.run(rows, subject), ORDER)


def _begin(subject: Subject, screen: Screen, *, anew: bool) -> None:
    if anew and screen.terminal:
        print("\x1b[2J\x1b[H", end="")
    print("\n".join(screen.wrap(head(subject), "  ")), flush=True)


def _show(findings: list[Finding], options: argparse.Namespace, screen: Screen) -> None:
    if options.json:
        for row in findings:
            if not options.problems or row.verdict not in (OK, SKIPPED):
                print(json.dumps(row.document()))
    else:
        print("\n".join(plain(findings, screen, problems_only=options.problems)))
    sys.stdout.flush()


def plain(findings: list[Finding], screen: Screen, *, problems_only: bool = False) -> list[str]:
    """The findings for a terminal: what is wrong in full, and of the rest a line each."""
    lines = [""]
    for row in findings:
        if row.verdict in (FAIL, WARN, UNKNOWN):
            lines += _problem(row, screen)
    rest = [row for row in findings if row.verdict in (OK, SKIPPED)]
    if not problems_only:
        lines += [_line(row, screen) for row in rest if row.verdict == OK]
        skipped = [row.check for row in rest if row.verdict == SKIPPED]
        if skipped:
            lines += screen.wrap(f"not here: {', '.join(dict.fromkeys(skipped))}", "      ", "-     ")
    counts = {verdict: sum(row.verdict == verdict for row in findings) for verdict in (FAIL, WARN, UNKNOWN, OK)}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return [*lines, "", said or "nothing to look at"]


def head(subject: Subject) -> str:
    """Which gateway this is, and how it stands."""
    mode = subject.mode
    facts = subject.facts if mode == RUNNING else None
    if facts is not None:
        return f"{subject.config.gateway.site}: the gateway runs, version {facts['version']} ({subject.path})"
    return f"{subject.path}: the gateway is {mode}; this is what its files say"


def _problem(row: Finding, screen: Screen) -> list[str]:
    head = f"{_WORDS[row.verdict]:5} "
    about = f"{row.check} {row.subject}".strip() if row.subject not in row.evidence else row.check
    follows = f"  (follows from {row.follows})" if row.follows else ""
    lines = screen.wrap(clean(f"{about}: {row.evidence}{follows}"), " " * 6, head)
    lines[0] = screen.paint(head, _COLOURS[row.verdict]) + lines[0][len(head) :]
    if row.follows:
        return lines
    for place, cause in enumerate(row.causes):
        lines += screen.wrap(clean(cause), " " * 14, f"      {'likely' if place == 0 else 'or':7} ")
    for place, step in enumerate(row.next):
        lines += screen.wrap(clean(step), " " * 14, f"      {'next' if place == 0 else '':7} ")
    return [*lines, ""]


def _line(row: Finding, screen: Screen) -> str:
    head = f"{_WORDS[row.verdict]:5} "
    text = f"{head}{row.check:14} {clean(row.evidence)}"[: screen.width]
    return screen.paint(head, _COLOURS[row.verdict]) + text[len(head) :]


class _Parser(argparse.ArgumentParser):
    """Bad usage ends with 3: 1 and 2 are verdicts."""

    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(3, f"kerb doctor: {message}\n")
