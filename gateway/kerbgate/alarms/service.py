"""What a running gateway needs of alarms, in one place: the fold before its store, watch and socket behind it."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from kerbgate import audit
from kerbgate.alarms import kinds, listing, morning, requests, rows
from kerbgate.alarms.book import AlarmBook
from kerbgate.alarms.causes import Causes
from kerbgate.alarms.health import Facts, GatewayHealth, OutletFacts
from kerbgate.alarms.hearing import Hearing
from kerbgate.alarms.letters import AlarmLetters
from kerbgate.alarms.places import Places
from kerbgate.alarms.watch import Watch
from kerbgate.clock import Clock
from kerbgate.commands.groups import Groups
from kerbgate.config import Config
from kerbgate.control import Operation
from kerbgate.errors import ControlError, StoreError
from kerbgate.store import logs
from kerbgate.store.items import COMMITTED, Change, Outcome
from kerbgate.store.store import Store

if TYPE_CHECKING:
    from kerbgate.app import Gateway

COMMIT_S = 20.0  # a commit on a slow card
NOTE = "alarm"  # kind of entries of the audit log


class AlarmService:
    """Alarms of a gateway. Made before its store, `attach` when the store is there, `tasks` while it runs."""

    def __init__(self, config: Config, clock: Clock, groups: Groups, due_bins: morning.DueBins = morning.no_bins):
        """due_bins: asked in a thread when the morning list is made."""
        site = config.gateway.site
        self._config = config
        self._clock = clock
        self._due_bins = due_bins
        self._groups = groups
        self._mono = Steady(clock)
        self.kinds = kinds.with_routes(kinds.parse_routes(config.alarms.routes))
        self.hearing = Hearing()
        self.book = AlarmBook(
            site, Causes(config.alarms.battery_low_mv // 10), self.hearing, table=self.kinds, mono=self._mono
        )
        self.letters = AlarmLetters(self.book)
        self.failures = 0  # changes that the store did not take
        self.last_morning: str | None = None

    @property
    def folder(self) -> Path:
        """Where the morning lists are."""
        return self._config.morning.folder or self._config.gateway.state / "morning"

    def attach(self, gateway: "Gateway") -> None:
        """The store is open and does not write yet. AuditError for a key file that cannot be used."""
        self._store: Store = gateway.store
        self._registry = gateway.registry
        self._key = audit.Key.open(self._config.gateway.state, create=True)
        self.look_at_places()
        with contextlib.closing(listing.reading(self._store.path)) as db:
            self.hearing.begin(db, self._mono())
        self._gateway = gateway
        self._health = GatewayHealth(self._store, self._clock, self._key, self._mono)
        self._watch = Watch(self.book, self.hearing, self._clock, self._mono, self.submit)

    def look_at_places(self) -> None:
        """Read where nodes are. For a thread, but for the first time."""
        places = Places.read(
            self._config.gateway.site, self._registry, self._groups.memberships(), self._groups.streets()
        )
        self.book.places, self.book.causes.middle = places, places.middle()

    @property
    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs until it is cancelled, by name."""
        return {
            "watch": self._watch.run,
            "health": self._look,
            "places": self._keep_places,
            "morning": self._mornings,
        }

    @property
    def operations(self) -> Mapping[str, Operation]:
        """For the control socket."""
        return {
            "alarms": self._list,
            "acknowledge": self._acknowledge,
            "maintenance": self._maintenance,
            "morning": self._morning,
            "log": self._log,
        }

    def status(self) -> dict[str, Any]:
        """For `status`. For a thread."""
        return listing.counts(self._store.path) | {
            "overflow": self.book.overflow,
            "maintenance": self.book.windows_open,
            "failures": self.failures,
            "last_morning": self.last_morning,
        }

    def submit(self, apply: Callable[[sqlite3.Connection, int], None]) -> bool:
        """Commit a change of the book soon; False if the store's queue is full."""
        now_ms = self._now_ms()

        def done(outcome: Outcome) -> None:
            self.failures += outcome.verdict != COMMITTED

        return self._store.submit(Change(lambda db: apply(db, now_ms), now_ms), done)

    async def change(self, apply: Callable[[sqlite3.Connection, int], Any]) -> Any:
        """The same, and wait for the commit. What `apply` returns; StoreError when it was not committed in time."""
        now_ms = self._now_ms()
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Outcome] = loop.create_future()
        result: list[Any] = []

        def work(db: sqlite3.Connection) -> None:
            result[:] = [apply(db, now_ms)]

        def done(outcome: Outcome) -> None:
            if not answered.done():
                answered.set_result(outcome)

        if not self._store.submit(Change(work, now_ms), done):
            raise StoreError("the store's queue is full", "ask again in a moment")
        try:
            async with asyncio.timeout(COMMIT_S):
                outcome = await answered
        except TimeoutError as error:
            raise StoreError("the store did not write this down in time", "look at kerb alarms") from error
        if outcome.verdict != COMMITTED:
            raise StoreError("the store did not write this down", "look at kerb gateway status, then try again")
        return result[0]

    # What runs.

    async def _look(self) -> None:
        while True:
            facts = Facts(
                {inlet.name: inlet.counters for inlet in self._gateway.inlets},
                [
                    OutletFacts(pump.name, pump.state.delivered + pump.state.letters, pump.state.last_error)
                    for pump in self._gateway.pumps
                ],
                dict(self._gateway.tasks),
                self._gateway.service.steps.last_s if self._gateway.service.stepped else None,
            )
            found = await asyncio.to_thread(self._look_once, facts)
            self._watch.health(found, deaf=self._health.deaf(found))
            await asyncio.sleep(self._watch.pause(15.0))

    def _look_once(self, facts: Facts) -> dict[tuple[str, str], dict[str, Any]]:
        with contextlib.closing(listing.reading(self._store.path)) as db:
            return self._health.look(db, facts)

    async def _keep_places(self) -> None:
        while True:
            await asyncio.sleep(60.0)
            await asyncio.to_thread(self.look_at_places)
            if self.book.strangers():
                self.submit(self.book.leave)

    async def _mornings(self) -> None:
        settings = self._config.morning
        zone = ZoneInfo(self._config.aggregate.timezone)
        while True:
            if self._clock.synchronised():
                day = morning.due_day(self.folder, self._clock.utc(), zone, settings.hour)
                if day is not None:
                    await asyncio.to_thread(self._write, day)
            await asyncio.sleep(self._watch.pause(60.0))

    def _write(self, day: str) -> Path:
        path = morning.write(self.folder, day, self._rows(), self._config.morning.keep_days)
        self.last_morning = path.name
        return path

    def _rows(self) -> list[dict[str, Any]]:
        return morning.rows_of(self._store.path, self.kinds, self.book.places, self._due_bins())

    # What people ask.

    async def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted: Any = request.get("filter", {})
        past: Any = request.get("past", False)
        limit = requests.whole(request, "limit", 200, 1, listing.MAX_LISTED)
        if not isinstance(wanted, dict) or type(past) is not bool:
            raise ControlError("filter is no object, or past neither true nor false", "see ALARMS.md")
        path = self._store.path
        filters = cast(dict[str, Any], wanted)
        if request.get("maintenance"):
            return {"maintenance": await asyncio.to_thread(listing.maintenance, path, limit)}
        return {
            "alarms": await asyncio.to_thread(
                listing.alarms, path, self.kinds, self.book.places, filters, limit, past=past
            )
        }

    async def _acknowledge(self, request: dict[str, Any]) -> dict[str, Any]:
        idents, by = requests.idents(request), requests.person(request)
        reason = requests.reason(request)

        def apply(db: sqlite3.Connection, now_ms: int) -> list[str]:
            done = self.book.acknowledge(db, idents, by, reason, now_ms)
            self._note(db, {"acknowledged": done, "asked": idents, "by": by, "reason": reason}, now_ms)
            return done

        return {"acknowledged": await self.change(apply)}

    async def _maintenance(self, request: dict[str, Any]) -> dict[str, Any]:
        by, reason = requests.person(request), requests.reason(request)
        ending: Any = request.get("end")
        if ending is not None:
            number = requests.whole(request, "end", 0, 1, 1 << 53)

            def end(db: sqlite3.Connection, now_ms: int) -> bool:
                done = self.book.end_maintenance(db, number, now_ms)
                self._note(db, {"maintenance_ended": number, "by": by, "reason": reason}, now_ms)
                return done

            if not await self.change(end):
                raise ControlError(f"no maintenance {number} is open", "kerb alarms maintenance lists them")
            return {"ended": number}
        window = requests.window(request, self._config.gateway.site, self.book, by, reason, int(self._clock.utc()))

        def begin(db: sqlite3.Connection, now_ms: int) -> int:
            number = self.book.begin_maintenance(db, window, now_ms)
            entry = {"scope": window.scope, "begins": window.begins, "until": window.until, "by": by, "reason": reason}
            self._note(db, {"maintenance": number} | entry, now_ms)
            return number

        return {"maintenance": await self.change(begin), "until": rows.stamp(window.until)}

    async def _morning(self, request: dict[str, Any]) -> dict[str, Any]:
        found = await asyncio.to_thread(self._rows)
        return {"columns": list(morning.COLUMNS), "rows": found, "folder": str(self.folder)}

    async def _log(self, request: dict[str, Any]) -> dict[str, Any]:
        node = requests.whole(request, "node", 0, 1, 65535)

        def read() -> list[dict[str, Any]]:
            with contextlib.closing(listing.reading(self._store.path)) as db:
                return [
                    {"boot": piece.boot, "line": piece.line, "dropped": piece.dropped, "text": piece.text}
                    for piece in logs.of_node(db, node)
                ]

        return {"log": await asyncio.to_thread(read)}

    def _note(self, db: sqlite3.Connection, entry: dict[str, Any], now_ms: int) -> None:
        audit.append(db, self._key, NOTE, {"site": self._config.gateway.site, "time_ms": now_ms} | entry)

    def _now_ms(self) -> int:
        return round(self._clock.utc() * 1000)


class Steady:
    """Seconds that only go forward, at the clock's pace: an emulated world's nights take minutes, its waits too."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._lock = threading.Lock()
        self._value = 0.0
        self._last = time.monotonic()

    def __call__(self) -> float:
        with self._lock:
            now = time.monotonic()
            self._value += (now - self._last) * max(self._clock.pace(), 0.0)
            self._last = now
            return self._value
