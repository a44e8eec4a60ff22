"""Mutation check: are the tests of kerbwire able to notice a change of its code?

    python tests/mutation.py --sample 500 --seed 1 [--jobs 2] [--module NAME ...] [--list FILE]

Each mutant differs in one place: a comparison, a number, an arithmetic operator, a boolean, or what is returned. It is
killed when a protocol test fails or does not end. The tests run in this order, and stop at the first failure: cases and
properties that name the module, the others (all on CPython), then the naming cases on MicroPython with a copy of the
changed tree. Mutants in tests/mutation_equivalents.txt change nothing that can be seen, and are not counted.
Exit status 1 below TARGET.
"""

import argparse
import ast
import copy
import importlib
import importlib.util
import inspect
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PACKAGE = ROOT / "protocol" / "kerbwire"
CASES = TESTS / "protocol"
EQUIVALENTS = TESTS / "mutation_equivalents.txt"
TARGET = 0.9
TIMEOUT_S = 300  # of the tests without a change; a mutant has SLACK times what they took, and MARGIN_S
SLACK, MARGIN_S = 3, 10
MICROPYTHON_TIMEOUT_S = 60
MEMORY = 2 << 30  # bytes that a mutant may take
KILLED, SURVIVED = 1, 0

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.Pow: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the index of its node in its module, and of the part within the node."""

    module: str
    node: int
    part: int
    line: int
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line} | {self.text} | {self.what}"

    @property
    def key(self) -> tuple[str, str, str]:
        return self.module, self.text, self.what


def nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs: no docstring, annotation, or block that only a type checker reads."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_comment"):
                continue
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id in ("__all__", "TYPE_CHECKING", "__slots__") for t in node.targets
            ):
                continue
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    stack.append(item)


def changes(node: ast.AST) -> Iterator[tuple[int, str, Callable[[ast.AST], None]]]:
    """(part, what, the change in place) of one node."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            other = COMPARE[type(op)]
            yield i, f"{type(op).__name__} -> {other.__name__}", lambda n, i=i, o=other: n.ops.__setitem__(i, o())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            return  # text for people
        other = ARITHMETIC[type(node.op)]
        yield 0, f"{type(node.op).__name__} -> {other.__name__}", lambda n, o=other: setattr(n, "op", o())
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield 0, f"{type(node.op).__name__} -> {other.__name__}", lambda n, o=other: setattr(n, "op", o())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield 0, "not x -> not not x", lambda n: setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield 0, f"{node.value} -> {not node.value}", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield 0, f"{node.value} -> {node.value + 1}", lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield 0, "return x -> return None", lambda n: setattr(n, "value", ast.Constant(None))


def mutants(module: str) -> list[Mutant]:
    """Every mutant of a module, in a fixed order."""
    source = (PACKAGE / f"{module}.py").read_text()
    lines = source.splitlines()
    found: list[Mutant] = []
    for index, node in enumerate(nodes(ast.parse(source))):
        for part, what, _ in changes(node):
            line = node.lineno  # type: ignore[attr-defined]
            text = lines[line - 1]
            column = node.col_offset - len(text) + len(text.lstrip())  # type: ignore[attr-defined]
            found.append(Mutant(module, index, part, line, f"{what} @{column}", text.strip()))
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """The module's tree with the change in it."""
    tree = copy.deepcopy(ast.parse((PACKAGE / f"{mutant.module}.py").read_text()))
    node = next(n for i, n in enumerate(nodes(tree)) if i == mutant.node)
    for part, _, change in changes(node):
        if part == mutant.part:
            change(node)
    return ast.fix_missing_locations(tree)


def ordered_cases(module: str) -> list[Path]:
    """Case files, those that name the module first."""
    files = sorted(CASES.glob("case_*.py"))
    return sorted(files, key=lambda path: (module not in path.stem, not names(path, module), path.name))


def properties(module: str) -> list[Path]:
    """Test files that run on CPython alone and start no process, those that name the module first."""
    files = sorted(CASES.glob("test_*.py"))
    texts = {path: path.read_text() for path in files}
    mine = [path for path in files if "kerbgate" not in texts[path] and "subprocess" not in texts[path]]
    return sorted(mine, key=lambda path: (module not in path.stem, path.name))


def names(path: Path, module: str) -> bool:
    return re.search(rf"\b{module}\b", path.read_text()) is not None


class _Finder:
    """Serves one module of kerbwire from a changed tree."""

    def __init__(self, name: str, tree: ast.Module):
        self._name = name
        self._tree = tree

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, self, origin="mutant")

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        exec(compile(self._tree, "mutant", "exec"), module.__dict__)


