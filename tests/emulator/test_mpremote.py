"""The real mpremote, as a program, on the USB port of emulated boards."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MPREMOTE = Path(sys.executable).with_name("mpremote")
TIMEOUT_S = 30  # mpremote's own timeouts do not act on a pty
BOOT = b"print('boot')"
MAIN = b"import machine, time\nprint('main', machine.reset_cause())\nwhile True:\n    time.sleep(1)\n"


@pytest.fixture
def on(emulated_board):
    """A started board of these files, and a function that runs mpremote on it and returns what it prints."""

    def make(name="pico_w", **files):
        board = emulated_board(name, files={f"{key}.py": text for key, text in files.items()})
        board.start()
        board.world.resume()
        return board, lambda *words, status=0, **options: mpremote(board, *words, status=status, **options)

    return make


def mpremote(board, *words, status=0, **options):
    done = subprocess.run(
        [MPREMOTE, "connect", board.usb_path, *map(str, words)],
        capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.replace("\r\n", "\n") if status == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("name", ["pico_w", "esp32_c3"])
def test_exec_eval_and_run_on_a_board_that_says_what_it_is(on, name, tmp_path):
    board, run = on(name, main=MAIN)
    assert run("exec", "print('a', 1)") == "a 1\n"
    assert run("eval", "2 ** 40") == f"{2**40}\n"
    script = tmp_path / "script.py"
    script.write_text("import sys, os\nprint(sys.platform, os.uname().machine, sys.implementation._machine)\n")
    machine = board.facts.identify.machine
    assert run("run", script) == f"{board.facts.port} {machine} {machine}\n"
    assert "KeyError: x" in run("exec", "raise KeyError('x')", status=1)
    assert run("exec", "import os; print(hasattr(os, 'getenv'), hasattr(os, 'system'))") == "False False\n"


def test_files_go_both_ways(on, tmp_path):
    board, run = on()
    tree = tmp_path / "tree"
    (tree / "below" / "deeper").mkdir(parents=True)
    noise = random.Random(1).randbytes(20_000)
    (tree / "text.txt").write_text("\n".join(f"line {i}" for i in range(500)))
    (tree / "below" / "noise.bin").write_bytes(noise)
    (tree / "below" / "deeper" / "empty").write_bytes(b"")
    run("fs", "cp", "-r", tree, ":")
    assert "noise.bin" in run("fs", "tree")
    assert re.search(r"20000 noise.bin", run("fs", "ls", ":tree/below"))
    assert run("fs", "cat", ":tree/text.txt").startswith("line 0\nline 1\n")
    assert hashlib.sha256(noise).hexdigest() in run("fs", "sha256sum", ":tree/below/noise.bin")
    back = tmp_path / "back.bin"
    run("fs", "cp", ":tree/below/noise.bin", back)
    assert back.read_bytes() == noise
    assert "Up to date" in run("fs", "cp", tree / "below" / "noise.bin", ":tree/below/noise.bin")
    run("fs", "mkdir", ":made", "+", "fs", "touch", ":made/file", "+", "fs", "rm", ":tree/text.txt")
    run("fs", "rm", "-r", ":tree/below")
    board.cut_power()
    assert board.list_files() == ["/made/file"]


def test_df_rtc_and_their_effect(on):
    board, run = on()
    size = board.facts.filesystem_bytes
    assert re.search(rf"VfsLfs2.*{size} ", run("df"))
    assert run("rtc").startswith("(2021, 1, 1, 4,")  # as an RP2040 starts
    before = time.gmtime()
    run("rtc", "--set")
    year, month, day, hour = map(int, run("exec", "import time\nprint(*time.localtime()[:4])").split())
    local = time.localtime()
    assert (year, month, day, hour) in {tuple(local[:4]), tuple(time.localtime(time.mktime(local) - 60)[:4])}
    assert before.tm_year == year
    run("soft-reset")
    assert str(year) in run("rtc")  # a soft reset is no reset of the clock


def test_soft_reset_runs_boot_only_and_reset_runs_both(on):
    board, run = on(boot=BOOT, main=MAIN)
    board.wait_line("^main 1")
    seen = board.lines
    run("soft-reset")
    board.wait_line("^boot", after=seen)
    assert not [line for line in list(board.console)[seen:] if line.startswith("main")]
    seen = board.lines
    run("reset")
    board.wait_line("^main 3", after=seen)
    assert run("exec", "import machine; print(machine.reset_cause())") == "3\n"


def test_an_esp32_tells_a_reset_by_software_from_a_soft_reset(on):
    board, run = on("esp32_c3", main=MAIN)
    board.wait_line("^main 1")
    run("reset")
    board.wait_line("^main 2")
    assert run("exec", "import machine; print(machine.reset_cause())") == "5\n"  # mpremote makes a soft reset first


def test_mip_installs_a_local_package(on, tmp_path):
    _, run = on()
    (tmp_path / "thing.py").write_text("ANSWER = 42\n")
    (tmp_path / "package.json").write_text(json.dumps({"urls": [["thing/__init__.py", "thing.py"]], "version": "1"}))
    run("mip", "install", tmp_path / "package.json")
    assert run("exec", "import thing; print(thing.ANSWER)") == "42\n"


def test_a_mounted_folder_is_read_and_written(on, tmp_path):
    _, run = on()
    (tmp_path / "module.py").write_text("NAME = 'from the host'\n")
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 20)
    program = (
        "import module, os\nprint(module.NAME, sorted(os.listdir()))\n"
        "with open('data.bin', 'rb') as f: data = f.read()\nprint(len(data), data[:256] == bytes(range(256)))\n"
        "with open('made.txt', 'w') as f: f.write('by the board')\n"
    )
    told = run("mount", tmp_path, "exec", program)
    assert "from the host ['data.bin', 'module.py']" in told
    assert "5120 True" in told
    assert (tmp_path / "made.txt").read_text() == "by the board"
    assert run("exec", "import os; print(os.listdir('/'))") == "[]\n"  # the next session is without it


class Terminal:
    """mpremote repl in a terminal."""

    def __init__(self, board, *words):
        self._fd, theirs = os.openpty()
        command = [MPREMOTE, "connect", board.usb_path, *words]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        os.set_blocking(self._fd, False)
        self._seen = b""

    def expect(self, text, timeout_s=10):
        deadline = time.monotonic() + timeout_s
        while text not in self._seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self._seen!r}"
            try:
                self._seen += os.read(self._fd, 4096)
            except BlockingIOError:
                time.sleep(0.005)
        _, _, self._seen = self._seen.partition(text)

    def type(self, data):
        os.write(self._fd, data)

    def close(self):
        self.type(b"\x1d")  # Ctrl-]
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()
            os.close(self._fd)


def test_the_repl_is_there_for_people(on):
    board, _ = on(boot=BOOT, main=MAIN)
    board.wait_line("^main")
    terminal = Terminal(board, "repl")
    terminal.expect(b"Use Ctrl-]")
    terminal.type(b"\x03")
    terminal.expect(b"KeyboardInterrupt: \r\n")
    terminal.expect(b">>> ")
    terminal.type(b"for i in range(3): print(i * 7)\r\r")
    terminal.expect(b"\r\n0\r\n7\r\n14\r\n>>> ")
    terminal.type(b"\x04")
    terminal.expect(b"MPY: soft reboot\r\nboot\r\nmain")
    terminal.close()


def test_a_folder_mounted_in_the_repl_comes_back_after_a_soft_reset(on, tmp_path):
    board, _ = on()
    (tmp_path / "module.py").write_text("NAME = 'from the host'\n")
    terminal = Terminal(board, "mount", str(tmp_path), "repl")
    terminal.expect(b"Use Ctrl-]")
    terminal.type(b"import module; module.NAME\r")
    terminal.expect(b"'from the host'\r\n>>> ")
    terminal.type(b"\x04")
    terminal.expect(b"Remount local directory")
    terminal.expect(b">>> ")
    terminal.type(b"import module; module.NAME\r")
    terminal.expect(b"'from the host'\r\n>>> ")
    terminal.close()


BUSY = "while True:\n    kept = [[i] * 7 for i in range(300)]"


def interrupt(board, run, count, seed):
    """Break off an allocating loop, without the soft reset that would heal a broken heap."""
    moment = random.Random(seed)
    run("exec", "proof = bytearray(1000)")
    for number in range(count):
        run("resume", "exec", "--no-follow", BUSY)
        time.sleep(moment.random() * 0.02)
        told = run("resume", "exec", "more = [bytearray(500) for _ in range(40)]\nprint(len(proof), len(more))")
        assert told == "1000 40\n", f"after {number} times"
    assert board.starts == 1 + 1  # the soft reset of the first command


def test_ctrl_c_in_an_allocating_loop_leaves_the_board_usable(on):
    board, run = on()
    interrupt(board, run, 5, seed=1)  # test_console does more, faster


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_ctrl_c_in_an_allocating_loop_500_times(on):
    board, run = on()
    interrupt(board, run, 500, seed=2)


@pytest.mark.parametrize("words", [["exec", "while True: pass"], ["fs", "cp", "{file}", ":big.bin"], ["repl"]])
def test_mpremote_killed_in_the_middle_leaves_a_port_that_works(on, words, tmp_path):
    board, run = on(main=MAIN)
    big = tmp_path / "big.bin"
    big.write_bytes(random.Random(3).randbytes(400_000))
    command = [MPREMOTE, "connect", board.usb_path, *(word.format(file=big) for word in words)]
    for delay_s in (0.15, 0.25, 0.4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.PIPE)
        time.sleep(delay_s)  # not a wait: the moment of the kill
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdin.close()
        assert run("exec", "print(6 * 7)") == "42\n"


def test_a_port_in_use_is_told_to_the_second(on):
    board, run = on()
    first = Terminal(board, "repl")
    first.expect(b"Use Ctrl-]")
    assert "may be in use" in run("exec", "print(1)", status=1)
    first.close()
    assert run("exec", "print(1)") == "1\n"
