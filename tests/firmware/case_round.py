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


def happen(bench, count):
    """So many events, each with a number of its own."""
    numbers = []
    for _ in range(count):
        numbers.append(bench.counters.take_index())
        bench.outbox.append(numbers[-1], [1767571200 + len(numbers), 0, {}, 5, 1, 0, b""])
    return numbers


def gathered(bench):
    """(numbers of events, how many reports) of one more day's round, in the order in which they were said."""
    new_day(bench)
    before = len(bench.gateway.messages)
    for frame in met(bench).gathered:
        bench.gateway.hear(frame)
    found = bench.gateway.messages[before:]
    return [message.index for message in found if hasattr(message, "code")], len(found)


def test_each_round_gets_every_event_that_still_waits():
    bench = Bench(Gateway()).confirmed()
    bench.take(3)
    wanted = happen(bench, 3)
    assert gathered(bench) == (wanted, 4)
    assert gathered(bench) == (wanted, 4), "the first file may be lost"
    (newer,) = happen(bench, 1)
    assert gathered(bench)[0] == [newer] + wanted  # noqa: RUF005  MicroPython
    assert bench.outbox.next_event() is not None
    new_day(bench)
    bench.wake()
    assert bench.exchange.events() and bench.outbox.next_event() is None, "until its gateway has them"


def test_many_events_leave_half_of_a_round_to_records_and_all_have_their_turn():
    bench = Bench(Gateway()).confirmed()
    wanted = happen(bench, 11)
    bench.take(300)
    said = []
    for _ in range(4):
        events, frames = gathered(bench)
        assert len(events) == 4 and frames == 8
        said += events
    assert set(said) == set(wanted), "each of them, in four rounds"
    assert len([index for index in bench.committed() if index > 10]) == 300


def test_events_alone_have_the_whole_of_a_round():
    bench = Bench(Gateway()).confirmed()
    wanted = happen(bench, 7)
    assert gathered(bench) == (wanted, 7)
    bench.take(60)
    assert gathered(bench)[1] == 8
    events, frames = gathered(bench)
    assert 0 < len(events) < frames
    assert [index for index in bench.committed() if index > 6] == list(range(7, 67))
