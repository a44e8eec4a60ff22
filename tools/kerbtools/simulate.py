"""A simulated node: the wire behaviour of a node without a board, for tests and load.

It does no I/O and reads no clock: frames come out of `next_frame`, frames go into `feed`, time is handed in. It keeps
what a node keeps over a reset (life, numbers, records not yet acknowledged) and follows the laws of PROTOCOL.md: it
sends nothing but hello until its life is confirmed, never uses a number twice, removes exactly the records of the
reports that an ack lists, and sends what is left again in a new report. What was acknowledged stays in its ring until
it is overwritten, and is sent again when a `resend` command asks for it.
"""

import random
from collections import deque

from kerbwire import channels, frame, messages, seal
from kerbwire.commands import IGNORE, OBEY, Commands
from kerbwire.controls import APPLIED, RESEND, UNSUPPORTED, Command, Config, Result
from kerbwire.errors import WireError
from kerbwire.events import Event
from kerbwire.messages import Ack, Challenge, Hello, Record
from kerbwire.window import NEW, Window

LIFE_SIZE = 8
MAX_SENT = 64  # reports whose ack may still come; older ones are given up and their records sent again


class SimulatedNode:
    """One node. Address and secret as in the registry; everything random comes from `seed`.

    near: (index, UTC seconds) of the newest record that it knows to be committed. batch: records a report.
    hello_after: reports without an ack until it says hello again. ring: acknowledged records that it still holds.
    """

    def __init__(
        self,
        address: int,
        secret: bytes,
        *,
        seed: int,
        role: int = channels.BIN,
        batch: int = 24,
        epoch: int = 0,
        hello_after: int = 3,
        ring: int = 0,
    ):
        self.address = address
        self.batch = batch
        self.taken: list[int] = []  # indices of this life, in order
        self.committed: set[int] = set()
        self.confirmed = False
        self.time_given: int | None = None
        self.resent = 0
        self._secret = secret
        self._role = role
        self._epoch = epoch
        self._hello_after = hello_after
        self._ring: deque[Record] = deque(maxlen=ring)
        self._random = random.Random(seed)  # noqa: S311
        self._distance_mm = 1200
        self._begin_life()

    def _begin_life(self) -> None:
        self.life = self._random.randbytes(LIFE_SIZE)
        self.taken.clear()
        self.committed.clear()
        self.confirmed = False
        self._uplink = seal.uplink_key(self._secret, self.address, self.life)
        self._next_number = 0
        self._next_index = 0
        self._outbox: deque[Record] = deque()
        self._events: deque[Event] = deque()
        self._ring.clear()
        self._commands = Commands()
        self._results: deque[Result] = deque()
        self.near: tuple[int, int] | None = None
        self._sent: dict[int, tuple[int, ...]] = {}
        self.boots = 0
        self.reset()

    def wipe(self) -> None:
        """The flash is gone: a new life. What was taken in the old one and not committed is lost with it."""
        self._begin_life()

    def reset(self) -> None:
        """A reset: what is in memory only is forgotten; life, numbers and records stay."""
        self.boots += 1
        self._must_say_hello = True
        self._challenge: bytes | None = None
        self._unanswered = 0
        self._first_number = self._next_number
        self._instance: bytes | None = None
        self._downlink: seal.Key | None = None
        self._window = Window()
        self._echo = -1
        self._sent.clear()

    @property
    def waiting(self) -> int:
        """Records taken and not yet acknowledged."""
        return len(self._outbox)

    def take(self, count: int, time: int, step: int = 3600) -> list[int]:
        """Sample `count` records at time, time + step, ... (UTC seconds); returns their indices."""
        return [self.take_values(time + number * step, self._values()) for number in range(count)]

    def take_values(self, time: int, values: dict[int, int]) -> int:
        """Sample these raw values by channel; returns the record's index."""
        record = Record(self._next_index, time, values)
        self._next_index += 1
        self._outbox.append(record)
        self.taken.append(record.index)
        return record.index

    def tell(self, code: int, severity: int, state: int, time: int, values: dict[int, int] | None = None) -> int:
        """Something happened: an event waits to be sent before all records. Returns its index."""
        event = Event(self._next_index, time, code, severity, state, values)
        self._next_index += 1
        self._events.append(event)
        return event.index

    def next_frame(self) -> bytes | None:
        """The next frame to send, or None when there is nothing to say.

        Records that were sent and not acknowledged are sent again, so call it once per exchange: send, listen, feed.
        """
        if self._must_say_hello or not self.confirmed:
            return self._hello()
        if self._results:
            return self._seal(messages.encode(self._results.popleft()), ())
        if not self._outbox and not self._events:
            return None
        self._unanswered += 1
        if self._unanswered > self._hello_after:
            self._must_say_hello = True
            return self._hello()
        if self._events:
            return self._seal(messages.encode(self._events[0]), (self._events[0].index,))
        return self._report(list(self._outbox)[: self.batch])

    def stream(self) -> bytes | None:
        """A report of records that no report under way carries, for load with many reports under way; None if none."""
        if self._must_say_hello or not self.confirmed:
            return None
        under_way = {index for indices in self._sent.values() for index in indices}
        return self._report([record for record in self._outbox if record.index not in under_way][: self.batch])

    def feed(self, data: bytes) -> bool:
        """A frame from the link. True if it was for this node and changed something; any other bytes change nothing."""
        try:
            header = frame.parse(data)
            if header.space != frame.DOWN or header.node != self.address or len(header.context) != 8:
                return False
            key = self._downlink
            if header.context != self._instance or key is None:
                key = seal.downlink_key(self._secret, self.life, header.context)
            message = messages.decode(key.open(data, header), frame.DOWN)
        except WireError:
            return False
        if not isinstance(message, Ack | Challenge | Command | Config) or message.echo < self._first_number:
            return False
        if header.context != self._instance:
            if message.echo <= self._echo:  # an instance that was replaced does not come back
                return False
            self._instance, self._downlink, self._window = header.context, key, Window()
        if self._window.check(header.seq) != NEW:
            return False
        self._window.accept(header.seq)
        self._echo = max(self._echo, message.echo)
        if isinstance(message, Challenge):
            self._challenge = message.challenge
            self._must_say_hello = True
        elif isinstance(message, Command | Config):
            self._obey(message)
        else:
            self._acknowledged(message)
        return True

    def _obey(self, command: Command | Config) -> None:
        """Law 6, without a clock: only the seconds that remain end a command. A config says none: it has come now."""
        if isinstance(command, Command):
            verdict, status, detail = self._commands.offer(command.ident, command.expiry, command.remaining, None)
        else:
            verdict, status, detail = self._commands.offer(command.ident, 0, 1, None)
        if verdict == OBEY:
            self._commands.begin(command.ident)
            status, detail = self.act(command)
            self._commands.finish(command.ident, status, detail)
        if verdict != IGNORE:
            self._results.append(Result(command.ident, status, detail))

    def act(self, command: Command | Config) -> tuple[int, int | None]:
        """Do what is asked, once; returns status and detail. Here: `resend` of what the ring still holds."""
        if not isinstance(command, Command) or command.operation != RESEND:
            return UNSUPPORTED, None
        first, count = command.arguments
        again = [record for record in self._ring if first <= record.index < first + count]
        held = {record.index for record in again}
        self._ring = deque((r for r in self._ring if r.index not in held), self._ring.maxlen)
        self._outbox = deque(sorted([*again, *self._outbox], key=lambda record: record.index))
        self.committed -= held
        self.near = None  # the gateway has lost what it was taken from
        return APPLIED, len(again)

    def _acknowledged(self, ack: Ack) -> None:
        if ack.echo == self._next_number - 1:
            self.time_given = ack.time
        for number in ack.committed:
            if number < self._first_number:
                continue
            indices = self._sent.pop(number, None)
            if indices is None:
                continue
            self._unanswered = 0
            if not indices:  # the hello
                if self._challenge is not None:  # the gateway begins anew and knows of nothing that was committed
                    self.near = None
                self.confirmed = True
                self._must_say_hello = False
                self._challenge = None
            self.committed.update(indices)
            if self._ring.maxlen:
                self._ring.extend(record for record in self._outbox if record.index in indices)
            newest = [record for record in self._outbox if indices and record.index == indices[-1]]
            if newest and (self.near is None or newest[0].index > self.near[0]):
                self.near = (newest[0].index, newest[0].time)
        while self._events and self._events[0].index in self.committed:
            self._events.popleft()
        while self._outbox and self._outbox[0].index in self.committed:
            self._outbox.popleft()
        if any(record.index in self.committed for record in self._outbox):
            self._outbox = deque(record for record in self._outbox if record.index not in self.committed)

    def _hello(self) -> bytes:
        self._unanswered = 0
        hello = Hello(
            role=self._role,
            board="simulated",
            firmware="0",
            bundle=bytes(8),
            reset_cause=messages.POWER_ON,
            boot_count=self.boots,
            config_hash=bytes(8),
            next_index=self._next_index,
            challenge=self._challenge,
        )
        return self._seal(messages.encode(hello), (), self.life)

    def _report(self, records: list[Record]) -> bytes | None:
        run: list[Record] = []
        for record in records:
            if run and record.index != run[-1].index + 1:
                break
            run.append(record)
        if not run:
            return None
        self.resent += any(run[0].index in indices for indices in self._sent.values())
        count, message = messages.fit(run, near=self.near)
        return self._seal(message, tuple(record.index for record in run[:count])) if count else None

    def _seal(self, message: bytes, indices: tuple[int, ...], context: bytes = b"") -> bytes:
        number = self._next_number
        self._next_number += 1
        self._sent[number] = indices
        if len(self._sent) > MAX_SENT:
            del self._sent[min(self._sent)]
        return self._uplink.seal(frame.UP, self._epoch, self.address, number, message, context)

    def _values(self) -> dict[int, int]:
        """A plausible sampling of a bin that fills and is emptied."""
        rng = self._random
        self._distance_mm -= rng.randrange(0, 40)
        if self._distance_mm < 200:
            self._distance_mm = 1200
        if rng.random() < 0.02:
            return {channels.FILL: channels.NO_ECHO, channels.TEMPERATURE: rng.randrange(20, 30)}
        return {
            channels.FILL: max(0, min(100, 100 - (self._distance_mm - 200) // 10)),
            channels.TEMPERATURE: rng.randrange(20, 30),
            channels.QUALITY: channels.FEW_ECHOES if rng.random() < 0.1 else 0,
        }
