"""What is on the screen, from what the gateway answered: rates, a head, four tables. No widget, no clock."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kerbtools.field.queue import joined
from kerbtools.field.screen import clean, span, when
from kerbtools.field.top.looks import ALARMS, FACTS, MAX_ALARMS, NODES, QUEUES, Look

PACE_S = 10.0  # over which a rate is told: at a message now and then one second says nothing
MAX_MARKS = 60  # of the line of bars
COLOURS = {"silent": "red", "alarm": "yellow", "stranger": "yellow", "new": "dim", "works": "dim"}
SEVERITIES = {"emergency": "red", "critical": "red", "warning": "yellow"}
UNREGISTERED = (
    "no node is registered, so nothing can be heard yet",
    "",
    "on a bench:        kerb provision --port PORT --asset NAME      a board gets its identity and keys",
    "from the office:   kerb registry import FILE --from KEY         nodes that were provisioned elsewhere",
    "",
    "this screen shows them as soon as they are there",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. key: who it is, over looks."""

    key: str
    cells: tuple[str, ...]
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """label: its name and count. note: what is not shown. empty: what is said instead of rows."""

    label: str
    heads: tuple[str, ...]
    right: tuple[int, ...]  # columns of numbers
    rows: Sequence[Row] = ()
    note: str = ""
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """A whole screen. trouble: what is wrong with the gateway itself, and how grave: red, yellow, or nothing."""

    head: tuple[str, str, str]
    history: tuple[float, ...]  # messages a second, the newest last
    tables: dict[str, Table]
    trouble: str = ""
    colour: str = ""


