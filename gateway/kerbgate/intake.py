"""The intake: from a frame off a link to a committed record and its ack.

    frame -> header -> registry -> key -> open -> decode -> store -> (commit) -> ack

Registry lookup comes before any crypto; a frame costs at most one derivation and one opening (the law allows two).
A refusal is counted by its reason on the inlet that it came by, never logged by itself, and changes nothing: no window,
no cache, no key. Everything here runs in the event loop; check and set of replay state happen in the store's writer.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from kerbgate import acks, decoding, resends
from kerbgate.acks import Acks, Owed
from kerbgate.challenges import Challenges
from kerbgate.clock import Clock
from kerbgate.errors import RegistryError
from kerbgate.inlets.base import QUEUE_FULL, Counters, Gathered, Route, Signal
from kerbgate.keys import Sealer, UplinkKeys
from kerbgate.registry import HEARD, Node, Registry
from kerbgate.resends import Resends
from kerbgate.store.items import COMMITTED, DUPLICATE, FAILED, UNKNOWN_LIFE, Arrival, Outcome, StoredReport
from kerbgate.store.store import Delivery, Store
from kerbwire import frame
from kerbwire.controls import Log, Result
from kerbwire.errors import WireError
from kerbwire.events import Event
from kerbwire.messages import Challenge, Hello, Report
from kerbwire.seal import Key

# Reasons of refusal besides those of the store (store.items) and the wire ("unsealed").
MALFORMED = "malformed"
NOT_UPLINK = "not an uplink"
UNKNOWN_NODE = "unknown node"
WRONG_EPOCH = "wrong epoch"
NO_LIFE = "no life"
UNSEALED = "unsealed"
NO_KEY = "no key"  # the registry's row does not open
OnCommit = Callable[[StoredReport, Report | Event], None]
OnRefused = Callable[[int, str, Counters], None]  # address 0: the frame says none
OnHello = Callable[[int, Hello], None]
OnSignal = Callable[[int, Signal], None]


class Downlinks(Protocol):
    """What else a node is told, and what it answers."""

    def spoke(self, node: Node, life: bytes, top: int, route: Route) -> Any:
        """A frame was committed and its ack is about to be sealed: the one downlink to follow it, or None."""
        ...

    def answered(self, node: int, ident: int, status: int) -> bool:
        """A node's result was committed: whether it was to one of these."""
        ...


class Tap(Protocol):
    """Who records: hears of each frame, sealed as it is."""

    def up(self, data: bytes, counters: Counters, /) -> None: ...

    def down(self, node: int, data: bytes, /) -> None: ...


