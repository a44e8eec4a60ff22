"""One exchange with a gateway's end that behaves, is silent, loses answers, restarts, or is somebody else."""

from rig import LIFE, UTC, Air, Gateway, Random, Time, folder, identity, read, write

from kerbnode.bin.pace import Pace
from kerbnode.clock import Clock
from kerbnode.counters import Counters
from kerbnode.exchange import Exchange
from kerbnode.outbox import MAX_RANGES, Outbox
from kerbwire import messages
from kerbwire.epochs import Epochs
from kerbwire.messages import Ack, Hello
from kerbwire.node_end import MAX_BAD_FRAMES, NodeEnd

SETTINGS = {"report_records": 24, "reports_per_wake": 8, "tries": 2, "ack_timeout_ms": 3000}


class Lines:
    def __init__(self):
        self.all = []

    def line(self, *words):
        self.all.append(words)

    def note(self, *words):
        self.all.append(("note",) + words)  # noqa: RUF005


class Bench:
    """Everything that an exchange is handed, over real flash files; `wake` starts the next one."""

    def __init__(self, gateway, **settings):
        self.gateway = gateway
        self.settings = dict(SETTINGS)
        self.settings.update(settings)
        self.journal = Lines()
        self.obeyed = []
        self.counters = Counters(folder(), 16, 32)
        self.counters.open()
        self.outbox = Outbox(folder() + "/outbox", 64, self.counters.declare_gap)
        self.counters.reboot(Random(), self.outbox.open)
        self.pace = Pace()
        self.wake()

    def wake(self):
        self.time = Time()
        self.time.feed = lambda: None
        self.air = Air(self.gateway, self.time)
        self.clock = Clock(self.time.ticks_ms, self.time.ticks_diff)
        me = identity()
        self.end = NodeEnd(me.node, Epochs(me.epoch, me.secret), self.counters.life, self.counters.take_seq)
        self.exchange = Exchange(
            end=self.end,
            link=self.air,
            hal=self.time,
            clock=self.clock,
            counters=self.counters,
            outbox=self.outbox,
            pace=self.pace,
            settings=self.settings,
            journal=self.journal,
            make_hello=self.make_hello,
            obey=lambda message, waited_s, order: self.obeyed.append(message),
        )

    def make_hello(self, challenge):
        gaps = list(self.counters.gaps)
        return Hello(0, "bench", "0", bytes(8), 0, self.counters.boot_count, bytes(8), 0, gaps, challenge)

    def take(self, count, boot=0, **values):
        for _ in range(count):
            index = self.counters.take_index()
            time = (UTC if not boot else 0) + 3600 * index
            self.outbox.append(index, [time, boot, values or {0: index % 101, 2: 40 + index % 7, 5: 0}])

    def confirmed(self):
        assert self.exchange.hello(True)
        return self

    def committed(self):
        assert self.gateway.trouble == []
        return sorted([index for life, index in self.gateway.records if life == self.counters.life])


def test_hello_answers_the_challenge_and_confirms_the_life():
    bench = Bench(Gateway(UTC))
    assert not bench.counters.confirmed
    assert bench.exchange.hello(True)
    assert bench.counters.confirmed
    assert [m.challenge is None for m in bench.gateway.messages] == [True, False]
    assert bench.clock.utc() == UTC
    assert bench.journal.all == [("sent", "hello", 0), ("sent", "hello", 1), ("confirmed", 1)]


def test_hello_of_a_known_life_is_answered_at_once_and_clears_its_gaps():
    bench = Bench(Gateway()).confirmed()
    bench.counters.declare_gap(3, 4)
    assert bench.exchange.hello(False)
    assert bench.gateway.messages[-1].gaps == [(3, 4)]
    assert bench.counters.gaps == [] and len(bench.air.sent) == 3


