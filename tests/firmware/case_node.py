"""Whole wakes with events, commands, settings from afar, and starts that fail: the board of case_app, and its gateway."""

import json
import sys

from case_app import Board
from rig import BOARD, PICO, UTC, Gateway, read, write

from kerbnode import brief, config, log
from kerbnode.bin import pace
from kerbnode.bin.closing import MAX_CHECKS
from kerbnode.bin.node import SAFE_FAILURES, SAFE_TRY
from kerbwire import controls, messages
from kerbwire.channels import FAULT, FILL, TEMPERATURE
from kerbwire.controls import Command, Log, Result
from kerbwire.events import EMPTIED, FIRE, SAFE_MODE, SENSOR_FAULT, Event

HOUR_S = 3600


class Asking(Gateway):
    """A gateway with something to ask: each ack is followed by the first of `asks` that is not answered yet."""

    def __init__(self, utc_s=UTC):
        self.asks = []
        self.results = []
        self.events = []
        self.logs = []
        Gateway.__init__(self, utc_s)

    def answer(self, life, seq, message):
        if isinstance(message, Result):
            self.results.append((message.ident, message.status, message.detail))
            self.asks = [ask for ask in self.asks if ask.ident != message.ident]
        elif isinstance(message, Event):
            self.events.append(message)
            self.records[(life, message.index)] = message
        elif isinstance(message, Log):
            self.logs.append(message)
        answers = Gateway.answer(self, life, seq, message)
        if answers and self.asks and not isinstance(message, messages.Hello):
            window = self.windows[life]
            self.next_seq -= 1
            ask = self.asks[0]
            ask.echo = window.top
            return [
                self.seal(life, messages.Ack(window.top, window.newest(8), self.utc_s, True)),
                self.seal(life, ask),
            ]
        return answers


class Losing(Asking):
    """Of so many results that come it hears nothing."""

    losses = 1

    def answer(self, life, seq, message):
        if isinstance(message, Result) and self.losses:
            self.losses -= 1
            return []
        return Asking.answer(self, life, seq, message)


class CutError(BaseException):
    """The power is gone: nothing of ours catches that."""


def order(ident, operation, *arguments):
    return Command(0, ident, operation, list(arguments), UTC + 90 * 86400, 86400)


def told(board, hours):
    """Events by (code, state) that the gateway hears of in so many hours of wakes."""
    before = len(board.gateway.events)
    end = board.true_ms + hours * HOUR_S * 1000
    while board.true_ms < end:
        board.start()
    return [(event.code, event.state) for event in board.gateway.events[before:]]


def bin_of(name="node", facts=BOARD, **settings):
    return Board(facts, Asking(), name, json.dumps(settings) if settings else None)


def test_what_happens_is_told_at_once_and_what_waits_goes_along():
    for facts in (BOARD, PICO):
        board = bin_of(facts["port"], facts)
        board.machine.range_mm = 700  # 52 %
        assert told(board, 5) == []
        assert len(board.gateway.records) == 0
        board.machine.range_mm = 1180
        assert told(board, 2) == [(EMPTIED, 0)]
        (event,) = board.gateway.events
        assert event.values[FILL] == 2 and event.time % HOUR_S < 300  # the check came minutes after the sample
        assert event.index == max(index for _, index in board.gateway.records) or len(board.gateway.records) > 6
        assert board.gateway.trouble == []


def test_an_event_is_on_flash_before_it_leaves_and_is_told_after_a_power_cut():
    board = bin_of()
    told(board, 3)
    board.gateway.deaf = 10**6
    board.machine.range_mm = 1180
    for _ in range(8):
        board.start()
        if board.said("event"):
            break
    assert board.said("event")[0][3:] == [str(EMPTIED), "0"] and board.gateway.events == []
    board.power_cut()
    board.gateway.deaf = 0
    assert told(board, 1) == [(EMPTIED, 0)]
    assert told(board, 30) == []  # once


def test_an_event_that_nobody_hears_is_tried_a_few_times_soon_and_then_as_reports_are():
    board = bin_of()
    told(board, 3)
    board.gateway.deaf = 10**6
    board.machine.range_mm = 1180
    sent = []
    end = board.true_ms + 5 * 86400 * 1000
    while board.true_ms < end:
        board.start()
        sent += [board.true_ms] * len(board.said("sent"))
    assert sent[5] - sent[0] < HOUR_S * 1000  # two frames an exchange: three exchanges within the hour
    assert sent[6] - sent[0] > HOUR_S * 1000
    assert len(sent) <= 5 * pace.MAX_FRAMES_A_DAY and len(sent) < 40
    board.gateway.deaf = 0
    assert (EMPTIED, 0) in told(board, 48)


