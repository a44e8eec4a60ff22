"""The ledger of gaps, reports that come late or out of order, and clocks that jump."""

import contextlib
import random
from typing import Any

import pytest
from gateway_harness import START, Rig
from hypothesis import given
from hypothesis import strategies as st

from kerbgate import decoding, shape
from kerbgate.store import Reader, gaps
from kerbtools.simulate import SimulatedNode
from kerbwire import messages
from kerbwire.channels import FILL
from kerbwire.messages import Record, Report

HOUR = 3600
DAY = 86400


def send(
    rig: Rig, node: SimulatedNode, first: int, count: int, near: tuple[int, int] | None = None, at: int = 0
) -> None:
    """A report of hourly records; `near`: in the short form. Its answers are lost."""
    time_s = at or START + HOUR * first
    records = [Record(first + i, time_s + HOUR * i, {FILL: (first + i) % 100}) for i in range(count)]
    message = messages.encode(Report(records), near)
    assert decoding.is_short(message) == (near is not None)
    rig.send(node._seal(message, (0,)))


def ledger(rig: Rig) -> list[tuple[int, int, bool, int]]:
    """(first, count, declared, seconds since the start) of each gap."""
    with contextlib.closing(Reader(rig.store.path)) as reader:
        return [
            (hole.first, hole.count, hole.declared, hole.since_ms // 1000 - START) for hole in reader.gaps(1000, 17)
        ]


def declare(rig: Rig, node: SimulatedNode, *ranges: tuple[int, int]) -> None:
    """A hello that declares (first, count)."""
    decoded = decoding.read(messages.encode(hello(node, list(ranges))))
    assert not isinstance(decoded, str)
    rig.send(node._seal(messages.encode(decoded), (), node.life))


def hello(node: SimulatedNode, ranges: list[tuple[int, int]]) -> messages.Hello:
    return messages.Hello(0, "simulated", "0", bytes(8), 0, node.boots, bytes(8), node._next_index, gaps=ranges)


@pytest.fixture
def node(rig: Rig) -> SimulatedNode:
    made = rig.node(17)
    rig.confirm(made)
    return made


def test_a_hole_is_known_from_the_time_when_it_came_up_and_closes_when_it_is_filled(
    rig: Rig, node: SimulatedNode
) -> None:
    send(rig, node, 0, 10)
    assert ledger(rig) == []
    rig.clock.now = START + 100
    send(rig, node, 20, 10)
    rig.clock.now = START + 200
    send(rig, node, 40, 10)
    assert ledger(rig) == [(10, 10, False, 100), (30, 10, False, 200)]
    rig.clock.now = START + 300
    send(rig, node, 14, 2)  # late: the hole is two now, both as old as it was
    assert ledger(rig) == [(10, 4, False, 100), (16, 4, False, 100), (30, 10, False, 200)]
    send(rig, node, 16, 4)
    send(rig, node, 8, 6)
    assert ledger(rig) == [(30, 10, False, 200)]
    rig.restart()
    send(rig, node, 25, 20)  # overlaps both sides
    assert ledger(rig) == []
    assert rig.query("SELECT first, last FROM committed") == [(0, 49)]


def test_what_a_node_declares_is_told_apart(rig: Rig, node: SimulatedNode) -> None:
    send(rig, node, 0, 10)
    send(rig, node, 20, 10)
    rig.clock.now = START + 50
    declare(rig, node, (12, 3), (28, 2), (40, 5))  # in the hole, among what has come, and above all that has come
    assert ledger(rig) == [(10, 2, False, 0), (12, 3, True, 50), (15, 5, False, 0), (40, 5, True, 50)]
    declare(rig, node, (13, 7))
    assert ledger(rig) == [(10, 2, False, 0), (12, 8, True, 50), (40, 5, True, 50)]
    send(rig, node, 10, 10)  # declared, and come all the same
    assert ledger(rig) == [(40, 5, True, 50)]
    with contextlib.closing(Reader(rig.store.path)) as reader:
        summary = reader.summary()
    assert summary["holes"] == summary["records_missing"] == 0
    assert summary["gaps"][0]["node"] == 17 and summary["gaps"][0]["life"] == node.life.hex()


def test_a_closed_life_and_another_node_have_ledgers_of_their_own(rig: Rig, node: SimulatedNode) -> None:
    other = rig.node(18)
    rig.confirm(other)
    send(rig, node, 5, 5)
    send(rig, other, 7, 1)
    with contextlib.closing(Reader(rig.store.path)) as reader:
        assert [(hole.node, hole.first, hole.count) for hole in reader.gaps(10)] == [(17, 0, 5), (18, 0, 7)]
        assert len(reader.gaps(1)) == 1
    node.wipe()
    rig.confirm(node)
    assert ledger(rig) == []
    with contextlib.closing(Reader(rig.store.path)) as reader:
        assert [(hole.node, hole.first) for hole in reader.gaps(1)] == [(18, 0)]  # what is closed takes no place


ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=12)


