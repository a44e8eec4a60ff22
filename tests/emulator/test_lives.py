"""Starts, sleeps, resets and watchdogs, and what each leaves behind on each port."""

import random
import time

import pytest

from kerbtools.emulator import Board, World, interpreter

DEEPSLEEP = """
import machine, time
print("start", machine.reset_cause(), time.ticks_ms(), time.time())
time.sleep_ms(250)
machine.deepsleep(10000)
"""


@pytest.mark.parametrize(
    ("name", "woken", "later"), [("esp32_c3", 4, 10), ("pico_w", 3, 0)], ids=["esp32_c3", "pico_w"]
)
def test_deep_sleep_ends_the_process_and_starts_it_with_the_ports_cause(emulated_board, name, woken, later):
    board = emulated_board(name, files={"main.py": DEEPSLEEP.encode()})
    board.start()
    board.world.advance(25)
    assert board.wakes == 2
    first, second, third = [list(map(int, line.split()[1:])) for line in board.console]
    assert first[:2] == [1, 0]
    assert second[:2] == third[:2] == [woken, 0]
    assert second[2] - first[2] == later  # the board's own clock: an RP2040 forgets it in every reset


RETAIN = {
    "esp32_c3": """
import machine, os, time
memory = machine.RTC().memory()
print("kept", memory.hex() or "nothing", machine.reset_cause())
machine.RTC().memory(bytes(memory) + b"\\x2a")
""",
    "pico_w": """
import machine, os, time
regions = machine.mem_backup(-1)
last = regions[-1]
sizes = [len(bytes(region)) for region in regions]
print("kept", last[0], hex(last[-1]), machine.reset_cause(), sizes, hasattr(machine.RTC, "memory"))
last[-1] = 0xFFFFFFFF
last[0] += 1
assert machine.mem_backup()[0] == 0
""",
}
ENDINGS = {
    "deepsleep": "machine.deepsleep(1000)",
    "software": "machine.reset()",
    "watchdog": "machine.WDT(timeout=2000)\ntime.sleep(5)\nprint('never')",
    "pin": "time.sleep(100)",
    "power": "time.sleep(100)",
}


@pytest.mark.parametrize(
    ("name", "ending", "kept"),
    [
        ("esp32_c3", "deepsleep", "kept 2a 4"),
        ("esp32_c3", "software", "kept nothing 2"),
        ("esp32_c3", "watchdog", "kept nothing 3"),
        ("esp32_c3", "pin", "kept nothing 1"),
        ("esp32_c3", "power", "kept nothing 1"),
        ("pico_w", "deepsleep", "kept 1 0xffffffff 3 [16, 12] False"),
        ("pico_w", "software", "kept 1 0xffffffff 3 [16, 12] False"),
        ("pico_w", "watchdog", "kept 1 0xffffffff 3 [16, 12] False"),
        ("pico_w", "pin", "kept 0 0x0 1 [16, 12] False"),
        ("pico_w", "power", "kept 0 0x0 1 [16, 12] False"),
        ("pico2_w", "deepsleep", "kept 1 0xffffffff 3 [16, 12, 32] False"),
        ("pico2_w", "power", "kept 0 0x0 1 [16, 12, 32] False"),
    ],
)
def test_what_an_ending_leaves_of_the_retained_memory(emulated_board, name, ending, kept):
    main = (
        RETAIN["esp32_c3" if name == "esp32_c3" else "pico_w"]
        + "if 'go' in os.listdir('/'):\n    time.sleep(100)\nopen('/go', 'w').close()\n"
        + ENDINGS[ending]
    )
    board = emulated_board(name, files={"main.py": main.encode()})
    board.start()
    board.world.advance(6)
    if ending == "pin":
        board.reset()
    if ending == "power":
        board.cut_power()
        assert not board.alive
        board.restore_power()
    board.world.advance(6)
    assert board.console[1] == kept
    assert "never" not in board.console
    assert board.starts == 2
    assert board.wakes == (ending == "deepsleep")


def test_a_fed_watchdog_does_not_bite_and_the_rp2_refuses_a_long_one(emulated_board):
    main = """
import machine, time
try:
    machine.WDT(timeout=8389)
except ValueError as error:
    print("refused", error)
dog = machine.WDT(timeout=8388)
for _ in range(20):
    time.sleep(5)
    dog.feed()
print("fed", time.ticks_ms() // 1000)
"""
    board = emulated_board("pico_w", files={"main.py": main.encode()})
    board.start()
    board.world.advance(105)
    assert list(board.console) == ["refused timeout exceeds 8388", "fed 100"]
    board.world.advance(10)  # main.py is over, the watchdog is not
    assert board.starts == 2


@pytest.mark.parametrize(("name", "slept"), [("esp32_c3", 60), ("pico_w", 3)])
def test_the_watchdog_counts_through_the_deep_sleep_of_an_rp2_only(emulated_board, name, slept):
    main = "import machine\nprint('up')\nmachine.WDT(timeout=3000)\nmachine.deepsleep(60000)"
    board = emulated_board(name, files={"main.py": main.encode()})
    board.start()
    before = board.world.now()
    board.world.advance(slept - 1)
    assert board.starts == 1
    board.world.advance(2)
    assert board.starts == 2
    assert board.world.now() - before == pytest.approx(slept + 1)


