"""The two ends of the session machine: what is flash or a store outlives a restart of either.

A node of Session, NodeEnd, Flights, Epochs and Commands; a gateway of Lives and Epochs. Each asserts as it goes that no
nonce repeats, that nothing is committed twice, and that a node obeys and believes nothing old.
"""

from kerbwire import controls, frame, gateway_end, messages, seal, session
from kerbwire.commands import OBEY, Commands
from kerbwire.epochs import Epochs
from kerbwire.errors import UNRESOLVED, WireError
from kerbwire.flights import Flights
from kerbwire.gateway_end import Lives
from kerbwire.messages import Ack, Challenge, Hello, Record, Report
from kerbwire.node_end import NodeEnd
from kerbwire.session import Session

NODE = 7
SECRET = bytes(range(16))
BLOCK = 4  # numbers reserved at once
UTC = 1_767_225_600
TURN_OVER = 63  # an operation of this test's own
MAX_ACK_AGE_S = 10  # law 2


class Numbers:
    """Sealings by key: no number may come twice."""

    def __init__(self) -> None:
        self.used: set[tuple[bytes, bytes, int]] = set()

    def use(self, secret: bytes, context: bytes, number: int) -> None:
        assert (secret, context, number) not in self.used, "a nonce repeats"
        self.used.add((secret, context, number))