class Meter:
    """A counter's pace. Times in seconds of a steady clock."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def note(self, at_s: float, count: int) -> None:
        """So far the counter has come; one that goes back has begun anew."""
        if self._marks and count < self._marks[-1][1]:
            self._marks.clear()
        if not self._marks or at_s > self._marks[-1][0]:
            self._marks.append((at_s, count))
        while len(self._marks) > 2 and self._marks[1][0] <= at_s - PACE_S:
            self._marks.popleft()

    @property
    def rate(self) -> float | None:
        """A second, over PACE_S or what there is of it; None after one look."""
        if len(self._marks) < 2:
            return None
        (began, before), (ended, after) = self._marks[0], self._marks[-1]
        return (after - before) / (ended - began)

    @property
    def last(self) -> float | None:
        """A second, between the last two looks."""
        if len(self._marks) < 2:
            return None
        (began, before), (ended, after) = self._marks[-2], self._marks[-1]
        return (after - before) / (ended - began)


class Model:
    """Takes one look after the other; each gives a view."""

    def __init__(self, site: str):
        self._site = site
        self._heard, self._sent = Meter(), Meter()
        self._links: dict[str, Meter] = {}
        self._outlets: dict[str, Meter] = {}
        self._history: deque[float] = deque(maxlen=MAX_MARKS)
        self._noted_s: float | None = None
        self._pid: int | None = None

    def take(self, look: Look, text: str = "") -> View:
        """The screen as it is now. text: words that links, queues and alarms are to have; nodes were asked for so."""
        answer = look.answers.get(FACTS)
        facts = None if answer is None or answer.found is None else answer.found["facts"]
        if answer is not None and facts is not None and answer.at_s != self._noted_s:
            self._note(answer.at_s, facts)
        words = text.lower().split()
        tables = {
            NODES: _nodes(look, facts, text),
            FACTS: _filtered(self._link_rows(facts), words),
            QUEUES: _filtered(self._queue_rows(look), words),
            ALARMS: _filtered(_alarms(look), words),
        }
        trouble, colour = _trouble(look, facts)
        return View(self._head(look, facts), tuple(self._history), tables, trouble, colour)

    def _note(self, at_s: float, facts: dict[str, Any]) -> None:
        if facts["pid"] != self._pid:  # its counters begin anew
            self._heard, self._sent, self._links, self._outlets = Meter(), Meter(), {}, {}
        self._noted_s, self._pid = at_s, facts["pid"]
        self._heard.note(at_s, sum(row["frames"] for row in facts["inlets"]))
        self._sent.note(at_s, sum(row["delivered"] for row in facts["outlets"]))
        for meters, rows, counter in (
            (self._links, facts["inlets"], "frames"), (self._outlets, facts["outlets"], "delivered"),
        ):  # fmt: skip
            for row in rows:
                meters.setdefault(row["name"], Meter()).note(at_s, row[counter])
        if self._heard.last is not None:
            self._history.append(self._heard.last)

    def _head(self, look: Look, facts: dict[str, Any] | None) -> tuple[str, str, str]:
        site = clean(self._site)
        if facts is None:
            return f"kerb top  {site}", "", ""
        clock = "" if facts["synchronised"] else "  clock not synchronised"
        shadow = "  shadow" if facts["shadow"] else ""
        first = (
            f"kerb top  {site}{shadow}  up {span(facts['uptime_s'])}  {when(facts['now_s'])}{clock}"
            f"  kerbstone {clean(facts['version'])}"
        )
        recent = [row["recent"] for row in facts["inlets"]]
        noise, pieces = sum(row["noise"] for row in recent), sum(row["frames"] + row["noise"] for row in recent)
        store = facts["store"]
        second = (
            f"heard {rate(self._heard.rate)}  delivered {rate(self._sent.rate)}"
            f"  noise {share(noise, pieces)}  refused {sum(row['refused'] for row in recent)}"
            f"  commit {store['last_commit_ms']:.0f} ms" + (f", {store['queued']} wait" if store["queued"] else "")
        )
        found = look.found(NODES)
        states: dict[str, int] = {} if found is None else found["states"]
        third = f"{facts['registry']['nodes']} registered" + "".join(
            f"{', ' if place else ': '}{count} {word}" for place, (word, count) in enumerate(states.items())
        )
        return first, second, third

    def _link_rows(self, facts: dict[str, Any] | None) -> Table:
        rows: list[Row] = []
        inlets: list[dict[str, Any]] = [] if facts is None else facts["inlets"]
        for inlet in inlets:
            recent, up = inlet["recent"], inlet["connected"]
            error = clean(inlet["last_error"] or "") if not up else ""
            cells = (
                clean(inlet["name"]), "open" if up else "down", rate(_rate(self._links, inlet["name"])),
                str(inlet["frames"]), share(recent["noise"], recent["frames"] + recent["noise"]),
                str(recent["refused"]), error or "-",
            )  # fmt: skip
            rows.append(Row(inlet["name"], cells, "" if up else "red"))
        heads = ("LINK", "STATE", "HEARD", "FRAMES", "NOISE", "REFUSED", "ERROR")
        up = sum(1 for row in rows if not row.colour)
        empty = () if facts is None else ("no inlet is configured: kerb gateway init --inlet URL writes one",)
        return Table(f"links {up}/{len(rows)}", heads, (2, 3, 4, 5), rows, empty=empty)

    def _queue_rows(self, look: Look) -> Table:
        heads = ("OUTLET", "STATE", "SENT", "REPORTS", "OLDEST", "ALARMS", "ROLL-UPS", "ASIDE", "ERROR")
        right = tuple(range(2, 8))
        found = look.found(QUEUES)
        if found is None:
            return Table("queues", heads, right, empty=_refused(look, QUEUES))
        rows: list[Row] = []
        for queue in joined(found, [row["name"] for row in found["outlets"]]):
            live = queue["state"]
            state = "gone" if live is None else "connected" if live["connected"] else "down"
            error = "" if live is None or live["connected"] else clean(live["last_error"] or "")
            cells = (
                "(the first outlet)" if queue["inherits"] else clean(queue["outlet"]), state,
                rate(_rate(self._outlets, queue["outlet"])), str(queue["reports"]), span(queue["oldest_age_s"]),
                str(queue["alarms"]), f"{queue['rollups_due']}/{queue['rollups']}",
                str(live["set_aside"]) if live else "-", error or "-",
            )  # fmt: skip
            rows.append(Row(queue["outlet"], cells, "" if state == "connected" else "red"))
        waiting = sum(int(row.cells[3]) for row in rows)
        return Table(f"queues {waiting}", heads, right, rows, empty=("no outlet is configured, and nothing waits",))


def rate(a_second: float | None) -> str:
    """Messages a second; a dash where that is not known yet."""
    if a_second is None:
        return "-/s"
    return f"{a_second:.0f}/s" if a_second >= 100 else f"{a_second:.1f}/s"


def share(part: int, whole: int) -> str:
    """Per cent; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _rate(meters: dict[str, Meter], name: str) -> float | None:
    meter = meters.get(name)
    return None if meter is None else meter.rate


