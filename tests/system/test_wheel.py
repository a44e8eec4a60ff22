"""The built wheel works in an empty environment: packages, board data and root files are all in it."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and its dependencies, without the source tree."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies of this environment, but not its editable install: a path in a .pth file runs no .pth of its own.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def run(python: Path, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(python), *words], capture_output=True, text=True, timeout=60, cwd=folder, check=False)


def test_the_wheel_holds_packages_and_data_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for wanted in (
        "kerbwire/cbor.py",
        "kerbwire/py.typed",
        "kerbnode/app.py",
        "kerbgate/schemas/readings-1.json",
        "kerbgate/service/kerbstone.service",
        "kerbtools/cli.py",
        "kerbtools/data/boards/pico_w/board.toml",
        "kerbtools/data/boards/emulated/shims/machine.py",
        "kerbtools/data/rootfs/main.py",
    ):
        assert wanted in names, wanted
    assert not [name for name in names if name.startswith(("tests", "protocol/", "boards/"))]


def test_the_installed_command_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(installed, "-c", "import kerbtools, kerbnode; print(kerbtools.__file__)", folder=tmp_path)
    assert str(installed.parents[1]) in where.stdout, where.stdout + where.stderr
    version = run(installed, "-m", "kerbtools", "--version", folder=tmp_path)
    assert version.stdout.startswith("kerb 0."), version.stderr
    done = run(installed, "-m", "kerbtools", "gateway", "init", "--config", str(tmp_path / "gw.toml"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "gw.toml").exists()


def test_a_bundle_is_built_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from kerbtools import bundle; print(bundle.build('esp32_c3', 'bin', Path('b')))"
    )
    done = run(installed, "-c", program, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b" / "lib" / "kerbnode" / "app.mpy").exists()
