"""The gateway of a district's day, in a process of its own: intake, store and roll-ups as they run in the field.

Frames come over a pipe with the time of the day, which is the gateway's clock. What it is not: a link, and a broker.
"""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

from kerbgate import decoding
from kerbgate.aggregate import Aggregate, RollupReader
from kerbgate.commands.groups import Groups
from kerbgate.config import AggregateSettings, StoreSettings
from kerbgate.inlets import Counters
from kerbgate.intake import Intake
from kerbgate.registry import Registry
from kerbgate.store import Reader, Store
from kerbgate.store.store import Delivery
from kerbtools.bench import pipes
from kerbtools.bench.memory import peak_mb

ZONE = "Europe/London"
SWEEP_S = (
    1.0  # some ten minutes of the day: a node's frames of a quarter hour are rolled up one by one, as in the field
)
TIMEOUT_S = 300.0
MB = 1024 * 1024


class DayClock:
    """The clock of the day."""

    def __init__(self) -> None:
        self.now = 0.0

    def utc(self) -> float:
        return self.now

    def synchronised(self) -> bool:
        return True

    def pace(self) -> float:
        return 1.0


class Air:
    """Where answers go."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.signal = None
        self.heard: list[bytes] = []
        self.settled = 0

    def send(self, frame: bytes) -> bool:
        self.heard.append(frame)
        return True

    def settle(self, kept: bool) -> None:
        self.settled += 1


class _Timed(Aggregate):
    """Roll-ups whose work between commits is timed."""

    rolling_s = 0.0

    def work(self, connection, now, newest_ms):  # type: ignore[no-untyped-def]
        begin = time.thread_time()
        try:
            return super().work(connection, now, newest_ms)
        finally:
            self.rolling_s += time.thread_time() - begin


async def main(folder: Path) -> None:
    """Serve the pipes until a message without parts comes."""
    loop = asyncio.get_running_loop()
    clock, air = DayClock(), Air()
    groups = Groups.load("district", folder / "groups.toml").members()
    rollups = _Timed(AggregateSettings(timezone=ZONE), groups, SWEEP_S)

    def post(delivery: Delivery) -> None:
        loop.call_soon_threadsafe(intake.deliver, delivery)

    registry = Registry(folder / "registry.sqlite")
    store = Store(
        folder / "store.sqlite",
        outlets=["council"],
        settings=StoreSettings(),
        post=post,
        decode=decoding.read_again,
        folds=[rollups],
        layers=rollups.layers,
    )
    intake = Intake(registry, store, clock, instance=os.urandom(8), on_commit=lambda row, report: None)
    store.start()
    began = time.process_time()
    while parts := await asyncio.to_thread(pipes.read, sys.stdin.buffer):
        clock.now = float(int.from_bytes(parts[0], "big"))
        await _through(intake, air, parts[1:])
        answers, air.heard = air.heard, []
        await asyncio.to_thread(pipes.write, sys.stdout.buffer, answers)
    reader = Reader(store.path)
    async with asyncio.timeout(TIMEOUT_S):
        while RollupReader(reader, rollups.calendar).status()["stale"]:  # noqa: ASYNC110  # the writer's thread sweeps
            await asyncio.sleep(0.05)
    reader.close()
    if not store.stop():
        raise RuntimeError("the store did not stop")
    if store.folds.failures:
        raise RuntimeError(f"a fold failed: {store.folds.last_error}")
    said = {
        "cpu_s": time.process_time() - began,
        "rolling_s": rollups.rolling_s,
        "peak_mb": peak_mb("self"),
        "written_mb": store.health.written_bytes / MB,
        "store_mb": (folder / "store.sqlite").stat().st_size / MB,
    }
    pipes.write(sys.stdout.buffer, [json.dumps(said).encode()])


async def _through(intake: Intake, air: Air, frames: list[bytes]) -> None:
    expected = air.settled + len(frames)
    async with asyncio.timeout(TIMEOUT_S):
        for data in frames:
            intake.take(data, air)
            if intake.full:
                await intake.room()
        while air.settled < expected:  # noqa: ASYNC110  # the condition is a counter
            await asyncio.sleep(0.0005)
    refused = +air.counters.refused
    if refused:
        raise RuntimeError(f"frames were refused: {dict(refused)}")


if __name__ == "__main__":
    threading.stack_size(256 * 1024)  # of addresses, which are capped
    limit = int(sys.argv[2]) * MB
    import resource  # POSIX only

    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    asyncio.run(main(Path(sys.argv[1])))
