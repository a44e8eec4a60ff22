"""Backup and restore: nothing repeats a nonce, what the nodes still hold comes back, and a copied-back file is noticed."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import ENVIRONMENT, SITE, START, GatewayProcess, Rig, Street, closing_all, until

from kerbgate import backup, resends
from kerbgate.errors import StoreBusy, StoreDamaged, StoreError, StoreTooNew
from kerbgate.store import Reader, schema
from kerbgate.store.items import Ask
from kerbtools.simulate import SimulatedNode
from kerbwire import frame

HOUR = 3600


class Ether:
    """Every frame that was ever in the air: no (sender, key, number) may come twice with other bytes."""

    def __init__(self) -> None:
        self.frames: dict[tuple[Any, ...], bytes] = {}

    def hear(self, data: bytes, life: bytes) -> None:
        header = frame.parse(data)
        instance = header.context if header.space == frame.DOWN else b""
        key = (header.space, header.node, header.epoch, life, instance, header.seq)
        assert self.frames.setdefault(key, data) == data, "a nonce was used twice under one key"


def exchange(rig: Rig, node: SimulatedNode, ether: Ether) -> None:
    data = node.next_frame()
    if data is not None:
        ether.hear(data, node.life)
        for answer in rig.send(data):
            ether.hear(answer, node.life)
            node.feed(answer)


def talk(rig: Rig, nodes: list[SimulatedNode], ether: Ether, rounds: int = 30) -> None:
    for _ in range(rounds):
        for node in nodes:
            exchange(rig, node, ether)


def stored(rig: Rig) -> dict[tuple[int, bytes], set[int]]:
    """The records that wait for the council or were forwarded, by life: each in exactly one row."""
    out: dict[tuple[int, bytes], set[int]] = {}
    for node, life, first, count, fresh in rig.query(
        "SELECT node, life, first, count, fresh FROM report JOIN life USING (life_id) WHERE report.state='decoded'"
    ):
        mask = int.from_bytes(fresh, "big") if isinstance(fresh, bytes) else fresh
        new = {first + i for i in range(count) if mask is None or mask >> i & 1}
        assert not new & out.setdefault((node, life), set()), "a record is in two rows"
        out[node, life] |= new
    return out


@pytest.fixture
def street(rig: Rig) -> tuple[Rig, list[SimulatedNode], Ether]:
    """Three nodes with 40 records committed."""
    nodes = [rig.node(address, ring=500) for address in (17, 18, 19)]
    ether = Ether()
    for node in nodes:
        node.take(40, START)
    talk(rig, nodes, ether, 5)
    assert not any(node.waiting for node in nodes)
    return rig, nodes, ether


def replace(rig: Rig, file: Path) -> None:
    """The store's disk is lost with everything on it but the registry, and a backup goes onto a new one."""
    rig.close()
    for old in rig.folder.glob("store.sqlite*"):
        old.unlink()
    backup.restore(file, rig.folder / "store.sqlite")
    rig.open()


def test_a_restored_store_gets_back_what_the_nodes_still_hold(
    street: tuple[Rig, list[SimulatedNode], Ether], tmp_path: Path
) -> None:
    rig, nodes, ether = street
    made = backup.backup(rig.store.path, tmp_path / "monday.backup")
    assert made["records"] == 120
    for node in nodes:  # after the backup: committed, acknowledged, and lost with the disk
        node.take(30, START + 40 * HOUR)
    nodes[2].wipe()  # and one began a new life, of which the backup knows nothing
    nodes[2].take(30, START + 70 * HOUR)
    talk(rig, nodes, ether, 6)
    assert not any(node.waiting for node in nodes)
    replayed = list(ether.frames.values())
    replace(rig, tmp_path / "monday.backup")

    assert rig.store.restored and rig.query("SELECT count(*) FROM window") == [(0,)]
    before = rig.dump()
    for data in replayed:  # whoever recorded the street can say nothing of it again
        rig.send(data)
    assert rig.dump() == before

    for node in nodes:
        node.take(5, START + 100 * HOUR)
    talk(rig, nodes, ether)
    assert not any(node.waiting for node in nodes) and all(node.confirmed for node in nodes)
    found = stored(rig)
    for node in nodes:
        assert found[node.address, node.life] == set(node.taken)
    with contextlib.closing(Reader(rig.store.path)) as reader:
        summary = reader.summary()
        assert summary["restored"]["why"] == "it is a backup" and summary["restored"]["nodes_not_back"] == 0
        assert summary["gaps"] == [] and summary["asks_waiting"] == 0
    assert rig.query("SELECT DISTINCT status FROM ask") == [(0,)] and len(rig.intake.resends) == 0
    assert rig.intake.undecoded == 0


