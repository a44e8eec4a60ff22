"""Folds: updated in the transaction of the records, and never in the way of them."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import START, until

from kerbgate import decoding
from kerbgate.config import StoreSettings
from kerbgate.store import NewReport, Reader, Store
from kerbgate.store.folds import owe_all
from kerbgate.store.items import Arrival, HelloFacts, Outcome
from kerbgate.store.store import Settled
from kerbwire import messages
from kerbwire.channels import FILL
from kerbwire.messages import Record, Report


class Sums:
    """Keeps the sum of all fill levels, in a table of its own. Fails on request."""

    name = "sums"

    def __init__(self) -> None:
        self.fails = False
        self.forgotten = 0

    def apply(self, connection: sqlite3.Connection, new: Sequence[NewReport]) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS sums (one PRIMARY KEY, records, total)")
        connection.execute("INSERT OR IGNORE INTO sums VALUES (1, 0, 0)")
        for item in new:
            values = [
                record.values[FILL]
                for offset, record in enumerate(item.report.records)
                if item.row.fresh is None or item.row.fresh >> offset & 1
            ]
            connection.execute("UPDATE sums SET records=records+?, total=total+?", (len(values), sum(values)))
            if self.fails:
                raise ValueError("a report that this fold cannot take")

    def forget(self) -> None:
        self.forgotten += 1


class Desk:
    def __init__(self, path: Path, *folds: Any, quota_mb: int = 0):
        self.store = Store(
            path,
            outlets=["council"],
            settings=StoreSettings(quota_mb=quota_mb),
            post=lambda _: None,
            decode=decoding.read_again,
            folds=folds,
        )
        self.seq = self.store._db.execute("SELECT coalesce(max(top), -1) + 1 FROM window").fetchone()[0]
        if not self.seq:
            self.put(hello=HelloFacts(True, 0, ()))

    def put(self, message: bytes = b"?", **fields: Any) -> Outcome:
        arrival = Arrival(1, "harbour", "bin", bytes(8), 0, self.seq, START * 1000, True, message, **fields)
        self.seq += 1
        return self.store._transaction([(arrival, lambda outcome: None)], Settled(), [])[0][1]

    def report(self, first: int, count: int) -> Outcome:
        report = Report([Record(first + i, START + 60 * (first + i), {FILL: (first + i) % 100}) for i in range(count)])
        read = decoding.reading(report)
        return self.put(
            messages.encode(report), first=first, count=count, time=read.time, newest=read.newest, report=report
        )

    def sums(self) -> tuple[int, int]:
        return self.store._db.execute("SELECT records, total FROM sums").fetchone()

    def recomputed(self) -> tuple[int, int]:
        """The same, straight from the raw rows."""
        values: list[int] = []
        with contextlib.closing(Reader(self.store.path)) as reader:
            for row in reader.waiting("council", 0, 10_000):
                report = decoding.read(row.message, row.near)
                assert isinstance(report, Report)
                values += [
                    record.values[FILL]
                    for offset, record in enumerate(report.records)
                    if row.fresh is None or row.fresh >> offset & 1
                ]
        return len(values), sum(values)

    def pay(self) -> None:
        self.store.chores.begin()
        for _ in range(5):
            self.store.chores.run(self.store._ready(), START * 1000, False)


def test_a_fold_sees_each_record_once_whatever_is_sent_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "store.sqlite", Sums())
    for first, count in ((0, 10), (0, 10), (5, 10), (30, 5), (12, 20), (0, 60)):
        desk.report(first, count)
    assert desk.sums() == desk.recomputed() == (60, sum(range(60)))
    desk.store.stop()


def test_a_fold_is_rolled_back_with_its_records(tmp_path: Path) -> None:
    fold = Sums()
    desk = Desk(tmp_path / "store.sqlite", fold)
    desk.report(0, 10)
    with pytest.raises(sqlite3.Error):
        desk.store._transaction([], Settled([(object(), 1)]), [])  # type: ignore[list-item]
    desk.store._failed(ValueError("rolled back"))
    before = fold.forgotten
    desk.report(10, 10)
    assert fold.forgotten > before and desk.sums() == desk.recomputed() == (20, sum(range(20)))
    desk.store.stop()


def test_a_fold_that_fails_keeps_no_record_away_and_takes_it_up_later(tmp_path: Path) -> None:
    fold, other = Sums(), Sums()
    other.name = "others"
    desk = Desk(tmp_path / "store.sqlite", fold)
    desk.report(0, 10)
    fold.fails = True
    outcome = desk.report(10, 10)
    assert outcome.verdict == "committed" and outcome.report_id is not None
    assert desk.sums() == (10, sum(range(10)))  # what it wrote before it failed is undone
    assert desk.store.folds.failures == 1
    assert desk.store.folds.last_error == "sums: ValueError: a report that this fold cannot take"
    desk.pay()
    with contextlib.closing(Reader(desk.store.path)) as reader:
        assert reader.summary()["debts"] == {"sums": 1}
    desk.store.stop()

    again = Desk(tmp_path / "store.sqlite", Sums())  # the next version can
    again.pay()
    assert again.sums() == again.recomputed() == (20, sum(range(20)))
    with contextlib.closing(Reader(again.store.path)) as reader:
        assert reader.summary()["debts"] == {}
    again.store.stop()


def test_a_new_fold_takes_up_what_the_store_holds(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "store.sqlite")
    for number in range(500):
        desk.report(2 * number, 2)
    owe_all(desk.store._db, "sums")
    desk.store.stop()
    again = Desk(tmp_path / "store.sqlite", Sums())
    again.store.start()
    until(lambda: not again.store.chores._owing, "the debts are paid")
    assert again.sums() == again.recomputed()
    again.store.stop()


class Picky(Sums):
    """Cannot take a record of an even index. Its work fails on request."""

    def __init__(self) -> None:
        super().__init__()
        self.works = True

    def apply(self, connection: sqlite3.Connection, new: Sequence[NewReport]) -> None:
        super().apply(connection, new)
        if any(record.index % 2 == 0 for item in new for record in item.report.records):
            raise ValueError("an even index")

    def due(self, now: float) -> bool:
        return True

    def work(self, connection: sqlite3.Connection, now: float, newest_ms: int) -> bool:
        if not self.works:
            raise ValueError("not now")
        return False


def test_a_report_that_a_fold_cannot_take_keeps_no_others_from_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "store.sqlite")
    for first in (1, 3, 4, 5, 7):
        desk.report(first, 1)
    owe_all(desk.store._db, "sums")
    desk.store.stop()
    again = Desk(tmp_path / "store.sqlite", Picky())
    again.pay()
    assert again.sums() == (4, 1 + 3 + 5 + 7)
    assert again.store._db.execute("SELECT count(*) FROM debt").fetchone() == (1,)
    assert again.store.folds.failing
    again.store.stop()


def test_work_that_failed_once_is_no_trouble_when_it_is_done(tmp_path: Path) -> None:
    fold = Picky()
    desk = Desk(tmp_path / "store.sqlite", fold)
    desk.pay()
    assert not desk.store.folds.failing
    fold.works = False
    desk.pay()
    assert desk.store.folds.failing
    fold.works = True
    desk.store.folds._not_before.clear()
    desk.pay()
    assert not desk.store.folds.failing and desk.store.folds.failures == 1
    desk.store.stop()
