"""The alarms of one site: the fold that takes up what nodes report, and what time and people do to them.

Everything here runs in the store's writer thread, inside its transaction. What memory says of open alarms is a copy of
the file, dropped by `forget` after a rollback; timers run on a steady clock and begin anew at a start.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerbgate import event_document
from kerbgate.alarms import grouping, kinds, rows, table, windows
from kerbgate.alarms.causes import Causes, named
from kerbgate.alarms.hearing import Hearing
from kerbgate.alarms.kinds import Kind
from kerbgate.alarms.past import Key, Past
from kerbgate.alarms.places import Place, Places
from kerbgate.alarms.rows import Alarm
from kerbgate.alarms.windows import Window, Windows
from kerbgate.store.items import NewEvent, NewReport
from kerbwire import council
from kerbwire.events import CLEARED, CRITICAL, NOTICE
from kerbwire.messages import Record

MAX_OPEN = 20_000  # alarms at once: two of each node of a full district; those beyond are counted
RETELL_S = 900  # a larger alarm that grows is told again, at most so often,
RETELL_GROWTH = 1.5  # and when it has grown so much

Conditions = Mapping[Key, dict[str, Any]]  # of the gateway itself: what is wrong now, with evidence
_PARENTS = frozenset(kind.joins for kind in kinds.KINDS.values() if kind.joins)
_OWN = frozenset(("gateway", "inlet", "outlet"))  # scopes of what the gateway says of itself
_UNKNOWN = Kind("", NOTICE, kinds.CONTRACTOR, 0, kinds.HOUR)


class AlarmBook:
    """`places` may be replaced from another thread, by another picture. mono: a steady clock, seconds."""

    name = "alarms"

    def __init__(
        self, site: str, causes: Causes, hearing: Hearing, *, table: Mapping[str, Kind], mono: Callable[[], float]
    ):
        self.site = site
        self.places = Places(site)
        self.causes = causes
        self.hearing = hearing
        self.overflow = 0
        self.observed: frozenset[Key] | None = None  # what was wrong with the gateway, as of the last commit
        self.stirred = True  # something changed since the last tick
        self.next_due = 0.0  # of the steady clock; read by the watch
        self.open: dict[Key, Alarm] = {}
        self._kinds = table
        self._mono = mono
        self._loaded = False
        self._by_node: dict[int, dict[str, Alarm]] = {}
        self._by_id: dict[int, Alarm] = {}
        self._children: dict[int, set[int]] = {}
        self._due: dict[int, float] = {}
        self._told_members: dict[int, tuple[int, float]] = {}
        self._past = Past()
        self._outlets: tuple[str, ...] = ()
        self._windows = Windows()

    # The fold.

    def apply(self, connection: sqlite3.Connection, new: Sequence[NewReport]) -> None:
        if not self._loaded:
            self._load(connection)
        now = self._mono()
        hearing, watched, places = self.hearing, self._by_node, self.places.nodes
        for item in new:
            row, report = item.row, item.report
            records = report.records
            hearing.heard(row.node, row.role, now, records[-1].time - records[0].time)
            fresh = records if row.fresh is None else [r for n, r in enumerate(records) if row.fresh >> n & 1]
            last = fresh[-1]
            at_s = last.time if report.boot is None else None
            self.causes.learn(row.node, fresh)
            place, doubtful = places.get(row.node), self.causes.doubt(row.node, fresh)
            if doubtful or row.node in watched or self.causes.notable(row.node, last.values, at_s, place):
                self._report(connection, item, last, at_s, place, doubtful)

    def apply_events(self, connection: sqlite3.Connection, new: Sequence[NewEvent]) -> None:
        if not self._loaded:
            self._load(connection)
        now = self._mono()
        for item in new:
            event, row = item.event, item.row
            self.hearing.heard(row.node, row.role, now)
            self._again(connection, row.node, row.role, row.received_ms)
            kind = kinds.OF_EVENT.get(event.code)
            if kind is None:
                if event.code in council.EVENTS:
                    continue  # one that calls for nobody
                kind = event_document.name_of(event.code)
            turn, subject = _turn(item.life_id, event.index), f"node:{row.node}"
            if event.state == CLEARED:
                self._gone(connection, (kind, subject), turn, row.received_ms)
            else:
                self._signal(
                    connection, (kind, subject), event_document.happened(event, row.received_ms), named(event.values),
                    row.received_ms, node=row.node, role=row.role, turn=turn, severity=event.severity,
                )  # fmt: skip
                if self._kind(kind).momentary:
                    self._over(connection, (kind, subject), row.received_ms)

    def forget(self) -> None:
        self._loaded = False
        self.observed = None

    def _report(
        self, db: sqlite3.Connection, item: NewReport, last: Record, at_s: int | None, place: Place | None,
        doubtful: bool,
    ) -> None:  # fmt: skip
        row, report = item.row, item.report
        self._again(db, row.node, row.role, row.received_ms)
        newest = db.execute("SELECT newest_index FROM life WHERE life_id=?", (item.life_id,)).fetchone()
        if at_s is not None and newest is not None and newest[0] is not None and last.index < newest[0]:
            return  # late: what came before it says how things are
        subject, turn = f"node:{row.node}", _turn(item.life_id, last.index)
        burns_s = None if row.node in self.causes.commanded else at_s
        for kind, evidence in self.causes.read(last.values, burns_s, place, doubtful).items():
            if evidence is None:
                alarm = self._by_node.get(row.node, {}).get(kind)
                if alarm is not None and (
                    kind != kinds.SENSOR_FAULT or alarm.evidence.keys() <= named(last.values).keys()
                ):
                    self._gone(db, (kind, subject), turn, row.received_ms)
            else:
                since = self.causes.since(report, row.received_ms, kind, place)
                self._signal(
                    db,
                    (kind, subject),
                    since,
                    named(evidence),
                    row.received_ms,
                    node=row.node,
                    role=row.role,
                    turn=turn,
                )

    def _again(self, db: sqlite3.Connection, node: int, role: str, now_ms: int) -> None:
        """A node speaks that was silent."""
        kind = kinds.silence_of(role)
        if kind in self._by_node.get(node, ()):
            self._gone(db, (kind, f"node:{node}"), 0, now_ms)

    # What the watch and people do; each inside a change of the store.

    def silent(self, db: sqlite3.Connection, found: Iterable[tuple[Place, int]], now_ms: int) -> None:
        """Nodes that were not heard for too long, and since when (UTC seconds)."""
        self._ready(db)
        now, last, limit_s = self._mono(), self.hearing.last, self.hearing.limit_s
        for place, since in found:
            if now - last.get(place.node, 0.0) <= limit_s(place.node, place.role):
                continue  # it has spoken since it was looked at
            kind = kinds.silence_of(place.role)
            self._signal(db, (kind, f"node:{place.node}"), since, {}, now_ms, node=place.node, role=place.role)

    def observe(self, db: sqlite3.Connection, conditions: Conditions, now_ms: int) -> None:
        """Everything that is now wrong with the gateway; what is not among it is over."""
        self._ready(db)
        self.observed = frozenset(conditions)
        for key, evidence in conditions.items():
            self._signal(db, key, now_ms // 1000, evidence, now_ms)
            if self._kind(key[0]).momentary:
                self._over(db, key, now_ms)
        for key, alarm in list(self.open.items()):
            if alarm.subject.partition(":")[0] in _OWN and key not in conditions and alarm.state in table.PRESENT:
                self._gone(db, key, 0, now_ms)

    def leave(self, db: sqlite3.Connection, now_ms: int) -> None:
        """Nodes that this gateway no longer listens to have no alarms."""
        self._ready(db)
        for node in self.strangers():
            for alarm in list(self._by_node.get(node, {}).values()):
                self._move(db, alarm, table.GONE, now_ms)

    def strangers(self) -> list[int]:
        """Nodes with a cause that are not in the registry any more. Asked in the event loop too."""
        return [
            alarm.node
            for alarm in list(self.open.values())
            if alarm.node is not None and alarm.node not in self.places.nodes and alarm.state in table.PRESENT
        ]

    def tick(self, db: sqlite3.Connection, now_ms: int) -> None:
        """Time has passed: maintenance begins and ends, alarms become part of larger ones, timers run out."""
        self._ready(db)
        self.stirred = False
        self._turn_windows(db, now_ms)
        self._join(db, now_ms)
        now = self._mono()
        for alarm_id in [alarm_id for alarm_id, at in self._due.items() if at <= now]:
            alarm = self._by_id.get(alarm_id)
            if alarm is None or not self._move(db, alarm, table.DUE, now_ms):
                self._due.pop(alarm_id, None)
        again = self._weigh(db, now_ms)
        self.next_due = min((again, *self._due.values()))

    def acknowledge(
        self, db: sqlite3.Connection, idents: Iterable[str], by: str, reason: str, now_ms: int
    ) -> list[str]:
        """Somebody has taken these; returns the ids of those that this changed."""
        self._ready(db)
        wanted, done = set(idents), list[str]()
        for alarm in list(self.open.values()):
            if alarm.ident in wanted and table.step(alarm.state, table.ACKNOWLEDGE) is not None:
                alarm.acknowledged = {"by": by, "reason": reason, "time": rows.stamp(now_ms / 1000)}
                self._move(db, alarm, table.ACKNOWLEDGE, now_ms)
                done.append(alarm.ident)
        return done

    def begin_maintenance(self, db: sqlite3.Connection, window: Window, now_ms: int) -> int:
        """Returns its number."""
        self._ready(db)
        number = self._windows.add(db, window)
        self._turn_windows(db, now_ms)
        return number

    def end_maintenance(self, db: sqlite3.Connection, number: int, now_ms: int) -> bool:
        """Before its time; False if there is none of that number."""
        self._ready(db)
        window = self._windows.get(number)
        if window is not None:
            self._end_window(db, window, now_ms)
        return window is not None

    def wants(self, utc_s: float) -> bool:
        """Whether a tick would find something to do. Asked in the event loop."""
        return self.stirred or self.next_due <= self._mono() or self._windows.turns(utc_s)

    @property
    def windows_open(self) -> int:
        return len(self._windows)

    def subscribe(self, db: sqlite3.Connection, wanting: frozenset[str]) -> None:
        """Which outlets get alarms. A new one starts with what is open now."""
        self._ready(db)
        for outlet in wanting - set(self._outlets):
            db.execute("INSERT OR IGNORE INTO alarm_outlet VALUES (?)", (outlet,))
            db.execute(
                "INSERT OR IGNORE INTO alarm_outbox SELECT ?, max(change_id) FROM alarm JOIN alarm_change USING"
                " (alarm_id) WHERE ended IS NULL GROUP BY alarm_id",
                (outlet,),
            )
        for outlet in set(self._outlets) - wanting:
            db.execute("DELETE FROM alarm_outlet WHERE outlet=?", (outlet,))
        self._outlets = tuple(sorted(wanting))

    # Causes, and the one place where a state changes.

    def _signal(
        self, db: sqlite3.Connection, key: Key, since: int, evidence: dict[str, Any], now_ms: int, *,
        node: int | None = None, role: str = "", turn: int = 0, severity: int | None = None,
    ) -> Alarm | None:  # fmt: skip
        alarm = self.open.get(key)
        if alarm is None:
            if len(self.open) >= MAX_OPEN:
                self.overflow += 1
                return None
            if turn and turn <= max(self._past.turn(key), rows.last_turn(db, *key)):
                return None  # it was over before this came
            kind = self._kind(key[0])
            severity = kind.severity if severity is None else max(severity, kind.severity)
            alarm = Alarm(0, "", *key, node, role, severity, table.PENDING, since, now_ms, None, turn, evidence)
            rows.insert(db, alarm, self.site, kind.slug)
            self._take_in(alarm)
            cover = self._cover_of(alarm)
            if cover is not None:
                alarm.suppressed = cover.ident
                self._move(db, alarm, table.COVER, now_ms)
            elif not kind.raise_s:
                self._move(db, alarm, table.DUE, now_ms)
            return alarm
        if turn and turn <= alarm.turn:
            return alarm
        alarm.turn = max(turn, alarm.turn)
        alarm.evidence = evidence or alarm.evidence
        if alarm.state in table.CLEARING:
            alarm.occurrences += 1
        if not self._move(db, alarm, table.SIGNAL, now_ms):
            rows.update(db, alarm)
        return alarm

    def _gone(self, db: sqlite3.Connection, key: Key, turn: int, now_ms: int) -> None:
        alarm = self.open.get(key)
        if alarm is None or (turn and turn <= alarm.turn):
            if alarm is None and turn:
                self._past.add(key, turn)
            return
        alarm.turn = max(turn, alarm.turn)
        if not self._move(db, alarm, table.GONE, now_ms):
            rows.update(db, alarm)

    def _over(self, db: sqlite3.Connection, key: Key, now_ms: int) -> None:
        """The cause was one of a moment."""
        alarm = self.open.get(key)
        if alarm is not None and table.step(alarm.state, table.GONE) is not None and alarm.state != table.PENDING:
            self._move(db, alarm, table.GONE, now_ms)

    def _move(self, db: sqlite3.Connection, alarm: Alarm, event: str, now_ms: int) -> bool:
        """Bring an alarm to its next state, write it down and tell it; False where nothing changes."""
        step = table.step(alarm.state, event)
        if step is None:
            return False
        before = alarm.state
        if step.state == before and step.tell == table.NOT:
            return False
        alarm.state, alarm.changed = step.state, now_ms
        self.stirred = True
        if step.state == table.RAISED and before != table.HELD:
            alarm.acknowledged = None
        if event == table.LEAVE or (before == table.GROUPED and step.state == table.SUPPRESSED):
            self._part(alarm)
        if step.state in table.ENDS:
            self._end(db, alarm, now_ms)
            if step.state == table.DROPPED:
                rows.forget(db, alarm)
                return True
        else:
            self._time(alarm)
        if step.tell == table.TOLD or (step.tell == table.IF_TOLD and alarm.revision):
            self._tell(db, alarm)
        rows.update(db, alarm)
        return True

    def _time(self, alarm: Alarm) -> None:
        """When its state is over by itself."""
        kind = self._kind(alarm.kind)
        wait = kind.raise_s if alarm.state in table.RAISING else kind.clear_s if alarm.state in table.CLEARING else None
        if wait is None:
            self._due.pop(alarm.alarm_id, None)
        else:
            at = self._due[alarm.alarm_id] = self._mono() + wait
            self.next_due = min(self.next_due, at)

    def _tell(self, db: sqlite3.Connection, alarm: Alarm) -> None:
        # At least the time in ms: the highest revision counts, also where an older store was put back.
        alarm.revision = max(alarm.revision + 1, alarm.changed)
        place = None if alarm.node is None else self.places.get(alarm.node, alarm.role)
        body = rows.document(db, alarm, self._kind(alarm.kind), self.site, place)
        rows.tell(db, self._outlets, alarm.alarm_id, rows.topic(alarm.subject), body)
        if alarm.kind in _PARENTS:
            self._told_members[alarm.alarm_id] = (len(self._children.get(alarm.alarm_id, ())), self._mono())

    def _end(self, db: sqlite3.Connection, alarm: Alarm, now_ms: int) -> None:
        alarm.ended = now_ms
        key = (alarm.kind, alarm.subject)
        if alarm.turn:
            self._past.add(key, alarm.turn)
        self.open.pop(key, None)
        self._by_id.pop(alarm.alarm_id, None)
        self._due.pop(alarm.alarm_id, None)
        self._told_members.pop(alarm.alarm_id, None)
        if alarm.node is not None:
            others = self._by_node.get(alarm.node, {})
            others.pop(alarm.kind, None)
            if not others:
                self._by_node.pop(alarm.node, None)
        if alarm.parent is not None:
            self._children.get(alarm.parent, set()).discard(alarm.alarm_id)
        for child in self._children.pop(alarm.alarm_id, set()):
            self._move(db, self._by_id[child], table.LEAVE, now_ms)

    def _part(self, alarm: Alarm) -> None:
        if alarm.parent is not None:
            self._children.get(alarm.parent, set()).discard(alarm.alarm_id)
            alarm.parent = None

    # Larger alarms.

    def _join(self, db: sqlite3.Connection, now_ms: int) -> None:
        singles: list[grouping.Single] = []
        parents: list[grouping.Parent] = []
        for alarm in self.open.values():
            joins = self._kind(alarm.kind).joins
            if joins and alarm.node is not None and table.step(alarm.state, table.JOIN) is not None:
                singles.append(grouping.Single(alarm.alarm_id, alarm.node, alarm.since, joins))
            elif alarm.kind in _PARENTS and alarm.state not in table.COVERED:
                nodes = frozenset[int]()
                if alarm.subject.startswith(grouping.AROUND):
                    members = (self._by_id[child].node for child in self._children.get(alarm.alarm_id, ()))
                    nodes = frozenset(node for node in members if node is not None)
                parents.append(grouping.Parent(alarm.kind, alarm.subject, alarm.since, nodes))
        if not singles:
            return
        for plan in grouping.plan(singles, parents, self.places):
            parent = self._signal(db, (plan.kind, plan.subject), plan.since, {}, now_ms, role="lamp")
            if parent is None or parent.state in table.COVERED:
                continue
            for alarm_id in plan.alarms:
                alarm = self._by_id[alarm_id]
                alarm.parent = parent.alarm_id
                self._children.setdefault(parent.alarm_id, set()).add(alarm_id)
                self._move(db, alarm, table.JOIN, now_ms)

    def _weigh(self, db: sqlite3.Connection, now_ms: int) -> float:
        """A larger alarm is over when nine of ten of its members are well again; one that grows is told again.

        Returns when the next of them may be (steady seconds).
        """
        again = float("inf")
        for alarm in [alarm for alarm in self.open.values() if alarm.kind in _PARENTS]:
            still = len(self._children.get(alarm.alarm_id, ()))
            before = alarm.evidence.get("nodes", 0)
            known, told_at = self._told_members.setdefault(alarm.alarm_id, (before, self._mono()))
            most = max(before, still)
            grown = most > before
            alarm.evidence = {"nodes": most, "still": still}
            if still <= most // 10:
                self._move(db, alarm, table.GONE, now_ms)
            else:
                self._move(db, alarm, table.SIGNAL, now_ms)
                tells = alarm.revision and still > known and still >= known * RETELL_GROWTH
                if tells and self._mono() < told_at + RETELL_S:
                    again = min(again, told_at + RETELL_S)
                elif tells:
                    self._tell(db, alarm)
                if grown or tells:
                    rows.update(db, alarm)
        return again

    # Maintenance.

    def _turn_windows(self, db: sqlite3.Connection, now_ms: int) -> None:
        for window in self._windows.begin(db, now_ms):
            self._tell_window(db, window, "begun", now_ms, [])
            for alarm in list(self.open.values()):
                if alarm.state not in table.COVERED and self._cover_of(alarm) == window:
                    alarm.suppressed = window.ident
                    self._move(db, alarm, table.COVER, now_ms)
        for window in self._windows.over(now_ms):
            self._end_window(db, window, now_ms)

    def _end_window(self, db: sqlite3.Connection, window: Window, now_ms: int) -> None:
        found = self._windows.end(db, window, now_ms)
        if window.begun:
            self._tell_window(db, window, "ended", now_ms, found)
        for alarm in [alarm for alarm in self.open.values() if alarm.state in table.COVERED]:
            other = self._cover_of(alarm)
            if other is None:
                self._move(db, alarm, table.UNCOVER, now_ms)
            elif alarm.suppressed != other.ident:
                alarm.suppressed = other.ident
                rows.update(db, alarm)

    def _tell_window(self, db: sqlite3.Connection, window: Window, state: str, now_ms: int, found: list[str]) -> None:
        body = window.document(self.site, state, now_ms, found)
        rows.tell(db, self._outlets, None, windows.topic(window.ident), body)

    def _cover_of(self, alarm: Alarm) -> Window | None:
        if self._kind(alarm.kind).always or alarm.severity > CRITICAL:
            return None
        place = None if alarm.node is None else self.places.get(alarm.node, alarm.role)
        return self._windows.cover(alarm.subject, place)

    # Memory.

    def _ready(self, db: sqlite3.Connection) -> None:
        if not self._loaded:
            self._load(db)

    def _load(self, db: sqlite3.Connection) -> None:
        timers = dict(self._due)
        for known in (self.open, self._by_node, self._by_id, self._children, self._due, self._past):
            known.clear()
        for alarm in rows.open_alarms(db):
            self._take_in(alarm)
            if alarm.alarm_id in timers and alarm.alarm_id in self._due:  # a rollback does not make it wait again
                self._due[alarm.alarm_id] = timers[alarm.alarm_id]
        self._outlets = tuple(outlet for (outlet,) in db.execute("SELECT outlet FROM alarm_outlet ORDER BY outlet"))
        self._windows.load(db)
        self.next_due = 0.0
        self._loaded = True

    def _take_in(self, alarm: Alarm) -> None:
        self.stirred = True
        self.open[alarm.kind, alarm.subject] = self._by_id[alarm.alarm_id] = alarm
        if alarm.node is not None:
            self._by_node.setdefault(alarm.node, {})[alarm.kind] = alarm
        if alarm.parent is not None:
            self._children.setdefault(alarm.parent, set()).add(alarm.alarm_id)
        self._time(alarm)

    def _kind(self, name: str) -> Kind:
        return self._kinds.get(name) or replace(_UNKNOWN, name=name)


def _turn(life_id: int, index: int) -> int:
    """Orders what a node says over its lives: lives are numbered as they are confirmed, indices within each."""
    return life_id << 33 | index
