"""What a sleeping board remembers: 28 bytes, the size of the smallest memory that outlasts a board's sleep (rp2).

Pure data. The bytes are read and then wiped right after a wake, and written right before deep sleep, so a crash in
between finds none and can reuse no number. They hold the state of a clean sleep, or a count of crashes.

    crc 2, form and flags 1, backoff 1, counters generation 2, life tag 2, seq left 1, index left 1,
    UTC at the planned wake 4 (0: unset), uptime at the planned wake 4, frames sent today 1, day 1,
    checks in a row and silences 1, clock error in ppm 2, the judge's fast bytes 5
"""

import struct
from binascii import crc32

SIZE = 28
HELLO = 1  # a hello is due
SAMPLE = 2  # the planned wake is a sample's
CHECK = 4  # the planned wake looks again at what a sample has shown; neither: it takes the temperature, or is a hop
EVENT = 8  # an event waits for its ack
MAX_PPM = 32767

_LAYOUT = ">HBBHHBBIIBBBh5s"
_STATE = 0x40  # the two highest bits of the flags say which form the bytes have; 00 and 11 are what wiped memory shows
_CRASH = 0x80
_FORM = 0xC0
_UNANSWERED_SHIFT = 4  # two bits of the flags


def life_tag(life):
    """Two bytes that tie the retained memory to the counters on flash."""
    return crc32(life) & 0xFFFF


class State:
    """A clean sleep. Fields as in the layout; unanswered, checks and silences 0..3; wait_intervals 0..31 and level
    0..7 are the backoff."""

    __slots__ = (
        "flags", "unanswered", "level", "wait_intervals", "generation", "life_tag", "seq_left", "index_left",
        "utc_s", "uptime_s", "spent", "day", "checks", "silences", "ppm", "heat",
    )  # fmt: skip

    def __init__(self):
        self.flags = 0
        self.unanswered = 0
        self.level = 0
        self.wait_intervals = 0
        self.generation = 0
        self.life_tag = 0
        self.seq_left = 0
        self.index_left = 0
        self.utc_s = 0
        self.uptime_s = 0
        self.spent = 0
        self.day = 0
        self.checks = 0
        self.silences = 0
        self.ppm = 0
        self.heat = bytes(5)

    def pack(self):
        return _seal(
            _STATE | self.unanswered << _UNANSWERED_SHIFT | self.flags,
            self.level << 5 | self.wait_intervals,
            self.generation & 0xFFFF, self.life_tag, self.seq_left, self.index_left,
            self.utc_s, self.uptime_s, self.spent, self.day & 0xFF, self.silences << 2 | self.checks, self.ppm,
            self.heat,
        )  # fmt: skip


def unpack(data):
    """(State or None, crashes in a row). (None, 0) for anything that was not packed here."""
    data = bytes(data)
    if len(data) != SIZE or crc32(data[2:]) & 0xFFFF != data[0] << 8 | data[1]:
        return None, 0
    fields = struct.unpack(_LAYOUT, data)
    form = fields[1] & _FORM
    if form == _CRASH:
        return None, fields[2]
    if form != _STATE:
        return None, 0
    state = State()
    state.flags = fields[1] & (HELLO | SAMPLE | CHECK | EVENT)
    state.unanswered = fields[1] >> _UNANSWERED_SHIFT & 3
    state.level, state.wait_intervals = fields[2] >> 5, fields[2] & 31
    state.generation, state.life_tag, state.seq_left, state.index_left = fields[3:7]
    state.utc_s, state.uptime_s, state.spent, state.day, state.checks, state.ppm, state.heat = fields[7:14]
    state.silences, state.checks = state.checks >> 2, state.checks & 3
    return state, 0


def pack_crash(crashes):
    """The other form: how many times in a row a wake ended in an error, at most 255."""
    return _seal(_CRASH, min(crashes, 255), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes(5))


def _seal(*fields):
    body = struct.pack(_LAYOUT, 0, *fields)[2:]
    return struct.pack(">H", crc32(body) & 0xFFFF) + body
