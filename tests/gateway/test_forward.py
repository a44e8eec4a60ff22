"""Store and forward against a real broker: outages, silence, refusals; a row goes only on its own acknowledgement."""

import asyncio
import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import DEADLINE_S, SITE, START, Broker, Council, Rig, until

from kerbgate import shape, status
from kerbgate.app import Gateway
from kerbgate.brokers import read_credentials
from kerbgate.config import (
    ClockSettings,
    Config,
    GatewaySettings,
    OutletSettings,
    StoreSettings,
)
from kerbgate.errors import BrokerError, OutletError
from kerbgate.forward import Pump, Recent
from kerbgate.outlets import check_url
from kerbgate.outlets.base import Link
from kerbgate.outlets.mqtt import MqttOutlet, _MqttLink
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
    warning = None

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
    with pytest.raises(BrokerError) as caught:
        check_url(url)
    assert "mqtt://host:1883" in caught.value.hint and "word" not in caught.value.cause


def test_credentials_come_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("kerb:se:cret\n")
    path.chmod(0o644)
    with pytest.raises(BrokerError, match="read by others"):
        read_credentials(path)
    path.chmod(0o600)
    assert read_credentials(path) == ("kerb", "se:cret")
    for bad in ("", "user", ":x", "a:b\nc:d"):
        path.write_text(bad)
        with pytest.raises(BrokerError) as caught:
            read_credentials(path)
        assert caught.value.cause.endswith("is not one line user:password")
    with pytest.raises(BrokerError):
        MqttOutlet(OutletSettings("c", "mqtt://h", credentials=tmp_path / "none"), "id")


def test_a_gateway_without_outlets_stores_all_the_same(tmp_path: Path) -> None:
    rig = Rig(tmp_path, outlets=())
    node = rig.node(1)
    rig.confirm(node)
    node.take(2, START)
    rig.exchange(node)
    assert node.waiting == 0 and rig.query("SELECT outlet, count(*) FROM outbox") == [("-", 1)]
    rig.close()


def test_the_first_outlet_gets_what_was_committed_before_it(tmp_path: Path, broker: Broker, council: Council) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    rig = Rig(tmp_path / "state", outlets=())
    node = rig.node(1)
    rig.confirm(node)
    node.take(2, START)
    rig.exchange(node)
    rig.close()
    rig.registry.close()
    running = Running(tmp_path, broker.port)
    try:
        until(lambda: len(council.records) == 2, "the council has them")
    finally:
        running.close()


@contextlib.contextmanager
def a_broker(folder: Path, *lines: str) -> Iterator[Broker]:
    folder.mkdir()
    made = Broker(folder, *lines)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _says(running: Running, *words: str) -> bool:
    error = running.pump.last_error or ""
    return all(word in error for word in words)


