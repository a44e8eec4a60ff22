"""The registry: secrets unreadable at rest, the key file private, and every refusal with a way out."""

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from gateway_harness import ENVIRONMENT

from kerbgate.errors import RegistryError
from kerbgate.registry import Registry

SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")


def make(folder: Path) -> Registry:
    return Registry(folder / "registry.sqlite", create=True)


def add(registry: Registry, address: int = 17, **fields: object) -> None:
    values = {"site": "harbour", "role": "bin", "board": "pico_w", "secret": SECRET} | fields
    registry.add(address=address, **values)  # type: ignore[arg-type]


def test_a_node_is_added_found_listed_and_removed(tmp_path: Path) -> None:
    registry = make(tmp_path)
    add(registry, 300, role="lamp")
    add(registry, 17)
    assert [node.address for node in registry.list()] == [17, 300]
    node = registry.get(17)
    assert node is not None and (node.site, node.role, node.board, node.state, node.epoch) == (
        "harbour", "bin", "pico_w", "stock", 0,
    )  # fmt: skip
    assert registry.secret(node) == SECRET and registry.get(18) is None
    registry.remove(17)
    assert registry.get(17) is None and len(registry) == 1
    registry.close()
    again = Registry(tmp_path / "registry.sqlite")
    assert [node.role for node in again.list()] == ["lamp"]
    again.close()


def test_secrets_are_in_no_file_and_no_representation(tmp_path: Path) -> None:
    registry = make(tmp_path)
    add(registry)
    node = registry.get(17)
    assert node is not None
    shown = f"{node!r} {node} {registry!r}"
    registry.close()
    for file in tmp_path.iterdir():
        assert SECRET not in file.read_bytes()
        assert SECRET.hex().encode() not in file.read_bytes()
    assert SECRET.hex() not in shown and repr(SECRET) not in shown and node.sealed.hex() not in shown
    assert "sealed" not in shown


def test_a_refresh_never_waits_for_another_process(tmp_path: Path) -> None:
    registry, other = make(tmp_path), make(tmp_path)
    add(other)
    other._db.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    assert not registry.refresh() and registry.get(17) is None
    assert time.monotonic() - started < 4  # of the five that a change waits its turn
    other._db.execute("COMMIT")
    assert registry.refresh() and registry.get(17) is not None
    assert registry._db.execute("PRAGMA busy_timeout").fetchone() == (5000,)  # a change still waits its turn
    registry.close()
    other.close()


def test_a_making_that_was_interrupted_is_made_again(tmp_path: Path) -> None:
    code = (  # the process ends between tables and check row
        "import os, sys\nfrom pathlib import Path\nfrom kerbgate.registry import Registry\n"
        "Registry._seal = lambda *_: os._exit(9)\nRegistry(Path(sys.argv[1]), create=True)\n"
    )
    path = tmp_path / "registry.sqlite"
    assert subprocess.run([sys.executable, "-c", code, path], env=ENVIRONMENT, check=False).returncode == 9
    make(tmp_path).close()


def test_files_are_private(tmp_path: Path) -> None:
    make(tmp_path).close()
    for name in ("registry.sqlite", "registry.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_same_secret_is_never_sealed_alike_and_rows_cannot_be_swapped(tmp_path: Path) -> None:
    registry = make(tmp_path)
    add(registry, 1)
    add(registry, 2)
    registry.close()
    with sqlite3.connect(tmp_path / "registry.sqlite") as db:
        (one,), (two,) = db.execute("SELECT secret FROM node ORDER BY address").fetchall()
        assert one != two
        db.execute("UPDATE node SET secret=? WHERE address=2", (one,))
    db.close()
    registry = Registry(tmp_path / "registry.sqlite")
    node = registry.get(2)
    assert node is not None
    with pytest.raises(RegistryError, match="does not open"):
        registry.secret(node)
    registry.close()


def test_what_another_process_adds_is_seen(tmp_path: Path) -> None:
    ours, theirs = make(tmp_path), make(tmp_path)
    assert not ours.refresh()
    add(theirs)
    assert ours.get(17) is None and ours.refresh() and ours.get(17) is not None
    theirs.revoke(17)
    ours.refresh()
    node = ours.get(17)
    assert node is not None and node.state == "stolen"
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "fields",
    [{"address": 0}, {"address": 65536}, {"role": "cat"}, {"site": "Harbour/1"}, {"board": "+"}, {"secret": b"short"}, {"epoch": 4}],
)  # fmt: skip
def test_what_cannot_be_a_node_is_refused(tmp_path: Path, fields: dict[str, object]) -> None:
    registry = make(tmp_path)
    with pytest.raises(RegistryError) as caught:
        add(registry, **fields)  # type: ignore[arg-type]
    assert caught.value.hint and len(registry) == 0
    registry.close()


def test_an_address_is_given_once(tmp_path: Path) -> None:
    registry = make(tmp_path)
    add(registry)
    with pytest.raises(RegistryError, match="already"):
        add(registry)
    with pytest.raises(RegistryError, match="not in the registry"):
        registry.remove(18)
    with pytest.raises(RegistryError, match="not in the registry"):
        registry.revoke(18)
    registry.close()


def test_each_way_of_being_broken_says_the_way_out(tmp_path: Path) -> None:
    path, key = tmp_path / "registry.sqlite", tmp_path / "registry.key"
    with pytest.raises(RegistryError) as caught:
        Registry(path)
    assert "kerb gateway init" in caught.value.hint
    make(tmp_path).close()
    saved = key.read_bytes()
    key.chmod(0o640)
    with pytest.raises(RegistryError) as caught:
        Registry(path)
    assert "chmod 600" in caught.value.hint
    key.chmod(0o600)
    for wrong, said in ((b"x" * 32, "does not open"), (b"x" * 31, "32 bytes")):
        key.write_bytes(wrong)
        with pytest.raises(RegistryError, match=said):
            Registry(path)
    key.unlink()
    with pytest.raises(RegistryError) as caught:
        Registry(path)
    assert "backup" in caught.value.hint
    key.write_bytes(saved)
    key.chmod(0o600)
    Registry(path).close()
    path.unlink()
    with pytest.raises(RegistryError, match="without its registry"):  # an existing key is never overwritten
        make(tmp_path)
    path.write_bytes(b"junk" * 100)
    with pytest.raises(RegistryError):
        Registry(path)
    assert key.read_bytes() == saved


def test_a_registry_is_not_closed_under_a_thread_that_reads_it(tmp_path: Path) -> None:
    """A stop cancels the task and not its thread; SQLite would bring the process down."""
    registry = make(tmp_path)
    found: list[int] = []
    begun = threading.Event()

    def count(number: int) -> int:
        begun.set()
        return number

    def read() -> None:
        long = (
            "WITH RECURSIVE c(x) AS (SELECT begun(1) UNION ALL SELECT x+1 FROM c WHERE x<3000000) SELECT max(x) FROM c"
        )
        found.append(registry.query(long)[0][0])

    registry._db.create_function("begun", 1, count)
    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(20)
    registry.close()
    thread.join(20)
    assert found == [3_000_000]
