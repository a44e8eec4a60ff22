"""The link: a raw pty, a peer that may be absent, and time that waits for a real answer."""

import os
import termios
import threading
import time

import pytest

ECHO = """
import machine, time
uart = machine.UART(0, 115200, timeout=100)
print("ready")
while True:
    data = uart.read(uart.any() or 1)
    if data:
        uart.write(data)
"""


class Peer:
    """A process at the other end of the pty, as a gateway opens it."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def write(self, data):
        os.write(self.fd, data)

    def read(self, count, timeout_s=5):
        deadline = time.monotonic() + timeout_s
        data = b""
        os.set_blocking(self.fd, False)
        while len(data) < count and time.monotonic() < deadline:
            try:
                data += os.read(self.fd, count - len(data))
            except BlockingIOError:
                threading.Event().wait(0.001)
        return data

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


@pytest.fixture
def peer():
    opened = []

    def open_peer(board):
        opened.append(Peer(board.link_path))
        return opened[-1]

    yield open_peer
    for one in opened:
        one.close()


def test_every_byte_value_goes_through_both_ways(emulated_board, peer):
    board = emulated_board("esp32_c3", files={"main.py": ECHO.encode()})
    board.start()
    board.world.resume()
    board.wait_line("ready")
    gateway = peer(board)
    data = bytes(range(256)) * 4
    for start in range(0, len(data), 64):
        gateway.write(data[start : start + 64])
        assert gateway.read(64) == data[start : start + 64]


def test_the_pty_is_raw_for_whoever_opens_it_next(emulated_board, peer):
    board = emulated_board("esp32_c3", files={"main.py": b""})
    for _ in range(2):
        gateway = peer(board)
        inputs, outputs, _, local, *_ = termios.tcgetattr(gateway.fd)
        assert not inputs & (termios.ICRNL | termios.IXON)
        assert not outputs & termios.OPOST
        assert not local & (termios.ECHO | termios.ICANON | termios.ISIG)
        gateway.close()


REPORT = """
import machine, time
uart = machine.UART(0, 115200, timeout=0)
sent = time.ticks_ms()
for _ in range(200):
    uart.write(b"x" * 200)
while time.ticks_diff(time.ticks_ms(), sent) < 3000:
    if uart.any():
        print("answer", uart.read())
        break
    time.sleep_ms(5)
print("waited", time.ticks_diff(time.ticks_ms(), sent))
machine.deepsleep(3600000)
"""


def test_without_a_peer_writes_vanish_and_waits_take_no_real_time(emulated_board, peer):
    board = emulated_board("pico_w", files={"main.py": REPORT.encode()})
    board.start()
    began = time.monotonic()
    board.world.advance(2 * 3600)
    assert time.monotonic() - began < 5.5  # of the six that the two waits are in the world
    assert [line.split()[0] for line in board.console] == ["waited", "waited"]
    assert all(3000 <= int(line.split()[1]) <= 3050 for line in board.console)
    board.cut_power()
    assert peer(board).read(1, timeout_s=0.05) == b""


ASK = """
import machine, time
uart = machine.UART(0, 115200)
sent = time.ticks_ms()
uart.write("question")
while not uart.any() and time.ticks_diff(time.ticks_ms(), sent) < 1000:
    time.sleep_ms(5)
print("after", time.ticks_diff(time.ticks_ms(), sent), uart.read())
machine.deepsleep(3600000)
"""


def test_a_real_peer_has_real_time_to_answer(emulated_board, peer):
    board = emulated_board("esp32_c3", files={"main.py": ASK.replace("1000", "9000").encode()})
    sleeper = emulated_board("pico_w", files={"main.py": b"import machine\nmachine.deepsleep(60000)"})
    gateway = peer(board)
    sleeper.start()
    board.start()
    board.world.resume()
    assert gateway.read(8) == b"question"
    threading.Event().wait(0.15)  # the gateway's own work
    gateway.write(b"answer")
    line = board.wait_line(r"^after (\d+) b'answer'")
    assert int(line[1]) >= 150
    assert sleeper.alive


def test_a_peer_that_does_not_answer_costs_the_firmwares_own_timeout(emulated_board, peer):
    board = emulated_board("esp32_c3", files={"main.py": ASK.encode()})
    peer(board)
    board.start()
    began = time.monotonic()
    board.world.advance(1800)
    assert time.monotonic() - began >= 0.9
    assert board.console[0].endswith("None")


def test_a_peer_that_goes_away_ends_the_hold(emulated_board, peer):
    main = ASK.replace("1000", "20000")
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    gateway = peer(board)
    board.start()
    board.world.resume()
    assert gateway.read(8) == b"question"
    began = time.monotonic()
    gateway.close()
    board.wait_line("after 2000. None")
    assert time.monotonic() - began < 15  # of the twenty that the firmware waits


def test_bytes_written_before_a_cut_reach_the_peer(emulated_board, peer):
    main = "import machine, time\nuart = machine.UART(0)\nuart.write(b'last words')\nopen('/x', 'w').write('y')"
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    gateway = peer(board)
    board.cut_power(at_write=1)
    board.start()
    board.wait_off()
    assert gateway.read(10) == b"last words"


def test_what_arrives_while_the_board_sleeps_is_lost(emulated_board, peer):
    main = """
import machine, time
uart = machine.UART(0)
time.sleep_ms(10)
print("got", uart.read())
machine.deepsleep(60000)
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    gateway = peer(board)
    board.start()
    board.world.advance(30)
    gateway.write(b"too early")
    board.world.advance(60)
    assert list(board.console) == ["got None", "got None"]


def test_reads_honour_their_timeouts(emulated_board):
    main = """
import machine, time
uart = machine.UART(1, 9600, timeout=500)
start = time.ticks_ms()
print(uart.read(4), uart.readline(), uart.readinto(bytearray(4)), time.ticks_diff(time.ticks_ms(), start))
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    board.start()
    board.world.advance(5)
    assert board.console[0] == "None None None 1500"
