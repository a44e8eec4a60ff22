"""What a short wake has to know of the node, in two small files that the other wakes keep in step.

    FOLDER/brief   CRC-32, then JSON: the effective settings by name. To put them together takes longer than such a wake
    FOLDER/plan    CRC-32, then a Plan: whose records these are, which numbers are free, and when there is more to do

Either one that is absent, damaged or of another state costs a long wake, never a record: a plan counts only if the
retained memory names its counters (Plan.fits).
"""

import json
import struct
from binascii import crc32

from kerbnode import flash
from kerbnode.retained import life_tag

NONE = 0xFFFFFFFF  # no such number: a long wake is due

_BRIEF, _PLAN = "/brief", "/plan"
LAYOUT = ">8sHIIIIIIIb"


class Plan:
    """Of the counters as they are on flash: life, generation, seq_limit, index_limit, boot_count. tail: first number of
    the segment that the next record goes to, or NONE where a short wake may not take it. due, soon: from which record
    number on a report is due, and the forecast counts. since_s, fill: of the oldest record that waits; NONE: of none.
    """

    __slots__ = (
        "life", "generation", "seq_limit", "index_limit", "boot_count", "tail", "due", "soon", "since_s", "fill",
    )  # fmt: skip

    def __init__(self, *fields):
        (
            self.life, self.generation, self.seq_limit, self.index_limit, self.boot_count, self.tail, self.due,
            self.soon, self.since_s, self.fill,
        ) = fields  # fmt: skip

    def fits(self, state):
        """Whether it is of the counters that a retained State goes on from."""
        return self.generation == state.generation and life_tag(self.life) == state.life_tag


class Sample:
    """What kerbnode.bin.sampling.take has returned. now_s: its time. judge: as it was left with. uptime_ms: when it
    began; is_kept: it is on flash already."""

    def __init__(self, now_s, judge, taken):
        self.now_s = now_s
        self.judge = judge
        self.values, self.events, self.noise = taken
        self.uptime_ms = 0
        self.is_kept = False


def settings(folder):
    """The effective settings by name, or None."""
    text = _read(folder + _BRIEF)
    return None if text is None else json.loads(text)


def plan(folder):
    """The Plan, or None."""
    data = _read(folder + _PLAN)
    return None if data is None else Plan(*struct.unpack(LAYOUT, data))


def keep(folder, settings, *fields):
    """Keep both files in step; each is written only if it is not. fields: of the Plan."""
    text = ",".join(['"%s":%d' % (name, settings[name]) for name in sorted(settings)])
    _write(folder + _BRIEF, ("{%s}" % text).encode())
    _write(folder + _PLAN, struct.pack(LAYOUT, *fields))


def rises(settings, now, before, passed_s):
    """Whether a level that rose from `before` to `now` percent, or None, reaches full within the forecast."""
    full = settings["full_percent"]
    if now is None or now >= full or before < 0 or passed_s <= 0:
        return False
    return now + (now - before) * settings["forecast_h"] * 3600 // passed_s >= full


def _read(path):
    data = flash.read(path) or b""
    return data[4:] if len(data) > 4 and crc32(data[4:]) == int.from_bytes(data[:4], "big") else None


def _write(path, data):
    if _read(path) != data:
        with open(path, "wb") as file:
            file.write(crc32(data).to_bytes(4, "big") + data)