def test_what_the_gateway_said_of_this_wake_is_counted_beside_what_stayed_out():
    bench = Bench(Gateway())
    bench.confirmed()
    assert (bench.pace.heard, bench.pace.unheard) == (2, 0)  # its challenge, and its ack
    bench.take(3)
    bench.gateway.deaf = 99
    assert not bench.exchange.reports(3)
    assert (bench.pace.heard, bench.pace.unheard) == (2, 1)


def test_without_an_answer_hello_ends_in_time_and_backs_off():
    bench = Bench(Gateway())
    bench.gateway.deaf = 99
    assert not bench.exchange.hello(True)
    assert len(bench.air.sent) == 2 and bench.time.now_ms == 6000
    assert not bench.counters.confirmed
    assert bench.pace.wait_intervals == 1


def test_an_event_behind_a_hello_takes_it_along_on_the_frames_that_are_kept_for_events():
    bench = Bench(Gateway()).confirmed()
    bench.pace.spent = 12
    bench.wake()
    assert not bench.exchange.hello(False) and bench.air.sent == []
    bench.wake()
    assert bench.exchange.hello(False, True) and len(bench.air.sent) == 1


def test_a_lost_challenge_costs_a_try():
    bench = Bench(Gateway())
    bench.gateway.silent = 1
    assert bench.exchange.hello(True)
    assert [m.challenge is None for m in bench.gateway.messages] == [True, True, False]


def test_a_challenge_makes_the_near_form_forgotten_before_the_answer_leaves():
    """The gateway has lost what short reports are resolved from; the ack may be lost as well, and the node reset."""
    bench = Bench(Gateway(UTC)).confirmed()
    bench.take(24)
    assert bench.exchange.reports(bench.settings["report_records"]) and bench.outbox.near
    bench.gateway.windows.clear()
    bench.gateway.near.clear()
    answer = bench.gateway.answer

    def without_ack(life, seq, message):
        answers = answer(life, seq, message)
        return answers if message.challenge is None else []

    bench.gateway.answer = without_ack
    assert not bench.exchange.hello(False)
    after_reset = Outbox(folder() + "/outbox", 64, bench.counters.declare_gap)
    after_reset.open(bench.counters.life)
    assert after_reset.near is None
    bench.gateway.answer = answer
    bench.wake()
    bench.take(24)
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(48))


def test_a_gateway_that_only_challenges_is_left_alone():
    gateway = Gateway()
    gateway.answer = lambda life, seq, message: [gateway.seal(life, messages.Challenge(seq, b"%08d" % seq))]
    bench = Bench(gateway)
    assert not bench.exchange.hello(True)
    assert len(bench.air.sent) == 4


def test_a_day_of_records_goes_in_one_report():
    bench = Bench(Gateway(UTC)).confirmed()
    bench.take(24)
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(24))
    assert len(bench.air.sent) == 3
    assert bench.outbox.pending(100) == 0
    assert bench.journal.all[-2:] == [("sent", "report", 2), ("committed", 2)]
    report = bench.gateway.messages[-1]
    assert report.boot is None and [r.time for r in report.records] == [UTC + 3600 * i for i in range(24)]


def test_a_backlog_goes_in_full_reports_and_leaves_less_than_one():
    bench = Bench(Gateway()).confirmed()
    bench.take(110)
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(96))
    assert bench.outbox.pending(100) == 14
    assert [len(m.records) for m in bench.gateway.messages[2:]] == [24, 24, 24, 24]


def test_events_among_records_that_wait_are_said_once_however_many_there_are():
    """A node that starts again and again has a record and an event each time, and each ack is a stretch of its own."""
    bench = Bench(Gateway(UTC)).confirmed()
    for start in range(2 * MAX_RANGES):
        bench.take(1)
        bench.outbox.append(bench.counters.take_index(), [UTC + 7200 * start + 60, 0, {}, 5, 1, 0, b""])
        bench.wake()
        bench.pace.spent = 0
        while bench.outbox.next_event():
            assert bench.exchange.events() and len(bench.air.sent) < 4
        assert len(bench.outbox._acked) < MAX_RANGES
    assert len([line for line in bench.journal.all if line[:2] == ("sent", "event")]) == 2 * MAX_RANGES
    assert bench.gateway.trouble == []
    assert 0 < bench.outbox.pending(100) < MAX_RANGES
    again = Outbox(folder() + "/outbox", 64, bench.counters.declare_gap)
    bench.outbox.save()
    again.open(bench.counters.life)
    assert again.next_event() is None


