"""Batches and compression: what a receiver reads, by the reader in COUNCIL.md, through a real broker of either MQTT."""

import asyncio
import contextlib
import gzip
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.client as paho
import pytest
from forward_harness import Memory, OldBroker, Running, a_broker, fill, make_pump, until_async, waiting
from gateway_harness import (
    DEADLINE_S,
    ROOT,
    SITE,
    START,
    Broker,
    Council,
    GatewayProcess,
    Rig,
    Street,
    closing_all,
    taken_ids,
    until,
)

from kerbgate import parcels, shape
from kerbgate.errors import DocumentRefused
from kerbgate.store import Reader, StoredReport
from kerbtools.bench import workload
from kerbwire.channels import FILL, QUALITY, TEMPERATURE
from kerbwire.messages import Record, Report


def council_reader() -> Callable[[str, bytes], list[dict[str, Any]]]:
    """The example of COUNCIL.md, as it stands there."""
    text = (ROOT / "gateway" / "COUNCIL.md").read_text()
    found = re.search(r"```python\n(.*?def documents\(.*?)```", text, re.DOTALL)
    assert found is not None, "COUNCIL.md has no reader"
    names: dict[str, Any] = {}
    exec(found[1], names)  # the page's own words are under test
    return names["documents"]


class Reading(Council):
    """A council that reads as COUNCIL.md says."""

    def __init__(self, port: int):
        self.sizes: list[int] = []
        self.lengths: list[int] = []
        self._documents = council_reader()
        super().__init__(port)

    def _take(self, client: Any, userdata: Any, message: Any) -> None:
        self.sizes.append(len(message.payload))
        found = self._documents(message.topic, message.payload)
        self.lengths.append(len(found))
        for document in found:
            single = paho.MQTTMessage(topic=message.topic.encode())
            single.payload = json.dumps(document).encode()
            super()._take(client, userdata, single)


@contextlib.contextmanager
def reading(port: int) -> Any:
    made = Reading(port)
    assert made.subscribed.wait(DEADLINE_S)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("compress", ["none", "gzip"])
@pytest.mark.parametrize("old", [False, True], ids=["mqtt5", "mqtt3"])
def test_a_backlog_comes_in_batches_and_in_order(tmp_path: Path, compress: str, old: bool) -> None:
    with a_broker(tmp_path / "broker") as broker, reading(broker.port) as council, OldBroker(broker.port) as front:
        ids = fill(tmp_path, reports=40)
        running = Running(tmp_path, front.port if old else broker.port, batch=20, compress=compress)
        try:
            until(lambda: council.records.keys() == ids, "everything is at the council")
            until(lambda: waiting(running) == 0, "the outbox is empty")
            assert running.pump.delivered == 120 and running.pump.messages == len(council.lengths) <= 20
        finally:
            running.close()
    suffix = "/gzip" if compress == "gzip" else ""
    assert set(council.topics) == {f"kerbstone/1/{SITE}/batch{suffix}"}
    assert council.copies == 0 and max(council.lengths) <= 20 and max(council.sizes) <= 28 * 1024 + 200
    for node in (1, 2, 3):
        order = [r["index"] for d in council.documents if d["node"] == node for r in d["records"]]
        assert order == sorted(order)


def test_compression_alone_keeps_topics_and_documents(tmp_path: Path, broker: Broker) -> None:
    with reading(broker.port) as council:
        ids = fill(tmp_path, reports=2)
        running = Running(tmp_path, broker.port, compress="gzip")
        try:
            until(lambda: council.records.keys() == ids, "everything is at the council")
        finally:
            running.close()
        assert set(council.topics) == {f"kerbstone/1/{SITE}/{node}/readings/gzip" for node in (1, 2, 3)}


def test_the_batch_of_council_md_is_one_and_fits_its_schema() -> None:
    text = (ROOT / "gateway" / "COUNCIL.md").read_text()
    section = text.split("### A batch")[1]
    document = json.loads(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])  # type: ignore[index]
    schema = parcels.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)
    packed = parcels.Packer("kerbstone/1", True, "none").pack(
        [parcels.Item((1, n), "harbour", "", json.dumps(d).encode()) for n, d in enumerate(document["documents"])]
    )
    assert json.loads(packed.payload) == document and packed.topic == "kerbstone/1/harbour/batch"
    jsonschema.Draft202012Validator(schema).validate(json.loads(packed.payload))


def test_the_same_documents_are_the_same_bytes_whenever_they_are_compressed() -> None:
    item = parcels.Item((1, 1), "harbour", "t", b'{"a":1}')
    made = parcels.Packer("k", False, "gzip")
    before = made.pack((item,))
    assert gzip.decompress(before.payload) == b'{"a":1}' and before.topic == "t/gzip"
    time_before = time.time()
    while int(time.time()) == int(time_before):
        threading.Event().wait(0.05)
    assert made.pack((item,)).payload == before.payload


class Wanting(Memory):
    """A council in memory that refuses any message in which some document is, and says why."""

    def __init__(self, poison: set[str]):
        super().__init__([])
        self.batches: list[list[str]] = []
        self._poison = poison

    async def publish(self, topic: str, payload: bytes) -> None:
        await asyncio.sleep(0)
        ids = [document["id"] for document in json.loads(payload)["documents"]]
        if self._poison & set(ids):
            raise DocumentRefused("Payload format invalid (0x99): no such lamp", "-")
        self.batches.append(ids)


