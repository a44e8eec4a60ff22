"""Records on flash until the gateway has committed them, and after that until their place is needed.

    /node/outbox/LIFE/XXXXXXXX   a segment: at most 32 records with consecutive numbers from hexadecimal XXXXXXXX on
    /node/outbox/LIFE/state      what is acknowledged and what is in flight; losing it costs sends, never a record

What lies in a segment: kerbnode.chunks. What does not check out ends its segment. firmware/OUTBOX.md has the laws.
"""

from kerbnode import flash
from kerbnode.brief import NONE
from kerbnode.chunks import HEAD, SEGMENT_RECORDS, chunk, scan
from kerbwire import cbor
from kerbwire.channels import FILL
from kerbwire.flights import Flights

EVENT = 7  # items of an event's array
MAX_RANGES = 16  # acknowledged stretches; beyond it the newest is forgotten, and sent again: see `is_crowded`

STATE = "state"


class Outbox:
    """The records of one life. declare_gap(first, count) is called before unacknowledged records are dropped.

    aside: [first, count] of records set aside (law 5). near: (index, UTC seconds) of the newest committed record, or
    None. told: what the owner keeps of its gateway in the same file. dropped: records lost unacknowledged, as far as
    can be known. stale: records of earlier lives removed: they cannot be sent, since a record belongs to its life.
    """

    def __init__(self, folder, capacity_segments, declare_gap):
        self._root = folder
        self._capacity = capacity_segments
        self._declare_gap = declare_gap
        self._folder = ""
        self._segments = []  # first numbers, ascending
        self._tail_end = None  # the number that the newest segment can take next; None: it takes no more
        self._acked = []  # [first, end), ascending, disjoint
        self._flights = Flights()
        self._changed = False
        self._sizes = {}  # records in a segment, by its first number, as far as known
        self._cached = (None, b"")  # one segment and its bytes
        self.aside = []
        self.near = None
        self.told = None
        self.dropped = 0
        self.stale = 0

    def open(self, life):
        """Find the records of this life; remove those of any other. Returns the number after the newest record."""
        from kerbnode import opening

        return opening.records(self, life)

    def append(self, index, *items):
        """Keep records and events, of numbers from `index` on, all or none: they are on flash when this returns.

        index only rises, so nothing is appended to a torn tail.
        """
        chunks = b"".join([chunk(item) for item in items])
        fresh = self._tail_end != index or index + len(items) - self._segments[-1] > SEGMENT_RECORDS
        if fresh:
            while len(self._segments) >= self._capacity:
                from kerbnode import upkeep

                upkeep.make_room(self)
        first = index if fresh else self._segments[-1]
        self._cached = (None, b"")
        flash.append(self._path(first), chunks, fresh)
        if fresh:
            self._segments.append(index)
        self._tail_end = index + len(items)
        self._sizes[first] = self._tail_end - first

    def tail(self):
        """First number of the segment that takes the next record, or None where that begins a new one."""
        return None if self._tail_end is None else self._segments[-1]

    def pending(self, limit):
        """How many records are not acknowledged, counted up to limit."""
        count = 0
        for _ in self._waiting():
            count += 1
            if count >= limit:
                break
        return count

    def judge(self):
        """What the newest record or event was kept with; b"" if there is none."""
        item = self.newest()
        return item[-1] if item and isinstance(item[-1], bytes) else b""

    def newest(self):
        """The newest record or event, or None. A power cut may leave newer segments with none."""
        for segment in reversed(self._segments):
            count = self._size(segment)
            if count:
                return self._record(segment, count - 1)
        return None

    @property
    def is_crowded(self):
        """What is acknowledged lies in nearly as many stretches as are kept: until the oldest that waits has filled a
        hole between them, the ack of something newer may find no place, and it would be sent for ever."""
        return len(self._acked) >= MAX_RANGES - 1

    def next_event(self):
        """(number, item) of the oldest event that waits, one in flight last; or None."""
        late = None
        for index, segment in self._waiting():
            item = self._record(segment, index - segment)
            if len(item) == EVENT:
                if not self._flights.carries(index):
                    return index, item
                late = late or (index, item)
        return late

    def next_run(self, most, after=-1):
        """Records for one report: [(index, time, boot, values)], oldest first, at most `most`; empty if none wait.
        after: only of those behind this number.

        Consecutive, of one boot or all in UTC, times not falling. What is in flight comes last: its ack may be late.
        """
        return self._run(most, False, after) or self._run(most, True, after)

    def oldest(self):
        """(time, fill or -1) of the oldest record that waits; (NONE, -1) without one."""
        run = self.next_run(1)
        return (run[0][1], max(-1, run[0][3].get(FILL, -1))) if run else (NONE, -1)

    def fresh_of(self, numbers):
        """The first of these numbers whose record waits and is not in flight, or None."""
        for index in numbers:
            if not (self._is_acked(index, index + 1) or self._is_aside(index) or self._flights.carries(index)):
                return index
        return None

    def newest_time(self, boot, index):
        """The newest time of a boot, whose record `index` is; acknowledged ones count too."""
        from kerbnode import upkeep

        return upkeep.newest_time(self, boot, index)

    def resend(self, first, count):
        """Let acknowledged records of a range wait again; returns how many of it are held."""
        from kerbnode import upkeep

        return upkeep.resend(self, first, count)

    def sent(self, seq, first, count):
        """A report with these records has left."""
        self._flights.sent(seq, first, count)
        self._changed = True

    def settle(self, committed, echo):
        """Take an ack: what it lists is acknowledged, what it has passed over will be sent again, or is set aside.
        Returns the numbers of reports that are newly committed."""
        before = len(self._flights.flying)
        done, aside = self._flights.settle(committed, echo)
        for _, first, count in done:
            self._acknowledge(first, first + count)
            self._note_near(first + count - 1)
        self.aside += [flight[1:] for flight in aside]
        if len(self._flights.flying) != before:
            self._changed = True
        return [flight[0] for flight in done]

    def keep(self, told):
        """Keep something small of the gateway with the state."""
        if told != self.told:
            self.told = told
            self._changed = True

    def forget_near(self):
        """The gateway begins anew, and knows of no record that was committed."""
        if self.near:
            self.near = None
            self._changed = True

    def _note_near(self, index):
        """A committed record, if it is the newest and dated in UTC: reports near it may say so in fewer bits."""
        if self.near and index <= self.near[0]:
            return
        home = None
        for segment in self._segments:
            if segment <= index:
                home = segment
        if home is not None and index < home + self._size(home):
            item = self._record(home, index - home)
            if not item[1] and len(item) != EVENT:
                self.near = (index, item[0])

    def take_back(self):
        """What was set aside may be tried again: after a boot, which may have brought other software to either end."""
        if self.aside:
            self.aside = []
            self._changed = True

    def give_up(self, index):
        """A record that no report can carry: declared as a gap, and out of the way."""
        self._declare_gap(index, 1)
        self.dropped += 1
        self._acknowledge(index, index + 1)

    def save(self):
        """Write the state if it has changed: once an exchange is enough, since losing it costs no record."""
        if self._changed:
            flights = self._flights
            flash.replace(
                self._folder + "/" + STATE,
                {
                    0: self._acked, 1: flights.flying, 2: self.dropped, 3: flights.refused,
                    4: self.aside[-MAX_RANGES:], 5: self.near, 6: self.told,
                },
            )  # fmt: skip
            self._changed = False

    def _run(self, most, in_flight_too, after):
        run = []
        for index, segment in self._waiting():
            if index <= after:
                continue
            if not in_flight_too and self._flights.carries(index):
                if run:
                    break
                continue
            item = self._record(segment, index - segment)
            time, boot, values = item[:3]
            if len(item) == EVENT:
                if run:
                    break
                continue
            if run and (index != run[-1][0] + 1 or boot != run[-1][2] or time < run[-1][1]):
                break
            run.append((index, time, boot, values))
            if len(run) >= most:
                break
        return run

    def _waiting(self):
        """As _unacknowledged, without what is set aside."""
        for index, segment in self._unacknowledged():
            if not self._is_aside(index):
                yield index, segment

    def _is_aside(self, index):
        return any(first <= index < first + count for first, count in self.aside)

    def _unacknowledged(self):
        """(index, its segment) of each, oldest first. Touches a segment only if it is not known to be acknowledged."""
        for segment, after in self._spans():
            if after is not None and self._is_acked(segment, after):
                continue
            waits = False
            for index in range(segment, segment + self._size(segment)):
                if not self._is_acked(index, index + 1):
                    waits = True
                    yield index, segment
            if not waits and after is not None and self._has_ended(segment, after):
                self._acknowledge(segment, after)  # over the gap behind it: this segment need not be read again

    def _spans(self):
        """(first number, first number of the next segment or None) of each segment."""
        return [(first, after) for first, after in zip(self._segments, self._segments[1:] + [None])]

    def _has_ended(self, segment, after):
        from kerbnode import upkeep

        return upkeep.settle_end(self, segment, after)

    def _size(self, segment):
        if segment not in self._sizes:
            self._sizes[segment] = scan(self._bytes(segment))[0]
        return self._sizes[segment]

    def _record(self, segment, place):
        """One record or event."""
        data = self._bytes(segment)
        at = 0
        for _ in range(place):
            at += HEAD + (data[at] << 8 | data[at + 1])
        return cbor.decode(data[at + HEAD : at + HEAD + (data[at] << 8 | data[at + 1])])

    def _bytes(self, segment):
        """Of a segment, kept for the next look at it; b"" where it cannot be read now."""
        if self._cached[0] != segment:
            self._cached = (None, b"")  # before the next is read: the heap need not hold both
            data = flash.read(self._path(segment))
            if data is None:
                return b""
            self._cached = (segment, data)
        return self._cached[1]

    def forget_bytes(self):
        """Nothing of a segment is held: for when the heap is wanted for something else."""
        self._cached = (None, b"")

    def _path(self, first):
        return self._folder + "/" + _name(first)

    def _is_acked(self, first, end):
        return any(low <= first and end <= high for low, high in self._acked)

    def _acknowledge(self, first, end):
        joined = []
        for low, high in self._acked:
            if high < first or low > end:
                joined.append([low, high])
            else:
                first, end = min(low, first), max(high, end)
        joined.append([first, end])
        joined.sort()
        self._acked = joined[:MAX_RANGES]
        self._changed = True


def _name(first):
    return "%08x" % first


def segment_names(path):
    firsts = []
    for name in flash.names(path):
        try:
            if len(name) == 8:
                firsts.append(int(name, 16))
        except ValueError:
            pass  # not a segment
    return sorted(firsts)
