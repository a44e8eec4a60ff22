"""Random and mutated inputs through every reader, on both runtimes: a short run in `make test`, the long one in `make soak`.

    KERB_FUZZ=10000000 make soak ARGS="tests/fuzz -k long"                               half an hour on two cores
    KERB_FUZZ=10000000 make soak ARGS="'tests/fuzz/test_fuzz.py::test_long_on_cpython[near]'"    one reader

KERB_FUZZ is the count of inputs through each reader of a soak on CPython, KERB_FUZZ_SEED the first of its seeds: half of
the inputs come from that one and half from the next, each in a process of its own. Each prints a line: see fuzzing.py.
"""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kerbtools import bundle
from kerbtools.emulator import interpreter

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
READERS = (  # the slowest first
    "report", "near", "up", "cbor", "event", "opener", "capture", "line", "group", "down", "fragment", "cobs", "header",
    "modem", "lookup",
)  # fmt: skip
NODES = ("__init__.py", "flash.py", "link/__init__.py", "link/lookup.py")  # a reader of the firmware, and what it loads
HEAP = 131072  # bytes of MicroPython's heap, for modules and all; objects are twice as large here as on a board
SHORT, SHORT_MICROPYTHON = 20_000, 2_000
LONG, LONG_MICROPYTHON = 5_000_000, 100_000
LONG_TIMEOUT_S = 3 * 3600


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"kerb_fuzz_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    load("seeds").write(folder)
    return folder


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is read with, and the fuzzer, as bytecode, as a bundle has it: compiling on the board would take its heap."""
    folder = tmp_path_factory.mktemp("compiled")
    firmware = [ROOT / "firmware" / "kerbnode" / name for name in NODES]
    for source in [*(ROOT / "protocol" / "kerbwire").glob("*.py"), *firmware, FOLDER / "fuzzing.py"]:
        root = FOLDER if source.parent == FOLDER else ROOT / source.relative_to(ROOT).parts[0]
        place = folder / source.relative_to(root).with_suffix(".mpy")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bundle.compile_module(source, source.name))
    return folder


def fuzz(command: list[str], environment: dict[str, str], timeout_s: float) -> dict[str, Any]:
    done = subprocess.run(
        command, env={"PATH": os.environ.get("PATH", ""), **environment}, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines, f"{command[-3:]}: exit status {done.returncode}: {done.stdout}{done.stderr}"
    found = json.loads(lines[-1])
    print(lines[-1])
    assert "failed" not in found, f"{lines[-1]}\n{done.stdout}{done.stderr}"
    return found


def on_cpython(reader: str, count: int, seed: int, seeds: Path, timeout_s: float = 100) -> dict[str, Any]:
    command = [sys.executable, str(FOLDER / "fuzzing.py"), reader, str(count), str(seed)]
    return fuzz(command, {"KERB_SEEDS": str(seeds)}, timeout_s)


def on_micropython(
    reader: str, count: int, seed: int, seeds: Path, compiled: Path, timeout_s: float = 100
) -> dict[str, Any]:
    environment = {"KERB_SEEDS": str(seeds), "MICROPYPATH": f"{compiled}:.frozen"}
    start = "import sys, fuzzing; sys.exit(fuzzing.main(sys.argv[1:]))"
    words = ["-X", f"heapsize={HEAP}", "-c", start, reader, str(count), str(seed)]
    return fuzz([*interpreter.command(), *words], environment, timeout_s)


def test_every_reader_is_listed() -> None:
    assert sorted(READERS) == sorted(load("fuzzing").READERS)


def test_the_seeds_are_valid(seeds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERB_SEEDS", str(seeds))
    fuzzing = load("fuzzing")
    for reader in [name for name in READERS if name not in ("up", "down", "group", "opener")]:
        read = fuzzing.READERS[reader]()
        for data in fuzzing.seeds_of(reader):
            read(data)


@pytest.mark.parametrize("reader", READERS)
def test_short_on_cpython(reader: str, seeds: Path) -> None:
    assert on_cpython(reader, SHORT, 7, seeds)["inputs"] == SHORT


@pytest.mark.parametrize("reader", READERS)
def test_short_on_micropython(reader: str, seeds: Path, compiled: Path) -> None:
    assert on_micropython(reader, SHORT_MICROPYTHON, 7, seeds, compiled)["inputs"] == SHORT_MICROPYTHON


def test_a_failure_is_told(seeds: Path, tmp_path: Path) -> None:
    """The fuzzer itself: a reader that raises something else, one that grows, each found and shown again."""
    program = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import fuzzing\n"
        "kept = []\n"
        "fuzzing.READERS['broken'] = lambda: lambda data: data[40]\n"
        "fuzzing.READERS['growing'] = lambda: lambda data: kept.append([data])\n"
        "fuzzing.seeds_of = lambda name: [bytes(50)]\n"
        "print([fuzzing.run(name, 5000, 1).get('failed') for name in ('broken', 'growing')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "IndexError" in done.stdout and "it grows" in done.stdout, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.timeout(LONG_TIMEOUT_S)
@pytest.mark.parametrize("reader", READERS)
def test_long_on_cpython(reader: str, seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count, seed = int(os.environ.get("KERB_FUZZ", LONG)), int(os.environ.get("KERB_FUZZ_SEED", 1))
    halves = ((count // 2, seed), (count - count // 2, seed + 1))
    with capsys.disabled(), ThreadPoolExecutor(2) as pool:
        print()
        found = list(pool.map(lambda half: on_cpython(reader, *half, seeds, LONG_TIMEOUT_S), halves))
        print(json.dumps(summary(found)))
    assert sum(one["wire_errors"] + one["read"] for one in found) == count


@pytest.mark.soak
@pytest.mark.timeout(LONG_TIMEOUT_S)
@pytest.mark.parametrize("reader", READERS)
def test_long_on_micropython(reader: str, seeds: Path, compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("KERB_FUZZ_SEED", 1))
    with capsys.disabled():
        print()
        found = on_micropython(reader, LONG_MICROPYTHON, seed, seeds, compiled, LONG_TIMEOUT_S)
    assert found["wire_errors"] + found["read"] == LONG_MICROPYTHON


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The line of one reader from those of its processes."""
    sums = {name: sum(one[name] for one in found) for name in ("inputs", "wire_errors", "read")}
    worst = {name: max(one[name] for one in found) for name in ("seconds", "slowest_us", "growth", "peak_growth_kb")}
    return {"fuzz": found[0]["fuzz"], "seeds": [one["seed"] for one in found], **sums, **worst}
