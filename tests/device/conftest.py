"""Boards on the bench: emulated ones with their USB port. Their time passes while somebody talks to them."""

import pytest
from device_helpers import IDENTITY

from kerbtools.cli import main
from kerbtools.emulator import Board, World


@pytest.fixture
def bench():
    """A factory of boards that are on; blank ones, unless `files` says otherwise (None: with the role's bundle)."""
    with World(seed=1, paused=True) as world:

        def make(name="pico_w", **options):
            options.setdefault("files", {})
            board = Board(world, name, **options)
            assert board.usb_path
            board.start()
            return board

        yield make


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


@pytest.fixture
def kerb(capsys):
    """Run a verb as a person does: kerb("flash", "--port", path) -> (status, standard output, standard error)."""

    def run(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run
