"""Two ends over a link that loses, doubles, delays, reorders and replays, while either end reboots.

The ends are those of kerbwire: Session, NodeEnd, Flights, Epochs and Commands on one side; Lives and Epochs on the
other. What is flash or a store here is a plain object that outlives them. Whatever happens, at every step:

    no nonce repeats under a key
    what the node lets go of is committed; nothing is committed twice; an index stands for one record
    nothing old moves the node: no downlink counts twice or from before its start, no time is off by more than 10 s,
    no command is obeyed twice or after its expiry

and in the end, on a link that behaves, everything taken is committed.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kerbwire import controls, frame, gateway_end, messages, seal, session
from kerbwire.commands import OBEY, Commands
from kerbwire.epochs import Epochs
from kerbwire.errors import WireError
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
            self.records.append(Record(self.next_index, UTC + now, {0: self.next_index % 101}))
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
            seq, data = self._seal(messages.encode(Report(run)), False)
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
        elif isinstance(message, Ack):
            if self.session.answered(message.committed) == session.CONFIRM:
                self.confirmed = True
                self.hello_due = False
            self.unanswered = 0
            done, aside = self.flights.settle(message.committed, message.echo)
            for _, first, count in done:
                gone = set(range(first, first + count))
                self.let_go |= gone
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

    def take(self, data: bytes, now: int) -> bytes | None:
        try:
            header = frame.parse(data)
            life = header.context or self.lives.current()
            secret = self.epochs.secret_of(header.epoch)
            if header.space != frame.UP or life is None or secret is None:
                return None
            message = messages.decode(seal.uplink_key(secret, NODE, life).open(data, header), frame.UP)
        except WireError:
            return None
        hello = isinstance(message, Hello)
        returned = message.challenge if isinstance(message, Hello) else None
        verdict, challenge = self.lives.take(life, header.epoch, header.seq, hello, returned, now)
        if verdict == gateway_end.CHALLENGE:
            return self.seal(life, header.epoch, Challenge(header.seq, challenge))
        if verdict in (gateway_end.COMMIT, gateway_end.OPEN_LIFE):
            if isinstance(message, Report):
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


class Link(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.numbers = Numbers()
        self.node = Node(self.numbers)
        self.gateway = Gateway(self.numbers)
        self.transit: list[tuple[bool, bytes]] = []  # (upwards, frame)
        self.ever: list[tuple[bool, bytes]] = []
        self.sealed_at: dict[bytes, int] = {}
        self.accepted: set[bytes] = set()

    def put(self, upwards: bool, data: bytes | None) -> None:
        if data is not None:
            self.sealed_at.setdefault(data, self.now)
            self.transit.append((upwards, data))
            self.ever.append((upwards, data))

    def arrive(self, upwards: bool, data: bytes) -> None:
        if upwards:
            self.put(False, self.gateway.take(data, self.now))
        elif self.node.receive(data, self.now) is not None:
            assert data not in self.accepted, "a downlink counted twice"
            assert self.sealed_at[data] >= self.node.started, "a downlink from before the start counted"
            self.accepted.add(data)
            for index in self.node.let_go:
                assert (self.node.life, index) in self.gateway.records, "let go of what is not committed"

    @rule(count=st.integers(1, 4))
    def sample(self, count: int) -> None:
        self.node.sample(count, self.now)

    @rule()
    def speak(self) -> None:
        self.put(True, self.node.step(self.now))

    @precondition(lambda self: self.transit)
    @rule(place=st.integers(0, 1000), keep=st.sampled_from((False, False, False, True)))
    def deliver(self, place: int, keep: bool) -> None:
        """Any frame in transit, so they overtake each other; kept, it comes again."""
        place %= len(self.transit)
        arrived = self.transit[place] if keep else self.transit.pop(place)
        self.arrive(*arrived)

    @precondition(lambda self: self.transit)
    @rule(place=st.integers(0, 1000))
    def lose(self, place: int) -> None:
        self.transit.pop(place % len(self.transit))

    @precondition(lambda self: self.ever)
    @rule(place=st.integers(0, 1000))
    def replay(self, place: int) -> None:
        self.arrive(*self.ever[place % len(self.ever)])

    @rule(upwards=st.booleans())
    def replay_everything(self, upwards: bool) -> None:
        """A stranger who has recorded all of it plays one direction again, in order."""
        for arrived in self.ever[-60:]:
            if arrived[0] == upwards:
                self.arrive(*arrived)

    @rule()
    def speak_to_a_gateway_whose_answer_is_held_back(self) -> None:
        data = self.node.step(self.now)
        if data is not None:
            self.put(True, data)
            self.arrive(*self.transit.pop())

    @rule(rounds=st.integers(1, 4))
    def talk(self, rounds: int) -> None:
        """An exchange that goes well, or random runs would hardly leave the first hello."""
        for _ in range(rounds):
            data = self.node.step(self.now)
            if data is not None:
                self.put(True, data)
                self.transit.pop()
                held = len(self.transit)
                self.arrive(True, data)
                while len(self.transit) > held:
                    self.arrive(*self.transit.pop())
            self.now += 1

    @rule(seconds=st.sampled_from((1, 5, 11, 70)))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(
        operation=st.sampled_from((controls.SAMPLE, controls.SAMPLE, TURN_OVER)),
        seconds=st.sampled_from((3, 600)),
        arrives_after_s=st.sampled_from((None, 0, 5)),
    )
    def command(self, operation: int, seconds: int, arrives_after_s: int | None) -> None:
        if self.gateway.next_command == 14:  # fewer than the ids that a node keeps
            return
        self.talk(1)
        data = self.gateway.command(operation, self.now, seconds)
        self.put(False, data)
        if data is not None and arrives_after_s is not None:
            self.now += arrives_after_s
            self.arrive(*self.transit.pop())

    @rule()
    def the_gateway_repeats_its_commands(self) -> None:
        for again in self.gateway.repeat(self.now):
            self.put(False, again)
            self.arrive(*self.transit.pop())

    @rule(boot=st.booleans(), speaks=st.booleans())
    def node_starts(self, boot: bool, speaks: bool) -> None:
        self.now += 1
        self.node.start(self.now, boot)
        if speaks:
            self.speak()

    @rule()
    def numbers_are_skipped(self) -> None:
        """A slot was lost: what was heard before lies below the window from the next frame on."""
        self.node.next_seq = self.node.seq_limit = self.node.seq_limit + 70

    @rule()
    def node_is_wiped(self) -> None:
        self.now += 1
        self.node.wipe()
        self.node.started = self.now

    @rule()
    def gateway_restarts(self) -> None:
        self.gateway.restart()

    @rule()
    def gateway_loses_its_windows(self) -> None:
        self.gateway.restart()
        self.gateway.lives.lose()

    @invariant()
    def what_was_let_go_is_committed(self) -> None:
        node = self.node
        assert all((node.life, index) in self.gateway.records for index in node.let_go)
        held = {record.index for record in node.records}
        assert not held & node.let_go

    def teardown(self) -> None:
        self.transit.clear()
        self.now += 100
        self.node.start(self.now, True)
        for _ in range(40 + 4 * len(self.node.records)):
            if not self.node.records and self.node.session.state == session.REST:
                break
            self.talk(1)
            self.now += 1
        assert not self.node.records, "records wait for ever"
        assert self.node.epochs.epoch in (self.gateway.epochs.epoch, (self.gateway.epochs.epoch - 1) % 4)


TestLink = Link.TestCase
TestLink.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.soak
@pytest.mark.timeout(1800)
class TestLinkForLong(Link.TestCase):
    settings = settings(
        max_examples=10_000, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
    )
