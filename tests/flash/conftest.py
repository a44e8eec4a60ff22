"""Boards on the bench: emulated ones with their USB port. Their time passes while somebody talks to them, and in `runs`."""

import json

import pytest
from board_bench import bench, kerb

__all__ = ["bench", "flash", "kerb"]


@pytest.fixture
def flash(kerb):
    """`kerb flash --json` without the self-test: (status, the objects that it printed)."""

    def run(*words):
        status, out, _ = kerb("flash", "--json", "--no-self-test", "--role", "bin", *words)
        return status, [json.loads(line) for line in out.splitlines()]

    return run
