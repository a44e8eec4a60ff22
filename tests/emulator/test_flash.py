"""The flash: what survives, and what a power cut at any write leaves."""

import pytest

from kerbtools import boards
from kerbtools.emulator.flash import Flash


def test_host_and_board_share_one_file_system(emulated_board):
    main = """
import os
print(open("/given.txt").read(), sorted(os.listdir("/")))
os.mkdir("/made")
with open("/made/by_board", "w") as file:
    file.write("x" * 5000)
"""
    board = emulated_board("pico_w", files={"main.py": main.encode(), "given.txt": b"hello"})
    board.start()
    board.world.advance(5)
    board.cut_power()
    assert list(board.console) == ["hello ['given.txt', 'main.py']"]
    assert board.read_file("/made/by_board") == b"x" * 5000
    board.write_file("/made/by_host", b"y")
    assert board.list_files() == ["/given.txt", "/made/by_board", "/made/by_host", "/main.py"]
    board.wipe_flash()
    assert board.list_files() == ["/given.txt", "/main.py"]


def test_an_image_that_is_there_is_kept(emulated_board, tmp_path):
    first = emulated_board(
        "esp32_c3", files={"main.py": b"with open('/kept', 'w') as file:\n    file.write('1')"}, directory=tmp_path
    )
    first.start()
    first.world.advance(1)
    first.stop()
    second = emulated_board("esp32_c3", files={"main.py": b"print('new')"}, directory=tmp_path)
    assert second.read_file("/kept") == b"1"


def test_the_flash_is_as_large_as_the_boards(emulated_board):
    main = "import os\ns = os.statvfs('/')\nprint(s[0], s[2])"
    for name in boards.names():
        facts = boards.load(name)
        board = emulated_board(name, files={"main.py": main.encode()})
        board.start()
        board.world.advance(1)
        assert board.console[0] == f"{facts.block_bytes} {facts.filesystem_bytes // facts.block_bytes}"


def test_flash_is_touched_only_while_the_board_is_off(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": b""})
    board.start()
    for touch in (board.wipe_flash, board.list_files, lambda: board.read_file("/main.py")):
        with pytest.raises(RuntimeError, match="cut its power"):
            touch()


# Replaces a file by a new one under a temporary name, and appends to a log: what the node's own files do.
WORKLOAD = """
import os
for round in range(4):
    with open("/state.new", "w") as file:
        file.write("state %d " % round * 40)
    os.rename("/state.new", "/state")
    with open("/log", "a") as log:
        log.write("entry %d\\n" % round)
print("done")
"""


def _old_or_new(board, label):
    """What may lie on the flash after a cut."""
    files = board.list_files()
    if "/state" in files:
        state = board.read_file("/state").decode()
        assert state in [f"state {n} " * 40 for n in range(4)], label
    log = board.read_file("/log").decode() if "/log" in files else ""
    assert "".join(f"entry {n}\n" for n in range(4)).startswith(log), label
    return log


@pytest.mark.parametrize("tear", ["all", "half", "garbage"])
def test_a_power_cut_at_every_write_leaves_the_old_or_the_new(emulated_board, tear):
    board = emulated_board("pico_w", files={"main.py": WORKLOAD.encode()})
    board.start()
    board.world.advance(60)
    assert board.console[-1] == "done"
    writes = board.flash.programs + board.flash.erases
    board.cut_power()
    longest = ""
    for n in range(1, writes + 1):
        board.wipe_flash()
        board.cut_power(at_write=n, tear=tear)
        board.start()
        board.world.resume()
        board.wait_off()
        log = _old_or_new(board, f"cut at write {n}, {tear}")
        assert len(log) >= len(longest)
        longest = log
    printed = board.lines
    board.restore_power()
    board.wait_line("done", after=printed)


def test_a_cut_wipes_memory_and_keeps_the_bytes_already_written(emulated_board):
    main = """
import machine
print("memory", machine.RTC().memory())
machine.RTC().memory(b"live")
file = open("/data", "w")
file.write("a" * 4096)
file.flush()
file.write("b" * 4096)
file.flush()
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    for n in (3, 9):
        board.cut_power(at_write=n)
        board.start()
        board.world.advance(1)
        board.wait_off()
        before = board.flash.path.read_bytes()
        board.restore_power()
        board.cut_power()
        assert board.flash.path.read_bytes() == before or "memory b''" in board.console
    assert set(board.console) == {"memory b''"}


def test_writes_take_virtual_time(emulated_board):
    main = """
import time
start = time.ticks_ms()
with open("/big", "w") as file:
    file.write("x" * 40960)
print(time.ticks_diff(time.ticks_ms(), start))
"""
    board = emulated_board("pico_w", files={"main.py": main.encode()})
    board.start()
    board.world.advance(10)
    assert 10 * (45 + 16 * 0.4) <= int(board.console[0]) <= 15 * (45 + 16 * 0.4)


def test_a_write_beyond_the_flash_is_refused(tmp_path):
    flash = Flash(tmp_path / "flash.img", boards.load("pico_w"))
    flash.format({})
    flash.open()
    with pytest.raises(OSError, match="beyond the flash"):
        flash.program(211, 4000, bytes(256))
    flash.close()


RAW = """
import os, sys, vfs
if sys.platform == "rp2":
    import rp2
    device = rp2.Flash()
else:
    import esp32
    assert not esp32.Partition.find(esp32.Partition.TYPE_APP) + esp32.Partition.find(label="otherwise")
    device = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")[0]
count, size = device.ioctl(4, 0), device.ioctl(5, 0)
print(count, size)
device.ioctl(6, count - 1)
block = bytearray(size)
device.readblocks(count - 1, block)
print(block.count(b"\\xff"))
device.writeblocks(count - 1, b"\\x0f" * 256, 256)
device.readblocks(count - 1, memoryview(block)[:8], 252)
print(bytes(block[:8]).hex())
device.writeblocks(count - 2, b"\\x5a" * (2 * size))
device.readblocks(count - 1, block)
print(block.count(b"\\x5a"))
for beyond in (lambda: device.ioctl(6, count), lambda: device.writeblocks(count - 1, bytes(size), 1)):
    try:
        print(beyond())
    except OSError as error:
        print("refused", error.errno)
os.chdir("/")
vfs.umount("/")
vfs.VfsLfs2.mkfs(device)
vfs.mount(vfs.VfsLfs2(device), "/")
print(os.listdir("/"))
open("/made", "w").close()
"""


@pytest.mark.parametrize("name", ["pico_w", "pico2_w", "esp32_c3", "esp32_s3"])
def test_programs_reach_the_flash_under_the_file_system(emulated_board, name):
    board = emulated_board(name, files={"main.py": RAW.encode(), "given": b"x"})
    board.start()
    board.world.advance(60)
    count = board.facts.filesystem_bytes // 4096
    assert list(board.console) == [f"{count} 4096", "4096", "ffffffff0f0f0f0f", "4096", "-22", "-22", "[]"]
    board.cut_power()
    assert board.list_files() == ["/made"]


def test_a_board_without_a_file_system_makes_an_empty_one(emulated_board):
    board = emulated_board("esp32_c3", files={"main.py": b"print('never')"})
    for content in (b"\xff", b"\x00", b"\x5a"):
        board.flash.path.write_bytes(content * board.facts.filesystem_bytes)
        board.start()
        board.world.advance(1)
        board.cut_power()
        assert board.list_files() == []
    assert not board.console
