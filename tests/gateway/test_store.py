"""The store: dedupe, windows, lives, migrations, one owner, and what a failed commit leaves."""

import contextlib
import itertools
import os
import queue
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import ENVIRONMENT, START
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbgate import decoding
from kerbgate.config import StoreSettings
from kerbgate.errors import StoreBusy, StoreDamaged, StoreTooNew
from kerbgate.store import (
    CLOSED_LIFE,
    COMMITTED,
    DUPLICATE,
    FAILED,
    REPLAYED,
    UNKNOWN_LIFE,
    Arrival,
    HelloFacts,
    Outcome,
    Reader,
    Store,
    health,
    ranges,
    schema,
)
from kerbgate.store import store as store_module
from kerbgate.store.books import Books
from kerbwire import frame, messages
from kerbwire.channels import FILL
from kerbwire.messages import Record, Report

LIFE = bytes(range(8))
OTHER_LIFE = bytes(range(8, 16))


def arrival(seq: int, first: int = 0, count: int = 0, *, life: bytes = LIFE, node: int = 1, **fields: Any) -> Arrival:
    message = (
        messages.encode(Report([Record(first + i, START + i, {FILL: 5}) for i in range(count)])) if count else b"?"
    )
    return Arrival(
        node, "harbour", "bin", life, 0, seq, START * 1000, True, fields.pop("message", message), first, count, **fields
    )


def hello(seq: int, *, life: bytes = LIFE, confirm: bool = True, gaps: tuple[tuple[int, int], ...] = ()) -> Arrival:
    return arrival(seq, life=life, hello=HelloFacts(confirm, 0, gaps))


class Desk:
    """A store that is used synchronously: `put` waits for the commit."""

    def __init__(self, path: Path, **options: Any):
        self.path = path
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.store = Store(
            path,
            outlets=options.pop("outlets", ["council"]),
            settings=StoreSettings(**{"commit_interval_ms": 0, **options}),
            post=self._queue.put,
            decode=decoding.read_again,
        )
        self.store.start()

    def put(self, *arrivals: Arrival) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for item in arrivals:
            assert self.store.submit(item, outcomes.append)
        while len(outcomes) < len(arrivals):
            for done, outcome in self._queue.get(timeout=20):
                done(outcome)
        return outcomes

    def reader(self) -> contextlib.closing[Reader]:
        return contextlib.closing(Reader(self.path))

    def ranges(self, life: bytes = LIFE) -> list[tuple[int, int]]:
        with self.reader() as reader:
            return reader.committed(1, life)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "store.sqlite")
    yield made
    made.store.stop()


def verdicts(outcomes: list[Outcome]) -> list[str]:
    return [outcome.verdict for outcome in outcomes]


def test_law_4_nothing_is_committed_before_a_challenge_came_back(desk: Desk) -> None:
    with desk.reader() as reader:
        before = reader.dump()
    assert verdicts(desk.put(arrival(0, 0, 3), hello(1, confirm=False))) == [UNKNOWN_LIFE, UNKNOWN_LIFE]
    with desk.reader() as reader:
        assert reader.dump() == before


def test_law_4_a_report_is_committed_once(desk: Desk) -> None:
    outcomes = desk.put(hello(0), arrival(1, 0, 3), arrival(1, 0, 3), arrival(2, 0, 3), arrival(3, 2, 3))
    assert verdicts(outcomes) == [COMMITTED, COMMITTED, DUPLICATE, COMMITTED, COMMITTED]
    assert outcomes[2].numbers == [1, 0] and outcomes[2].top == 1
    assert outcomes[3].report_id is None  # nothing new: acknowledged, but no row for the council
    assert outcomes[4].numbers == [3, 2, 1, 0]
    assert desk.ranges() == [(0, 4)]
    with desk.reader() as reader:
        assert [(row.first, row.count, row.fresh) for row in reader.waiting("council", 0, 10)] == [
            (0, 3, None),
            (2, 3, 0b110),
        ]


