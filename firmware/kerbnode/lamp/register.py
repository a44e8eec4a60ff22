"""What a lamp counts and keeps: energy, hours, passages; and a record of each quarter of an hour.

/node/lamp, a checked file, written for each record: the counters, and the records that wait until the next report
gives them their numbers in a row, so that level changes keep theirs in a row too.
"""

import math

from kerbnode import flash
from kerbwire.channels import CHANNELS, ENERGY, FAULTS, HOURS, LEVEL, LUX, POWER, PRESENCE, SPECIAL
from kerbwire.compat import const

QUARTER_S = const(900)
MAX_WAITING = 24  # six hours, and a file of 2 KB; a full register moves its records
_SERIAL, _WAITING, _LIT, _PRESENCE, _FAULTS, _LAST = range(6)


class Register:
    """parts, lamp: of the node. faults: kerbnode.lamp.faults.Judge. waiting: items for the outbox.

    Each carries a serial number as its last member, by which `open` finds what is in the outbox already.
    """

    def __init__(self, path, parts, lamp, faults):
        self._path = path
        self._parts = parts
        self._lamp = lamp
        self._faults = faults
        self._serial = 0
        self._lit_ms = 0
        self._lit_at_ms = None
        self._lux = None
        self._last_s = 0
        self.burnt_h = self._kept_burnt_h = 0  # of the commissioning burn that is over
        self.waiting = []
        self.is_unkept = False  # the newest of them is in memory alone

    def open(self, newest, is_new_life=False):
        """Take up what is on flash. newest: the last member of the outbox's newest item. is_new_life: records of the
        life before are not told, since they may be another node's. Returns the UTC second of the last record, or 0."""
        burnt_h = flash.load(self._path + ".burnt")
        self.burnt_h = self._kept_burnt_h = burnt_h if isinstance(burnt_h, int) else 0
        kept = flash.load(self._path)
        if not isinstance(kept, dict) or sorted(kept) != [0, 1, 2, 3, 4, 5]:
            return 0
        self._serial = kept[_SERIAL]
        self.waiting = kept[_WAITING]
        self._lit_ms = 1000 * kept[_LIT]
        self._lamp.presence.usual, self._lamp.presence.quiet_nights = kept[_PRESENCE]
        self._faults.unpack(kept[_FAULTS])
        for at in range(len(self.waiting)):
            if self.waiting[at][-1] == newest:  # so far they were moved when the power went
                self.waiting = self.waiting[at + 1 :]
                break
        if is_new_life:
            self.waiting = []
        self._last_s = kept[_LAST]
        if len(self.waiting) != len(kept[_WAITING]):  # before something else is the newest
            self.keep()
        return self._last_s

    def look(self, now_ms, lux):
        """Count the time with light. now_ms: monotonic."""
        if self._lit_at_ms is not None and self._lamp.ramp.level:
            self._lit_ms += now_ms - self._lit_at_ms
        self._lit_at_ms = now_ms
        self._lux = lux

    def keep_burnt(self):
        """That the commissioning burn is over, in a file of its own, which is written once."""
        if self.burnt_h != self._kept_burnt_h:
            flash.replace(self._path + ".burnt", self.burnt_h)
            self._kept_burnt_h = self.burnt_h

    @property
    def hours(self):
        return self._lit_ms // 3600000

    @property
    def is_full(self):
        return len(self.waiting) >= MAX_WAITING

    def take(self, second, boot):
        """The record of now; `keep` puts it on flash. boot: 0 where the second is UTC."""
        lamp = self._lamp
        values = self._parts.values()
        values = {POWER: values[POWER], ENERGY: values[ENERGY]}
        if values[ENERGY] not in SPECIAL:
            values[ENERGY] = self._faults.energy.total_wh
        values[LEVEL] = lamp.ramp.level
        values[LUX] = self._lux if self._lux in SPECIAL else eighth_octaves(self._lux or 0)
        values[HOURS] = self.hours
        values[PRESENCE] = lamp.presence.passages
        values[FAULTS] = self._faults.flags
        for ident in values:
            channel = CHANNELS[ident]
            if values[ident] not in SPECIAL:
                values[ident] = max(channel.low, min(channel.high, values[ident]))
        self._serial = self._serial + 1 & 0xFFFFFFFF
        self.waiting.append([second, boot, values, self._serial.to_bytes(4, "big")])
        self._last_s = 0 if boot else second
        self.is_unkept = True
        lamp.presence.passages = 0

    def moved(self):
        """What waited is in the outbox."""
        self.waiting = []
        self.keep()

    def keep(self):
        """Put all of it on flash."""
        presence = self._lamp.presence
        self.is_unkept = False
        flash.replace(
            self._path,
            {
                _SERIAL: self._serial, _WAITING: self.waiting, _LIT: self._lit_ms // 1000,
                _PRESENCE: [presence.usual, presence.quiet_nights], _FAULTS: self._faults.pack(), _LAST: self._last_s,
            },
        )  # fmt: skip


def eighth_octaves(lux):
    """The channel's code of a lux value: 8 * log2(lux + 1)."""
    return int(math.log(lux + 1) * 8 / math.log(2) + 0.5)
