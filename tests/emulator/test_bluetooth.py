"""`bluetooth` of an emulated board: real MicroPython and the firmware's own link, with bleak at the other end."""

import asyncio
import re
import threading
from pathlib import Path

from bleak import BleakClient, BleakScanner

import kerbnode
import kerbwire
from kerbtools.emulator import ble_central
from kerbtools.emulator.ble_air import BleAir
from kerbwire import gatt
from kerbwire.fragment import Reader, split
from kerbwire.frame import MAX_FRAME

DEADLINE_S = 20
NEEDED = {
    "__init__",
    "ble",
    "radios",
    "tally",
    "flash",
    "chunks",
    "gatt",
    "line",
    "fragment",
    "frame",
    "errors",
    "compat",
    "cbor",
}
TALK = """
import sys, time, os
from kerbnode.link import ble
class hal:
    radio_off = None
    ticks_ms, ticks_diff, sleep_ms = time.ticks_ms, time.ticks_diff, time.sleep_ms
class identity:
    node, site = 17, "quay"
def talk():
    try:
        link = ble.opened(hal, {}, "", {}, identity)
    except OSError as error:
        print("alone", time.ticks_ms(), error)
        return
    print("peer", link.peer, link._notification)
    for number in range(3):
        link.send(bytes(range(number, 240 + number)))
        print("answer", link.receive(3000))
    link.close()
    print("tally", link.tally.frames, link.tally.lost, link.noise)
try:
    talk()
except Exception as error:
    sys.print_exception(error)
print("over")
"""


def board_with_link(emulated_board, name="pico_w"):
    files = {"main.py": TALK.encode()}
    for package in (kerbnode, kerbwire):
        folder = Path(package.__file__).parent
        for path in folder.rglob("*.py"):
            if path.stem in NEEDED and path.parent.name in ("kerbnode", "kerbwire", "link"):
                files[f"lib/{path.relative_to(folder.parent)}"] = path.read_bytes()
    return emulated_board(name, files=files)


class Central(threading.Thread):
    """Finds one node, answers each of its frames, and goes when the node hangs up."""

    def __init__(self, port, listens=gatt.GATEWAY):
        super().__init__(daemon=True)
        self.listens = listens
        self.listening = threading.Event()
        self.frames = []
        self.port = port
        self.said = None
        self.failure = None

    def run(self):
        try:
            asyncio.run(self.visit())
        except BaseException as error:
            self.failure = error

    async def visit(self):
        scanner, client, _ = ble_central.options(f"127.0.0.1:{self.port}")
        found = asyncio.Queue()
        async with BleakScanner(lambda device, said: found.put_nowait((device, said)), [gatt.SERVICE], **scanner):
            self.listening.set()
            async with asyncio.timeout(DEADLINE_S):
                device, self.said = await found.get()
        gone = asyncio.Event()
        reader = Reader()
        peer = BleakClient(device, lambda _: gone.set(), timeout=DEADLINE_S, **client)
        await peer.connect()

        async def answer(frame, number):
            for part in split(b"got " + frame[:20], number, 20):
                await peer.write_gatt_char(gatt.DOWN, part, response=False)

        def heard(_, data):
            frame = reader.feed(bytes(data))
            if frame:
                self.frames.append(frame)
                tasks.append(asyncio.create_task(answer(frame, len(self.frames) - 1)))

        tasks = []
        await peer.start_notify(gatt.UP, heard)
        await peer.write_gatt_char(gatt.DOWN, bytes((self.listens,)), response=True)
        async with asyncio.timeout(DEADLINE_S):
            await gone.wait()


def test_frames_both_ways_and_a_board_that_hangs_up(world, emulated_board):
    air = BleAir(world)
    board = board_with_link(emulated_board)
    board.hardware.ble.rssi = -77
    central = Central(air.port)
    central.start()
    assert central.listening.wait(DEADLINE_S)
    world.resume()
    board.start()
    board.wait_line("over")
    central.join(DEADLINE_S)
    assert central.failure is None
    assert central.said.rssi == -77 and gatt.named(central.said.local_name) == (17, gatt.tag("quay"))
    assert central.frames == [bytes(range(number, 240 + number)) for number in range(3)]
    assert all(len(frame) <= MAX_FRAME for frame in central.frames)
    assert next(iter(board.console)) == f"peer 1 {gatt.MTU - 3}"
    answers = [line for line in board.console if line.startswith("answer")]
    assert len(answers) == 3 and all("got " in line for line in answers)
    assert "tally 3 0 0" in board.console


def test_alone_it_costs_its_window_of_the_boards_time_and_no_real_time(world, emulated_board):
    board = board_with_link(emulated_board, "esp32_c3")
    board.start()
    world.advance(30)
    (line,) = [line for line in board.console if line.startswith("alone")]
    assert 10_000 <= int(re.findall(r"\d+", line)[0]) < 12_000
    assert "kerb doctor" in line
    assert not board.hardware.ble.is_on


def test_a_reset_ends_the_connection(world, emulated_board):
    air = BleAir(world)
    board = board_with_link(emulated_board)
    central = Central(air.port)
    central.start()
    assert central.listening.wait(DEADLINE_S)
    world.resume()
    board.start()
    board.wait_line("peer")
    board.cut_power()
    central.join(DEADLINE_S)
    assert central.failure is None and not central.is_alive()
