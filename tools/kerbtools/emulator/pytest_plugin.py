"""pytest fixtures: a world for each test, and boards in it.

    def test_a_day(emulated_board):
        board = emulated_board("pico_w", role="bin", identity=Identity(node=1, secret=bytes(16)))
        board.start()
        board.world.advance(24 * 3600)
        assert board.wakes >= 24

The world is paused: time passes in `advance` only, or freely after `resume`.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from kerbtools.emulator import Board, World


class BoardFactory(Protocol):
    """Make a board that is off; keywords as of `Board`. `world` defaults to the test's own."""

    def __call__(self, name: str, role: str = "bin", *, world: World | None = None, **options: Any) -> Board: ...


@pytest.fixture
def emulated_world() -> Iterator[World]:
    """A paused world with seed 1, stopped after the test."""
    with World(seed=1, paused=True) as world:
        yield world


@pytest.fixture
def emulated_board(emulated_world: World) -> Iterator[BoardFactory]:
    """A factory of boards. A failure of the emulator itself fails the test that it happened in."""
    made: list[Board] = []

    def make(name: str, role: str = "bin", *, world: World | None = None, **options: Any) -> Board:
        board = Board(world or emulated_world, name, role, **options)
        made.append(board)
        return board

    yield make
    for board in made:
        board.stop()
        if board.failure is not None:
            raise board.failure
