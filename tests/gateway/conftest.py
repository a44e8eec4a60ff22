"""Fixtures of the gateway's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands_harness import CommandRig
from gateway_harness import Broker, Council, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**settings: Any) -> Rig:
        rigs.append(Rig(tmp_path, **settings))
        return rigs[-1]

    yield make
    for made in rigs:
        made.store.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    made = Broker(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def council(broker: Broker) -> Iterator[Council]:
    made = Council(broker.port)
    assert made.subscribed.wait(20)
    yield made
    made.close()


@pytest.fixture
def command_rig(tmp_path: Path) -> Iterator[CommandRig]:
    made = CommandRig(tmp_path)
    yield made
    made.close()
