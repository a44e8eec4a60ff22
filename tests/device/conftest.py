"""Boards on the bench: emulated ones with their USB port. Their time passes while somebody talks to them."""

import pytest
from board_bench import bench, kerb
from device_helpers import IDENTITY

from kerbtools.emulator import Board, World

__all__ = ["bench", "kerb", "node"]


@pytest.fixture
def node():
    """A factory of provisioned bins with the firmware, at their cold boot."""
    with World(seed=1, paused=True) as world:

        def make(name="pico_w", **options):
            board = Board(world, name, identity=IDENTITY, **options)
            assert board.usb_path
            board.start()
            return board

        yield make
