"""Store and forward: one pump for each outlet, oldest document first, a bounded number of messages under way.

A row leaves the outbox only after the acknowledgement of that very document, and its deletion is committed with the
next frames. So a document may go out twice, after a crash or a lost connection, and is never lost; its ids make the
second copy harmless (COUNCIL.md). A document that the outlet will not take is set aside: with the council's words where
it gives some, else when it was found to end the connection (kerbgate.suspects). It stays in the outbox, is shown, and
is tried again at the next start.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from kerbgate import changes as told_before
from kerbgate.changes import Changes, Key, Told, parse_deadband
from kerbgate.config import OutletSettings
from kerbgate.errors import DocumentRefused, NotAllowed, OutletError
from kerbgate.letters import LetterSource
from kerbgate.outlets.base import Link, Outlet
from kerbgate.parcels import Ident, Item, Packer, Parcel
from kerbgate.recent import Recent
from kerbgate.store.items import StoredReport
from kerbgate.store.reader import Reader
from kerbgate.store.store import Settled, Store
from kerbgate.suspects import Suspects
from kerbgate.views import View
from kerbgate.waiting import REPORT, SetAside, Tally, Waiting

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0  # a broker that is back after a day's outage waits no longer; jitter keeps gateways out of step
ENVELOPE = 400  # bytes: what a message is more than the documents in it, with a topic of 200
MAX_UNDER_WAY = 4_000  # documents of all messages that are not acknowledged: 4 MB


@dataclass(slots=True)
class PumpState:
    """What status shows of an outlet. tally: its counts, and what is set aside."""

    tally: Tally
    connected: bool = False
    connections: int = 0
    delivered: int = 0  # documents of reports
    letters: int = 0  # other documents
    messages: int = 0
    failed: int = 0
    last_puback: float | None = None  # time.time() of the host
    last_error: str | None = None
    denied: bool = False  # the last error was that this gateway's user may not write there
    warning: str | None = None  # of the connection as it is: documents flow, but not as they should

    @property
    def aside(self) -> dict[Ident, SetAside]:
        return self.tally.aside

    @property
    def set_aside(self) -> int:
        return len(self.tally.aside) + self.tally.aside_more


class _Anew(OutletError):
    """Begin the connection anew: nothing is wrong with it."""


class Pump:
    """Forwards what waits for one outlet until it is cancelled."""

    def __init__(
        self,
        outlet: Outlet,
        settings: OutletSettings,
        store: Store,
        reader: Reader,
        recent: Recent,
        *,
        site: str,
        prefix: str | None = None,
        sources: Sequence[LetterSource] = (),
        utc: Callable[[], float] = time.time,
    ):
        """prefix: instead of the settings' own."""
        self.name = outlet.name
        self.settings = settings
        prefix = settings.prefix if prefix is None else prefix
        changes = None
        if settings.send == "change":
            changes = Changes(
                settings.name, parse_deadband(settings.deadband), settings.heartbeat_s, _reads_told(reader)
            )
        view = View(prefix, settings.settlement, changes)
        self._waiting = Waiting(
            settings.name, site, prefix, view, changes, store, reader, recent,
            reports=settings.reports, sources=sources, utc=utc,
        )  # fmt: skip
        self.state = PumpState(self._waiting.tally)
        self._outlet = outlet
        self._store = store
        self._packer = Packer(prefix, settings.batch > 1, settings.compress)
        self._most = settings.batch
        self._most_bytes = settings.batch_kb * 1024
        self._batch_s = settings.batch_ms / 1000
        self._window = max(min(settings.window, MAX_UNDER_WAY // settings.batch), 1)
        self._under_way: set[Ident] = set()
        self._quiet = asyncio.Event()
        self._suspects = Suspects()
        self._alone: Item | None = None  # the document that was published alone last
        self.took = False  # this connection has taken something
        self._gathering = False

    def wake(self) -> None:
        """Something was committed."""
        self._waiting.wake()

    def deleted(self, settled: Settled) -> None:
        """The store committed these deletions."""
        self._waiting.committed([report_id for name, report_id in settled.rows if name == self.name])
        self._quiet.set()

    async def drain(self, timeout_s: float) -> bool:
        """Take nothing more, and wait until all that is under way is acknowledged and committed; False: not in time."""
        self._waiting.draining = True
        self._waiting.wake()
        try:
            async with asyncio.timeout(timeout_s):
                while self.state.connected and (self._under_way or self._gathering):
                    await self._stirs()
                while self._waiting.unsettled:
                    await self._stirs()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Connect, forward, and after any failure try again with growing, jittered pauses, for ever."""
        retry_s = FIRST_RETRY_S
        while True:
            messages = self.state.messages
            self._suspects.begin()
            anew = False
            try:
                await self._alone_in_a_task()
            except* _Anew:
                anew = True
            except* OutletError as group:
                error = _first(group)
                self.state.failed += 1
                self._failed_with(error)
            finally:
                self.state.connected = False
                self.state.warning = None
                self._quiet.set()
            if not anew:
                self._count_attempts()
                if self._suspects.ended(self._under_way) is not None and self._alone is not None:
                    self._waiting.set_aside(self._alone, f"the broker does not take it: {self.state.last_error}")
            self._under_way.clear()
            retry_s = FIRST_RETRY_S if self.state.messages > messages else min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    def _failed_with(self, error: OutletError) -> None:
        self.state.last_error = f"{error.cause} ({error.hint})"
        self.state.denied = isinstance(error, NotAllowed)

    def _count_attempts(self) -> None:
        self._store.attempted(self.name, [ident[1] for ident in self._under_way if ident[0] == REPORT])

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
        """One connection: start at the oldest document that was not acknowledged."""
        self._waiting.begin()
        self._under_way.clear()
        self.took = self._gathering = False
        self.state.warning = link.warning
        self._most_bytes = self.settings.batch_kb * 1024
        if link.most_bytes:
            self._most_bytes = min(self._most_bytes, link.most_bytes - ENVELOPE)
        async with asyncio.TaskGroup() as group:
            group.create_task(link.ended(), name=f"{self.name} watches its connection")
            if self._suspects.doubted:
                await self._one_by_one(link)
            flow = _Flow(self, link)
            group.create_task(flow.broken(), name=f"{self.name} watches its documents")
            group.create_task(self._forward(flow), name=f"{self.name} forwards")

    async def _forward(self, flow: "_Flow") -> None:
        """Take the oldest and publish it, as long as the window has room."""
        while True:
            await flow.room(self._window)
            flow.send(await self._next())

    async def _next(self) -> Parcel:
        """The next message."""
        item = self._waiting.take()
        while item is None:
            item = await self._waiting.next()
        if self._most == 1 or item.urgent:
            return self._packer.pack((item,))
        self._gathering = True
        try:
            return self._packer.pack(await self._gather(item))
        finally:
            self._gathering = False

    async def _gather(self, first: Item) -> list[Item]:
        """A batch: as many documents of one site as fit, or as come in time."""
        items, size = [first], len(first.payload)
        until = time.monotonic() + self._batch_s
        while len(items) < self._most:
            item = await self._waiting.next(until)
            if item is None:
                break
            size += len(item.payload) + 1
            if size > self._most_bytes or item.urgent or item.site != first.site:
                self._waiting.put_back(item)
                break
            items.append(item)
        return items

    async def _publish(self, link: Link, parcel: Parcel) -> None:
        """Publish one message alone and note the acknowledgement."""
        self.leaves(parcel)
        try:
            await link.publish(parcel.topic, parcel.payload)
        except DocumentRefused as refused:
            self.refused(parcel, refused)
        else:
            self.taken([parcel], link.warning)

    def leaves(self, parcel: Parcel) -> None:
        """It is under way now."""
        self._under_way.update([item.ident for item in parcel.items])

    def taken(self, parcels: Sequence[Parcel], warning: str | None) -> None:
        """The outlet has acknowledged these."""
        items = [item for parcel in parcels for item in parcel.items]
        self._under_way.difference_update([item.ident for item in items])
        self._waiting.settle(items)
        self.took = True
        state = self.state
        reports = sum(item.row is not None for item in items)
        state.delivered += reports
        state.letters += len(items) - reports
        state.messages += len(parcels)
        state.last_puback = time.time()
        state.warning = warning
        if not self._under_way:
            self._quiet.set()

    def refused(self, parcel: Parcel, refused: DocumentRefused) -> None:
        """Set the document aside, if the broker takes others; else it may be the broker that is at fault.

        OutletError: this connection is to end.
        """
        items = parcel.items
        if not self.took:
            raise refused
        self._failed_with(refused)
        if len(items) > 1:
            self._suspects.doubt(item.ident for item in items)
            raise _Anew(refused.cause, refused.hint)
        self._waiting.set_aside(items[0], refused.cause)
        self._under_way.discard(items[0].ident)
        if self.settings.send == "change":  # what was judged after it counts on what it would have told
            raise _Anew(refused.cause, refused.hint)

    async def _one_by_one(self, link: Link) -> None:
        """Find the document that ends the connection: publish what was under way when it ended, each alone."""
        waiting = self._waiting.all()
        for ident in self._suspects.order({ident: _whose(found) for ident, found in waiting.items()}):
            found = waiting[ident]
            item = found if isinstance(found, Item) else self._waiting.dress(found)
            if item is None:
                continue
            self._alone = item
            self._suspects.publishes(ident)
            before = self.state.messages
            await self._publish(link, self._packer.pack((item,)))
            if self.state.messages > before:
                self._suspects.taken()
        self._suspects.cleared()

    async def _stirs(self) -> None:
        self._quiet.clear()
        await self._quiet.wait()


class _Flow:
    """The messages under way on one connection, and what becomes of them."""

    def __init__(self, pump: Pump, link: Link):
        self._under_way = 0
        self._pump = pump
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._taken: list[Parcel] = []
        self._refused: list[tuple[Parcel, DocumentRefused]] = []
        self._settling = False

    def send(self, parcel: Parcel) -> None:
        """Publish it; on a connection that is about to end nothing leaves, and the next one begins with it."""
        if self._broken.done():
            return
        self._under_way += 1
        self._pump.leaves(parcel)
        self._link.send(parcel.topic, parcel.payload, partial(self._answered, parcel))

    async def room(self, window: int) -> None:
        """Wait until fewer than so many are under way, on a connection that is not about to end."""
        while self._under_way >= window or self._broken.done():
            self._room.clear()
            await self._room.wait()

    async def broken(self) -> None:
        """Wait until a message has ended the connection, then raise OutletError; never returns."""
        await self._broken

    def _answered(self, parcel: Parcel, error: OutletError | None) -> None:
        self._under_way -= 1
        self._room.set()
        if error is None:
            self._taken.append(parcel)
        elif isinstance(error, DocumentRefused):
            self._refused.append((parcel, error))
        else:
            self._break(error)
        if not self._settling:  # answers come many at a time: what is done about them is done once
            self._settling = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        """See to what was answered. A refusal waits until the broker has taken something, or has nothing else."""
        self._settling = False
        taken, self._taken = self._taken, []
        if taken:
            self._pump.taken(taken, self._link.warning)
        while self._refused and (self._pump.took or not self._under_way) and not self._broken.done():
            try:
                self._pump.refused(*self._refused.pop(0))
            except OutletError as end:
                self._break(end)

    def _break(self, error: OutletError) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)
            self._broken.exception()  # seen, also where the session ends for another reason first


def _reads_told(reader: Reader) -> Callable[[str, Key], Told | None]:
    return lambda outlet, key: told_before.read(reader.connection, outlet, key)


def _whose(found: StoredReport | Item) -> object:
    """What keeps its order: a node, or a source of letters."""
    return found.node if isinstance(found, StoredReport) else found.ident[:2]


def _first(group: BaseExceptionGroup[OutletError]) -> OutletError:
    for error in _flat(group):
        return error
    raise AssertionError("an exception group is never empty")


def _flat(group: BaseExceptionGroup[OutletError]) -> Iterable[OutletError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error
