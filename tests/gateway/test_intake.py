"""The intake: what is refused is counted by its reason and changes nothing; what is acknowledged is committed."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from gateway_harness import START, Rig, add_node

from kerbgate import decoding, intake, shape
from kerbgate.store import Reader
from kerbgate.store.items import HelloFacts, Outcome, Reading
from kerbtools.simulate import SimulatedNode
from kerbwire import frame, messages, seal
from kerbwire.channels import FILL
from kerbwire.messages import Record, Report


def reported(rig: Rig, *, count: int = 8) -> tuple[SimulatedNode, bytes]:
    """A confirmed node, and a report of it that was not sent yet."""
    node = rig.node(17)
    rig.confirm(node)
    node.take(count, START)
    data = node.next_frame()
    assert data is not None
    return node, data


def test_law_4_a_life_begins_with_hello_and_challenge(rig: Rig) -> None:
    node = rig.node(17)
    before = rig.dump()
    first = node.next_frame()
    assert first is not None
    answers = rig.send(first)
    assert len(answers) == 1 and node.feed(answers[0]) and not node.confirmed
    assert rig.dump() == before  # a challenge commits nothing
    rig.exchange(node)
    assert node.confirmed and rig.air.counters.challenged == 1 and rig.air.counters.committed == 1


def test_a_repeated_hello_gets_the_same_challenge(rig: Rig) -> None:
    node = rig.node(17)
    lost, heard = node.next_frame(), node.next_frame()
    assert lost is not None and heard is not None
    rig.send(lost)  # its challenge is lost on the air; the node says hello again
    for answer in rig.send(heard):
        node.feed(answer)
    rig.send(lost)  # and the first hello, replayed by someone, takes nothing away
    rig.exchange(node)
    assert node.confirmed


def test_a_challenge_expires(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    node = rig.node(17)
    rig.exchange(node)
    answer = node.next_frame()
    assert answer is not None
    later = time.monotonic() + 61
    monkeypatch.setattr(intake.time, "monotonic", lambda: later)
    rig.send(answer)
    assert not rig.store.confirmed_lives() and rig.air.counters.challenged == 2


def test_law_3_a_report_is_acknowledged_after_its_commit(rig: Rig) -> None:
    node, data = reported(rig)
    for answer in rig.send(data):
        assert node.feed(answer)
    assert node.waiting == 0 and node.committed == set(range(8))
    assert node.time_given == START
    assert rig.query("SELECT first, last FROM committed") == [(0, 7)]
    assert len(rig.committed) == 1


def test_law_2_no_time_is_given_out_by_a_clock_that_is_not_synchronised(rig: Rig) -> None:
    rig.clock.is_synchronised = False
    node, data = reported(rig)
    for answer in rig.send(data):
        assert node.feed(answer)
    assert node.waiting == 0 and node.time_given is None


def test_law_3_a_lost_ack_doubles_nothing(rig: Rig) -> None:
    node, data = reported(rig)
    rig.send(data)  # the ack is lost
    rig.exchange(node)  # the same records under a new number
    assert node.waiting == 0
    assert rig.query("SELECT count(*) FROM report") == [(1,)]
    assert rig.query("SELECT count(*) FROM outbox") == [(1,)]
    node.take(4, START + 8 * 3600)
    node._outbox.extendleft([Record(7, START, {FILL: 1})])  # a resend that overlaps what is committed
    rig.exchange(node)
    assert rig.query("SELECT first, count, fresh FROM report ORDER BY 1") == [(0, 8, None), (7, 5, 0b11110)]


def test_law_3_an_ack_that_comes_one_report_late_triggers_no_resend(rig: Rig) -> None:
    node, data = reported(rig)
    rig.send(data)
    node.take(8, START + 8 * 3600)
    data = node.stream()  # only what no report under way carries
    assert data is not None
    for answer in rig.send(data):
        node.feed(answer)
    assert node.waiting == 0 and node.resent == 0


def test_law_4_a_duplicate_is_acknowledged_again(rig: Rig) -> None:
    node, data = reported(rig)
    rig.send(data)
    before = rig.dump()
    answers = rig.send(data)
    assert rig.refused() == {"duplicate": 1} and rig.dump() == before
    assert len(answers) == 1 and node.feed(answers[0]) and node.waiting == 0


def refuses(rig: Rig, data: bytes, reason: str, times: int = 1) -> None:
    """A frame is refused for this reason, unanswered, and leaves store, windows and kept keys as they were."""
    before, counted = rig.dump(), rig.refused()
    keys = list(rig.intake._keys._keys)
    for _ in range(times):
        assert rig.send(data) == []
    assert rig.refused() - counted == Counter({reason: times})
    assert rig.dump() == before and sorted(rig.intake._keys._keys) == sorted(keys)


def test_law_5_each_reason(rig: Rig) -> None:
    _, data = reported(rig)
    refuses(rig, b"", "malformed")
    refuses(rig, bytes(300), "malformed")
    key = seal.uplink_key(bytes(16), 99, bytes(8))
    refuses(rig, key.seal(frame.UP, 0, 99, 0, b"\x80"), "unknown node")
    refuses(rig, key.seal(frame.UP, 0, 17, 50, b"\x80"), "unsealed")
    refuses(rig, key.seal(frame.UP, 1, 17, 50, b"\x80"), "wrong epoch")
    refuses(rig, key.seal(frame.DOWN, 0, 17, 50, b"\x80"), "not an uplink")
    refuses(rig, key.seal(frame.GROUP, 0, 17, 50, b"\x80"), "not an uplink")
    add_node(rig.registry, 20)
    refuses(rig, key.seal(frame.UP, 0, 20, 0, b"\x80"), "no life")
    rig.registry.revoke(17)
    refuses(rig, data, "stolen node")


@pytest.mark.parametrize("event", ["quarantine", "return", "retire", "steal"])
def test_a_node_that_is_not_to_be_heard_is_refused_under_its_state(rig: Rig, event: str) -> None:
    _, data = reported(rig)
    state = rig.registry.mark(17, event).state
    refuses(rig, data, f"{state} node", times=3)


def test_what_a_quarantined_node_sent_is_heard_after_its_readmission(rig: Rig) -> None:
    node = rig.node(17)
    rig.confirm(node)
    rig.registry.mark(17, "quarantine")
    node.take(3, START)
    for _ in range(2):
        rig.exchange(node)
    assert node.waiting == 3
    rig.registry.mark(17, "readmit")
    rig.exchange(node)
    assert node.waiting == 0


def test_every_truncation_and_every_flipped_bit_is_refused(rig: Rig) -> None:
    node, data = reported(rig)
    before = rig.dump()
    bad = [data[:size] for size in range(len(data))]
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        bad.append(bytes(flipped))
    for item in bad:
        assert rig.send(item) == []
    assert rig.dump() == before
    refused = rig.refused()
    assert refused.total() == len(bad)
    assert set(refused) <= {"malformed", "unsealed", "unknown node", "wrong epoch", "not an uplink"}
    for answer in rig.send(data):  # and the node's own frame is as good as before
        node.feed(answer)
    assert node.waiting == 0


def test_random_bytes_are_refused(rig: Rig) -> None:
    reported(rig)
    before, rng = rig.dump(), random.Random(1)
    for _ in range(2000):
        assert rig.send(rng.randbytes(rng.randrange(260))) == []
    assert rig.dump() == before and rig.refused().total() == 2000


def test_law_4_a_frame_captured_before_a_restart_is_a_duplicate_or_a_replay(rig: Rig) -> None:
    node = rig.node(17)
    captured = [node.next_frame()]
    for answer in rig.send(captured[0] or b""):
        node.feed(answer)
    for _ in range(80):
        if node.confirmed:
            node.take(1, START)
        data = node.next_frame()
        captured.append(data)
        for answer in rig.send(data or b""):
            node.feed(answer)
    rig.restart()
    before, counted = rig.dump(), rig.refused()
    for data in captured:
        rig.send(data or b"")
    counts = rig.refused() - counted
    assert counts == Counter({"duplicate": 64, "replay": 17})
    assert rig.dump() == before


def test_law_4_a_hello_captured_before_a_restart_confirms_nothing_on_an_empty_store(rig: Rig) -> None:
    """Where the window is lost, an old hello with an old challenge is only challenged again."""
    node = rig.node(17)
    rig.exchange(node)
    answer = node.next_frame()
    rig.send(answer or b"")
    rig.close()
    for file in rig.folder.glob("store.sqlite*"):
        file.unlink()
    rig.open()
    before = rig.dump()
    rig.send(answer or b"")
    assert rig.air.counters.challenged == 2 and rig.dump() == before


def test_law_4_a_closed_life_is_refused(rig: Rig) -> None:
    node, old_report = reported(rig)
    node.wipe()
    rig.confirm(node)
    refuses(rig, old_report, "unsealed")  # no life in the clear: tried under the confirmed one
    first = rig.node(17)  # the same seed: the life before the wipe
    refuses(rig, first.next_frame() or b"", "closed life")


def test_a_wiped_node_loses_none_of_its_new_records(rig: Rig) -> None:
    node, data = reported(rig)
    rig.send(data)
    node.wipe()
    rig.confirm(node)
    node.take(8, START)
    rig.exchange(node)
    assert node.waiting == 0 and rig.query("SELECT count(*) FROM outbox") == [(2,)]


def test_a_gateway_restart_goes_unnoticed_by_the_records(rig: Rig) -> None:
    node, data = reported(rig)
    for answer in rig.send(data):
        node.feed(answer)
    rig.restart()
    node.take(8, START)
    rig.exchange(node)
    assert node.waiting == 0 and node.boots == 1


def test_a_node_without_an_answer_says_hello_again(rig: Rig) -> None:
    """The store was lost: the node finds out by silence, and nothing it holds is lost."""
    node, _ = reported(rig)
    rig.close()
    for file in rig.folder.glob("store.sqlite*"):
        file.unlink()
    rig.open()
    for _ in range(8):
        if node.waiting:
            rig.exchange(node)
    assert node.waiting == 0 and rig.query("SELECT first, last FROM committed") == [(0, 7)]


def test_law_9_a_frame_of_another_site_is_counted_as_foreign(rig: Rig) -> None:
    """Only the registry of its home gateway holds a node's key: anyone else neither opens, nor answers, nor derives."""
    stranger = SimulatedNode(99, bytes(16), seed=99)
    for count in range(1, 4):
        refuses(rig, stranger.next_frame() or b"", "unknown node")
        assert rig.refused() == {"unknown node": count} and rig.intake._keys.derived == 0