def test_an_rp2_cannot_sleep_longer_than_its_timer(emulated_board):
    main = """
import machine
for ms in (4294967, 86400000):
    try:
        machine.deepsleep(ms)
    except ValueError as error:
        print(error)
machine.deepsleep(4294966)
"""
    board = emulated_board("pico_w", files={"main.py": main.encode()})
    board.start()
    board.world.advance(4290)
    assert list(board.console) == ["sleep too long"] * 2
    assert board.wakes == 0
    board.world.advance(10)
    assert board.wakes == 1


def test_soft_reset_starts_the_vm_anew_and_leaves_the_chip_alone(emulated_board):
    main = """
import machine, os, time
print("start", machine.reset_cause(), machine.RTC().memory(), time.ticks_ms() >= 500)
machine.RTC().memory(b"kept")
if "go" not in os.listdir("/"):
    open("/go", "w").close()
    time.sleep_ms(500)
    machine.soft_reset()
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    board.start()
    board.world.advance(2)
    assert list(board.console) == ["start 1 b'' False", "MPY: soft reboot", "start 5 b'kept' True"]


def test_a_hung_firmware_is_reset_by_its_watchdog(emulated_board):
    main = "import machine\nprint('cause', machine.reset_cause())\nmachine.WDT(timeout=2000)\nwhile True:\n    pass"
    board = emulated_board("esp32_c3", files={"main.py": main.encode()}, stall_s=1.5)
    board.start()
    board.world.resume()
    assert board.wait_line("cause 3")
    assert board.wait_line("firmware hangs")


def test_a_hung_firmware_without_a_watchdog_does_not_stop_the_others(emulated_board):
    hung = emulated_board("esp32_c3", files={"main.py": b"while True:\n    pass"}, stall_s=1.5)
    other = emulated_board("pico_w", files={"main.py": DEEPSLEEP.encode()})
    hung.start()
    other.start()
    other.world.advance(25)
    assert other.wakes == 2
    hung.reset()
    assert hung.starts >= 1


def test_a_crash_leaves_its_traceback_on_the_console_and_the_board_idle(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": b"def f():\n    raise KeyError('x')\nf()"})
    board.start()
    board.world.advance(3600)
    assert board.console[-1] == "KeyError: x"
    assert board.alive
    assert board.starts == 1


def test_boot_runs_before_main_and_a_failing_boot_does_not_stop_it(emulated_board):
    files = {"boot.py": b"print('boot', __name__)\n1/0", "main.py": b"import sys\nprint('main', sys.platform)"}
    board = emulated_board("pico_w", files=files)
    board.start()
    board.world.advance(1)
    assert board.console[0] == "boot __main__"
    assert board.console[-1] == "main rp2"


def test_an_uncatchable_end(emulated_board):
    main = """
import machine
while True:
    try:
        machine.deepsleep(1000)
    except BaseException:
        print("caught")
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    board.start()
    board.world.advance(10.5)
    assert board.wakes == 10
    assert not board.console


def test_resets_at_any_moment_are_counted_and_harmless(emulated_board):
    main = """
n = 0
while True:
    with open("/log", "a") as log:
        log.write("%d\\n" % n)
    n += 1
    print("logged")
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    board.start()
    board.world.resume()
    for i in range(25):
        for _ in range(i % 4):
            board.wait_line("logged", after=board.lines)
        board.reset()
    assert board.starts >= 25
    board.cut_power()
    assert all(line.isdigit() for line in board.read_file("/log").split())


def test_the_same_seed_gives_the_same_run():
    main = """
import machine, onewire, ds18x20, os, time
print(time.ticks_us(), machine.ADC(machine.Pin(3)).read_u16(), machine.unique_id().hex())
machine.deepsleep(600000)
"""
    runs = []
    for seed in (5, 5, 6):
        with World(seed=seed, paused=True) as world:
            board = Board(world, "esp32_c3", files={"main.py": main.encode()}, name="a")
            board.start()
            world.advance(6000)
            runs.append(list(board.console))
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) == 10


@pytest.mark.parametrize("name", ["pico_w", "esp32_c3"])
def test_a_board_stops_at_whatever_moment_after_its_start(name):
    """Also before its first process is there, and while what its shims take of the heap is not known yet."""
    moment = random.Random(name)
    with World(seed=1) as world:
        for number in range(50):
            board = Board(world, name, files={}, name=f"{name}-{number}")
            assert board.usb_path
            if number % 10 == 0:
                interpreter.shim_bytes.cache_clear()
            board.start()
            until = time.monotonic() + (number % 5 > 0) * moment.random() ** 2 * 0.1
            while time.monotonic() < until:
                pass
            if number % 7 == 3:
                board.reset()
            begun = time.monotonic()
            board.stop()
            assert not board.alive and board.failure is None
            assert time.monotonic() - begun < 9  # a request that nobody heeds takes ten