def test_law_4_below_the_window_is_a_replay_and_inside_it_a_late_frame_is_new(desk: Desk) -> None:
    desk.put(hello(0), arrival(100, 0, 1))
    assert verdicts(desk.put(arrival(36, 1, 1), arrival(37, 1, 1), arrival(37, 2, 1))) == [
        REPLAYED,
        COMMITTED,
        DUPLICATE,
    ]
    acknowledged = desk.put(arrival(100, 0, 1))[0]
    assert acknowledged.numbers == [100, 37]


def test_a_duplicate_that_is_not_among_the_newest_is_listed_all_the_same(desk: Desk) -> None:
    desk.put(hello(0), *[arrival(seq, seq, 1) for seq in range(1, 21)])
    numbers = desk.put(arrival(5, 5, 1))[0].numbers
    assert len(numbers) == 8 and 5 in numbers and numbers[0] == 20


def test_law_4_a_confirmed_life_closes_those_before_it(desk: Desk) -> None:
    desk.put(hello(0), arrival(1, 0, 3), hello(0, life=OTHER_LIFE))
    assert verdicts(desk.put(arrival(2, 3, 3), hello(3), arrival(1, 0, 2, life=OTHER_LIFE))) == [
        CLOSED_LIFE,
        CLOSED_LIFE,
        COMMITTED,
    ]
    assert desk.ranges() == [(0, 2)] and desk.ranges(OTHER_LIFE) == [(0, 1)]  # same indices, another life: both count


def test_state_is_the_same_after_a_reopening(tmp_path: Path) -> None:
    first = Desk(tmp_path / "store.sqlite")
    first.put(hello(0), arrival(1, 0, 3), arrival(70, 3, 3))
    assert first.store.stop()
    second = Desk(tmp_path / "store.sqlite")
    assert second.store.confirmed_lives() == {1: LIFE}
    outcomes = second.put(arrival(1, 0, 3), arrival(70, 3, 3), arrival(71, 5, 2))
    assert verdicts(outcomes) == [REPLAYED, DUPLICATE, COMMITTED]
    assert second.ranges() == [(0, 6)]
    second.store.stop()


def test_window_bits_of_64_numbers_survive_the_file(tmp_path: Path) -> None:
    first = Desk(tmp_path / "store.sqlite")
    first.put(hello(0), *[arrival(seq, seq, 1) for seq in range(1, 100)])
    first.store.stop()
    second = Desk(tmp_path / "store.sqlite")
    assert verdicts(second.put(arrival(36, 0, 1), arrival(35, 0, 1))) == [DUPLICATE, REPLAYED]
    second.store.stop()


def test_declared_gaps_are_kept(desk: Desk) -> None:
    desk.put(hello(0, gaps=((5, 3),)), hello(1, gaps=((5, 3), (20, 1))))
    with desk.reader() as reader:
        assert sorted((gap["first"], gap["count"]) for gap in reader.summary()["gaps"]) == [(5, 3), (20, 1)]


def test_the_outbox_forgets_only_what_was_forwarded(tmp_path: Path) -> None:
    made = Desk(tmp_path / "store.sqlite", outlets=["council", "archive"])
    rows = made.put(hello(0), arrival(1, 0, 1), arrival(2, 1, 1))
    made.store.forwarded("council", [rows[1].report_id or 0])
    made.store.attempted("archive", [rows[2].report_id or 0])
    assert made.store.stop()
    with made.reader() as reader:
        assert reader.summary()["outbox"] == {"council": 1, "archive": 2}
        assert reader.dump()["outbox"] == [("archive", 1, 0), ("archive", 2, 1), ("council", 2, 0)]


def test_a_second_process_is_refused(desk: Desk) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom kerbgate import decoding\nfrom kerbgate.config import StoreSettings\n"
        "from kerbgate.errors import StoreBusy\nfrom kerbgate.store import Store\n"
        "try:\n    Store(Path(sys.argv[1]), outlets=[], settings=StoreSettings(), post=print, decode=decoding.read_again)\n"
        "except StoreBusy as error:\n    print(error.cause, '|', error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(desk.path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert f"in use by process {os.getpid()}" in done.stdout and "stop that gateway first" in done.stdout
    with pytest.raises(StoreBusy):
        Desk(desk.path)
    assert verdicts(desk.put(hello(0))) == [COMMITTED]


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={schema.version() + 1}")
    with pytest.raises(StoreTooNew) as caught:
        Desk(path)
    assert "install the version" in caught.value.hint


