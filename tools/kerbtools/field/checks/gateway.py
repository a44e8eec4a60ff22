"""The gateway's process, its outlets, and what waits for them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kerbwire
from kerbgate.asking import SOCKET
from kerbtools.field.findings import FAIL, OK, SKIPPED, WARN, Finding
from kerbtools.field.screen import clean, span
from kerbtools.field.subject import RUNNING, STUCK, Subject

OLD_S = 900  # a report that waits so long waits for something; kerbgate.alarms.health has it so
YOUNG_S = 120.0  # a gateway that has just started has everything before it
# What other checks look at themselves, and with more evidence.
_ELSEWHERE = {
    "inlet_down": "inlets",
    "outlet_down": "broker",
    "outlet_stuck": "broker",
    "outlet_warning": "outlets",
    "set_aside": "outlets",
    "clock_unsynchronised": "clock",
    "clock_stepped": "clock",
    "not_storing": "store",
}
_FOLLOWS = ("inlets", "outlets", "queues", "nodes", "problems", "boots", "serial", "refused", "supply")


def process(subject: Subject) -> Iterator[Finding]:
    """Whether it runs and answers; of one that does not, how it ended."""
    mode, facts = subject.mode, subject.facts
    if facts is not None and mode == RUNNING:
        shadow = "; SHADOW: it listens and compares, and sends nothing" if facts["shadow"] else ""
        yield Finding("gateway", OK, f"process {facts['pid']}, up {span(facts['uptime_s'])}{shadow}")
        return
    restart = ("sudo systemctl restart kerbstone", f"kerb gateway run --config {subject.path}")
    if mode == STUCK:
        pid = subject.holder
        state = _state(pid)
        causes = ("it waits for a disk that does not answer", "it is stopped or being debugged", "it has just started")
        if state == "T":
            causes = ("it was stopped by a signal (SIGSTOP, or Ctrl-Z in a terminal)", *causes[:1])
            restart = (f"sudo kill -CONT {pid}", *restart)
        said = f"process {pid} holds the store and does not answer{f' (state {state})' if state else ''}"
        yield Finding("gateway", FAIL, said, causes, restart, explains=_FOLLOWS)
        return
    if not subject.store.exists():
        said = "it never ran on this state folder"
        yield Finding("gateway", FAIL, said, ("it was not started yet",), restart[::-1], explains=_FOLLOWS)
        return
    last_s = max((path.stat().st_mtime for path in _traces(subject)), default=0.0)
    ago = f"; its store was written last {span(time.time() - last_s)} ago" if last_s else ""
    if (subject.state / SOCKET).exists():
        yield Finding(
            "gateway",
            FAIL,
            f"it does not run, and did not end by itself: it was killed{ago}",
            ("somebody or the kernel killed it (out of memory)", "a power cut, and it is not started at boot"),
            (*restart, "journalctl -k | grep -i -e oom -e killed", "sudo systemctl enable kerbstone"),
            explains=_FOLLOWS,
        )
    else:
        yield Finding(
            "gateway",
            FAIL,
            f"it does not run: it was stopped, or could not start{ago}",
            ("somebody stopped it", "it refuses to start: its log says why"),
            (*restart, f"kerb gateway check --config {subject.path}", "journalctl -u kerbstone -n 20"),
            explains=_FOLLOWS,
        )


def _traces(subject: Subject) -> list[Path]:
    store = subject.store
    return [path for path in (store, store.with_name(store.name + "-wal")) if path.exists()]


def _state(pid: str | None) -> str:
    """The letter of a process's state (proc(5)): T is stopped, D waits for a disk."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def version(subject: Subject) -> Iterator[Finding]:
    """Whether what runs is what is installed."""
    facts = subject.facts
    if facts is None:
        yield Finding("version", OK, f"kerb {kerbwire.__version__}")
    elif facts["version"] != kerbwire.__version__:
        yield Finding(
            "version",
            WARN,
            f"the gateway runs version {facts['version']}, and {kerbwire.__version__} is installed",
            ("it was upgraded and not restarted", "two installations: another kerb comes first in PATH"),
            ("sudo systemctl restart kerbstone", "type -a kerb"),
        )
    else:
        yield Finding("version", OK, f"{facts['version']}, running and installed")