def test_a_wake_sends_a_bounded_number_of_reports_and_a_day_of_frames():
    bench = Bench(Gateway(), report_records=1, reports_per_wake=3).confirmed()
    for _ in range(3):
        bench.take(1, **{})
        bench.counters.take_index()  # a hole: each record is a report of its own
    bench.take(2)
    assert bench.exchange.reports(bench.settings["report_records"])
    assert len(bench.air.sent) == 2 + 3
    bench.pace.spent = 11
    bench.wake()
    bench.take(1)
    bench.counters.take_index()
    bench.take(1)
    assert bench.exchange.reports(bench.settings["report_records"]) and len(bench.air.sent) == 1
    assert bench.pace.wait_intervals == 0


def test_law_3_a_lost_ack_costs_one_more_frame_under_a_new_number():
    bench = Bench(Gateway()).confirmed()
    bench.take(24)
    bench.gateway.silent = 1
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(24))
    assert bench.journal.all[-4:] == [
        ("sent", "report", 2), ("sent", "report", 3), ("committed", 2), ("committed", 3),
    ]  # fmt: skip


def test_law_3_an_ack_a_report_late_triggers_no_resend():
    bench = Bench(Gateway(), tries=1).confirmed()
    bench.take(24)
    bench.gateway.silent = 1
    assert not bench.exchange.reports(bench.settings["report_records"])
    bench.take(24)
    bench.wake()
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(48)) and bench.outbox.pending(100) == 0
    assert len(bench.air.sent) == 1


def test_law_3_a_lost_report_is_sent_again_after_the_one_that_arrived():
    bench = Bench(Gateway(), tries=1).confirmed()
    bench.take(24)
    bench.gateway.deaf = 1
    assert not bench.exchange.reports(bench.settings["report_records"])
    bench.take(24)
    bench.wake()
    assert bench.exchange.reports(bench.settings["report_records"])
    assert [m.records[0].index for m in bench.gateway.messages[2:]] == [24, 0]
    assert bench.committed() == list(range(48))


def test_silence_ends_the_exchange_and_nothing_is_lost():
    bench = Bench(Gateway()).confirmed()
    bench.take(60)
    bench.gateway.deaf = 99
    assert not bench.exchange.reports(bench.settings["report_records"])
    assert bench.time.now_ms <= 6000 + 1000
    assert bench.pace.level == 1 and bench.pace.unanswered == 2
    bench.gateway.deaf = 0
    bench.wake()
    bench.settings["report_records"] = 1
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(60))


def test_a_gateway_that_restarts_is_believed_again():
    bench = Bench(Gateway()).confirmed()
    bench.take(24)
    bench.gateway.restart(b"restored")
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.end.instance == b"restored"


def test_a_store_that_was_lost_is_told_by_hello():
    bench = Bench(Gateway()).confirmed()
    bench.gateway = bench.air.gateway = Gateway(instance=b"new card")
    bench.take(24)
    assert not bench.exchange.reports(bench.settings["report_records"])
    bench.wake()
    assert bench.exchange.hello(False) and bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(24))


