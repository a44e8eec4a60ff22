"""The heap limit: one and a half times the board's, the shims apart."""

import pytest

from kerbtools import boards
from kerbtools.emulator import interpreter

FILL = """
import gc
gc.collect()
print("free", gc.mem_free())
kept = []
count = 0
try:
    while True:
        kept.append(bytearray(1024))
except MemoryError:
    count = len(kept)
    kept = None
    print("full", count)
"""


@pytest.mark.parametrize("name", boards.names())
def test_the_heap_ends_where_the_boards_would(emulated_board, name):
    board = emulated_board(name, files={"main.py": FILL.encode()})
    board.start()
    board.world.advance(1)
    limit = interpreter.HEAP_FACTOR * board.facts.heap_bytes
    free = int(board.console[0].split()[1])
    assert 0.95 * limit <= free <= limit
    assert 0.9 * limit <= int(board.console[1].split()[1]) * 1024 <= limit


def test_the_shims_take_little_and_always_the_same():
    interpreter.shim_bytes.cache_clear()
    first = interpreter.shim_bytes("rp2", 28)
    interpreter.shim_bytes.cache_clear()
    assert interpreter.shim_bytes("rp2", 28) == first
    assert 40_000 < first < 72_000  # the heap of the board is what the limit says all the same