def test_law_10_no_number_of_bad_frames_locks_an_address_out(rig: Rig) -> None:
    node, data = reported(rig)
    stranger = seal.uplink_key(bytes(16), node.address, node.life)
    refuses(rig, stranger.seal(frame.UP, 0, node.address, 500, b"\x80"), "unsealed", times=200)
    for answer in rig.send(data):
        node.feed(answer)
    assert node.waiting == 0


def sealed(node: SimulatedNode, message: bytes) -> bytes:
    return node._seal(message, (0,))


@pytest.mark.parametrize(("message", "reason"), [(b"\x82\x07\xa0", "unknown kind"), (b"\xff\xff", None)])
def test_law_5_what_opens_and_cannot_be_decoded_is_stored_and_acknowledged(
    rig: Rig, message: bytes, reason: str | None
) -> None:
    node, _ = reported(rig)
    assert len(rig.send(sealed(node, message))) == 1
    stored = rig.query("SELECT message, state, reason FROM report")
    assert stored[0][:2] == (message, "undecoded") and (reason is None or stored[0][2] == reason)
    assert rig.intake.undecoded == 1 and not rig.refused()
    rig.restart()
    assert rig.query("SELECT state FROM report") == [("undecoded",)]


def test_law_5_an_undecoded_report_and_hello_are_decoded_after_an_upgrade(rig: Rig) -> None:
    node, _ = reported(rig)
    rig.send(sealed(node, b"\x82\x07\xa0"))
    rig.send(sealed(node, b"\x82\x06\xa0"))

    def newer(message: bytes, near: tuple[int, int] | None = None) -> Reading | HelloFacts | str:
        if message == b"\x82\x07\xa0":
            return decoding.reading(Report([Record(100 + i, START, {FILL: 5}) for i in range(4)]))
        return HelloFacts(False, 0, ((40, 2),)) if message == b"\x82\x06\xa0" else decoding.read_again(message, near)

    rig.restart(decode=newer)
    assert rig.query("SELECT state, first, count FROM report") == [("decoded", None, None), ("decoded", 100, 4)]
    assert rig.query("SELECT first, last FROM committed") == [(100, 103)]
    assert rig.query("SELECT report_id FROM outbox") == [(3,)]
    assert rig.query("SELECT first, count FROM gap") == [(40, 2)]


