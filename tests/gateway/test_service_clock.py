"""A clock that nobody trusts, and one that is set by a day while nodes speak: end to end, with a real gateway process."""

import datetime
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import START, Broker, Council, GatewayProcess, Street, closing_all, taken_ids, until

from kerbgate import status
from kerbgate.clock import write_shared

DAY_S = 86400


class HostClock:
    """The host's clock as a test can set it: it runs as fast as ours does."""

    def __init__(self, folder: Path):
        self.path = folder / "clock"
        self.path.write_bytes(bytes(40))
        with self.path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 40)

    def set(self, utc: float, synchronised: bool = True) -> None:
        write_shared(self._map, utc, 1.0, synchronised)


def with_clock(tmp_path: Path, clock: HostClock, broker_port: int | None) -> tuple[GatewayProcess, Street]:
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=broker_port)
    street = Street(gateway.register(range(1, 5)))
    text = gateway.config.read_text().replace('source = "trusted"', f'source = "shared:{clock.path}"')
    gateway.config.write_text(text + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    return gateway, street


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[HostClock]:
    yield HostClock(tmp_path)


def test_no_node_gets_the_time_until_its_source_is_trusted(tmp_path: Path, clock: HostClock) -> None:
    clock.set(START, synchronised=False)
    gateway, street = with_clock(tmp_path, clock, None)
    nodes = list(street.nodes.values())
    with closing_all(gateway, street):
        gateway.start()
        for node in nodes:
            node.take(8, START)
        assert street.run(lambda: all(node.confirmed and not node.waiting for node in nodes))
        assert [node.time_given for node in nodes] == [None] * 4
        assert gateway.status()["clock"]["synchronised"] is False
        clock.set(START + 100)
        for node in nodes:
            node.take(8, START + 9 * 3600)
        assert street.run(lambda: not any(node.waiting for node in nodes))
        for node in nodes:
            assert node.time_given is not None and START + 100 <= node.time_given < START + 130
        clock.set(START + 7 * DAY_S, synchronised=False)
        for node in nodes:
            node.take(8, START + 18 * 3600)
        assert street.run(lambda: not any(node.waiting for node in nodes))
        assert [node.time_given for node in nodes] == [None] * 4  # the last ack had none again
        assert gateway.stop() == 0


def test_a_clock_set_by_a_day_loses_and_doubles_nothing(
    tmp_path: Path, clock: HostClock, broker: Broker, council: Council
) -> None:
    gateway, street = with_clock(tmp_path, clock, broker.port)
    nodes = list(street.nodes.values())
    clock.set(START)
    with closing_all(gateway, street):
        gateway.start()
        hour = 0
        for number, utc in enumerate((START, START + DAY_S, START + 5, START - DAY_S, START + 10, START + 365 * DAY_S)):
            clock.set(utc)
            until(lambda n=number: _steps(gateway) >= n, "the step is noticed")
            for node in nodes:
                node.take(16, START + 3600 * hour)
            hour += 16
            # The next step comes in the middle: with frames on the line, reports unacknowledged, documents under way.
            assert street.run(lambda: sum(node.waiting for node in nodes) <= 24)
        assert street.run(lambda: all(node.confirmed and not node.waiting for node in nodes))
        taken = taken_ids(nodes)
        until(lambda: taken <= council.records.keys(), "every record is at the council")
        found: dict[str, Any] = gateway.status()
        assert found["service"]["clock_steps"] == 5
        assert "clock_stepped" in [problem["code"] for problem in found["service"]["problems"]]
        assert "problem   clock_stepped: the host's clock was set" in status.plain(found, START)
        until(lambda: gateway.status()["store"]["outbox"] == {}, "the outbox is empty")
        assert gateway.stop() == 0
    assert council.records.keys() == taken and council.copies == 0 and len(taken) == 4 * 6 * 16
    for node in nodes:
        for place, index in enumerate(node.taken):
            record = council.records[f"harbour/{node.address}/{node.life.hex()}/{index}"]
            assert record["time"] == _iso(START + 3600 * place)  # the node's, whatever the host's clock said
    steps = [event["seconds"] for event in gateway.events("clock_step")]
    assert [round(step / DAY_S) for step in steps] == [1, -1, -1, 1, 365]


def _steps(gateway: GatewayProcess) -> int:
    return gateway.status()["service"]["clock_steps"]


def _iso(utc: int) -> str:
    return datetime.datetime.fromtimestamp(utc, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
