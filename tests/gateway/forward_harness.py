"""What the tests of store and forward share: a gateway in a thread, stores that an earlier one left, and councils that
do on demand what a real broker does not.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from gateway_harness import DEADLINE_S, SITE, START, Broker, Rig

from kerbgate.app import Gateway
from kerbgate.config import (
    ClockSettings,
    Config,
    GatewaySettings,
    OutletSettings,
    ServiceSettings,
    StoreSettings,
)
from kerbgate.errors import OutletError
from kerbgate.forward import Pump
from kerbgate.outlets.base import Done, Link, Outlet
from kerbgate.recent import Recent
from kerbgate.store import Reader, Store


class Running:
    """A gateway without inlets in a thread of its own; frames go straight into its intake."""

    def __init__(self, folder: Path, port: int, *, outlets: tuple[OutletSettings, ...] | None = None, **outlet: Any):
        config = Config(
            path=folder / "gateway.toml",
            gateway=GatewaySettings(SITE, folder / "state", folder / "state" / "registry.sqlite"),
            store=StoreSettings(),
            clock=ClockSettings("trusted"),
            inlets=(),
            outlets=outlets
            if outlets is not None
            else (OutletSettings("council", f"mqtt://127.0.0.1:{port}", **{"timeout_s": 1, "alarms": False} | outlet),),
            service=ServiceSettings(port=0),
        )
        self.gateway = Gateway(config)
        self.task: Any = None
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()
        assert self._ready.wait(DEADLINE_S)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.gateway.run(self._stop, self._ready.set)

    @property
    def pump(self) -> Any:
        return self.gateway.pumps[0].state

    def pump_of(self, name: str) -> Any:
        return next(pump.state for pump in self.gateway.pumps if pump.name == name)

    def call(self, work: Any) -> Any:
        """The result of a coroutine in the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()


def fill(folder: Path, *, reports: int, nodes: int = 3) -> set[str]:
    """Reports in a store, as an earlier gateway left them; returns the ids of their records."""
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    rig = Rig(state)
    ids: set[str] = set()
    for address in range(1, nodes + 1):
        node = rig.node(address, batch=4)
        rig.confirm(node)
        for number in range(reports):
            node.take(4, START + 4 * 3600 * number)
            rig.exchange(node)
        ids |= {f"{SITE}/{address}/{node.life.hex()}/{index}" for index in node.taken}
    rig.close()
    rig.registry.close()
    return ids


def waiting(running: Running) -> int:
    with contextlib.closing(Reader(running.gateway.store.path)) as reader:
        return sum(reader.summary()["outbox"].values())


def make_pump(
    outlet: Outlet, store: Store, reader: Reader, sources: Any = (), *, utc: float = START, **settings: Any
) -> Pump:
    """A pump of an outlet in memory. utc: what its clock says."""
    made = OutletSettings(outlet.name, "mqtt://nowhere", **{"prefix": "k", "window": 4} | settings)
    return Pump(outlet, made, store, reader, Recent(), site=SITE, sources=sources, utc=lambda: utc)


async def until_async(condition: Any, what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110  # the condition is a counter
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"still not: {what}") from None


class Sending:
    """`send` of a link in memory, by its `publish`. What is under way ends with its session."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    async def publish(self, topic: str, payload: bytes) -> None: ...

    def send(self, topic: str, payload: bytes, done: Done) -> None:
        async def publish() -> None:
            try:
                await self.publish(topic, payload)
            except OutletError as error:
                done(error)
            else:
                done(None)

        task = asyncio.create_task(publish())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def drop(self) -> None:
        for task in self._under_way:
            task.cancel()


class Memory(Sending):
    """A council in memory that refuses what it is told to refuse: for what a real broker does not do on demand."""

    name = "council"
    warning = None
    most_bytes = 0

    def __init__(self, refuse_after: list[int]):
        super().__init__()
        self.got: list[str] = []
        self.sessions = 0
        self._refuse_after = refuse_after

    def connect(self) -> AbstractAsyncContextManager[Link]:
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Link]:
        self.sessions += 1
        try:
            yield self
        finally:
            self.drop()
        raise AssertionError("a session only ends with an error")

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def publish(self, topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        if self._refuse_after and len(self.got) >= self._refuse_after[0]:
            self._refuse_after.pop(0)
            raise OutletError("refused", "try again")
        self.got.append(topic)


@contextlib.contextmanager
def a_broker(folder: Path, *lines: str) -> Iterator[Broker]:
    folder.mkdir()
    made = Broker(folder, *lines)
    made.start()
    try:
        yield made
    finally:
        made.stop()


class OldBroker:
    """In front of a real broker: refuses MQTT 5 as MQTT 3.1.1, section 3.1.2.2, demands it, and passes the rest on."""

    def __init__(self, behind: int):
        self.versions: list[int] = []
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "OldBroker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                connect = client.recv(4096)
                self.versions.append(connect[connect.index(b"MQTT") + 4])
                if self.versions[-1] == 5:
                    client.sendall(b"\x20\x02\x00\x01")
                    client.close()
                    continue
                broker = socket.create_connection(("127.0.0.1", self._behind))
                broker.sendall(connect)
                for one, other in ((client, broker), (broker, client)):
                    threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


class Ending(Sending):
    """A council whose connection ends on demand, and takes a moment to close, as a real one does."""

    name = "council"
    warning = None
    most_bytes = 0

    def __init__(self) -> None:
        super().__init__()
        self.end = asyncio.Event()

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncGenerator[Link]:
        self.end.clear()
        try:
            yield self
        finally:
            await asyncio.sleep(0.01)

    async def ended(self) -> None:
        await self.end.wait()
        raise OutletError("the connection ended", "-")