def test_full_in_sight_is_reported_before_the_day_is_over():
    board = bin_of("rising", soon_records=4)
    board.machine.range_mm = 1000
    told(board, 1)
    for _ in range(6):
        board.machine.range_mm -= 30  # 3 % an hour
        board.start()
    assert 4 <= len(board.gateway.records) < 12
    level = bin_of("level", soon_records=4)
    told(level, 8)
    assert len(level.gateway.records) == 0


def test_a_dead_ranger_is_an_event_with_its_evidence():
    board = bin_of()
    told(board, 3)
    board.machine._echoes = lambda: b""
    assert told(board, 6) == [(SENSOR_FAULT, 0)]
    assert board.gateway.events[0].values[FILL] == FAULT


def test_checks_in_a_row_are_bounded_however_wild_the_level_is():
    board = bin_of()
    told(board, 2)
    wakes = 0
    end = board.true_ms + 4 * HOUR_S * 1000
    while board.true_ms < end:
        board.machine.range_mm = (300, 1150, 700)[wakes % 3]
        board.start()
        wakes += 1
    assert wakes <= 4 * (1 + MAX_CHECKS) + 1


def test_law_6_a_command_is_obeyed_once_and_answered_each_time():
    board = bin_of("once", report_records=1)
    told(board, 2)
    ask = order(77, controls.SAMPLE)
    board.gateway.asks = [ask]
    taken = len(board.gateway.records)
    board.start()
    assert len(board.said("taken")) == 2 and len(board.gateway.records) == taken + 2
    index = int(board.said("taken")[1][2])
    assert board.gateway.results == [(77, controls.APPLIED, index)]
    board.gateway.asks = [ask]  # as if its result had not come
    board.start()
    assert len(board.said("taken")) == 1
    assert board.gateway.results == [(77, controls.APPLIED, index)] * 2
    assert board.gateway.trouble == []


def test_a_self_test_by_command_says_which_checks_failed_and_the_log_why():
    board = bin_of("tested", report_records=1)
    told(board, 2)
    board.gateway.asks = [order(1, controls.SELF_TEST)]
    board.start()
    assert board.gateway.results == [(1, controls.APPLIED, 1)]  # a rig has no bundle.json
    assert controls.failed_checks(1) == ["firmware"]
    assert ["self-test:", "firmware", "fail,"] in [line[1:4] for line in board.said("note")]
    board.machine._echoes = lambda: b""
    board.gateway.asks = [order(2, controls.SELF_TEST)]
    board.start()
    ((_, status, detail),) = board.gateway.results[1:]
    assert status == controls.APPLIED and controls.failed_checks(detail) == ["firmware", "distance"]
    assert ["self-test:", "distance", "fail,", "silent,", "raw", "0"] in [line[1:7] for line in board.said("note")]
    assert controls.failed_checks(1 << controls.CHECK_OF_ELSE) == ["another"]


def test_what_is_obeyed_off_the_air_is_told_again_where_its_result_was_lost_and_not_done_again():
    board = Board(BOARD, Losing(), "lost", json.dumps({"report_records": 1}))
    told(board, 2)
    board.gateway.asks = [order(1, controls.SELF_TEST)]
    board.start()
    assert board.said("sent")[-1][1] == "result" and board.gateway.results == []
    assert [line[2:4] for line in board.said("note")].count(["firmware", "fail,"]) == 1
    board.start()
    assert board.gateway.results == [(1, controls.APPLIED, 1)]
    assert board.said("note") == [] and board.gateway.trouble == []


def test_a_power_cut_while_an_order_is_obeyed_off_the_air_interrupts_it_for_good():
    for operation in (controls.SAMPLE, controls.SELF_TEST):
        board = bin_of(f"cut{operation}", report_records=1)
        told(board, 2)
        plain = board.machine._echoes

        def echoes():
            if board.said("committed"):  # noqa: B023
                raise CutError
            return plain()  # noqa: B023

        board.machine._echoes = echoes
        board.gateway.asks = [order(1, operation)]
        try:
            board.start()
            raise AssertionError("the power was not cut")
        except CutError:
            board.power_cut()
        board.machine._echoes = plain
        assert board.said("obeyed") == [] and [line[1] for line in board.said("sent")] == ["report"]
        told(board, 2)
        assert board.gateway.results == [(1, controls.INTERRUPTED, None)] and board.gateway.trouble == []


