"""Room: a full disk that is freed, a quota and what goes first, bytes written a day, the check at start."""

import contextlib
import itertools
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import DEADLINE_S, START, GatewayProcess, Rig, Street, closing_all, taken_ids, until

from kerbgate import decoding
from kerbgate.store import Reader, opening, quota, tally
from kerbgate.store.items import Arrival, HelloFacts, Outcome
from kerbgate.store.quota import Thinned
from kerbgate.store.store import Settled, Store
from kerbtools.simulate import SimulatedNode
from kerbwire import messages
from kerbwire.channels import CAUSE, FILL, LEVEL
from kerbwire.messages import Record, Report

MB = 1024 * 1024
HOUR = 3600


def fill(folder: Path) -> Path:
    """Take every free byte."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in itertools.chain(itertools.repeat(65536, 1000), itertools.repeat(512, 1000)):
            file.write(bytes(size))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    assert shutil.disk_usage(folder).free == 0
    return ballast


def test_a_disk_that_is_really_full_and_freed_loses_and_doubles_nothing(small_disk: Path) -> None:
    """The gateway runs through it: it stops acknowledging, says so, and goes on by itself when there is room."""
    gateway = GatewayProcess(small_disk, inlets=[], broker_port=None, checkpoint_pages=50)
    nodes = gateway.register(range(1, 4))
    line = Street(nodes)
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{line.path}"\n')
    with closing_all(gateway, line):
        gateway.start()
        for turn in range(2):
            for node in nodes:
                node.take(40, START + turn * 3000 * HOUR)
            assert line.run(lambda: not any(node.waiting for node in nodes))
            ballast = fill(small_disk)
            for node in nodes:
                node.take(1000, START + (turn * 3000 + 100) * HOUR)
            end = time.monotonic() + 60
            while True:  # the room inside the files is used up too, and nothing is acknowledged any more
                waiting = [node.waiting for node in nodes]
                line.run(lambda: False, 1)
                writer = gateway.status()["store"]["writer"]
                if waiting == [node.waiting for node in nodes] and writer["failing"]:
                    break
                assert time.monotonic() < end, "it acknowledges although the disk is full"
            assert "0 bytes are free" in writer["failing"] and writer["failed_commits"] and any(waiting)
            ballast.unlink()
            assert line.run(lambda: not any(node.waiting for node in nodes), 60), "it did not recover by itself"
            assert gateway.status()["store"]["writer"]["failing"] is None
        assert gateway.stop() == 0
    with contextlib.closing(Reader(gateway.state / "store.sqlite")) as reader:
        rows = reader.waiting("-", 0, 10_000)
    ids: list[str] = []
    for row in rows:
        report = decoding.read(row.message, row.near)
        assert isinstance(report, Report)
        ids += [
            f"{row.site}/{row.node}/{row.life.hex()}/{record.index}"
            for offset, record in enumerate(report.records)
            if row.fresh is None or row.fresh >> offset & 1
        ]
    assert len(ids) == len(set(ids)) and set(ids) == taken_ids(nodes)


class Desk:
    """A store whose writer thread is not started: its transactions and chores are done by hand, in order."""

    def __init__(self, path: Path, **options: Any):
        from kerbgate.config import StoreSettings

        self.store = Store(
            path,
            outlets=["council", "archive"],
            settings=StoreSettings(quota_mb=options.pop("quota_mb", 1)),
            post=lambda _: None,
            decode=decoding.read_again,
            **options,
        )
        self.store.chores.begin()
        self._seq = 0
        self.put(hello=HelloFacts(True, 0, ()))

    def put(self, message: bytes = b"?", **fields: Any) -> Outcome:
        arrival = Arrival(1, "harbour", "bin", bytes(8), 0, self._seq, START * 1000, True, message, **fields)
        self._seq += 1
        return self.store._transaction([(arrival, lambda outcome: None)], Settled(), [])[0][1]

    def report(self, first: int, values: dict[int, int], size: int = 0) -> int:
        report = Report([Record(first + i, START + 60 * (first + i), values) for i in range(4)])
        read = decoding.reading(report)
        padded = messages.encode(report) + bytes(size)  # stands for the pages of many rows
        outcome = self.put(padded, first=first, count=4, time=read.time, newest=read.newest, keep=read.keep)
        assert outcome.report_id is not None
        return outcome.report_id

    def fill(self, begin: int) -> list[int]:
        """Reports of a bin until thinning is due, 10 indices apart: room for a dozen more is left."""
        rows: list[int] = []
        while self.store._quota.room.used_bytes <= (quota.HIGH + 0.01) * MB:
            rows.append(self.report(10 * (begin + len(rows)), {FILL: 5}, 9000))
            self.store._quota.measure(self.store._db, -1.0)
        assert len(rows) > 60
        return rows

    def forwarded(self, outlet: str, *report_ids: int) -> None:
        self.store._transaction([], Settled([(outlet, report_id) for report_id in report_ids]), [])

    def chores(self) -> quota.Room:
        """Chores until there is nothing to do."""
        for _ in range(100):
            self.store.chores.run(self.store._ready(), START * 1000, False)
            if not self.store._quota.room.thinning:
                break
        return self.store._quota.room

    def ids(self) -> list[int]:
        return [row[0] for row in self.store._db.execute("SELECT report_id FROM report ORDER BY 1")]

    def close(self) -> None:
        self.store.stop()


class Level:
    """A further layer that only says when it was asked."""

    name = "a roll-up"

    def __init__(self, said: list[str]):
        self._said = said

    def thin(self, connection: sqlite3.Connection) -> Thinned:
        self._said.append(self.name)
        return Thinned(0, 0, True)


def test_at_the_quota_only_what_every_outlet_has_goes_and_raw_goes_first(tmp_path: Path) -> None:
    said: list[str] = []
    desk = Desk(tmp_path / "store.sqlite", layers=[Level(said)])
    aside = desk.put(bytes(9000), reason="unknown kind")
    assert aside.verdict == "committed"
    changes = desk.report(0, {LEVEL: 50, CAUSE: 1}, 9000)
    rows = desk.fill(1)
    assert desk.chores().limit_bytes == MB and desk.ids() == [1, changes, *rows]
    assert desk.store._quota.room.used_bytes > quota.HIGH * MB
    assert said == ["a roll-up"] and desk.store._quota.room.exhausted  # nothing was forwarded: nothing to thin

    desk.forwarded("council", 1, changes, *rows[:60])
    desk.forwarded("archive", changes, *rows[:40])
    assert desk.chores().thinned_reports == 0  # one pass at a time
    desk.store._quota._next_pass = 0.0
    room = desk.chores()
    assert desk.ids() == [1, changes, *rows[40:]]  # kept: undecoded, level changes, what one outlet still lacks
    assert (room.thinned_reports, room.thinned_records) == (40, 160) and not room.exhausted
    assert said == ["a roll-up"]  # there was enough room before its turn came
    with contextlib.closing(Reader(tmp_path / "store.sqlite")) as reader:
        summary = reader.summary()
        assert (summary["thinned_reports"], summary["thinned_records"]) == (40, 160)
        assert summary["records"] == 4 * (len(rows) + 1)  # never thinned
        assert len(reader.committed(1, bytes(8))) == len(rows) + 1
    again = desk.put(messages.encode(Report([Record(10, START + 600, {FILL: 5})])), first=10, count=1, time=START)
    assert again.report_id is None  # a record that was thinned is still known
    desk.close()


def test_a_report_that_a_fold_owes_is_not_thinned(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "store.sqlite")
    rows = desk.fill(0)
    desk.forwarded("council", *rows)
    desk.forwarded("archive", *rows)
    desk.store._db.execute("INSERT INTO debt VALUES ('roll-up', ?, NULL)", (rows[3],))
    desk.chores()
    assert desk.ids() == [rows[3]]
    desk.close()


def test_without_a_quota_the_disk_is_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path / "store.sqlite", quota_mb=0)
    row = desk.report(0, {FILL: 5})
    desk.forwarded("council", row)
    desk.forwarded("archive", row)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(quota.shutil, "disk_usage", lambda path: usage._replace(free=usage.total // 2))
    assert not desk.chores().thinned_reports and desk.ids() == [row]
    monkeypatch.setattr(quota.shutil, "disk_usage", lambda path: usage._replace(free=quota.RESERVE))
    assert desk.chores().thinned_reports == 1
    desk.close()


def test_at_the_quota_nothing_is_acknowledged_until_something_was_forwarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, with the writer's own thread: full, refused, forwarded, thinned, stored."""
    monkeypatch.setattr(quota, "PASS_S", 0.5)
    rig = Rig(tmp_path, quota_mb=1)
    node = rig.node(17)
    rig.confirm(node)
    key = node._seal
    seq = 0
    while not rig.store.health.failing:
        seq += 1
        rig.send(key(messages.encode(Report([Record(seq * 100 + i, START + i, {FILL: 5}) for i in range(1)])), ()))
        if seq == 20:  # rows that stand for the months before
            with contextlib.closing(sqlite3.connect(rig.store.path)) as db:
                db.execute("UPDATE report SET message = message || zeroblob(50000) WHERE report_id <= 16")
                db.commit()
    assert "quota_mb = 1" in rig.store.health.failing and rig.refused()["store failed"]
    rows = [row[0] for row in rig.query("SELECT report_id FROM outbox")]
    rig.store.forwarded("council", rows)
    node.take(8, START + 100 * HOUR)
    end = time.monotonic() + DEADLINE_S
    while node.waiting and time.monotonic() < end:
        rig.exchange(node)
    assert node.waiting == 0 and rig.store.health.failing is None
    until(lambda: rig.store._quota.room.thinned_reports >= 16, "what was forwarded made room")
    rig.close()


