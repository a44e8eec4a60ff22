"""Change only: against a simple model, over restarts and lost acknowledgements, and what is never suppressed."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from forward_harness import Memory, make_pump, until_async
from gateway_harness import START, Rig
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbgate import changes
from kerbgate.changes import Changes, Told, parse_deadband
from kerbgate.config import OutletSettings
from kerbgate.errors import OutletError
from kerbgate.store import Reader, StoredReport
from kerbwire.channels import BATTERY, CAUSE, DISTANCE, FAULT, FILL, LEVEL, PRESENCE, QUALITY, TEMPERATURE
from kerbwire.messages import Record, Report

LIFE = bytes(8)
HEARTBEAT_S = 6 * 3600


def row(records: list[Record]) -> StoredReport:
    return StoredReport(
        1, 17, "harbour", "bin", LIFE, START * 1000, 1, records[0].index, len(records), None, b"", records[0].time
    )


def judge(made: Changes, records: list[Record]) -> tuple[list[int], int]:
    """The indices that go, and how many were suppressed since the last document; as if it were acknowledged."""
    going, suppressed, told = made.judge(row(records), Report(records), records)
    made.tell(row(records), told)
    return [record.index for record in going], suppressed


def new(deadband: str = "", heartbeat_s: int = HEARTBEAT_S) -> Changes:
    return Changes("council", parse_deadband(deadband), heartbeat_s, lambda outlet, key: None)


def test_only_what_moved_goes_and_the_rest_is_counted() -> None:
    made = new("fill_percent=5")
    fills = [20, 22, 25, 26, 26, 31, 30, 20]
    records = [Record(i, START + 600 * i, {FILL: fill}) for i, fill in enumerate(fills)]
    assert judge(made, records[:3]) == ([0], 2)  # 5 is not more than 5
    assert judge(made, records[3:5]) == ([3], 1)  # 26 is 6 above the 20 that was told, not 1 above the 25 that was not
    assert judge(made, records[5:7]) == ([], 2)
    assert judge(made, records[7:]) == ([7], 2)


def test_the_heartbeat_counts_in_the_records_own_time() -> None:
    made = new()
    records = [Record(i, START + 3600 * i, {FILL: 20}) for i in range(14)]
    assert judge(made, records) == ([0, 6, 12], 11)
    stepped_back = [Record(14, START, {FILL: 20})]
    assert judge(made, stepped_back) == ([14], 0)


@pytest.mark.parametrize(
    ("before", "after", "goes"),
    [
        ({FILL: 20}, {FILL: 20}, False),
        ({FILL: 20}, {FILL: FAULT}, True),
        ({FILL: FAULT}, {FILL: FAULT}, False),
        ({FILL: FAULT}, {FILL: 20}, True),
        ({FILL: 20}, {FILL: 20, BATTERY: 360}, True),  # never told before
        ({FILL: 20, BATTERY: 360}, {FILL: 20}, False),  # not sampled is no change
        ({QUALITY: 0}, {QUALITY: 1}, True),  # flags have no distance
        ({PRESENCE: 3}, {PRESENCE: 3}, True),  # three more passages
        ({PRESENCE: 3}, {PRESENCE: 0}, False),
        ({LEVEL: 40, CAUSE: 1}, {LEVEL: 40, CAUSE: 1}, True),  # level changes always
    ],
)
def test_what_counts_as_a_change(before: dict[int, int], after: dict[int, int], goes: bool) -> None:
    made = new("100")
    assert judge(made, [Record(0, START, before)]) == ([0], 0)
    assert judge(made, [Record(1, START + 60, after)]) == (([1], 0) if goes else ([], 1))


def test_late_records_go_and_move_nothing() -> None:
    made = new("fill_percent=5")
    assert judge(made, [Record(100, START + 6000, {FILL: 50})]) == ([100], 0)
    assert judge(made, [Record(7, START, {FILL: 10})]) == ([7], 0)
    assert judge(made, [Record(101, START + 6060, {FILL: 51})]) == ([], 1)


def test_deadbands_are_in_the_units_of_the_fields_or_in_steps() -> None:
    assert parse_deadband("  ") == {}
    assert parse_deadband("fill_percent=5, temperature_c=1.5,battery_v=0.05") == {
        FILL: 5,
        TEMPERATURE: 3,
        BATTERY: pytest.approx(5),
    }
    steps = parse_deadband("2")
    assert steps[DISTANCE] == steps[BATTERY] == 2 and QUALITY not in steps and PRESENCE not in steps
    for bad in ("fill=5", "fill_percent", "fill_percent=-1", "1.5", "quality=1", "fill_percent=5 temperature_c=1"):
        with pytest.raises(ValueError, match="use "):
            parse_deadband(bad)


VALUES = st.dictionaries(
    st.sampled_from([FILL, TEMPERATURE, PRESENCE, QUALITY, CAUSE]), st.one_of(st.integers(0, 12), st.just(FAULT))
)


@settings(deadline=None, max_examples=200)
@given(
    reports=st.lists(st.lists(st.tuples(VALUES, st.integers(60, 9000)), min_size=1, max_size=4), max_size=12),
    deadband=st.integers(0, 4),
    lost=st.sets(st.integers(0, 11)),
    restarts=st.sets(st.integers(0, 11)),
)
def test_it_does_what_a_simple_model_does_whatever_is_lost_or_restarted(
    reports: list[list[tuple[dict[int, int], int]]], deadband: int, lost: set[int], restarts: set[int]
) -> None:
    """The model knows nothing of connections: it goes record by record and remembers what it told."""
    db: dict[Any, Told] = {}

    def start() -> Changes:
        return Changes("council", parse_deadband(str(deadband)), HEARTBEAT_S, lambda outlet, key: db.get(key))

    made, told_at, values, index, time_s, left_out = start(), 0, None, 0, START, 0
    for number, report in enumerate(reports):
        records: list[Record] = []
        for sampled, step_s in report:
            time_s += step_s
            records.append(Record(index, time_s, sampled))
            index += 1
        expected: list[int] = []
        for record in records:
            if values is None or CAUSE in record.values or record.time - told_at >= HEARTBEAT_S:
                moved = True
            else:
                moved = any(_far(ident, values.get(ident), raw, deadband) for ident, raw in record.values.items())
            if moved:
                expected.append(record.index)
                values, told_at = {**(values or {}), **record.values}, record.time
        for attempt in range(2 if number in lost else 1):  # the acknowledgement is lost, and all of it comes again
            if attempt:
                made.begin()
            going, suppressed, told = made.judge(row(records), Report(records), records)
            made.tell(row(records), told)
            assert [record.index for record in going] == expected
            assert suppressed == left_out + len(records) - len(expected)
        left_out = 0 if expected else left_out + len(records)
        assert told is not None
        pair = ((17, LIFE), told)
        made.settled([pair])
        db[pair[0]] = told
        made.committed([pair])
        if number in restarts:
            made = start()


def _far(ident: int, before: int | None, raw: int, deadband: int) -> bool:
    if ident == PRESENCE and raw != FAULT:
        return raw > 0
    if before is None or FAULT in (before, raw) or ident in (QUALITY, CAUSE):
        return raw != before
    return abs(raw - before) > deadband


class Losing(Memory):
    """A council in memory that keeps what it got, and loses some acknowledgements with their connection."""

    def __init__(self, refuse_after: list[int]):
        super().__init__(refuse_after)
        self.documents: list[dict[str, Any]] = []

    async def publish(self, topic: str, payload: bytes) -> None:
        self.documents.append(json.loads(payload))
        await super().publish(topic, payload)


@pytest.mark.parametrize("restart_after", [3, 9, 15])
def test_a_restart_neither_tells_everything_anew_nor_forgets_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart_after: int
) -> None:
    """The same values all the time, then one change: two documents, whenever the gateway is killed."""
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.001)
    rig = Rig(tmp_path, outlets=("council",))
    node = rig.node(1, batch=1)
    rig.confirm(node)
    outlet = Losing([])

    def values(number: int) -> dict[int, int]:
        return {FILL: 20 if number < 12 else 40}

    async def forward() -> None:
        with contextlib.closing(Reader(rig.store.path)) as reader:
            pump = make_pump(outlet, rig.store, reader, send="change", heartbeat_s=604_800)
            task = asyncio.create_task(pump.run())
            await until_async(lambda: not reader.outbox(), "the outbox is empty")
            task.cancel()
            await asyncio.wait([task])

    for number in range(20):
        monkeypatch.setattr(node, "_values", lambda number=number: values(number))
        node.take(1, START + 60 * number)
        rig.exchange(node)
        if number == restart_after:
            asyncio.run(forward())
            rig.restart()
    asyncio.run(forward())
    fills = [(record["index"], record["fill_percent"]) for d in outlet.documents for record in d["records"]]
    assert fills == [(0, 20), (12, 40)]
    assert [d["suppressed"] for d in outlet.documents][-1] == 11
    rows = rig.query('SELECT suppressed, "index" FROM told')
    assert rows == [(7, 12)]
    rig.close()


def test_what_is_acknowledged_out_of_order_is_settled_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second document is acknowledged, the first is not, and the connection ends: both come again, as they were."""
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.001)
    rig = Rig(tmp_path)
    node = rig.node(1, batch=1)
    rig.confirm(node)
    for number, fill in enumerate((10, 30, 31, 50)):
        monkeypatch.setattr(node, "_values", lambda fill=fill: {FILL: fill})
        node.take(1, START + 60 * number)
        rig.exchange(node)

    class Swapped(Losing):
        async def publish(self, topic: str, payload: bytes) -> None:
            document = json.loads(payload)
            self.documents.append(document)
            if self.sessions == 1:
                if document["records"][0]["index"] == 0:
                    await asyncio.sleep(0.05)
                    raise OutletError("the connection ended", "-")
                return
            await asyncio.sleep(0)

    outlet = Swapped([])

    async def main() -> None:
        with contextlib.closing(Reader(rig.store.path)) as reader:
            pump = make_pump(outlet, rig.store, reader, send="change", deadband="fill_percent=5")
            task = asyncio.create_task(pump.run())
            await until_async(lambda: not reader.outbox(), "the outbox is empty")
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())
    told = [[record["index"] for record in d["records"]] for d in outlet.documents]
    assert told == [[0], [1], [3], [0], [1], [3]]  # nothing of the first session was settled, for the first was not
    assert outlet.documents[3:] == outlet.documents[:3]  # a document that is sent twice is the same twice
    rig.close()


def test_the_store_keeps_what_was_told(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    told = Told(7, START, {FILL: 20, TEMPERATURE: -3}, 4)
    rig.store.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as db:
        changes.write(db, "council", [((17, LIFE), told)])
        assert changes.read(db, "council", (17, LIFE)) == told
        assert changes.read(db, "town", (17, LIFE)) is None
    assert OutletSettings("c", "u", send="change").reports
