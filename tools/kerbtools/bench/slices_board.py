"""Runs on MicroPython: what a lamp's program computes between two looks at what is due, as JSON lines.

Each piece of work is done ROUNDS times and cut where it gives way; of each slice the shortest time counts, since what
else the machine does only makes it longer.
"""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
# ruff: noqa: E402, PTH102

import gc
import json
import os
import sys
import time

ROUNDS = 15
ITEMS, SEGMENT = 64, 16
folder = sys.argv[1]

from kerbnode.clock import Clock
from kerbnode.counters import Counters
from kerbnode.drivers import sx126x
from kerbnode.identity import Identity
from kerbnode.lamp import settings as lampsettings
from kerbnode.lamp.lamp import Lamp
from kerbnode.lamp.talk import MAX_RUN, LampOutbox, Pace, Talk
from kerbnode.link import lamplora, mqttsession
from kerbwire import frame as frames
from kerbwire import line, messages
from kerbwire.channels import CAUSE, ENERGY, FAULTS, HOURS, LEVEL, LUX, POWER, PRESENCE
from kerbwire.group import GroupKey
from kerbwire.lora import Budget, Settings
from kerbwire.node_end import NodeEnd
from kerbwire.waves import Wave

_slices = []
_begin = [0]


def breathe():
    _slices.append(time.ticks_us() - _begin[0])
    _begin[0] = time.ticks_us()


class Loop:
    ticks_ms, ticks_diff = time.ticks_ms, time.ticks_diff

    def breathe(self):
        breathe()


def measure(name, work):
    best: list[int] = []
    for _ in range(ROUNDS):
        gc.collect()
        _slices.clear()
        _begin[0] = time.ticks_us()
        work()
        breathe()
        found = list(_slices)
        if len(best) != len(found):
            best = found
        best = [min(best[at], found[at]) for at in range(len(best))]
    print(json.dumps({"name": name, "slices": len(best), "longest_us": max(best), "sum_us": sum(best)}))


