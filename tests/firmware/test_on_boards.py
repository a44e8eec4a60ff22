"""The firmware as it runs: real MicroPython, LittleFS and resets, with a gateway's end on the link."""

import json
import random

import pytest
from case_node import Asking
from peer import Peer
from rig import NODE, SECRET

from kerbtools.emulator import Identity, interpreter
from kerbwire import controls
from kerbwire.controls import Command, Config
from kerbwire.messages import Hello

BOARDS = ("esp32_c3", "pico_w")
TEARS = ("all", "half", "garbage")
HOUR_S = 3600
CUTS = 24  # flash writes of a wake or a boot at which the power fails; a boot makes about 20


@pytest.fixture
def node(emulated_board):
    """A provisioned board with these settings, off. It keeps every console line. Its temperature is taken with samples
    only: 720 processes a day are those of `test_a_fire_is_told_within_five_minutes` alone."""

    def make(name, *, heat_s=0, **settings):
        settings["heat_s"] = heat_s
        lines = []
        board = emulated_board(
            name,
            identity=Identity(node=NODE, secret=SECRET, epoch=1),
            config=settings,
            on_line=lambda _, text: lines.append(text.split()),
        )
        board.said = lambda word: [words for words in lines if words[0] == word]
        return board

    return make


def check(board, gateway=None):
    """What may never happen: a number used twice within a life, a crash, a taken record that a gateway did not get."""
    lives = [words[1] for words in board.said("boot")]
    assert not (c := [" ".join(w) for w in board.said("note") if w[1] == "crash"]), "; ".join(c)
    taken = [(words[1], int(words[2])) for words in board.said("taken")]
    assert len(set(taken)) == len(taken)
    for life in set(lives):
        starts = [(int(w[2]), int(w[3])) for w in board.said("boot") if w[1] == life]
        assert starts == sorted(starts)
    if gateway:
        assert gateway.trouble == []
        committed = {(life.hex(), index) for life, index in gateway.records}
        assert set(taken) <= committed
    return taken


@pytest.mark.parametrize("name", BOARDS)
def test_a_day_in_the_field_is_one_hello_and_one_report(node, name):
    board = node(name)
    with Peer(board) as peer:
        board.start()
        board.world.advance(34 * HOUR_S)
        events = len(board.said("event"))  # the round of a Monday may be one; what waits goes along with it
        kinds = [words[1] for words in board.said("sent")]
        assert kinds[:2] == ["hello", "hello"] and kinds.count("event") == events and kinds[-1] == "report"
        assert kinds.count("report") == len(kinds) - 2 - events <= 1 + events
    assert 24 <= len(peer.gateway.records) <= 34
    records = [peer.gateway.records[key] for key in sorted(peer.gateway.records)]
    assert [r.time - board.world.start_utc for r in records[1:]] == [HOUR_S * (i + 1) for i in range(len(records) - 1)]
    assert all(set(r.values) >= {0, 2, 5} and 0 <= r.values[0] <= 100 for r in records)
    check(board)


@pytest.mark.parametrize("report_records", [1, 24])
def test_a_day_fits_a_heap_that_is_a_fifth_smaller(node, monkeypatch, report_records):
    """How well a heap stays in one piece is luck in part: so there is room to spare."""
    monkeypatch.setattr(interpreter, "HEAP_FACTOR", 0.8 * interpreter.HEAP_FACTOR)
    board = node("esp32_c3", report_records=report_records)
    with Peer(board) as peer:
        board.start()
        board.world.advance(34 * HOUR_S)
    check(board)
    assert len(peer.gateway.records) >= 24


@pytest.mark.parametrize("name", BOARDS)
def test_levels_are_those_of_the_bin(node, name):
    board = node(name, report_records=1, empty_mm=1200, full_mm=200)
    with Peer(board) as peer:
        board.start()
        board.world.advance(6 * HOUR_S + 60)
        truth = board.truth()
    newest = peer.gateway.records[max(peer.gateway.records)]
    assert abs(newest.values[2] / 2 - truth.temperature_c) < 3
    assert abs((1200 - truth.distance_mm) / 10 - newest.values[0]) < 6