def outlets(subject: Subject) -> Iterator[Finding]:
    """Documents that a council system refuses, and what it warns of."""
    facts = subject.facts
    if facts is None:
        yield Finding("outlets", SKIPPED, "the gateway does not run")
        return
    found = [finding for outlet in facts["outlets"] for finding in _outlet(outlet)]
    if not facts["outlets"]:
        found = [Finding("outlets", SKIPPED, "none is configured: reports wait for the first")]
    yield from found or [Finding("outlets", OK, ", ".join(row["name"] for row in facts["outlets"]))]


def _outlet(outlet: dict[str, Any]) -> Iterator[Finding]:
    from kerbgate.outlets.mqtt import NOBODY

    name = f"outlet {outlet['name']}"
    if outlet["set_aside"]:
        cause = clean(outlet["set_aside_causes"][0]) if outlet["set_aside_causes"] else "no cause was given"
        yield Finding(
            "outlets",
            WARN,
            f"{outlet['set_aside']} documents are set aside: {cause}",
            ("the council's side refuses these documents: too large for it, or of a form that it does not take",),
            ("ask who runs the broker to take them, then: kerb gateway reload", "kerb gateway status"),
            subject=name,
            explains=("queues", "problems"),
            weight=2,
        )
    if outlet["warning"]:
        yield Finding(
            "outlets",
            WARN,
            clean(outlet["warning"]),
            ("nobody reads there yet, or a reader has lost its subscription",) if outlet["warning"] == NOBODY else (),
            ("ask the council's integrator; gateway/README.md, outlets",),
            subject=name,
            explains=("problems",),
        )


def queues(subject: Subject) -> Iterator[Finding]:
    """How old the oldest report is that waits for each outlet."""
    if not subject.store.exists():
        yield Finding("queues", SKIPPED, "there is no store yet")
        return
    named = {outlet.name for outlet in subject.config.outlets if outlet.reports}
    found: list[Finding] = []
    for row in subject.queues:
        about = f"outlet {row['outlet']}"
        waits = f"{row['reports']} reports wait, the oldest for {span(row['oldest_age_s'])}"
        if row["inherits"] or not row["reports"]:
            continue
        if row["outlet"] not in named:
            found.append(
                Finding(
                    "queues",
                    WARN,
                    f"{row['reports']} reports wait for an outlet that is not configured",
                    ("it was renamed or taken out",),
                    (f"name it so again, or: kerb gateway reload --drop-outlet {row['outlet']}",),
                    subject=about,
                )
            )
        elif (row["oldest_age_s"] or 0) > OLD_S and subject.mode == RUNNING and _settled(subject):
            found.append(
                Finding(
                    "queues",
                    WARN,
                    waits,
                    ("the uplink or the broker is away", "more comes than the uplink takes"),
                    ("kerb queue", "kerb doctor --only broker"),
                    subject=about,
                )
            )
    waiting = sum(row["reports"] for row in subject.queues if not row["inherits"])
    yield from found or [Finding("queues", OK, f"{waiting} reports wait, none of them long")]


def _settled(subject: Subject) -> bool:
    facts = subject.facts
    return facts is not None and facts["uptime_s"] > YOUNG_S


def problems(subject: Subject) -> Iterator[Finding]:
    """What the gateway finds wrong with itself, and no other row of the table looks at."""
    facts = subject.facts
    if facts is None:
        yield Finding("problems", SKIPPED, "the gateway does not run")
        return
    found = [
        Finding(
            "problems",
            FAIL if row["grave"] else WARN,
            f"{row['code']} {row['name']}: {clean(row['cause'])}".strip(),
            (),
            (row["hint"],),
            subject=row["name"],
        )
        for row in facts["problems"]
        if row["code"] not in _ELSEWHERE
    ]
    yield from found or [Finding("problems", OK, "no other")]