os.mkdir(folder)
counters = Counters(folder, 64, 64)
counters.open()
outbox = LampOutbox(folder + "/outbox", 128, counters.declare_gap, breathe)
counters.reboot(os.urandom, outbox.open)
second = 1800000000
for _ in range(ITEMS // SEGMENT):
    items = []
    for number in range(SEGMENT):
        second += 37 + number * 11 % 53
        items.append([second, 0, {LEVEL: (20, 100)[number & 1], CAUSE: (0, 1)[number & 1]}, b""])
    outbox.append(counters.take_index(SEGMENT), *items)
clock = Clock(time.ticks_ms, time.ticks_diff)
clock.offer(second + 5000, 10)
end = NodeEnd(801, Identity(801, bytes(16), 0, "street"), counters.life, counters.take_seq, bytes(8))
talk = Talk(
    Loop(), end=end, link=None, clock=clock, counters=counters, outbox=outbox, pace=Pace(),
    settings={"tries": 2, "ack_timeout_ms": 3000, "reports_per_wake": 8}, journal=None, make_hello=None, obey=None,
)  # fmt: skip
quarters = []
for number in range(4):
    values = {
        LEVEL: 20, POWER: 72 + number, ENERGY: 5000 + 7 * number, LUX: 10, HOURS: 100, PRESENCE: 3, FAULTS: 0,
    }  # fmt: skip
    quarters.append((number, second + 900 * number, 0, values))
measure("read a run of " + str(MAX_RUN) + " changes", lambda: outbox.next_run(MAX_RUN))
run = outbox.next_run(MAX_RUN)
measure("encode these", lambda: talk._encode(run))
measure("encode four quarters of an hour", lambda: talk._encode(quarters))
report = talk._encode(run)[0]
measure("seal a report", lambda: end.seal(report))
key = GroupKey(bytes(range(16)), 0)
wave = Wave(100, 0, 0, 0, 40)
measure("say a wave", lambda: line.encode(key.seal(2, 900, messages.encode(wave))))
frame = key.seal(2, 900, messages.encode(wave))
measure("hear a wave", lambda: messages.decode(key.open(frame, frames.parse(frame)), frames.GROUP))
reader, coded = line.Reader(), line.encode(bytes(range(1, 231)))
measure("take a frame of 230 bytes off the line", lambda: reader.feed(coded))


class Board:
    """Its time, a socket that takes everything at once, and a LoRa radio that does: a bus's own time is not in this."""

    ticks_ms, ticks_add, ticks_diff = time.ticks_ms, time.ticks_add, time.ticks_diff
    waiting = b""
    irqs = 0

    def __init__(self):
        self.machine = self
        self.Pin = Pin

    def random(self, count):
        return bytes(count)

    def sleep_ms(self, ms):
        raise RuntimeError("a step waits")

    def write(self, data):
        return len(data)

    def readinto(self, buffer):
        data, self.waiting = self.waiting[: len(buffer)], self.waiting[len(buffer) :]
        buffer[: len(data)] = data
        return len(data) or None

    def SPI(self, *_, **__):
        return self

    def write_readinto(self, data, into):
        if data[0] == 0x12:
            into[2], into[3] = self.irqs >> 8, self.irqs & 255
        elif data[0] == 0x13:
            into[2] = len(down)
        elif data[0] == 0x1E:
            into[3:] = down


class Pin:
    IN = OUT = 0

    def __init__(self, number, *_, **__):
        self._is_dio1 = number == FACTS["dio1"]

    def value(self, level=None):
        return 1 if self._is_dio1 and board.irqs else 0


def from_wifi():
    board.waiting = published
    wifi.step()
    assert wifi.frames.pop() == down


def to_wifi():
    wifi._unacked = None
    wifi.send(down, 0)


def from_lora():
    board.irqs = sx126x.RX_DONE
    air.step()
    assert air.frames.pop() == down


def to_lora():
    board.irqs = 0
    air._frame, air._state = down, lamplora.CHECKING
    air._transmit_now(0)


def check_lora():
    air._state, air._frame, air._until, air._given = lamplora.LISTENING, down, air._hal.ticks_ms(), air._hal.ticks_ms()
    board.irqs = 0
    air.step()


FACTS = {"spi": 0, "sck": 2, "mosi": 3, "miso": 4, "cs": 5, "busy": 6, "dio1": 7, "reset": 8, "frequency_hz": 2000000}
board = Board()
down = frames.pack(frames.DOWN, 0, 801, 7) + bytes(225)
topic = b"kerb/1/street/down/801"
published = b"\x30" + bytes((len(down) + 2 + len(topic) & 0x7F | 0x80, len(down) + 2 + len(topic) >> 7))
published += len(topic).to_bytes(2, "big") + topic + down
wifi = mqttsession.Mqtt({"site": "street", "host": ""}, 801, board, None, None, None)
wifi._socket, wifi.state = board, mqttsession.READY
measure("take a frame of 230 bytes from Wi-Fi", from_wifi)
measure("hand a frame of 230 bytes to Wi-Fi", to_wifi)
air = lamplora.LampLora(board, sx126x.Radio(board, FACTS), Settings(868100, 869525, 9, 14), Budget(10), folder, 801)
air._reserved_ms = 1 << 30
measure("take a frame of 230 bytes from LoRa", from_lora)
measure("look at the LoRa channel", check_lora)
measure("hand a frame of 230 bytes to LoRa", to_lora)
settings = {row[0]: row[1] for row in lampsettings.ROWS}
settings["latitude"], settings["longitude"] = 514500, -25900
lamp = Lamp(settings, [], [0], True)
lamp.sense(0, 1)
measure("judge day and night", lambda: lamp.judge(60, second))
measure("a tick of the control", lambda: lamp.tick(True, 60000))
measure("collect garbage", gc.collect)
