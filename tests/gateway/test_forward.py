"""Store and forward against a real broker: outages, silence; a row goes only on its own acknowledgement."""

import asyncio
import time
from pathlib import Path

import pytest
from forward_harness import Ending, Memory, Running, fill, make_pump, until_async, waiting
from gateway_harness import SITE, START, Broker, Council, Rig, until

from kerbgate.store import Reader


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
        pump = make_pump(outlet, rig.store, reader)
        task = asyncio.create_task(pump.run())
        await until_async(lambda: pump.state.delivered == 30, "all are delivered")
        task.cancel()
        reader.close()

    asyncio.run(main())
    rig.close()
    assert len(outlet.got) == 30 and outlet.sessions == 3
    assert rig.query("SELECT count(*) FROM outbox") == [(0,)]


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


@pytest.mark.parametrize("turns", range(8))
def test_a_stop_in_the_moment_in_which_a_connection_ends_is_a_stop(rig: Rig, turns: int) -> None:
    async def main() -> None:
        outlet, reader = Ending(), Reader(rig.store.path)
        pump = make_pump(outlet, rig.store, reader)
        task = asyncio.create_task(pump.run())
        await until_async(lambda: pump.state.connected, "connected")
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