@given(ranges, ranges)
def test_the_ledger_is_what_sets_say(committed: list[tuple[int, int]], declared: list[tuple[int, int]]) -> None:
    have = {i for first, count in committed for i in range(first, first + count)}
    said = {i for first, count in declared for i in range(first, first + count)}
    newest = max(have, default=-1)
    holes: list[tuple[int, int, int]] = []
    for index in range(newest + 1):
        if index not in have:
            if holes and holes[-1][1] == index - 1:
                holes[-1] = (holes[-1][0], index, 0)
            else:
                holes.append((index, index, 0))
    found = list(gaps.split(holes, sorted((first, first + count - 1, 1) for first, count in declared), newest))
    missing = {i: is_declared for first, last, _, is_declared in found for i in range(first, last + 1)}
    assert sum(last - first + 1 for first, last, _, _ in found) == len(missing)
    assert missing == {i: i in said for i in (set(range(newest + 1)) - have) | {i for i in said if i > newest}}


@given(ranges, ranges, st.integers(0, 80), st.integers(1, 5), st.integers(1, 30))
def test_what_is_asked_for_is_missing_and_bounded(
    committed: list[tuple[int, int]], declared: list[tuple[int, int]], next_index: int, most: int, longest: int
) -> None:
    pairs = [[(first, first + count - 1) for first, count in part] for part in (committed, declared)]
    known = {i for part in pairs for first, last in part for i in range(first, last + 1)}
    asked = gaps.to_ask(sorted(pairs[0]), pairs[1], next_index, most, longest)
    assert len(asked) <= most and all(1 <= count <= longest for _, count in asked)
    wanted = set(range(next_index)) - known
    covered = {i for first, count in asked for i in range(first, first + count)}
    assert all(first + count <= next_index for first, count in asked)
    if wanted:
        assert max(wanted) in covered
    if longest >= next_index:
        assert wanted <= covered


def test_an_unresolved_report_is_read_when_its_neighbour_has_come(rig: Rig, node: SimulatedNode) -> None:
    """Its neighbours were on their way by another road: no upgrade and no restart is needed."""
    send(rig, node, 8, 4, near=(7, START + 7 * HOUR))
    assert rig.query("SELECT state, reason FROM report") == [("undecoded", "unresolved")]
    send(rig, node, 0, 8)
    assert rig.query("SELECT state, first, count, time FROM report ORDER BY report_id") == [
        ("decoded", 0, 8, START),
        ("decoded", 8, 4, START + 8 * HOUR),
    ]
    with contextlib.closing(Reader(rig.store.path)) as reader:
        row = reader.waiting("council", 2, 10)[0]  # behind what the pump has read already
        report = decoding.read(row.message, row.near)
    assert isinstance(report, Report) and [record.index for record in report.records] == [8, 9, 10, 11]
    assert rig.query("SELECT first, last FROM committed") == [(0, 11)] and ledger(rig) == []


def test_a_report_out_of_order_is_placed_by_the_neighbours_that_it_has(rig: Rig, node: SimulatedNode) -> None:
    """It was written near record 7, and came after the reports of two months later."""
    send(rig, node, 0, 8)
    late = START + 60 * DAY
    send(rig, node, 100, 8, at=late)
    send(rig, node, 8, 4, near=(7, START + 7 * HOUR))
    assert rig.query("SELECT first, count, time, state FROM report WHERE first=8") == [
        (8, 4, START + 8 * HOUR, "decoded")
    ]
    assert rig.query("SELECT first, last, first_time, last_time FROM committed") == [
        (0, 11, START, START + 11 * HOUR),
        (100, 107, late, late + 7 * HOUR),
    ]


