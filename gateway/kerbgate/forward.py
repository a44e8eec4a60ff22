"""Store and forward: one pump for each outlet, oldest report first, a bounded number under way.

A row leaves the outbox only after the acknowledgement of that very document, and its deletion is committed with the
next frames. So a document may go out twice, after a crash or a lost connection, and is never lost; its ids make the
second copy harmless (COUNCIL.md). A document that the outlet will not take is set aside (kerbgate.suspects): it stays
in the outbox, is shown, and is tried again at the next start.
"""

import asyncio
import contextlib
import random
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from kerbgate import decoding, shape
from kerbgate.errors import OutletError
from kerbgate.outlets.base import Link, Outlet
from kerbgate.store.items import StoredReport
from kerbgate.store.reader import Reader
from kerbgate.store.store import Store
from kerbgate.suspects import Suspects
from kerbwire.messages import Report

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0  # a broker that is back after a day's outage waits no longer; jitter keeps gateways out of step
READ_AHEAD = 256  # rows read from the store at once: 100 KB
RECHECK_S = 5.0  # looks for rows even if no commit was announced
MAX_UNDELETED = 5_000  # acknowledged rows whose deletion is not committed; above it a pump waits for the store
MAX_RECENT = 2048  # decoded reports kept for the pumps, so that in the usual case nothing is decoded twice


@dataclass(frozen=True, slots=True)
class SetAside:
    """A report that is not forwarded for now, and why."""

    node: int
    first: int
    count: int
    cause: str


@dataclass(slots=True)
class PumpState:
    """What status shows of an outlet. `aside`: by report_id; as many as there are rows that cannot go."""

    connected: bool = False
    connections: int = 0
    delivered: int = 0
    failed: int = 0
    aside: dict[int, SetAside] = field(default_factory=dict[int, SetAside])
    last_puback: float | None = None  # time.time() of the host
    last_error: str | None = None
    warning: str | None = None  # of the connection as it is: documents flow, but not as they should

    @property
    def set_aside(self) -> int:
        return len(self.aside)


class Recent:
    """Reports that were just committed, decoded, by report_id; bounded, oldest dropped."""

    def __init__(self) -> None:
        self._reports: OrderedDict[int, Report] = OrderedDict()

    def put(self, report_id: int, report: Report) -> None:
        self._reports[report_id] = report
        if len(self._reports) > MAX_RECENT:
            self._reports.popitem(last=False)

    def get(self, row: StoredReport) -> Report | None:
        """The report of a row, from memory or from its bytes; None if an older program was put in place that cannot."""
        report = self._reports.get(row.report_id)
        if report is not None:
            return report
        decoded = decoding.read(row.message, row.near)
        return decoded if isinstance(decoded, Report) else None


