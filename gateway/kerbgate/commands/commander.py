"""The gateway's commands: taken from the council and from local callers, kept, sent when a node speaks, ended.

    submit (a document) -> check -> store -> queue of a node -> spoke (its next frame) -> the downlink after the ack
    answered (its result, committed with its frame) -> state -> audit log -> council

Everything here runs in the event loop; what is written goes through the store as a Change. What memory says is ahead of
the disk by one thing only: that an order was sent. So an order may be sent again under its id, and never under another.
"""

import asyncio
import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Protocol

from kerbgate.clock import Clock
from kerbgate.commands import ledger as ledgers
from kerbgate.commands import orders, table
from kerbgate.commands.brighten import AGAIN_S, GroupVoice
from kerbgate.commands.groups import Groups
from kerbgate.commands.ledger import Found, Ledger, Move
from kerbgate.commands.orders import Held, Order, Queue
from kerbgate.commands.reasons import REFUSAL_S, REFUSALS, Allowance, Refusal
from kerbgate.commands.request import LOCAL, Cancel, Request, absolute, check, ident_of, read, write_time
from kerbgate.inlets.base import Route
from kerbgate.registry import HEARD, Node, Registry
from kerbgate.store.items import COMMITTED, Change, Outcome
from kerbgate.store.store import Store

TICK_S = 0.2  # expiry is honoured at the sending itself; this is when it is told
PUSHES = 40  # orders handed to links a tick: a site's go out over minutes, not in one burst that a radio loses
PRUNE_S = 3600.0
AGAIN_AFTER_S = 5.0  # until a write that failed is tried again: each failure costs the store a new connection
SCAN_S = 1.0  # between two looks at which orders are to be repeated
MAX_ENDED = 20_000  # ids of orders that have ended, whose answer may still come
LAMP = "lamp"  # the role that listens all the time

Answer = Callable[[dict[str, Any]], None]


class Ends(Protocol):
    """The intake, as commands need it."""

    def life_of(self, address: int) -> bytes | None:
        """The confirmed life of a node."""
        ...

    def seal(self, node: Node, life: bytes, message: Any) -> bytes: ...


