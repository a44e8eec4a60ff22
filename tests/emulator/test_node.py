"""The bin firmware on emulated boards: the whole way from a bundle to a day of records."""

import time

import pytest

from kerbtools import boards
from kerbtools.emulator import Identity


@pytest.mark.parametrize("name", boards.names())
def test_a_node_lives_through_a_day(emulated_board, name):
    board = emulated_board(name, identity=Identity(node=7, secret=bytes(range(16)), site="test"))
    board.start()
    board.world.advance(24 * 3600)
    taken = [line for line in board.console if line.startswith("taken ")]
    assert len(taken) in (24, 25)
    assert board.wakes in (23, 24)
    assert not [line for line in board.console if "Error" in line or "crash" in line]


def test_a_wake_is_cheap(emulated_board):
    board = emulated_board("esp32_c3", identity=Identity(node=7, secret=bytes(16)))
    board.start()
    spans = []
    for _ in range(24):
        began = time.monotonic()
        board.world.advance(3600)
        spans.append(time.monotonic() - began)
    assert min(spans) < 0.06  # of real time; the quickest, since other tests may share the machine
