"""The store's bookkeeping inside one transaction: lives, replay windows, committed ranges, reports, outbox rows.

Only the writer thread calls this. Check and set happen here and nowhere else, so no two frames can race. What is
kept in memory is a cache of the file: after a failed commit `forget` drops it, and it is read again.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

from kerbgate.store import ranges
from kerbgate.store.items import (
    CLOSED_LIFE,
    COMMITTED,
    DUPLICATE,
    OUT_OF_ORDER,
    REPLAYED,
    UNKNOWN_LIFE,
    Arrival,
    HelloFacts,
    Outcome,
)
from kerbwire import gateway_end
from kerbwire.window import Window

ACK_NUMBERS = 8  # sequence numbers an ack lists: an ack lost or late costs no resend of the last eight reports
MAX_BOOKS = 20_000  # lives kept in memory, about 0.4 KB each: a full district of 10,000 nodes and as many old lives
STEP_BACK_S = 86_400  # a node's clock may be set back by less; a short time resolved wrongly is off by 45 days


class _Book:
    """What is known of one life: its windows by key epoch, the highest of its committed ranges, its newest record."""

    __slots__ = ("life_id", "closed", "windows", "tail", "newest")

    def __init__(self, life_id: int, closed: bool):
        self.life_id = life_id
        self.closed = closed
        self.windows: dict[int, Window] = {}
        self.tail: ranges.Range | None = None
        self.newest: tuple[int, int] | None = None  # (index, UTC seconds)


class Books:
    """One writer's view of the store. Every method runs inside a transaction that the caller opens and commits."""

    def __init__(self, db: sqlite3.Connection, outlets: Sequence[str]):
        self._db = db
        self._outlets = tuple(outlets)
        self._books: OrderedDict[tuple[int, bytes], _Book] = OrderedDict()
        self._next_report = 0
        self._windows: dict[tuple[int, int], tuple[Window, int]] = {}
        self._tails: dict[tuple[int, int], int] = {}
        self._newest: dict[int, tuple[int, int]] = {}
        self._reports: list[tuple[object, ...]] = []
        self._waiting: list[tuple[str, int]] = []
        self.forget()

    def forget(self) -> None:
        """Drop every cache: after a rollback the file is the only truth."""
        self._books.clear()
        self._windows.clear()
        self._tails.clear()
        self._newest.clear()
        self._reports.clear()
        self._waiting.clear()
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name='report'").fetchone()
        self._next_report = (row[0] if row else 0) + 1

    def take(self, arrival: Arrival) -> Outcome:
        """Judge one arrival and, if it is new, book it. Anything but COMMITTED changes nothing."""
        book = self._book(arrival.node, arrival.life)
        confirms = arrival.hello is not None and arrival.hello.confirm
        window = book.windows.get(arrival.epoch) if book is not None else None
        closed = book is not None and book.closed
        seq = arrival.seq
        verdict = gateway_end.judge(window, closed, arrival.hello is not None, confirms, seq)
        if verdict == gateway_end.ACK_AGAIN and window is not None:
            return Outcome(DUPLICATE, _numbers(window, seq), window.top)
        if verdict not in (gateway_end.COMMIT, gateway_end.OPEN_LIFE):
            return Outcome(CLOSED_LIFE if closed else UNKNOWN_LIFE if window is None else REPLAYED)
        if book is None:
            book = self._confirm(arrival)
        if window is None:
            window = book.windows[arrival.epoch] = Window(floor=seq)
        window.accept(seq)
        self._windows[book.life_id, arrival.epoch] = (window, arrival.received_ms)
        report_id = aside = None
        if arrival.hello is not None:
            self._hello(book.life_id, arrival, arrival.hello)
        elif arrival.reason is not None:
            self._add_report(book.life_id, arrival, None, arrival.reason)
        elif arrival.short and not _in_order(arrival, book.newest):
            aside = OUT_OF_ORDER
            self._add_report(book.life_id, arrival, None, aside)
        else:
            report_id = self._report(book, arrival)
        return Outcome(COMMITTED, _numbers(window, seq), window.top, report_id, aside)

    def flush(self) -> None:
        """Write what `take` gathered; the caller commits."""
        db = self._db
        if self._reports:
            db.executemany("INSERT INTO report VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", self._reports)
            self._reports.clear()
        if self._waiting:
            db.executemany("INSERT INTO outbox (outlet, report_id) VALUES (?,?)", self._waiting)
            self._waiting.clear()
        if self._windows:
            db.executemany(
                "INSERT INTO window VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE"
                " SET top=excluded.top, bits=excluded.bits, seen=excluded.seen",
                [
                    (life_id, epoch, window.top, to_signed(window.bits), seen, window.floor)
                    for (life_id, epoch), (window, seen) in self._windows.items()
                ],
            )
            self._windows.clear()
        if self._tails:
            db.executemany(
                "INSERT INTO committed VALUES (?,?,?) ON CONFLICT DO UPDATE SET last=excluded.last",
                [(life_id, first, last) for (life_id, first), last in self._tails.items()],
            )
            self._tails.clear()
        if self._newest:
            db.executemany(
                "UPDATE life SET newest_index=?, newest_time=? WHERE life_id=?",
                [(*newest, life_id) for life_id, newest in self._newest.items()],
            )
            self._newest.clear()
        while len(self._books) > MAX_BOOKS:
            self._books.popitem(last=False)

    def forwarded(self, rows: Sequence[tuple[str, int]]) -> None:
        """Take (outlet, report_id) rows out of the outbox: the council has them."""
        self._db.executemany("DELETE FROM outbox WHERE outlet=? AND report_id=?", rows)

    def attempted(self, rows: Sequence[tuple[str, int]]) -> None:
        """Count one more failed attempt for (outlet, report_id) rows."""
        self._db.executemany("UPDATE outbox SET attempts=attempts+1 WHERE outlet=? AND report_id=?", rows)

    def decoded_late(self, report_id: int, life_id: int, first: int, count: int, time: int) -> None:
        """An undecoded row could be read after all: book its records now, as if it had just come."""
        self.flush()
        fresh = self._insert_range(life_id, first, first + count - 1)
        self._books.clear()  # its tail may have moved
        mask = ranges.mask(fresh, first, count) if fresh else 0
        self._db.execute(
            "UPDATE report SET state='decoded', reason=NULL, first=?, count=?, fresh=?, time=? WHERE report_id=?",
            (first, count, to_column(mask), time, report_id),
        )
        if fresh:
            self._db.executemany(
                "INSERT INTO outbox (outlet, report_id) VALUES (?,?)", [(name, report_id) for name in self._outlets]
            )

    def hello_late(self, report_id: int, life_id: int, facts: HelloFacts, received_ms: int) -> None:
        """An undecoded row was a hello: keep the gaps that it declared."""
        self._gaps(life_id, facts, received_ms)
        self._db.execute("UPDATE report SET state='decoded', reason=NULL WHERE report_id=?", (report_id,))

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
        book.tail = db.execute(
            "SELECT first, last FROM committed WHERE life_id=? ORDER BY first DESC LIMIT 1", (row[0],)
        ).fetchone()
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

    def _report(self, book: _Book, arrival: Arrival) -> int | None:
        first, last = arrival.first, arrival.first + arrival.count - 1
        newest = arrival.newest
        if newest is not None and (book.newest is None or newest[0] > book.newest[0]):
            book.newest = self._newest[book.life_id] = newest
        tail = book.tail
        mask = None
        if tail is None or first > tail[1]:  # the usual case: it continues, or begins above a gap
            book.tail = (tail[0], last) if tail is not None and first == tail[1] + 1 else (first, last)
            self._tails[book.life_id, book.tail[0]] = last
        else:
            self.flush()
            fresh = self._insert_range(book.life_id, first, last)
            if not fresh:
                return None
            mask = ranges.mask(fresh, first, arrival.count)
            book.tail = self._db.execute(
                "SELECT first, last FROM committed WHERE life_id=? ORDER BY first DESC LIMIT 1", (book.life_id,)
            ).fetchone()
        return self._add_report(book.life_id, arrival, mask, None)

    def _insert_range(self, life_id: int, first: int, last: int) -> list[ranges.Range]:
        """Add first..last to the committed ranges of a life; returns the parts that were new."""
        db = self._db
        near: list[ranges.Range] = db.execute(
            "SELECT first, last FROM committed WHERE life_id=?1 AND first <= ?3 + 1 AND first >= coalesce("
            "(SELECT max(first) FROM committed WHERE life_id=?1 AND first <= ?2), ?2) ORDER BY first",
            (life_id, first, last),
        ).fetchall()
        fresh = ranges.missing(near, first, last)
        if fresh:
            touching = [pair for pair in near if pair[1] >= first - 1]
            db.executemany("DELETE FROM committed WHERE life_id=? AND first=?", [(life_id, low) for low, _ in touching])
            db.execute("INSERT INTO committed VALUES (?,?,?)", (life_id, *ranges.merged(touching, first, last)))
        return fresh

    def _add_report(self, life_id: int, arrival: Arrival, mask: int | None, reason: str | None) -> int:
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
            )
        )
        if decoded:
            for name in self._outlets:
                self._waiting.append((name, report_id))
        return report_id

    def _hello(self, life_id: int, arrival: Arrival, facts: HelloFacts) -> None:
        self._db.execute(
            "INSERT INTO hello VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET life_id=excluded.life_id,"
            " seq=excluded.seq, received=excluded.received, next_index=excluded.next_index, message=excluded.message",
            (arrival.node, life_id, arrival.seq, arrival.received_ms, facts.next_index, arrival.message),
        )
        self._gaps(life_id, facts, arrival.received_ms)

    def _gaps(self, life_id: int, facts: HelloFacts, received_ms: int) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO gap VALUES (?,?,?,?)",
            [(life_id, first, count, received_ms) for first, count in facts.gaps],
        )


def _in_order(arrival: Arrival, newest: tuple[int, int] | None) -> bool:
    """Whether a report's times agree with the newest committed record, the clock's own corrections allowed."""
    if newest is None or arrival.newest is None or arrival.time is None:
        return True
    if arrival.first > newest[0]:
        return arrival.time > newest[1] - STEP_BACK_S
    return arrival.newest[0] >= newest[0] or arrival.newest[1] < newest[1] + STEP_BACK_S


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
    numbers = window.newest(ACK_NUMBERS)
    if own not in numbers:
        numbers[-1] = own
    return numbers
