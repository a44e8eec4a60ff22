"""A lamp's links to its gateway, as links.json names them, beside the line of its street.

The line (kerbnode.link.shared) stays what it is: waves go on it and on nothing else, and what is heard on it counts.
What the lamp says to its gateway goes on one of the links, which is there all the time and listens; the others are off.
Which one it is says the table of kerbnode.link.fallback; `serial:` is the line. A link is a module with

    made(hal, board, address, options, identity) -> session     OSError; nothing of it waits

    step()             do what is due, without waiting
    steady             the light is: what may stall the loop for longer waits for it
    next_ms()          when a step is due even if nothing comes
    stream             what select.poll finds readable when something has come, or None
    rings(ring)        ring() is called, by an interrupt, when something has come, where no stream tells
    is_ready           a frame can leave
    ready_ms           after so long without it the next link is tried
    send(frame, 0)     what cannot go is lost, and counted in `tally`
    holds              what was said is not under way yet: the time for its answer has not begun
    frames             what has come
    noise, trouble, tally, end()

A link is tried when there is something to say: `reach` is asked until it says 0. Nothing here waits but `receive`, in
whose waits the loop runs.
"""

import gc
import sys

from kerbnode.link.fallback import Fallback, parts, told
from kerbnode.link.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODULES = {"mqtt": "kerbnode.link.mqtt", "mqtts": "kerbnode.link.mqtt", "lora": "kerbnode.link.lamplora"}
PARTS = {"kerbnode.link.mqtt": ("kerbnode.link.mqttsession",)}
WAIT_MS = 500  # between two looks at a link that is not ready yet
LEAST_MS = 20  # between two steps, but where something has come
HELD_MS = 200
UNSTEADY_MS = 60000  # a street that never rests: then the light falters once rather than that there is no link
SLOW_REST_MS = 900000  # between two TLS handshakes that fail: each takes an RP2040 some seconds