def test_uptimes_go_with_the_boot_they_belong_to():
    bench = Bench(Gateway(), report_records=1).confirmed()
    bench.take(2, boot=1)  # this boot
    bench.take(2, boot=9)  # another one, of which nobody knows when it ended
    bench.take(2)
    assert bench.exchange.reports(bench.settings["report_records"])
    first, second, third = bench.gateway.messages[2:]
    assert (first.boot, first.uptime_now) == (1, bench.time.now_ms // 1000)
    assert (second.boot, second.uptime_now) == (9, second.records[-1].time)
    assert (third.boot, third.uptime_now) == (None, None)


def test_law_2_time_comes_from_the_answer_to_the_latest_frame_only():
    gateway = Gateway(UTC)
    bench = Bench(gateway).confirmed()
    bench.wake()
    held = []
    gateway.answer = lambda life, seq, message: held.append(seq) or []
    bench.take(24)
    assert not bench.exchange.reports(bench.settings["report_records"])
    bench.wake()
    first = bench.counters.next_seq
    gateway.answer = lambda life, seq, message: [gateway.seal(life, Ack(first, [first], UTC))] if seq > first else []
    assert not bench.exchange.reports(bench.settings["report_records"])
    assert bench.clock.utc() is None  # it echoed the frame before the latest


def test_law_10_strangers_end_the_window_after_eight_frames():
    bench = Bench(Gateway()).confirmed()
    bench.take(24)
    bench.gateway.answer = lambda life, seq, message: [b"noise that is no frame"] * 20
    bench.time.now_ms = 0
    assert not bench.exchange.reports(bench.settings["report_records"])
    assert sum(bench.end.refused.values()) == 2 * MAX_BAD_FRAMES
    assert bench.time.now_ms == 2 * MAX_BAD_FRAMES * bench.air.delay_ms


def test_an_answer_among_noise_is_found():
    bench = Bench(Gateway())
    hear = bench.gateway.hear
    bench.gateway.hear = lambda data: [b"", b"noise", data] + hear(data)  # noqa: RUF005
    assert bench.exchange.hello(True)


def test_a_record_that_no_report_can_carry_does_not_block_the_others():
    bench = Bench(Gateway(), report_records=1).confirmed()
    bench.take(2)
    bench.take(1, **{})
    bench.outbox.append(bench.counters.take_index(), [UTC + 10**6, 0, {0: 5000}])
    bench.outbox.append(bench.counters.take_index(), [UTC + 2 * 10**6, 0, {0: 50}])
    bench.settings["reports_per_wake"] = 16
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == [0, 1, 2, 4]
    assert bench.counters.gaps == [[3, 1]] and bench.outbox.dropped == 1


def test_reports_too_long_for_a_frame_are_split():
    bench = Bench(Gateway(), report_records=1).confirmed()
    for i in range(48):  # all channels, no two values alike
        values = {0: i * 37 % 101, 1: i * 5077 % 12001, 2: i * 91 % 250, 3: i * 771 % 2000, 5: i * 31337 % 65536}
        index = bench.counters.take_index()
        bench.outbox.append(index, [UTC + 3600 * i + i * i * 17, 0, values])
    bench.settings["reports_per_wake"] = 16
    assert bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(48))
    assert len(bench.air.sent) > 3


def test_law_5_a_report_that_is_refused_eight_times_is_set_aside_on_flash():
    bench = Bench(Gateway(), report_records=1, tries=1).confirmed()
    bench.take(1)  # the one that this gateway will never take
    bench.counters.take_index()
    answer = bench.gateway.answer

    def picky(life, seq, message):
        return [] if getattr(message, "records", None) and message.records[0].index == 0 else answer(life, seq, message)

    bench.gateway.answer = picky
    bench.settings["reports_per_wake"] = 2
    for _ in range(9):
        assert bench.outbox.aside == []
        bench.take(1)
        bench.counters.take_index()
        bench.pace.spent = 0
        bench.exchange.reports(1)  # a new record, which is committed, and the old one, which is not
        bench.wake()
    assert bench.outbox.aside == [[0, 1]] and bench.outbox.pending(100) == 0
    assert ("note", "set aside", 1, "records from", 0) in bench.journal.all
    bench.outbox.save()
    again = Outbox(folder() + "/outbox", 64, bench.counters.declare_gap)
    again.open(bench.counters.life)
    assert again.aside == [[0, 1]] and again.next_run(48) == []
    bench.gateway.answer = answer  # a boot tries it again, and this time the gateway is a newer one
    assert bench.exchange.hello(True) and bench.exchange.reports(bench.settings["report_records"])
    assert bench.committed() == list(range(0, 20, 2)) and bench.outbox.aside == []


