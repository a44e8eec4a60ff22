"""The store's writer: one thread, one connection, one transaction for many frames.

A frame's outcome is handed out only after the commit that holds it returned. With synchronous=FULL that is after
fdatasync (STORE.md). If a commit fails, nothing of it is acknowledged, the caches are dropped, and the next batch tries
again: the gateway keeps running on a full disk and recovers by itself.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kerbgate.config import StoreSettings
from kerbgate.store import aside, asks, health, opening, schema
from kerbgate.store import shadow as shadows
from kerbgate.store.aside import Decode
from kerbgate.store.books import Books
from kerbgate.store.chores import Chores
from kerbgate.store.folds import Fold, Folds
from kerbgate.store.health import Health
from kerbgate.store.items import FAILED, NO_OUTLET, Answered, Arrival, Ask, Change, Outcome, answers_nothing
from kerbgate.store.lock import StoreLock
from kerbgate.store.mark import Mark
from kerbgate.store.quota import Layer, Quota

FORWARDED_DELAY_S = 0.5  # a deletion waits so long for a commit that is made anyway
FORWARDED_BATCH = 500  # deletions that are worth a commit of their own
MAX_ATTEMPTS = 10_000  # failed attempts not yet committed; they are a statistic, and more of them are forgotten
MANY = 16  # frames that are worth a commit before its time, once no more come
QUIET_S = 0.002
AGAIN_S = 0.25  # after an error of the disk: until the next try, so that a full disk does not cost a core

_JOIN_TIMEOUT_S = 10.0
_RETRY_BATCH = 500  # undecoded rows a transaction at start
_PLACE_S = 0.3  # of start for short reports set aside; those left over are tried as further reports of their lives come
Done = Callable[[Outcome], None]
Apply = Callable[[sqlite3.Connection], None]
Delivery = list[tuple[Done, Outcome]]
Batch = list[tuple[Arrival | Change, Done]]


class Note(Protocol):
    """What else an acknowledgement means, beside the deletion of rows."""

    def __call__(self, db: sqlite3.Connection, /) -> None:
        """Write it, in the writer's transaction. What it raises undoes it alone."""
        ...

    def committed(self) -> None:
        """It is in the store. Called by who is told of the commit, in the event loop."""
        ...


@dataclass(slots=True)
class Settled:
    """What outlets have: rows to take out of the outbox, and what else is committed with them."""

    rows: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    notes: list[Note] = field(default_factory=list[Note])

    def __len__(self) -> int:
        return len(self.rows) + len(self.notes)


