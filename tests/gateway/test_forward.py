"""Store and forward against a real broker: outages, silence, refusals; a row goes only on its own acknowledgement."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import DEADLINE_S, SITE, START, Broker, Council, Rig, until

from kerbgate.app import Gateway
from kerbgate.config import (
    ClockSettings,
    Config,
    GatewaySettings,
    OutletSettings,
    StoreSettings,
)
from kerbgate.errors import OutletError
from kerbgate.forward import Pump, Recent
from kerbgate.outlets import check_url
from kerbgate.outlets.base import Link
from kerbgate.outlets.mqtt import MqttOutlet, read_credentials
from kerbgate.store import Reader


class Running:
    """A gateway without inlets in a thread of its own; frames go straight into its intake."""

    def __init__(self, folder: Path, port: int, **outlet: Any):
        config = Config(
            path=folder / "gateway.toml",
            gateway=GatewaySettings(SITE, folder / "state", folder / "state" / "registry.sqlite"),
            store=StoreSettings(),
            clock=ClockSettings("trusted"),
            inlets=(),
            outlets=(OutletSettings("council", f"mqtt://127.0.0.1:{port}", timeout_s=1, **outlet),),
        )
        self.gateway = Gateway(config)
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


def test_a_backlog_is_drained_in_order_and_each_row_goes_once(tmp_path: Path, broker: Broker, council: Council) -> None:
    ids = fill(tmp_path, reports=40)
    running = Running(tmp_path, broker.port)
    try:
        until(lambda: council.records.keys() == ids, "the backlog is at the council")
        until(lambda: waiting(running) == 0, "the outbox is empty")
    finally:
        running.close()
    assert council.copies == 0
    assert set(council.topics) == {f"kerbstone/1/{SITE}/{node}/readings" for node in (1, 2, 3)}
    for node in (1, 2, 3):
        order = [r["index"] for d in council.documents if d["node"] == node for r in d["records"]]
        assert order == sorted(order)


def test_an_outage_of_the_broker_loses_nothing(tmp_path: Path, broker: Broker, council: Council) -> None:
    broker.stop()
    ids = fill(tmp_path, reports=5)
    running = Running(tmp_path, broker.port)
    try:
        until(lambda: running.pump.failed >= 2, "it tried twice")
        assert "no connection to the broker" in running.pump.last_error and waiting(running) == 15
        broker.start()
        until(lambda: council.records.keys() == ids, "everything is at the council")
        broker.stop()
        until(lambda: not running.pump.connected, "the loss is noticed")
        broker.start()
        until(lambda: running.pump.connected, "it is connected again")
        until(lambda: waiting(running) == 0, "the outbox is empty")
    finally:
        running.close()
    assert council.changed == []


def test_a_frozen_broker_is_noticed_and_loses_nothing(tmp_path: Path, broker: Broker, council: Council) -> None:
    """Its sockets stay open and nothing answers: the case that nobody tests."""
    ids = fill(tmp_path, reports=100)
    broker.freeze()
    running = Running(tmp_path, broker.port, window=8)
    try:
        until(lambda: running.pump.failed, "the silence at connecting is noticed")
        broker.thaw()
        until(lambda: running.pump.delivered > 20, "documents flow")
        broker.freeze()
        failed = running.pump.failed
        if running.pump.delivered < 300:
            until(lambda: running.pump.failed > failed, "the silence in mid-flow is noticed")
        broker.thaw()
        until(lambda: council.records.keys() == ids, "everything is at the council")
        until(lambda: waiting(running) == 0, "the outbox is empty")
    finally:
        running.close()
    assert council.changed == []


def test_a_stop_is_quick_while_the_broker_is_frozen(tmp_path: Path, broker: Broker) -> None:
    fill(tmp_path, reports=3)
    running = Running(tmp_path, broker.port)
    until(lambda: running.pump.connected, "connected")
    broker.freeze()
    started = time.monotonic()
    running.close()
    assert time.monotonic() - started < 5


class Memory:
    """A council in memory that refuses what it is told to refuse: for what a real broker does not do on demand."""

    name = "council"

    def __init__(self, refuse_after: list[int]):
        self.got: list[str] = []
        self.sessions = 0
        self._refuse_after = refuse_after

    def connect(self) -> AbstractAsyncContextManager[Link]:
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Link]:
        self.sessions += 1
        yield self
        raise AssertionError("a session only ends with an error")

    async def ended(self) -> None:
        await asyncio.Event().wait()

    async def publish(self, topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        if self._refuse_after and len(self.got) >= self._refuse_after[0]:
            self._refuse_after.pop(0)
            raise OutletError("refused", "try again")
        self.got.append(topic)


def test_a_row_whose_acknowledgement_is_in_hand_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between an acknowledgement and the commit of its deletion the connection is lost: still one copy."""
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.001)
    monkeypatch.setattr("kerbgate.store.store.FORWARDED_DELAY_S", 30.0)
    rig = Rig(tmp_path)
    node = rig.node(1, batch=1)
    rig.confirm(node)
    for number in range(30):
        node.take(1, START + number)
        rig.exchange(node)
    outlet = Memory([10, 20])

    async def main() -> None:
        reader = Reader(rig.store.path)
        pump = Pump(outlet, rig.store, reader, Recent(), prefix="k", window=4)
        task = asyncio.create_task(pump.run())
        async with asyncio.timeout(DEADLINE_S):
            while pump.state.delivered < 30:  # noqa: ASYNC110  # the condition is a counter
                await asyncio.sleep(0.005)
        task.cancel()
        reader.close()

    asyncio.run(main())
    rig.close()
    assert len(outlet.got) == 30 and outlet.sessions == 3
    assert rig.query("SELECT count(*) FROM outbox") == [(0,)]


@pytest.mark.parametrize(
    "url",
    ["mqtt:host", "http://host", "mqtt://user:word@host", "mqtt://host/topic", "mqtt://host:99999", "mqtt://", ""],
)
def test_a_url_that_is_not_understood_is_an_error(url: str) -> None:
    with pytest.raises(OutletError) as caught:
        check_url(url)
    assert "mqtt://host:1883" in caught.value.hint and "word" not in caught.value.cause


def test_credentials_come_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("kerb:se:cret\n")
    path.chmod(0o644)
    with pytest.raises(OutletError, match="read by others"):
        read_credentials(path)
    path.chmod(0o600)
    assert read_credentials(path) == ("kerb", "se:cret")
    for bad in ("", "user", ":x", "a:b\nc:d"):
        path.write_text(bad)
        with pytest.raises(OutletError) as caught:
            read_credentials(path)
        assert caught.value.cause.endswith("is not one line user:password")
    with pytest.raises(OutletError):
        MqttOutlet(OutletSettings("c", "mqtt://h", credentials=tmp_path / "none"), "id")


def test_a_gateway_without_outlets_stores_all_the_same(tmp_path: Path) -> None:
    rig = Rig(tmp_path, outlets=())
    node = rig.node(1)
    rig.confirm(node)
    node.take(2, START)
    rig.exchange(node)
    assert node.waiting == 0 and rig.query("SELECT count(*) FROM outbox") == [(0,)]
    rig.close()
