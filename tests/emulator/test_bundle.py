"""Bundles: the same sources give the same bytes, and a board imports them."""

import hashlib
import json
from pathlib import Path

import pytest

from kerbtools import boards, bundle, bundle_cache


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("board", boards.names())
def test_the_same_sources_give_the_same_bytes(tmp_path, board, monkeypatch):
    first = contents(bundle.build(board, "bin", tmp_path / "first"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "stale").write_text("from another build")
    second = contents(bundle.build(board, "bin", tmp_path / "second"))
    assert first == second
    manifest = json.loads(first["bundle.json"])
    assert (manifest["board"], manifest["role"], manifest["mpy"]) == (board, "bin", bundle.MPY_VERSION)
    assert manifest["files"] == {
        path: hashlib.sha256(data).hexdigest()
        for path, data in first.items()
        if path not in (bundle.MANIFEST, bundle.PACKAGE)
    }
    assert bundle.read(tmp_path / "first") == bundle.contents(board, "bin")
    package = json.loads(first["package.json"])
    assert sorted(path for path, _ in package["urls"]) == sorted(bundle.contents(board, "bin"))
    assert package["urls"][-1] == ["main.py", "main.py"]
    assert json.loads(first["board.json"]) == boards.load(board).on_board()
    assert {"lib/kerbnode/app.mpy", "lib/kerbnode/__init__.mpy"} <= set(first)


def test_what_every_wake_loads_is_small():
    """A wake that only takes the temperature loads app, the driver in it; the bar of the whole role is the bench's."""
    files = bundle.contents("esp32_c3", "bin")
    assert len(files["lib/kerbnode/app.mpy"]) < 9 * 1024
    whole = sum(len(data) for path, data in files.items() if path.endswith(".mpy"))
    loose = bundle.contents("esp32_c3", "bin", readable=True)
    assert whole < 0.85 * sum(len(data) for path, data in loose.items() if path.endswith(".mpy"))


def test_a_bundle_names_no_path_of_the_machine_that_built_it(tmp_path):
    folder = bundle.build("pico_w", "bin", tmp_path / "bundle")
    source = str(boards.boards_folder().parent).encode()
    for path, data in contents(folder).items():
        assert source not in data, path
        assert str(tmp_path).encode() not in data, path


@pytest.mark.parametrize("readable", [False, True])
def test_every_module_of_a_bundle_loads_on_the_board(emulated_board, readable):
    files = bundle.contents("pico_w", "bin", readable=readable)
    modules = [p[4:-4].replace("/", ".").removesuffix(".__init__") for p in files if p.endswith(".mpy")]
    assert len(modules) > 40 if readable else 8 < len(modules) < 36
    for module in modules:  # in a start of its own each: it brings along what it needs
        board = emulated_board("pico_w", files={**files, "main.py": f"import {module}\nprint('loaded')".encode()})
        board.start()
        board.world.advance(1)
        assert board.console[-1] == "loaded", module


def test_what_tools_ask_for_by_name_is_there_in_both_forms(emulated_board):
    attributes = {"boot_count", "index_limit", "node", "site", "epoch"}  # of what these functions give
    lines = [
        f"from {module} import {name}"
        for module, names in bundle.CALLED.items()
        for name in names
        if name not in attributes and name != "watchdog_armed" and module in bundle.sources("bin")
    ]
    lines += [
        "c = Counters('/node', 8, 8)", "c.open(255)", "import sys",
        "print(c.boot_count, c.index_limit, [m.watchdog_armed for m in sys.modules.values() if hasattr(m, 'watchdog_armed')])",
    ]  # fmt: skip
    for readable in (False, True):
        files = bundle.contents("pico_w", "bin", readable=readable)
        board = emulated_board("pico_w", files={**files, "main.py": "\n".join(lines).encode()})
        board.start()
        board.world.advance(1)
        assert board.console[-1] == "0 0 [False]"


def test_what_was_built_is_kept_and_what_is_not_whole_is_built_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = bundle.contents("pico_w", "modem")
    (kept,) = (tmp_path / "kerbstone" / "bundles").iterdir()
    whole = kept.read_bytes()
    monkeypatch.setattr(bundle, "_built", lambda *_, **__: {"built": b"anew", bundle.NAMES: b"{}"})
    assert bundle.contents("pico_w", "modem") == first
    strange = [b"", b"[]", b"{", b'{"a": 1}', b'{"a": "x"}', b"\xff"]
    strange = [hashlib.sha256(text).hexdigest().encode() + b"\n" + text for text in strange]
    for torn in (whole[:-1], whole[:64], b"", whole.replace(b"bundle.json", b"bundle.jsen"), *strange):
        kept.write_bytes(torn)
        assert bundle.contents("pico_w", "modem") == {"built": b"anew"}
        kept.write_bytes(whole)
        assert bundle.contents("pico_w", "modem") == first


def test_a_process_that_runs_other_sources_than_lie_there_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bundle, "_LOADED_S", Path(bundle.__file__).stat().st_mtime)
    assert bundle.contents("pico_w", "modem") and not list(tmp_path.iterdir())


def test_whatever_a_bundle_comes_from_has_its_part_in_the_key(tmp_path):
    """One file of each kind; that a name counts, and that two files do not stand for one."""
    assert {
        "kerbwire/frame.py", "kerbnode/bin/node.py", "rootfs/main.py", "boards/parts.toml", "boards/pico_w/board.toml",
        "bundle.py", "bundle_cache.py", "slim.py", "pack/names.py", "facts/roles.py",
    } <= set(bundle._origins())  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    keys = set()
    for words, names, texts in (
        (["a"], "pq", "xy"), (["a"], "pr", "xy"), (["a"], "pq", ("xy", "")), (["b"], "pq", "xy"), (["a", "x"], "pq", "xy"),
    ):  # fmt: skip
        one.write_text(texts[0])
        two.write_text(texts[1])
        keys.add(bundle_cache.key(words, dict(zip(names, (one, two), strict=True))))
    assert len(keys) == 5


def test_a_cache_is_bounded_and_not_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(bundle_cache.MOST + 3):
        bundle_cache.write(f"{number:064x}", {"a": bytes([number])})
    assert bundle_cache.read(f"{number:064x}") == {"a": bytes([number])}
    assert len(list((tmp_path / "kerbstone" / "bundles").iterdir())) == bundle_cache.MOST
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    for place in (str(nowhere), "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", place)
        bundle_cache.write("0" * 64, {"a": b"b"})
        assert bundle_cache.read("0" * 64) is None
    assert not Path("relative").exists()


def test_an_unknown_role_and_a_module_that_does_not_compile(tmp_path):
    with pytest.raises(bundle.BundleError, match="choose one of: bin"):
        bundle.build("pico_w", "kettle", tmp_path / "bundle")
    source = tmp_path / "wrong.py"
    source.write_text("def f(:\n")
    with pytest.raises(bundle.BundleError, match=r"wrong\.py does not compile"):
        bundle.compile_module(source, "wrong.py")


@pytest.mark.parametrize("path", ["/etc/hostname", "../outside", "lib/../../outside"])
def test_a_bundle_folder_reaches_nothing_outside_itself(tmp_path, path):
    (tmp_path / "bundle.json").write_text(json.dumps({"files": {path: "00"}}))
    with pytest.raises(bundle.BundleError, match="lies outside"):
        bundle.read(tmp_path)
