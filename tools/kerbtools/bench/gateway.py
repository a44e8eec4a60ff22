"""Frames a second through a gateway's heart: opened, checked, decoded, committed, acknowledged; no link, no broker.

1,000 node identities; every frame is made before the clock starts. The store lies in a temporary folder of this disk:
TMPDIR chooses another. Each ack is sealed and framed, as for a serial line.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kerbgate import decoding
from kerbgate.aggregate import Aggregate
from kerbgate.clock import SystemClock
from kerbgate.config import AggregateSettings, StoreSettings
from kerbgate.inlets import Counters
from kerbgate.intake import Intake
from kerbgate.registry import Registry
from kerbgate.store import Store
from kerbgate.store.store import Delivery
from kerbtools.simulate import SimulatedNode
from kerbwire import frame, line

NODES = 1000
FRAMES = 10_000
START = 1_772_323_200  # 2026-03-01T00:00:00Z
# records a report, synchronous, whether roll-ups are kept
CASES = ((24, "FULL", True), (24, "FULL", False), (24, "NORMAL", True), (1, "FULL", True), (1, "FULL", False))
TIMEOUT_S = 120.0


class Air:
    """Where acks go: framed, counted, and fed to the nodes when the clock has stopped."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.signal = None
        self.heard: list[bytes] = []

    def send(self, frame: bytes) -> bool:
        self.heard.append(line.encode(frame))
        self.counters.sent += 1
        return True

    def settle(self, kept: bool) -> None:
        pass


def rows() -> Iterator[dict[str, object]]:
    """One row a case."""
    for records, synchronous, rollups in CASES:
        with tempfile.TemporaryDirectory(prefix="kerb-bench-") as folder:
            yield asyncio.run(_measure(Path(folder), records, synchronous, rollups))


async def _measure(folder: Path, records: int, synchronous: str, rollups: bool) -> dict[str, object]:
    registry = Registry(folder / "registry.sqlite", create=True)
    nodes: list[SimulatedNode] = []
    for address in range(1, NODES + 1):
        secret = os.urandom(16)
        registry.add(address=address, site="bench", role="bin", board="simulated", secret=secret)
        nodes.append(SimulatedNode(address, secret, seed=address, batch=records))
    loop = asyncio.get_running_loop()

    def post(delivery: Delivery) -> None:
        loop.call_soon_threadsafe(intake.deliver, delivery)

    store = Store(
        folder / "store.sqlite",
        outlets=["council"],
        settings=StoreSettings(synchronous=synchronous),
        post=post,
        decode=decoding.read_again,
        folds=[Aggregate(AggregateSettings(timezone="Europe/London"))] if rollups else [],
    )
    intake = Intake(registry, store, SystemClock(), instance=os.urandom(8), on_commit=lambda row, report: None)
    store.start()
    air = Air()
    for _ in range(2):  # hello, challenge, hello, ack
        await _through(intake, air, [line.encode(node.next_frame() or b"") for node in nodes])
        _hear(nodes, air)
    sent: list[bytes] = []
    for number in range(FRAMES // NODES):
        for node in nodes:
            node.take(records, START + number * 86400)
            sent.append(line.encode(node.stream() or b""))
    commits = store.health.commits
    started, cpu = time.perf_counter(), time.process_time()
    await _through(intake, air, sent)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    commits = store.health.commits - commits
    _hear(nodes, air)
    if any(node.waiting for node in nodes) or not store.stop():
        raise RuntimeError("not every record was acknowledged")
    registry.close()
    return {
        "records_a_report": records,
        "synchronous": synchronous,
        "rollups": rollups,
        "frames": len(sent),
        "frames_per_second": len(sent) / took,
        "records_per_second": len(sent) * records / took,
        "cpu_us_per_frame": cpu / len(sent) * 1e6,
        "commits": commits,
        "store_bytes_per_report": (folder / "store.sqlite").stat().st_size / len(sent),
    }


async def _through(intake: Intake, air: Air, chunks: list[bytes]) -> None:
    """All chunks in, and wait for the last ack."""
    reader = line.Reader()
    expected = air.counters.sent + len(chunks)
    async with asyncio.timeout(TIMEOUT_S):
        for chunk in chunks:
            for data in reader.feed(chunk):
                intake.take(data, air)
            if intake.full:
                await intake.room()
        while air.counters.sent < expected:  # noqa: ASYNC110  # the condition is a counter
            await asyncio.sleep(0.001)


def _hear(nodes: list[SimulatedNode], air: Air) -> None:
    reader = line.Reader()
    for chunk in air.heard:
        for data in reader.feed(chunk):
            nodes[frame.parse(data).node - 1].feed(data)
    air.heard.clear()
