"""The audit log: what is changed, left out, cut off or moved is found; and no more is claimed than a head covers."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_harness import SITE

from kerbgate import audit
from kerbgate.errors import AuditError
from kerbgate.store import schema
from kerbtools import audit as verb

COUNT = 30


@pytest.fixture
def key(tmp_path: Path) -> audit.Key:
    return audit.Key.open(tmp_path, create=True)


@pytest.fixture
def db(tmp_path: Path, key: audit.Key) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)) as made:
        schema.migrate(made)
        for number in range(COUNT):
            assert audit.append(made, key, "state" if number % 3 else "note", {"what": f"entry {number}"}) == number + 1
        yield made


def head_at(db: sqlite3.Connection, seq: int) -> audit.Head:
    return audit.Head(seq, db.execute("SELECT mac FROM audit WHERE seq=?", (seq,)).fetchone()[0].hex(), 1000)


def test_a_whole_log_is_claimed_up_to_the_last_head_and_no_further(db: sqlite3.Connection, key: audit.Key) -> None:
    verdict = audit.verify(db, key)
    assert verdict.sound and verdict.entries == COUNT and verdict.covered == 0
    assert verb.plain(verdict).startswith("nothing is claimed")
    audit.acknowledged(db, head_at(db, 20))
    verdict = audit.verify(db, key)
    assert verdict.covered == 20 and verdict.last == COUNT and not verdict.outside
    assert "whole up to entry 20" in verb.plain(verdict) and "10 entries after it" in verb.plain(verdict)
    verdict = audit.verify(db, key, [head_at(db, 12), head_at(db, 25)])
    assert verdict.covered == 25 and verdict.outside and "the council received" in verb.plain(verdict)


TAMPERED: dict[str, Callable[[sqlite3.Connection], object]] = {
    "an entry changed": lambda db: db.execute("UPDATE audit SET entry=replace(entry, '11', '12') WHERE seq=12"),
    "a kind changed": lambda db: db.execute("UPDATE audit SET kind='note' WHERE seq=12"),
    "a hash changed": lambda db: db.execute("UPDATE audit SET mac=randomblob(32) WHERE seq=12"),
    "a hash of no kind": lambda db: db.execute("UPDATE audit SET mac=7, entry=x'00' WHERE seq=12"),
    "an entry left out": lambda db: db.execute("DELETE FROM audit WHERE seq=12"),
    "left out and closed up": lambda db: (
        db.execute("DELETE FROM audit WHERE seq=12"),
        db.execute("UPDATE audit SET seq=seq-1 WHERE seq>12"),
    ),
    "two in another order": lambda db: (
        db.execute("UPDATE audit SET seq=-12 WHERE seq=12"),
        db.execute("UPDATE audit SET seq=12 WHERE seq=13"),
        db.execute("UPDATE audit SET seq=13 WHERE seq=-12"),
    ),
    "one put in": lambda db: (
        db.execute("UPDATE audit SET seq=-seq-1 WHERE seq>12"),
        db.execute("UPDATE audit SET seq=-seq WHERE seq<0"),
        db.execute("INSERT INTO audit SELECT 13, kind, entry, mac FROM audit WHERE seq=12"),
    ),
    "one at the end": lambda db: db.execute("INSERT INTO audit VALUES (31, 'state', '{}', randomblob(32))"),
    "the first ones": lambda db: db.execute("DELETE FROM audit WHERE seq < 5"),
    "the first ones, as if pruned": lambda db: (
        db.execute(
            "INSERT INTO command_meta SELECT ?, json_array(4, lower(hex(mac)), lower(hex(randomblob(32))))"
            " FROM audit WHERE seq=4",
            (audit.ANCHOR,),
        ),
        db.execute("DELETE FROM audit WHERE seq < 5"),
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_is_found(db: sqlite3.Connection, key: audit.Key, how: str) -> None:
    assert audit.verify(db, key).sound
    TAMPERED[how](db)
    verdict = audit.verify(db, key)
    assert not verdict.sound, how
    assert verb.plain(verdict).startswith("NOT WHOLE")


def test_a_log_that_was_cut_off_is_found_by_its_head(db: sqlite3.Connection, key: audit.Key) -> None:
    heads = [head_at(db, 10), head_at(db, 25)]
    db.execute("DELETE FROM audit WHERE seq > 24")
    assert audit.verify(db, key).sound  # nothing on this machine tells
    verdict = audit.verify(db, key, heads)
    assert verdict.faults == ["the log ends at entry 24; the council was told of entry 25"]
    db.execute("DELETE FROM audit")
    assert not audit.verify(db, key, heads).sound


def test_a_chain_that_who_has_the_key_wrote_anew_is_found_by_the_head(db: sqlite3.Connection, key: audit.Key) -> None:
    heads = [head_at(db, 25)]
    rows = db.execute("SELECT seq, kind, entry FROM audit ORDER BY seq").fetchall()
    db.execute("DELETE FROM audit")
    before = audit.START
    for seq, kind, entry in rows:
        text = entry if seq != 12 else '{"what": "nothing"}'
        before_mac = key.mac(before, seq, kind, text)
        db.execute("INSERT INTO audit VALUES (?,?,?,?)", (seq, kind, text, before_mac))
        before = before_mac
    assert audit.verify(db, key).sound
    assert audit.verify(db, key, heads).faults == ["entry 25 is another than the council was told of"]


def test_another_key_opens_nothing(db: sqlite3.Connection, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert not audit.verify(db, audit.Key.open(tmp_path / "other", create=True)).sound


def test_what_is_taken_away_in_good_order_leaves_a_whole_log(db: sqlite3.Connection, key: audit.Key) -> None:
    assert audit.prune(db, key, keep=20) == 0  # the council has nothing of it
    audit.acknowledged(db, head_at(db, 15))
    db.execute("INSERT INTO command_meta VALUES (?, 12)", (audit.PUBLISHED,))
    assert audit.prune(db, key, keep=COUNT) == 0
    assert audit.prune(db, key, keep=20) == 10
    verdict = audit.verify(db, key, [head_at(db, 15)])
    assert verdict.sound and verdict.first == 11 and verdict.covered == 15
    assert audit.append(db, key, "state", {}) == COUNT + 1
    assert audit.prune(db, key, keep=10) == 2  # up to what was published
    assert audit.prune(db, key, keep=5) == 9  # and where nobody takes it, up to twice the bound
    assert audit.verify(db, key).sound
    db.execute("DELETE FROM audit")
    assert audit.append(db, key, "state", {}) == 22  # the note of what was pruned goes on


def test_the_key_is_private_and_shown_by_nothing(tmp_path: Path, key: audit.Key) -> None:
    path = tmp_path / audit.KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_bytes().hex() not in repr(key)
    path.chmod(0o640)
    with pytest.raises(AuditError, match="read by others") as caught:
        audit.Key.open(tmp_path)
    assert "chmod 600" in caught.value.hint
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(AuditError, match="32 bytes"):
        audit.Key.open(tmp_path, create=True)
    path.unlink()
    with pytest.raises(AuditError, match="cannot be read"):
        audit.Key.open(tmp_path)


@pytest.mark.parametrize("line", ["x", "[]", "{}", '{"schema": "kerbstone/audit-head/1", "site": "quay"}',
                                  '{"schema": "kerbstone/audit-head/1", "site": "harbour", "sequence": 1, "mac": "00"}'])  # fmt: skip
def test_a_file_that_holds_no_heads_is_refused(line: str) -> None:
    with pytest.raises(AuditError):
        audit.read_heads(line, SITE)


def test_kerb_audit_says_what_it_found(
    db: sqlite3.Connection, key: audit.Key, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f'[gateway]\nsite = "{SITE}"\nstate = "."\n')
    heads = tmp_path / "heads.jsonl"
    heads.write_text("\n".join(json.dumps(head_at(db, n).document(SITE, "2026-03-01T00:00:00Z")) for n in (5, 25)))
    assert verb.main(["verify", "--config", str(config), "--head", str(heads), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["covered"] == 25
    assert verb.main(["show", "--config", str(config), "--limit", "2"]) == 0
    assert "entry 29" in capsys.readouterr().out
    db.execute("UPDATE audit SET entry='{}' WHERE seq=3")
    assert verb.main(["verify", "--config", str(config), "--head", str(heads)]) == 1
    assert "entry 3 was changed" in capsys.readouterr().out
    heads.write_text("no head")
    assert verb.main(["verify", "--config", str(config), "--head", str(heads)]) == 1
    assert "audit/head" in capsys.readouterr().err
    (tmp_path / "store.sqlite").unlink()
    assert verb.main(["verify", "--config", str(config)]) == 1