def test_what_a_node_no_longer_holds_stays_in_the_ledger(rig: Rig, tmp_path: Path) -> None:
    node, ether = rig.node(17, ring=10), Ether()
    node.take(40, START)
    talk(rig, [node], ether, 5)
    backup.backup(rig.store.path, tmp_path / "b")
    node.take(30, START + 40 * HOUR)
    talk(rig, [node], ether, 5)
    replace(rig, tmp_path / "b")
    node.take(1, START + 70 * HOUR)
    talk(rig, [node], ether)
    with contextlib.closing(Reader(rig.store.path)) as reader:
        (hole,) = reader.summary()["gaps"]
    assert (hole["first"], hole["count"], hole["declared"], hole["asked"]) == (40, 20, False, "applied")
    assert stored(rig)[17, node.life] == set(range(40)) | set(range(60, 71))


def test_an_ask_outlives_a_restart_and_a_silent_node(
    street: tuple[Rig, list[SimulatedNode], Ether], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, nodes, ether = street
    backup.backup(rig.store.path, tmp_path / "b")
    nodes[0].take(30, START + 40 * HOUR)
    talk(rig, nodes, ether, 5)
    replace(rig, tmp_path / "b")
    nodes[0].take(1, START + 70 * HOUR)
    monkeypatch.setattr(nodes[0], "_obey", lambda command: None)  # the command is lost on the way
    for _ in range(8):
        exchange(rig, nodes[0], ether)
    assert rig.query("SELECT first, count, status FROM ask") == [(40, 31, None)]
    rig.restart()
    assert rig.store.restored
    monkeypatch.undo()
    nodes[0].take(1, START + 71 * HOUR)
    talk(rig, nodes[:1], ether, 8)
    assert stored(rig)[17, nodes[0].life] == set(nodes[0].taken)


def test_an_ask_is_repeated_after_a_pause_and_not_for_ever() -> None:
    made = resends.Resends({(1, b"life"): (Ask(7, 0, 5), Ask(8, 10, 5))})
    assert made.due(2, b"life", 0.0) is None
    assert [made.due(1, b"life", 0.0), made.due(1, b"life", 0.0)] == [Ask(7, 0, 5), Ask(8, 10, 5)]
    assert made.due(1, b"life", resends.PAUSE_S - 1) is None
    assert made.answered(1, b"life", 7) and not made.answered(1, b"life", 7)
    sent = 1
    for turn in range(1, 50):
        sent += made.due(1, b"life", turn * resends.PAUSE_S) is not None
    assert sent == resends.MAX_TRIES and len(made) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("copied back", "it is older than it was"),
        ("copied back without its mark", "its mark is gone"),
        ("another store", "another store was here before"),
        ("lost", "the store before it is gone"),
    ],
)
def test_a_file_that_was_copied_back_by_hand_is_noticed(
    street: tuple[Rig, list[SimulatedNode], Ether], tmp_path: Path, change: str, why: str
) -> None:
    rig, nodes, ether = street
    rig.close()
    path = rig.folder / "store.sqlite"
    shutil.copy(path, tmp_path / "copy")
    rig.open()
    assert not rig.store.restored
    nodes[0].take(10, START + 40 * HOUR)
    talk(rig, nodes, ether, 4)
    rig.close()
    path.with_name("store.sqlite-wal").unlink(missing_ok=True)
    if change == "another store":
        path.unlink()
        mark = path.with_name("store.sqlite.mark")
        mark.rename(tmp_path / "mark")
        rig.open()
        rig.close()
        (tmp_path / "mark").rename(mark)
    elif change == "lost":
        path.unlink()
    else:
        shutil.copy(tmp_path / "copy", path)
        if change.endswith("mark"):
            path.with_name("store.sqlite.mark").unlink()
    rig.open()
    assert rig.store.restored and rig.query("SELECT value FROM meta WHERE name='restored_why'") == [(why,)]
    for node in nodes:
        node.take(1, START + 60 * HOUR)
    talk(rig, nodes, ether)
    found = stored(rig)
    for node in nodes:
        assert found[node.address, node.life] == set(node.taken)
    rig.restart()
    assert rig.query("SELECT count(*) FROM window") == [(3,)]  # once is enough


def test_a_kill_and_a_restart_are_no_restore(street: tuple[Rig, list[SimulatedNode], Ether]) -> None:
    rig, nodes, ether = street
    for _ in range(3):
        rig.restart()
        nodes[0].take(3, START)
        talk(rig, nodes, ether, 2)
    assert not rig.store.restored and rig.query("SELECT count(*) FROM window") == [(3,)]


def test_a_backup_of_a_running_store_is_whole_commits(rig: Rig, tmp_path: Path) -> None:
    """Copies are made while nodes report: each has no range without its rows and no row without its range."""
    nodes, ether = [rig.node(address) for address in range(1, 9)], Ether()
    talk(rig, nodes, ether, 2)
    done, made = threading.Event(), []

    def copy() -> None:
        while not done.is_set():
            made.append(tmp_path / f"{len(made)}.backup")
            backup.backup(rig.store.path, made[-1])

    thread = threading.Thread(target=copy)
    thread.start()
    for round_number in range(150):
        for node in nodes:
            node.take(3, START + round_number * 3 * HOUR)
        talk(rig, nodes, ether, 1)
    done.set()
    thread.join(60)
    assert len(made) >= 5 and not thread.is_alive()
    sizes = []
    for file in made:
        assert file.stat().st_mode & 0o777 == 0o600
        with contextlib.closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            sums = db.execute("SELECT sum(last - first + 1) FROM committed").fetchone()[0] or 0
            assert (db.execute("SELECT sum(count) FROM report").fetchone()[0] or 0) == sums
            sizes.append(sums)
    assert sizes == sorted(sizes) and sizes[-1] > sizes[0]
    assert sorted(tmp_path.glob("*.part*")) == []


