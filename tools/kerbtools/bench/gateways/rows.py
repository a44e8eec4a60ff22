"""`kerb bench gateways`: one row a gateway, cell by cell, so that a peer that is absent or fails costs its row only."""

import asyncio
import os
import sys
from collections.abc import Iterator
from functools import partial

from kerbtools.bench.gateways import scenarios
from kerbtools.bench.gateways.brokers import Absent
from kerbtools.bench.gateways.scenarios import Make
from kerbtools.bench.gateways.subjects import Bridge, NodeRed, Ours, Subject, ThingsBoard

SUBJECTS: tuple[Make, ...] = (Ours, partial(Ours, records=24), ThingsBoard, NodeRed, Bridge)
SCENARIOS = (
    ("speed", scenarios.speed),
    ("latency", scenarios.latency),
    ("start", scenarios.start),
    ("drain", scenarios.drain),
    ("kill up", partial(scenarios.kill, uplink="up")),
    ("kill down", partial(scenarios.kill, uplink="down")),
    ("kill frozen", partial(scenarios.kill, uplink="frozen")),
)


def rows() -> Iterator[dict[str, object]]:
    """One row for each gateway and scenario. KERB_BENCH_ONLY names scenarios, parted by commas."""
    only = {name for name in os.environ.get("KERB_BENCH_ONLY", "").split(",") if name}
    for name, scenario in SCENARIOS:
        if only and name not in only:
            continue
        for make in SUBJECTS:
            subject = _name(make)
            print(f"{name}: {subject} ...", file=sys.stderr, flush=True)
            try:
                measured = asyncio.run(scenario(make))
            except (Absent, TimeoutError, RuntimeError) as error:
                yield {"scenario": name, "gateway": subject, "not_measured": str(error)}
                continue
            yield {"scenario": name, "gateway": subject, **measured}
    if not only:
        for make in SUBJECTS:
            yield {"gateway": _name(make), "acknowledges": _kind(make).acknowledges}


def _kind(make: Make) -> type[Subject]:
    kind: object = getattr(make, "func", make)  # of a partial: what it calls
    if not (isinstance(kind, type) and issubclass(kind, Subject)):
        raise TypeError(f"{make} makes no gateway")
    return kind


def _name(make: Make) -> str:
    records: int = getattr(make, "keywords", {}).get("records", 1)
    return _kind(make).name + (f", {records} a message" if records > 1 else "")
