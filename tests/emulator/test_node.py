"""The bin firmware on emulated boards: the whole way from a bundle to a day of records."""

from statistics import median

import pytest
from cpu_time import spent_s

from kerbtools import boards
from kerbtools.emulator import Board, Identity, World

HOURLY = {"heat_s": 0}  # without the looks at the temperature in between
ASLEEP = b"import machine\nmachine.deepsleep(3_600_000)\n"


@pytest.mark.parametrize("name", boards.names())
def test_a_node_lives_through_a_day(emulated_board, name):
    board = emulated_board(name, identity=Identity(node=7, secret=bytes(range(16)), site="test"), config=HOURLY)
    board.start()
    board.world.advance(24 * 3600)
    taken = [line for line in board.console if line.startswith("taken ")]
    assert len(taken) in (24, 25)
    assert board.wakes in (23, 24)
    assert not [line for line in board.console if "Error" in line or "crash" in line]


def test_a_wake_is_cheap():
    """In CPU time, held to that of a wake that does nothing; each is an interpreter that ends with its wake."""
    with World(seed=1, paused=True) as one, World(seed=1, paused=True) as other:
        node = Board(one, "esp32_c3", identity=Identity(node=7, secret=bytes(16)), config=HOURLY)
        bare = Board(other, "esp32_c3", files={"main.py": ASLEEP})
        spans = {node: [], bare: []}
        for board in spans:
            board.start()
        for _ in range(24):
            for board, taken in spans.items():
                began = spent_s()
                board.world.advance(3600)
                taken.append(spent_s() - began)
    assert node.wakes in (23, 24) and bare.wakes in (23, 24)
    assert median(spans[node]) < 4 * median(spans[bare])
