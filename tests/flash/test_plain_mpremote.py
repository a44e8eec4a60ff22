"""The bundle without `kerb flash`: a plain folder for `mpremote fs cp -r`, and a package for `mpremote mip install`."""

import subprocess
import sys
from pathlib import Path

import mpremote
import pytest
from flash_helpers import runs

from kerbtools import bundle
from kerbtools.device import Device


def run(board, *words, folder):
    with Device.open(board.usb_path):
        pass  # stopped, and at its REPL: what mpremote sends to a board that still starts is lost, and it waits for ever
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.usb_path, *words],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path, kerb):
    assert kerb("flash", "--bundle-to", tmp_path / "bundle", "--board", "pico_w")[0] == 0
    return tmp_path


def runs_the_firmware(board, flash, also=()):
    """The node starts, and `kerb flash` finds nothing left to send."""
    runs(board, "note IdentityError")
    board.reset()
    status, [told] = flash("--port", board.usb_path)
    assert (status, told["status"]) == (0, "unchanged")
    board.cut_power()
    wanted = {"/" + path for path in bundle.contents("pico_w", "bin")} | set(also)
    assert {path for path in board.list_files() if not path.startswith("/node")} == wanted


def test_mpremote_fs_cp(bench, flash, folder):
    board = bench()
    run(board, "fs", "cp", "-r", "bundle/.", ":", "+", "reset", folder=folder)
    runs_the_firmware(board, flash, ["/package.json"])


def test_mpremote_mip_install(bench, flash, folder):
    board = bench()
    run(board, "mip", "install", "--target", "/", "bundle/package.json", "+", "reset", folder=folder)
    runs_the_firmware(board, flash)


def test_mpremote_runs_the_self_test(bench, folder):
    board = bench(files=None)
    out = run(board, "exec", "import kerbnode.selftest; kerbnode.selftest.main()", folder=folder)
    assert '"check": "firmware"' in out and '"fail"' not in out


def test_mpremote_is_imported_in_one_module_only():
    tools = Path(bundle.__file__).parent
    found = [
        path.relative_to(tools).as_posix()
        for path in tools.rglob("*.py")
        if any(line.strip().startswith(("import mpremote", "from mpremote")) for line in path.read_text().splitlines())
    ]
    assert found == ["device/transport.py"]
    assert mpremote.__version__.startswith("1.29.")
