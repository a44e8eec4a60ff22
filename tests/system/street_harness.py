"""A street of real nodes, a real gateway and a real broker, and a wait with a deadline."""

import time
from collections.abc import Callable, Iterator

import pytest

from kerbtools.demo.street import Street

DEADLINE_S = 90.0


@pytest.fixture
def street() -> Iterator[Street]:
    with Street(seed=5, speed=None) as street:
        yield street


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