def test_a_document_that_an_access_list_denies_is_kept(tmp_path: Path) -> None:
    """A broker acknowledges it all the same, and drops it: only the reason code of MQTT 5 tells."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    # With no bound on what is under way, mosquitto 2.0.11 ends the connection after a denied document.
    with a_broker(tmp_path / "broker", f"acl_file {rules}", "max_inflight_messages 20") as broker:
        fill(tmp_path, reports=2)
        running = Running(tmp_path, broker.port)
        try:
            # Mosquitto may also end the connection, and say less; so it may take more than one.
            words = "refused a document: Not authorized (0x87)"
            advice = f"write to kerbstone/1/{SITE}/1/readings"
            until(lambda: _says(running, words, advice), "the refusal is noticed")
            assert waiting(running) == 6 and running.pump.delivered == 0 and running.pump.set_aside == 0
        finally:
            running.close()


def test_that_nobody_has_subscribed_is_a_warning(tmp_path: Path, broker: Broker) -> None:
    fill(tmp_path, reports=1)
    running = Running(tmp_path, broker.port)
    try:
        until(lambda: waiting(running) == 0, "delivered")
        assert "nobody has subscribed" in running.pump.warning
        assert "WARNING: nobody has subscribed" in status.plain(status.collect(running.gateway), START)
    finally:
        running.close()


def test_no_more_is_under_way_than_the_broker_takes_at_once(tmp_path: Path) -> None:
    async def main(port: int) -> None:
        outlet = MqttOutlet(OutletSettings("council", f"mqtt://127.0.0.1:{port}", window=500), "id")
        async with outlet.connect() as link:
            assert isinstance(link, _MqttLink) and link._window == 2
            await asyncio.gather(*[link.publish("kerbstone/1/a", b"{}") for _ in range(50)])

    with a_broker(tmp_path / "broker", "max_inflight_messages 2") as broker:
        asyncio.run(main(broker.port))


def test_a_broker_of_mqtt_3_gets_mqtt_3_and_status_says_what_that_means(tmp_path: Path) -> None:
    with a_broker(tmp_path / "broker") as broker, OldBroker(broker.port) as old:
        ids = fill(tmp_path, reports=2)
        council = Council(broker.port)
        assert council.subscribed.wait(DEADLINE_S)
        running = Running(tmp_path, old.port)
        try:
            until(lambda: council.records.keys() == ids, "everything is at the council")
            assert old.versions == [5, 4] and running.pump.failed == 0
            assert "does not speak MQTT 5" in running.pump.warning
        finally:
            running.close()
            council.close()


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


class Ending:
    """A council whose connection ends on demand, and takes a moment to close, as a real one does."""

    name = "council"
    warning = None

    def __init__(self) -> None:
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

    async def publish(self, topic: str, payload: bytes) -> None: ...


@pytest.mark.parametrize("turns", range(8))
def test_a_stop_in_the_moment_in_which_a_connection_ends_is_a_stop(rig: Rig, turns: int) -> None:
    async def main() -> None:
        outlet, reader = Ending(), Reader(rig.store.path)
        pump = Pump(outlet, rig.store, reader, Recent(), prefix="k", window=4)
        task = asyncio.create_task(pump.run())
        async with asyncio.timeout(DEADLINE_S):
            while not pump.state.connected:  # noqa: ASYNC110  # the condition is a flag
                await asyncio.sleep(0.001)
        outlet.end.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.01)
        reader.close()
        assert done, "the stop was lost"

    asyncio.run(main())


def test_a_document_that_the_broker_does_not_take_is_set_aside_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.05)
    with a_broker(tmp_path / "broker", "max_packet_size 2000") as broker:
        council = Council(broker.port)
        assert council.subscribed.wait(DEADLINE_S)
        state = tmp_path / "state"
        state.mkdir(mode=0o700)
        rig = Rig(state)
        large, small = rig.node(1, batch=24), rig.node(2, batch=2)
        rig.confirm(large)
        rig.confirm(small)
        for node, count in ((large, 24), (small, 2), (large, 24), *[(small, 2)] * 6):
            node.take(count, START)
            rig.exchange(node)
        rig.close()
        rig.registry.close()
        running = Running(tmp_path, broker.port)
        try:
            until(lambda: running.pump.set_aside == 2 and len(council.records) == 14, "the small ones go", 60)
            assert {record.split("/")[1] for record in council.records} == {"2"}
            until(lambda: waiting(running) == 2, "what was set aside stays in the outbox")
            found = status.collect(running.gateway)
            assert [(r["node"], r["first"], r["count"]) for r in found["outlets"][0]["set_aside_reports"]] == [
                (1, 0, 24),
                (1, 24, 24),
            ]
            text = status.plain(found, START)
            assert "set aside until the next start: 2 reports" in text
            assert "set aside: node 1, 24 records from index 0: the broker does not take it" in text
        finally:
            running.close()
            council.close()


def test_a_report_of_which_no_document_can_be_made_is_set_aside_once(
    tmp_path: Path, broker: Broker, council: Council, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, reports=2)
    real = shape.payload
    monkeypatch.setattr(shape, "payload", lambda row, report: real(row, report) if row.report_id != 2 else 1 // 0)
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "store.sqlite")) as db:
        db.execute("UPDATE report SET message=x'ffff' WHERE report_id=3")
        db.commit()
    running = Running(tmp_path, broker.port)
    try:
        until(lambda: running.pump.delivered == 4, "the others go")
        broker.stop()
        until(lambda: not running.pump.connected, "the loss is noticed")
        broker.start()
        until(lambda: running.pump.connected, "it is connected again")
        assert {key: item.cause for key, item in running.pump.aside.items()} == {
            2: "no document can be made of it: ZeroDivisionError: integer division or modulo by zero",
            3: "this version cannot read it",
        }
        assert running.pump.set_aside == 2 and running.gateway.tasks["outlet council"].failures == 0
    finally:
        running.close()


def test_a_task_that_ran_for_long_starts_again_after_the_first_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerbgate.app._RESTART_S", (0.001, 30.0))
    monkeypatch.setattr("kerbgate.app._STEADY_S", 0.0)  # each run counts as long
    running = Running(tmp_path, 9)
    try:

        async def fails() -> None:
            raise ValueError("again")

        def start() -> None:
            running.task = running._loop.create_task(running.gateway._supervise("test", fails))

        running._loop.call_soon_threadsafe(start)
        until(lambda: "test" in running.gateway.tasks and running.gateway.tasks["test"].failures > 20, "20 starts", 5)
        running._loop.call_soon_threadsafe(running.task.cancel)
    finally:
        running.close()