def test_a_report_of_a_node_without_a_clock_is_dated(rig: Rig) -> None:
    node, _ = reported(rig)
    report = Report([Record(0, 100, {FILL: 1}), Record(1, 160, {FILL: 2})], boot=3, uptime_now=200)
    rig.send(sealed(node, messages.encode(report)))
    with contextlib.closing(Reader(rig.store.path)) as reader:
        shaped = shape.document(reader.waiting("council", 0, 1)[0], report)
    assert [(record["time"], record["time_quality"]) for record in shaped["records"]] == [
        ("2026-02-28T23:58:20Z", "derived"),
        ("2026-02-28T23:59:20Z", "derived"),
    ]


def test_law_10_keys_are_derived_once_and_only_for_known_nodes(rig: Rig) -> None:
    _, data = reported(rig)
    derived = rig.intake._keys.derived
    rig.send(data)
    stranger = seal.uplink_key(bytes(16), 99, bytes(8))
    rig.send(stranger.seal(frame.UP, 0, 99, 0, b"\x80"))
    assert rig.intake._keys.derived == derived
    for number in range(20):  # made-up lives of a known node: one derivation each, and none is kept
        rig.send(stranger.seal(frame.UP, 0, 17, number, b"\x80", context=bytes([number] * 8)))
    assert rig.intake._keys.derived == derived + 20 and len(rig.intake._keys._keys) == 1