def test_a_poison_document_is_found_in_its_batch_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.001)
    rig = Rig(tmp_path)
    node = rig.node(1, batch=1)
    rig.confirm(node)
    for number in range(30):
        node.take(1, START + number)
        rig.exchange(node)
    base = f"{SITE}/1/{node.life.hex()}"
    poison = {f"{base}/{number}-{number}" for number in (7, 8, 23)}
    outlet = Wanting(poison)

    async def main() -> None:
        with contextlib.closing(Reader(rig.store.path)) as reader:
            pump = make_pump(outlet, rig.store, reader, batch=10)
            task = asyncio.create_task(pump.run())
            await until_async(lambda: pump.state.delivered == 27 and pump.state.set_aside == 3, "the others went")
            task.cancel()
            await asyncio.wait([task])
            assert {item.first for item in pump.state.aside.values()} == {7, 8, 23}
            assert {item.cause for item in pump.state.aside.values()} == {"Payload format invalid (0x99): no such lamp"}

    asyncio.run(main())
    ids = [ident for batch in outlet.batches for ident in batch]
    assert sorted(ids) == sorted({f"{base}/{number}-{number}" for number in range(30)} - poison)
    rig.close()


def test_batches_are_no_larger_than_the_broker_takes(tmp_path: Path) -> None:
    with a_broker(tmp_path / "broker", "max_packet_size 3000") as broker, reading(broker.port) as council:
        ids = fill(tmp_path, reports=40)
        running = Running(tmp_path, broker.port, batch=100)
        try:
            until(lambda: council.records.keys() == ids, "everything is at the council")
            assert running.pump.set_aside == 0 and running.pump.failed == 0
            assert max(council.lengths) > 1 and running.pump.messages < 120
        finally:
            running.close()
    assert council.copies == 0


def test_a_batch_that_is_not_full_goes_when_its_time_is_over(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    node = rig.node(1, batch=1)
    rig.confirm(node)
    outlet = Wanting(set())

    async def main() -> None:
        with contextlib.closing(Reader(rig.store.path)) as reader:
            pump = make_pump(outlet, rig.store, reader, batch=200, batch_ms=300)
            task = asyncio.create_task(pump.run())
            for number in range(3):
                node.take(1, START + number)
                await asyncio.to_thread(rig.exchange, node)
                pump.wake()
            began = time.monotonic()
            await until_async(lambda: pump.state.delivered == 3, "they went")
            assert time.monotonic() - began < 5
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())
    assert [len(batch) for batch in outlet.batches] in ([3], [1, 2], [2, 1])
    rig.close()


@pytest.mark.parametrize("kills", [6])
def test_kills_amid_batches_lose_and_double_nothing(tmp_path: Path, broker: Broker, kills: int) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=None)
    nodes = gateway.register(range(1, 6))
    street = Street(nodes)
    text = gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n'
    text += f'[[outlet]]\nname = "council"\nurl = "mqtt://127.0.0.1:{broker.port}"\ntimeout_s = 2\nalarms = false\n'
    gateway.config.write_text(text + 'batch = 16\nbatch_ms = 40\ncompress = "gzip"\n')
    taken = 0
    with reading(broker.port) as council, closing_all(gateway, street):

        def load() -> bool:
            nonlocal taken
            for node in nodes:
                if node.waiting < 8:
                    node.take(8, START + 60 * taken, 60)
            taken += 8
            return False

        for number in range(kills):
            gateway.start()
            seen = len(council.lengths)
            street.run(lambda seen=seen, number=number: load() or len(council.lengths) > seen + number)
            gateway.kill()
        gateway.start()
        assert street.run(lambda: not any(node.waiting for node in nodes), 60)
        until(lambda: taken_ids(nodes) <= council.records.keys(), "every record taken is at the council", 60)
        until(lambda: gateway.status()["store"]["outbox"] == {}, "the outbox is empty")
        assert gateway.stop() == 0
    assert council.records.keys() == taken_ids(nodes) and council.changed == []


def test_compression_saves_what_council_md_says() -> None:
    """Bins' days of the published workload: each alone, and ten in a batch; and single readings, alone and thirty."""
    found = re.search(
        r"a day's 24 records to (\d+) %, a single one to (\d+) %, a batch of 10 days to (\d+) %",
        (ROOT / "gateway" / "COUNCIL.md").read_text(),
    )
    assert found is not None
    items, singles = [], []
    for seed in range(1, 31):
        day = workload.bin_day(workload.load(), seed)
        records = [
            Record(
                day.index + n,
                at_s,
                {FILL: day.columns["fill"][n], TEMPERATURE: day.columns["temperature"][n], QUALITY: 0},
            )
            for n, at_s in enumerate(day.times)
        ]
        for into, some in ((items, records), (singles, records[:1])):
            row = StoredReport(
                seed,
                seed,
                SITE,
                "bin",
                seed.to_bytes(8, "big"),
                day.times[-1] * 1000,
                1,
                day.index,
                len(some),
                None,
                b"",
            )
            into.append(parcels.Item((1, seed), SITE, "t", shape.payload(row, Report(some))))

    def ratio(groups: list[list[parcels.Item]], batched: bool) -> float:
        plain = sum(len(parcels.Packer("k", batched, "none").pack(group).payload) for group in groups)
        return 100 * sum(len(parcels.Packer("k", batched, "gzip").pack(group).payload) for group in groups) / plain

    measured = (
        ratio([[item] for item in items], False),
        ratio([[item] for item in singles], False),
        ratio([items[:10], items[10:20], items[20:]], True),
    )
    assert [round(part) for part in measured] == [int(part) for part in found.groups()]
