"""Alarms and maintenance as people ask for them. Opens the store to read it: for a thread."""

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerbgate.alarms import rows, table
from kerbgate.alarms.kinds import Kind
from kerbgate.alarms.places import Places
from kerbgate.errors import ControlError
from kerbwire.events import SEVERITIES

MAX_LISTED = 5000
FILTERS = ("state", "kind", "route", "severity", "node", "subject")


def reading(path: Path) -> sqlite3.Connection:
    """A read-only connection to a store."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)


def alarms(
    path: Path, kinds: Mapping[str, Kind], places: Places, wanted: Mapping[str, Any], limit: int, *, past: bool = False
) -> list[dict[str, Any]]:
    """Alarms by severity and age, open ones or those that have ended. ControlError for a filter that is none."""
    for name in wanted:
        if name not in FILTERS:
            raise ControlError(f"{name[:40]!r} is no filter", "filters: " + ", ".join(FILTERS))
    where = (
        "WHERE ended IS NOT NULL ORDER BY ended DESC" if past else "WHERE ended IS NULL ORDER BY severity DESC, since"
    )
    out: list[dict[str, Any]] = []
    with contextlib.closing(reading(path)) as db:
        for row in db.execute(f"{rows.SELECT} {where}"):
            alarm = rows.of_row(row)
            shown = show(db, alarm, kinds.get(alarm.kind), places)
            if all(shown[name] == value for name, value in wanted.items()):
                out.append(shown)
                if len(out) >= limit:
                    break
    return out


def show(db: sqlite3.Connection, alarm: rows.Alarm, kind: Kind | None, places: Places) -> dict[str, Any]:
    """One alarm as a tool gets it."""
    place = None if alarm.node is None else places.get(alarm.node, alarm.role)
    scope, _, name = alarm.subject.partition(":")
    out: dict[str, Any] = {
        "id": alarm.ident,
        "kind": alarm.kind,
        "severity": SEVERITIES[alarm.severity],
        "route": kind.route if kind else "contractor",
        "state": alarm.state,
        "site": places.site,
        "subject": alarm.subject,
        "node": alarm.node,
        "role": alarm.role,
        "where": place.where if place else f"{scope} {name}",
        "since": rows.stamp(alarm.since),
        "changed": rows.stamp(alarm.changed / 1000),
        "ended": None if alarm.ended is None else rows.stamp(alarm.ended / 1000),
        "occurrences": alarm.occurrences,
        "evidence": alarm.evidence,
        "acknowledged": alarm.acknowledged,
        "maintenance": alarm.suppressed,
        "revision": alarm.revision,
    }
    if scope in ("feeder", "around", "group", "site"):
        out["members"], out["member_count"] = rows.members(db, alarm)
    if alarm.parent is not None:
        out["part_of"] = next(iter(db.execute("SELECT ident FROM alarm WHERE alarm_id=?", (alarm.parent,))), (None,))[0]
    return out


def maintenance(path: Path, limit: int) -> list[dict[str, Any]]:
    """Maintenance, the newest first."""
    with contextlib.closing(reading(path)) as db:
        found = db.execute(
            "SELECT maintenance_id, scope, begins, until, person, reason, ended FROM maintenance"
            " ORDER BY maintenance_id DESC LIMIT ?",
            (limit,),
        ).fetchall()
    return [
        {
            "maintenance": number, "scope": scope, "begins": rows.stamp(begins), "until": rows.stamp(until),
            "by": person, "reason": reason, "ended": None if ended is None else rows.stamp(ended / 1000),
        }
        for number, scope, begins, until, person, reason, ended in found
    ]  # fmt: skip


def counts(path: Path) -> dict[str, Any]:
    """For status: open alarms by state, and what waits for each outlet."""
    with contextlib.closing(reading(path)) as db:
        states = dict(db.execute("SELECT state, count(*) FROM alarm WHERE ended IS NULL GROUP BY state"))
        waiting = dict(db.execute("SELECT outlet, count(*) FROM alarm_outbox GROUP BY outlet"))
    return {"open": {state: states.get(state, 0) for state in table.STATES if state in states}, "waiting": waiting}
