"""The running gateway: one event loop, named tasks in one TaskGroup, one writer thread.

    inlet tasks -> intake -> store's writer -> intake (ack) -> inlet
                                  store -> pump tasks -> outlets

A task that fails for a reason that nobody foresaw is counted, shown in status, and started again after a pause; the
others go on.
"""

import asyncio
import dataclasses
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kerbgate import control, decoding, memory, status
from kerbgate.aggregate import Aggregate, RollupReader, requests
from kerbgate.aggregate.periods import utc_text
from kerbgate.alarms import AlarmService
from kerbgate.alarms.morning import DueBin
from kerbgate.clock import Clock, open_clock
from kerbgate.commands.service import CommandService
from kerbgate.config import Config
from kerbgate.errors import ConfigError, ControlError, GatewayError, StoreError
from kerbgate.field.service import FieldService
from kerbgate.forward import Pump
from kerbgate.handed import HandIn
from kerbgate.inlets import Inlet, open_inlet
from kerbgate.intake import Intake
from kerbgate.letters import LetterSource
from kerbgate.outlets import check_url
from kerbgate.pumps import Pumps, active, letters_only, report_names
from kerbgate.registry import Registry
from kerbgate.service.log import Log, standard_error
from kerbgate.service.notify import Notifier
from kerbgate.service.service import Service
from kerbgate.shadow import ShadowIntake, no_commands
from kerbgate.store import Reader, Store
from kerbgate.store.items import StoredReport
from kerbgate.store.store import Delivery
from kerbwire.events import Event
from kerbwire.messages import Report

INSTANCE_SIZE = 8  # bytes; see kerbgate.keys
REGISTRY_REFRESH_S = 1.0  # a node that was just provisioned is heard within this time
STORE_CHECK_S = 1.0
MAX_RELOADS = 4  # one at a time, and the others wait
DUE_S = 86_400  # a bin that will be full by then is due: of the morning list
_RESTART_S = (0.5, 30.0)  # pauses before a failed task is started again: first and last
_STEADY_S = 60.0  # a task that ran so long begins with the first pause again


@dataclass(slots=True)
class TaskState:
    """Failures of one task that nobody foresaw."""

    failures: int = 0
    last_error: str | None = None


