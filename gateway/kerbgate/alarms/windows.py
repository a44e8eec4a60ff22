"""Maintenance: where people work, until when. Alarms there are kept and not told; at the end one letter says which."""

import sqlite3
from dataclasses import dataclass, replace
from typing import Any

from kerbgate.alarms.places import Place
from kerbgate.alarms.rows import stamp

SCHEMA = "kerbstone/maintenance/1"
SCOPES = ("node", "group", "feeder", "site", "gateway")
MAX_WINDOWS = 500  # open at once
MAX_S = 31 * 86_400  # what takes longer is decided anew
KEPT_MS = 400 * 86_400_000
PRUNE = 200  # a transaction


@dataclass(frozen=True, slots=True)
class Window:
    """One maintenance. scope: `node:17`, `group:quay`, `feeder:F3`, `site:harbour`, `gateway:`. Times: UTC seconds."""

    ident: int
    scope: str
    begins: int
    until: int
    person: str
    reason: str
    begun: bool

    def covers(self, subject: str, place: Place | None) -> bool:
        """Whether an alarm's subject lies in it. place: of the node that it is about."""
        if self.scope == subject:
            return True
        kind, _, name = self.scope.partition(":")
        if kind == "gateway":
            return subject.partition(":")[0] in ("gateway", "inlet", "outlet")
        if kind == "site":
            return subject.partition(":")[0] not in ("gateway", "inlet", "outlet")
        if place is None:
            return False
        return name in place.groups if kind == "group" else kind == "feeder" and name == place.feeder

    def document(self, site: str, state: str, now_ms: int, alarms: list[str]) -> dict[str, Any]:
        """What is told when it begins and when it has ended. alarms: those that it suppressed."""
        scope, _, name = self.scope.partition(":")
        return {
            "schema": SCHEMA,
            "id": f"{site}/maintenance/{self.begins}-{self.ident}/{state}",
            "maintenance": self.ident,
            "site": site,
            "state": state,
            "subject": {"type": scope, "name": int(name) if scope == "node" else name},
            "begins": stamp(self.begins),
            "until": stamp(self.until),
            "time": stamp(now_ms / 1000),
            "by": self.person,
            "reason": self.reason,
            "suppressed": alarms[:500],
            "suppressed_count": len(alarms),
        }


class Windows:
    """Those that have not ended. Changed in the writer's thread; `turns` and its length are asked in the event loop."""

    def __init__(self) -> None:
        self._open: tuple[Window, ...] = ()

    def __len__(self) -> int:
        return len(self._open)

    def load(self, db: sqlite3.Connection) -> None:
        rows = db.execute(
            "SELECT maintenance_id, scope, begins, until, person, reason, begun IS NOT NULL FROM maintenance"
            " WHERE ended IS NULL ORDER BY maintenance_id"
        )
        self._open = tuple(Window(*facts, begun=bool(begun)) for *facts, begun in rows)

    def add(self, db: sqlite3.Connection, window: Window) -> int:
        """Write one down; returns its number."""
        row = db.execute(
            "INSERT INTO maintenance (scope, begins, until, person, reason) VALUES (?,?,?,?,?)",
            (window.scope, window.begins, window.until, window.person, window.reason),
        )
        number = row.lastrowid or 0
        self._open = (*self._open, replace(window, ident=number))
        return number

    def get(self, number: int) -> Window | None:
        return next((window for window in self._open if window.ident == number), None)

    def turns(self, utc_s: float) -> bool:
        """Whether one has to begin or to end."""
        return any(utc_s >= (window.until if window.begun else window.begins) for window in self._open)

    def begin(self, db: sqlite3.Connection, now_ms: int) -> list[Window]:
        """Those whose time has come, begun from now on."""
        now = now_ms // 1000
        begun = {
            window.ident: replace(window, begun=True)
            for window in self._open
            if not window.begun and window.begins <= now < window.until
        }
        db.executemany("UPDATE maintenance SET begun=? WHERE maintenance_id=?", [(now_ms, ident) for ident in begun])
        self._open = tuple(begun.get(window.ident, window) for window in self._open)
        return list(begun.values())

    def over(self, now_ms: int) -> list[Window]:
        """Those whose time is up."""
        return [window for window in self._open if window.until <= now_ms // 1000]

    def end(self, db: sqlite3.Connection, window: Window, now_ms: int) -> list[str]:
        """It has ended; returns the alarms that fell into it."""
        self._open = tuple(other for other in self._open if other.ident != window.ident)
        db.execute("UPDATE maintenance SET ended=? WHERE maintenance_id=?", (now_ms, window.ident))
        found = db.execute("SELECT ident FROM alarm WHERE suppressed=? ORDER BY alarm_id", (window.ident,))
        return [ident for (ident,) in found]

    def cover(self, subject: str, place: Place | None) -> Window | None:
        """The first that has begun and covers an alarm."""
        return next((window for window in self._open if window.begun and window.covers(subject, place)), None)


def topic(number: int) -> str:
    """Of its letters, and of their rows."""
    return f"maintenance/{number}"


def prune(db: sqlite3.Connection, now_ms: int) -> None:
    """Forget those that ended long ago and whose letters every outlet has."""
    old = db.execute(
        "SELECT maintenance_id FROM maintenance WHERE ended < ? LIMIT ?", (now_ms - KEPT_MS, PRUNE)
    ).fetchall()
    for (number,) in old:
        waits = db.execute(
            "SELECT 1 FROM alarm_change JOIN alarm_outbox USING (change_id) WHERE alarm_id IS NULL AND topic=? LIMIT 1",
            (topic(number),),
        ).fetchone()
        if not waits:
            db.execute("DELETE FROM alarm_change WHERE alarm_id IS NULL AND topic=?", (topic(number),))
            db.execute("DELETE FROM maintenance WHERE maintenance_id=?", (number,))
