"""What watches a running gateway: looks each second, tells the log, the service manager, and who asks over HTTP."""

import asyncio
import contextlib
import json
import os
import platform
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import kerbwire
from kerbgate.errors import GatewayError, StoreError
from kerbgate.service import facts as facts_of
from kerbgate.service import metrics
from kerbgate.service.facts import Facts, Link
from kerbgate.service.health import STUCK_S, Changes, Health, Problem
from kerbgate.service.log import Log
from kerbgate.service.notify import Notifier
from kerbgate.service.pages import JSON, TEXT, Page, Pages
from kerbgate.service.steps import Steps
from kerbgate.store import Reader

if TYPE_CHECKING:
    from kerbgate.app import Gateway

LOOK_S = 1.0
COUNT_S = 10.0  # between counts of what waits for each outlet; longer where a count is slow
COUNT_SHARE = 100  # a count takes a hundredth of the time
COUNT_MOST_S = STUCK_S / 2  # and more where it is slow: an outlet must not look stuck for an old count
MINUTE_S = 60.0
STATUS_S = 10.0
STOP_S = 25.0  # for everything to end after it was told to; then the process ends all the same
STUCK_STATUS = 75  # exit status of a stop that did not come to its end (EX_TEMPFAIL of sysexits.h)
CACHE_S = 1.0  # of a page of metrics: who asks more often gets the same one

_HINTS = {
    facts_of.INLET: "it is tried again for ever; check cable, path, address and rights",
    facts_of.OUTLET: "documents are kept and it is tried again for ever; check its address, credentials and the uplink",
}


def count_pause_s(took_s: float) -> float:
    """From a count that took so long to the next."""
    return min(max(COUNT_S, COUNT_SHARE * took_s), COUNT_MOST_S)