class Gateway:
    """A gateway over one configuration. Everything is opened in `run`, and closed when it returns.

    log and notifier: where it tells what happens to it; None: nowhere.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        log: Log | None = None,
        notifier: Notifier | None = None,
    ):
        self.config = config
        self.clock = clock if clock is not None else open_clock(config.clock.source)
        self.started = time.monotonic()
        self.tasks: dict[str, TaskState] = {}
        self.inlets: list[Inlet] = []
        self.letter_sources: list[LetterSource] = []
        self.outlets: Pumps | None = None
        self._working = False
        self._reloads: set[asyncio.Task[dict[str, Any]]] = set()
        self.running: set[asyncio.Task[None]] = set()  # and those that ended, though nobody cancelled them
        self.service = Service(self, log, notifier)
        self.field = FieldService(self)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set. GatewayError for anything that keeps it from starting; `ready` is called once."""
        config = self.config
        shadow = config.gateway.shadow
        self.inlets = [open_inlet(settings.url, silent=shadow) for settings in config.inlets]
        for settings in config.outlets:
            check_url(settings.url)
        prepare_state(config)
        # A registry that someone named must be there: an empty new one would make strangers of all nodes.
        registry = config.gateway.registry
        self.registry = Registry(registry, create=registry.parent == config.gateway.state)
        own = _kept_here(config) if shadow else config
        self.command_service = CommandService(own)
        self.alarm_service = AlarmService(own, self.clock, self.command_service.groups, self._due_bins)
        self.rollups = Aggregate(config.aggregate, self.command_service.groups.members())
        self.letter_sources.append(self.alarm_service.letters)
        self.letter_sources.append(self.rollups.letters)
        loop = asyncio.get_running_loop()
        self.store = Store(
            config.gateway.state / "store.sqlite",
            outlets=report_names(active(config)),
            letters_only=letters_only(config),
            shadow=shadow,
            settings=config.store,
            post=lambda delivery: _post(loop, self._deliver, delivery),
            decode=decoding.read_again,
            answered=self.command_service.ledger.answered,
            folds=[self.rollups, self.alarm_service.book],
            layers=self.rollups.layers,
        )
        try:
            await self._serve(stop, ready)
        finally:
            self.service.stopping()
            stopped = await asyncio.to_thread(self.store.stop)
            self.service.ended()
            self.registry.close()
        if not stopped:
            raise GatewayError("the store did not finish in time", "nothing acknowledged is lost; check the disk")

    async def _serve(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        config, store = self.config, self.store
        loop = asyncio.get_running_loop()
        instance = os.urandom(INSTANCE_SIZE)
        shadow = config.gateway.shadow
        made = ShadowIntake if shadow else Intake
        self.intake = made(self.registry, store, self.clock, instance=instance, on_commit=self._committed)
        links = [] if shadow else self.inlets
        commands = self.command_service.attach(store, self.registry, self.clock, links)
        self.intake.downlinks = None if shadow else commands
        self.alarm_service.attach(self)
        self.field.attach()
        self._reader = Reader(store.path)
        try:
            self.outlets = outlets = Pumps(
                config, store, self._reader, self.clock, self.letter_sources,
                lambda name, work: self._start(self._group, name, work, "outlet"),
            )  # fmt: skip
            self.service.begin(instance)
            store.start(on_deleted=lambda settled: _post(loop, outlets.settled, settled))
            self.command_service.begin(self.intake)
            operations = {"status": self._status, "reload": self._reload}
            operations |= {**self.command_service.operations, **self.alarm_service.operations}
            operations |= self.field.operations
            operations["rollups"] = self._rollups
            operations["hand"] = HandIn(self.intake, self.clock).operation
            if shadow:
                operations["send"] = no_commands
            async with control.Server(config.gateway.state, operations):
                await self._work(stop, ready)
        finally:
            self._reader.close()

    async def _work(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            self._group, self._working = group, True
            tasks: list[asyncio.Task[None]] = []
            if self.outlets is not None:
                await self.outlets.begin()
            for inlet in self.inlets:
                tasks.append(self._start(group, inlet.name, lambda inlet=inlet: inlet.run(self.intake), "inlet"))
            for name, work in self.command_service.tasks.items():
                tasks.append(self._start(group, name, work, "commands"))
            for name, work in self.alarm_service.tasks.items():
                tasks.append(self._start(group, name, work, "alarms"))
            for name, work in self.field.tasks.items():
                tasks.append(self._start(group, name, work, "field"))
            for name, work in self.service.tasks.items():
                tasks.append(self._start(group, name, work, "service"))
            tasks.append(self._start(group, "registry", self._refresh, "watch"))
            tasks.append(group.create_task(self._watch_store(stop), name="watch store"))
            self.service.ready()
            ready()
            await stop.wait()
            self.service.stopping()
            self._working = False
            await self._end_reloads()  # before the pumps: it may be about to start some
            for task in tasks:
                task.cancel()
            if self.outlets is not None:
                self.outlets.stop()
        if not self.store.alive:
            raise StoreError("the store's writer has ended", "nothing acknowledged is lost: start the gateway again")

    @property
    def pumps(self) -> list[Pump]:
        """Of the outlets as they are now."""
        return self.outlets.pumps if self.outlets is not None else []

    async def reload(self, drop: str | None = None) -> dict[str, Any]:
        """Read the configuration again and change the outlets. GatewayError, and nothing is changed, if it is bad."""
        if self.outlets is None or not self._working:
            raise ControlError("the gateway is just starting, or stopping", "ask again")
        if len(self._reloads) >= MAX_RELOADS:
            raise ControlError("it is being reloaded", "ask again when that has ended: kerb gateway status")
        # Who asked may leave, or be let go: half a reload would be outlets that do not run.
        work = asyncio.create_task(self._reload_whole(self.outlets, drop), name="reload")
        self._reloads.add(work)
        work.add_done_callback(self._reload_ended)
        return await asyncio.shield(work)

    async def _reload_whole(self, outlets: Pumps, drop: str | None) -> dict[str, Any]:
        self.service.reload_begins()
        try:
            answer = await outlets.reload(drop)
        except Exception as error:
            self.service.reloaded(error)
            raise
        self.service.reloaded(answer)
        self.config = outlets.config
        for name in answer["removed"]:
            self.tasks.pop(f"outlet {name}", None)
        return answer

    def _reload_ended(self, work: "asyncio.Task[dict[str, Any]]") -> None:
        self._reloads.discard(work)
        if not work.cancelled():
            work.exception()  # seen, also where nobody waits any more

    async def _end_reloads(self) -> None:
        works = set(self._reloads)
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works)

    def reload_soon(self) -> None:
        """The same on a signal: what is wrong is in the status."""
        if self._working:
            self._group.create_task(self._reload_quietly(), name="reload on a signal")

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except Exception as error:  # the edge of a signal: the gateway goes on as it was
            state = self.tasks.setdefault("reload", TaskState())
            state.failures += 1
            state.last_error = str(error)

    async def _reload(self, request: dict[str, Any]) -> dict[str, Any]:
        drop: Any = request.get("drop")
        if drop is not None and not isinstance(drop, str):
            raise ControlError("drop is no name of an outlet", "give it as text")
        return {"reload": await self.reload(drop)}

    def _due_bins(self) -> list[DueBin]:
        """Bins that will be full within a day, for the morning list. Runs in a thread."""
        reader = Reader(self.store.path)
        try:
            found = RollupReader(reader, self.rollups.calendar).full_by(int(self.clock.utc()) + DUE_S)
            return [
                DueBin(full.node, at_s, {"fill_percent": full.fill_percent, "full_by": utc_text(at_s)})
                for full in found
                if (at_s := full.middle_s) is not None
            ]
        finally:
            reader.close()

    async def _rollups(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"rollups": await asyncio.to_thread(requests.answer, self.store.path, self.rollups.calendar, request)}

    async def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"status": await asyncio.to_thread(status.collect, self)}

    def _start(
        self, group: asyncio.TaskGroup, name: str, work: Callable[[], Awaitable[None]], kind: str
    ) -> "asyncio.Task[None]":
        full = f"{kind} {name}"
        task = group.create_task(self._supervise(full, work), name=full)
        self.running.add(task)
        task.add_done_callback(lambda ended: self.running.discard(ended) if ended.cancelled() else None)
        return task

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run a task for ever: the edge where an error that nobody foresaw is counted and ends in a new start."""
        state = self.tasks[name] = TaskState()
        pause_s = _RESTART_S[0]
        while True:
            started = time.monotonic()
            try:
                await work()
            except Exception as error:
                state.failures += 1
                state.last_error = f"{type(error).__name__}: {error}"
            if time.monotonic() - started >= _STEADY_S:
                pause_s = _RESTART_S[0]
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311
            pause_s = min(pause_s * 2, _RESTART_S[1])

    def _deliver(self, delivery: Delivery) -> None:
        self.intake.deliver(delivery)
        if self.outlets is not None:
            self.outlets.wake()

    def _committed(self, row: StoredReport, report: Report | Event) -> None:
        if self.outlets is not None:
            self.outlets.committed(row, report)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REGISTRY_REFRESH_S)
            self.registry.refresh()

    async def _watch_store(self, stop: asyncio.Event) -> None:
        """Without its writer a gateway is only noise: end it, so that the service manager starts a new one."""
        while self.store.alive:  # noqa: ASYNC110  # a thread has no event to await
            await asyncio.sleep(STORE_CHECK_S)
        stop.set()


def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., None], item: object) -> None:
    """From the writer's thread into the loop; nothing to do once the loop is closed."""
    try:
        loop.call_soon_threadsafe(call, item)
    except RuntimeError:
        return


