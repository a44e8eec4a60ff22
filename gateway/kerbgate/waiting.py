"""What waits for one outlet, as ready documents in the order in which they go: letters, then reports, oldest first.

It reads ahead in the store, leaves out what was acknowledged and is not yet deleted, and what was set aside. What it
holds is bounded: above MAX_UNSETTLED acknowledged rows it reads nothing until the store has caught up.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kerbgate import changes as told_before
from kerbgate.changes import Changes, Key, Told
from kerbgate.letters import URGENT, Letter, LetterSource
from kerbgate.parcels import Ident, Item
from kerbgate.recent import Recent
from kerbgate.store.items import StoredReport
from kerbgate.store.reader import Reader
from kerbgate.store.store import Store
from kerbgate.views import View

READ_AHEAD = 256  # rows read from the store at once: 100 KB
LETTERS_AHEAD = 200
MAX_HANDED = 1_000  # letters acknowledged and not yet committed: a source makes those anew each time it is asked
RECHECK_S = 5.0  # looks for rows even if no commit was announced, and for letters that have become due
LETTERS_S = 0.25  # asks for letters at most so often, however many commits there are
MAX_UNSETTLED = 5_000  # acknowledged, and not yet committed; above it the store must come first
MAX_ASIDE = 1000  # documents set aside that are remembered; further ones are counted, and tried at each connection
LETTER, REPORT = 0, 1  # first part of an Ident


@dataclass(frozen=True, slots=True)
class SetAside:
    """A document that is not forwarded for now, and why. letter: its kind and topic; else it is a report."""

    node: int
    first: int
    count: int
    cause: str
    letter: str | None = None


@dataclass(slots=True)
class Tally:
    """Counts of one outlet since its start."""

    suppressed: int = 0  # records that an outlet of changes need not be told
    withheld: int = 0  # level changes that went as counts
    aside: dict[Ident, SetAside] = field(default_factory=dict[Ident, SetAside])
    aside_more: int = 0  # set aside beyond MAX_ASIDE


class Waiting:
    """The documents that wait for one outlet. All of it runs in the event loop."""

    def __init__(
        self,
        outlet: str,
        site: str,
        prefix: str,
        view: View,
        changes: Changes | None,
        store: Store,
        reader: Reader,
        recent: Recent,
        *,
        reports: bool = True,
        sources: Sequence[LetterSource] = (),
        utc: Callable[[], float] = time.time,
    ):
        self.tally = Tally()
        self.draining = False
        self._outlet = outlet
        self._site = site
        self._prefix = prefix
        self._view = view
        self._changes = changes
        self._store = store
        self._reader = reader
        self._recent = recent
        self._reports = reports
        self._sources = tuple(sources)
        self._utc = utc
        self._more = asyncio.Event()
        self._rows: deque[StoredReport] = deque()
        self._letters: deque[Item] = deque()
        self._back: Item | None = None
        self._after = 0
        self._letters_at = 0.0
        self._letters_later = False  # something was committed too soon after the last look
        self._delivered: set[int] = set()  # acknowledged, and the deletion not yet committed
        self._handed: set[Ident] = set()  # the same of letters
        self._out: set[Ident] = set()  # letters that were given out on this connection, and are not acknowledged
        self._chain: deque[Item] = deque()  # of changes: judged and not yet settled, in their order

    def begin(self) -> None:
        """A connection begins: start at the oldest that was not acknowledged."""
        self._rows.clear()
        self._letters.clear()
        self._out.clear()
        self._chain.clear()
        self._back = None
        self._after = 0
        self._letters_at = 0.0
        if self._changes is not None:
            self._changes.begin()

    def wake(self) -> None:
        """Something was committed, or shall be looked at again."""
        self._more.set()

    @property
    def unsettled(self) -> int:
        """Acknowledged, and not yet committed."""
        return len(self._delivered) + len(self._handed)

    def take(self) -> Item | None:
        """The next document that is at hand; None: see `next`."""
        if self._back is not None:
            item, self._back = self._back, None
            return item
        if self.draining:
            return None
        if self._letters:
            return self._letters.popleft()
        rows = self._rows
        while rows and len(self._chain) < MAX_UNSETTLED:
            item = self.dress(rows.popleft())
            if item is not None:
                return item
        return None

    def put_back(self, item: Item) -> None:
        """`take` gives it again."""
        self._back = item

    async def next(self, until: float | None = None) -> Item | None:
        """The next document, read from the store if need be; None if there is none until then (time.monotonic).

        One task at a time.
        """
        while True:
            item = self.take()
            if item is not None:
                return item
            self._more.clear()
            if self.draining and until is not None:
                return None
            if self._read():
                await asyncio.sleep(0)  # of many rows there may be nothing to say
                continue
            now = time.monotonic()
            end = now + RECHECK_S
            if self._letters_later:
                end = self._letters_at if self._letters_at > now else now + LETTERS_S
            if until is not None and until <= now:
                return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((end if until is None else min(end, until)) - now):
                    await self._more.wait()

    def all(self) -> dict[Ident, StoredReport | Item]:
        """What waits, oldest first, as far as it is looked at to find the document that a broker does not take."""
        found: dict[Ident, StoredReport | Item] = {item.ident: item for item in self._read_letters()}
        after = 0
        while self._reports and len(found) < READ_AHEAD:
            rows = self._reader.waiting(self._outlet, after, READ_AHEAD)
            if not rows:
                break
            after = rows[-1].report_id
            found.update({(REPORT, row.report_id): row for row in rows if self._can_go(row)})
        return found

    def dress(self, row: StoredReport) -> Item | None:
        """The document of a row; None, and seen to, if there is none or nothing to say."""
        ident = (REPORT, row.report_id)
        report = self._recent.get(row)
        if report is None:
            self.set_aside(Item(ident, row.site, "", b"", row), "this version cannot read it")
            return None
        try:
            seen = self._view.see(row, report)
        except Exception as error:  # the edge of one document: it must not stop the others
            cause = f"no document can be made of it: {type(error).__name__}: {error}"
            self.set_aside(Item(ident, row.site, "", b"", row), cause)
            return None
        self.tally.suppressed += seen.suppressed
        self.tally.withheld += seen.withheld
        item = Item(ident, row.site, seen.topic, seen.payload or b"", row, seen.told)
        if self._changes is not None:
            self._chain.append(item)
        if seen.payload is None:
            self.settle((item,))
            return None
        return item

    def set_aside(self, item: Item, cause: str) -> None:
        """Leave a document where it is, until the next start."""
        tally = self.tally
        if item.ident in tally.aside:
            return
        if len(tally.aside) >= MAX_ASIDE:
            tally.aside_more += 1
        elif item.row is not None:
            tally.aside[item.ident] = SetAside(item.row.node, item.row.first, item.row.count, cause)
        else:
            tally.aside[item.ident] = SetAside(0, 0, 0, cause, item.topic)

    def settle(self, items: Sequence[Item]) -> None:
        """These were acknowledged, or there is nothing to say of them: let the store forget that they wait."""
        changes = self._changes
        if changes is None:
            self._forget(items)
            return
        for item in items:
            item.done = True
        self._forget([item for item in items if item.row is None])
        ready: list[Item] = []
        paused = len(self._chain) >= MAX_UNSETTLED
        while self._chain and self._chain[0].done:  # what was told last must be committed in the order of the records
            ready.append(self._chain.popleft())
        if ready:
            self._forget(ready)
        if paused:
            self._more.set()

    def committed(self, report_ids: Sequence[int]) -> None:
        """The store committed these deletions."""
        paused = self._paused()
        self._delivered.difference_update(report_ids)
        if paused:
            self._more.set()

    def _forget(self, items: Sequence[Item]) -> None:
        rows: list[int] = []
        told: dict[Key, Told] = {}
        letters: dict[int, list[Item]] = {}
        for item in items:
            if item.row is not None:
                self._delivered.add(item.row.report_id)
                rows.append(item.row.report_id)
                if item.told is not None:
                    told[item.row.node, item.row.life] = item.told
            else:
                self._out.discard(item.ident)
                self._handed.add(item.ident)
                letters.setdefault(item.ident[1], []).append(item)
        if told and self._changes is not None:
            pairs = list(told.items())
            self._changes.settled(pairs)
            self._store.forwarded(self._outlet, rows, _ToldNote(self._outlet, self._changes, pairs))
        elif rows:
            self._store.forwarded(self._outlet, rows)
        for number, taken in letters.items():
            note = _LetterNote(self._outlet, self._sources[number], taken, self._letters_gone)
            self._store.forwarded(self._outlet, (), note)

    def _letters_gone(self, items: Sequence[Item]) -> None:
        self._handed.difference_update(item.ident for item in items)
        self._more.set()

    def _paused(self) -> bool:
        return len(self._delivered) + len(self._handed) >= MAX_UNSETTLED

    def _can_go(self, row: StoredReport) -> bool:
        return row.report_id not in self._delivered and (REPORT, row.report_id) not in self.tally.aside

    def _read(self) -> bool:
        """Read ahead; False if nothing waits, or the store must come first."""
        if self.draining or self._paused():
            return False
        now = time.monotonic()
        self._letters_later = now < self._letters_at or len(self._handed) >= MAX_HANDED
        if not self._letters_later:
            letters = self._read_letters()
            self._letters_at = now + (LETTERS_S if len(letters) < LETTERS_AHEAD else 0.0)
            self._letters.extend(letters)
            self._out.update([item.ident for item in letters])
        if self._rows:
            return bool(self._letters)
        rows = self._next_rows() if self._reports else []
        if rows:
            self._after = rows[-1].report_id
            self._rows.extend(row for row in rows if self._can_go(row))
        return bool(rows or self._letters)

    def _next_rows(self) -> list[StoredReport]:
        """From memory where all of them were just committed, else from the store."""
        idents = self._reader.waiting_ids(self._outlet, self._after, READ_AHEAD)
        rows = self._recent.rows(idents)
        return self._reader.waiting(self._outlet, self._after, READ_AHEAD) if rows is None else rows

    def _read_letters(self) -> list[Item]:
        """Letters that are due, not known here: a source gives its oldest each time, whatever became of them."""
        items: list[Item] = []
        for number, source in enumerate(self._sources):
            known = {ident for ident in (*self._handed, *self._out, *self.tally.aside) if ident[:2] == (LETTER, number)}
            limit = LETTERS_AHEAD + len(known)
            for letter in source.waiting(self._reader.connection, self._outlet, limit, int(self._utc())):
                ident = (LETTER, number, *letter.key)
                if ident not in known:
                    items.append(self._letter(ident, letter))
        return items

    def _letter(self, ident: Ident, letter: Letter) -> Item:
        document = {"schema": f"kerbstone/{letter.kind}/1", "site": self._site, **letter.body}
        topic = f"{self._prefix}/{self._site}/{letter.kind}/{letter.topic}"
        payload = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return Item(ident, self._site, topic, payload, letter=letter, urgent=letter.kind in URGENT)


class _ToldNote:
    """What an outlet was told, committed with the deletion of the rows that told it."""

    def __init__(self, outlet: str, changes: Changes, told: list[tuple[Key, Told]]):
        self._outlet = outlet
        self._changes = changes
        self._told = told

    def __call__(self, db: sqlite3.Connection, /) -> None:
        told_before.write(db, self._outlet, self._told)

    def committed(self) -> None:
        self._changes.committed(self._told)


class _LetterNote:
    """Letters that an outlet has."""

    def __init__(self, outlet: str, source: LetterSource, items: list[Item], gone: Callable[[Sequence[Item]], None]):
        self._outlet = outlet
        self._source = source
        self._items = items
        self._gone = gone

    def __call__(self, db: sqlite3.Connection, /) -> None:
        keys = [item.letter.key for item in self._items if item.letter is not None]
        self._source.delivered(db, self._outlet, keys)

    def committed(self) -> None:
        self._gone(self._items)
