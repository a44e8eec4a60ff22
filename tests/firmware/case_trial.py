"""Settings on trial, in whole wakes: proven by an answer, given up by silence or a crash; a round decides nothing."""

import sys

from case_node import bin_of, told
from rig import BOARD, write

from kerbnode import config
from kerbnode.link.tally import Tally
from kerbnode.slots import TRIAL_SILENCES
from kerbwire import controls, messages
from kerbwire.controls import Config

NUMBERS = {config.SETTINGS[at][0]: at for at in range(len(config.SETTINGS))}


def patch(ident, version, digest=None, **values):
    return Config(0, ident, version, {NUMBERS[name]: values[name] for name in values}, digest)


def test_a_patch_is_tried_told_by_hello_and_proven_by_its_answer():
    board = bin_of("patch", report_records=1)
    told(board, 2)
    wanted = config.parse('{"report_records": 2, "interval_s": 1800}')[0]
    board.gateway.asks = [patch(11, 1, config.digest(wanted), interval_s=1800, report_records=2)]
    board.start()
    assert board.gateway.results == [(11, controls.APPLIED, None)]
    assert config.Slots(board.folder).trial
    board.start()
    hello = [message for message in board.gateway.messages if isinstance(message, messages.Hello)][-1]
    assert hello.config_hash == config.digest(wanted) and not config.Slots(board.folder).trial
    board.start()
    assert 1700000 < board.machine.slept_ms <= 1800000
    board.gateway.asks = [patch(12, 1, None, interval_s=900)]
    told(board, 2)
    assert board.gateway.results[1:] == [(12, controls.REFUSED, 1)]  # no newer version


def test_a_patch_that_ends_elsewhere_than_the_gateway_thinks_or_beyond_the_bounds_is_refused():
    board = bin_of("refuse", report_records=1)
    told(board, 2)
    board.gateway.asks = [patch(1, 1, bytes(8), interval_s=900), patch(2, 1, None, interval_s=1)]
    board.start()
    assert board.gateway.results == [(1, controls.REFUSED, 0), (2, controls.REFUSED, 0)]
    assert config.Slots(board.folder).version == 0


def test_settings_that_make_the_node_deaf_are_given_up():
    board = bin_of("deaf", report_records=1)
    told(board, 2)
    board.gateway.asks = [patch(1, 1, None, ack_timeout_ms=100)]
    board.start()
    hear = board.gateway.hear
    board.gateway.hear = lambda data: hear(data) if config.Slots(board.folder).version == 0 else []
    told(board, 24)
    assert config.Slots(board.folder).version == 0
    assert told(board, 8) == [] and len(board.gateway.records) > 20


class Visited:
    """kerbnode.link.visited: at the other end is a technician's round, or nobody."""

    def __init__(self, board):
        self._board = board
        self.collects = False
        self.noise = self.frames = 0
        self.tally = Tally()

    def start(self):
        sys.modules["kerbnode.link.visited"] = self  # the node lets go of what speaks
        self.collects = not self.collects
        self._board.start()
        return self.collects

    def opened(self, hal, board, address, options, identity):
        return self

    def send(self, frame):
        self.frames += 1

    def receive(self, timeout_ms):
        assert not self.collects
        self._board.time.sleep_ms(timeout_ms)

    def close(self):
        pass


def test_a_round_neither_proves_settings_on_trial_nor_gives_them_up():
    board = bin_of("visited", report_records=1)
    told(board, 2)
    board.gateway.asks = [patch(1, 1, None, report_records=2)]
    board.start()
    write(board.folder + "/links.json", b'["visited:"]')
    link = Visited(board)
    silent = 0
    while silent < TRIAL_SILENCES:
        assert config.Slots(board.folder).trial and config.Slots(board.folder).version == 1
        before = link.frames
        is_round = link.start()
        silent += link.frames > before and not is_round
    assert config.Slots(board.folder).version == 0, "a gateway that is silent ends it, rounds between or not"


def test_settings_under_which_the_node_crashes_are_given_up_at_the_next_start():
    board = bin_of("crash", report_records=1)
    told(board, 2)
    board.gateway.asks = [patch(1, 1, None, echoes=9)]
    board.start()
    board.facts = dict(BOARD, sensors={"distance": {"driver": "none"}})
    board.start()
    assert board.said("note")[-1][1] == "crash"
    board.facts = BOARD
    board.start()
    assert config.Slots(board.folder).version == 0 and board.said("taken")