def test_a_challenge_is_no_answer_to_a_report():
    gateway = Gateway()
    bench = Bench(gateway).confirmed()
    bench.take(24)
    gateway.answer = lambda life, seq, message: [gateway.seal(life, messages.Challenge(seq, b"12345678"))]
    assert not bench.exchange.reports(bench.settings["report_records"])
    assert len(bench.air.sent) == 4 and bench.pace.unanswered == 2 and bench.pace.level == 1
    bench.wake()
    assert not bench.exchange.reports(bench.settings["report_records"])
    assert bench.pace.needs_hello()


def test_a_challenge_to_an_earlier_hello_is_not_answered():
    gateway = Gateway()
    bench = Bench(gateway)
    asked = []

    def late(life, seq, message):
        asked.append((seq, message.challenge))
        return [gateway.seal(life, messages.Challenge(asked[0][0], b"12345678"))] if len(asked) > 1 else []

    gateway.answer = late
    assert not bench.exchange.hello(True)
    assert asked == [(0, None), (1, None)]


def test_reports_of_one_earlier_boot_are_dated_by_its_newest_record():
    bench = Bench(Gateway(), report_records=1).confirmed()
    bench.take(30, boot=9)
    bench.take(2)
    assert bench.exchange.reports(bench.settings["report_records"])
    ends = [m.uptime_now for m in bench.gateway.messages[2:]]
    newest = bench.gateway.messages[3].records[-1].time
    assert ends == [newest, newest, None]
    assert newest == max([r.time for m in bench.gateway.messages[2:4] for r in m.records])


def test_what_was_refused_is_told_in_one_line():
    gateway = Gateway()
    bench = Bench(gateway).confirmed()
    bench.exchange.tell()
    assert bench.journal.all[-1][0] == "confirmed"
    bench.take(24)
    hear = gateway.hear
    gateway.hear = lambda data: [b"noise of some length"] * 2 + [gateway.seal(LIFE, Ack(0, []))] + hear(data)
    assert bench.exchange.reports(bench.settings["report_records"])
    bench.air.noise = 5
    bench.end.skipped = 1
    bench.exchange.tell(7)
    counts = bench.end.refused
    told = [f"{reason} {counts[reason]}" for reason in sorted(counts)]
    assert sum(counts.values()) == 3
    told = ["note", "refused"] + told + ["skipped 1", "noise 5", "ranger 7"]  # noqa: RUF005
    assert list(bench.journal.all[-1]) == told
    bench.end.refused = {}
    bench.end.skipped = bench.air.noise = 0
    lines = len(bench.journal.all)
    bench.exchange.tell()
    assert len(bench.journal.all) == lines


def test_records_behind_one_that_rotted_on_flash_are_declared_and_the_rest_is_committed():
    bench = Bench(Gateway(), report_records=1).confirmed()
    bench.take(70)
    path = bench.outbox._path(0)
    data = read(path)
    write(path, data[:60] + bytes([data[60] ^ 1]) + data[61:])
    bench.outbox = Outbox(folder() + "/outbox", 64, bench.counters.declare_gap)
    bench.outbox.open(bench.counters.life)
    bench.wake()
    assert bench.exchange.reports(bench.settings["report_records"])
    lost = bench.counters.gaps[0]
    assert bench.committed() == list(range(lost[0])) + list(range(32, 70))
    assert lost == [lost[0], 32 - lost[0]] and bench.outbox.dropped == 1
