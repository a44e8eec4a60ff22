"""The store's bookkeeping inside one transaction: lives, replay windows, committed ranges, reports, outbox rows.

Only the writer thread calls this. Check and set happen here and nowhere else, so no two frames can race. What is
kept in memory is a cache of the file: after a failed commit `forget` drops it, and it is read again.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

from kerbgate.store import aside, asks, logs, ranges, spans
from kerbgate.store.aside import Aside, Decode
from kerbgate.store.bulk import Bulk, runs
from kerbgate.store.folds import Folds
from kerbgate.store.items import (
    CLOSED_LIFE,
    COMMITTED,
    DUPLICATE,
    OUT_OF_ORDER,
    REPLAYED,
    UNKNOWN_LIFE,
    Answered,
    Arrival,
    Change,
    HelloFacts,
    NewEvent,
    NewReport,
    Outcome,
    Reading,
    StoredReport,
    answers_nothing,
)
from kerbgate.store.spans import Span
from kerbwire import gateway_end
from kerbwire.controls import Log
from kerbwire.events import Event
from kerbwire.window import Window

ACK_NUMBERS = 8  # sequence numbers an ack lists: an ack lost or late costs no resend of the last eight reports
_ALL = (1 << ACK_NUMBERS) - 1
MAX_BOOKS = 20_000  # lives kept in memory, about 0.4 KB each: a full district of 10,000 nodes and as many old lives

_REPORT = Bulk(
    "INSERT INTO report (report_id, life_id, epoch, seq, received, synchronised, first, count, message, fresh, state,"
    " reason, time, keep)",
    14,
)
_OUTBOX = Bulk("INSERT INTO outbox (outlet, report_id)", 2)
_WINDOW = Bulk(
    "INSERT INTO window (life_id, epoch, top, bits, seen, floor)",
    6,
    "ON CONFLICT DO UPDATE SET top=excluded.top, bits=excluded.bits,"
    " seen=coalesce(nullif(excluded.seen, 0), window.seen)",
)
_TAIL = Bulk(
    "INSERT INTO committed (life_id, first, last, since, first_time, last_time)",
    6,
    "ON CONFLICT DO UPDATE SET last=excluded.last, last_time=excluded.last_time",
)
_NEWEST = Bulk(
    "UPDATE life SET newest_index=v.column2, newest_time=v.column3 FROM (", 3, ") AS v WHERE life_id=v.column1"
)


class _Book:
    """What is known of one life: its windows by key epoch, the highest of its committed ranges, its newest record."""

    __slots__ = ("life_id", "closed", "windows", "tail", "newest")

    def __init__(self, life_id: int, closed: bool):
        self.life_id = life_id
        self.closed = closed
        self.windows: dict[int, Window] = {}
        self.tail: Span | None = None
        self.newest: tuple[int, int] | None = None  # (index, UTC seconds)


class Books:
    """One writer's view of the store. Every method runs inside a transaction that the caller opens and commits."""

    def __init__(
        self,
        db: sqlite3.Connection,
        outlets: Sequence[str],
        decode: Decode,
        folds: Folds | None = None,
        restored: bool = False,
        answered: Answered = answers_nothing,
        trusting: bool = False,
    ):
        """trusting: of a shadow, which takes a life for what its sealed frames say (SHADOW.md)."""
        self._db = db
        self._trusting = trusting
        self._answered = answered
        self.outlets = tuple(outlets)
        self._decode = decode
        self._folds = folds or Folds(())
        self._restored = restored
        self._books: OrderedDict[tuple[int, bytes], _Book] = OrderedDict()
        self._next_report = 0
        self._windows: dict[tuple[int, int], tuple[Window, int]] = {}  # and when its newest was heard; 0: as before
        self._tails: dict[tuple[int, int], Span] = {}
        self._newest: dict[int, tuple[int, int]] = {}
        self._reports: list[tuple[object, ...]] = []
        self._waiting: list[tuple[str, int]] = []
        self._new: list[NewReport] = []
        self._new_events: list[NewEvent] = []
        self.forget()

    @property
    def connection(self) -> sqlite3.Connection:
        return self._db

    @property
    def last_report(self) -> int:
        """The highest report id that was given out."""
        return self._next_report - 1

    def forget(self) -> None:
        """Drop every cache: after a rollback the file is the only truth."""
        self._books.clear()
        self._windows.clear()
        self._tails.clear()
        self._newest.clear()
        self._reports.clear()
        self._waiting.clear()
        self._new.clear()
        self._new_events.clear()
        self._folds.forget()
        self._aside = Aside(self._db)
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name='report'").fetchone()
        self._next_report = (row[0] if row else 0) + 1

    def take(self, arrival: Arrival | Change) -> Outcome:
        """Judge one arrival and, if it is new, book it. Anything but COMMITTED changes nothing."""
        if isinstance(arrival, Change):
            self.flush()  # it finds what came before it, such as rows that wait for no outlet yet
            arrival.apply(self._db)
            return Outcome(COMMITTED)
        book = self._book(arrival.node, arrival.life)
        confirms = arrival.hello is not None and arrival.hello.confirm
        window = book.windows.get(arrival.epoch) if book is not None else None
        closed = book is not None and book.closed and not self._trusting
        seq = arrival.seq
        verdict = gateway_end.judge(window, closed, arrival.hello is not None, confirms, seq)
        if self._trusting and window is None:
            verdict = gateway_end.OPEN_LIFE
        if verdict == gateway_end.ACK_AGAIN and window is not None:
            return Outcome(DUPLICATE, _numbers(window, seq), window.top)
        if verdict not in (gateway_end.COMMIT, gateway_end.OPEN_LIFE):
            return Outcome(CLOSED_LIFE if closed else UNKNOWN_LIFE if window is None else REPLAYED)
        if book is None:
            book = self._confirm(arrival)
        if window is None:
            window = book.windows[arrival.epoch] = Window(floor=seq)
        newest = seq > window.top
        window.accept(seq)
        key = book.life_id, arrival.epoch
        # Its newest frame says when a node was heard, not the one that came last: that may be of a round.
        seen = arrival.received_ms if newest else self._windows[key][1] if key in self._windows else 0
        self._windows[key] = (window, seen)
        outcome = Outcome(COMMITTED, _numbers(window, seq), window.top)
        if arrival.hello is not None:
            self._hello(book.life_id, arrival, arrival.hello)
            if self._restored and verdict == gateway_end.OPEN_LIFE and not self._trusting:
                self.flush()
                outcome.asks = asks.begin(self._db, book.life_id, arrival.hello.next_index, arrival.received_ms)
        elif arrival.answer is not None and (
            asks.answered(self._db, book.life_id, *arrival.answer) or self._answered(self._db, arrival)
        ):
            pass
        elif arrival.log is not None:
            logs.keep(self._db, arrival.node, arrival.log, arrival.received_ms)
        elif arrival.reason is not None:
            self._put_aside(book, arrival, arrival.reason)
        elif arrival.short:
            self._short(book, arrival, outcome)
        else:
            self._report(book, arrival, outcome)
        if self._aside.due(book.life_id):
            self._retry(book.life_id)
        return outcome

    def finish(self) -> None:
        """Write what was gathered and bring the folds up to it; the caller commits."""
        self.flush()
        if self._new or self._new_events:
            new, self._new = self._new, []
            events, self._new_events = self._new_events, []
            self._folds.apply(self._db, new, events)

    def flush(self) -> None:
        """Write what `take` gathered."""
        db = self._db
        if self._reports:
            _REPORT.run(db, self._reports)
            self._reports.clear()
        if self._waiting:
            _OUTBOX.run(db, self._waiting)
            self._waiting.clear()
        if self._windows:
            _WINDOW.run(
                db,
                [
                    (life_id, epoch, window.top, to_signed(window.bits), seen, window.floor)
                    for (life_id, epoch), (window, seen) in self._windows.items()
                ],
            )
            self._windows.clear()
        if self._tails:
            _TAIL.run(db, [(life_id, *tail) for (life_id, _), tail in self._tails.items()])
            self._tails.clear()
        if self._newest:
            _NEWEST.run(db, [(life_id, *newest) for life_id, newest in self._newest.items()])
            self._newest.clear()
        while len(self._books) > MAX_BOOKS:
            self._books.popitem(last=False)

    def forwarded(self, rows: Sequence[tuple[str, int]]) -> None:
        """Take (outlet, report_id) rows out of the outbox: the council has them."""
        by_outlet: dict[str, list[int]] = {}
        for outlet, report_id in rows:
            by_outlet.setdefault(outlet, []).append(report_id)
        self._db.executemany(
            "DELETE FROM outbox WHERE outlet=? AND report_id BETWEEN ? AND ?",
            [(outlet, *run) for outlet, idents in by_outlet.items() for run in runs(idents)],
        )

    def attempted(self, rows: Sequence[tuple[str, int]]) -> None:
        """Count one more failed attempt for (outlet, report_id) rows."""
        self._db.executemany("UPDATE outbox SET attempts=attempts+1 WHERE outlet=? AND report_id=?", rows)

    def late(self, report_id: int, reading: Reading | HelloFacts | Log) -> None:
        """A row that could not be read, or not be placed, can be now: book it as if it had just come.

        A report gets a new id, since readers of the outbox go forward by it.
        """
        self.flush()
        db = self._db
        life_id, epoch, seq, received_ms, synchronised, message = db.execute(
            "SELECT life_id, epoch, seq, received, synchronised, message FROM report WHERE report_id=?", (report_id,)
        ).fetchone()
        if isinstance(reading, HelloFacts):
            self._gaps(life_id, reading, received_ms)
            db.execute("UPDATE report SET state='decoded', reason=NULL WHERE report_id=?", (report_id,))
            return
        node, site, role, life = db.execute(
            "SELECT node, site, role, life FROM life WHERE life_id=?", (life_id,)
        ).fetchone()
        db.execute("DELETE FROM report WHERE report_id=?", (report_id,))
        if isinstance(reading, Log):
            logs.keep(db, node, reading, received_ms)
            return
        book = self._book(node, life)
        if book is not None:
            known = (node, site, role, life, epoch, seq, received_ms, bool(synchronised), message)
            self._report(book, reading.arrival(known))
            self.flush()

    def _put_aside(self, book: _Book, arrival: Arrival, reason: str) -> None:
        self._add_report(book.life_id, arrival, None, reason)
        if reason in aside.REASONS:
            self._aside.add(book.life_id)

    def _retry(self, life_id: int) -> None:
        """Try again what was set aside of this life: its neighbours may have come."""
        self.flush()
        for report_id, message in self._aside.rows(life_id):
            reading = aside.read(self._db, life_id, message, self._decode)
            if reading is not None:
                self.late(report_id, reading)

    def _book(self, node: int, life: bytes) -> _Book | None:
        key = (node, life)
        book = self._books.get(key)
        if book is not None:
            self._books.move_to_end(key)
            return book
        db = self._db
        row = db.execute(
            "SELECT life_id, state, newest_index, newest_time FROM life WHERE node=? AND life=?", key
        ).fetchone()
        if row is None:
            return None
        book = _Book(row[0], row[1] == "closed")
        book.newest = None if row[2] is None else (row[2], row[3])
        for epoch, top, bits, floor in db.execute(
            "SELECT epoch, top, bits, floor FROM window WHERE life_id=?", (row[0],)
        ):
            book.windows[epoch] = Window(top, from_signed(bits), floor)
        book.tail = spans.top(db, row[0])
        self._books[key] = book
        return book

    def _confirm(self, arrival: Arrival) -> _Book:
        """Begin a life and close those before it."""
        db = self._db
        for (life,) in db.execute("SELECT life FROM life WHERE node=? AND state='confirmed'", (arrival.node,)):
            older = self._books.get((arrival.node, life))
            if older is not None:
                older.closed = True
        db.execute("UPDATE life SET state='closed' WHERE node=? AND state='confirmed'", (arrival.node,))
        cursor = db.execute(
            "INSERT INTO life (node, life, site, role, state, confirmed_at) VALUES (?,?,?,?,'confirmed',?)",
            (arrival.node, arrival.life, arrival.site, arrival.role, arrival.received_ms),
        )
        book = _Book(cast(int, cursor.lastrowid), False)
        self._books[arrival.node, arrival.life] = book
        return book

    def _report(self, book: _Book, arrival: Arrival, outcome: Outcome | None = None) -> None:
        """Book what is new in a report. outcome: of its frame, which then tells the row."""
        first, last = arrival.first, arrival.first + arrival.count - 1
        newest = arrival.newest
        if newest is not None and (book.newest is None or newest[0] > book.newest[0]) and not arrival.is_event:
            book.newest = self._newest[book.life_id] = newest
        first_time, last_time = (None, None) if newest is None else (arrival.time, newest[1])
        tail, mask = book.tail, None
        if tail is None or first > tail.last:  # the usual case: it continues, or begins above a gap
            if tail is not None and first == tail.last + 1:
                tail = Span(tail.first, last, tail.since, tail.first_time, last_time)
            else:
                tail = Span(first, last, arrival.received_ms, first_time, last_time)
            book.tail = self._tails[book.life_id, tail.first] = tail
        else:
            self.flush()
            fresh = spans.add(self._db, book.life_id, Span(first, last, arrival.received_ms, first_time, last_time))
            if not fresh:
                return
            mask = ranges.mask(fresh, first, arrival.count)
            book.tail = spans.top(self._db, book.life_id)
        self._add_report(book.life_id, arrival, mask, None, outcome)

    def _short(self, book: _Book, arrival: Arrival, outcome: Outcome) -> None:
        """A report that says the low bits of index and time, which the intake resolved from the newest record.

        That holds above the newest record. A late one may have been written near another: it is resolved from all.
        """
        newest = book.newest
        placed: Arrival | None = arrival
        if newest is not None and arrival.newest is not None and arrival.time is not None:
            first, time = arrival.first, arrival.time
            if first > newest[0]:
                fits = time > newest[1] - spans.STEP_BACK_S and spans.is_near(first, time, newest)
                placed = arrival if fits else None
            else:
                self.flush()
                if not spans.missing(self._db, book.life_id, first, first + arrival.count - 1):
                    return  # sent again, and all of it is known, whatever its times
                reading = aside.read(self._db, book.life_id, arrival.message, self._decode)
                if not isinstance(reading, Reading):
                    placed = None
                elif (reading.first, reading.time) != (first, time):
                    placed = reading.arrival(arrival.known)
        if placed is None:
            outcome.aside = OUT_OF_ORDER
            self._put_aside(book, arrival, OUT_OF_ORDER)
        else:
            # Else what the intake has decoded is not what was committed.
            self._report(book, placed, outcome if placed is arrival else None)

    def _add_report(
        self, life_id: int, arrival: Arrival, mask: int | None, reason: str | None, outcome: Outcome | None = None
    ) -> None:
        report_id = self._next_report
        self._next_report += 1
        decoded = reason is None
        self._reports.append(
            (
                report_id,
                life_id,
                arrival.epoch,
                arrival.seq,
                arrival.received_ms,
                arrival.synchronised,
                arrival.first if decoded else None,
                arrival.count if decoded else None,
                arrival.message,
                to_column(mask),
                "decoded" if decoded else "undecoded",
                reason,
                arrival.time if decoded else None,
                arrival.keep,
            )
        )
        if decoded:
            for name in self.outlets:
                self._waiting.append((name, report_id))
            report = arrival.report
            row = _row(report_id, arrival, mask)
            if outcome is not None:
                outcome.report_id, outcome.row = report_id, row
            if self._folds and report is not None:
                if isinstance(report, Event):
                    self._new_events.append(NewEvent(row, life_id, report))
                else:
                    self._new.append(NewReport(row, life_id, report))

    def _hello(self, life_id: int, arrival: Arrival, facts: HelloFacts) -> None:
        self._db.execute(
            "INSERT INTO hello VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET life_id=excluded.life_id,"
            " seq=excluded.seq, received=excluded.received, next_index=excluded.next_index, message=excluded.message"
            " WHERE excluded.life_id!=hello.life_id OR excluded.seq>hello.seq",  # one of a round may be older
            (arrival.node, life_id, arrival.seq, arrival.received_ms, facts.next_index, arrival.message),
        )
        self._gaps(life_id, facts, arrival.received_ms)

    def _gaps(self, life_id: int, facts: HelloFacts, received_ms: int) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO gap VALUES (?,?,?,?)",
            [(life_id, first, count, received_ms) for first, count in facts.gaps],
        )


