"""Events and logs of nodes: committed as records are, once; kept for ever; the council's document of an event."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gateway_harness import ROOT, START, Council, GatewayProcess, Rig, Street, closing_all, until

from kerbgate import decoding, event_document
from kerbgate.store import Reader, StoredReport, logs
from kerbgate.store.quota import RawReports
from kerbtools.simulate import SimulatedNode
from kerbwire import messages
from kerbwire.channels import FAULT, FAULTS, FILL, POWER, TEMPERATURE
from kerbwire.controls import MAX_LOG, Log, Result
from kerbwire.events import CRITICAL, EMERGENCY, FIRE, FULL, GEAR_FAULT, LAMP_FAILURE, RAISED, WARNING, Event
from kerbwire.messages import Hello, Record, Report

LIFE = bytes.fromhex("8f3a52c1d07be694")
VALIDATOR = jsonschema.Draft202012Validator(event_document.schema())


def row(event: Event, *, node: int = 17, role: str = "bin") -> StoredReport:
    received_ms = START * 1000 + 88_000_250
    return StoredReport(
        1, node, "harbour", role, LIFE, received_ms, 1, event.index, 1, None, messages.encode(event), event.time
    )


def examples() -> dict[str, dict[str, Any]]:
    fire = Event(414, START + 87_990, FIRE, EMERGENCY, RAISED, {TEMPERATURE: 142, FILL: 63})
    unset = Event(3, 30, LAMP_FAILURE, CRITICAL, RAISED, {POWER: FAULT}, boot=4, uptime_now=39)
    return {
        "An event": event_document.document(row(fire), fire),
        "An event of a node whose clock was unset": event_document.document(row(unset, node=802, role="lamp"), unset),
    }


@pytest.mark.parametrize("name", list(examples()))
def test_the_examples_of_council_md_are_what_the_gateway_writes(name: str) -> None:
    text = (ROOT / "gateway" / "COUNCIL.md").read_text()
    block = re.search(rf"^### {name}$.*?```json\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    assert block is not None, f"COUNCIL.md has no example {name!r}"
    document = json.loads(block[1])
    VALIDATOR.validate(document)
    assert document == examples()[name]


def test_each_code_and_fault_has_a_name_and_one_that_is_unknown_its_number() -> None:
    event = Event(1, START, GEAR_FAULT, WARNING, RAISED, {FAULTS: 0b1000000000011})
    document = event_document.document(row(event), event)
    assert document["event"] == "control gear failure"
    assert document["values"] == {"faults": ["lamp failure", "control gear failure", "bit 12"]}
    unknown = Event(1, START, 61, WARNING, RAISED)
    assert event_document.document(row(unknown), unknown)["event"] == "event 61"
    VALIDATOR.validate(event_document.document(row(unknown), unknown))


def test_an_event_goes_before_the_records_and_both_are_committed_once(rig: Rig) -> None:
    node = rig.node(17, batch=4)
    rig.confirm(node)
    node.take(4, START)
    index = node.tell(FIRE, EMERGENCY, RAISED, START + 4 * 3600, {TEMPERATURE: 142})
    node.take(4, START + 5 * 3600)
    frames = [node.next_frame()]
    for answer in rig.send(frames[0]):
        node.feed(answer)
    assert rig.query("SELECT first, count, keep, state FROM report") == [(index, 1, 1, "decoded")]
    assert rig.query("SELECT first, last FROM committed") == [(index, index)]
    assert rig.query("SELECT newest_index FROM life") == [(None,)]  # no record yet, so nothing to resolve from
    while node.waiting:
        rig.exchange(node)
    assert rig.query("SELECT first, last FROM committed") == [(0, 8)]
    assert rig.query("SELECT first, count, fresh FROM report ORDER BY first") == [
        (0, 4, None), (4, 1, None), (5, 4, None),
    ]  # fmt: skip
    assert len(rig.committed) == 3 and rig.intake.undecoded == 0
    assert rig.query("SELECT count(*) FROM outbox") == [(3,)]
    before = rig.dump()
    assert rig.send(frames[0]), "the ack of a frame that comes again"
    assert rig.dump() == before and rig.refused() == {"duplicate": 1}


def test_an_event_whose_ack_was_lost_is_stored_once_and_acknowledged_again(rig: Rig) -> None:
    node = rig.node(17)
    rig.confirm(node)
    index = node.tell(FULL, WARNING, RAISED, START, {FILL: 97})
    rig.send(node.next_frame())  # the ack is lost
    rig.restart()
    rig.exchange(node)
    assert index in node.committed and not node._events
    assert rig.query("SELECT count(*), sum(keep) FROM report") == [(1, 1)]
    assert rig.query("SELECT count(*) FROM outbox") == [(1,)]


def test_a_short_report_is_resolved_from_records_and_not_from_an_event(rig: Rig) -> None:
    node = rig.node(17, batch=1)
    rig.confirm(node)
    node.take(1, START)
    rig.exchange(node)
    for day in range(1, 40):  # no ack of a record for 39 days: the node's own base stays where it is
        node.tell(FULL, WARNING, RAISED, START + day * 86_400)
        rig.exchange(node)
    node.take(1, START + 10 * 86_400)
    frame = node.next_frame()
    for answer in rig.send(frame):
        node.feed(answer)
    assert rig.query("SELECT first, time FROM report WHERE keep=0 ORDER BY first") == [
        (0, START), (40, START + 10 * 86_400),
    ]  # fmt: skip


def test_events_are_never_thinned(rig: Rig) -> None:
    node = rig.node(17, batch=1)
    rig.confirm(node)
    for hour in range(3):
        node.take(1, START + hour * 3600)
        rig.exchange(node)
    node.tell(FULL, WARNING, RAISED, START, {FILL: 97})
    rig.exchange(node)
    rig.close()
    rig.store._db = db = rig.store._connect()
    db.execute("DELETE FROM outbox")
    layer = RawReports()
    assert layer.thin(db).reports == 3
    assert [bytes(message)[1] for (message,) in db.execute("SELECT message FROM report")] == [messages.EVENT]
    db.close()
    rig.open()


def test_an_event_that_an_older_program_could_not_read_is_booked_after_the_upgrade(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = rig.node(17)
    rig.confirm(node)
    with monkeypatch.context() as older:  # the older program: it stored both whole
        older.setattr(decoding, "Uplink", Report | Hello | Result)
        node.tell(FIRE, EMERGENCY, RAISED, START, {TEMPERATURE: 142})
        rig.exchange(node)
        rig.send(node._seal(messages.encode(Log(3, 0, b"boot\n")), ()))
    assert rig.query("SELECT state, reason FROM report") == [("undecoded", "unknown kind")] * 2
    rig.restart()
    assert rig.query("SELECT state, first, count, keep FROM report") == [("decoded", 0, 1, 1)]
    assert rig.query("SELECT count(*) FROM outbox") == [(1,)]
    assert [(piece.boot, piece.text) for piece in _pieces(rig, 17)] == [(3, "boot\n")]


def _pieces(rig: Rig, node: int) -> list[logs.Piece]:
    reader = Reader(rig.store.path)
    try:
        return logs.of_node(reader._db, node)
    finally:
        reader.close()


def test_a_log_is_kept_for_people_bounded_and_harmless(rig: Rig) -> None:
    node = rig.node(17)
    rig.confirm(node)
    for line in range(logs.MAX_PIECES + 5):
        answers = rig.send(node._seal(messages.encode(Log(2, line, b"line %d \x1b[2J\xff\n" % line, None)), ()))
        assert answers, "a log is acknowledged"
    pieces = _pieces(rig, 17)
    assert len(pieces) == logs.MAX_PIECES and pieces[0].line == 5
    assert pieces[-1].text == f"line {logs.MAX_PIECES + 4} ?[2J?\n"
    assert rig.intake.undecoded == 0
    assert rig.query("SELECT count(*) FROM report") == [(0,)]
    rig.send(node._seal(messages.encode(Log(2, 68, b"x" * MAX_LOG)), ()))  # asked for again: the newer answer stands
    assert len(_pieces(rig, 17)) == logs.MAX_PIECES


def test_an_event_reaches_the_council_beside_the_readings(tmp_path: Path, broker: Any, council: Council) -> None:
    heard: list[dict[str, Any]] = []
    council._client.on_message = lambda client, userdata, message: heard.append(
        {"topic": message.topic} | json.loads(message.payload)
    )
    street: Street | None = None
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=broker.port)
    nodes: list[SimulatedNode] = gateway.register(range(17, 18))
    street = Street(nodes)
    config = gateway.config.read_text()
    gateway.config.write_text(config.replace("[[outlet]]", f'[[inlet]]\nurl = "serial:{street.path}"\n[[outlet]]'))
    with closing_all(gateway, street):
        gateway.start()
        nodes[0].take(3, START)
        index = nodes[0].tell(FIRE, EMERGENCY, RAISED, START, {TEMPERATURE: 142})
        assert street.run(lambda: not nodes[0].waiting and index in nodes[0].committed)
        found = until(lambda: [one for one in heard if one["topic"].endswith("/event")], "the event is published")
        until(lambda: [one for one in heard if one["topic"].endswith("/readings")], "and the readings")
    del found[0]["topic"]
    VALIDATOR.validate(found[0])
    assert found[0]["event"] == "fire" and found[0]["values"] == {"temperature_c": 71.0}


def test_an_event_and_a_report_of_one_index_are_one_thing(make_rig: Callable[..., Rig]) -> None:
    """A node that gives an index twice is wrong: what came first counts."""
    rig = make_rig()
    node = rig.node(17)
    rig.confirm(node)
    rig.send(node._seal(messages.encode(Event(5, START, FULL, WARNING, RAISED)), ()))
    rig.send(node._seal(messages.encode(Report([Record(n, START + n, {FILL: 1}) for n in range(4, 7)])), ()))
    assert rig.query("SELECT first, count, fresh FROM report") == [(5, 1, None), (4, 3, 0b101)]
    rig.registry.close()
