"""A node's links as links.json names them, in their order: the next one where one cannot be had or stayed silent.

A link that failed is left alone for one exchange, then two, then four, up to MAX_REST: so a node neither waits for a
dead link each time nor forgets it. It counts as failed where opening it raised OSError, and where a whole exchange on
it stayed without the gateway's answer: what a stranger says is none. An answer makes it sound again, whatever else
stayed out. If all are at rest, the one whose rest is over soonest is tried.

What it has learnt lies in /node/links.cbor: [CRC of links.json, [failures in a row, exchanges of rest left], ...],
written only when it changes: nothing is written while the first link works.
"""

import gc
import json
import sys
from binascii import crc32

from kerbnode import flash
from kerbnode.link.tally import Tally

STATE = "/links.cbor"
MAX_LINKS = 4  # serial, Wi-Fi, BLE and LoRa: more has no board
MAX_REST = 64  # exchanges: two months of daily ones, half a week of hourly ones
MAX_FAILURES = 7  # counted; 64 is 1 << 6
COUNTS = ("frames", "bytes", "retries", "lost", "airtime_ms", "rssi", "snr")  # of a Tally


class Fallback:
    """text: links.json. pace: kerbnode.bin.pace.Pace, which counts what was heard and what was not. A link for the
    node, which opens at the first frame. Where none can be had each frame is lost, and counted, and nothing is waited
    for."""

    def __init__(self, text, hal, board, identity, journal, folder, pace):
        self._hal = hal
        self._board = board
        self._identity = identity
        self._journal = journal
        self._folder = folder
        self._pace = pace
        self._names = names(text)
        self._crc = crc32(text)
        self._states = self._load()
        self._link = None
        self._at = 0  # which of them is open, if one is
        self._heard = self._unheard = 0  # of the pace, when it was opened
        self._tried = False
        self.tally = Tally()

    @property
    def noise(self):
        return self._link.noise if self._link else 0

    @property
    def collects(self):
        """The other end keeps frames, and answers nothing now. To say so, the link opens."""
        self._reach()
        return getattr(self._link, "collects", False)

    def send(self, frame):
        self._reach()
        if self._link:
            self._link.send(frame)
        else:
            self.tally.sent(frame)
            self.tally.lost += 1

    def receive(self, timeout_ms):
        if not self._link:
            return None
        return self._link.receive(timeout_ms)

    def close(self):
        link, self._link = self._link, None
        self._tried = False
        if link:
            if self._pace.heard != self._heard:
                self._note(self._at, 0)
            elif self._pace.unheard != self._unheard:
                self._failed(self._at)
            link.close()
            self._tell()
        self._save()

    def _reach(self):
        """Open a link, once an exchange."""
        if not self._tried:
            self._tried = True
            self._open()

    def _choose(self):
        """Those that are not at rest, in their order. The others rest one exchange less from now on."""
        states = self._states
        due = [at for at in range(len(states)) if not states[at][1]]
        soonest = min([state[1] for state in states])
        for at in range(len(states)):
            if states[at][1]:
                if not due and states[at][1] == soonest:
                    due = [at]
                else:
                    self._rest(at, states[at][1] - 1)
        return due

    def _open(self):
        """The first that can be had."""
        for at in self._choose():
            name = self._names[at]
            self._hal.feed()
            try:
                self._link = open_one(name, self._hal, self._board, self._identity, self._folder)
            except (OSError, ImportError, ValueError, KeyError, MemoryError) as error:  # the next one may do better
                gc.collect()
                self._journal.note("link", name.split(":")[0], told(error))
                self._failed(at)
            else:
                self._at = at
                self._heard, self._unheard = self._pace.heard, self._pace.unheard
                self.tally = self._link.tally
                return

    def _tell(self):
        """One line of what the link has counted and is not 0; kept where frames were lost."""
        words = ["link", self._names[self._at].split(":")[0]]
        for name in COUNTS:
            if getattr(self.tally, name):
                words += [name, getattr(self.tally, name)]
        (self._journal.note if self.tally.lost else self._journal.line)(*words)

    def _failed(self, at):
        failures = min(self._states[at][0] + 1, MAX_FAILURES)
        self._note(at, failures)
        if len(self._states) > 1:
            self._rest(at, min(1 << failures - 1, MAX_REST))

    def _note(self, at, failures):
        if self._states[at][0] != failures:
            self._states[at] = [failures, 0]
            self._dirty = True

    def _rest(self, at, exchanges):
        self._states[at][1] = exchanges
        self._dirty = True

    def _load(self):
        self._dirty = False
        state = flash.load(self._folder + STATE)
        if isinstance(state, list) and len(state) == len(self._names) + 1 and state[0] == self._crc:
            found = [[failures, left] for failures, left in state[1:]]
            if all(0 <= pair[0] <= MAX_FAILURES and 0 <= pair[1] <= MAX_REST for pair in found):
                return found
        return [[0, 0] for _ in self._names]

    def _save(self):
        if self._dirty:
            try:
                flash.replace(self._folder + STATE, [self._crc] + self._states)
                self._dirty = False
            except OSError as error:  # it costs a look at a dead link
                self._journal.note("link state", error)


def names(text):
    """The strings of links.json; the UART's where it is no list of texts."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    found = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    return found[:MAX_LINKS] or ["serial:"]


def parts(name):
    """(scheme, address, options) of a link's string. Values stand as they are: none is percent-encoded."""
    scheme, _, rest = name.partition(":")
    address, _, query = rest.partition("?")
    options = {}
    for pair in query.split("&") if query else ():
        key, _, value = pair.partition("=")
        options[key] = value
    return scheme, address, options


def open_one(name, hal, board, identity, folder):
    """The link that one string names. OSError; ImportError for one that this firmware lacks; ValueError, KeyError."""
    scheme, address, options = parts(name)
    options["folder"] = folder
    if scheme == "mqtts":
        scheme, options["tls"] = "mqtt", "1"
    module = "kerbnode.link." + scheme
    found = sys.modules.get(module) or __import__(module, None, None, ("opened",))
    return found.opened(hal, board, address, options, identity)


def told(error):
    """The error as one text: MicroPython's OSError of a text has it as its errno."""
    if isinstance(error, ImportError):
        return "is not in this firmware: flash the board again: kerb flash"
    if isinstance(error, KeyError):
        return "lacks %s: bring it again: kerb links --port PORT --link ..." % error
    return str(error)
