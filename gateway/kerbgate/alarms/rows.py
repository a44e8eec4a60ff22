"""Alarms as the store keeps them, and what is told of them. Only the writer's thread changes them, in a transaction."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kerbgate.alarms import table
from kerbgate.alarms.kinds import Kind
from kerbgate.alarms.places import Place
from kerbwire.events import SEVERITIES

SCHEMA = "kerbstone/alarm/1"
MAX_MEMBERS = 500  # nodes that a letter lists; the count has them all
KEPT_MS = 400 * 86_400_000  # past alarms are known for so long,
MAX_PAST = 100_000  # and so many of them, 60 MB; those of which an outlet still waits for a letter stay
PRUNE = 200  # alarms a transaction

_COLUMNS = (
    "alarm_id", "ident", "kind", "subject", "node", "role", "severity", "state", "since", "changed", "ended", "turn",
    "evidence", "occurrences", "parent", "suppressed", "acknowledged", "revision",
)  # fmt: skip
SELECT = f"SELECT {', '.join(_COLUMNS)} FROM alarm"  # noqa: S608


@dataclass(slots=True)
class Alarm:
    """One alarm; the columns of its row (0007-alarms.sql)."""

    alarm_id: int
    ident: str
    kind: str
    subject: str
    node: int | None
    role: str
    severity: int
    state: str
    since: int
    changed: int
    ended: int | None
    turn: int
    evidence: dict[str, Any] = field(default_factory=dict[str, Any])
    occurrences: int = 1
    parent: int | None = None
    suppressed: int | None = None
    acknowledged: dict[str, Any] | None = None
    revision: int = 0  # of its newest letter; 0: nobody was told


def of_row(row: tuple[Any, ...]) -> Alarm:
    """From a row of SELECT."""
    alarm = Alarm(*row)
    alarm.evidence = json.loads(row[12])
    alarm.acknowledged = None if row[16] is None else json.loads(row[16])
    return alarm


def insert(db: sqlite3.Connection, alarm: Alarm, site: str, slug: str) -> None:
    """A new alarm; gives it its id and its name."""
    alarm.alarm_id = db.execute(
        "INSERT INTO alarm (ident, kind, subject, node, role, severity, state, since, changed, turn, evidence,"
        " occurrences, revision) VALUES (lower(hex(randomblob(16))),?,?,?,?,?,?,?,?,?,?,1,0)",
        (
            alarm.kind, alarm.subject, alarm.node, alarm.role, alarm.severity, alarm.state, alarm.since, alarm.changed,
            alarm.turn, json.dumps(alarm.evidence),
        ),
    ).lastrowid or 0  # fmt: skip
    alarm.ident = f"{site}/{slug}/{topic(alarm.subject)}/{alarm.since}-{alarm.alarm_id}"
    db.execute("UPDATE alarm SET ident=? WHERE alarm_id=?", (alarm.ident, alarm.alarm_id))


def update(db: sqlite3.Connection, alarm: Alarm) -> None:
    """What may change of an alarm."""
    db.execute(
        "UPDATE alarm SET severity=?, state=?, changed=?, ended=?, turn=?, evidence=?, occurrences=?, parent=?,"
        " suppressed=?, acknowledged=?, revision=? WHERE alarm_id=?",
        (
            alarm.severity, alarm.state, alarm.changed, alarm.ended, alarm.turn, json.dumps(alarm.evidence),
            alarm.occurrences, alarm.parent, alarm.suppressed,
            None if alarm.acknowledged is None else json.dumps(alarm.acknowledged), alarm.revision, alarm.alarm_id,
        ),
    )  # fmt: skip


def forget(db: sqlite3.Connection, alarm: Alarm) -> None:
    """An alarm that nobody heard of, and never will."""
    db.execute("UPDATE alarm SET parent=NULL WHERE parent=?", (alarm.alarm_id,))
    db.execute("DELETE FROM alarm WHERE alarm_id=?", (alarm.alarm_id,))


def open_alarms(db: sqlite3.Connection) -> list[Alarm]:
    return [of_row(row) for row in db.execute(f"{SELECT} WHERE ended IS NULL ORDER BY alarm_id")]


def last_turn(db: sqlite3.Connection, kind: str, subject: str) -> int:
    """How new the newest evidence of a past alarm is; -1 without one."""
    row = db.execute("SELECT max(turn) FROM alarm WHERE subject=? AND kind=?", (subject, kind)).fetchone()
    return -1 if row[0] is None else row[0]


def members(db: sqlite3.Connection, alarm: Alarm) -> tuple[list[int], int]:
    """(nodes that a larger alarm is made of, by address and up to MAX_MEMBERS; how many)."""
    rows = db.execute(
        "SELECT DISTINCT node FROM alarm WHERE parent=? AND node IS NOT NULL ORDER BY node LIMIT ?",
        (alarm.alarm_id, MAX_MEMBERS),
    ).fetchall()
    count = db.execute("SELECT count(DISTINCT node) FROM alarm WHERE parent=?", (alarm.alarm_id,)).fetchone()[0]
    return [row[0] for row in rows], count


def document(db: sqlite3.Connection, alarm: Alarm, kind: Kind, site: str, place: Place | None) -> dict[str, Any]:
    """What is told of an alarm as it now is. COUNCIL.md documents it."""
    scope, _, name = alarm.subject.partition(":")
    out: dict[str, Any] = {
        "schema": SCHEMA,
        "id": f"{alarm.ident}/{alarm.revision}",
        "alarm": alarm.ident,
        "revision": alarm.revision,
        "site": site,
        "kind": alarm.kind,
        "severity": SEVERITIES[alarm.severity],
        "route": kind.route,
        "state": alarm.state,
        "since": stamp(alarm.since),
        "time": stamp(alarm.changed / 1000),
        "subject": {"type": scope, "name": int(name) if alarm.node is not None else name},
        "occurrences": alarm.occurrences,
        "evidence": alarm.evidence,
    }
    if place is not None:
        about: dict[str, Any] = {
            "asset": place.asset, "street": place.street, "feeder": place.feeder, "latitude": place.latitude,
            "longitude": place.longitude, "groups": list(place.groups),
        }  # fmt: skip
        out["place"] = {name: value for name, value in about.items() if value not in (None, "", [])}
    if kind.joins == "" and scope in ("feeder", "around", "group", "site"):
        out["members"], out["member_count"] = members(db, alarm)
    if alarm.acknowledged is not None:
        out["acknowledged"] = alarm.acknowledged
    if alarm.suppressed is not None:
        out["maintenance"] = alarm.suppressed
    if alarm.state == table.GROUPED and alarm.parent is not None:
        row = db.execute("SELECT ident FROM alarm WHERE alarm_id=?", (alarm.parent,)).fetchone()
        out["part_of"] = row[0] if row else None
    return out


def tell(
    db: sqlite3.Connection, outlets: Iterable[str], alarm_id: int | None, about: str, document: dict[str, Any]
) -> None:
    """One change that the council is told of: a row for each outlet that gets alarms."""
    change_id = db.execute(
        "INSERT INTO alarm_change (alarm_id, topic, document) VALUES (?,?,?)",
        (alarm_id, about, json.dumps(document, separators=(",", ":"))),
    ).lastrowid
    db.executemany("INSERT INTO alarm_outbox VALUES (?,?)", [(outlet, change_id) for outlet in outlets])


def prune(db: sqlite3.Connection, now_ms: int) -> int:
    """Forget alarms that ended long ago and that every outlet has; how many."""
    oldest = db.execute(
        "SELECT coalesce(min(ended), 0) FROM (SELECT ended FROM alarm WHERE ended IS NOT NULL"
        " ORDER BY ended DESC LIMIT ?)",
        (MAX_PAST,),
    ).fetchone()[0]
    rows = db.execute(
        "SELECT alarm_id FROM alarm WHERE ended IS NOT NULL AND ended < ?"
        " AND NOT EXISTS (SELECT 1 FROM alarm_change JOIN alarm_outbox USING (change_id)"
        " WHERE alarm_change.alarm_id = alarm.alarm_id) ORDER BY ended LIMIT ?",
        (max(now_ms - KEPT_MS, oldest), PRUNE),
    ).fetchall()
    db.executemany("UPDATE alarm SET parent=NULL WHERE parent=?", rows)
    db.executemany("DELETE FROM alarm_change WHERE alarm_id=?", rows)
    db.executemany("DELETE FROM alarm WHERE alarm_id=?", rows)
    return len(rows)


def topic(subject: str) -> str:
    """A subject as levels of a topic and as part of an id: scope/name, of letters that nothing takes amiss."""
    scope, _, name = subject.partition(":")
    return f"{scope}/" + "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name)


def stamp(utc_s: float) -> str:
    """UTC, to the second."""
    try:
        return f"{datetime.fromtimestamp(int(utc_s), UTC):%Y-%m-%dT%H:%M:%S}Z"
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00Z"
