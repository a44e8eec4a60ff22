"""pytest fixtures: a world for each test, and emulated boards in it.

A project that has kerbstone[tools] installed asks for them by name, with `pytest -p kerbtools.emulator.pytest_plugin`
or that option in its configuration. (They are no automatic plugin: their names are common ones, and a gateway's
installation has no emulator.)

    def test_a_day(emulated_board):
        board = emulated_board("pico_w", role="bin", identity=Identity(node=1, secret=bytes(16)))
        board.start()
        board.world.advance(24 * 3600)
        assert board.wakes >= 24

    def test_own_firmware_on_a_deaf_radio(world, emulated_board):
        world.air.add_access_point("depot", "secret")
        board = emulated_board("esp32_c3", files={"main.py": Path("main.py").read_bytes()})
        board.start()
        board.deafen_radio()
        world.advance(60)
        assert "retrying" in board.console

    def test_a_street(street):
        nodes = street(3, "esp32_c3", role="bin")
        nodes[0].world.advance(3600)

The world is paused: time passes in `advance` only, or freely after `resume`. Everything is stopped after the test, and
a failure of the emulator itself is an error at the test's end. (So it is at the end of the `with` of a World of one's
own.)
"""

import random
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from kerbtools.emulator import Board, Identity, World


class BoardFactory(Protocol):
    """Make a board that is off; keywords as of `Board`. `world` defaults to the test's own."""

    def __call__(self, board: str, role: str = "bin", *, world: World | None = None, **options: Any) -> Board: ...


class StreetFactory(Protocol):
    """Make `count` boards with identities (addresses from 1) and start them; keywords as of `Board`."""

    def __call__(self, count: int, board: str = "esp32_c3", role: str = "bin", **options: Any) -> list[Board]: ...


@pytest.fixture
def world() -> Iterator[World]:
    """A paused world with seed 1, stopped after the test. A failure of the emulator itself is an error of the test."""
    with World(seed=1, paused=True) as made:
        yield made


@pytest.fixture
def emulated_world(world: World) -> World:
    """The same world as `world`."""
    return world


@pytest.fixture
def emulated_board(world: World) -> Iterator[BoardFactory]:
    """A factory of boards that are off."""
    made: list[Board] = []

    def make(board: str, role: str = "bin", *, world: World | None = None, **options: Any) -> Board:
        made.append(Board(world or own, board, role, **options))
        return made[-1]

    own = world
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def street(emulated_board: BoardFactory) -> StreetFactory:
    """A factory of running boards, each with an identity of its own, in the world of the test."""

    def make(count: int, board: str = "esp32_c3", role: str = "bin", **options: Any) -> list[Board]:
        boards: list[Board] = []
        for node in range(1, count + 1):
            secret = random.Random(f"street/{node}").randbytes(16)  # noqa: S311  for tests only
            boards.append(emulated_board(board, role, identity=Identity(node=node, secret=secret), **options))
        for one in boards:
            one.start()
        return boards

    return make
