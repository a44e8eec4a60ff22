"""The backlog of a district's day: a gateway is started on it, its broker is there, a council counts what comes."""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from kerbtools.bench.gateways.brokers import Broker
from kerbtools.bench.gateways.load import Collector
from kerbtools.bench.memory import peak_mb

DEADLINE_S = 600.0
QUIET_S = 3.0
STALLED_S = 30.0


async def drain(folder: Path, site: str, expected: set[str]) -> dict[str, object]:
    """Start `kerbgate run` on the folder's store and registry, and wait until everything came.

    expected: ids of all records and events. Lost: never came. Doubled: came again under the same id in another form.
    """
    broker = Broker(folder, "council")
    process: asyncio.subprocess.Process | None = None
    config = folder / "gateway.toml"
    collecting: asyncio.Task[None] | None = None
    try:
        broker.start()
        config.write_text(
            f'[gateway]\nsite = "{site}"\nstate = "."\n[clock]\nsource = "trusted"\n[aggregate]\n'
            f'timezone = "Europe/London"\n[command]\ngroups = "groups.toml"\n[service]\nport = 0\n'
            f'[[outlet]]\nname = "council"\nurl = "mqtt://127.0.0.1:{broker.port}"\nwindow = 200\n'
            "settlement = true\nalarms = false\n"
        )
        collector = Collector(broker.port, "collector", "kerbstone/1/#")
        collecting = asyncio.create_task(collector.run())
        await asyncio.wait_for(collector.subscribed.wait(), 30)
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kerbgate", "run", "--config", str(config),
            stdout=sys.stderr, env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        )  # fmt: skip
        found: Counter[str] = Counter()
        contents: dict[str, str] = {}
        changed: set[str] = set()
        read, quiet_since = 0, time.monotonic()
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            await asyncio.sleep(0.2)
            if process.returncode is not None:
                raise RuntimeError("the gateway ended: run kerb gateway status on a copy of its folder")
            fresh, read = collector.received[read:], len(collector.received)
            for place, (_, payload) in enumerate(fresh, read - len(fresh)):
                for ident, text in _ids(payload):
                    found[ident] += 1
                    if contents.setdefault(ident, text) != text:
                        changed.add(ident)
                collector.received[place] = (0.0, b"")
            if fresh:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > (QUIET_S if len(found) >= len(expected) else STALLED_S):
                break
        took_s = time.perf_counter() - started - QUIET_S
        peak = await asyncio.to_thread(peak_mb, process.pid)
        return {
            "drained_records": len(found),
            "drain_s": took_s,
            "drained_per_second": len(found) / took_s,
            "drain_peak_mb": peak,
            "lost": len(expected - set(found)),
            "strange": len(set(found) - expected),
            "doubled": len(changed),
            "copies_with_the_same_id": sum(found.values()) - len(found),
        }
    finally:
        if process is not None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 30)
        if collecting is not None:
            collecting.cancel()
        broker.stop()


def _ids(payload: bytes) -> list[tuple[str, str]]:
    document = json.loads(payload)
    if "records" in document:
        return [(record["id"], json.dumps(record)) for record in document["records"]]
    return [(document["id"], json.dumps(document))] if "id" in document else []
