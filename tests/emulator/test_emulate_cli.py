"""`kerb emulate`, as a program: boards for any other program."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import serial

from kerbtools import boards
from kerbtools.emulator import cli

KERB = Path(sys.executable).with_name("kerb")
MPREMOTE = Path(sys.executable).with_name("mpremote")
START_S = 60


class Emulation:
    """A running `kerb emulate --json`."""

    def __init__(self, folder, *words):
        self._errors = folder / "errors"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [KERB, "emulate", "--json", *map(str, words)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env={**os.environ, "TMPDIR": str(folder)},
            )  # fmt: skip
        self.boards = []

    def wait_boards(self, count):
        deadline = time.monotonic() + START_S
        told = b""
        while told.count(b"\n") < count:
            assert select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0], self.errors()
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, self.errors()
            told += data
        self.boards = [json.loads(line) for line in told.splitlines()]

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def errors(self):
        return self._errors.read_text()

    def children(self):
        pid = self.process.pid
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def emulate(tmp_path):
    started = []

    def start(*words, count=1):
        started.append(Emulation(tmp_path, *words))
        started[-1].wait_boards(count)
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


def mpremote(board, *words):
    done = subprocess.run([MPREMOTE, "connect", board["usb"], *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "blank"), [(signal.SIGINT, []), (signal.SIGTERM, ["--blank"]), (signal.SIGHUP, ["--blank"])]
)
def test_boards_for_any_program_and_nothing_left_of_them(emulate, tmp_path, number, blank):
    run = emulate("--board", "esp32_c3", "--count", "3", *blank, count=3)
    assert [board["name"] for board in run.boards] == ["esp32_c3-1", "esp32_c3-2", "esp32_c3-3"]
    assert len({path for board in run.boards for path in (board["usb"], board["link"])}) == 6
    for board in run.boards:
        assert ("main.py" in mpremote(board, "fs", "ls")) is not blank
        serial.Serial(board["link"]).close()
    left = run.children()
    assert len(left) == 3
    assert run.end(number) == 0
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.glob("kerb-*"))
    assert not run.errors()


def test_no_board_outlives_an_emulation_that_is_killed(emulate):
    run = emulate("--blank", "--count", "2", count=2)
    mpremote(run.boards[0], "exec", "--no-follow", "while True: pass")
    left = run.children()
    run.end(signal.SIGKILL)
    wait(lambda: not [pid for pid in left if Path(f"/proc/{pid}").exists()])


def test_a_blank_board_has_no_firmware_and_ids_differ(emulate):
    run = emulate("--blank", "--count", "2", count=2)
    assert run.boards[0]["blank"] is True
    assert mpremote(run.boards[0], "exec", "import os; print(os.listdir('/'))").strip() == "[]"
    ids = {mpremote(board, "exec", "import machine; print(machine.unique_id().hex())") for board in run.boards}
    assert len(ids) == 2


def test_images_are_kept_and_taken_up_again(emulate, tmp_path):
    place = tmp_path / "images"
    run = emulate("--blank", "--directory", place)
    mpremote(run.boards[0], "fs", "touch", ":kept.txt")
    assert run.end() == 0
    assert Path(run.boards[0]["flash"]) == place / "pico_w-1" / "flash.img"
    again = emulate("--directory", place)  # what is there stays, though it is no bundle
    assert "kept.txt" in mpremote(again.boards[0], "fs", "ls")
    again.end()
    (place / "pico_w-1" / "flash.img").write_bytes(b"short")
    refused = Emulation(tmp_path, "--directory", place)
    assert refused.process.wait(START_S) == 1
    refused.process.communicate()
    assert "holds 5 bytes" in refused.errors()
    assert "another --directory" in refused.errors()


def test_reset_and_power_by_command(emulate):
    run = emulate("--blank")
    board = run.boards[0]
    mpremote(
        board, "exec", "with open('/main.py', 'w') as f: f.write('import machine; machine.deepsleep(10 ** 6)')", "reset"
    )
    port = serial.Serial(board["usb"], timeout=0.3)

    def is_silent():
        port.write(b"\r")
        return not port.read(1000)

    wait(is_silent)  # it sleeps
    port.close()
    run.say("off pico_w-1")
    run.say("reset pico_w-1")
    wait(lambda: "pico_w-1 is off" in run.errors())
    run.say("on all")
    run.say("dance")
    wait(lambda: "not understood: dance" in run.errors())
    assert run.end() == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--board", "esp8266"], "no board is called"),
        (["--role", "toaster"], "no role is called"),
        (["--count", "0"], "must be 1 to 100"),
        (["--speed", "0"], "above 0"),
        (["--directory", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(capsys, words, told):
    try:
        status = cli.main(words)
    except SystemExit as error:
        status = error.code
    assert status in (1, 2)
    errors = capsys.readouterr().err
    assert told in errors
    assert "Traceback" not in errors


def test_every_board_can_be_emulated(emulate):
    for name in boards.names():
        run = emulate("--board", name, "--blank")
        facts = boards.load(name)
        assert mpremote(run.boards[0], "exec", "import sys; print(sys.platform)").strip() == facts.port
        run.end()