class Intake:
    """Takes frames from inlets. `on_commit` hears of each committed report or event that has something new in it."""

    def __init__(self, registry: Registry, store: Store, clock: Clock, *, instance: bytes, on_commit: OnCommit):
        self._registry = registry
        self._store = store
        self._clock = clock
        self._on_commit = on_commit
        self._keys = UplinkKeys(registry)
        self._sealer = Sealer(registry, instance)
        self._challenges = Challenges()
        self._acks = Acks()
        self._lives = store.confirmed_lives()
        self._newest = store.newest_records()
        self.resends = Resends(store.pending_asks())
        self.downlinks: Downlinks | None = None  # the gateway's commands
        self.tap: Tap | None = None  # while somebody records
        self.on_refused: OnRefused = lambda address, reason, counters: None
        self.on_hello: OnHello = lambda address, hello: None
        self.on_signal: OnSignal = lambda address, signal: None
        self._room = asyncio.Event()
        self._room.set()
        self.undecoded = 0
        self.skipped_fields = 0
        self.failures = 0  # answers that failed for a reason that nobody foresaw: those frames come again
        self.last_error: str | None = None

    @property
    def full(self) -> bool:
        """Whether the store's queue has no room; an inlet then stops reading and waits for `room`."""
        return self._store.full

    async def room(self) -> None:
        while self._store.full:
            self._room.clear()
            await self._room.wait()

    def deliver(self, delivery: Delivery) -> None:
        """The store's outcomes of one commit; called in the event loop."""
        self._room.set()
        for done, outcome in delivery:
            try:
                done(outcome)
            except Exception as error:  # the edge of one answer: it must not take those of the others
                self._failed(error)
        for owed in self._acks.take():
            try:
                self._answer(owed)
            except Exception as error:  # the same edge
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_error = f"{type(error).__name__}: {error}"

    def take(self, data: bytes, route: Route) -> None:
        """Judge one frame. Never raises and never waits."""
        if self.tap is not None:
            self.tap.up(data, route.counters)
        reason = self._judge(data, route)
        if reason is not None:
            route.counters.refused[reason] += 1
            self.on_refused(_address(data), reason, route.counters)
            route.settle(reason != QUEUE_FULL)

    def _judge(self, data: bytes, route: Route) -> str | None:
        """Bring a frame as far as the store's queue, or say why not."""
        try:
            header = frame.parse(data)
        except WireError:
            return MALFORMED
        if header.space != frame.UP:
            return NOT_UPLINK
        node = self._registry.get(header.node)
        if node is None:
            return UNKNOWN_NODE
        if node.state not in HEARD:
            return f"{node.state} node"  # one of registry.states
        if header.epoch != node.epoch:
            return WRONG_EPOCH
        life = header.context or self._lives.get(node.address)
        if life is None:
            return NO_LIFE
        try:
            key = self._keys.get(node, life)
        except RegistryError:
            return NO_KEY
        try:
            message = key.open(data, header)
        except WireError:
            return UNSEALED
        return self._submit(node, life, key, header.seq, message, route)

    def _submit(self, node: Node, life: bytes, key: Key, seq: int, message: bytes, route: Route) -> str | None:
        decoded = decoding.read(message, self._newest.get((node.address, life)))
        first = count = 0
        facts = reason = at_s = newest = report = answer = log = None
        keep = False
        if isinstance(decoded, (Report, Event)):  # a tuple is looked through faster than a union, for each frame
            read = decoding.reading(decoded)
            first, count, at_s = read.first, read.count, read.time
            newest, keep, report = read.newest, read.keep, decoded
        elif isinstance(decoded, Hello):
            facts = decoding.facts(decoded, confirm=self._returned(node, life, decoded))
        elif isinstance(decoded, Result):
            answer, reason = (decoded.ident, decoded.status), decoding.UNKNOWN_KIND
        elif isinstance(decoded, Log):
            log = decoded
        else:
            reason = decoded
        arrival = Arrival(
            node.address,
            node.site,
            node.role,
            life,
            node.epoch,
            seq,
            route.heard_ms if isinstance(route, Gathered) else round(self._clock.utc() * 1000),
            self._clock.synchronised(),
            message,
            first,
            count,
            facts,
            reason,
            at_s,
            newest,
            decoding.is_short(message),
            keep,
            report,
            answer,
            log,
            isinstance(route, Gathered),
        )

        def done(outcome: Outcome) -> None:
            if outcome.verdict in (COMMITTED, DUPLICATE):  # of a life that the store knows, and not a replay
                self._keys.keep(node, life, key)
            self._settle(node, arrival, decoded, route, outcome)

        return None if self._store.submit(arrival, done) else QUEUE_FULL

    def _settle(
        self, node: Node, arrival: Arrival, decoded: decoding.Uplink | str, route: Route, outcome: Outcome
    ) -> None:
        """The commit is done: answer."""
        verdict = outcome.verdict
        if verdict == COMMITTED:
            route.counters.committed += 1
            if isinstance(decoded, str) or outcome.aside is not None:
                self.undecoded += 1
            elif isinstance(decoded, Result):
                if not self.resends.answered(node.address, arrival.life, decoded.ident) and not (
                    self.downlinks is not None and self.downlinks.answered(node.address, decoded.ident, decoded.status)
                ):
                    self.undecoded += 1
            else:
                self.skipped_fields += decoded.skipped
                if isinstance(decoded, Hello):
                    former = self._lives.get(node.address)
                    if former is not None and former != arrival.life:
                        self._newest.pop((node.address, former), None)
                    self._lives[node.address] = arrival.life
                    self._challenges.settle(node.address, arrival.life)
                    self.on_hello(node.address, decoded)
                    if outcome.asks:
                        self.resends.replace(node.address, arrival.life, outcome.asks)
                elif outcome.row is not None and not isinstance(decoded, Log):
                    if not isinstance(decoded, Event):
                        self._note_newest(arrival)
                    self._on_commit(outcome.row, decoded)
        else:
            if verdict == UNKNOWN_LIFE and arrival.hello is not None:
                self._challenge(node, arrival, route)
            else:
                route.counters.refused[verdict] += 1
                self.on_refused(node.address, verdict, route.counters)
        if verdict in (COMMITTED, DUPLICATE):
            if route.signal is not None:
                self.on_signal(node.address, route.signal)
            fresh = verdict == COMMITTED and not isinstance(route, Gathered)  # whose node hears nothing now
            self._acknowledge(node, arrival, route, outcome, fresh=fresh)
        route.settle(verdict != FAILED)

    def _acknowledge(self, node: Node, arrival: Arrival, route: Route, outcome: Outcome, *, fresh: bool) -> None:
        """An ack is owed. It leaves behind the last outcome of this commit."""
        self._acks.owe(node, arrival.life, route, arrival.seq, outcome, fresh=fresh)

    def _answer(self, owed: Owed) -> None:
        """The ack, and after it what a node of a restored store is asked for, or else a command.

        A frame that is not fresh may have come from anyone who heard it: it gets its ack, and changes no way back.
        """
        node, life, route, outcome, fresh = owed.node, owed.life, owed.route, owed.outcome, owed.fresh
        seconds = int(self._clock.utc()) if self._clock.synchronised() else None
        ask = self.resends.due(node.address, life, time.monotonic()) if fresh else None
        downlink: Any = None
        if ask is not None:
            downlink = resends.command(ask, outcome.top, seconds)
        elif fresh and self.downlinks is not None:
            downlink = self.downlinks.spoke(node, life, outcome.top, route)
        ack = acks.encode(outcome.top, outcome.numbers, seconds, downlink is not None)
        data = self._sealer.seal_bytes(node, life, ack)
        if self.tap is not None:
            self.tap.down(node.address, data)
        route.send(data)
        if downlink is not None:
            route.send(self.seal(node, life, downlink))

    def life_of(self, address: int) -> bytes | None:
        """The confirmed life of a node."""
        return self._lives.get(address)

    def seal(self, node: Node, life: bytes, message: Any) -> bytes:
        """A downlink frame to one life of a node."""
        data = self._sealer.seal(node, life, message)
        if self.tap is not None:
            self.tap.down(node.address, data)
        return data

    def _returned(self, node: Node, life: bytes, hello: Hello) -> bool:
        """Whether a hello returns the challenge that is pending for its life."""
        challenge = hello.challenge
        return challenge is not None and self._challenges.returned(node.address, life, challenge, time.monotonic())

    def _note_newest(self, arrival: Arrival) -> None:
        """Remember what the next short report of this life is resolved from."""
        key = (arrival.node, arrival.life)
        known = self._newest.get(key)
        if arrival.newest is not None and (known is None or arrival.newest[0] > known[0]):
            self._newest[key] = arrival.newest

    def _challenge(self, node: Node, arrival: Arrival, route: Route) -> None:
        """Answer the hello of an unknown life with a challenge; nothing is committed by it."""
        route.counters.challenged += 1
        challenge = self._challenges.issue(node.address, arrival.life, time.monotonic())
        route.send(self.seal(node, arrival.life, Challenge(arrival.seq, challenge)))


def _address(data: bytes) -> int:
    """Who a refused frame says that it is from; 0 where it cannot be read."""
    try:
        return frame.parse(data).node
    except WireError:
        return 0
