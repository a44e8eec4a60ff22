"""The running gateway: one event loop, named tasks in one TaskGroup, one writer thread.

    inlet tasks -> intake -> store's writer -> intake (ack) -> inlet
                                  store -> pump tasks -> outlets

A task that fails for a reason that nobody foresaw is counted, shown in status, and started again after a pause; the
others go on.
"""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kerbgate import control, decoding, status
from kerbgate.clock import Clock, open_clock
from kerbgate.commands.service import CommandService
from kerbgate.config import Config
from kerbgate.errors import ConfigError, GatewayError, StoreError
from kerbgate.forward import Pump, Recent
from kerbgate.inlets import Inlet, open_inlet
from kerbgate.intake import Intake
from kerbgate.outlets import check_url, open_outlet
from kerbgate.registry import Registry
from kerbgate.store import Reader, Store
from kerbgate.store.store import Delivery
from kerbwire.messages import Report

INSTANCE_SIZE = 8  # bytes; see kerbgate.keys
REGISTRY_REFRESH_S = 1.0  # a node that was just provisioned is heard within this time
STORE_CHECK_S = 1.0
_RESTART_S = (0.5, 30.0)  # pauses before a failed task is started again: first and last
_STEADY_S = 60.0  # a task that ran so long begins with the first pause again


@dataclass(slots=True)
class TaskState:
    """Failures of one task that nobody foresaw."""

    failures: int = 0
    last_error: str | None = None


class Gateway:
    """A gateway over one configuration. Everything is opened in `run`, and closed when it returns."""

    def __init__(self, config: Config, *, clock: Clock | None = None):
        self.config = config
        self.clock = clock if clock is not None else open_clock(config.clock.source)
        self.started = time.monotonic()
        self.tasks: dict[str, TaskState] = {}
        self.inlets: list[Inlet] = []
        self.pumps: list[Pump] = []

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set. GatewayError for anything that keeps it from starting; `ready` is called once."""
        config = self.config
        self.inlets = [open_inlet(settings.url) for settings in config.inlets]
        for settings in config.outlets:
            check_url(settings.url)
        prepare_state(config)
        # A registry that someone named must be there: an empty new one would make strangers of all nodes.
        registry = config.gateway.registry
        self.registry = Registry(registry, create=registry.parent == config.gateway.state)
        self.command_service = CommandService(config)
        loop = asyncio.get_running_loop()
        self.store = Store(
            config.gateway.state / "store.sqlite",
            outlets=[settings.name for settings in config.outlets],
            settings=config.store,
            post=lambda delivery: _post(loop, self._deliver, delivery),
            decode=decoding.read_again,
            answered=self.command_service.ledger.answered,
        )
        try:
            await self._serve(stop, ready)
        finally:
            stopped = await asyncio.to_thread(self.store.stop)
            self.registry.close()
        if not stopped:
            raise GatewayError("the store did not finish in time", "nothing acknowledged is lost; check the disk")

    async def _serve(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        config, store = self.config, self.store
        loop = asyncio.get_running_loop()
        self.intake = Intake(
            self.registry, store, self.clock, instance=os.urandom(INSTANCE_SIZE), on_commit=self._committed
        )
        self.intake.downlinks = self.command_service.attach(store, self.registry, self.clock, self.inlets)
        self._recent = Recent()
        self._reader = Reader(store.path)
        try:
            self.pumps = [
                Pump(
                    open_outlet(settings, f"kerb-{config.gateway.site}-{settings.name}-{store.store_id}"),
                    store,
                    self._reader,
                    self._recent,
                    prefix=settings.prefix,
                    window=settings.window,
                )
                for settings in config.outlets
            ]
            store.start(on_deleted=lambda rows: _post(loop, self._deleted, rows))
            self.command_service.begin(self.intake)
            operations = {"status": self._status, **self.command_service.operations}
            async with control.Server(config.gateway.state, operations):
                await self._work(stop, ready)
        finally:
            self._reader.close()

    async def _work(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [self._start(group, pump.name, pump.run, "outlet") for pump in self.pumps]
            for inlet in self.inlets:
                tasks.append(self._start(group, inlet.name, lambda inlet=inlet: inlet.run(self.intake), "inlet"))
            for name, work in self.command_service.tasks.items():
                tasks.append(self._start(group, name, work, "commands"))
            tasks.append(self._start(group, "registry", self._refresh, "watch"))
            tasks.append(group.create_task(self._watch_store(stop), name="watch store"))
            ready()
            await stop.wait()
            for task in tasks:
                task.cancel()
        if not self.store.alive:
            raise StoreError("the store's writer has ended", "nothing acknowledged is lost: start the gateway again")

    async def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"status": await asyncio.to_thread(status.collect, self)}

    def _start(
        self, group: asyncio.TaskGroup, name: str, work: Callable[[], Awaitable[None]], kind: str
    ) -> "asyncio.Task[None]":
        full = f"{kind} {name}"
        return group.create_task(self._supervise(full, work), name=full)

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
        for pump in self.pumps:
            pump.wake()

    def _deleted(self, rows: list[tuple[str, int]]) -> None:
        for pump in self.pumps:
            pump.deleted([report_id for name, report_id in rows if name == pump.name])

    def _committed(self, report_id: int, report: Report) -> None:
        if self.pumps:
            self._recent.put(report_id, report)

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

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        gateway = Gateway(config)
        unforeseen = gateway.tasks["loop"] = TaskState()

        def count(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            unforeseen.failures += 1
            unforeseen.last_error = str(context.get("exception") or context.get("message"))

        loop.set_exception_handler(count)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await gateway.run(stop, ready)

    try:
        asyncio.run(main())
    except sqlite3.Error as error:
        raise GatewayError(f"SQLite failed: {error}", "check the disk, and run the gateway again") from error