def test_a_damaged_store_says_so_and_says_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"not a database at all" * 400)
    with pytest.raises(StoreDamaged) as caught:
        Desk(path)
    assert "move store.sqlite" in caught.value.hint


def test_every_migration_step_is_applied_once_and_in_order(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as db:
        schema.migrate(db)
        before = db.execute("SELECT value FROM meta").fetchall()
        schema.migrate(db)
        assert db.execute("SELECT value FROM meta").fetchall() == before
        assert db.execute("PRAGMA user_version").fetchone() == (schema.version(),)


def test_a_full_disk_acknowledges_nothing_and_recovers_by_itself(tmp_path: Path) -> None:
    """SQLite's own page limit stands for the disk: the same error, code SQLITE_FULL."""
    made = Desk(tmp_path / "store.sqlite", quota_mb=1)
    made.put(hello(0))
    seq, failed = 0, None
    while failed is None:
        seq += 1
        outcome = made.put(arrival(seq, message=bytes(60_000), reason="test"))[0]
        if outcome.verdict == FAILED:
            failed = seq
    assert made.store.health.failing and failed > 5
    assert made.store.health.failing.startswith("database or disk is full: quota_mb = 1 of ")
    assert verdicts(made.put(arrival(failed, message=bytes(60_000), reason="test"))) == [FAILED]
    with contextlib.closing(sqlite3.connect(made.path)) as db:  # someone frees space
        db.execute("DELETE FROM report WHERE report_id < ?", (failed,))
        db.commit()
    outcome = made.put(arrival(failed, message=bytes(60_000), reason="test"))[0]  # the same number: it was not used up
    assert outcome.verdict == COMMITTED and outcome.top == failed
    assert made.store.health.failing is None and made.store.health.failed_commits == 2
    made.store.stop()


def test_a_full_disk_says_how_much_is_free_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_SCARCE", 1 << 62)
    made = Desk(tmp_path / "store.sqlite", quota_mb=1)
    made.put(hello(0))
    while not made.store.health.failing:
        made.put(arrival(made.store.health.commits, message=bytes(90_000), reason="test"))
    assert f"bytes are free in {tmp_path}; free some" in made.store.health.failing
    made.store.stop()


def test_the_outbox_empties_while_nothing_can_be_stored(tmp_path: Path) -> None:
    """Deletions that come with arrivals must not fail with them: they are what makes room."""
    made = Desk(tmp_path / "store.sqlite", quota_mb=1, commit_interval_ms=50)
    made.put(hello(0))
    rows, seq = [made.put(arrival(number, number, 1))[0].report_id or 0 for number in range(1, 11)], 10
    while not made.store.health.failing:
        seq += 1
        made.put(arrival(seq, message=bytes(60_000), reason="test"))
    deleted: list[tuple[str, int]] = []
    made.store._on_deleted = lambda settled: deleted.extend(settled.rows)
    for number, row in enumerate(rows):
        made.store.forwarded("council", [row])
        assert verdicts(made.put(arrival(seq + number, message=bytes(60_000), reason="test"))) == [FAILED]
        assert made.store.health.failing  # that a deletion succeeds does not mean that frames are stored
    with made.reader() as reader:
        assert reader.summary()["outbox"] == {} and deleted == [("council", row) for row in rows]
    assert not made.store._forwarded
    made.store.stop()


def test_what_waits_for_no_outlet_is_inherited_by_the_first(tmp_path: Path) -> None:
    def outbox(made: Desk) -> dict[str, int]:
        with made.reader() as reader:
            return reader.outbox()

    made = Desk(tmp_path / "store.sqlite", outlets=[])
    made.put(hello(0), arrival(1, 0, 3), arrival(2, 3, 3))
    assert outbox(made) == {"-": 2}
    made.store.stop()
    made = Desk(tmp_path / "store.sqlite", outlets=["council", "archive"])
    assert outbox(made) == {"council": 2}
    made.put(arrival(3, 6, 3))
    assert outbox(made) == {"council": 3, "archive": 1}
    made.store.stop()


def test_gaps_are_counted_beyond_those_that_are_listed(desk: Desk) -> None:
    desk.put(hello(0))
    for part in range(3):
        desk.put(hello(part + 1, gaps=tuple((1000 * part + 2 * i, 1) for i in range(400))))
    with desk.reader() as reader:
        summary = reader.summary()
    assert summary["gaps_declared"] == 1200 and len(summary["gaps"]) == 1000


def test_caches_are_dropped_when_a_commit_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One arrival that cannot be stored fails alone; windows and ranges of the others are those of the file."""
    desk.put(hello(0), arrival(1, 0, 3))
    poison = arrival(3, 6, 3, message="no bytes at all".encode, reason="test")  # SQLite refuses the type
    outcomes: list[Outcome] = []
    with desk.store._wake:  # one batch
        for item in (arrival(2, 3, 3), arrival(4, 6, 3), poison):
            desk.store._arrivals.append((item, outcomes.append))
        desk.store._wake.notify()
    while len(outcomes) < 3:
        for done, outcome in desk._queue.get(timeout=20):
            done(outcome)
    assert verdicts(outcomes) == [COMMITTED, COMMITTED, FAILED]
    health = desk.store.health
    assert health.failing is None and health.unstorable == 1 and "ProgrammingError" in (health.last_unstorable or "")
    assert verdicts(desk.put(arrival(2, 3, 3), arrival(3, 9, 1))) == [DUPLICATE, COMMITTED]
    assert desk.ranges() == [(0, 9)]
    with desk.reader() as reader:
        assert len(reader.waiting("council", 0, 10)) == 4


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    made = Desk(tmp_path / "store.sqlite", queue=3, commit_interval_ms=1000)
    made.put(hello(0))
    outcomes: list[Outcome] = []
    assert [made.store.submit(arrival(seq, seq, 1), outcomes.append) for seq in range(1, 5)] == [
        True,
        True,
        True,
        False,
    ]
    assert made.store.full
    made.store.stop()
    assert made.ranges() == [(1, 3)]  # a graceful stop commits what was queued


def test_commits_are_shared(tmp_path: Path) -> None:
    made = Desk(tmp_path / "store.sqlite", commit_interval_ms=200)
    made.put(hello(0))
    before = made.store.health.commits
    started = time.monotonic()
    made.put(*[arrival(seq, seq, 1) for seq in range(1, 101)])
    assert made.store.health.commits - before <= 5
    assert time.monotonic() - started < 10
    made.store.stop()


def undecodable(seq: int, message: bytes) -> Arrival:
    return arrival(seq, message=message, reason="unsupported")


def test_what_could_not_be_decoded_is_kept_whole_and_tried_again(tmp_path: Path) -> None:
    made = Desk(tmp_path / "store.sqlite")
    later = messages.encode(Report([Record(i, START + i, {FILL: 7}) for i in range(2, 5)]))
    assert (
        verdicts(made.put(hello(0), arrival(1, 0, 3), undecodable(2, later), undecodable(3, b"\xff")))
        == [COMMITTED] * 4
    )
    with made.reader() as reader:
        assert reader.summary()["undecoded"] == 2 and len(reader.waiting("council", 0, 10)) == 1
    made.store.stop()
    again = Desk(tmp_path / "store.sqlite")  # this "version" can read the first of them
    with again.reader() as reader:
        assert reader.summary()["undecoded_reasons"] == {"unsupported": 1}
        assert [(row.first, row.count, row.fresh) for row in reader.waiting("council", 0, 10)] == [
            (0, 3, None),
            (2, 3, 0b110),
        ]
    assert again.ranges() == [(0, 4)]
    assert again.put(arrival(4, 3, 4))[0].report_id is not None
    assert again.ranges() == [(0, 6)]
    again.store.stop()


spans = st.tuples(st.integers(0, 60), st.integers(1, 12))


@given(st.lists(spans, max_size=30))
def test_ranges_are_sets(parts: list[tuple[int, int]]) -> None:
    model: set[int] = set()
    kept: list[ranges.Range] = []
    for first, count in parts:
        last = first + count - 1
        fresh = ranges.missing(kept, first, last)
        assert {i for low, high in fresh for i in range(low, high + 1)} == set(range(first, last + 1)) - model
        touching = [pair for pair in kept if pair[1] >= first - 1 and pair[0] <= last + 1]
        kept = sorted([pair for pair in kept if pair not in touching] + [ranges.merged(touching, first, last)])
        model |= set(range(first, last + 1))
    assert {i for low, high in kept for i in range(low, high + 1)} == model
    assert all(b[0] > a[1] + 1 for a, b in itertools.pairwise(kept))


@st.composite
def traffic(draw: st.DrawFn) -> list[list[tuple[int, int, int]]]:
    """Transactions of (number, first index, count): late, repeated, overlapping, in any order."""
    step = st.tuples(st.integers(1, 150), st.integers(0, 80), st.integers(1, 12))
    return draw(st.lists(st.lists(step, min_size=1, max_size=6), max_size=12))


@settings(max_examples=150, deadline=None)
@given(traffic(), st.integers(0, 3))
def test_windows_and_ranges_follow_a_simple_model(transactions: list[list[tuple[int, int, int]]], forget: int) -> None:
    """Against sets of numbers and indices; caches are dropped, and transactions rolled back, at random."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        books = Books(db, ["council"], decoding.read_again)
        db.execute("BEGIN")
        assert books.take(hello(0)).verdict == COMMITTED
        books.flush()
        db.execute("COMMIT")
        numbers, indices = {0}, set[int]()
        for place, transaction in enumerate(transactions):
            fails = forget and place % 4 == forget
            before = set(numbers), set(indices)
            db.execute("BEGIN")
            for seq, first, count in transaction:
                outcome = books.take(arrival(seq, first, count))
                expected = REPLAYED if seq <= max(numbers) - 64 else DUPLICATE if seq in numbers else COMMITTED
                assert outcome.verdict == expected
                if expected == COMMITTED:
                    new = set(range(first, first + count)) - indices
                    assert (outcome.report_id is not None) == bool(new)
                    numbers.add(seq)
                    indices |= new
                    assert outcome.top == max(numbers)
            books.finish()
            if fails:
                db.execute("ROLLBACK")
                books.forget()
                numbers, indices = before
            else:
                db.execute("COMMIT")
        stored = db.execute("SELECT first, last FROM committed ORDER BY first").fetchall()
        assert {i for low, high in stored for i in range(low, high + 1)} == indices
        documents = [
            first + offset
            for first, count, fresh in db.execute("SELECT first, count, fresh FROM report")
            for offset in range(count)
            if fresh is None or fresh >> offset & 1
        ]
        assert sorted(documents) == sorted(indices)  # each record in exactly one row for the council


def test_the_frame_kinds_that_this_test_uses_are_what_they_seem() -> None:
    assert isinstance(messages.decode(arrival(1, 0, 3).message, frame.UP), Report)


def test_a_commit_does_not_wait_for_senders_that_wait_for_it(tmp_path: Path) -> None:
    """A full window of frames and then nothing: they are committed before their time, and fewer are not."""
    made = Desk(tmp_path / "store.sqlite", commit_interval_ms=1000)
    made.put(hello(0))
    started = time.monotonic()
    for turn in range(4):
        made.put(*[arrival(1 + 16 * turn + number, 16 * turn + number, 1) for number in range(16)])
    assert time.monotonic() - started < 1
    commits, before = made.store.health.commits, made.store._last_commit
    made.put(*[arrival(100 + number, 100 + number, 1) for number in range(store_module.MANY - 1)])
    assert made.store.health.commits == commits + 1 and made.store._last_commit - before >= 1
    made.store.stop()
