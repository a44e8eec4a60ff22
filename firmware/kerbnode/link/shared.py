"""A link on which the node listens all the time, alone with its gateway or with a whole street: RS-485, a radio modem.

Everybody hears everybody. Who wants to speak waits until nothing was heard for a gap, and then for a random number of
slots; each time that somebody else was faster the choice gets wider. What is said still may collide: nothing here
acknowledges, the laws of kerbwire do.
"""

from kerbnode.link.serial import RECEIVE_BUFFER
from kerbwire import frame as frames
from kerbwire import line
from kerbwire.errors import WireError

MAX_FRAMES = 8  # that wait on either side: a command, its ack and a report, with as much again
CHARACTER_BITS = 10
SLOT_BITS = 200  # twenty characters: a modem's turn-round and the first byte that others hear
GAP_SLOTS = 2
USEFUL_MS = 5000  # of what is told first, a wave: a cyclist is at the next column by then, and seen there
FEWEST_SLOTS = 8
MAX_SLOTS = 64  # three hundred nodes that all want to speak find room in the tenth try


class Shared:
    """uart: as of link.serial. loop: ticks_ms, ticks_add, ticks_diff, and rest(ms), which a frame for this node ends.

    on_group(frame, header) hears group frames at once; frames of other nodes are passed over and counted. noise: as of
    line.Reader. overheard, dropped, deferred, stale: counts.
    """

    def __init__(self, uart, loop, node, random, baud, on_group=None):
        self._uart = uart
        self._loop = loop
        self._node = node
        self._random = random
        self._slot_ms = SLOT_BITS * 1000 // baud + 1
        self._baud = baud
        self._reader = line.Reader()
        self._out = []  # (ticks until which it is of use or None, bytes)
        self._in = []
        self._busy_ticks = loop.ticks_ms()  # until then somebody spoke, we among them
        self._slots = FEWEST_SLOTS
        self._send_ticks = None  # when the next frame may go, if nobody speaks until then
        self.on_group = on_group
        self.overheard = 0
        self.dropped = 0
        self.deferred = 0
        self.stale = 0

    @property
    def noise(self):
        return self._reader.noise

    @property
    def waiting(self):
        """Frames for this node that nobody has taken yet."""
        return len(self._in)

    @property
    def speaks(self):
        """Something waits to be sent."""
        return bool(self._out)

    def send(self, frame, first=False):
        """Queue a frame, before all that wait or behind them: it goes in a `turn`, soon where the line is quiet. One
        that goes first and has not gone in USEFUL_MS is let go of."""
        if len(self._out) >= MAX_FRAMES:
            self._out.pop()
            self.dropped += 1
        until = self._loop.ticks_add(self._loop.ticks_ms(), USEFUL_MS) if first else None
        self._out.insert(0 if first else len(self._out), (until, line.encode(frame)))
        self.turn()

    def receive(self, timeout_ms):
        """The next frame for this node, or None when timeout_ms are over; the loop goes on meanwhile."""
        loop = self._loop
        start = loop.ticks_ms()
        while not self._in:
            left_ms = timeout_ms - loop.ticks_diff(loop.ticks_ms(), start)
            if left_ms <= 0:
                return None
            loop.rest(left_ms)
        return self._in.pop(0)

    def turn(self):
        """Take in what has come, and send where it is our turn. Returns ms until it may be, or None: nothing waits."""
        self.take()
        loop = self._loop
        while self._out:
            now = loop.ticks_ms()
            if self._send_ticks is None:
                slots = GAP_SLOTS + self._random(1)[0] % self._slots
                wait_ms = slots * self._slot_ms - loop.ticks_diff(now, self._busy_ticks)
                self._send_ticks = loop.ticks_add(now, max(0, wait_ms))
            left_ms = loop.ticks_diff(self._send_ticks, now)
            if left_ms > 0:
                return left_ms
            until, data = self._out.pop(0)
            if until is not None and loop.ticks_diff(until, now) < 0:
                self.stale += 1
                continue
            self._uart.write(data)
            self._busy_ticks = loop.ticks_add(now, len(data) * CHARACTER_BITS * 1000 // self._baud + 1)
            self._send_ticks = None
            self._slots = FEWEST_SLOTS
        return None

    def take(self):
        """Read what has come, and sort it."""
        count = self._uart.any()
        if not count:
            return
        self._busy_ticks = self._loop.ticks_ms()
        if self._send_ticks is not None:  # somebody was faster
            self._send_ticks = None
            self._slots = min(2 * self._slots, MAX_SLOTS)
            self.deferred += 1
        for frame in self._reader.feed(self._uart.read(min(count, RECEIVE_BUFFER)) or b""):
            self.sort(frame)

    def sort(self, frame):
        """A frame that was heard, here or on another link: for whom is it?"""
        try:
            header = frames.parse(frame)
        except WireError:
            return
        if header.space == frames.GROUP:
            if self.on_group:
                self.on_group(frame, header)
        elif header.space != frames.DOWN or header.node != self._node:
            self.overheard += 1
        elif len(self._in) < MAX_FRAMES:
            self._in.append(frame)
        else:
            self.dropped += 1

    # Of a lamp that has other links to its gateway (kerbnode.link.uplink); the line is there at all times.

    came_back = False

    def begin(self):
        """Nothing is to be opened."""

    done = save = close = begin

    def reach(self):
        return 0
