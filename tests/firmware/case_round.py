"""A technician's round: what a node says to who only gathers, what it keeps, and what the gateway makes of it later."""

from case_exchange import Bench
from rig import Gateway


class Laptop:
    """A link whose other end gathers and answers nothing."""

    noise = 0
    collects = True

    def __init__(self):
        self.gathered = []

    def send(self, data):
        self.gathered.append(data)

    def receive(self, timeout_ms):
        raise AssertionError("nobody answers: it must not wait")


def met(bench):
    """The exchange of a wake at which a laptop listens; returns the laptop."""
    bench.wake()
    laptop = Laptop()
    bench.exchange._link = laptop
    begin = bench.time.ticks_ms()
    assert bench.exchange.give()
    assert bench.time.ticks_ms() == begin, "it waits for nothing"
    return laptop


def new_day(bench):
    bench.pace.begin(bench.pace.day + 1, False)
    bench.pace.wait_intervals = 0


def test_where_no_round_is_nothing_is_given():
    bench = Bench(Gateway()).confirmed()
    bench.take(30)
    assert not bench.exchange.give() and bench.pace.level == 0


def test_what_waits_is_said_once_and_goes_on_waiting():
    gateway = Gateway()
    bench = Bench(gateway).confirmed()
    bench.take(60)
    laptop = met(bench)
    assert len(laptop.gathered) == 3
    assert bench.outbox.pending(100) == 60 and bench.pace.level == 1
    assert bench.committed() == []
    for frame in laptop.gathered:
        gateway.hear(frame)
    assert bench.committed() == list(range(60))
    assert bench.outbox.pending(100) == 60, "the node knows nothing of it"


def test_handed_in_its_reports_are_named_by_the_next_ack():
    gateway = Gateway()
    bench = Bench(gateway).confirmed()
    bench.take(60)
    laptop = met(bench)
    for frame in laptop.gathered + laptop.gathered:
        gateway.frames = []
        gateway.hear(frame)
    bench.take(10)
    new_day(bench)
    bench.wake()
    assert bench.exchange.reports(1)
    assert bench.outbox.pending(100) == 0 and bench.committed() == list(range(70))


def test_a_file_that_is_lost_loses_nothing():
    bench = Bench(Gateway()).confirmed()
    bench.take(60)
    met(bench)
    new_day(bench)
    bench.wake()
    assert bench.exchange.reports(1)
    assert bench.committed() == list(range(60)) and bench.outbox.pending(100) == 0


def test_rounds_go_on_where_the_last_ended_and_come_back_to_the_front():
    """More than a day's numbers can carry: eight reports a round, all of it in four, and then again."""
    gateway = Gateway()
    bench = Bench(gateway).confirmed()
    bench.take(700)
    rounds = []
    for _ in range(8):
        new_day(bench)
        laptop = met(bench)
        assert 0 < len(laptop.gathered) <= 8
        gateway.records = {}
        for frame in laptop.gathered:
            gateway.hear(frame)
        rounds.append(set(bench.committed()))
    everything = set(range(700))
    assert rounds[0] | rounds[1] | rounds[2] | rounds[3] == everything
    assert rounds[4] | rounds[5] | rounds[6] | rounds[7] == everything
    assert bench.outbox.pending(1000) == 700


def test_events_go_first():
    bench = Bench(Gateway()).confirmed()
    bench.take(5)
    index = bench.counters.take_index()
    bench.outbox.append(index, [1767571200, 0, {}, 5, 1, 0, b""])
    gateway = bench.gateway
    laptop = met(bench)
    before = len(gateway.messages)
    for frame in laptop.gathered:
        gateway.hear(frame)
    kinds = [type(message).__name__ for message in gateway.messages[before:]]
    assert kinds[0] == "Event" and "Report" in kinds
    assert bench.outbox.next_event() is not None, "it waits for its gateway"


def test_a_node_that_never_met_its_gateway_says_one_hello():
    gateway = Gateway()
    bench = Bench(gateway)
    bench.take(30)
    laptop = met(bench)
    assert len(laptop.gathered) == 1
    gateway.hear(laptop.gathered[0])
    assert type(gateway.messages[-1]).__name__ == "Hello" and gateway.records == {}


def test_a_round_spends_no_more_than_its_part_of_a_day():
    """Anybody can say that he is a round, as often as he likes: the gateway's part of the numbers stays."""
    bench = Bench(Gateway()).confirmed()
    bench.take(700)
    new_day(bench)
    met(bench)
    assert met(bench).gathered == []
    bench.wake()
    assert bench.exchange.reports(1)
    assert len(bench.committed()) == 4 * 24
