"""Store and forward: one pump for each outlet, oldest report first, a bounded number under way.

A row leaves the outbox only after the acknowledgement of that very document, and its deletion is committed with the
next frames. So a document may go out twice, after a crash or a lost connection, and is never lost; its ids make the
second copy harmless (COUNCIL.md).
"""

import asyncio
import contextlib
import random
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

from kerbgate import decoding, shape
from kerbgate.errors import OutletError
from kerbgate.outlets.base import Link, Outlet
from kerbgate.store.items import StoredReport
from kerbgate.store.reader import Reader
from kerbgate.store.store import Store
from kerbwire.messages import Report

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0  # a broker that is back after a day's outage waits no longer; jitter keeps gateways out of step
READ_AHEAD = 256  # rows read from the store at once: 100 KB
RECHECK_S = 5.0  # looks for rows even if no commit was announced
MAX_UNDELETED = 5_000  # acknowledged rows whose deletion is not committed; above it a pump waits for the store
MAX_RECENT = 2048  # decoded reports kept for the pumps, so that in the usual case nothing is decoded twice


@dataclass(slots=True)
class PumpState:
    """What status shows of an outlet."""

    connected: bool = False
    connections: int = 0
    delivered: int = 0
    failed: int = 0
    set_aside: int = 0
    last_puback: float | None = None  # time.time() of the host
    last_error: str | None = None


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
        decoded = decoding.read(row.message)
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
            try:
                async with self._outlet.connect() as link:
                    self.state.connected = True
                    self.state.connections += 1
                    await self._session(link)
            except* OutletError as group:
                error = _first(group)
                self.state.failed += 1
                self.state.last_error = f"{error.cause} ({error.hint})"
            finally:
                self.state.connected = False
            self._store.attempted(self.name, self._under_way)
            self._under_way.clear()
            retry_s = FIRST_RETRY_S if self.state.delivered > delivered else min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    async def _session(self, link: Link) -> None:
        """One connection: start at the oldest row that was not acknowledged."""
        self._rows.clear()
        self._after = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(link.ended(), name=f"{self.name} watches its connection")
            for number in range(self._window):
                group.create_task(self._forward(link), name=f"{self.name} forwards {number}")

    async def _forward(self, link: Link) -> None:
        """Take the oldest row, publish it, note the acknowledgement. Several of these keep the window full."""
        while True:
            row = await self._next()
            report = self._recent.get(row)
            if report is None:
                self.state.set_aside += 1  # it stays in the outbox, for a program that can read it
                continue
            self._under_way.add(row.report_id)
            await link.publish(shape.topic(self._prefix, row), shape.payload(row, report))
            self._under_way.discard(row.report_id)
            self._delivered.add(row.report_id)
            self._store.forwarded(self.name, (row.report_id,))
            self.state.delivered += 1
            self.state.last_puback = time.time()

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
            self._rows.extend(row for row in rows if row.report_id not in self._delivered)
        return bool(rows)


def _first(group: BaseExceptionGroup[OutletError]) -> OutletError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
