"""What a node's code takes: .mpy bytes a role, and the heap of all that needs no hardware on 64 bits beside 32.

Boards have 32 bits, emulated ones 64: the emulated heap is the board's times HEAP_FACTOR. These rows say how honest
that factor is; look at the sums, since interned names are charged to the module that makes their pool grow. No figure
here comes from a board.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import kerbnode
import kerbwire
from kerbtools import bundle
from kerbtools.bench import footprint, wake, wasm32, workload, years

BOARD = "pico_w"  # all boards run the same .mpy files
HEAP = "4M"
SEED = 1
_PROGRAM = Path(__file__).with_name("node_board.py")
_TIMEOUT_S = 120

Sizes = dict[str, int]
Machine = Callable[..., str]  # library, name of the work file, arguments -> what was printed


def rows() -> Iterator[dict[str, object]]:
    """What the code takes, what a wake costs (kerbtools.bench.wake), then what years of a bin come to
    (kerbtools.bench.years): some minutes."""
    yield from code()
    yield from wake.rows()
    yield from years.rows()


def code() -> Iterator[dict[str, object]]:
    """Two tables. Where something is absent, a row says what, and what to do."""
    from kerbtools.emulator import interpreter

    with tempfile.TemporaryDirectory(prefix="kerb-bench-") as place:
        libraries = {role: Path(place) / role / "lib" for role in bundle.ROLES}
        whole = Path(place) / "whole"
        try:
            for role, library in libraries.items():
                bundle.build(BOARD, role, library.parent)
                yield from footprint.role_rows(BOARD, role)
            for role in libraries:
                yield from footprint.board_rows(role)
            _compile_all(whole)
        except bundle.BundleError as error:
            yield {"skipped": str(error), "hint": error.hint}
            return
        machines: list[Machine | None] = []
        for make in (_bits_64, _bits_32):
            try:
                machines.append(make())
            except (interpreter.InterpreterError, wasm32.Wasm32Error) as error:
                machines.append(None)
                yield {"skipped": str(error), "hint": error.hint}
        for role, library in libraries.items():
            yield from _compared(role, "import", *(_imports(library, role, each) if each else {} for each in machines))
        yield from _compared("all", "operation", *(_operations(whole, each) if each else {} for each in machines))
        yield _row("all", "emulated board", "factor used", "", "", interpreter.HEAP_FACTOR)


def _compared(role: str, of: str, wide: Sizes, narrow: Sizes) -> Iterator[dict[str, object]]:
    for name in wide or narrow:
        yield _pair(role, of, name, wide.get(name), narrow.get(name))
    yield _pair(role, of, f"all {of}s", sum(wide.values()) or None, sum(narrow.values()) or None)


def _pair(role: str, of: str, name: str, wide: int | None, narrow: int | None) -> dict[str, object]:
    """Empty fields where a MicroPython is missing."""
    ratio = wide / narrow if wide and narrow and narrow > 0 else ""
    return _row(role, of, name, "" if wide is None else wide, "" if narrow is None else narrow, ratio)


def _row(role: str, of: str, name: str, wide: int | str, narrow: int | str, ratio: float | str) -> dict[str, object]:
    return {
        "role": role, "heap_of": of, "name": name, "bytes_on_64": wide, "bytes_on_32": narrow, "ratio_64_to_32": ratio,
    }  # fmt: skip


def _imports(library: Path, role: str, machine: Machine) -> Sizes:
    """What each file of a role keeps of the heap, of those that a node loads."""
    modules = _that_run(role)
    _put(library, {"modules": modules})
    used = [int(machine(library, "work.json", str(count))) for count in range(len(modules) + 1)]
    return {name: used[i + 1] - used[i] for i, name in enumerate(modules)}


def _operations(library: Path, machine: Machine) -> Sizes:
    """What one call of each operation allocates."""
    days = workload.load()
    bins, lamps = workload.bin_day(days, SEED), workload.lamp_night(days, SEED)
    both = {"bin": workload.records(bins), "lamp": workload.records(lamps)}
    _put(library, {key: [(r.index, r.time, r.values) for r in records] for key, records in both.items()})
    figures = [json.loads(line) for line in machine(library, "work.json").splitlines()]
    return {figure["name"]: figure["bytes"] for figure in figures}


def _put(library: Path, work: object) -> None:
    (library / "work.json").write_text(json.dumps(work))
    (library / _PROGRAM.name).write_bytes(_PROGRAM.read_bytes())


def _compile_all(library: Path) -> None:
    """Every module of both packages, whatever bundle carries it."""
    for package in (kerbwire, kerbnode):
        folder = Path(str(package.__file__)).parent
        for source in sorted(folder.rglob("*.py")):
            name = source.relative_to(folder.parent)
            target = library / name.with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bundle.compile_module(source, name.as_posix()))


def _bits_64() -> Machine:
    from kerbtools.emulator import interpreter

    command = interpreter.command()

    def run(library: Path, work: str, *arguments: str) -> str:
        done = subprocess.run(
            [*command, "-X", f"heapsize={HEAP}", str(library / _PROGRAM.name), str(library / work), *arguments],
            env={"MICROPYPATH": f"{library}:.frozen", "PATH": os.environ.get("PATH", "")},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            last = (done.stdout + done.stderr).strip()[-300:]
            raise RuntimeError(f"MicroPython ended with status {done.returncode}: {last}")
        return done.stdout

    return run


def _bits_32() -> Machine:
    machine = wasm32.Interpreter()

    def run(library: Path, work: str, *arguments: str) -> str:
        return machine.run(library, [f"/w/{_PROGRAM.name}", f"/w/{work}", *arguments])

    return run


def _that_run(role: str) -> list[str]:
    """The modules that a node loads, each after those that it imports at its top: so each is charged for itself."""
    files = {str(row["file"]): str(row["loaded"]) for row in footprint.role_rows(BOARD, role)}
    found = {
        path.removeprefix("lib/").removesuffix(".mpy").removesuffix("/__init__").replace("/", ".")
        for path, loaded in files.items()
        if path.startswith("lib/") and loaded[0] in footprint.RUNS
    }
    first = [name for name in bundle.ROLES[role] if name in found]
    return first + sorted(found - set(first))
