"""What goes wrong on a bench: one sentence of cause, one of what to do, exit status 1, no traceback."""

import os
import subprocess
import sys
import threading
import time

import pytest
import serial
from flash_helpers import runs
from littlefs import LittleFSError

from kerbtools import boards, bundle
from kerbtools.emulator import Board, Identity, World

NOBODY = 65534
OLD = b"import sys\nsys.implementation.version = (1, 23, 0, '')\n"
STRANGER = b"import os\nclass Name:\n    machine = 'Toaster with ESP32'\nos.uname = Name\n"


def failed(said, port, cause, advice):
    """Two lines: the cause, which names the port, and indented what to do."""
    status, out, err = said
    assert (status, out) == (1, "")
    lines = [line for line in err.splitlines() if not line.endswith(": opening") and "files to send" not in line]
    assert len(lines) == 2, err
    assert str(port) in lines[0] and cause in lines[0], lines[0]
    assert lines[1].startswith("      ") and advice in lines[1], lines[1]
    assert lines[0].endswith(".") and lines[0].count(". ") == 0, lines[0]


def test_a_wrong_board(bench, kerb):
    board = bench("pico_w")
    said = kerb("flash", "--role", "bin", "--port", board.usb_path, "--board", "pico2_w")
    failed(said, board.usb_path, "says that it is 'Raspberry Pi Pico W with RP2040'", "Plug in the board pico2_w")
    board.cut_power()
    assert board.flash.programs == 0


def test_a_board_that_no_definition_fits(bench, kerb):
    board = bench("esp32_c3", files={"/boot.py": STRANGER})
    said = kerb("flash", "--role", "bin", "--port", board.usb_path)
    failed(said, board.usb_path, "says that it is 'Toaster with ESP32'", "known are: ")
    assert board.flash.programs == 0


@pytest.mark.parametrize(
    ("name", "way"), [("pico_w", "UF2"), ("pico2_w", "UF2"), ("esp32_c3", "esptool"), ("esp32_s3", "esptool")]
)
def test_an_old_micropython_and_the_command_that_installs_the_right_one(bench, kerb, name, way):
    board = bench(name, files={"/boot.py": OLD})
    said = kerb("flash", "--role", "bin", "--port", board.usb_path)
    failed(said, board.usb_path, "runs MicroPython 1.23.0; the firmware needs 1.29", boards.load(name).identify.install)
    assert way.lower() in said[2].lower()
    assert board.flash.programs == 0


def test_other_mpy_files(bench, kerb):
    board = bench("pico_w", files={"/boot.py": b"import sys\nsys.implementation._mpy = 5\n"})
    failed(
        kerb("flash", "--role", "bin", "--port", board.usb_path),
        board.usb_path,
        "loads .mpy files of version 5.0",
        "To install",
    )


def test_no_such_port(kerb):
    failed(
        kerb("flash", "--role", "bin", "--port", "/dev/no-such-port"),
        "/dev/no-such-port",
        "There is no port",
        "Plug the board in",
    )


def test_no_board_at_all(kerb, monkeypatch):
    monkeypatch.setattr("kerbtools.device.ports.find", list)
    status, out, err = kerb("flash")
    assert (status, out, len(err.splitlines())) == (1, "", 2) and "no board is plugged in" in err


def test_a_busy_port(bench, kerb):
    board = bench()
    with serial.Serial(board.usb_path, exclusive=True):
        failed(
            kerb("flash", "--role", "bin", "--port", board.usb_path),
            board.usb_path,
            "Another program holds",
            "Close the terminal",
        )


def test_no_permission_on_the_port(tmp_path):
    """In a process of its own: root may open everything, so there it runs as nobody."""
    master, slave = os.openpty()
    path = os.ttyname(slave)
    os.chmod(path, 0)
    program = (
        "import os, sys; from kerbtools.flash import cli; euid = int(sys.argv.pop(1)); euid and os.seteuid(euid); "
    )
    done = subprocess.run(
        [sys.executable, "-c", program + "sys.exit(cli.main(sys.argv[1:]))",
         str(0 if os.geteuid() else NOBODY), "--port", path],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    os.close(master)
    os.close(slave)
    failed((done.returncode, done.stdout, done.stderr), path, "may not open the port", "dialout")
    assert "Traceback" not in done.stderr


def test_a_full_flash_is_told_before_anything_is_written(bench, kerb):
    """Old and new lie side by side while an update goes on; here a file leaves no room for that."""
    files = {"/" + path: data for path, data in bundle.contents("pico_w", "bin").items()}
    files.update(dict.fromkeys([path for path in files if path.startswith("/lib/kerbnode/")], b"of another version"))
    board = filled(bench, files)
    board.world.advance(1)
    before = board.flash.programs
    said = kerb("flash", "--role", "bin", "--port", board.usb_path)
    failed(said, board.usb_path, "bytes are needed and", "mpremote rm")
    assert board.flash.programs - before < 30


def filled(bench, files):
    """A board whose flash is full to the last few blocks."""
    for size in range(840_000, 0, -8192):
        try:
            return bench(files={**files, "/music.wav": bytes(size)})
        except LittleFSError:
            continue
    raise AssertionError("no size fits")


def test_a_cable_pulled_and_plugged_in_again(kerb, tmp_path):
    """Pulled at a moment in the transfer; the next flash sends what is missing, and the node runs."""
    with World(seed=1, paused=True) as world:
        board = Board(world, "pico_w", files={}, directory=tmp_path)
        path = board.usb_path
        board.start()

        def pull():
            deadline = time.monotonic() + 30
            while board.flash.programs < 60 and time.monotonic() < deadline:
                time.sleep(0.001)
            board.stop()

        puller = threading.Thread(target=pull)
        puller.start()
        failed(kerb("flash", "--role", "bin", "--port", path), path, "went away", "Plug it in again")
        puller.join()
        again = Board(world, "pico_w", directory=tmp_path)
        path = again.usb_path
        again.start()
        status, _, err = kerb("flash", "--no-self-test", "--port", path)
        assert status == 0 and "flashed" in err
        runs(again, "note IdentityError")


def test_a_board_that_sleeps_gets_its_reset_button_pressed(kerb, tmp_path):
    """Deep sleep takes USB away. The window after a reset is enough to get hold of the board."""
    with World(seed=1, paused=True) as world:
        board = Board(world, "esp32_c3", identity=Identity(node=7, secret=bytes(16)))
        path = board.usb_path
        board.start()
        world.advance(60)
        assert board.console[-1].startswith("taken ")  # it sleeps now
        said = []

        def press(text):
            said.append(text)
            board.reset()

        from kerbtools.device import Device

        with Device.open(path, timeout_s=1.0, wait_s=20.0, on_silence=press) as device:
            assert device.facts().platform == "esp32"
        assert len(said) == 1 and "press its reset button now" in said[0].hint


def test_a_board_that_goes_on_sleeping(kerb, monkeypatch):
    monkeypatch.setattr("kerbtools.device.device.TIMEOUT_S", 1.0)
    with World(seed=1) as world:
        board = Board(world, "esp32_c3")
        path = board.usb_path
        failed(kerb("flash", "--role", "bin", "--port", path), path, "gave no answer in", "press its reset button now")
