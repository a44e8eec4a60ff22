"""One row in full: a node's story, a link, a queue, an alarm; and which command goes on from there. Plain lines."""

from collections.abc import Iterator
from typing import Any, cast

from kerbtools.field import show
from kerbtools.field.screen import Screen, clean, span
from kerbtools.field.top.looks import ALARMS, FACTS, NODES, QUEUES, STORY, Look
from kerbtools.field.top.model import share

LABEL = 11  # columns of the words before each line, as in a story


def lines(look: Look, kind: str, key: str, width: int) -> list[str]:
    """What is known of a row, for a screen of so many columns. kind: the question whose answer the row is of."""
    screen = Screen(colour=False, width=width, utf=True)
    if kind == NODES:
        return _story(look, key, screen)
    about = {FACTS: _link, QUEUES: _queue, ALARMS: _alarm}[kind]
    out: list[str] = []
    for label, text in about(look, key) or [("", "it is not there any more")]:
        out += screen.wrap(clean(text), " " * LABEL, f"{label:<{LABEL}}")
    return out


def node_of(look: Look, alarm: str) -> int | None:
    """The node that an alarm is about; None where it is about more than one, or ended."""
    row = _found(look, ALARMS, "alarms", "id", alarm)
    return None if row is None else row["node"]


def _story(look: Look, key: str, screen: Screen) -> list[str]:
    answer = look.answers.get(STORY)
    if answer is None or answer.fields.get("node") != int(key):
        return ["" if look.away_s is not None else "asked for"]
    if answer.found is None:
        return [clean(answer.cause), clean(answer.hint)]
    told = show.plain(answer.found["story"], screen)
    for label, command in (
        ("why", f"kerb show {key}"), ("answers?", f"kerb ping {key}"), ("records", f"kerb tail -f --node {key}"),
    ):  # fmt: skip
        told.append(f"{label:<{LABEL}}{command}")
    return told


def _found(look: Look, question: str, rows: str, name: str, key: str) -> dict[str, Any] | None:
    found = look.found(question)
    if found is None:
        return None
    listed: list[dict[str, Any]] = (found["facts"] if question == FACTS else found)[rows]
    return next((row for row in listed if row[name] == key), None)


def _link(look: Look, key: str) -> list[tuple[str, str]] | None:
    row = _found(look, FACTS, "inlets", "name", key)
    if row is None:
        return None
    recent = row["recent"]
    pieces = recent["frames"] + recent["noise"]
    out = [
        ("link", row["name"]),
        ("state", ("open" if row["connected"] else "down") + f", opened {row['opened']} times"),
        ("frames", f"{row['frames']} since the gateway began, {row['noise']} pieces of noise"),
        (
            "lately",
            f"in {span(recent['span_s'])}: {recent['frames']} frames, {recent['committed']} kept, "
            f"{recent['refused']} refused, noise {share(recent['noise'], pieces)}",
        ),
        ("unsent", f"{row['unsent']} answers found no way out"),
    ]
    if row["last_error"]:
        out.append(("error", row["last_error"]))
    return [*out, ("why", "kerb doctor --only inlets,serial,ble,broker,refused"), ("record", "kerb capture FILE")]


def _queue(look: Look, key: str) -> list[tuple[str, str]] | None:
    row = _found(look, QUEUES, "queues", "outlet", key)
    live = _found(look, QUEUES, "outlets", "name", key)
    if row is None and live is None:
        return None
    return list(_of_queue(key, row, live))


def _of_queue(key: str, row: dict[str, Any] | None, live: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    yield "outlet", key
    if live is None:
        yield "state", f"not configured: kerb gateway reload --drop-outlet {key} forgets what waits for it"
    else:
        yield "at", live["url"]
        state = "connected" if live["connected"] else "down"
        yield "state", f"{state}, connected {live['connections']} times, {live['delivered']} documents delivered"
        yield (
            "last sent",
            f"{span(live['last_puback_s_ago'])} ago" if live["last_puback_s_ago"] is not None else "never",
        )
    if row is None:
        yield "waits", "nothing"
    else:
        yield "waits", f"{row['reports']} reports, the oldest for {span(row['oldest_age_s'])}; {row['alarms']} alarms"
        yield "roll-ups", f"{row['rollups_due']} due of {row['rollups']}"
    if live is not None:
        for label, text in (("error", live["last_error"]), ("warning", live["warning"])):
            if text:
                yield label, text
        if live["set_aside"]:
            yield "set aside", f"{live['set_aside']} documents: {'; '.join(live['set_aside_causes'])}"
            yield "again", "kerb gateway reload"
    yield "why", "kerb doctor --only broker,tls,topics,outlets,queues"


def _alarm(look: Look, key: str) -> list[tuple[str, str]] | None:
    row = _found(look, ALARMS, "alarms", "id", key)
    return None if row is None else list(_of_alarm(row))


def _of_alarm(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "alarm", f"{row['severity']} {row['kind']}"
    yield "where", f"{row['where']} ({row['subject']})"
    yield "state", f"{row['state']} since {row['since']}, {row['occurrences']} times"
    yield "for", row["route"]
    told = "; ".join(f"{name} {_value(value)}" for name, value in row["evidence"].items())
    if told:
        yield "evidence", told
    if row.get("members"):
        shown = row["members"][:40]
        more = row["member_count"] - len(shown)
        yield "nodes", " ".join(map(str, shown)) + (f" and {more} more" if more > 0 else "")
    if row.get("part_of"):
        yield "part of", row["part_of"]
    taken = row["acknowledged"]
    if taken:
        yield "taken by", f"{taken['by']}: {taken['reason']}"
    else:
        yield "take it", f"kerb alarms ack {row['id']} --reason TEXT"
    if row["maintenance"] is not None:
        yield "works", f"maintenance {row['maintenance']}: it is kept and not told"


def _value(value: Any) -> str:
    return ",".join(map(str, cast(list[Any], value))) or "none" if isinstance(value, list) else str(value)
