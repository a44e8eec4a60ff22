"""Wakes that only sample: they leave behind what a long wake would, and need less for it."""

import json
import os

from case_app import Board
from case_node import Asking, warm
from rig import BOARD, PICO, UTC, read, write

from kerbnode import brief, retained
from kerbnode.bin import heat
from kerbwire.events import EMPTIED

# Millimetres hour by hour: rising, full, emptied, jumps that no second sample confirms, nothing, wild.
LEVELS = [1000, 960, 910, 850, 700, 500, 300, 260, 255, 1180, 1170, 600, 1165, 1160, 0, 0, 1150, 400, 900, 1100, 1100]


class Listing:
    """A console without the life, which is drawn."""

    def __init__(self):
        self.lines = []

    def hear(self, board):
        for words in board.lines:
            if words[0] in ("boot", "taken", "event"):
                words = words[:1] + words[2:]
            self.lines.append(" ".join(words))


def lived(name, facts, hours, before_each, **settings):
    """What a bin said, and what its gateway has, after some hours."""
    board = Board(facts, Asking(), name, json.dumps(settings))
    said = Listing()
    end_ms = board.true_ms + hours * 3600000
    first_ms = board.true_ms
    while board.true_ms < end_ms:
        board.machine.range_mm = LEVELS[(board.true_ms - first_ms) // 3600000 % len(LEVELS)]
        before_each(board)
        board.start()
        said.hear(board)
    assert board.gateway.trouble == []
    records = board.gateway.records
    return said.lines, sorted([(index, records[life, index].time) for life, index in records])


def forget_plan(board):
    try:  # noqa: SIM105  contextlib is not on boards
        os.remove(board.folder + "/plan")
    except OSError:
        pass


def test_short_wakes_and_long_ones_say_and_keep_the_same():
    for facts, settings in ((BOARD, {}), (PICO, {"report_records": 5, "soon_records": 3, "check_s": 60})):
        short = lived(facts["port"], facts, 30, lambda board: None, heat_s=0, **settings)
        assert short == lived(facts["port"] + "long", facts, 30, forget_plan, heat_s=0, **settings)


def test_they_say_the_same_while_the_gateway_is_silent_and_when_it_comes_back():
    def deaf(board):
        board.gateway.deaf = 100 * int(5 * 3600000 < board.true_ms - UTC * 1000 < 15 * 3600000)

    for name, more in (("short", deaf), ("long", lambda board: (deaf(board), forget_plan(board)))):
        found = lived(name, BOARD, 30, more, heat_s=0, report_records=4)
        if name == "short":
            short = found
    assert short == found


def test_a_short_wake_reads_the_brief_the_plan_and_one_segment_and_adds_to_that():
    board = warm("few")
    board.start()
    board.start()
    while not board.said("taken"):
        board.start()
    os.remove(board.folder + "/identity.cbor")  # without it a long wake ends at the REPL
    files = {name: read(board.folder + "/" + name) for name in ("brief", "plan", "counters.0", "counters.1")}
    taken = 0
    while taken < 4:
        board.start()
        taken += len(board.said("taken"))
        assert board.machine.slept_ms and not board.said("note")
    assert {name: read(board.folder + "/" + name) for name in files} == files


def test_a_plan_of_other_counters_is_left_alone():
    board = Board(BOARD, Asking(), "other", '{"heat_s": 0}')
    for _ in range(3):
        board.start()
    stale = read(board.folder + "/plan")
    board.power_cut()
    board.start()
    board.start()
    write(board.folder + "/plan", stale)
    board.start()
    taken = board.said("taken")[0]
    assert board.said("boot")[0][3] == taken[2] and read(board.folder + "/plan") != stale
    assert board.gateway.trouble == []


def test_a_segment_that_is_damaged_is_left_to_a_long_wake():
    board = Board(BOARD, Asking(), "torn", '{"heat_s": 0}')
    for _ in range(4):
        board.start()
    life = board.said("boot")[0][1]
    path = board.folder + "/outbox/" + life + "/00000000"
    write(path, read(path)[:-3])
    board.start()
    assert board.said("taken")[0][2] == "4"
    assert sorted(os.listdir(board.folder + "/outbox/" + life)) in (
        ["00000000", "00000004"], ["00000000", "00000004", "state"],
    )  # fmt: skip


def test_a_rise_that_reaches_full_within_the_forecast_is_due():
    settings = {"full_percent": 90, "forecast_h": 24}
    assert brief.rises(settings, 50, 40, 3600) and not brief.rises(settings, 50, 49, 3600)
    assert not brief.rises(settings, 92, 40, 3600) and not brief.rises(settings, None, 40, 3600)
    assert not brief.rises(settings, 50, -1, 3600) and not brief.rises(settings, 50, 40, 0)
    assert not brief.rises(settings, 50, 40, 5 - brief.NONE)


def bin_after(name, hours, facts=BOARD):
    board = Board(facts, Asking(), name, '{"heat_s": 0}')
    for _ in range(hours):
        board.start()
    return board


def contents(board):
    return {name: read(board.folder + "/" + name) for name in ("brief", "plan", "counters.0", "counters.1")}


def test_a_wake_that_looks_again_and_finds_nothing_is_short_and_writes_nothing():
    for facts in (BOARD, PICO):
        board = bin_after(facts["port"], 4, facts)
        board.machine.range_mm = 300
        board.start()
        assert board.said("taken") and board.machine.slept_ms <= 300000
        os.remove(board.folder + "/identity.cbor")  # without it a long wake ends at the REPL
        board.machine.range_mm = 800
        files = contents(board)
        board.start()
        assert board.machine.slept_ms > 300000 and board.said("boot") and len(board.lines) == 1
        assert contents(board) == files
        board.start()
        assert board.said("taken")[0][3] == str(UTC + 5 * 3600)


def test_what_it_finds_is_kept_and_told_by_a_long_wake():
    board = bin_after("emptied", 4)
    board.machine.range_mm = 1180
    board.start()
    taken = board.said("taken")[0]
    board.start()
    event = board.said("event")[0]
    assert not board.said("taken") and int(event[2]) == int(taken[2]) + 1
    assert [event.code for event in board.gateway.events] == [EMPTIED] and board.gateway.trouble == []


def test_a_look_before_the_hour_does_not_take_the_place_of_its_record():
    for forget in (lambda board: None, forget_plan):
        board = bin_after("short" if forget is not forget_plan else "long", 3)
        board.time.rtc_s -= 600  # a pin woke it ten minutes before the hour
        board.true_ms -= 600000
        forget(board)
        board.start()
        assert board.said("boot") and not board.said("taken") and board.machine.slept_ms <= 600000
        board.start()
        assert board.said("taken")[0][3] == str(UTC + 3 * 3600)


class Sleeping:
    """As much of a board as a sleep needs."""

    pins = None

    def ticks_ms(self):
        return 500

    def sleep_span_ms(self, ms):
        return ms

    def wake_on(self, pins):
        self.pins = pins

    def keep_retained(self, data, span_ms):
        assert span_ms > 0


def test_a_pin_that_has_woken_it_three_times_is_left_alone_until_the_next_sample():
    facts = {"sensors": {"tilt": {"wake_pin": 4}, "temperature": {}}}
    for checks, pins in ((heat.MAX_CHECKS - 1, [4]), (heat.MAX_CHECKS, None)):
        state = retained.State()
        state.checks, state.utc_s = checks, UTC
        board = Sleeping()
        heat.sleep_on(board, facts, state, UTC * 1000, 120, UTC * 1000 + 3600000)
        assert board.pins == pins
