"""Two ends over a link that loses, doubles, delays, reorders and replays, while either end reboots.

The ends are those of kerbwire: Session, NodeEnd, Flights, Epochs and Commands on one side; Lives and Epochs on the
other. What is flash or a store here is a plain object that outlives them. Whatever happens, at every step:

    no nonce repeats under a key
    what the node lets go of is committed; nothing is committed twice; an index stands for one record
    nothing old moves the node: no downlink counts twice or from before its start, no time is off by more than 10 s,
    no command is obeyed twice or after its expiry
    no report that is committed says so little of its index and time that it cannot be resolved, or is resolved wrongly

and in the end, on a link that behaves, everything taken is committed.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from session_ends import NODE, SECRET, TURN_OVER, UTC, Gateway, Node, Numbers

from kerbwire import controls, frame, messages, seal, session


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
        self.gateway.lose()

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


def exchange(node: Node, gateway: Gateway, now: int) -> list[bytes]:
    """Frames back and forth until the node has nothing more to say; returns the node's."""
    sent: list[bytes] = []
    for _ in range(12):
        data = node.step(now)
        if data is None:
            return sent
        sent.append(data)
        answer = gateway.take(data, now)
        if answer is not None:
            node.receive(answer, now)
    raise AssertionError("no end")


def messages_of(node: Node, frames: list[bytes]) -> list[bytes]:
    key = seal.uplink_key(SECRET, NODE, node.life)
    return [key.open(data, frame.parse(data)) for data in frames]


def test_law_4_a_restored_store_challenges_and_its_node_begins_anew() -> None:
    """A report in the near form needs a record that both ends know: after a challenge there is none."""
    numbers = Numbers()
    node, gateway = Node(numbers), Gateway(numbers)
    node.sample(3, 0)
    first = messages_of(node, exchange(node, gateway, 1))
    assert [messages.is_short(body) for body in first] == [False, False, False] and not node.records
    node.sample(2, 5)
    assert [messages.is_short(body) for body in messages_of(node, exchange(node, gateway, 6))] == [True]
    assert node.near == (4, UTC + 300) == gateway.newest[node.life]

    gateway.lose()
    node.sample(1, 10)
    short = messages_of(node, [node.step(11) or b""])
    assert messages.is_short(short[0]) and gateway.lives.current() is None
    node.start(12, boot=True)
    again = exchange(node, gateway, 13)
    kinds = [(body[1], messages.is_short(body)) for body in messages_of(node, again)]
    assert kinds == [(messages.HELLO, False), (messages.HELLO, False), (messages.REPORT, False)]
    assert node.near == (5, UTC + 600) == gateway.newest[node.life] and not node.records
    node.sample(1, 20)
    assert [messages.is_short(body) for body in messages_of(node, exchange(node, gateway, 21))] == [True]
    assert {record.time for record in gateway.records.values()} == {UTC + 60 * now for now in (0, 5, 10, 20)}


def test_a_reference_is_forgotten_though_the_challenge_was_all_that_arrived() -> None:
    """The gateway opens the life with the hello whose ack is lost; a wake later the node reports, and is understood."""
    numbers = Numbers()
    node, gateway = Node(numbers), Gateway(numbers)
    node.sample(1, 0)
    exchange(node, gateway, 1)
    gateway.lose()
    node.start(2, boot=True)
    node.receive(gateway.take(node.step(3) or b"", 3) or b"", 3)  # hello, challenge
    assert gateway.take(node.step(4) or b"", 4) is not None  # the hello that returns it; its ack is lost
    node.start(5, boot=False)
    node.sample(1, 5)
    (report,) = exchange(node, gateway, 6)
    assert not messages.is_short(messages_of(node, [report])[0]) and not node.records


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