def test_bytes_written_are_those_that_the_kernel_counts(tmp_path: Path) -> None:
    wear = tally.Wear()
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(bytes(100_000))
    assert 100_000 <= wear.since_last() < 101_000
    assert wear.since_last() < 1000


def test_megabytes_written_a_day_are_kept_by_day(rig: Rig) -> None:
    node = rig.node(17)
    rig.confirm(node)
    for day in range(3):
        rig.clock.now = START + day * 86400
        node.take(24, START + day * 86400)
        rig.exchange(node)
        before = rig.store.health.written_bytes
        until(lambda before=before: rig.store.health.written_bytes > before, "the bytes of this day are counted", 5)
    rig.restart()
    with contextlib.closing(Reader(rig.store.path)) as reader:
        written = reader.summary()["written"]
    assert [row["day"] for row in written] == ["2026-03-03", "2026-03-02", "2026-03-01"]
    assert all(4096 < row["bytes"] < 4 * MB for row in written)


def test_the_check_at_start_is_bounded_in_time_and_says_whether_it_came_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "store.sqlite", quota_mb=0)
    desk.store._db.execute("INSERT INTO tally WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 200000)"
                           " SELECT i, 'x', 1 FROM n")  # fmt: skip
    desk.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as db:
        assert opening.check(db, tmp_path, 20.0) is True
        assert opening.check(db, tmp_path, None) is True
        monkeypatch.setattr(opening, "_CHECK_STEPS", 100)
        started = time.monotonic()
        assert opening.check(db, tmp_path, 0.0) is False
        assert time.monotonic() - started < 10


def test_chores_never_take_the_store_down(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(db: sqlite3.Connection, now: float) -> bool:
        raise RuntimeError("no room is known")

    monkeypatch.setattr(rig.store._quota, "measure", fails)
    until(lambda: rig.store.health.failed_chores, "the chores were tried")
    node: SimulatedNode = rig.node(17)
    rig.confirm(node)
    node.take(5, START)
    rig.exchange(node)
    assert node.waiting == 0 and rig.store.health.last_failed_chore == "RuntimeError: no room is known"
    assert rig.store.alive
