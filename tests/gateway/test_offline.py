"""A gateway is installed and upgraded from a folder of wheels alone; its state, from an older version, comes along."""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
from gateway_harness import DEADLINE_S, ROOT, until
from test_store_schema import thaw

import kerbwire
from kerbgate.store import schema

OLDER = "0.0.9"
FROZEN = 3  # the schema that the older version left
NO_INDEX = (
    "Could not find a version",
    "Connection",
    "No matching distribution",
    "Temporary failure",
    "Network",
    "timed out",
)

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make wheels` makes."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    folder = tmp_path_factory.mktemp("offline") / "wheels"
    done = subprocess.run(
        ["make", "-s", "wheels", f"WHEELS={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode and any(words in done.stderr for words in NO_INDEX):
        pytest.skip("the configured package index does not answer, and the wheels come from there")
    assert done.returncode == 0, done.stderr
    return folder


def older(wheel: Path, folder: Path) -> Path:
    """Our wheel as an older version would name itself."""
    made = folder / wheel.name.replace(kerbwire.__version__, OLDER)
    rows: list[tuple[str, str, str]] = []
    with zipfile.ZipFile(wheel) as given, zipfile.ZipFile(made, "w") as taken:
        for name in given.namelist():
            data = given.read(name)
            name = name.replace(f"kerbstone-{kerbwire.__version__}", f"kerbstone-{OLDER}")
            if name.endswith("/METADATA") or name == "kerbwire/__init__.py":
                data = data.replace(kerbwire.__version__.encode(), OLDER.encode(), 1)
            if not name.endswith("/RECORD"):
                taken.writestr(name, data)
                rows.append((name, "", ""))
        out = io.StringIO()
        csv.writer(out).writerows([*rows, (f"kerbstone-{OLDER}.dist-info/RECORD", "", "")])
        taken.writestr(f"kerbstone-{OLDER}.dist-info/RECORD", out.getvalue())
    return made


def without_index() -> dict[str, str]:
    """An environment in which pip knows of no index and no other folder of packages."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("PIP_", "PYTHON", "UV_"))}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


class Cabinet:
    """A fresh environment without internet."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            venv.create(folder / "env", with_pip=True)
        except subprocess.CalledProcessError:
            pytest.skip("this Python has no ensurepip: apt-get install python3-venv")

    def run(self, *words: str, good: bool = True) -> str:
        program = self.folder / "env" / "bin" / words[0]
        done = subprocess.run(
            [str(program), *words[1:]], cwd=self.folder, env=without_index(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is good, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, *words: str) -> None:
        self.run("python", "-m", "pip", "install", "--quiet", "--no-index", *words)


def test_the_folder_is_whole_and_says_what_is_in_it(wheels: Path) -> None:
    sums = dict(reversed(row.split()) for row in (wheels / "SHA256SUMS").read_text().splitlines())
    assert sums == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in wheels.glob("*.whl")}
    assert f"kerbstone-{kerbwire.__version__}-py3-none-any.whl" in sums
    total = sum(file.stat().st_size for file in wheels.iterdir())
    print(f"{len(sums)} wheels, {total / 1e6:.1f} MB")
    assert total < 12e6  # a cabinet's phone line, and a technician's patience


def check_that_no_index_is_none(cabinet: Cabinet, wheels: Path) -> None:
    """A folder that lacks a wheel is refused."""
    some = cabinet.folder / "some"
    some.mkdir()
    for file in wheels.glob("*.whl"):
        if not file.name.startswith("cryptography"):
            shutil.copy(file, some)
    said = cabinet.run(
        "python", "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(some), "kerbstone", good=False
    )
    assert "cryptography" in said


def test_install_and_upgrade_without_internet_keep_the_state(wheels: Path, tmp_path: Path) -> None:
    cabinet = Cabinet(tmp_path)
    check_that_no_index_is_none(cabinet, wheels)
    (ours,) = wheels.glob("kerbstone-*.whl")
    (tmp_path / "before").mkdir()
    cabinet.install("--find-links", str(wheels), str(older(ours, tmp_path / "before")))
    assert cabinet.run("kerb", "--version").strip() == f"kerb {OLDER}"
    assert "settings" in cabinet.run("kerb", "gateway", "--help")
    cabinet.run("kerb", "gateway", "init", "--site", "harbour", "--inlet", "serial:/dev/kerb-absent")
    config = tmp_path / "gateway.toml"
    config.write_text(config.read_text().replace("# port = 9619", "port = 0"))
    registry = (tmp_path / "state" / "registry.sqlite").read_bytes()
    thaw(tmp_path / "state" / "store.sqlite", FROZEN)

    cabinet.install("--upgrade", "--find-links", str(wheels), "kerbstone")
    assert cabinet.run("kerb", "--version").strip() == f"kerb {kerbwire.__version__}"
    assert f"has schema {FROZEN}" in cabinet.run("kerb", "gateway", "check")
    process = subprocess.Popen(
        [str(tmp_path / "env" / "bin" / "kerb"), "gateway", "run"], cwd=tmp_path, env=without_index(),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None and "is running" in process.stdout.readline()
            status = json.loads(cabinet.run("kerb", "gateway", "status", "--json"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
    assert status["running"] and status["store"]["schema"] == schema.version() > FROZEN
    assert status["store"]["records"] == 85 and status["store"]["restored"] is None
    assert (tmp_path / "state" / "registry.sqlite").read_bytes() == registry
    assert f"schema {schema.version()}" in cabinet.run("kerb", "gateway", "check")
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "store.sqlite")) as db:
        until(lambda: db.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the store is whole")
