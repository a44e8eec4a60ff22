"""The gateway is killed with SIGKILL at random moments under load: nothing acknowledged or taken is lost or doubled.

The uplink is up, down, or frozen: a broker that takes what is sent to it and answers nothing (SIGSTOP).
"""

import random
from pathlib import Path

import pytest
from gateway_harness import START, Broker, Council, GatewayProcess, Street, closing_all, taken_ids, until

KILLS = 7  # with each state of the uplink: 21 in all
SOAK_KILLS = 300
NODES = 6
UPLINKS = ("up", "down", "frozen")


@pytest.mark.parametrize("uplink", UPLINKS)
def test_twenty_kills_lose_and_double_nothing(tmp_path: Path, uplink: str, broker: Broker, council: Council) -> None:
    kill_and_count(tmp_path, uplink, broker, council, KILLS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("uplink", UPLINKS)
def test_hundreds_of_kills_lose_and_double_nothing(
    tmp_path: Path, uplink: str, broker: Broker, council: Council
) -> None:
    kill_and_count(tmp_path, uplink, broker, council, SOAK_KILLS)


def kill_and_count(tmp_path: Path, uplink: str, broker: Broker, council: Council, kills: int) -> None:
    rng = random.Random(f"kills {uplink}")
    if uplink == "down":
        broker.stop()
    elif uplink == "frozen":
        broker.freeze()
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=broker.port)
    nodes = gateway.register(range(1, NODES + 1))
    street = Street(nodes)
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    hour = 0

    def load() -> bool:
        """Each node always has records to send; True never, so that the street runs to its deadline."""
        nonlocal hour
        for node in nodes:
            if node.waiting < 2 * node.batch:
                node.take(5, START + 3600 * hour)
                hour += 5
        return False

    with closing_all(gateway, street):
        interrupted = 0
        for _ in range(kills):
            gateway.start()
            street.run(load, deadline_s=rng.uniform(0.02, 0.4))
            interrupted += any(node.waiting for node in nodes)
            gateway.kill()
        if uplink == "down":
            broker.start()
        elif uplink == "frozen":
            broker.thaw()
        gateway.start()
        assert street.run(lambda: not any(node.waiting for node in nodes), 60), "a node could not deliver what it has"
        taken = taken_ids(nodes)
        until(lambda: taken <= council.records.keys(), "every record taken is at the council", 120)
        until(lambda: gateway.status()["store"]["outbox"] == {}, "the outbox is empty")
        assert gateway.stop() == 0

    assert interrupted == kills  # every kill hit a gateway with work to do
    assert council.records.keys() == taken
    assert council.changed == []  # a second copy of a record, if there was one, said the same
    assert len(taken) > 10 * kills
    print(f"uplink {uplink}: {len(taken)} records, {council.copies} second copies, {street.frames_sent} frames")
