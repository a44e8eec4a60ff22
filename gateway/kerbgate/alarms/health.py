"""What is wrong with the gateway itself, looked at now and then. Each look gives all of it."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kerbgate import audit
from kerbgate.alarms import kinds
from kerbgate.alarms.past import Key
from kerbgate.clock import Clock
from kerbgate.errors import AuditError
from kerbgate.inlets.base import Counters
from kerbgate.store.store import Store

OUTLET_S = 900.0  # nothing was delivered for so long, and something waits
FREE_BYTES = 200 * 1024 * 1024  # below it, and below a twentieth of the disk, it is nearly full
AUDIT_S = 86_400.0  # the whole log is walked once a day
FRAMES = 20  # frames of an inlet before its pace is known
PAUSES = 20.0  # it is silent when so many of its usual pauses have passed,
SILENT_S = 3600.0  # and at least this time


class Task(Protocol):
    """What is known of a task."""

    failures: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class OutletFacts:
    """An outlet as it is now. delivered: documents, ever since the start."""

    name: str
    delivered: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """A gateway as it is now: counters of inlets, outlets and tasks, by name.

    step_s: seconds by which the host's clock was set not long ago.
    """

    inlets: Mapping[str, Counters]
    outlets: Sequence[OutletFacts]
    tasks: Mapping[str, Task]
    step_s: float | None = None


class GatewayHealth:
    """One running gateway. mono: steady, seconds."""

    def __init__(self, store: Store, clock: Clock, key: audit.Key, mono: Callable[[], float] = time.monotonic):
        self._store = store
        self._clock = clock
        self._key = key
        self._mono = mono
        self._delivered: dict[str, tuple[int, float]] = {}
        self._frames: dict[str, tuple[int, float, float]] = {}
        self._tasks: dict[str, int] = {}
        self._audit_at = 0.0
        self._audit: list[str] = []

    def look(self, db: sqlite3.Connection, facts: Facts) -> dict[Key, dict[str, Any]]:
        """All that is wrong now. db: read only. Takes milliseconds, once a day seconds: for a thread."""
        store, now = self._store, self._mono()
        found: dict[Key, dict[str, Any]] = {}
        self._inlets(found, now, facts.inlets)
        self._outlets(found, now, db, facts.outlets)
        disk = shutil.disk_usage(store.path.parent)
        if disk.free < min(FREE_BYTES, disk.total // 20) or store.chores.room.exhausted:
            found[kinds.DISK, "gateway:disk"] = {"free_bytes": disk.free}
        if store.health.failing:
            found[kinds.STORE, "gateway:store"] = {"cause": store.health.failing[:200]}
        if not self._clock.synchronised():
            found[kinds.CLOCK, "gateway:clock"] = {}
        elif facts.step_s is not None:
            found[kinds.CLOCK, "gateway:clock"] = {"step_s": round(facts.step_s)}
        if store.folds.failing:
            found[kinds.FOLD, "gateway:folds"] = {"cause": (store.folds.last_error or "")[:200]}
        for name, state in facts.tasks.items():
            if state.failures > self._tasks.get(name, 0):
                self._tasks[name] = state.failures
                found[kinds.TASK, f"gateway:{name[:64]}"] = {"cause": (state.last_error or "")[:200]}
        if now >= self._audit_at:
            self._audit_at = now + AUDIT_S
            try:
                self._audit = audit.verify(db, self._key).faults
            except AuditError as error:
                self._audit = [error.cause]
        if self._audit:
            found[kinds.AUDIT, "gateway:audit"] = {"cause": self._audit[0][:200]}
        return found

    def deaf(self, found: dict[Key, dict[str, Any]]) -> bool:
        """Whether the silence of nodes may be that of a link."""
        return any(kind in (kinds.INLET_DOWN, kinds.INLET_SILENT, kinds.STORE) for kind, _ in found)

    def _inlets(self, found: dict[Key, dict[str, Any]], now: float, inlets: Mapping[str, Counters]) -> None:
        for name, counters in inlets.items():
            if not counters.connected:
                found[kinds.INLET_DOWN, f"inlet:{name}"] = {"cause": (counters.last_error or "")[:200]}
            frames, first, last = self._frames.get(name, (counters.frames, now, now))
            if counters.frames != frames or not counters.connected:
                last = now
            self._frames[name] = (counters.frames, first, last)
            if counters.frames >= FRAMES and now - last > max(SILENT_S, PAUSES * (last - first) / counters.frames):
                found[kinds.INLET_SILENT, f"inlet:{name}"] = {}

    def _outlets(
        self, found: dict[Key, dict[str, Any]], now: float, db: sqlite3.Connection, outlets: Sequence[OutletFacts]
    ) -> None:
        for outlet in outlets:
            delivered, since = self._delivered.get(outlet.name, (-1, now))
            if outlet.delivered != delivered:
                delivered, since = outlet.delivered, now
            waits = db.execute(
                "SELECT 1 FROM outbox WHERE outlet=?1 UNION ALL SELECT 1 FROM alarm_outbox WHERE outlet=?1 LIMIT 1",
                (outlet.name,),
            ).fetchone()
            if not waits:
                since = now
            self._delivered[outlet.name] = (delivered, since)
            if now - since >= OUTLET_S:
                found[kinds.OUTLET, f"outlet:{outlet.name}"] = {"cause": (outlet.last_error or "")[:200]}
