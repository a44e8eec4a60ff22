"""The power fails at a flash write of a flash: the board boots the old firmware or the new, and the next flash mends it.

The firmware here is small and tells on itself: each module says which version it is of, and the program prints the
set of what it has loaded, so old and new side by side would show. boot.py and main.py are the real ones. Some writes in
`make test`; every write, torn in each way, and of the real firmware too, in `make soak`.
"""

import json
import threading
from contextlib import contextmanager
from functools import cache

import pytest

from kerbtools import boards, bundle
from kerbtools.emulator import Board, World
from kerbtools.flash.job import Bundles, Options, Watcher, flash
from kerbtools.flash.plan import digest

TEARS = ("all", "half", "garbage")
APP = """
def main():
    from kerbnode import alpha, beta, shape
    from kerbwire import gamma
    print("runs", *sorted({VERSION, alpha.VERSION, beta.VERSION, gamma.VERSION, shape.VERSION}))
VERSION = %r
"""


@cache
def firmware(version):
    """A small bundle. New against old: all modules but one changed, one a folder that was a file, one gone, one added."""
    root = boards.rootfs_folder()
    files = {"boot.py": (root / "boot.py").read_bytes(), "main.py": (root / "main.py").read_bytes()}
    if version == "old":
        files["boot.py"] += b"# of the firmware before\n"
    files["board.json"] = b'{"name":"pico_w"}'
    module = f"VERSION = {version!r}\n".encode()
    files |= {
        "lib/kerbwire/__init__.py": b"",
        "lib/kerbwire/gamma.py": module,
        "lib/kerbnode/__init__.py": b"",
        "lib/kerbnode/app.py": (APP % version).encode(),
        "lib/kerbnode/alpha.py": module + b"#" * 5000,
        "lib/kerbnode/beta.py": module,
    }
    if version == "old":
        files |= {"lib/kerbnode/shape.py": module, "lib/kerbnode/gone/__init__.py": module}
    else:
        files |= {"lib/kerbnode/shape/__init__.py": module, "lib/kerbnode/new/deep.py": module}
    manifest = {"role": "bin", "files": {path: digest(data) for path, data in files.items()}}
    files["bundle.json"] = json.dumps(manifest, sort_keys=True).encode()
    return files


@contextmanager
def plugged(folder, files=None):
    """The board with this flash, its power coming on; its USB port goes when its power does."""
    with World(seed=1) as world:
        board = Board(world, "pico_w", directory=folder, files=files)
        assert board.usb_path

        def unplug():
            board.wait_off(100)
            board.stop()

        board.start()
        watcher = threading.Thread(target=unplug)
        watcher.start()
        yield board
        if board.alive:
            board.cut_power()
        watcher.join()


def run_flash(board, contents):
    options = Options(board="pico_w", role="bin", self_test=False)
    return flash(board.usb_path, options, Bundles(lambda name, role: contents), Watcher())


def found(board):
    return {path.lstrip("/"): board.read_file(path) for path in board.list_files() if path[:6] != "/node/"}


def cut_and_mend(folder, before, after, at_write, tear, runs):
    """One cut at one write. Returns False where the flash was over before it. runs(board): wait for what boots."""
    with plugged(folder, before) as board:
        if "main.py" in before:
            runs(board)
        board.cut_power(at_write=at_write, tear=tear)
        result = run_flash(board, after)
        if result.status == "flashed":
            return False
        assert type(result.error).__name__ in ("PortGone", "NotAnswering"), result.error
        board.wait_off()
        has_program = "/main.py" in board.list_files()
    with plugged(folder) as board:
        if has_program:
            runs(board)
        result = run_flash(board, after)
        assert result.error is None
        runs(board)
    assert found(board) == after
    return True


def says_its_version(board):
    assert board.wait_line("^runs (.*)$")[1] in ("old", "new"), list(board.console)


def is_the_node(board):
    board.wait_line("note IdentityError")
    assert not [line for line in board.console if "ImportError" in line]


def sweep(tmp_path, before, after, runs, tear, step=1, first=1):
    at_write = first
    while cut_and_mend(tmp_path / str(at_write), before, after, at_write, tear, runs):
        at_write += step
    return at_write


SOME = [("all", 1, 3), ("half", 2, 11), ("garbage", 5, 11)]  # tear, first write, then each of so many
EVERY = [pytest.param(tear, 1, 1, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]) for tear in TEARS]


@pytest.mark.parametrize(("tear", "first", "step"), [*SOME, *EVERY])
@pytest.mark.parametrize("before", ["old", "blank"])
def test_a_cut_at_a_write_of_a_flash(tmp_path, before, tear, first, step):
    old = {} if before == "blank" else firmware("old")
    assert sweep(tmp_path, old, firmware("new"), says_its_version, tear, step, first) > 40


@pytest.mark.parametrize(
    ("tear", "first", "step"),
    [
        ("all", 7, 61),
        *(pytest.param(tear, 1, 1, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]) for tear in TEARS),
    ],
)
def test_the_real_firmware_onto_a_blank_board(tmp_path, tear, first, step):
    assert sweep(tmp_path, {}, bundle.contents("pico_w", "bin"), is_the_node, tear, step, first) > 100