class Commands:
    """The commands of one gateway. broadcast(frame, nodes): how many links took it. mono: a clock for intervals."""

    def __init__(
        self,
        *,
        site: str,
        store: Store,
        ledger: Ledger,
        registry: Registry,
        clock: Clock,
        groups: Groups,
        voice: GroupVoice,
        broadcast: Callable[[bytes, list[int]], int],
        mono: Callable[[], float] = time.monotonic,
    ):
        self.on_change: Callable[[], None] = lambda: None  # something is in the log that the council does not have
        self.late = 0  # answers to orders that had ended for the gateway
        self.refused = 0
        self.rejected_moves = 0  # that the table does not have: a fault of this program
        self._site = site
        self._store = store
        self._ledger = ledger
        self._registry = registry
        self._clock = clock
        self._groups = groups
        self._voice = voice
        self._broadcast = broadcast
        self._mono = mono
        self._ends: Ends | None = None
        self._held: dict[str, Held] = {}
        self._orders: dict[int, Order] = {}
        self._queues: dict[int, Queue] = {}
        self._turns: dict[int, int] = {}
        self._ways: dict[int, tuple[Route, bytes, int]] = {}
        self._push: deque[int] = deque()  # nodes; each at most once
        self._pushing: set[int] = set()
        self._moves: list[Move] = []
        self._moving = False
        self._write_at = self._scan_at = float("-inf")
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._accepted_ms = 0
        self._version = 0
        self._allowance = Allowance(REFUSALS, REFUSAL_S, mono())
        self._prune_at = 0.0
        self._beginning = False
        self.ready = False

    def begin(self, ends: Ends) -> None:
        """Take up what the store holds, once its writer runs. Nothing is sent before that is done."""
        self._ends = ends
        if self._beginning:
            return
        now_ms = self._now_ms()
        found: list[Found] = []

        def apply(db: sqlite3.Connection) -> None:
            if self._ledger.settle_restore(db, now_ms):
                self._voice.renew()  # before the commit that says so: else a kill between them would repeat numbers
            found[:] = [ledgers.found(db)]

        def done(outcome: Outcome) -> None:
            self._beginning = False
            if outcome.verdict == COMMITTED:
                self._load(found[0])
                self.ready = True
                self.on_change()

        self._beginning = self._store.submit(Change(apply, now_ms), done)

    @property
    def open(self) -> tuple[int, int]:
        """(commands, orders) that wait for something."""
        return len(self._held), len(self._orders)

    def state_of(self, command_id: str) -> str | None:
        """How an open command to one node stands, the moment it is sent; None once it has ended."""
        held = self._held.get(command_id)
        return held.orders[0].state if held is not None and held.orders else None

    def utc(self) -> float:
        """Seconds since 1970, by the gateway's clock."""
        return self._clock.utc()

    async def run(self) -> None:
        """Look after times, until cancelled."""
        while True:
            if not self.ready and self._ends is not None:
                self.begin(self._ends)
            self.tick()
            await asyncio.sleep(TICK_S)

    def submit(self, given: bytes | dict[str, Any], role: str, answer: Answer) -> None:
        """Take a document with the authority of a role. `answer` hears once, perhaps at once: accepted or refused."""
        ident = None
        try:
            document = read(given) if isinstance(given, bytes) else given
            ident = ident_of(document)
            if not self.ready:
                raise Refusal("store busy")
            utc = int(self._clock.utc())
            if role == LOCAL:
                document = absolute(document, utc)
            elif not self._clock.synchronised():
                raise Refusal("clock not synchronised")
            request = check(document, role, utc)
            if isinstance(request, Cancel):
                self._cancel(request, answer)
            else:
                self._accept(request, answer)
        except Refusal as refusal:
            answer(self.refusal(ident, role, refusal))

    def refusal(self, ident: str | None, role: str, refusal: Refusal) -> dict[str, Any]:
        """The answer to a document that is refused. It is counted, and logged as far as the log's allowance goes."""
        self.refused += 1
        out = self._ledger.head(self._now_ms()) | {"event": "refused", "role": role, "reason": refusal.reason}
        out |= {"detail": refusal.detail} if refusal.detail else {}
        out |= {"hint": refusal.hint} | ({"id": ident} if ident else {})
        if self.ready and self._allowance.take(self._mono()):
            missed = self._allowance.missed()
            self._note({"refused": ident, "role": role, "reason": refusal.reason, "unlogged_before": missed})
        return out

    def spoke(self, node: Node, life: bytes, top: int, route: Route) -> Any:
        """A node's frame was committed, and its ack is about to be sealed: the one downlink to follow it, or None.

        top: the highest number accepted from the node, which a downlink echoes.
        """
        if node.role == LAMP:
            self._ways[node.address] = (route, life, top)
        return self._next(node.address, life, top)

    def answered(self, node: int, ident: int, status: int) -> bool:
        """A node's result was committed: whether it was to one of these."""
        order = self._orders.get(ident)
        if order is None or order.node != node:
            self.late += ident in self._ended
            return ident in self._ended
        after = table.step(order.state, table.answer(status))
        if after is not None:
            order.state = after
            self._end(order)
        self.on_change()
        return True

    def tick(self) -> None:
        """What is due by now."""
        if not self.ready:
            return
        utc, mono = self._clock.utc(), self._mono()
        for held in list(self._held.values()):
            if held.over(utc, mono):
                for order in list(held.orders):
                    self._move(order, table.EXPIRY)
            elif utc >= held.request.not_before:
                for order in [order for order in held.orders if order.state == table.ACCEPTED]:
                    self._move(order, table.DUE)
                    self._enter(order)
                if held.operation.grouped:
                    self._brighten(held, utc, mono)
        self._push_some()
        self._flush()
        if self._voice.wanted:
            self._voice.reserve(self._store, self._now_ms(), self.tick)
        if mono >= self._prune_at:
            self._prune_at = mono + PRUNE_S
            now_ms = self._now_ms()
            self._store.submit(Change(lambda db: self._ledger.prune(db, now_ms), now_ms), lambda _: None)

    def _accept(self, request: Request, answer: Answer) -> None:
        nodes = self._groups.resolve(request.target, self._registry, request.operation.roles)
        if request.operation.grouped and self._groups.scope(request.target) is None:
            raise Refusal("bad target", "brighten is for the site, or for a group with a scope")
        facts = orders.facts(request, [(node.address, self._groups.street(node.address)) for node in nodes])
        facts["expires"] = write_time(request.expiry)
        facts |= {"until": write_time(request.until)} if request.until is not None else {}
        facts |= {"notice": request.operation.notice} if request.operation.notice else {}
        now_ms = self._now_ms()
        if request.dry_run:
            about = {"id": request.ident, "event": "dry run", "role": request.role, "operation": request.operation.name}
            answer(self._ledger.head(now_ms) | about | facts)
            return
        self._accepted_ms = accepted_ms = max(now_ms, self._accepted_ms + 1)
        addresses = [node.address for node in nodes]
        result: list[tuple[list[int], dict[str, Any]] | Refusal] = []

        def apply(db: sqlite3.Connection) -> None:
            try:
                result[:] = [self._ledger.accept(db, request, addresses, facts, accepted_ms)]
            except Refusal as refusal:  # of which nothing was written
                result[:] = [refusal]

        def done(outcome: Outcome) -> None:
            found = result[0] if outcome.verdict == COMMITTED else Refusal("store busy")
            if isinstance(found, Refusal):
                answer(self.refusal(request.ident, request.role, found))
                return
            idents, document = found
            if idents:
                held = self._hold(request, accepted_ms)
                state = table.QUEUED if request.not_before * 1000 <= accepted_ms else table.ACCEPTED
                for ident, node in zip(idents, addresses, strict=True):
                    self._add(Order(ident, held, node, state))
            answer(document)
            self.on_change()
            self.tick()

        if not self._store.submit(Change(apply, now_ms), done):
            raise Refusal("store busy")

    def _cancel(self, request: Cancel, answer: Answer) -> None:
        now_ms = self._now_ms()
        result: list[list[int] | Refusal] = []
        for order in list(self._held[request.cancels].orders) if request.cancels in self._held else ():
            self._unsure(order)
        before, self._moves = self._moves, []  # what was sent must be written down as sent before it is withdrawn

        def apply(db: sqlite3.Connection) -> None:
            self._ledger.move(db, before, now_ms)
            try:
                result[:] = [self._ledger.cancel(db, request, now_ms)]
            except Refusal as refusal:
                result[:] = [refusal]

        def done(outcome: Outcome) -> None:
            found = result[0] if outcome.verdict == COMMITTED else Refusal("store busy")
            self._written(before, outcome)
            if isinstance(found, Refusal):
                answer(self.refusal(request.ident, request.role, found))
                return
            for ident in found:
                order = self._orders.get(ident)
                if order is not None:
                    order.state = table.step(order.state, table.CANCEL) or order.state
                    self._end(order)
            about = {"id": request.ident, "event": "cancelled", "role": request.role, "cancels": request.cancels}
            answer(self._ledger.head(now_ms) | about | {"nodes": len(found)})

        if not self._store.submit(Change(apply, now_ms), done):
            self._moves = before + self._moves
            raise Refusal("store busy")

    def _hold(self, request: Request, accepted_ms: int) -> Held:
        deadline = self._mono() + request.expiry - self._clock.utc()
        self._version = max(accepted_ms // 1000, self._version + 1)
        serial = max(accepted_ms, request.not_before * 1000)
        held = self._held[request.ident] = Held(request, serial, deadline, self._version)
        return held

    def _load(self, found: Found) -> None:
        self._turns = found.turns
        for text, role, accepted_ms in found.commands:
            self._accepted_ms = max(self._accepted_ms, accepted_ms)
            try:
                request = check(read(text.encode()), role, accepted_ms // 1000)
            except Refusal:  # of another version: it is withdrawn below
                continue
            if isinstance(request, Request):
                self._hold(request, accepted_ms)
        serials = {ident: held.serial for ident, held in self._held.items()}
        for row in sorted(found.orders, key=lambda row: serials.get(row.command_id, 0)):  # so that newer ones replace
            held = self._held.get(row.command_id)
            if held is None:
                self._moves.append(Move(row.ident, table.CANCEL))
            else:
                armed = row.turn is not None
                self._add(Order(row.ident, held, row.node, row.state, row.life, row.turn, armed, inherited=armed))

    def _add(self, order: Order) -> None:
        order.held.orders.append(order)
        self._orders[order.ident] = order
        self._queue(order.node).orders.append(order)
        if order.state != table.ACCEPTED:
            self._enter(order)

    def _queue(self, node: int) -> Queue:
        queue = self._queues.get(node)
        if queue is None:
            queue = self._queues[node] = Queue(self._turns.get(node, 0))
        return queue

    def _enter(self, order: Order) -> None:
        """Its time has come: older ones of its class give way, and it is made ready to go out."""
        queue = self._queue(order.node)
        for older in queue.replaced_by(order):
            self._move(older, table.NEWER)
        life = self._ends.life_of(order.node) if self._ends is not None else None
        if life is not None:
            self._arm(queue, life)

    def _arm(self, queue: Queue, life: bytes) -> None:
        self._moves += [Move(order.ident, None, life=life, turn=order.turn) for order in queue.arm(life)]

    def _unsure(self, order: Order) -> None:
        """What an earlier process may have sent counts as sent before anything ends it."""
        if order.inherited and order.state == table.QUEUED:
            order.state = table.SENT
            self._moves.append(Move(order.ident, table.SEND))

    def _move(self, order: Order, event: str) -> None:
        if event in (table.EXPIRY, table.NEWER):
            self._unsure(order)
        after = table.step(order.state, event)
        if after is None:
            self.rejected_moves += 1
            return
        order.state = after
        self._moves.append(Move(order.ident, event))
        self._end(order)

    def _end(self, order: Order) -> None:
        """Let go of an order for which there is nothing more to do."""
        if order.state in table.WAITING:
            return
        self._orders.pop(order.ident, None)
        held, queue = order.held, self._queues.get(order.node)
        if order in held.orders:
            held.orders.remove(order)
        if not held.orders:
            self._held.pop(held.request.ident, None)
        if queue is not None and order in queue.orders:
            queue.orders.remove(order)
            if not queue.orders:
                self._turns[order.node] = queue.turns
                del self._queues[order.node]
        self._ended[order.ident] = None
        while len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def _next(self, node: int, life: bytes, top: int) -> Any:
        """The message to send to a node now; it counts as sent."""
        queue = self._queues.get(node)
        utc, mono = self._clock.utc(), self._mono()
        if queue is None or not self.ready or mono < self._write_at:
            return None
        for order in list(queue.orders):
            if order.held.over(utc, mono):
                self._move(order, table.EXPIRY)
            elif order.turn is not None and order.life != life:
                self._another_life(order, life)
        self._arm(queue, life)
        order = queue.next(mono)
        if order is None or order.held.remaining(utc, mono) < 1:
            self._flush()
            return None
        message = orders.message(order, top, utc, mono, synchronised=self._clock.synchronised())
        order.next_s = mono + orders.PAUSE_S
        if order.state == table.QUEUED:
            order.state = table.SENT
            self._moves.append(Move(order.ident, table.SEND))
        self._flush()
        return message

    def _another_life(self, order: Order, life: bytes) -> None:
        """The node has begun another life. What the one before may have had is lost; the others go to the new one."""
        if order.state == table.SENT or order.inherited:
            self._move(order, table.LIFE_ENDED)
        else:
            order.life, order.armed = life, False
            self._moves.append(Move(order.ident, None, life=life, turn=order.turn))

    def _want_push(self, node: int) -> None:
        if node not in self._pushing:
            self._pushing.add(node)
            self._push.append(node)

    def _push_some(self) -> None:
        """Hand orders to the links of lamps that listen; a link that takes none is tried again at the next tick."""
        ends, mono = self._ends, self._mono()
        if ends is None:  # nothing is taken up yet
            return
        if mono >= self._scan_at:
            self._scan_at = mono + SCAN_S
            for node, queue in self._queues.items():
                if node in self._ways and queue.next(mono) is not None:
                    self._want_push(node)
        for _ in range(min(PUSHES, len(self._push))):
            address = self._push.popleft()
            self._pushing.discard(address)
            node, way = self._registry.get(address), self._ways.get(address)
            if node is None or node.state not in HEARD or way is None or ends.life_of(address) != way[1]:
                continue
            route, life, top = way
            message = self._next(address, life, top)
            if message is not None:
                route.send(ends.seal(node, life, message))
                queue = self._queues.get(address)
                if queue is not None and queue.next(mono) is not None:
                    self._want_push(address)

    def _brighten(self, held: Held, utc: float, mono: float) -> None:
        request = held.request
        if held.sends >= len(AGAIN_S) or mono < held.next_send or request.until is None:
            return
        scope = self._groups.scope(request.target)
        seconds = int(request.until - utc)
        if scope is None or seconds < 1 or any(order.inherited for order in held.orders):
            held.sends = len(AGAIN_S)  # an earlier process has said it; the orders to each node ask what became of it
            return
        frame = self._voice.brighten(request.arguments[0], seconds, scope)
        if frame is None:
            return
        links = self._broadcast(frame, [order.node for order in held.orders])
        if held.sends == 0:
            self._note({"brighten": request.ident, "scope": scope, "links": links})
        held.sends += 1
        if held.sends < len(AGAIN_S):
            held.next_send = mono + AGAIN_S[held.sends] - AGAIN_S[held.sends - 1]

    def _flush(self) -> None:
        """Write down what has changed, one write at a time; what could not be written is tried again."""
        if self._moving or not self._moves or self._mono() < self._write_at:
            return
        moves, self._moves = self._moves, []
        now_ms = self._now_ms()

        def done(outcome: Outcome) -> None:
            self._moving = False
            self._written(moves, outcome)
            self._flush()

        self._moving = self._store.submit(Change(lambda db: self._ledger.move(db, moves, now_ms), now_ms), done)
        if not self._moving:
            self._moves = moves + self._moves

    def _written(self, moves: list[Move], outcome: Outcome) -> None:
        """A write came back: what was bound may go out; what failed is written again later."""
        if outcome.verdict != COMMITTED:
            self._moves = moves + self._moves
            self._write_at = self._mono() + AGAIN_AFTER_S
            return
        for move in moves:
            order = self._orders.get(move.ident)
            if move.event is None and order is not None and order.life == move.life:
                order.armed = True
                if order.node in self._ways:
                    self._want_push(order.node)
        self.on_change()
        self._push_some()

    def _note(self, entry: dict[str, Any]) -> None:
        now_ms = self._now_ms()
        self._store.submit(Change(lambda db: self._ledger.note(db, entry, now_ms), now_ms), lambda _: None)

    def _now_ms(self) -> int:
        return round(self._clock.utc() * 1000)
