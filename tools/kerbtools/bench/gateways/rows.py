"""`kerb bench gateways`: one row a gateway and scenario; what is absent or fails costs its own row, and says why."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from kerbtools.bench.gateways import bars
from kerbtools.bench.gateways.brokers import Absent
from kerbtools.bench.gateways.ours import Ours
from kerbtools.bench.gateways.peers import Bridge, Least, NodeRed, NodeRedGathered, ThingsBoard
from kerbtools.bench.gateways.scenarios import QUICK, Cells, Sizes, day, drain, kill, latency, million, speed, start
from kerbtools.bench.gateways.subjects import Make

CELL_S = 480.0  # one gateway in one scenario

OURS: tuple[Make, ...] = (Ours, partial(Ours, records=24), partial(Ours, serial=True))
PEERS: tuple[Make, ...] = (ThingsBoard, NodeRed, NodeRedGathered, Bridge)
Scenario = Callable[[Make, Sizes], Awaitable[Cells]]
Part = tuple[str, Scenario, tuple[Make, ...]]
SCENARIOS: tuple[Part, ...] = (
    ("speed", speed, (*OURS, *PEERS, Least)),
    ("latency", latency, OURS + PEERS),
    ("start", start, OURS + PEERS),
    ("drain", drain, OURS + PEERS),
    ("day", day, OURS + PEERS),
    ("kill up", partial(kill, uplink="up"), OURS + PEERS),
    ("kill down", partial(kill, uplink="down"), OURS + PEERS),
    ("kill frozen", partial(kill, uplink="frozen"), OURS + PEERS),
    ("million", million, OURS[1:2]),
)


def rows(quick: bool = False, scenarios: Sequence[Part] = SCENARIOS) -> Iterator[Cells]:
    """KERB_BENCH_ONLY names scenarios, parted by commas. quick: small loads, which show that it works and no more.

    At the end: what the bars of the design come to, of what was measured.
    """
    only = {name for name in os.environ.get("KERB_BENCH_ONLY", "").split(",") if name}
    sizes = QUICK if quick else Sizes()
    found: list[Cells] = []
    for name, scenario, subjects in scenarios:
        if only and name not in only:
            continue
        for make in subjects:
            subject, acknowledges, commits = _about(make)
            print(f"{name}: {subject} ...", file=sys.stderr, flush=True)
            row: Cells = {"scenario": name, "gateway": subject}
            if name == "speed" or name.startswith("kill"):
                row |= {"acknowledges": acknowledges, "commits": commits}
            try:
                row |= asyncio.run(_bounded(scenario(make, sizes)))
            except Exception as error:  # the edge of one cell: the others are still worth having
                row["not_measured"] = str(error) if isinstance(error, Absent) else f"{type(error).__name__}: {error}"
            found.append(row)
            yield row
    yield from bars.rows(found)


async def _bounded(cells: Awaitable[Cells]) -> Cells:
    try:
        async with asyncio.timeout(CELL_S):
            return await cells
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"not done in {CELL_S:.0f} s") from error


def _about(make: Make) -> tuple[str, str, str]:
    """Name, way of acknowledging, and what it commits; nothing is started for it."""
    with TemporaryDirectory() as folder:
        subject = make(Path(folder) / "x", 1, 2)
        return subject.name, subject.acknowledges, subject.commits
