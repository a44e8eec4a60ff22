"""Two runtimes, one case: every `case_*.py` below this folder runs on CPython and on MicroPython.

A case file is a plain module of `test_*` functions and asserts that imports only what both runtimes have. Two
environment variables reach it: KERB_TMP, a fresh folder for each function, and KERB_VECTORS, the published vectors.
"""

import ast
import gc
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import wire_schema
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
ROOT = TESTS.parent
VECTORS = TESTS / "vectors"
CACHE = ROOT / ".pytest_cache" / "xdg"  # of the suite, beside its user's own
MICROPYTHON_HEAP = "4M"  # cases test behaviour; heap bars have tests of their own
MICROPYTHON_TIMEOUT_S = 100
# Files that take longest go first, so that at the end no core waits for one of them (make test hands out whole files).
LONG = (
    "test_verbs.py", "test_on_boards.py", "test_bench_years.py", "test_demo.py", "test_flashing.py", "test_power_cut.py",
    "test_emulate_cli.py", "test_kills.py", "test_street.py", "test_technician.py", "test_plain_mpremote.py",
    "test_flash_cuts.py", "test_node_orders.py", "test_bench_node.py", "test_bundle.py", "test_offline.py",
    "test_hostile_broker.py", "test_service_process.py", "test_hostile.py", "test_provision_cuts.py", "test_reload.py",
    "test_collect.py", "test_ble_inlet.py", "test_mqtt_faults.py", "test_lora_street.py", "test_flash_modem.py",
    "test_streets.py", "test_provision_links.py", "test_bluetooth.py", "test_lora_link.py",
)  # fmt: skip


# How long an example takes is the machine's matter.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# A shell that runs the suite in the background has it ignore Ctrl-C, and with it every program that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def micropython_command() -> list[str]:
    """The interpreter that emulated boards use: the binary named by MICROPYTHON, or the package's."""
    named = os.environ.get("MICROPYTHON")
    return [named] if named else [str(Path(sys.executable).with_name("micropython"))]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "CaseFile | None":
    if file_path.suffix == ".py" and file_path.name.startswith("case_"):
        return CaseFile.from_parent(parent, path=file_path)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Generator[None, pytest.Module, object]:
    """A case file that is named on the command line is still ours alone, not an ordinary module as well."""
    made = yield
    return NotATestModule.from_parent(parent, path=module_path) if module_path.name.startswith("case_") else made


class NotATestModule(pytest.File):
    """A file without items."""

    def collect(self) -> Iterator[pytest.Item]:
        return iter(())


class CaseFile(pytest.File):
    """One shared case file; its results on MicroPython are fetched once, for all its functions."""

    def collect(self) -> Iterator[pytest.Item]:
        tree = ast.parse(self.path.read_text(), str(self.path))
        names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        self._micropython: dict[str, str] | None = None
        for name in names:
            yield CPythonCase.from_parent(self, name=f"{name}[cpython]", case=name)
        for name in names:
            yield MicroPythonCase.from_parent(self, name=f"{name}[micropython]", case=name)

    def on_micropython(self, temporary: Path) -> dict[str, str]:
        """Output by function name; "" means that it passed."""
        if self._micropython is None:
            environment = {
                "MICROPYPATH": ":".join(map(str, [ROOT / "protocol", ROOT / "firmware", self.path.parent, ".frozen"])),
                "KERB_VECTORS": str(VECTORS),
                "PATH": os.environ.get("PATH", ""),
            }
            command = [*micropython_command(), "-X", f"heapsize={MICROPYTHON_HEAP}", str(TESTS / "run_cases.py")]
            done = subprocess.run(
                [*command, self.path.stem, str(temporary)],
                env=environment, capture_output=True, text=True, timeout=MICROPYTHON_TIMEOUT_S, check=False,
            )  # fmt: skip
            results: dict[str, str] = {}
            for part in done.stdout.split("\n@case ")[1:]:
                head, _, output = part.partition("\n")
                name, _, verdict = head.partition(" ")
                results[name] = "" if verdict == "ok" else output or "failed"
            self._crash = f"exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            self._micropython = results
        return self._micropython

    @property
    def crash(self) -> str:
        return self._crash


class CPythonCase(pytest.Item):
    def __init__(self, *, case: str, **kwargs: object):
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.case = case

    def runtest(self) -> None:
        spec = importlib.util.spec_from_file_location(f"{self.path.parent.name}_{self.path.stem}", self.path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(self.path.parent))
        try:
            spec.loader.exec_module(module)
            os.environ["KERB_TMP"] = str(_fresh(self.config, self.case))
            os.environ["KERB_VECTORS"] = str(VECTORS)
            getattr(module, self.case)()
        finally:
            sys.path.remove(str(self.path.parent))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> object:
        excinfo.traceback = excinfo.traceback.cut(path=self.path)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class CaseFailed(Exception):
    """A shared case failed on MicroPython; the message is the board's own traceback."""


class MicroPythonCase(pytest.Item):
    def __init__(self, *, case: str, **kwargs: object):
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.case = case

    def runtest(self) -> None:
        assert isinstance(self.parent, CaseFile)
        results = self.parent.on_micropython(_fresh(self.config, self.path.stem))
        output = results.get(self.case)
        if output is None:
            raise CaseFailed(f"the interpreter ended before this case: {self.parent.crash}")
        if output:
            raise CaseFailed(output)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        return str(excinfo.value) if excinfo.errisinstance(CaseFailed) else str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


def _fresh(config: pytest.Config, name: str) -> Path:
    factory = config._tmp_path_factory  # type: ignore[attr-defined]  # a pytest.Item has no fixtures of its own
    return factory.mktemp(name)


def pytest_configure(config: pytest.Config) -> None:
    os.environ["XDG_CACHE_HOME"] = str(CACHE)
    wire_schema.watch()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Pack what most boards run before many processes need it at once: they find it in the cache."""
    config = session.config
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        return
    program = "import sys; from kerbtools import bundle; bundle.contents(*sys.argv[1:])"
    packing = [subprocess.Popen([sys.executable, "-c", program, "pico_w", role]) for role in ("bin", "lamp")]
    try:
        for process in packing:
            process.wait(MICROPYTHON_TIMEOUT_S)
    except subprocess.TimeoutExpired:  # then each packs for itself
        pass
    finally:
        for process in packing:
            process.kill()


def pytest_collection_finish() -> None:
    """The firmware collects garbage at every wake: let it not go through all that pytest has loaded each time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test fails if a message that it wrote or read is not what kerbwire.cddl says."""
    wire_schema.faults.clear()
    yield
    if wire_schema.faults:
        pytest.fail("not valid by kerbwire.cddl:\n" + "\n".join(wire_schema.faults), pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-soak", action="store_true", help="run the long sweeps too (make soak)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)
    if not config.getoption("--run-soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="a long sweep: run by `make soak`"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
