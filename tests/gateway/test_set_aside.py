"""Documents that a broker does not take: set aside, with its words where it gives some, and the others go."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from forward_harness import Running, a_broker, fill, waiting
from gateway_harness import DEADLINE_S, START, Broker, Council, Rig, until

from kerbgate import shape, status


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
            assert "set aside until the next start or reload: 2 documents" in text
            assert "set aside: node 1, 24 records from index 0: the broker 127.0.0.1" in text
            assert "refused a document: Packet too large (0x95): it takes 2000 bytes" in text
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
            (1, 2): "no document can be made of it: ZeroDivisionError: integer division or modulo by zero",
            (1, 3): "this version cannot read it",
        }
        assert running.pump.set_aside == 2 and running.gateway.tasks["outlet council"].failures == 0
    finally:
        running.close()