def _kept_here(config: Config) -> Config:
    """Of a shadow: no commands from the council's broker, and no list where the other gateway writes its own."""
    return dataclasses.replace(
        config,
        command=dataclasses.replace(config.command, outlet=""),
        morning=dataclasses.replace(config.morning, folder=None),
    )


def prepare_state(config: Config) -> None:
    """Make the state folder; ConfigError if it cannot be used."""
    state = config.gateway.state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(state, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise ConfigError(
            f"the state folder {state} cannot be used: {error.strerror}",
            "create it for this user, or correct state = in the configuration",
        ) from error


def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Run a gateway until SIGTERM or SIGINT. GatewayError for anything that keeps it from starting."""
    memory.lean()

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        gateway = Gateway(config, log=standard_error(), notifier=Notifier.from_environment(os.environ))
        unforeseen = gateway.tasks["loop"] = TaskState()

        def count(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            unforeseen.failures += 1
            unforeseen.last_error = str(context.get("exception") or context.get("message"))

        loop.set_exception_handler(count)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, gateway.reload_soon)

        def begun() -> None:
            memory.settle()
            ready()

        await gateway.run(stop, begun)

    try:
        asyncio.run(main())
    except sqlite3.Error as error:
        raise GatewayError(f"SQLite failed: {error}", "check the disk, and run the gateway again") from error