class Node:
    """flash: everything that outlives a reset, written at once. start() is a boot, or a wake with intact counters."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.lives = 0
        self.epochs = Epochs(0, SECRET)
        self.accepted: set[bytes] = set()
        self.acted: dict[int, int] = {}
        self.wipe()

    def wipe(self) -> None:
        self.lives += 1
        self.life = self.lives.to_bytes(8, "big")
        self.next_seq = self.seq_limit = self.next_index = self.index_limit = 0
        self.records: list[Record] = []
        self.let_go: set[int] = set()
        self.near: tuple[int, int] | None = (
            None  # index and time of the newest record that the gateway has acknowledged
        )
        self.flights = Flights()
        self.aside: set[int] = set()
        self.commands = Commands()
        self.confirmed = False
        self.instance = bytes(8)
        self.start(0, boot=True)

    def start(self, now: int, boot: bool) -> None:
        if boot:
            self.next_seq, self.next_index = self.seq_limit, self.index_limit
            self.aside = set()
            self.instance = bytes(8)
        self.session = Session(2, confirmed=self.confirmed and not boot)
        self.end = NodeEnd(NODE, self.epochs, self.life, self.take_seq, self.instance)
        self.commands = Commands(self.commands.stored)
        self.started = now
        self.sent_at = -1000
        self.unanswered = 0
        self.hello_due = boot
        self.owes_hello = False  # a challenge came: the hello that returns it

    def take_seq(self) -> int:
        if self.next_seq >= self.seq_limit:
            self.seq_limit = self.next_seq + BLOCK
        self.next_seq += 1
        return self.next_seq - 1

    def sample(self, count: int, now: int) -> None:
        for _ in range(count):
            if self.next_index >= self.index_limit:
                self.index_limit = self.next_index + BLOCK
            self.records.append(Record(self.next_index, UTC + 60 * now, {0: self.next_index % 101}))
            self.next_index += 1

    def step(self, now: int) -> bytes | None:
        """The next frame: what the table asks for, if anything."""
        machine = self.session
        if machine.state in (session.SILENT, session.BACKOFF):
            machine.on(session.WAITED)
        if self.owes_hello and machine.state == session.HELLO:
            action = session.SEND_HELLO
        elif machine.state in (session.HELLO, session.REPORT):
            action = machine.unanswered()
        elif machine.state == session.FRESH or self.hello_due or self.unanswered >= 3:
            action = machine.on(session.HELLO_DUE)
        elif self._run():
            action = machine.on(session.REPORT_DUE)
        else:
            return None
        self.owes_hello = False
        if action == session.SEND_REPORT:
            run = self._run()
            if not run:
                machine.on(session.SETTLED)
                return None
            seq, data = self._seal(messages.encode(Report(run), self.near), False)
            self.flights.sent(seq, run[0].index, len(run))
        elif action == session.SEND_HELLO:
            hello = Hello(0, "model", "0", bytes(8), 0, 1, bytes(8), self.next_index, None, machine.challenge)
            seq, data = self._seal(messages.encode(hello), True)
        else:
            assert action == session.BACK_OFF
            return None
        machine.sent(seq)
        self.sent_at = now
        self.unanswered += 1
        return data

    def _seal(self, body: bytes, with_life: bool) -> tuple[int, bytes]:
        seq, data = self.end.seal(body, with_life)
        secret = self.epochs.secret_of(frame.parse(data).epoch)
        assert secret is not None and seq < self.seq_limit
        self.numbers.use(secret, self.life, seq)
        return seq, data

    def _run(self) -> list[Record]:
        waiting = [record for record in self.records if record.index not in self.aside]
        fresh = [record for record in waiting if not self.flights.carries(record.index)] or waiting
        run: list[Record] = []
        for record in fresh:
            if (run and record.index != run[-1].index + 1) or len(run) == 3:
                break
            run.append(record)
        return run

    def receive(self, data: bytes, now: int) -> object:
        message = self.end.receive(data)
        if message is None:
            return None
        self.instance = self.end.instance
        if isinstance(message, Challenge):
            if message.echo == self.end.last_seq:
                self.owes_hello = self.session.challenged(message.challenge) == session.SEND_HELLO
                self.near = None  # the gateway begins anew, and knows of no record that it has committed
        elif isinstance(message, Ack):
            if self.session.answered(message.committed) == session.CONFIRM:
                self.confirmed = True
                self.hello_due = False
            self.unanswered = 0
            done, aside = self.flights.settle(message.committed, message.echo)
            for _, first, count in done:
                gone = set(range(first, first + count))
                self.let_go |= gone
                for record in self.records:
                    if record.index in gone and (self.near is None or record.index > self.near[0]):
                        self.near = (record.index, record.time)
                self.records = [record for record in self.records if record.index not in gone]
            for _, first, count in aside:
                self.session.on(session.REFUSED)
                self.aside |= set(range(first, first + count))
            if message.time is not None and message.echo == self.end.last_seq and now - self.sent_at <= MAX_ACK_AGE_S:
                assert abs(message.time - UTC - now) <= MAX_ACK_AGE_S, "an old time was taken"
        elif isinstance(message, controls.Command):
            self._obey(message, now)
        return message

    def _obey(self, command: controls.Command, now: int) -> None:
        verdict, _, _ = self.commands.offer(command.ident, command.expiry, command.remaining, UTC + now)
        if verdict != OBEY:
            return
        self.commands.begin(command.ident)
        assert command.ident not in self.acted, "a command was obeyed twice"
        assert UTC + now < command.expiry, "an expired command was obeyed"
        self.acted[command.ident] = now
        status = controls.APPLIED
        if command.operation == TURN_OVER:
            try:
                self.epochs.begin()
                self.hello_due = True
            except WireError:
                status = controls.REFUSED
        self.commands.finish(command.ident, status)


class Gateway:
    """What it has committed outlives it; its instance, its numbers and its challenges do not."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.drawn = 0
        self.lives = Lives(self.draw)
        self.epochs = Epochs(0, SECRET)
        self.records: dict[tuple[bytes, int], Record] = {}
        self.newest: dict[bytes, tuple[int, int]] = {}  # by life, the newest committed record's index and time
        self.frames: set[tuple[bytes, bytes, int]] = set()
        self.next_command = 0
        self.issued: list[tuple[bytes, int, int, int]] = []  # life, id, operation, expiry
        self.epoch = 0  # of the newest uplink
        self.restart()

    def draw(self) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(8, "big")

    def restart(self) -> None:
        self.instance = b"i" + self.draw()[1:]
        self.next_number = 0
        self.lives.restart()

    def lose(self) -> None:
        """The store is one that was restored: no window of it is believed, and its newest record is gone."""
        self.restart()
        self.lives.lose()
        self.newest.clear()

    def take(self, data: bytes, now: int) -> bytes | None:
        message: object = None
        try:
            header = frame.parse(data)
            life = header.context or self.lives.current()
            secret = self.epochs.secret_of(header.epoch)
            if header.space != frame.UP or life is None or secret is None:
                return None
            body = seal.uplink_key(secret, NODE, life).open(data, header)
            message = messages.decode(body, frame.UP, self.newest.get(life))
        except WireError as error:
            if error.code != UNRESOLVED:
                return None
        hello = isinstance(message, Hello)
        returned = message.challenge if isinstance(message, Hello) else None
        verdict, challenge = self.lives.take(life, header.epoch, header.seq, hello, returned, now)
        if verdict == gateway_end.CHALLENGE:
            return self.seal(life, header.epoch, Challenge(header.seq, challenge))
        if verdict in (gateway_end.COMMIT, gateway_end.OPEN_LIFE):
            assert message is not None, "a report cannot be resolved"
            if isinstance(message, Report):
                last = message.records[-1]
                self.newest[life] = max(self.newest.get(life, (-1, 0)), (last.index, last.time))
                assert (secret, life, header.seq) not in self.frames, "a frame was committed twice"
                self.frames.add((secret, life, header.seq))
                for record in message.records:
                    known = self.records.setdefault((life, record.index), record)
                    assert known == record, "an index stands for two records"
            self.epochs.opened(header.epoch)
            self.epoch = header.epoch
        elif verdict != gateway_end.ACK_AGAIN:
            return None
        window = self.lives.window(life, header.epoch)
        return self.seal(life, header.epoch, Ack(window.top, window.newest(8), UTC + now))

    def command(self, operation: int, now: int, seconds: int) -> bytes | None:
        life = self.lives.current()
        if life is None or self.lives.state(life, self.epoch) != gateway_end.OPEN:
            return None
        if operation == TURN_OVER:
            if self.epochs.older is not None:
                return None
            self.epochs.begin()
        self.next_command += 1
        self.issued.append((life, self.next_command, operation, UTC + now + seconds))
        return self._command(*self.issued[-1], now)

    def repeat(self, now: int) -> list[bytes]:
        """Every command of this life that has not expired, again: its result may have been lost."""
        life = self.lives.current()
        if life is None or self.lives.state(life, self.epoch) != gateway_end.OPEN:
            return []
        return [self._command(*issued, now) for issued in self.issued if issued[0] == life and issued[3] > UTC + now]

    def _command(self, life: bytes, ident: int, operation: int, expiry: int, now: int) -> bytes:
        echo = self.lives.window(life, self.epoch).top
        return self.seal(life, self.epoch, controls.Command(echo, ident, operation, [], expiry, expiry - UTC - now))

    def seal(self, life: bytes, epoch: int, message: object) -> bytes:
        secret = self.epochs.secret_of(epoch)
        assert secret is not None
        number = self.next_number
        self.next_number += 1
        self.numbers.use(secret, life + self.instance, number)
        key = seal.downlink_key(secret, life, self.instance)
        return key.seal(frame.DOWN, epoch, NODE, number, messages.encode(message), self.instance)
