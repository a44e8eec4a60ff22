"""The clock: exact, shared, paced, and never backwards."""

import mmap
import struct
import threading
import time

import pytest
from cpu_time import spent_s

from kerbgate.clock import open_clock
from kerbtools.emulator import Board, World
from kerbtools.emulator.world import START_UTC, Interrupted

DAY = """
import machine, time
dog = machine.WDT(timeout=60000)
for _ in range(60):
    time.sleep(1)
    dog.feed()
machine.deepsleep(3600000 - 60000)
"""


class SharedClock:
    """A reader as another process would write it."""

    def __init__(self, path):
        with path.open("rb") as file:
            self.map = mmap.mmap(file.fileno(), 40, access=mmap.ACCESS_READ)

    def record(self):
        while True:
            first = struct.unpack_from("<QqqdQ", self.map)
            if first[0] % 2 == 0 and struct.unpack_from("<Q", self.map)[0] == first[0]:
                return first

    def now(self):
        _, virtual_us, monotonic_ns, rate, _ = self.record()
        return (virtual_us + (time.monotonic_ns() - monotonic_ns) / 1000 * rate) / 1_000_000


def test_a_virtual_day_takes_seconds_and_is_exact(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": DAY.encode()})
    board.start()
    began = spent_s()
    board.world.advance(24 * 3600)
    assert spent_s() - began < 5
    assert board.wakes in (23, 24)
    assert board.world.now() - START_UTC == pytest.approx(24 * 3600, abs=0.1)


def test_boards_share_one_time(emulated_board):
    main = "import machine, time\nprint('at', time.time())\nmachine.deepsleep(%d)"
    boards = [emulated_board("esp32_c3", files={"main.py": (main % ms).encode()}) for ms in (1000, 1700, 9000)]
    for board in boards:
        board.start()
    boards[0].world.advance(90.5)
    assert [board.wakes for board in boards] == [90, 53, 10]


def test_the_clock_file_follows_and_never_goes_back(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": b"import machine\nmachine.deepsleep(50)"})
    shared = SharedClock(board.world.clock_path)
    seen = []
    done = threading.Event()

    def watch():
        while not done.is_set():
            seen.append(shared.now())

    watcher = threading.Thread(target=watch)
    watcher.start()
    board.start()
    board.world.advance(3)
    done.set()
    watcher.join(5)
    assert seen == sorted(seen)
    assert shared.now() == pytest.approx(board.world.now(), abs=1e-6)
    assert shared.now() - START_UTC == pytest.approx(3, abs=0.01)


def test_whether_the_clock_is_synchronised_is_in_the_file(emulated_world):
    shared = SharedClock(emulated_world.clock_path)
    assert shared.record()[4] == 1
    emulated_world.set_synchronised(False)
    assert shared.record()[4] == 0


def test_speed_paces_the_sleep_of_all_boards():
    with World(speed=600) as world:
        shared = SharedClock(world.clock_path)
        board = Board(world, "esp32_c3", files={"main.py": b"import machine\nmachine.deepsleep(120000)"})
        began = time.monotonic()
        board.start()
        steps = set()
        while board.wakes < 3:
            steps.add(shared.now())
            assert time.monotonic() - began < 60
            threading.Event().wait(0.005)
        assert time.monotonic() - began >= 0.6
        assert len(steps) > 5  # the clock moves during a sleep, not only at its end


def test_advance_says_how_far_it_came(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": b"while True:\n    pass"})
    board.start()
    with pytest.raises(TimeoutError, match=r"the world got to 0\.\d+ s"):
        board.world.advance(10, timeout_s=0.2)


def test_advance_needs_a_paused_world():
    with World() as world, pytest.raises(ValueError, match="paused=True"):
        world.advance(1)


def test_an_interrupted_wait_ends_at_once(emulated_world):
    actor = emulated_world.join()
    caught = threading.Event()

    def wait():
        try:
            emulated_world.wait(actor, emulated_world.now_us() + 10**12)
        except Interrupted:
            caught.set()

    thread = threading.Thread(target=wait)
    thread.start()
    emulated_world.interrupt(actor)
    assert caught.wait(5)
    with pytest.raises(Interrupted):
        emulated_world.wait(actor, 0)
    emulated_world.clear(actor)
    emulated_world.wait(actor, 0)
    emulated_world.leave(actor)
    thread.join(5)


def test_stopping_a_world_leaves_nothing_behind():
    world = World()
    board = Board(world, "pico_w", files={"main.py": b"import time\nwhile True:\n    time.sleep(1)"})
    board.start()
    threads = threading.active_count()
    directory = world.directory
    world.stop()
    world.stop()
    assert not directory.exists()
    assert not board.alive
    assert threading.active_count() == threads - 2
    with pytest.raises(RuntimeError, match="stopped for good"):
        board.start()


def test_a_gateways_clock_reads_the_worlds_time(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": b"import machine\nmachine.deepsleep(1000)"})
    clock = open_clock(f"shared:{board.world.clock_path}")
    board.start()
    board.world.advance(10)
    assert clock.utc() == pytest.approx(board.world.now(), abs=1e-6)
    assert clock.synchronised()
    board.world.set_synchronised(False)
    assert not clock.synchronised()
