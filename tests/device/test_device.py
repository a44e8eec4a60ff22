"""A board on a port: asked, written to, and given back, over the real raw REPL of an emulated one."""

import hashlib
import random
import time
from itertools import pairwise

import pytest

from kerbtools import boards, device
from kerbtools.device import BoardRaised, Device, FlashFull, FlashRefused, NotAnswering, PortGone
from kerbtools.emulator import Board, World

DATA = random.Random(4).randbytes(100_000)
NAMES = [name for name in boards.names() if name != "emulated"]


def test_the_public_names():
    assert set(device.__all__) == {
        "BoardRaised", "Device", "DeviceError", "Facts", "FlashFull", "FlashRefused", "NoPermission", "NoPort",
        "NotAnswering", "NotVerified", "PortBusy", "PortGone", "WrongBoard", "WrongMicroPython",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_a_board_says_of_itself(bench, name):
    board = bench(name)
    with Device.open(board.usb_path) as found:
        facts = found.facts()
    assert board.facts.identify.matches(facts.platform, facts.machine)
    assert (facts.unique_id, facts.mpy, facts.version[:2]) == (board.hardware.unique_id.hex(), "6.3", (1, 29))
    assert facts.total_bytes == board.facts.filesystem_bytes
    assert 0 < facts.free_bytes < facts.total_bytes


def test_files_go_there_and_come_back(bench):
    board = bench()
    seen = []
    with Device.open(board.usb_path) as found:
        found.write("/a/deep/folder/data.bin", DATA, lambda done, total: seen.append((done, total)))
        assert found.read("/a/deep/folder/data.bin") == DATA
        found.write("/a/empty", b"")
        found.write("/a/text", b"the same " * 1000)
        assert found.files("/a") == {"/a/deep/folder/data.bin": len(DATA), "/a/empty": 0, "/a/text": 9000}
        assert found.digests("/a/text", "/none") == {"/a/text": hashlib.sha256(b"the same " * 1000).hexdigest()}
        found.remove("/a/text")
        found.remove("/a/text")
        found.move("/a/empty", "/a/none")
        assert set(found.files()) == {"/a/deep/folder/data.bin", "/a/none"}
        with pytest.raises(FlashRefused) as refused:
            found.read("/a/text")
        assert refused.value.errno == 2
    assert seen[-1] == (len(DATA), len(DATA)) and len(seen) > 20
    board.cut_power()
    assert board.read_file("/a/deep/folder/data.bin") == DATA


def test_many_files_in_one_stream(bench):
    """Sizes around the piece that travels at once, and none at all."""
    files = {f"/d/{n}": DATA[:size] for n, size in enumerate((0, 1, 4095, 4096, 4097, 0, 8192, 3, 0))}
    board = bench("esp32_c3")
    with Device.open(board.usb_path) as found:
        found.make_folder("/d")
        found.put(files)
        found.check(files)
        assert found.files() == {path: len(data) for path, data in files.items()}


def test_a_question_gets_its_last_line_as_json(bench):
    with Device.open(bench().usb_path) as found:
        assert found.ask("print('noise')\nimport json\nprint(json.dumps({'a': [1, None]}))") == {"a": [1, None]}
        with pytest.raises(BoardRaised) as raised:
            found.ask("def f():\n raise ValueError('no\\x1b[31m such')\nf()")
        assert raised.value.last_line == "ValueError: no?[31m such"
        with pytest.raises(BoardRaised):
            found.ask("print('not json')")
        assert found.ask("print(2)") == 2  # still usable


def test_a_write_to_a_full_flash_leaves_the_old_file(bench):
    board = bench(files={"/x": b"old", "/music.wav": bytes(780_000)})
    with Device.open(board.usb_path) as found:
        with pytest.raises(FlashFull):
            found.write("/x", DATA)
        assert found.read("/x") == b"old"


def test_waits_end(bench):
    """Code that does not end, and one that prints without end."""
    board = bench()
    with Device.open(board.usb_path) as found:
        for code in ("import time\ntime.sleep(600)", "while True:\n print('x' * 100)"):
            began = time.monotonic()
            with pytest.raises(NotAnswering):
                found.ask(code, timeout_s=0.5)
            assert time.monotonic() - began < 20
            found.close()
            found = Device.open(board.usb_path)
        found.close()


def test_a_port_that_goes_away_in_the_middle(bench):
    board = bench()
    with Device.open(board.usb_path) as found:
        found.facts()
        board.stop()
        with pytest.raises(PortGone):
            found.facts()


def test_a_board_is_given_back_running(bench):
    board = bench(files={"/main.py": b"print('program runs')"})
    board.world.advance(1)
    board.wait_line("program runs")
    with Device.open(board.usb_path) as found:
        after = board.lines
        found.reset()
    board.world.advance(1)
    board.wait_line("program runs", after=after)


@pytest.mark.parametrize(("name", "timeout_ms"), [("esp32_c3", 1000), ("pico_w", 1000)])
def test_an_armed_watchdog_is_fed(bench, name, timeout_ms):
    """The firmware says that it armed one. It gets its longest time, and the work of the tools is shorter than that."""
    program = f"""
import machine, time
from kerbnode import app
dog = machine.WDT(timeout={timeout_ms})
app.watchdog_armed = True
print("armed")
while True:
    dog.feed()
    time.sleep_ms(100)
"""
    board = bench(name, files=None)
    with Device.open(board.usb_path) as found:
        found.write("/main.py", program.encode())
        found.reset()
    board.world.advance(1)
    board.wait_line("^armed")
    starts = board.starts
    with Device.open(board.usb_path) as found:
        began_us = board.world.now_us()
        while board.world.now_us() - began_us < 3 * timeout_ms * 1000:
            found.files()
            found.ask("import time\ntime.sleep_ms(500)\nprint(0)")
        assert "/main.py" in found.files()
    assert board.console.count("armed") == 1 and board.starts - starts <= 1  # the soft reset is a new process


def test_the_usb_window_is_there_after_a_cold_boot_only(emulated_board, emulated_world):
    """It costs a wake nothing: between two wakes no second is lost."""
    from kerbnode import app
    from kerbtools.emulator import Identity

    board = emulated_board("esp32_c3", identity=Identity(node=1, secret=bytes(16)), config={"interval_s": 450})
    board.start()
    board.world.advance(10)
    (boot,) = [line for line in board.console if line.startswith("boot ")]
    assert boot.endswith("power_on")
    board.world.advance(4 * 450)
    taken = [int(line.split()[3]) for line in board.console if line.startswith("taken ")]
    assert taken[0] >= app.USB_WINDOW_MS // 1000
    assert {later - earlier for earlier, later in pairwise(taken[1:])} == {450}


def test_a_board_caught_in_its_window_has_done_nothing_yet():
    with World(seed=1, paused=True) as world:
        board = Board(world, "esp32_c3")
        path = board.usb_path
        board.start()
        world.advance(1)
        with Device.open(path, timeout_s=5.0) as found:
            assert "/node/counters.0" not in found.files("/node")
