"""Boards on the bench: emulated ones with their USB port. Their time passes while somebody talks to them, and in `runs`."""

import json

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


@pytest.fixture
def flash(kerb):
    """`kerb flash --json` without the self-test: (status, the objects that it printed)."""

    def run(*words):
        status, out, _ = kerb("flash", "--json", "--no-self-test", *words)
        return status, [json.loads(line) for line in out.splitlines()]

    return run
