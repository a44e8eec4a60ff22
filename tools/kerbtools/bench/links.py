"""1,000 nodes on Wi-Fi through one mosquitto to a gateway process: CPU of each for a report, and how long an ack takes.

Nodes are simulated on the wire, each with an MQTT 3.1.1 connection of its own as the firmware makes it. `asleep`: it
connects for each report and leaves with the ack, as bins do; `awake`: it stays. The gateway runs as it is deployed: the
inlet's QoS 1, FULL commits, roll-ups, and an outlet to the same broker.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from kerbgate import mqtt
from kerbtools.bench.watched import cpu_s
from kerbtools.demo.broker import Mosquitto, find_mosquitto
from kerbtools.demo.gateway import GatewayProcess
from kerbtools.simulate import SimulatedNode
from kerbwire import channels

NODES = 1000
ROUNDS = 5  # reports of each node and kind
RECORDS = 24
AT_ONCE = 50  # nodes that speak at a time
START = 1_772_323_200  # 2026-03-01T00:00:00Z
SITE = "bench"
ANSWER_S = 20.0
KINDS = ("asleep", "awake")


def rows() -> Iterator[dict[str, object]]:
    """One row a kind of node; one that says so where mosquitto is not installed."""
    from kerbtools.emulator.clock import VirtualClock  # not on every system; the bench's other parts load there too

    program = find_mosquitto()
    if program is None:
        yield {"skipped": "mosquitto is not installed", "hint": "apt-get install mosquitto"}
        return
    with tempfile.TemporaryDirectory(prefix="kerb-bench-") as name, ExitStack() as ends:
        folder = Path(name)
        folder.chmod(0o711)
        broker = Mosquitto(program, folder / "broker")
        broker.start()
        ends.callback(broker.stop)
        clock = folder / "clock"
        ends.callback(VirtualClock(clock, (START + 90 * 86400) * 1_000_000).close)
        inlet = f"mqtt://127.0.0.1:{broker.port}/{SITE}"
        gateway = GatewayProcess(folder / "gateway", SITE, broker.port, clock, [inlet])
        nodes: list[SimulatedNode] = []
        for address in range(1, NODES + 1):
            secret = os.urandom(16)
            gateway.add_node(address, SITE, "simulated", secret)
            nodes.append(SimulatedNode(address, secret, seed=address, batch=RECORDS, role=channels.BIN))
        gateway.start()
        ends.callback(gateway.stop)
        asyncio.run(_each(nodes, broker.port, "asleep", []))  # hello, challenge, hello: before the clock starts
        for number, kind in enumerate(KINDS):
            for round_ in range(ROUNDS):
                for node in nodes:
                    node.take(RECORDS, START + (number * ROUNDS + round_) * 86400)
            yield _measure(kind, nodes, broker, gateway)


def _measure(kind: str, nodes: list[SimulatedNode], broker: Mosquitto, gateway: GatewayProcess) -> dict[str, object]:
    waits_s: list[float] = []
    before = cpu_s(gateway.pid), cpu_s(broker.pid), time.monotonic()
    asyncio.run(_each(nodes, broker.port, kind, waits_s))
    took_s = time.monotonic() - before[2]
    gateway_s, broker_s = cpu_s(gateway.pid) - before[0], cpu_s(broker.pid) - before[1]
    waiting = sum(node.waiting for node in nodes)
    if waiting:
        raise RuntimeError(f"{waiting} records were not acknowledged")
    waits_s.sort()
    reports = NODES * ROUNDS
    return {
        "nodes": NODES, "kind": kind, "reports": reports, "records_a_report": RECORDS, "sent": len(waits_s),
        "gateway_cpu_us_a_report": gateway_s / reports * 1e6, "broker_cpu_us_a_report": broker_s / reports * 1e6,
        "reports_per_second": reports / took_s, "ack_p50_ms": 1000 * waits_s[len(waits_s) // 2],
        "ack_p99_ms": 1000 * waits_s[len(waits_s) * 99 // 100],
    }  # fmt: skip


async def _each(nodes: list[SimulatedNode], port: int, kind: str, waits_s: list[float]) -> None:
    """Let each node say what it has, AT_ONCE of them at a time. Every report's wait for its ack is noted."""
    turns = asyncio.Semaphore(AT_ONCE)
    ends = [_Speaker(node, port, turns, kind == "awake", waits_s) for node in nodes]
    await asyncio.gather(*[end.run() for end in ends])


class _Speaker:
    """One node's conversation."""

    def __init__(
        self, node: SimulatedNode, port: int, turns: asyncio.Semaphore, stays: bool, waits_s: list[float]
    ) -> None:
        self._node = node
        self._port = port
        self._turns = turns
        self._stays = stays
        self._waits_s = waits_s
        self._answered = asyncio.Event()
        name = f"kerb-{SITE}-{node.address}"
        self._options = mqtt.Options(name, version=mqtt.V311, clean=False, keepalive_s=60, timeout_s=ANSWER_S)
        self._connection: mqtt.Connection | None = None

    async def run(self) -> None:
        while True:
            async with self._turns:
                data = self._node.next_frame()
                if data is None:
                    break
                connection = self._connection or await self._connect()
                self._answered.clear()
                began = time.monotonic()
                await connection.publish(f"kerb/1/{SITE}/up/{self._node.address}", data)
                async with asyncio.timeout(ANSWER_S):
                    await self._answered.wait()
                if self._node.confirmed:
                    self._waits_s.append(time.monotonic() - began)
                if not self._stays:
                    await self._leave()
        await self._leave()

    async def _connect(self) -> mqtt.Connection:
        made = await mqtt.connect("127.0.0.1", self._port, self._options, self._heard)
        self._connection = made
        await made.subscribe([f"kerb/1/{SITE}/down/{self._node.address}"], qos=1)
        return made

    async def _leave(self) -> None:
        made, self._connection = self._connection, None
        if made is not None:
            await made.close()

    def _heard(self, connection: mqtt.Connection, message: mqtt.Publish) -> None:
        if message.number:
            connection.acknowledge(message.number)
        if message.payload is not None and self._node.feed(message.payload):
            self._answered.set()