def test_a_report_that_could_be_of_two_times_stays_aside(rig: Rig, node: SimulatedNode) -> None:
    """Nothing says whether it belongs to the one neighbour or the other: no guess is sold as a measurement."""
    late = START + 65536 * 60 * 2 + 15 * DAY  # 10 days after the start look as 5 days before this, two turns later
    send(rig, node, 0, 8)
    send(rig, node, 200, 8, at=late)
    send(rig, node, 100, 1, near=(7, START + 7 * HOUR), at=START + 10 * DAY)
    assert rig.query("SELECT state, reason FROM report WHERE first IS NULL") == [("undecoded", "out of order")]
    assert rig.query("SELECT first, last FROM committed") == [(0, 7), (200, 207)]
    send(rig, node, 80, 10, at=START + 9 * DAY)  # a neighbour on one side
    send(rig, node, 110, 10, at=START + 11 * DAY)  # and on the other
    send(rig, node, 130, 1, at=START + 12 * DAY)
    assert rig.query("SELECT state, time FROM report WHERE first=100") == [("decoded", START + 10 * DAY)]


def test_what_can_never_be_placed_costs_less_and_less(
    rig: Rig, node: SimulatedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    send(rig, node, 20_000, 4, near=(19_999, START + 30 * DAY), at=START + 30 * DAY + HOUR)
    decode = rig.store._decode

    def counted(message: bytes, near: tuple[int, int] | None = None) -> Any:
        tried.append(1)
        return decode(message, near)

    assert rig.store._books is not None
    monkeypatch.setattr(rig.store._books, "_decode", counted)
    for number in range(64):
        send(rig, node, number, 1)
    assert 0 < len(tried) < 30
    assert rig.query("SELECT count(*) FROM report WHERE state='undecoded'") == [(1,)]


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_the_gateways_clock_may_jump_by_a_day(rig: Rig, jump: int) -> None:
    """Set forward, and back, in the middle of everything: nothing is lost, doubled or dated by it."""
    rng = random.Random(jump)
    nodes = [rig.node(address) for address in (17, 18, 19)]
    for turn in range(40):
        if turn in (10, 25):
            rig.clock.now += jump if turn == 10 else -jump
        rig.clock.now += 60
        for node in nodes:
            node.take(rng.randrange(4), START + 4 * HOUR * turn)
            data = node.next_frame()
            if data is not None:
                answers = rig.send(data)
                if rng.random() < 0.7:
                    for answer in answers:
                        node.feed(answer)
        if turn == 30:
            rig.restart()
    for _ in range(20):
        for node in nodes:
            if node.waiting:
                rig.exchange(node)
    with contextlib.closing(Reader(rig.store.path)) as reader:
        rows = reader.waiting("council", 0, 1000)
    seen: list[tuple[int, int]] = []
    for row in rows:
        report = decoding.read(row.message, row.near)
        assert isinstance(report, Report)
        document = shape.document(row, report)
        seen += [(row.node, record["index"]) for record in document["records"]]
        assert all(record["time_quality"] == "clock" for record in document["records"])
        assert all("2026-03-0" in record["time"] for record in document["records"])
    assert len(seen) == len(set(seen)) and set(seen) == {
        (node.address, index) for node in nodes for index in node.taken
    }


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_derived_times_are_marked_and_say_whether_the_gateways_clock_was_trusted(
    rig: Rig, node: SimulatedNode, jump: int
) -> None:
    rig.clock.is_synchronised = False
    rig.clock.now = START + jump
    records = [Record(0, 100, {FILL: 1}), Record(1, 160, {FILL: 2})]
    rig.send(node._seal(messages.encode(Report(records, boot=3, uptime_now=200)), (0,)))
    rig.clock.now, rig.clock.is_synchronised = START + 300, True
    records = [Record(2, 400, {FILL: 1})]
    rig.send(node._seal(messages.encode(Report(records, boot=3, uptime_now=500)), (0,)))
    with contextlib.closing(Reader(rig.store.path)) as reader:
        rows = reader.waiting("council", 0, 10)
    documents = []
    for row in rows:
        report = decoding.read(row.message, row.near)
        assert isinstance(report, Report)
        documents.append(shape.document(row, report))
    assert [document["received_synchronised"] for document in documents] == [False, True]
    assert {record["time_quality"] for document in documents for record in document["records"]} == {"derived"}
    assert documents[1]["records"][0]["time"] == "2026-03-01T00:03:20Z"
    assert rig.query("SELECT first, last, first_time, last_time FROM committed") == [(0, 2, None, None)]
    assert rig.query("SELECT newest_index FROM life") == [(None,)]  # an uptime is near nothing