class Service:
    """Watches one gateway: `begin` when its store is open, `tasks` among its own, `stopping` and `ended` at its end."""

    def __init__(self, gateway: "Gateway", log: Log | None = None, notifier: Notifier | None = None):
        settings = gateway.config.service
        self.gateway = gateway
        self.log = log if log is not None else Log()
        self.notifier = notifier if notifier is not None else Notifier(None)
        self.health = Health(self.notifier.watchdog_s)
        self.steps = Steps(gateway.clock)
        self.is_ready = False
        self._begun = False
        self.waiting: Mapping[str, int] = {}  # reports by outlet, as of the last count
        self.letters: Mapping[str, int] = {}  # letters by outlet, due or not
        self.alarms: Mapping[str, int] = {}  # open ones by state
        self.pages: Pages | None = None
        if settings.port:
            table = {"/metrics": self._metrics, "/health": self._health, "/ready": self._ready}
            self.pages = Pages(settings.address, settings.port, table)
        self._links: dict[tuple[str, str], Link] = {}
        self._told: set[tuple[str, str]] = set()  # links that were said to be down
        self._stepped_at: float | None = None
        self._refused: Mapping[str, int] = {}
        self._failures: dict[str, int] = {}
        self._next = {"feed": 0.0, "status": 0.0, "refused": 0.0}
        self._page: tuple[float, bytes] = (float("-inf"), b"")
        self._guard: threading.Timer | None = None

    @property
    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs until it is cancelled, by name."""
        found: dict[str, Callable[[], Awaitable[None]]] = {"health": self._watch, "count": self._count}
        if self.pages is not None:
            found["pages"] = self.pages.run
        return found

    def begin(self, instance: bytes) -> None:
        """The store is open. instance: of the downlink keys, new with each start."""
        gateway = self.gateway
        self._begun = True
        self.log.event(
            "start",
            version=kerbwire.__version__,
            python=platform.python_version(),
            sqlite=sqlite3.sqlite_version,
            process=os.getpid(),
            instance=instance.hex(),
            site=gateway.config.gateway.site,
            config=gateway.config.path.absolute(),
            state=gateway.config.gateway.state,
            store=gateway.store.store_id,
        )

    def ready(self) -> None:
        """Frames are taken from now on."""
        gateway = self.gateway
        self.is_ready = True
        self.log.event(
            "ready",
            start_s=time.monotonic() - gateway.started,
            nodes=len(gateway.registry),
            inlets=[inlet.name for inlet in gateway.inlets],
            outlets=[pump.name for pump in gateway.pumps],
        )
        self._next["refused"] = time.monotonic() + MINUTE_S
        self.notifier.ready()

    def status(self) -> dict[str, Any]:
        """For `status`."""
        return {
            "problems": [asdict(problem) for problem in self.problems],
            "clock_steps": self.steps.count,
            "clock_step_s": self.steps.last_s,
            "log_lines_lost": self.log.lost,
            "port": None if self.pages is None or self.pages.unserved else self.pages.port,
        }

    @property
    def problems(self) -> list[Problem]:
        """What is open now, grave ones first."""
        return sorted(self.health.open.values(), key=lambda problem: (not problem.grave, problem.code, problem.name))

    @property
    def stepped(self) -> bool:
        """Whether the host's clock was set not long ago."""
        return any(problem.code == "clock_stepped" for problem in self.problems)

    # While it runs.

    async def _watch(self) -> None:
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(LOOK_S)

    def look(self, now: float) -> None:
        """One look; now: monotonic seconds."""
        step = self.steps.look()
        if step is not None:
            self._stepped_at = now
            self.log.event("clock_step", seconds=step, hint="check the host's time source")
        facts = facts_of.take(
            self.gateway,
            self.waiting,
            stepped_s_ago=None if self._stepped_at is None else now - self._stepped_at,
            unserved=None if self.pages is None else self.pages.unserved,
        )
        changes = self.health.look(facts, now)
        self._tell(facts, changes, now)
        if self.health.vital and now >= self._next["feed"]:
            self.notifier.alive()
            self._next["feed"] = now + (self.notifier.watchdog_s or MINUTE_S) / 4
        if changes.began or changes.solved or now >= self._next["status"]:
            self._next["status"] = now + STATUS_S
            self.notifier.status(self._line(facts))

    async def _count(self) -> None:
        """Count what waits, in a thread: a long backlog takes its time."""
        while True:
            began = time.monotonic()
            before = self.alarms
            self.waiting, self.letters, self.alarms = await asyncio.to_thread(self._counts)
            if self.alarms != before:
                self.log.event("alarms", **{"open": self.alarms})
            await asyncio.sleep(count_pause_s(time.monotonic() - began))

    def _counts(self) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]:
        """On a connection of its own: a stop does not wait for the thread, and must close nothing under it."""
        outlets = self.gateway.outlets
        with contextlib.closing(Reader(self.gateway.store.path)) as reader:
            letters = {} if outlets is None else outlets.backlog(reader)
            return reader.outbox(), letters, self.gateway.alarm_service.status()["open"]

    def _tell(self, facts: Facts, changes: Changes, now: float) -> None:
        log = self.log
        for link in facts.links:
            self._tell_link(link)
        for problem in changes.began:
            kind = "problem_grave" if problem.grave else "problem"
            log.event(kind, code=problem.code, name=problem.name, cause=problem.cause, hint=problem.hint)
        for problem in changes.solved:
            log.event("solved", code=problem.code, name=problem.name)
        for name, (count, error) in facts.failures.items():
            if count > self._failures.get(name, 0):
                self._failures[name] = count
                log.event("task_failed", task=name, times=count, cause=error, hint="report it with this log")
        if now >= self._next["refused"]:
            self._next["refused"] = now + MINUTE_S
            new = {reason: count - self._refused.get(reason, 0) for reason, count in facts.refused.items()}
            self._refused = facts.refused
            if any(new.values()):
                log.event("refused", **{"counts": {reason: count for reason, count in sorted(new.items()) if count}})
        log.tick()

    def _tell_link(self, link: Link) -> None:
        key = (link.kind, link.name)
        before = self._links.get(key)
        self._links[key] = link
        again = before is None or link.times != before.times
        if link.connected and (again or key in self._told):
            self._told.discard(key)
            self.log.event("link_up", link=link.kind, name=link.name, times=link.times)
        elif not link.connected and link.error and (again or key not in self._told):
            self._told.add(key)
            self.log.event("link_down", link=link.kind, name=link.name, cause=link.error, hint=_HINTS[link.kind])
        if link.warning and (before is None or link.warning != before.warning):
            self.log.event("link_warning", link=link.kind, name=link.name, cause=link.warning)

    def _line(self, facts: Facts) -> str:
        up = sum(link.connected for link in facts.links)
        frames = sum(link.moved for link in facts.links if link.kind == facts_of.INLET)
        wait = sum(self.waiting.values())
        text = f"{up} of {len(facts.links)} links up, {frames} frames, {wait} documents wait"
        return "; ".join([text, *(f"{problem.code} {problem.name}".strip() for problem in self.problems)])

    async def _metrics(self) -> Page:
        now = time.monotonic()
        if now - self._page[0] >= CACHE_S:
            self._page = (now, metrics.render(self))
        return Page(200, metrics.CONTENT_TYPE, self._page[1])

    async def _health(self) -> Page:
        problems = self.problems
        state = "ok" if not problems else "degraded" if self.health.well else "failing"
        body = {"v": 1, "status": state, "problems": [asdict(problem) for problem in problems]}
        return Page(200 if self.health.well else 503, JSON, json.dumps(body).encode() + b"\n")

    async def _ready(self) -> Page:
        return Page(200, TEXT, b"ready\n") if self.is_ready else Page(503, TEXT, b"not ready\n")

    # At a reload.

    def reload_begins(self) -> None:
        self.notifier.reloading()

    def reloaded(self, answer: Mapping[str, Any] | Exception) -> None:
        """It ended: what changed, or why nothing did."""
        if isinstance(answer, Exception):
            hint = answer.hint if isinstance(answer, GatewayError) else "report it with this log"
            self.log.event("reload_refused", cause=str(answer), hint=hint)
        else:
            told: dict[str, list[str]] = {name: answer[name] for name in ("added", "removed", "changed", "restart")}
            self.log.event("reload", **{name: ", ".join(found) for name, found in told.items()})
        self.notifier.ready()

    # At the end.

    def stopping(self) -> None:
        """Told to stop. From now on there is STOP_S for it: then what is waited for is said, and the process ends."""
        if self._guard is not None:
            return
        self.is_ready = False
        if self._begun:
            self.log.event("stopping", queued=self.gateway.store.queued)
        self.notifier.stopping()
        self._guard = threading.Timer(STOP_S, self._give_up)
        self._guard.daemon = True
        self._guard.start()

    def ended(self) -> None:
        """Everything has ended: figures of the run."""
        if self._guard is not None:
            self._guard.cancel()
        self.notifier.close()
        if not self._begun:  # the error that kept it from starting says all
            return
        gateway = self.gateway
        inlets = [inlet.counters for inlet in gateway.inlets]
        self.log.close()
        self.log.event(
            "stop",
            uptime_s=time.monotonic() - gateway.started,
            frames=sum(counters.frames for counters in inlets),
            committed=sum(counters.committed for counters in inlets),
            delivered={pump.name: pump.state.delivered for pump in gateway.pumps},
            letters={pump.name: pump.state.letters for pump in gateway.pumps},
            waiting=self._still_waiting(),
            queued=gateway.store.queued,
            cpu_s=time.process_time(),
            memory_mb=metrics.resident_bytes() / 1e6,
        )

    def _still_waiting(self) -> Mapping[str, int]:
        try:
            reader = Reader(self.gateway.store.path)
        except StoreError:  # why it ends is said elsewhere
            return {}
        try:
            return reader.outbox()
        finally:
            reader.close()

    def _give_up(self) -> None:
        """In a thread of its own, since the loop may be what is stuck. What was acknowledged is on disk."""
        waiting = [task.get_name() for task in self.gateway.running if not task.done()]
        if self.gateway.store.alive:
            waiting.append("store-writer")
        hint = "nothing acknowledged is lost; look at the disk and at the links named here"
        self.log.event("stuck", seconds=STOP_S, waiting=waiting, hint=hint)
        os._exit(STUCK_STATUS)
