"""A street of real nodes, a real gateway and a real broker, and a wait with a deadline."""

import time
from collections.abc import Callable, Iterator

import pytest

from kerbtools.demo.street import Street

DEADLINE_S = 90.0
SPEED = 6 * 3600.0  # virtual seconds a real one: each wake is a process, and all else needs its real time


@pytest.fixture
def street() -> Iterator[Street]:
    with Street(seed=5, speed=SPEED) as street:
        yield street


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