@pytest.mark.parametrize(
    ("seed", "resets"), [(0, 20), *(pytest.param(seed, 50, marks=pytest.mark.soak) for seed in range(1, 11))]
)
@pytest.mark.parametrize("name", BOARDS)
def test_resets_at_random_moments_lose_and_repeat_nothing(node, name, seed, resets):
    dice = random.Random(f"resets/{name}/{seed}")
    board = node(name, report_records=3, ack_timeout_ms=100)
    world = board.world
    with Peer(board, loss=0.1, seed=seed) as peer:
        board.start()
        for _ in range(resets):
            if dice.random() < 0.8:  # in a wake, which is a few seconds an hour
                now_s = world.now() - world.start_utc
                world.advance(HOUR_S - now_s % HOUR_S + dice.choice([0.05, 0.3, 1.0, 4.0]) * dice.random())
            else:
                world.advance(HOUR_S * dice.random())
            if dice.random() < 0.5:
                board.reset()
            else:
                board.cut_power(at_write=dice.randrange(1, CUTS), tear=dice.choice(TEARS))
                world.advance(2 * HOUR_S * dice.random())
                board.cut_power()
                board.restore_power()
        peer.loss = 0
        world.advance(30 * HOUR_S)
    newest = len(board.said("taken")) - 4  # fewer than a report may wait
    taken = [(words[1], int(words[2])) for words in board.said("taken")][:newest]
    assert len(taken) > resets and len({life for life, _ in taken}) == 1
    assert set(taken) <= {(life.hex(), index) for life, index in peer.gateway.records}
    assert peer.gateway.trouble == []
    check(board)
    assert board.starts > 2 * resets


@pytest.mark.parametrize("name", BOARDS)
def test_a_wiped_flash_draws_a_new_life_and_loses_none_of_its_records(node, name):
    board = node(name, report_records=1)
    with Peer(board) as peer:
        board.start()
        board.world.advance(5 * HOUR_S)
        board.cut_power()
        board.wipe_flash()
        board.restore_power()
        board.world.advance(5 * HOUR_S)
        assert len({words[1] for words in board.said("boot")}) == 2
        check(board, peer.gateway)
    assert len(peer.gateway.records) >= 10


@pytest.mark.parametrize("name", BOARDS)
def test_a_power_cut_at_each_flash_write_of_a_start_always_boots_again(node, name):
    cut_at_each_write(node, name, [TEARS[write % 3] for write in range(CUTS)])


@pytest.mark.soak
@pytest.mark.parametrize("tear", TEARS)
@pytest.mark.parametrize("name", BOARDS)
def test_each_of_those_cuts_with_each_tear(node, name, tear):
    cut_at_each_write(node, name, [tear] * 3 * CUTS)


def cut_at_each_write(node, name, tears):
    board = node(name, report_records=2, ack_timeout_ms=100)
    with Peer(board) as peer:
        for write, tear in enumerate(tears, 1):
            before = len(board.said("taken"))
            board.flash.restore()
            board.cut_power(at_write=write, tear=tear)
            board.start()
            board.world.advance(HOUR_S + 60)
            board.cut_power()
            board.restore_power()
            board.world.advance(60)
            assert len(board.said("taken")) > before
            board.cut_power()
        board.restore_power()
        board.world.advance(5 * HOUR_S)
        check(board)
        unreported = board.said("taken")[-2:]
        taken = [(words[1], int(words[2])) for words in board.said("taken") if words not in unreported]
        assert set(taken) <= {(life.hex(), index) for life, index in peer.gateway.records}
        assert peer.gateway.trouble == []
    assert len({words[1] for words in board.said("boot")}) == 1