def test_a_restore_keeps_the_former_store_and_refuses_a_running_gateway(rig: Rig, tmp_path: Path) -> None:
    backup.backup(rig.store.path, tmp_path / "b")
    with pytest.raises(StoreBusy):
        backup.restore(tmp_path / "b", rig.store.path)
    rig.close()
    kept = backup.restore(tmp_path / "b", rig.store.path)["kept"]
    assert kept is not None
    with contextlib.closing(sqlite3.connect(kept)) as db:
        assert db.execute("SELECT value FROM meta WHERE name='store_id'").fetchone() == (rig.store.store_id,)
    rig.open()
    assert rig.store.restored


def ruin(file: Path) -> None:
    """Overwrite the middle of every page but the first, as a card that forgets does."""
    data = bytearray(file.read_bytes())
    for at in range(4096, len(data), 4096):
        data[at : at + 200] = bytes(200)
    file.write_bytes(data)


def foreign(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)


def later(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version={schema.version() + 1}")


@pytest.mark.parametrize(("spoil", "error"), [(ruin, StoreError), (foreign, StoreError), (later, StoreTooNew)])
def test_a_backup_that_is_none_changes_nothing(
    street: tuple[Rig, list[SimulatedNode], Ether],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    error: type[StoreError],
) -> None:
    rig = street[0]
    file = tmp_path / "b"
    backup.backup(rig.store.path, file)
    spoil(file)
    before = {name: rows for name, rows in rig.dump().items() if name != "tally"}
    rig.close()
    with pytest.raises(error) as caught:
        backup.restore(file, rig.store.path)
    assert caught.value.hint
    rig.open()
    assert before.items() <= rig.dump().items() and not rig.store.restored
    assert sorted(tmp_path.glob("*.part*")) == []


def test_a_backup_never_replaces_a_file(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("last week's")
    with pytest.raises(StoreError) as caught:
        backup.backup(rig.store.path, tmp_path / "b")
    assert "exists already" in caught.value.cause and (tmp_path / "b").read_text() == "last week's"
    with pytest.raises(StoreError):
        backup.backup(tmp_path / "nothing.sqlite", tmp_path / "c")


def test_a_damaged_store_does_not_start_and_names_the_command(
    street: tuple[Rig, list[SimulatedNode], Ether], tmp_path: Path
) -> None:
    rig, nodes, ether = street
    backup.backup(rig.store.path, tmp_path / "b")
    rig.close()
    ruin(rig.store.path)
    with pytest.raises(StoreDamaged) as caught:
        rig.open()
    assert "kerb restore FILE" in caught.value.hint
    backup.restore(tmp_path / "b", rig.store.path)
    rig.open()
    talk(rig, nodes, ether)
    assert {key: len(value) for key, value in stored(rig).items()} == {(n.address, n.life): 40 for n in nodes}


def test_backup_and_restore_by_command_while_the_gateway_runs(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=None)
    nodes = gateway.register(range(1, 4))
    line = Street(nodes)
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{line.path}"\n')

    def kerb(verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; from kerbgate.backup import {verb}_main; sys.exit({verb}_main(sys.argv[1:]))"
        return subprocess.run(
            [sys.executable, "-c", code, *words, "--config", str(gateway.config)],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    with closing_all(gateway, line):
        for node in nodes:
            node.take(20, START)
        gateway.start()
        assert line.run(lambda: not any(node.waiting for node in nodes))
        made = kerb("backup", str(tmp_path / "b"))
        assert made.returncode == 0 and "60 records committed, 9 reports not forwarded" in made.stdout, made.stderr
        refused = kerb("restore", str(tmp_path / "b"))
        assert refused.returncode == 1 and "stop that gateway first" in refused.stderr
        assert gateway.stop() == 0
        done = kerb("restore", str(tmp_path / "b"))
        assert done.returncode == 0 and "60 records committed" in done.stdout, done.stderr
        gateway.start()
        for node in nodes:
            node.take(5, START + 20 * HOUR)
        assert line.run(lambda: not any(node.waiting for node in nodes), 30)
        found = until(lambda: gateway.status()["store"]["records"] == 75 and gateway.status(), "all records are there")
        assert found["store"]["restored"]["nodes_not_back"] == 0
        assert {node["site"] for node in found["nodes"]} == {SITE}
        assert gateway.stop() == 0