class Pump:
    """Forwards what waits for one outlet until it is cancelled."""

    def __init__(self, outlet: Outlet, store: Store, reader: Reader, recent: Recent, *, prefix: str, window: int):
        self.name = outlet.name
        self.state = PumpState()
        self._outlet = outlet
        self._store = store
        self._reader = reader
        self._recent = recent
        self._prefix = prefix
        self._window = window
        self._more = asyncio.Event()
        self._reading = asyncio.Lock()
        self._rows: deque[StoredReport] = deque()
        self._after = 0
        self._under_way: set[int] = set()
        self._delivered: set[int] = set()  # acknowledged, and the deletion not yet committed
        self._suspects = Suspects()
        self._alone: StoredReport | None = None  # the row that was published alone last

    def wake(self) -> None:
        """Something was committed."""
        self._more.set()

    def deleted(self, report_ids: list[int]) -> None:
        """The store committed these deletions."""
        paused = len(self._delivered) >= MAX_UNDELETED
        self._delivered.difference_update(report_ids)
        if paused:
            self._more.set()

    async def run(self) -> None:
        """Connect, forward, and after any failure try again with growing, jittered pauses, for ever."""
        retry_s = FIRST_RETRY_S
        while True:
            delivered = self.state.delivered
            self._suspects.begin()
            try:
                await self._alone_in_a_task()
            except* OutletError as group:
                error = _first(group)
                self.state.failed += 1
                self.state.last_error = f"{error.cause} ({error.hint})"
            finally:
                self.state.connected = False
                self.state.warning = None
            self._store.attempted(self.name, self._under_way)
            if self._suspects.ended(self._under_way) is not None and self._alone is not None:
                self._set_aside(self._alone, f"the broker does not take it: {self.state.last_error}")
            self._under_way.clear()
            retry_s = FIRST_RETRY_S if self.state.delivered > delivered else min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    async def _alone_in_a_task(self) -> None:
        """A connection in a task of its own: the TaskGroups of 3.11 and 3.12 lose a stop that comes as it ends."""
        connection = asyncio.create_task(self._connection(), name=f"{self.name} connection")
        try:
            await asyncio.wait({connection})
        finally:
            if not connection.done():
                connection.cancel()
                await asyncio.wait({connection})
            if not connection.cancelled():
                connection.exception()  # seen, also where a stop goes first
        await connection

    async def _connection(self) -> None:
        async with self._outlet.connect() as link:
            self.state.connected = True
            self.state.connections += 1
            await self._session(link)

    async def _session(self, link: Link) -> None:
        """One connection: start at the oldest row that was not acknowledged."""
        self._rows.clear()
        self._after = 0
        self._under_way.clear()
        self.state.warning = link.warning
        async with asyncio.TaskGroup() as group:
            group.create_task(link.ended(), name=f"{self.name} watches its connection")
            if self._suspects.doubted:
                await self._one_by_one(link)
            for number in range(self._window):
                group.create_task(self._forward(link), name=f"{self.name} forwards {number}")

    async def _forward(self, link: Link) -> None:
        """Take the oldest row, publish it, note the acknowledgement. Several of these keep the window full."""
        while True:
            await self._publish(link, await self._next())

    async def _one_by_one(self, link: Link) -> None:
        """Find the document that ends the connection: publish what was under way when it ended, each alone."""
        waiting: dict[int, StoredReport] = {}
        after = 0
        while len(waiting) < READ_AHEAD and (rows := self._reader.waiting(self.name, after, READ_AHEAD)):
            after = rows[-1].report_id
            waiting.update({row.report_id: row for row in rows if self._can_go(row)})
        for report_id in self._suspects.order(list(waiting)):
            self._alone = waiting[report_id]
            self._suspects.publishes(report_id)
            if await self._publish(link, self._alone):
                self._suspects.taken()
        self._suspects.cleared()

    async def _publish(self, link: Link, row: StoredReport) -> bool:
        """Publish a row and note the acknowledgement; False if no document can be made of it."""
        report = self._recent.get(row)
        if report is None:
            self._set_aside(row, "this version cannot read it")
            return False
        try:
            topic, payload = shape.topic(self._prefix, row), shape.payload(row, report)
        except Exception as error:  # the edge of one document: it must not stop the others
            self._set_aside(row, f"no document can be made of it: {type(error).__name__}: {error}")
            return False
        self._under_way.add(row.report_id)
        await link.publish(topic, payload)
        self._under_way.discard(row.report_id)
        self._delivered.add(row.report_id)
        self._store.forwarded(self.name, (row.report_id,))
        self.state.delivered += 1
        self.state.last_puback = time.time()
        self.state.warning = link.warning
        return True

    def _set_aside(self, row: StoredReport, cause: str) -> None:
        self.state.aside[row.report_id] = SetAside(row.node, row.first, row.count, cause)

    def _can_go(self, row: StoredReport) -> bool:
        return row.report_id not in self._delivered and row.report_id not in self.state.aside

    async def _next(self) -> StoredReport:
        """The oldest row that waits; one task at a time reads the store, and the others queue behind it."""
        if self._rows:
            return self._rows.popleft()
        async with self._reading:
            while not self._rows:
                self._more.clear()
                if not self._read() and not self._rows:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(RECHECK_S):
                            await self._more.wait()
            return self._rows.popleft()

    def _read(self) -> bool:
        """Read ahead; False if nothing waits, or so many deletions do that the store must come first."""
        if len(self._delivered) >= MAX_UNDELETED:
            return False
        rows = self._reader.waiting(self.name, self._after, READ_AHEAD)
        if rows:
            self._after = rows[-1].report_id
            self._rows.extend(row for row in rows if self._can_go(row))
        return bool(rows)


def _first(group: BaseExceptionGroup[OutletError]) -> OutletError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