def test_orders_behind_one_that_is_obeyed_off_the_air_come_after_it():
    board = bin_of("behind", report_records=1)
    told(board, 2)
    board.gateway.asks = [order(1, controls.SELF_TEST), order(2, controls.SAMPLE), order(3, controls.RESTART)]
    board.start()
    index = int(board.said("taken")[1][2])
    assert board.gateway.results == [
        (1, controls.APPLIED, 1),
        (2, controls.APPLIED, index),
        (3, controls.APPLIED, None),
    ]
    assert index in [record for _, record in board.gateway.records] and board.machine.slept_ms == 0


def test_a_day_without_numbers_left_tells_what_was_obeyed_off_the_air_on_the_next():
    board = bin_of("spent", report_records=1, ack_timeout_ms=8000)  # 6 frames a day, of which reports spend 2
    told(board, 2)
    board.gateway.asks = [order(ident, controls.SELF_TEST) for ident in range(1, 7)]
    told(board, 30)
    assert [ident for ident, _, _ in board.gateway.results] == [1, 2, 3, 4, 5, 6] and board.gateway.trouble == []


def test_a_command_after_its_expiry_an_unknown_one_and_more_than_one():
    board = bin_of("many", report_records=1)
    told(board, 2)
    late = Command(0, 1, controls.SAMPLE, [], UTC, 86400)
    board.gateway.asks = [late, order(2, 60, 5), order(3, controls.IDENTIFY, 2), order(4, controls.RELEASE)]
    board.start()
    assert [status for _, status, _ in board.gateway.results] == [
        controls.EXPIRED, controls.UNSUPPORTED, controls.UNSUPPORTED, controls.UNSUPPORTED,
    ]  # fmt: skip
    assert len(board.said("taken")) == 1 and board.gateway.asks == []


def test_identify_blinks_where_there_is_a_light():
    board = bin_of("light", dict(BOARD, led=8), report_records=1)
    told(board, 1)
    board.gateway.asks = [order(3, controls.IDENTIFY, 30)]
    before = board.true_ms
    board.start()
    assert board.gateway.results == [(3, controls.APPLIED, None)]
    assert board.machine.Pin.levels[8] == 0 and board.time.now_ms == 0 and board.true_ms > before
    assert board.machine.longest_unfed_ms < 11000


def test_restart_is_answered_first_and_comes_once():
    board = bin_of("again", report_records=1)
    told(board, 2)
    board.gateway.asks = [order(9, controls.RESTART)]
    board.start()
    assert board.gateway.results == [(9, controls.APPLIED, None)] and board.machine.slept_ms == 0
    board.power_cut()
    board.start()
    assert board.said("boot")[0][4] != "deep_sleep" and board.machine.slept_ms > 0
    assert told(board, 3) == []
    assert board.gateway.results == [(9, controls.APPLIED, None)]


def test_resend_brings_what_the_node_still_holds():
    board = bin_of("resend", report_records=4)
    told(board, 9)
    known = sorted(index for _, index in board.gateway.records)
    life = next(iter(board.gateway.records))[0]
    board.gateway.records.clear()  # a store that was restored
    board.gateway.asks = [order(5, controls.RESEND, known[1], 5)]
    told(board, 5)
    assert board.gateway.results == [(5, controls.APPLIED, 5)]
    assert {(life, index) for index in known[1:6]} <= set(board.gateway.records)
    assert board.gateway.trouble == []


def test_the_log_comes_by_boot_and_line():
    board = bin_of("log", report_records=1, no_such_setting=1)
    told(board, 1)
    board.gateway.asks = [order(6, controls.SEND_LOG, 1, 1), order(7, controls.SEND_LOG, 99, 0)]
    board.start()
    assert board.gateway.results == [(6, controls.APPLIED, 1), (7, controls.APPLIED, 0)]
    (piece,) = board.gateway.logs
    assert (piece.boot, piece.line, piece.dropped) == (1, 1, None)
    lines = piece.data.split(b"\n")
    assert lines[0].startswith(b"note counters") or lines[0].startswith(b"boot")


def test_lines_that_the_ring_has_overwritten_are_counted():
    board = bin_of("ring")
    for number in range(300):
        log.append(board.folder, number, [f"note number {number}"], 1)
    pieces = log.pieces(board.folder, 1, 5, controls.MAX_LOG)
    assert pieces[0][0] > 5 and pieces[0][1].startswith(b"note number %d\n" % pieces[0][0])
    sent = []
    from kerbnode import orders

    assert orders.send_log(board.folder, lambda kind, message: sent.append(message), 1, 5)[1] == orders.MAX_LOGS
    assert sent[0].dropped == pieces[0][0] - 5 and [piece.dropped for piece in sent[1:]] == [None] * 7