def _nodes(look: Look, facts: dict[str, Any] | None, text: str) -> Table:
    heads, right = ("NODE", "ROLE", "STATE", "LAST HEARD", "LINK", "PLACE", "ALARMS"), (0, 3, 4)
    found = look.found(NODES)
    if found is None:
        return Table("nodes", heads, right, empty=_refused(look, NODES))
    rows = [
        Row(
            str(row["node"]),
            (
                str(row["node"]), row["role"], row["state"],
                span(row["age_s"]) if row["seen_ms"] is not None else "never",
                f"{row['arrived']}/{row['frames']}" if row["frames"] else "-",
                clean(", ".join(filter(None, (row["asset"], row["street"]))) or "-"),
                clean(", ".join(row["alarms"]) or "-"),
            ),
            COLOURS.get(row["state"], "dim" if row["state"] != "well" else ""),
        )
        for row in found["nodes"]
    ]  # fmt: skip
    total, known = found["total"], sum(found["states"].values())
    if found["registry_error"]:
        empty = (f"the registry cannot be read: {clean(found['registry_error'])}", "what to do: kerb doctor")
    elif known or text:
        empty = (f"no node has {clean(text)!r} in its number, role, state, place or alarms",)
    elif facts is not None and facts["registry"]["nodes"]:
        empty = ("no node yet",)
    else:
        empty = UNREGISTERED
    more = f"the first {len(rows)} of {total}: / finds others" if total > len(rows) else ""
    return Table(f"nodes {total}" if not text else f"nodes {total} of {known}", heads, right, rows, more, empty)


def _alarms(look: Look) -> Table:
    heads = ("SEVERITY", "ALARM", "WHERE", "STATE", "SINCE", "TAKEN BY")
    found = look.found(ALARMS)
    if found is None:
        return Table("alarms", heads, (), empty=_refused(look, ALARMS))
    rows = [
        Row(
            alarm["id"],
            (
                alarm["severity"], alarm["kind"], clean(alarm["where"]), alarm["state"],
                alarm["since"][:16].replace("T", " ") + "Z",
                clean(alarm["acknowledged"]["by"]) if alarm["acknowledged"] else "-",
            ),
            SEVERITIES.get(alarm["severity"], ""),
        )
        for alarm in found["alarms"]
    ]  # fmt: skip
    full = len(rows) >= MAX_ALARMS
    note = f"the gravest {len(rows)}: kerb alarms --limit 5000 lists more" if full else ""
    return Table(f"alarms {len(rows)}{'+' if full else ''}", heads, (), rows, note, ("no alarm is open",))


def _filtered(table: Table, words: Iterable[str]) -> Table:
    given = list(words)
    if not given or not table.rows:
        return table
    rows = [row for row in table.rows if all(word in " ".join(row.cells).lower() for word in given)]
    empty = (f"none of {len(table.rows)} has {clean(' '.join(given))!r}",)
    return Table(table.label, table.heads, table.right, rows, table.note, empty)


def _refused(look: Look, question: str) -> tuple[str, ...]:
    answer = look.answers.get(question)
    return () if answer is None or not answer.cause else (clean(answer.cause), clean(answer.hint))


def _trouble(look: Look, facts: dict[str, Any] | None) -> tuple[str, str]:
    """What a person should know before all else."""
    if look.away_s is not None:
        since = span(look.at_s - look.away_s)
        shown = "; older figures below" if facts is not None else ""
        said = f"THE GATEWAY DOES NOT ANSWER, {since} now{shown}; asked each second"
        return f"{said}\n{clean(look.hint)}; what is wrong: kerb doctor", "red"
    for question in (FACTS, NODES, QUEUES, ALARMS):
        answer = look.answers.get(question)
        if answer is not None and answer.cause:
            return f"{question}: {clean(answer.cause)}\n{clean(answer.hint)}", "yellow"
    problems: list[dict[str, Any]] = [] if facts is None else facts["problems"]
    if not problems:
        return "", ""
    first = next((row for row in problems if row["grave"]), problems[0])
    more = f" ({len(problems) - 1} more: kerb doctor)" if len(problems) > 1 else ""
    return f"{clean(first['cause'])}{more}\n{clean(first['hint'])}", "red" if first["grave"] else "yellow"
