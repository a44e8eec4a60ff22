"""What a lamp has to account for, on its way to flash: level changes, events, and records of quarters of an hour.

All of them get their numbers from one counter and lie in one outbox. Flash is written while the light is steady: the
caller sees to that.
"""

from binascii import crc32

from kerbnode import flash
from kerbnode.outbox import EVENT
from kerbwire import cbor
from kerbwire.channels import CAUSE

MAX_EVENTS = 16  # that wait in memory until the light is steady: as many as there are rows of faults
APPENDED = 16  # items in one write: half a segment


class Evidence:
    """Everything is handed in. breathe(): called between two writes. events: (code, severity, state, evidence)."""

    def __init__(self, clock, counters, outbox, changes, register, journal, breathe):
        self._clock = clock
        self._counters = counters
        self._outbox = outbox
        self._changes = changes
        self._register = register
        self._journal = journal
        self._breathe = breathe
        self.events = []
        self.lost = 0  # events that found no room

    @property
    def waits(self):
        """Something is in memory alone."""
        return bool(self._changes.waiting or self.events)

    def tell(self, events):
        """Take events that have just been raised or cleared."""
        room = MAX_EVENTS - len(self.events)
        self.lost += max(0, len(events) - room)
        self.events += events[:room]

    def keep(self):
        """Put level changes and events on flash. True: an event was among them."""
        changes, counters = self._changes, self._counters
        if changes.dropped:
            self._journal.note("level changes lost:", changes.dropped)
            changes.dropped = 0
        if self.lost:
            self._journal.note("events lost:", self.lost)
            self.lost = 0
        if not self.waits:
            return False
        items = changes.take(self._clock, counters.boot_count)
        utc_s = self._clock.utc()
        boot = counters.boot_count if utc_s is None else 0
        now_s = self._clock.uptime() if utc_s is None else utc_s
        for code, severity, state, evidence in self.events:
            items.append([now_s, boot, evidence, code, severity, state, b""])
        has_events = bool(self.events)
        self.events = []
        try:
            self.append(items)
        finally:
            changes.unkept = items  # those that flash has refused; none in the end
        return has_events

    def take_quarter(self):
        """The record of a quarter of an hour, among those that wait for the next report."""
        utc_s = self._clock.utc()
        if utc_s is None:
            self._register.take(self._clock.uptime(), self._counters.boot_count)
        else:
            self._register.take((utc_s + 30) // 60 * 60, 0)

    def keep_quarter(self):
        """Put it on flash."""
        if self._register.is_full:
            self.move_quarters()
        else:
            self._register.keep()

    def move_quarters(self):
        """The records of quarters of an hour get their numbers, in a row, and go into the outbox."""
        if self._register.waiting:
            self.append(self._register.waiting)
            self._register.moved()

    def take_held(self, path, newest):
        """Keep what was shown after the error that ended the boot before: lampapp's file, [life, items]. The last
        member of each says from which file and place it comes: so the start after one that the power ended goes on
        behind the newest item of the outbox, whose last member is given. Returns the last item's UTC second, or 0."""
        held = flash.load(path)
        if not isinstance(held, list) or len(held) != 2:
            return 0
        life, items = held
        mark = crc32(cbor.encode(held)).to_bytes(4, "big")
        left = []
        for at in range(len(items)):
            items[at][-1] = mark + at.to_bytes(2, "big")
            left.append(items[at])
            if items[at][-1] == newest:
                left = []
        if life != self._counters.life:  # in another life's uptime nobody can date them
            dated = [item for item in left if not item[1]]
            if len(dated) != len(left):
                self._journal.note("level changes lost:", len(left) - len(dated), "of an earlier life")
            left = dated
        self.append(left)
        flash.remove(path)
        return items[-1][0] if items and not items[-1][1] else 0

    def append(self, items):
        """Keep items, which leave their list as they are kept: in runs that a segment holds, each whole or not."""
        outbox, journal = self._outbox, self._journal
        life = self.life()
        while items:
            some = items[:APPENDED]
            dropped = outbox.dropped
            index = self._counters.take_index(len(some))
            outbox.append(index, *some)
            del items[: len(some)]
            for item in some:
                if len(item) == EVENT:
                    journal.keep("event", life, index, item[3], item[5])
                elif CAUSE in item[2]:
                    journal.line("changed", life, index)
                else:
                    journal.line("taken", life, index, item[0])
                index += 1
            if outbox.dropped > dropped:
                journal.note("outbox full: dropped", outbox.dropped - dropped, "records")
            self._breathe()

    def life(self):
        """The life in hex, as the console says it."""
        return "".join(["%02x" % byte for byte in self._counters.life])