class Store:
    """The open store. `submit` from any thread; outcomes come back in batches through `post`, after their commit."""

    def __init__(
        self,
        path: Path,
        *,
        outlets: Sequence[str],
        settings: StoreSettings,
        post: Callable[[Delivery], None],
        decode: Decode,
        folds: Sequence[Fold] = (),
        layers: Sequence[Layer] = (),
        answered: Answered = answers_nothing,
        letters_only: bool = False,
        shadow: bool = False,
    ):
        """Open, lock, check and migrate the store and read again what could not be read before; StoreError: why not.

        folds: updated in each commit (store.folds). layers: what is thinned after the raw reports (store.quota).
        answered: books a node's result to a command. letters_only: there are outlets, and none of them gets reports.
        shadow: it is, or becomes, the store of a shadow (store.shadow).
        """
        self.path = path
        self._answered = answered
        self.health = Health()
        self.folds = Folds(folds)
        self._quota = Quota(path, settings.quota_mb, layers)
        self._settings = settings
        self._outlets = _named(outlets, letters_only)
        self._shadow = shadow
        self._post = post
        self._decode = decode
        self._lock = StoreLock(path)
        self._wake = threading.Condition()
        self._arrivals: Batch = []
        self._forwarded = Settled()
        self._attempted: list[tuple[str, int]] = []
        self._forwarded_since = 0.0
        self._on_deleted: Callable[[Settled], None] | None = None
        self._rerouted: tuple[str, ...] | None = None
        self._stopping = False
        self._last_commit = 0.0
        self._newest_ms = 0
        self._not_before = 0.0
        self._books: Books | None = None
        self._frames_fail = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._mark: Mark | None = None
        try:
            self._open()
        except BaseException as error:
            if self._mark is not None:
                self._mark.close()
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise opening.explain(path, error) from error
            raise

    def _open(self) -> None:
        was_there = self.path.exists() and self.path.stat().st_size > 0
        self._mark = Mark(self.path)
        self._db = db = self._connect()
        try:
            self.health.checked = opening.check(db, self.path, opening.CHECK_S)
            schema.migrate(db)
            shadows.claim(db, self.path, self._shadow)
            self.restored = opening.settle_past(db, self._mark, was_there)
            self.store_id: str = db.execute("SELECT value FROM meta WHERE name='store_id'").fetchone()[0]
            self._books = self._new_books()
            _inherit(db, self._outlets)
            self._read_again(self._books)
            self._lives: dict[int, bytes] = dict(
                db.execute("SELECT node, life FROM life WHERE state='confirmed' ORDER BY life_id")
            )
            self._newest: dict[tuple[int, bytes], tuple[int, int]] = {
                (node, life): (index, time)
                for node, life, index, time in db.execute(
                    "SELECT node, life, newest_index, newest_time FROM life"
                    " WHERE state='confirmed' AND newest_index IS NOT NULL"
                )
            }
            self._asks = asks.pending(db)
        except BaseException:
            db.close()
            raise
        self.chores = Chores(self._quota, self.folds, self._decode, self.health)

    def start(self, on_deleted: Callable[[Settled], None] | None = None) -> None:
        """Start the writer. `on_deleted` hears of each committed deletion from the outbox, in the writer's thread."""
        self._on_deleted = on_deleted
        self.health.turned = time.monotonic()
        self._thread.start()

    def confirmed_lives(self) -> dict[int, bytes]:
        """The confirmed life of each node, as the store was opened."""
        return dict(self._lives)

    def newest_records(self) -> dict[tuple[int, bytes], tuple[int, int]]:
        """(index, UTC seconds) of the newest committed record of each confirmed life, as the store was opened."""
        return dict(self._newest)

    def pending_asks(self) -> dict[tuple[int, bytes], tuple[Ask, ...]]:
        """What the nodes of a restored store were asked for and have not answered, as the store was opened."""
        return dict(self._asks)

    @property
    def queued(self) -> int:
        return len(self._arrivals)

    @property
    def full(self) -> bool:
        """Whether `submit` would refuse."""
        return len(self._arrivals) >= self._settings.queue

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, arrival: Arrival | Change, done: Done) -> bool:
        """Queue an arrival; False, and nothing done, when the queue is full or the store is stopping."""
        with self._wake:
            if self._stopping or len(self._arrivals) >= self._settings.queue:
                return False
            self._arrivals.append((arrival, done))
            waiting = len(self._arrivals)
            if waiting in (1, MANY, self._settings.commit_count):  # it looks again by itself after each commit
                self._wake.notify()
        return True

    def forwarded(self, outlet: str, report_ids: Iterable[int], note: Note | None = None) -> None:
        """Delete rows from the outbox soon, with a commit that is made anyway. Pumps bound how many wait here.

        note: what else is committed in the same transaction.
        """
        with self._wake:
            settled = self._forwarded
            before = len(settled)
            if not before:
                self._forwarded_since = time.monotonic()
            settled.rows.extend([(outlet, report_id) for report_id in report_ids])
            if note is not None:
                settled.notes.append(note)
            if before == 0 or len(settled) >= FORWARDED_BATCH:
                self._wake.notify()

    def reroute(self, outlets: Sequence[str], letters_only: bool, note: Apply, received_ms: int, done: Done) -> bool:
        """Let reports go to these outlets from a commit on, and no report be between; False if it cannot be queued.

        What waits stays, under the name of its outlet. note: committed with it.
        """
        names = _named(outlets, letters_only)

        def apply(db: sqlite3.Connection) -> None:
            _inherit(db, names)
            note(db)
            if self._books is not None:
                self._books.outlets = self._rerouted = names

        return self.submit(Change(apply, received_ms), done)

    def attempted(self, outlet: str, report_ids: Iterable[int]) -> None:
        """Count a failed attempt for rows of the outbox, with the next commit; forgotten if too many wait."""
        with self._wake:
            if len(self._attempted) < MAX_ATTEMPTS:
                self._attempted.extend((outlet, report_id) for report_id in report_ids)

    def stop(self) -> bool:
        """Commit what is queued and close; False if that took longer than a bounded time."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_TIMEOUT_S)
            if self._thread.is_alive():
                return False
        self._db.close()
        if self._mark is not None:
            self._mark.close()
        self._lock.release()
        return True

    # The writer's thread, from here on.

    def _run(self) -> None:
        self.chores.begin()
        while True:
            self.health.turned = time.monotonic()
            batch, settled, attempts, stopping = self._gather()
            if batch or settled or attempts:
                self._commit(batch, settled, attempts)
            if stopping and not self._arrivals:
                self._do_chores(stopping=True)
                return
            if self.chores.due(time.monotonic()):
                self._do_chores()

    def _do_chores(self, stopping: bool = False) -> None:
        """Thinning, debts of folds, counts: between two commits, each a short transaction of its own."""
        try:
            self.chores.run(self._ready(), self._newest_ms, stopping)
        except Exception as error:  # the edge of the chores: frames are more important
            self.health.failed_chores += 1
            self.health.last_failed_chore = f"{type(error).__name__}: {error}"
            self.chores.next_s = time.monotonic() + AGAIN_S
            self._books = None
            self._db.close()

    def _gather(self) -> tuple[Batch, Settled, list[tuple[str, int]], bool]:
        """Wait until a commit is due, and take everything that it shall hold."""
        interval = self._settings.commit_interval_ms / 1000
        seen, since = 0, 0.0
        with self._wake:
            while not self._stopping:
                now = time.monotonic()
                if now < self._not_before:
                    due = self._not_before
                elif self._arrivals:
                    due = self._last_commit + interval
                    waiting = len(self._arrivals)
                    if waiting >= self._settings.commit_count or now >= due:
                        break
                    if waiting >= MANY:
                        if waiting > seen:
                            seen, since = waiting, now
                        if now >= since + QUIET_S:  # no more came: the senders' windows are full, and they wait for us
                            break
                        due = min(due, since + QUIET_S)
                elif self._forwarded:
                    due = self._forwarded_since + FORWARDED_DELAY_S
                    if len(self._forwarded) >= FORWARDED_BATCH or now >= due:
                        break
                elif self.chores.due(now):
                    break
                else:
                    due = self.chores.next_s
                self._wake.wait(due - now)
            batch, self._arrivals = self._arrivals, []
            settled, self._forwarded = self._forwarded, Settled()
            attempts, self._attempted = self._attempted, []
            return batch, settled, attempts, self._stopping

    def _commit(self, batch: Batch, settled: Settled, attempts: list[tuple[str, int]]) -> None:
        started = time.monotonic()
        delivery: Delivery = []
        try:
            delivery = self._transaction(batch, settled, attempts)
        except Exception as error:  # the edge of the writer's work: whatever it was, nothing is acknowledged
            self._failed(error)
            self._frames_fail = self._frames_fail or bool(batch)
            delivery = self._one_by_one(batch, error)
            if not batch or not self._delete_alone(settled):
                with self._wake:  # the council has them: the rows must still go
                    later, self._forwarded = self._forwarded, settled
                    settled.rows += later.rows
                    settled.notes += later.notes
                    self._forwarded_since = time.monotonic()
        else:
            if settled and self._on_deleted is not None:
                self._on_deleted(settled)
        self._last_commit = time.monotonic()
        self.health.last_commit_ms = (self._last_commit - started) * 1000
        if delivery:
            self._post(delivery)

    def _one_by_one(self, batch: Batch, error: Exception) -> Delivery:
        """After a failure that is not the disk's: one arrival that cannot be stored must not stop the others."""
        if health.is_disk_error(error):
            return [(done, Outcome(FAILED)) for _, done in batch]
        delivery: Delivery = []
        for item in batch:
            try:
                delivery += self._transaction([item], Settled(), [])
            except Exception as single:  # the same edge, one arrival wide
                self._failed(single)
                if not health.is_disk_error(single):
                    self.health.failing = None
                    self.health.unstorable += 1
                    self.health.last_unstorable = f"{type(single).__name__}: {single}"
                delivery.append((item[1], Outcome(FAILED)))
        return delivery

    def _delete_alone(self, settled: Settled) -> bool:
        """Where no frame can be stored the outbox must still empty: deletions need less room, and make some."""
        if settled:
            try:
                self._transaction([], settled, [])
            except Exception as error:  # the same edge again
                self._failed(error)
                return False
            if self._on_deleted is not None:
                self._on_deleted(settled)
        return True

    def _transaction(self, batch: Batch, settled: Settled, attempts: list[tuple[str, int]]) -> Delivery:
        books = self._ready()
        self._db.execute("BEGIN IMMEDIATE")
        delivery = [(done, books.take(arrival)) for arrival, done in batch]
        books.finish()
        if settled.rows:
            books.forwarded(settled.rows)
        if settled.notes:
            settled.notes[:] = [note for note in settled.notes if self._note(note)]
        if attempts:
            books.attempted(attempts)
        self._db.execute("COMMIT")
        if self._rerouted is not None:
            self._outlets, self._rerouted = self._rerouted, None
        if self._mark is not None:
            self._mark.write(self.store_id, books.last_report)
        self.health.commits += 1
        self.health.frames += len(batch)
        for arrival, _ in reversed(batch):
            if isinstance(arrival, Change) or not arrival.gathered:
                self._newest_ms = arrival.received_ms
                break
        if batch or not self._frames_fail:  # a deletion that succeeds says nothing about frames
            self.health.failing, self._frames_fail = None, False
        return delivery

    def _note(self, note: Note) -> bool:
        """One note; False, and counted, if it fails for a reason of its own."""
        self._db.execute("SAVEPOINT note")
        try:
            note(self._db)
        except Exception as error:  # the edge of another's work: the rows of the others must go
            if not self._db.in_transaction:  # the disk is full or failing, and SQLite has rolled everything back
                raise
            self._db.execute("ROLLBACK TO note")
            self._db.execute("RELEASE note")
            self.health.failed_notes += 1
            self.health.last_failed_note = f"{type(error).__name__}: {error}"
            return False
        self._db.execute("RELEASE note")
        return True

    def _ready(self) -> Books:
        """The books; after a failure, of a connection that is opened anew."""
        if self._books is None:
            self._db = self._connect()
            self._books = self._new_books()
        return self._books

    def _new_books(self) -> Books:
        return Books(self._db, self._outlets, self._decode, self.folds, self.restored, self._answered, self._shadow)

    def _connect(self) -> sqlite3.Connection:
        return opening.connect(self.path, self._settings, self._quota.limit_pages())

    def _failed(self, error: Exception) -> None:
        """Forget what memory says, and begin again from the file. A connection that had trouble is opened anew."""
        self.health.failed_commits += 1
        self.health.failing = health.told(error, self.path, self._settings.quota_mb)
        if health.is_disk_error(error):
            self._not_before = time.monotonic() + AGAIN_S
        self._books = self._rerouted = None
        self._db.close()  # rolls back

    def _read_again(self, books: Books) -> None:
        """Law 5: what could not be read is tried again at each start, for this version, or the store, may know more."""
        after = 0
        end = time.monotonic() + _PLACE_S
        while True:
            rows = self._db.execute(
                "SELECT report_id, life_id, message FROM report"
                " WHERE state='undecoded' AND report_id > ? ORDER BY report_id LIMIT ?",
                (after, _RETRY_BATCH),
            ).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            self._db.execute("BEGIN IMMEDIATE")
            for report_id, life_id, message in rows:
                reading = aside.read(self._db, life_id, message, self._decode, time.monotonic() < end)
                if reading is not None:
                    books.late(report_id, reading)
            books.finish()
            self._db.execute("COMMIT")


def _named(outlets: Sequence[str], letters_only: bool) -> tuple[str, ...]:
    """Under which names reports wait."""
    return tuple(outlets) if outlets or letters_only else (NO_OUTLET,)


def _inherit(db: sqlite3.Connection, outlets: Sequence[str]) -> None:
    """The first outlet takes over what was committed while there was none."""
    if outlets and outlets[0] != NO_OUTLET:
        db.execute("UPDATE OR REPLACE outbox SET outlet=? WHERE outlet=?", (outlets[0], NO_OUTLET))