class Uplink(Fallback):
    """text: links.json. loop, clock, bell: of the lamp. line: kerbnode.link.shared. The rest as of Fallback."""

    def __init__(self, text, hal, board, identity, journal, folder, pace, loop, clock, bell, line):
        super().__init__(text, Hal(hal, loop, clock), board, identity, journal, folder, pace)
        self._loop = loop
        self._bell = bell
        self._line = line
        self._session: "Any" = None  # None: the line, or nothing
        self._at = -1  # of the names: which one is open
        self._due: "Any" = None  # which are to be tried, while one is looked for
        self._asked = self._steady = loop.ticks_ms()
        self._watched: "Any" = None
        self._was_ready = False
        self._answers = 0  # that the pace had counted when the exchange began
        self.came_back = False  # a link is there again; who takes note of it sets it back

    # What the loop and the program ask of a link.

    speaks = True  # `turn` has something to look after at all times

    @property
    def waiting(self):
        return self._line.waiting

    @property
    def noise(self):
        return self._line.noise + (self._session.noise if self._session else 0)

    def begin(self):
        """Open the first: it takes seconds to be there, and the lamp is to hear before it speaks."""
        self._take_up(0)

    def send(self, frame, first=False):
        """first: of the street, on its line."""
        if first or not self._session:
            self._line.send(frame, first)
            return
        try:
            self._session.send(frame, 0)
        except Exception as error:  # a link's edge: the light goes on, and the gateway is asked anew
            self._give_up(error)

    def receive(self, timeout_ms):
        """The next frame for this node, or None when timeout_ms are over, from when the last one was under way."""
        loop, line = self._loop, self._line
        start = loop.ticks_ms()
        while not line.waiting:
            left_ms = timeout_ms - loop.ticks_diff(loop.ticks_ms(), start)
            if left_ms <= 0:
                return None
            if self._session and self._session.holds:
                start = loop.ticks_ms()
                left_ms = HELD_MS
            loop.rest(left_ms)
        return line.receive(0)

    def turn(self):
        """A step of the line and of the link. Returns ms until the next."""
        left_ms = self._line.turn()
        session = self._session
        if session is None:
            return left_ms
        session.steady = self._may_stall()
        try:
            session.step()
        except Exception as error:  # a link's edge: whatever a port or a file has in it, the light goes on
            self._give_up(error)
            return left_ms
        while session.frames:
            self._line.sort(session.frames.pop(0))
        self._look(session)
        next_ms = session.next_ms()
        if next_ms:
            next_ms = max(LEAST_MS, next_ms)
        return next_ms if left_ms is None else min(left_ms, next_ms)

    # Between exchanges.

    def reach(self):
        """Before an exchange: 0: speak. None: no link can be had now. Else ask again in so many ms."""
        loop = self._loop
        if self._due is None:
            self._due = self._choose()
            self._asked = loop.ticks_ms()
        while self._due:
            at = self._due[0]
            if at != self._at:
                if not self._may_stall():
                    return WAIT_MS
                self._asked = loop.ticks_ms()
                if not self._take_up(at):
                    self._due.pop(0)
                    continue
            session = self._session
            if session is None or session.is_ready:
                self._due = None
                self._answers = self._pace.heard
                return 0
            if loop.ticks_diff(loop.ticks_ms(), self._asked) <= session.ready_ms:
                return WAIT_MS
            self._journal.note("link", self._scheme(at), session.trouble or "is not there in time")
            self._failed(at)
            self._due.pop(0)
        self._due = None
        return None

    def done(self):
        """After an exchange."""
        if self._at >= 0:
            if self._pace.heard != self._answers:
                self._note(self._at, 0)
            elif self._pace.level:
                self._failed(self._at)
            if self._session:
                self.tally = self._session.tally
                self._tell()
                self._session.tally = Tally()

    def save(self):
        """Put on flash what was learnt, if there is anything."""
        self._save()

    def close(self):
        """Before a reset."""
        self._end("")

    def _may_stall(self):
        """The light is steady, or has not been for too long."""
        loop = self._loop
        now = loop.ticks_ms()
        if loop.is_steady:
            self._steady = now
        return loop.ticks_diff(now, self._steady) > UNSTEADY_MS or self._steady == now

    def _take_up(self, at):
        """In place of what is open. False: it cannot be had, and why is told."""
        self._end("")
        scheme, address, options = parts(self._names[at])
        if scheme == "serial":
            self._at = at
            return True
        options["folder"] = self._folder
        if scheme == "mqtts":
            options["tls"] = "1"
        try:
            name = MODULES[scheme]
            for part in PARTS.get(name, ()):  # what is loaded in one piece stalls the loop for longer
                __import__(part)
                self._loop.breathe()
            module = sys.modules.get(name) or __import__(name, None, None, ("made",))
            session = module.made(self._hal, self._board, address, options, self._identity)
        except Exception as error:  # a link's edge: the next one may do better
            gc.collect()
            self._journal.note("link", scheme, "lamps have none over it" if scheme not in MODULES else told(error))
            self._failed(at)
            return False
        if scheme == "mqtts":
            session.most_rest_ms = SLOW_REST_MS
        session.rings(self._bell.call)
        self._session = session
        self._at = at
        self._was_ready = False
        return True

    def _give_up(self, error):
        gc.collect()
        self._end("memory is short" if isinstance(error, MemoryError) else type(error).__name__ + " " + told(error))

    def _end(self, trouble):
        session, self._session = self._session, None
        if trouble:
            self._journal.note("link", self._scheme(self._at), trouble)
        self._watch(None)
        self._at = -1
        if session:
            try:
                session.end()
            except Exception as error:  # it is gone whatever it says
                self._journal.note("link", type(error).__name__, error)
            gc.collect()

    def _look(self, session):
        """At what a step has changed."""
        self._watch(session.stream)
        if session.is_ready and not self._was_ready:
            self._loop.wants_program = self.came_back = True
        self._was_ready = session.is_ready

    def _watch(self, stream):
        if stream is not self._watched:
            self._bell.swap(self._watched, stream)
            self._watched = stream

    def _scheme(self, at):
        return self._names[at].split(":")[0]


class Hal:
    """The board, as a lamp's link sees it: what it waits for is waited for in the loop."""

    def __init__(self, hal, loop, clock):
        self.machine, self.random = hal.machine, hal.random
        self.ticks_ms, self.ticks_add, self.ticks_diff = hal.ticks_ms, hal.ticks_add, hal.ticks_diff
        self.radio_off = None
        self.feed = loop.checks_in
        self.utc_s, self.uptime_s = clock.utc, clock.uptime
        self._hal = hal
        self._loop = loop

    def sleep_ms(self, ms):
        """Of some milliseconds, for a part to answer."""
        self._hal.sleep_ms(ms)
        self._loop.breathe()
