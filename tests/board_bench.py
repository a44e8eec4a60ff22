"""Fixtures of a bench: emulated boards with their USB port, and the verbs as a person runs them."""

import pytest

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
def kerb(capsys):
    """Run a verb as a person does: kerb("flash", "--port", path) -> (status, standard output, standard error)."""

    def run(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run