def _row(report_id: int, arrival: Arrival, mask: int | None) -> StoredReport:
    return StoredReport(
        report_id,
        arrival.node,
        arrival.site,
        arrival.role,
        arrival.life,
        arrival.received_ms,
        int(arrival.synchronised),
        arrival.first,
        arrival.count,
        mask,
        arrival.message,
        arrival.time,
    )


def to_column(mask: int | None) -> "int | bytes | None":
    """A bit mask as SQLite keeps it: a number up to 63 bits, longer ones in bytes."""
    return mask if mask is None or mask < 1 << 63 else mask.to_bytes(-(-mask.bit_length() // 8), "big")


def from_column(stored: "int | bytes | None") -> int | None:
    return int.from_bytes(stored, "big") if isinstance(stored, bytes) else stored


def to_signed(bits: int) -> int:
    """64 unsigned bits as SQLite keeps them."""
    return bits - (1 << 64) if bits >> 63 else bits


def from_signed(stored: int) -> int:
    return stored & ((1 << 64) - 1)


def _numbers(window: Window, own: int) -> list[int]:
    """The newest committed numbers, `own` among them."""
    top = window.top
    if window.bits & _ALL == _ALL and own > top - ACK_NUMBERS:  # none is missing: the usual case
        return list(range(top, top - ACK_NUMBERS, -1))
    numbers = window.newest(ACK_NUMBERS)
    if own not in numbers:
        numbers[-1] = own
    return numbers
