"""Which MicroPython runs, and that none of its processes outlives its host."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kerbtools.emulator import InterpreterError, interpreter


@pytest.fixture
def fresh():
    """No command and no shim size known from an earlier test."""
    for cached in (interpreter.command, interpreter.board_command, interpreter.shim_bytes):
        cached.cache_clear()
    yield
    for cached in (interpreter.command, interpreter.board_command, interpreter.shim_bytes):
        cached.cache_clear()


def test_the_binary_named_by_the_environment_is_used(fresh, monkeypatch, emulated_board):
    monkeypatch.setenv("MICROPYTHON", str(Path(sys.executable).with_name("micropython")))
    board = emulated_board("pico_w", files={"main.py": b"import sys\nprint(sys.implementation.name, sys.platform)"})
    board.start()
    board.world.advance(1)
    assert list(board.console) == ["micropython rp2"]


@pytest.mark.parametrize(
    ("binary", "told"), [("/nowhere/micropython", "does not start"), ("/bin/true", "does not run")]
)
def test_a_binary_that_is_no_micropython_is_told_with_a_hint(fresh, monkeypatch, binary, told):
    monkeypatch.setenv("MICROPYTHON", binary)
    with pytest.raises(InterpreterError, match=told) as caught:
        interpreter.shim_bytes("rp2", 28)
    assert "MICROPYTHON" in caught.value.hint


def test_who_starts_a_board_is_told_that_there_is_no_micropython(fresh, monkeypatch, emulated_board):
    board = emulated_board("pico_w", files={})
    monkeypatch.setenv("MICROPYTHON", "/nowhere/micropython")
    with pytest.raises(InterpreterError, match="does not start"):
        board.start()
    assert not board.alive


HOST = """
import sys, threading
from kerbtools.emulator import Board, World
main = b'''
import time
print("up")
while True:
    try:
        time.sleep_ms(1)
    except BaseException:
        pass
'''
world = World()
board = Board(world, "esp32_c3", files={"main.py": main})
board.start()
board.wait_line("up")
print(board._life._process.popen.pid, flush=True)
threading.Event().wait(30)
"""


def test_no_board_outlives_a_killed_host(tmp_path):
    host = subprocess.Popen(
        [sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    try:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait(10)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in os.popen(f"ps -o stat= -p {pid}").read():
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)