@pytest.mark.parametrize("name", BOARDS)
def test_a_fire_is_told_within_five_minutes(node, name):
    board = node(name, heat_s=120)
    with Peer(board) as peer:
        board.start()
        board.world.advance(HOUR_S // 2)
        board.scene.extra_c = 90.0
        board.world.advance(300)
        fires = [words for words in board.said("event") if words[3:] == ["0", "0"]]
        assert len(fires) == 1 and board.said("sent")[-1][1] in ("event", "report")
        assert [message.code for message in peer.gateway.messages if hasattr(message, "code")] == [0]
        check(board)
    starts = board.starts
    assert starts >= 17 and len(board.said("boot")) <= 5  # most of them took the temperature, and no more


@pytest.mark.parametrize("name", BOARDS)
def test_commands_and_settings_reach_a_packed_node(node, name):
    board = node(name, report_records=1)
    peer = Peer(board)
    peer.gateway = Asking(None)
    with peer:
        board.start()
        board.world.advance(HOUR_S)
        until = int(board.world.now()) + 86400
        peer.gateway.asks = [
            Command(0, 1, controls.SAMPLE, [], until, 86400),
            Command(0, 2, controls.SEND_LOG, [1, 0], until, 86400),
            Config(0, 3, 1, {0: 1800}),
            Command(0, 5, controls.SELF_TEST, [], until, 86400),
            Command(0, 4, controls.RESTART, [], until, 86400),
        ]
        board.world.advance(5 * HOUR_S)
        assert [result[:2] for result in peer.gateway.results] == [(each, controls.APPLIED) for each in (1, 2, 3, 5, 4)]
        assert peer.gateway.results[3][2] == 0  # no check of its self-test failed
        assert len(board.said("obeyed")) == 5 and peer.gateway.logs and peer.gateway.trouble == []
        taken = [int(words[3]) for words in board.said("taken")]
        assert taken[-1] - taken[-2] == 1800
        check(board)


@pytest.mark.parametrize("name", BOARDS)
def test_a_silent_gateway_costs_no_record_and_little_radio(node, name):
    board = node(name, ack_timeout_ms=100)
    board.start()
    board.world.advance(36 * HOUR_S)
    assert len(board.said("sent")) == 2 * 6  # at hours 0, 1, 3, 7, 15, 31
    with Peer(board) as peer:
        board.world.advance(30 * HOUR_S)
        check(board)
    taken = {(words[1], int(words[2])) for words in board.said("taken")[:-24]}
    assert taken <= {(life.hex(), index) for life, index in peer.gateway.records}


HANGS = """
import os, time
NEAREST_MM, REFERENCE_C = 30, 20

def measure(hal, facts, count, timeout_ms):
    try:
        os.remove("/hangs")
    except OSError:
        return list(range(800, 800 + count)), 0, 0, 0
    while True:
        time.sleep_ms(50)
"""


@pytest.mark.parametrize(("name", "bites_s"), [("esp32_c3", 30), ("pico_w", 8.388)])
def test_a_hang_ends_by_the_watchdog_and_the_gateway_hears_of_it(node, name, bites_s):
    board = node(name, report_records=1)
    facts = json.loads(board.read_file("board.json"))
    facts["sensors"]["distance"]["driver"] = "hangs"
    for path, text in (("board.json", json.dumps(facts)), ("lib/kerbnode/drivers/hangs.py", HANGS), ("hangs", "")):
        board.write_file(path, text.encode())
    with Peer(board) as peer:
        board.start()
        began_s = board.world.now()
        while board.starts < 2:
            board.world.advance(1)
        assert bites_s <= board.world.now() - began_s < bites_s + 8
        board.world.advance(3 * HOUR_S)
        causes = [message.reset_cause for message in peer.gateway.messages if isinstance(message, Hello)]
        assert causes[0] == 0 and causes[-1] == 2  # of kerbwire.messages: power on, watchdog
        assert [words[4] for words in board.said("boot")][:3] == ["power_on", "watchdog", "deep_sleep"]
        assert len(board.said("taken")) >= 3 and len(peer.gateway.records) >= 3
        check(board)


@pytest.mark.parametrize("name", BOARDS)
def test_no_watchdog_bites_at_the_slowest_settings(node, name):
    board = node(name, ack_timeout_ms=10000, tries=4, echoes=15, echo_timeout_ms=10000, report_records=1)
    board.break_part("distance", "silent")
    board.start()
    board.world.advance(12 * HOUR_S)
    assert len(board.said("taken")) == 12 and len(board.said("sent")) >= 4
    assert {words[4] for words in board.said("boot")} == {"power_on", "deep_sleep"}
    check(board)


@pytest.mark.parametrize(("name", "erases_a_record"), [("esp32_c3", 1.1), ("pico_w", 0.8)])
def test_hourly_records_wear_flash_no_more_than_the_page_says(node, name, erases_a_record):
    board = node(name)
    with Peer(board) as peer:
        board.start()
        board.world.advance(26 * HOUR_S + HOUR_S // 2)  # between two samples
        before, taken = board.flash.erases, len(board.said("taken"))
        board.world.advance(2 * 24 * HOUR_S)
        assert len(board.said("taken")) - taken == 2 * 24
        assert len(peer.gateway.records) > 2 * 24  # a late ack may make a report shorter, and its records come in two
        assert 0 < (board.flash.erases - before) / (2 * 24) <= erases_a_record
