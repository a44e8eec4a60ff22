"""The field's questions to a running gateway, as rows of its control socket's table, and what it remembers for them.

{"v": 1, "op": "nodes", "role": "bin", "sort": "age", "limit": 20}   ->  nodes, total, states
{"v": 1, "op": "story", "node": 17}                                  ->  story
{"v": 1, "op": "tail", "after": 4711}                                ->  rows, after
{"v": 1, "op": "queue"}                                              ->  queues
{"v": 1, "op": "facts"}                                              ->  facts: of the process, its links and outlets
{"v": 1, "op": "condition"}                                          ->  condition: of the nodes
{"v": 1, "op": "ping", "node": 17, "wait_s": 10}                     ->  ping
{"v": 1, "op": "capture", "after": 90}                               ->  capture: frames since then, sealed
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import kerbwire
from kerbgate import config as configuration
from kerbgate import pumps
from kerbgate.alarms.service import Steady
from kerbgate.control import Operation
from kerbgate.errors import GatewayError
from kerbgate.field import condition, nodes, ping, queues, records, story
from kerbgate.field.capture import Recorder
from kerbgate.field.sight import Sight
from kerbgate.field.watcher import SAMPLE_S, Watcher

if TYPE_CHECKING:
    from kerbgate.app import Gateway

MAX_ASIDE = 50  # documents set aside that are named


class FieldService:
    """Of one gateway: `attach` when its intake is there, `tasks` among its own."""

    def __init__(self, gateway: "Gateway"):
        self._gateway = gateway
        self.watcher = Watcher(Steady(gateway.clock))
        self.recorder = Recorder(gateway)

    def attach(self) -> None:
        """The intake is made, and takes nothing yet."""
        intake = self._gateway.intake
        self.watcher.begin(self._gateway.inlets)
        intake.on_refused, intake.on_hello = self.watcher.refused, self.watcher.hello
        intake.on_signal = self.watcher.heard

    @property
    def tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs until it is cancelled, by name."""
        return {"watcher": self._sample}

    @property
    def operations(self) -> Mapping[str, Operation]:
        """For the control socket."""
        return {
            "nodes": self._nodes, "story": self._story, "tail": self._tail, "queue": self._queue,
            "facts": self._facts, "condition": self._condition, "ping": self._ping, "capture": self._capture,
        }  # fmt: skip

    async def _sample(self) -> None:
        while True:
            self.watcher.sample(self._gateway.inlets)
            pace = max(self._gateway.clock.pace(), 0.01)
            await asyncio.sleep(min(max(SAMPLE_S / pace, 0.1), SAMPLE_S))

    async def _look(self, work: Callable[[Sight], Any]) -> Any:
        """Ask the store in a thread, on a connection of its own."""
        gateway = self._gateway
        places = gateway.alarm_service.book.places.nodes

        def look() -> Any:
            streets = {node: place.street for node, place in places.items() if place.street}
            with contextlib.closing(Sight(gateway.store.path, gateway.registry.path, streets)) as sight:
                return work(sight)

        return await asyncio.to_thread(look)

    async def _nodes(self, request: dict[str, Any]) -> dict[str, Any]:
        wanted, now_s = nodes.Wanted.of(request), self._gateway.clock.utc()
        return await self._look(lambda sight: nodes.nodes(sight, now_s, wanted))

    async def _story(self, request: dict[str, Any]) -> dict[str, Any]:
        node, now_s = ping.address(request), self._gateway.clock.utc()
        timezone = self._gateway.config.aggregate.timezone
        found = await self._look(lambda sight: story.story(sight, node, now_s, timezone))
        found["refused"], found["booted"] = self.watcher.refusals(node), self.watcher.boots(node)
        found["signal"] = self.watcher.signal(node)
        return {"story": found | {"now_s": now_s}}

    async def _tail(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._look(lambda sight: records.tail(sight, request))

    async def _queue(self, request: dict[str, Any]) -> dict[str, Any]:
        now_s = self._gateway.clock.utc()
        found = await self._look(lambda sight: queues.queues(sight, now_s))
        return {"queues": found, "outlets": self._outlets(), "now_s": now_s}

    async def _condition(self, request: dict[str, Any]) -> dict[str, Any]:
        now_s = self._gateway.clock.utc()
        refused = self.watcher.refusals()[: condition.MAX_ALARMS]

        def look(sight: Sight) -> dict[str, Any]:
            return condition.condition(sight, now_s) | {"refused": condition.known(sight, refused, now_s)}

        found = await self._look(look)
        found["boots"] = self.watcher.boots(least=condition.MIN_BOOTS)[: condition.MAX_NAMED]
        return {"condition": found, "now_s": now_s}

    async def _ping(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"ping": await ping.ping(self._gateway, request, self._look)}

    async def _capture(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"capture": self.recorder.since(request.get("after"))}

    async def _facts(self, request: dict[str, Any]) -> dict[str, Any]:
        gateway = self._gateway
        service, store, health = gateway.service, gateway.store, gateway.store.health
        pace = self.watcher.links(gateway.inlets)
        return {
            "facts": {
                "version": kerbwire.__version__,
                "pid": os.getpid(),
                "uptime_s": round(time.monotonic() - gateway.started, 1),
                "shadow": gateway.config.gateway.shadow,
                "config": str(gateway.config.path.absolute()),
                "restart": await asyncio.to_thread(self._restart),
                "now_s": gateway.clock.utc(),
                "synchronised": gateway.clock.synchronised(),
                "clock_steps": service.steps.count,
                "clock_step_s": service.steps.last_s if service.stepped else None,
                "problems": [asdict(problem) for problem in service.problems],
                "inlets": [
                    {
                        "name": inlet.name, "connected": inlet.counters.connected, "opened": inlet.counters.opened,
                        "frames": inlet.counters.frames, "noise": inlet.counters.noise,
                        "last_error": inlet.counters.last_error, "unsent": inlet.counters.unsent,
                        "recent": pace[inlet.name],
                    }
                    for inlet in gateway.inlets
                ],
                "outlets": self._outlets(),
                "store": {
                    "queued": store.queued, "failing": health.failing, "unstorable": health.unstorable,
                    "last_commit_ms": round(health.last_commit_ms, 1), "room": asdict(store.chores.room),
                    "failed_commits": health.failed_commits,
                },
                "registry": {"nodes": len(gateway.registry)},
                "tasks": {
                    name: {"failures": state.failures, "last_error": state.last_error}
                    for name, state in gateway.tasks.copy().items()
                    if state.failures
                },
            }
        }  # fmt: skip

    def _outlets(self) -> list[dict[str, Any]]:
        now = time.time()
        return [
            {
                "name": pump.name, "url": pump.settings.url, "connected": pump.state.connected,
                "connections": pump.state.connections, "delivered": pump.state.delivered + pump.state.letters,
                "last_error": pump.state.last_error, "denied": pump.state.denied, "warning": pump.state.warning,
                "set_aside": pump.state.set_aside,
                "set_aside_causes": sorted({item.cause for item in list(pump.state.aside.values())[:MAX_ASIDE]}),
                "last_puback_s_ago": None
                if pump.state.last_puback is None
                else max(round(now - pump.state.last_puback, 1), 0),
            }
            for pump in self._gateway.pumps
        ]  # fmt: skip

    def _restart(self) -> list[str]:
        """Settings of the file that are not in force, or why it cannot be read. For a thread."""
        try:
            return pumps.restarts(self._gateway.config, configuration.load(self._gateway.config.path))
        except GatewayError as error:
            return [error.cause]
