"""Numbered steps from frozen stores: what a program of each schema left is read by this one, whole."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from kerbgate import decoding
from kerbgate.config import StoreSettings
from kerbgate.errors import StoreError
from kerbgate.store import Reader, Store, schema
from kerbwire.messages import Report

FROZEN = Path(__file__).parent / "data"
# A step is never edited once it was released: a store that has it would differ from one that gets it later.
RELEASED = {
    "0001-reports.sql": "d4a60299bf7caa18",
    "0002-short-reports.sql": "c4f777c460b5979b",
    "0003-window-floor.sql": "72e14af0896b9b47",
    "0004-ledgers.sql": "119c850aaf7b455a",
}


def thaw(path: Path, number: int) -> None:
    """A store of schema `number`: as its program left it, or the one before it and the steps in between."""
    base = max(n for n in frozen() if n <= number)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript((FROZEN / f"store-{base}.sql").read_text())
        for step in schema.steps()[base:number]:
            db.executescript(step)
        db.execute(f"PRAGMA user_version={number}")


def frozen() -> list[int]:
    return sorted(int(file.stem.removeprefix("store-")) for file in FROZEN.glob("store-*.sql"))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(path, outlets=["council"], settings=StoreSettings(), post=lambda _: None, decode=decoding.read_again)
    try:
        yield store
    finally:
        store.stop()


def test_released_steps_are_as_they_were() -> None:
    folder = resources.files("kerbgate.store").joinpath("migrations")
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in folder.iterdir()}
    assert {name: found.get(name) for name in RELEASED} == RELEASED
    assert len(schema.steps()) == len(found)


@pytest.mark.parametrize("number", range(1, schema.version() + 1))
def test_a_frozen_store_is_brought_up_to_date_with_all_that_it_holds(tmp_path: Path, number: int) -> None:
    path = tmp_path / "store.sqlite"
    thaw(path, number)
    with contextlib.closing(sqlite3.connect(path)) as db:
        messages = db.execute("SELECT message FROM report ORDER BY report_id").fetchall()
        outbox = db.execute("SELECT * FROM outbox ORDER BY 1, 2").fetchall()
    with opened(path) as store, contextlib.closing(Reader(path)) as reader:
        assert not store.restored  # a store from before there were marks is no copy
        summary = reader.summary()
        assert summary["schema"] == schema.version() and summary["records"] == 50 + 5 + 30
        assert summary["lives"] == {"confirmed": 2, "closed": 1}
        assert [row[0] for row in reader.dump()["report"]] == list(range(1, len(messages) + 1))
        assert [(row[8],) for row in reader.dump()["report"]] == messages
        assert reader.dump()["outbox"] == outbox
        assert summary["undecoded_reasons"] == {"unknown kind": 1}
        assert [(gap["node"], gap["first"], gap["count"], gap["declared"]) for gap in summary["gaps"]] == [
            (17, 40, 3, True)
        ]
        for row in reader.waiting("council", 0, 100):
            report = decoding.read(row.message, row.near)
            assert isinstance(report, Report)
            assert [record.index for record in report.records] == list(range(row.first, row.first + row.count))
    with opened(path) as store:
        assert not store.restored


def test_a_new_store_and_a_migrated_one_have_the_same_tables(tmp_path: Path) -> None:
    def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
        with contextlib.closing(sqlite3.connect(path)) as db:
            names = [row[0] for row in db.execute("SELECT name FROM sqlite_master ORDER BY 1")]
            return {name: db.execute(f"PRAGMA table_info({name})").fetchall() for name in names}

    with opened(tmp_path / "new.sqlite"):
        pass
    for number in frozen():
        path = tmp_path / f"{number}.sqlite"
        thaw(path, number)
        with opened(path):
            pass
        assert tables(path) == tables(tmp_path / "new.sqlite")


def test_a_step_that_fails_leaves_the_last_whole_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite"
    thaw(path, 3)
    broken = (*schema.steps(), "CREATE TABLE half (one); INSERT INTO nowhere VALUES (1)")
    monkeypatch.setattr(schema, "steps", lambda: broken)
    with pytest.raises(StoreError, match="no such table: nowhere"), opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(broken) - 1,)
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name='half'").fetchone() == (0,)


def test_a_store_that_was_not_brought_up_to_date_yet_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    thaw(path, 1)
    with pytest.raises(StoreError) as caught:
        Reader(path)
    assert "has schema 1" in caught.value.cause and "kerb gateway run" in caught.value.hint