def load(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def run_functions(path: Path, folder: Path) -> None:
    """Every test of a file that needs no fixture; raises what the first failing one raises."""
    module = load(path)
    for name, item in list(vars(module).items()):
        if any(mark.name == "soak" or is_skipped(mark) for mark in getattr(item, "pytestmark", [])):
            continue
        if inspect.isclass(item) and issubclass(item, unittest.TestCase):
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(item).run(result)
            assert result.wasSuccessful(), [name, *result.errors, *result.failures]
        elif name.startswith("test_") and callable(item):
            if not hasattr(item, "hypothesis") and inspect.signature(item).parameters:
                continue
            fresh = folder / f"{path.stem}-{name}"
            fresh.mkdir()
            os.environ["KERB_TMP"] = str(fresh)
            item()


def is_skipped(mark: Any) -> bool:
    return mark.name == "skipif" and bool(mark.args and mark.args[0])


def child(mutant: Mutant | None, folder: Path) -> str:
    """The name of the file whose test killed the mutant, or "" if it survived CPython's tests."""
    from hypothesis import settings

    settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    settings.load_profile("mutation")
    os.environ["KERB_VECTORS"] = str(TESTS / "vectors")
    sys.path[:0] = [str(CASES), str(ROOT / "protocol")]
    module = mutant.module if mutant else "frame"
    if mutant:
        sys.meta_path.insert(0, _Finder(f"kerbwire.{mutant.module}", mutated(mutant)))
    files = [*ordered_cases(module), *properties(module)]
    for path in sorted(files, key=lambda path: not names(path, module)):  # stable: cases before properties
        try:
            run_functions(path, folder)
        except BaseException as error:
            if mutant is None:
                raise
            return f"{path.name}: {type(error).__name__}"
    return ""


def fork(mutant: Mutant | None, timeout_s: int) -> tuple[int, int]:
    """(process id, file descriptor of its answer)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    os.setpgid(0, 0)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 1)
    if mutant:
        os.dup2(quiet, 2)
    signal.alarm(timeout_s)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    folder = Path(tempfile.mkdtemp(prefix="kerb-mutant-"))
    try:
        answer = child(mutant, folder)
        os.write(writing, answer.encode() or b"-")
    except BaseException:
        traceback.print_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def on_micropython(mutant: Mutant) -> str:
    """The case that killed a mutant on MicroPython, or ""."""
    command = Path(sys.executable).with_name("micropython")
    if not command.exists():
        return ""
    with tempfile.TemporaryDirectory(prefix="kerb-mutant-") as name:
        folder = Path(name)
        tree = folder / "tree"  # apart from the cases' folders, which MicroPython would take for packages
        shutil.copytree(PACKAGE, tree / "kerbwire", ignore=shutil.ignore_patterns("__pycache__"))
        (tree / "kerbwire" / f"{mutant.module}.py").write_text(ast.unparse(mutated(mutant)))
        environment = {"MICROPYPATH": f"{tree}:{CASES}:.frozen", "KERB_VECTORS": str(TESTS / "vectors"), "PATH": ""}
        for path in ordered_cases(mutant.module):
            if not names(path, mutant.module):
                break
            work = folder / path.stem
            work.mkdir()
            words = [str(command), "-X", "heapsize=8M", str(TESTS / "run_cases.py"), path.stem, str(work)]
            try:
                done = subprocess.run(
                    words, env=environment, capture_output=True, text=True, timeout=MICROPYTHON_TIMEOUT_S, check=False
                )
            except subprocess.TimeoutExpired:
                return f"{path.name} on MicroPython: no end"
            if done.returncode or " failed" in done.stdout:
                return f"{path.name} on MicroPython"
    return ""


def verdicts(sample: list[Mutant], jobs: int, timeout_s: int) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with what killed it, "" if nothing did; `jobs` at a time, as they end."""
    waiting = list(reversed(sample))
    running: dict[int, tuple[Mutant, int]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            pid, reading = fork(mutant, timeout_s)
            running[pid] = (mutant, reading)
        pid, status = os.wait()
        if pid not in running:
            continue
        mutant, reading = running.pop(pid)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read().decode()
        if not answer:
            answer = "no end" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM else "it died"
        elif answer == "-":
            answer = on_micropython(mutant)
        yield mutant, answer


def equivalents() -> set[tuple[str, str, str]]:
    """(module, text of the line, change) of the mutants that nobody can tell from the original."""
    found: set[tuple[str, str, str]] = set()
    if EQUIVALENTS.exists():
        for line in EQUIVALENTS.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                module, text, what, _reason = (word.strip() for word in line.split(" ;; "))
                found.add((module, text, what))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutate kerbwire and see whether its tests notice.")
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--module", action="append", help="only this module; may be given several times")
    options = parser.parse_args()
    modules = options.module or sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "errors"))
    known = equivalents()
    every = [m for module in modules for m in mutants(module)]
    chosen = random.Random(options.seed).sample(every, min(options.sample, len(every)))
    sample = [m for m in chosen if m.key not in known]
    # Loaded before the first fork, so that each mutant starts in milliseconds.
    for name in ("cryptography.hazmat.primitives.ciphers.aead", "hypothesis.stateful", "hypothesis.strategies"):
        importlib.import_module(name)

    start = time.monotonic()
    pid, reading = fork(None, TIMEOUT_S)
    with os.fdopen(reading, "rb") as pipe:
        if pipe.read() != b"-":
            print("mutation: the tests fail or do not end without any change; run: make test", file=sys.stderr)
            return 2
    os.waitpid(pid, 0)
    took = time.monotonic() - start
    print(f"{len(every)} mutants, {len(sample)} tried; the tests take {took:.0f} s", flush=True)
    survivors: list[Mutant] = []
    for done, (mutant, answer) in enumerate(verdicts(sample, options.jobs, round(SLACK * took) + MARGIN_S), 1):
        if not answer:
            survivors.append(mutant)
            print(f"survived: {mutant}", flush=True)
        if done % 25 == 0:
            print(f"{done} done, {len(survivors)} survived, {time.monotonic() - start:.0f} s", flush=True)
    killed = len(sample) - len(survivors)
    share = killed / len(sample) if sample else 1.0
    print(
        f"killed {killed} of {len(sample)}: {100 * share:.1f} % (target {100 * TARGET:.0f} %), "
        f"{len(chosen) - len(sample)} equivalent left out, seed {options.seed}, {time.monotonic() - start:.0f} s"
    )
    return 0 if share >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