def test_a_hello_of_a_life_that_the_store_does_not_know_leaves_no_key(rig: Rig) -> None:
    node = rig.node(17)
    for _ in range(3):  # each a new life, as from a recording of many of them
        node.wipe()
        rig.send(node.next_frame() or b"")
    assert rig.air.counters.challenged == 3 and not rig.intake._keys._keys
    rig.confirm(node)
    assert len(rig.intake._keys._keys) == 1


def test_an_answer_that_fails_does_not_take_those_of_the_others(rig: Rig) -> None:
    def fails(outcome: Outcome) -> None:
        raise ValueError("no answer can be made")

    rig.intake._room.clear()
    answered: list[Outcome] = []
    rig.intake.deliver([(fails, Outcome("committed")), (answered.append, Outcome("committed"))])
    assert len(answered) == 1 and rig.intake._room.is_set()
    assert rig.intake.failures == 1 and rig.intake.last_error == "ValueError: no answer can be made"


def test_a_full_queue_drops_what_was_not_acknowledged_and_counts_it(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(queue=2, commit_interval_ms=500)
    nodes = [rig.node(address) for address in range(1, 6)]
    rig.send(nodes[0].next_frame() or b"")
    for node in nodes[1:]:
        rig.intake.take(node.next_frame() or b"", rig.air)
    assert rig.intake.full and rig.refused() == {"queue full": 2}


def short_report(node: SimulatedNode, first: int, time_s: int, near: tuple[int, int], count: int = 2) -> bytes:
    """A report that says only the low bits of its first index and time."""
    records = [Record(first + i, time_s + 3600 * i, {FILL: 5 + i}) for i in range(count)]
    message = messages.encode(Report(records), near)
    assert decoding.is_short(message)
    return sealed(node, message)


def test_a_short_report_is_resolved_when_it_comes_and_when_it_is_forwarded(rig: Rig) -> None:
    node, data = reported(rig)
    rig.send(data)  # records 0 to 7, in full
    newest = (7, START + 7 * 3600)
    rig.send(short_report(node, 8, START + 8 * 3600, newest))
    rig.restart()  # what is near survives a restart
    rig.send(short_report(node, 10, START + 10 * 3600, newest))
    assert rig.query("SELECT first, count, time, state FROM report ORDER BY 1") == [
        (0, 8, START, "decoded"),
        (8, 2, START + 8 * 3600, "decoded"),
        (10, 2, START + 10 * 3600, "decoded"),
    ]
    with contextlib.closing(Reader(rig.folder / "store.sqlite")) as reader:
        for row in reader.waiting("council", 0, 10):
            report = decoding.read(row.message, row.near)
            assert isinstance(report, Report)
            assert [(r.index, r.time) for r in report.records] == [
                (index, START + 3600 * index) for index in range(row.first, row.first + row.count)
            ]


def test_a_short_report_that_its_neighbour_contradicts_is_set_aside(rig: Rig) -> None:
    node, data = reported(rig)
    rig.send(data)
    late = START + 30 * 86400  # beyond what 16 bits of minutes tell apart: resolved to 45 days earlier
    answers = rig.send(short_report(node, 8, late, (7, late - 3600)))
    assert len(answers) == 1  # committed and acknowledged all the same
    assert rig.query("SELECT state, reason, first, time FROM report ORDER BY report_id DESC LIMIT 1") == [
        ("undecoded", "out of order", None, None)
    ]
    assert rig.intake.undecoded == 1 and rig.query("SELECT first, last FROM committed") == [(0, 7)]


def test_a_short_report_with_nothing_near_is_kept(rig: Rig) -> None:
    node = rig.node(17)
    rig.confirm(node)
    rig.send(short_report(node, 8, START, (7, START - 3600)))
    assert rig.query("SELECT state, reason FROM report") == [("undecoded", "unresolved")]


def test_a_long_report_sent_again_in_part_is_new_in_part(rig: Rig) -> None:
    """Which of 96 records are new takes more than the 63 bits of a number in SQLite."""
    node = rig.node(17, batch=96)
    rig.confirm(node)
    node.take(10, START)
    rig.send(node.next_frame() or b"")  # its ack is lost
    node.take(86, START + 36000)
    rig.exchange(node)
    with contextlib.closing(Reader(rig.folder / "store.sqlite")) as reader:
        rows = reader.waiting("council", 0, 10)
    assert sum(row.count if row.fresh is None else row.fresh.bit_count() for row in rows) == 96
    assert max(row.fresh or 0 for row in rows) >> 63
