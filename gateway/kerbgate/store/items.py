"""What goes into the store and what comes out of it, as plain data."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from kerbwire.controls import Log
from kerbwire.events import Event
from kerbwire.messages import Report

# The verdicts of the store on an arrival. Only the first two are ever acknowledged.
COMMITTED = "committed"
DUPLICATE = "duplicate"  # its number was committed before, inside the window
REPLAYED = "replay"  # its number lies below the window
UNKNOWN_LIFE = "unknown life"  # nothing is known of this (node, life): it takes a challenge
CLOSED_LIFE = "closed life"  # a later life of this node was confirmed
OUT_OF_ORDER = "out of order"  # a reason: short index and time, resolved to a time that its neighbour contradicts
FAILED = "store failed"  # the commit did not happen: the node keeps its records and sends them again

# The outbox's rows of a gateway without an outlet; no outlet can be called so. The first outlet inherits them.
NO_OUTLET = "-"


@dataclass(frozen=True, slots=True)
class HelloFacts:
    """What the store keeps of a hello. `confirm`: it returned our challenge, so its life may be confirmed."""

    confirm: bool
    next_index: int
    gaps: tuple[tuple[int, int], ...]  # (first index, count) that the node says it will never send


@dataclass(slots=True)  # not frozen: that costs a call a field, and one is made for each frame
class Reading:
    """A report as it was read: records first .. first + count - 1, time of the first as the report says it.

    newest: (index, UTC seconds) of its last record, None for uptimes. keep: level changes and events, which are never
    thinned. An event is booked as a report of the one index that it has.
    """

    report: Report | Event
    first: int
    count: int
    time: int
    newest: tuple[int, int] | None
    keep: bool

    def arrival(self, known: tuple[int, str, str, bytes, int, int, int, bool, bytes]) -> "Arrival":
        """The frame that it came with. known: Arrival.known."""
        return Arrival(
            *known,
            self.first,
            self.count,
            time=self.time,
            newest=self.newest,
            keep=self.keep,
            report=self.report,
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """A range that a node of a restored store is asked to send again. ident: of the command that asks, for ever."""

    ident: int
    first: int
    count: int


@dataclass(slots=True)  # not frozen: that costs a call a field, and one is made for each frame
class Arrival:
    """A frame that was opened. `message` is its clear text, kept as it came.

    count > 0: a decoded report of the records first .. first + count - 1.
    time: of its first record, as the report says it. newest: (index, UTC seconds) of its last record, None for uptimes.
    short: index and time were resolved from the newest record that was committed.
    hello: a hello. answer: (id, status) of a node's result. log: a piece of its ring log. None of these: `reason` says
    why it could not be decoded (law 5), and it is stored whole.
    keep: level changes and events. report: the decoded report or event, for folds. gathered: it was heard elsewhere, at
    received_ms, and handed in later: that moment says nothing of what time it is now.
    """

    node: int
    site: str
    role: str
    life: bytes
    epoch: int
    seq: int
    received_ms: int  # UTC, Unix milliseconds
    synchronised: bool  # whether the gateway's clock could be trusted then
    message: bytes
    first: int = 0
    count: int = 0
    hello: HelloFacts | None = None
    reason: str | None = None
    time: int | None = None
    newest: tuple[int, int] | None = None
    short: bool = False
    keep: bool = False
    report: Report | Event | None = None
    answer: tuple[int, int] | None = None
    log: Log | None = None
    gathered: bool = False

    @property
    def known(self) -> tuple[int, str, str, bytes, int, int, int, bool, bytes]:
        """What the frame says whatever its message is read as."""
        frame = (self.node, self.site, self.role, self.life, self.epoch, self.seq)
        return (*frame, self.received_ms, self.synchronised, self.message)

    @property
    def is_event(self) -> bool:
        """Whether it is an event. It has an index and is no record, so no near form is resolved from it."""
        return isinstance(self.report, Event)


@dataclass(frozen=True, slots=True)
class Change:
    """Something else to commit between frames. apply: its owner's statements, in the writer's thread and transaction.

    It may run twice, the first time undone. What it raises fails this change alone. received_ms: UTC, Unix ms.
    """

    apply: Callable[[sqlite3.Connection], None]
    received_ms: int


Answered = Callable[[sqlite3.Connection, Arrival], bool]  # in a frame's transaction: whether its result is to this


def answers_nothing(connection: sqlite3.Connection, arrival: Arrival) -> bool:
    """The Answered of a store without commands."""
    return False


@dataclass(slots=True)
class Outcome:
    """The store's answer to an arrival, given after the commit that it speaks of.

    numbers: the newest committed sequence numbers of this (node, life), the arrival's own among them. top: the highest.
    report_id: the row whose new records wait for the outlets, or None if nothing in it was new. aside: why a report
    that was decoded is set aside all the same. asks: what this node shall be asked for, from now on. row: that row.
    """

    verdict: str
    numbers: list[int] = field(default_factory=list[int])
    top: int = -1
    report_id: int | None = None
    aside: str | None = None
    asks: tuple[Ask, ...] = ()
    row: "StoredReport | None" = None


@dataclass(slots=True)  # not frozen: that costs a call a field, and one is made for each frame
class StoredReport:
    """A row of the store that waits for an outlet. `fresh` is a bit mask of its new records by offset; None: all.

    time: of its first record as the report says it; None in rows of schema 1, which are never short.
    """

    report_id: int
    node: int
    site: str
    role: str
    life: bytes
    received_ms: int
    synchronised: int  # 0 or 1
    first: int
    count: int
    fresh: int | None
    message: bytes
    time: int | None = None

    @property
    def near(self) -> tuple[int, int] | None:
        """What a short report is resolved from."""
        return None if self.time is None else (self.first, self.time)


@dataclass(slots=True)  # not frozen: that costs a call a field, and one is made for each frame
class NewReport:
    """A committed report with something new in it, as a fold gets it."""

    row: StoredReport
    life_id: int
    report: Report


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A committed event that is new, as a fold gets it."""

    row: StoredReport
    life_id: int
    event: Event


@dataclass(frozen=True, slots=True)
class Hole:
    """Indices of a life below its newest that are not committed. since_ms: when that was first known, Unix ms.

    declared: the node said that they will never come. asked: what became of asking for them: "waiting", or the status
    of the node's answer (kerbwire.controls.STATUSES); None where nobody asked.
    """

    node: int
    life: str
    first: int
    count: int
    declared: bool
    since_ms: int
    asked: str | None = None
