"""The USB port of emulated boards byte by byte: REPL, Ctrl-C, time, and who must not answer."""

import random
import time

import pytest
import serial

BOOT = b"print('boot')"
MAIN = b"print('main')"
LOOP = b"import time\nprint('loop')\nwhile True:\n    time.sleep(1)\n"


class Port:
    """A program that has the USB port open."""

    def __init__(self, board):
        self._serial = serial.Serial(board.usb_path, timeout=0.05)

    def write(self, data):
        self._serial.write(data)

    def expect(self, text, timeout_s=10):
        """Read until `text`; returns what came before it."""
        deadline = time.monotonic() + timeout_s
        seen = b""
        while not seen.endswith(text):
            assert time.monotonic() < deadline, f"no {text!r} in {seen!r}"
            seen += self._serial.read(1)
        return seen[: -len(text)]

    def is_silent(self, seconds=0.4):
        """Whether nothing comes in so much real time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._serial.read(1):
                return False
        return True

    def answers(self, timeout_s):
        """Whether something has come within the time; it stays unread."""
        deadline = time.monotonic() + timeout_s
        while not self._serial.in_waiting and time.monotonic() < deadline:
            time.sleep(0.005)
        return bool(self._serial.in_waiting)

    def raw(self):
        """A raw REPL, without a soft reset, whatever ran before."""
        self.write(b"\r\x03")
        self.write(b"\r\x01")
        self.expect(b"raw REPL; CTRL-B to exit\r\n>")

    def execute(self, code):
        """Run code in the raw REPL; returns (output, traceback)."""
        self.start(code)
        return self.result()

    def start(self, code):
        self.write(code.encode() + b"\x04")
        self.expect(b"OK")

    def result(self):
        output, error = self.expect(b"\x04"), self.expect(b"\x04")
        self.expect(b">")
        return output.decode(), error.decode()

    def close(self):
        self._serial.close()


@pytest.fixture
def port(emulated_board):
    """A started board of these files in a free world, and its open port."""
    opened = []

    def make(name="pico_w", paused=False, stall_s=10.0, **files):
        board = emulated_board(name, files={f"{key}.py": text for key, text in files.items()}, stall_s=stall_s)
        board.start()
        if not paused:
            board.world.resume()
        opened.append(Port(board))
        return board, opened[-1]

    yield make
    for one in opened:
        one.close()


def test_people_see_what_a_board_shows_them(port):
    board, usb = port(boot=BOOT, main=MAIN)
    board.wait_line("main")
    usb.write(b"\r")
    usb.expect(b">>> \r\n>>> ")
    usb.write(b"print('a\\nb')\r")
    assert usb.expect(b">>> ") == b"print('a\\nb')\r\na\r\nb\r\n"
    usb.write(b"\x04")
    assert usb.expect(b">>> ").startswith(b"\r\nMPY: soft reboot\r\nboot\r\nmain\r\nMicroPython ")


def test_a_raw_soft_reset_runs_boot_and_stays_raw(port):
    board, usb = port(boot=BOOT, main=MAIN)
    board.wait_line("main")
    usb.raw()
    assert usb.execute("x = 1\nprint(x)") == ("1\n", "")
    usb.write(b"\x04")
    assert usb.expect(b"\r\n>") == b"OK\r\nMPY: soft reboot\r\nboot\nraw REPL; CTRL-B to exit"
    assert "NameError" in usb.execute("print(x)")[1]
    assert usb.execute("import machine; print(machine.reset_cause())") == ("1\n", "")
    usb.write(b"\x02")
    usb.expect(b">>> ")


def test_a_soft_reset_of_the_program_is_one_of_the_board(port):
    _, usb = port(boot=BOOT)
    usb.raw()
    usb.write(b"import machine; machine.soft_reset()\x04")
    assert usb.expect(b"CTRL-B to exit\r\n>").endswith(b"MPY: soft reboot\r\nboot\nraw REPL; ")
    assert usb.execute("print(2)") == ("2\n", "")


def test_what_main_leaves_is_there_in_the_repl(port):
    _, usb = port(main=b"answer = 42\ndef f():\n    return answer")
    usb.raw()
    assert usb.execute("print(f(), __name__)") == ("42 __main__\n", "")


ENDLESS = {
    "sleep": "import time\nprint('on')\nwhile True:\n    time.sleep(3600)",
    "one long sleep": "import time\nprint('on')\ntime.sleep(100000)\nprint('never')",
    "loop": "print('on')\nwhile True:\n    pass",
    "output": "print('on')\nwhile True:\n    print('.' * 40)",
    "input": "print('on')\ninput()",
    "stdin": "import sys\nprint('on')\nsys.stdin.read(1)",
    "light sleep": "import machine\nprint('on')\nmachine.lightsleep(1000000)\nprint('never')",
    "asyncio": "import asyncio\nprint('on')\nasync def f():\n    await asyncio.sleep(1000)\nasyncio.run(f())",
    "uart": "import machine\nprint('on')\nmachine.UART(0, timeout=1000000).read(1)\nprint('never')",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_ctrl_c_ends_whatever_runs(port, what):
    _, usb = port()
    usb.raw()
    usb.start(ENDLESS[what])
    usb.expect(b"on\n")
    usb.write(b"\x03")
    if what in ("input", "stdin") and not usb.answers(0.5):
        usb.write(b"\x03")  # one that comes in the instant before the wait for input is noticed with the next
    output, error = usb.result()
    assert error.rstrip().endswith("KeyboardInterrupt:")
    assert "never" not in output
    assert usb.execute("print('usable')") == ("usable\n", "")


@pytest.mark.parametrize("what", ["sleep", "loop", "output"])
def test_ctrl_c_ends_main(port, what):
    board, usb = port(main=ENDLESS[what].encode())
    board.wait_line("^on$")
    usb.write(b"\x03")
    usb.expect(b"KeyboardInterrupt: \r\n")
    usb.expect(b">>> ")


def test_ctrl_c_in_boot_goes_on_to_main(port):
    board, usb = port(boot=LOOP, main=MAIN)
    board.wait_line("loop")
    usb.write(b"\x03")
    board.wait_line("^main")


def test_a_program_may_take_ctrl_c_as_data(port):
    _, usb = port()
    usb.raw()
    usb.start(
        "import micropython, sys\nmicropython.kbd_intr(-1)\nprint('on')\n"
        "print(sys.stdin.buffer.read(3))\nmicropython.kbd_intr(3)"
    )
    usb.expect(b"on\n")
    usb.write(b"a\x03\n")
    assert usb.result() == ("b'a\\x03\\n'\n", "")


BUSY = {
    "allocation": "while True:\n    kept = [[i] * 7 for i in range(300)]",
    "flash": "n = 0\nwhile True:\n    with open('f%d' % (n % 3), 'w') as f: f.write('x' * 3000)\n    n += 1",
    "calls": "import machine, time\nwhile True:\n    machine.Pin(6).value(); time.sleep_ms(1); time.time()",
    "tasks": "import asyncio\nasync def f():\n    while True: await asyncio.sleep_ms(1)\nasyncio.run(f())",
}


@pytest.mark.parametrize("what", BUSY)
def test_many_ctrl_c_at_any_moment_leave_the_board_usable(port, what):
    board, usb = port()
    usb.raw()
    usb.execute("proof = bytearray(1000)")
    moment = random.Random(what)
    for number in range(60):
        usb.start("print('on')\n" + BUSY[what])  # before that, Ctrl-C would be input, as on a board
        usb.expect(b"on\n")
        until = time.monotonic() + moment.random() * 0.015
        while time.monotonic() < until:
            pass
        usb.write(b"\x03")
        assert usb.result()[1].rstrip().endswith("KeyboardInterrupt:"), number
        assert usb.execute("more = [bytearray(500) for _ in range(40)]\nprint(len(proof), len(more))") == (
            "1000 40\n",
            "",
        )
    assert board.starts == 1
    board.cut_power()
    assert all(len(board.read_file(path)) in (0, 3000) for path in board.list_files())


def test_typing_does_not_shorten_a_sleep(port):
    _, usb = port()
    usb.raw()
    usb.start(
        "import time\nt = time.ticks_ms()\nprint('on')\ntime.sleep_ms(400)\nprint(time.ticks_diff(time.ticks_ms(), t))"
    )
    usb.expect(b"on\n")
    usb.write(b"abc")
    slept = int(usb.result()[0])
    assert 400 <= slept < 700


@pytest.mark.parametrize("paused", [False, True])
def test_time_runs_at_real_pace_during_a_talk_and_freely_after_it(port, paused):
    board, usb = port(paused=paused)
    other = board.world
    usb.raw()
    began, virtual = time.monotonic(), other.now()
    assert usb.execute("import time\ntime.sleep(0.5)\nprint(1)") == ("1\n", "")
    real_s = time.monotonic() - began
    assert real_s >= 0.5
    assert other.now() - virtual == pytest.approx(real_s, abs=0.3)
    usb.close()
    if paused:
        other.advance(86400)
        assert other.now() - virtual > 86400
    else:
        board.cut_power()


def test_a_board_that_idles_at_its_repl_lets_the_others_run(port, emulated_board):
    _, usb = port(paused=True)
    usb.raw()
    assert usb.execute("print(1)") == ("1\n", "")
    main = b"import machine\nprint('wake')\nmachine.deepsleep(3600000)"
    sleeper = emulated_board("esp32_c3", files={"main.py": main})
    sleeper.start()
    usb.close()
    sleeper.world.advance(10 * 3600)
    assert sleeper.wakes in (9, 10)


def test_a_watchdog_bites_at_the_repl_too(port):
    board, usb = port("esp32_c3")
    usb.raw()
    usb.execute("import machine; machine.WDT(timeout=300)")
    deadline = time.monotonic() + 10
    while board.starts < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    usb.raw()
    assert usb.execute("import machine; print(machine.reset_cause())") == ("3\n", "")


def test_the_clock_at_the_repl_is_right_after_a_pause(port):
    _, usb = port()
    usb.raw()
    before = int(usb.execute("import time; print(time.ticks_ms())")[0])
    assert usb.is_silent(0.3)
    after = int(usb.execute("print(time.ticks_ms())")[0])
    assert 300 <= after - before < 1500


ASLEEP = b"import machine, time\nprint('up')\ntime.sleep(0.1)\nmachine.deepsleep(4000000)"


def test_who_sleeps_deeply_or_is_off_does_not_answer(port):
    board, usb = port("esp32_c3", paused=True, main=ASLEEP)
    board.world.advance(10)
    usb.expect(b"up\r\n")
    path = board.usb_path
    usb.write(b"\r\x03\r\x03")
    assert usb.is_silent()
    board.cut_power()
    usb.write(b"\r\x03")
    assert usb.is_silent()
    board.write_file("/main.py", MAIN)
    board.restore_power()
    board.wait_line("^main")
    assert board.usb_path == path
    usb.raw()
    assert usb.execute("print(3)") == ("3\n", "")


def test_a_reset_wakes_a_sleeper_long_enough_to_catch_it(port):
    board, usb = port("esp32_c3", paused=True, main=ASLEEP.replace(b"0.1", b"2"))
    board.world.advance(10)
    seen = board.lines
    board.reset()
    board.wait_line("^up", after=seen)
    usb.raw()
    assert usb.execute("print(3)") == ("3\n", "")


def test_a_firmware_that_hangs_without_ctrl_c_needs_the_reset_pin(port):
    main = b"import micropython, os\nif not 'go' in os.listdir():\n    open('go', 'w').close()\n    micropython.kbd_intr(-1)\n    print('up')\n    while True: pass"
    board, usb = port(main=main)
    usb.expect(b"up\n")
    usb.write(b"\r\x03\r\x03\r\x01")
    assert usb.is_silent()
    board.reset()
    usb.expect(b">>> ")
    usb.raw()
    assert usb.execute("print(3)") == ("3\n", "")


def test_a_hung_firmware_is_let_go_on_by_ctrl_c(port):
    board, usb = port(main=b"while True:\n    pass", stall_s=0.2)
    usb.close()
    board.wait_line("firmware hangs")
    again = Port(board)
    again.raw()
    assert again.execute("print(3)") == ("3\n", "")
    again.close()


def test_any_bytes_leave_a_port_that_works(port):
    noise = random.Random(7)
    board, usb = port(boot=BOOT, main=LOOP)
    board.wait_line("loop")
    for size in (1, 7, 100, 3000, 20000):
        usb.write(noise.randbytes(size))
        for _ in range(3):  # main.py may run again, with bytes waiting behind it
            usb.write(b"\r\x03")
            deadline = time.monotonic() + 20
            while not usb.is_silent(0.3):
                assert time.monotonic() < deadline
        usb.raw()
        assert usb.execute("print('ok')") == ("ok\n", "")


def test_output_that_nobody_reads_is_lost_and_stops_nothing(port):
    board, usb = port()
    usb.raw()
    usb.write(b"for i in range(3000): print('%04d' % i, '-' * 60)\nprint('end')\x04")
    board.wait_line("^end", timeout_s=30)
    usb.close()
    again = Port(board)
    again.raw()
    assert again.execute("print('ok')") == ("ok\n", "")
    again.close()


def test_the_console_is_kept_with_and_without_a_port(emulated_board):
    board = emulated_board("pico_w", files={"boot.py": BOOT, "main.py": MAIN})
    board.start()
    board.world.resume()
    board.wait_line("^main")
    assert list(board.console) == ["boot", "main"]
    usb = Port(board)
    usb.raw()
    usb.execute("print('by usb')")
    board.wait_line("by usb$")
    usb.close()


def test_a_stopped_board_takes_its_port_away(port):
    board, usb = port()
    usb.raw()
    board.stop()
    with pytest.raises((serial.SerialException, OSError)):
        for _ in range(100):
            usb.write(b"x")
            usb.is_silent(0.05)