def test_ten_failed_starts_are_safe_mode_which_still_talks_and_tries_again():
    board = bin_of("safe", report_records=1)
    told(board, 2)
    board.facts = dict(BOARD, sensors={"distance": {"driver": "none"}})
    crashes = []
    for _ in range(SAFE_FAILURES):
        board.start()
        crashes.append([line for line in board.said("note") if line[1] == "crash"] != [])
    assert crashes == [True] * SAFE_FAILURES
    board.start()
    assert not [line for line in board.said("note") if line[1] == "crash"] and not board.said("taken")
    assert board.machine.slept_ms <= 3600 * 1000
    assert [event.code for event in board.gateway.events] == [SAFE_MODE]
    board.facts = BOARD
    for _ in range(2 * SAFE_TRY):
        board.start()
        if board.said("taken"):
            break
    assert board.said("taken")
    assert [event.code for event in board.gateway.events] == [SAFE_MODE]


def test_the_lines_of_a_crash_travel_with_the_next_hello():
    board = bin_of("told")
    told(board, 1)
    board.facts = dict(BOARD, sensors={"distance": {"driver": "none"}})
    board.start()
    board.facts = BOARD
    board.start()
    assert [b"note crash 1 ValueError" in piece.data for piece in board.gateway.logs][-1]
    assert board.gateway.logs[-1].boot == 1


class Bus:
    """A DS18B20 in the place of onewire and ds18x20."""

    half_c = 30

    def __init__(self, wire=None):
        self.ow = self

    def readbyte(self):
        return 0

    def convert_temp(self):
        pass

    def scan(self):
        return [b"part one"]

    def read_temp(self, rom):
        return Bus.half_c / 2


class Modules:
    OneWire = Bus
    DS18X20 = Bus


def warm(name, facts=BOARD):
    """A bin with a thermometer."""
    for module in ("ds18x20", "onewire"):
        sys.modules[module] = Modules
    sensors = dict(facts["sensors"])
    sensors["temperature"] = {"driver": "ds18b20", "pin": 7}
    Bus.half_c = 30
    return bin_of(name, dict(facts, sensors=sensors))


def test_between_samples_a_wake_takes_the_temperature_and_writes_nothing():
    for facts in (BOARD, PICO):
        board = warm(facts["port"], facts)
        board.start()
        files = {name: read(board.folder + "/" + name) for name in ("counters.0", "counters.1", "brief", "plan")}
        wakes = 0
        while True:
            board.start()
            if board.said("boot"):
                break
            wakes += 1
            assert board.lines == [] and 115000 < board.machine.slept_ms <= 181000
        assert 27 <= wakes <= 30 and board.said("taken")[0][3] == str(UTC + HOUR_S)
        assert {name: read(board.folder + "/" + name) for name in files} == files


def test_a_fire_is_told_within_five_minutes():
    for facts in (BOARD, PICO):
        board = warm("fire" + facts["port"], facts)
        told(board, 2)
        began_ms = board.true_ms
        Bus.half_c = 200
        while not board.gateway.events and board.true_ms < began_ms + HOUR_S * 1000:
            board.start()
        (event,) = board.gateway.events
        assert event.code == FIRE and event.values[TEMPERATURE] == 200
        assert board.true_ms - board.machine.slept_ms - began_ms <= 300000
        assert told(board, 1) == []
        Bus.half_c = 30
        assert told(board, 2) == [(FIRE, 2)]


def test_the_files_for_short_wakes_follow_the_node_and_may_be_lost():
    board = warm("file")
    board.start()
    assert brief.settings(board.folder) == config.parse("{}")[0]
    known = read(board.folder + "/brief"), read(board.folder + "/plan")
    for name in ("brief", "plan"):
        for damage in (known[0][:-1], b"", known[0][:4] + b"{}", bytes(40)):
            write(board.folder + "/" + name, damage)
            for _ in range(40):
                board.start()
                assert board.said("boot")[0][4] == "deep_sleep" if board.said("boot") else name == "plan"
                assert not board.said("note")
                if (read(board.folder + "/brief"), read(board.folder + "/plan"))[name == "plan"] != damage:
                    break
            assert brief.settings(board.folder)["heat_s"] == 120 and brief.plan(board.folder)
    assert board.gateway.trouble == []


def test_a_pin_that_wakes_the_board_is_a_sample_at_once_and_the_clock_stays_right():
    board = bin_of("pin")
    board.start()
    wake = board.machine.wake

    def early():
        board.machine.slept_ms = 600000
        wake()
        board.true_ms = 0

    due_ms = board.machine.slept_ms
    board.time.rtc_s -= (due_ms - 600000) // 1000  # ten minutes into its sleep
    board.true_ms -= due_ms - 600000
    board.start()
    assert board.said("boot")[0][4] == "deep_sleep" and not board.said("taken")
    board.start()
    assert board.said("taken")[0][3] == str(UTC + HOUR_S)
