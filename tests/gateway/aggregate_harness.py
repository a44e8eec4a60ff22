"""A store with roll-ups whose commits and chores are done by hand, in order. What it holds is recomputed elsewhere."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kerbgate import decoding
from kerbgate.aggregate import Aggregate, RollupReader
from kerbgate.config import AggregateSettings, StoreSettings
from kerbgate.store import Reader, Store
from kerbgate.store.items import Arrival, HelloFacts, Outcome
from kerbgate.store.store import Settled
from kerbtools.bench.recomputed import Raw, mismatches, raw_records
from kerbwire import messages
from kerbwire.channels import ENERGY, LEVEL, POWER
from kerbwire.messages import Record, Report


class Desk:
    """A store with roll-ups whose writer thread is not started."""

    def __init__(self, path: Path, groups: Mapping[str, Iterable[int]] | None = None, **settings: Any):
        self.path = path
        self.groups = {name: frozenset(nodes) for name, nodes in (groups or {}).items()}
        self.settings = AggregateSettings(**settings)
        self.now_ms = 0
        self.synchronised = True
        self.options: dict[str, Any] = {"synchronous": "NORMAL"}
        self.open()

    def open(self) -> None:
        self.aggregate = Aggregate(self.settings, self.groups, sweep_s=0)
        self.store = Store(
            self.path,
            outlets=["council"],
            settings=StoreSettings(**self.options),
            post=lambda _: None,
            decode=decoding.read_again,
            folds=[self.aggregate],
            layers=self.aggregate.layers,
        )
        self.store.chores.begin()
        rows = self.store._db.execute(
            "SELECT life.node, life, max(top) FROM life JOIN window USING (life_id) GROUP BY 1, 2"
        )
        self.numbers = {(node, life): top + 1 for node, life, top in rows}

    def restart(self, **options: Any) -> None:
        self.options = options or self.options
        assert self.store.stop()
        self.open()

    def put(self, node: int, life: bytes, role: str, message: bytes = b"?", **fields: Any) -> Outcome:
        seq = self.numbers.get((node, life), 0)
        self.numbers[node, life] = seq + 1
        received = fields.pop("received_ms", self.now_ms)
        arrival = Arrival(node, "harbour", role, life, 0, seq, received, self.synchronised, message, **fields)
        outcome = self.store._transaction([(arrival, lambda _: None)], Settled(), [])[0][1]
        assert outcome.verdict == "committed"
        return outcome

    def send(self, node: int, role: str, life: bytes, report: Report, received_ms: int | None = None) -> Outcome:
        if (node, life) not in self.numbers:
            self.put(node, life, role, hello=HelloFacts(True, 0, ()))
        read = decoding.reading(report)
        return self.put(
            node, life, role, messages.encode(report), first=read.first, count=read.count, time=read.time,
            newest=read.newest, keep=read.keep, report=report, received_ms=received_ms or self.now_ms,
        )  # fmt: skip

    def chores(self, steps: int = 500) -> None:
        """Until nothing is owed or stale, or that many steps."""
        begun = time.monotonic()
        for _ in range(steps):
            self.store.chores.run(self.store._ready(), self.now_ms, False)
            if not self.store.chores._owing and self.aggregate._next_s >= begun:
                return
        assert steps < 500, self.store.folds.last_error

    def one(self, query: str, *values: Any) -> Any:
        return self.store._db.execute(query, values).fetchone()[0]

    @contextlib.contextmanager
    def reader(self) -> Any:
        with contextlib.closing(Reader(self.path)) as reader:
            yield RollupReader(reader, self.aggregate.calendar)

    def raw(self) -> list[Raw]:
        return raw_records(self.path)

    def wrong(self, groups: Mapping[str, Iterable[int]] | None = None) -> list[str]:
        """Roll-ups that differ from their recomputation, in words."""
        return list(mismatches(self.path, self.aggregate.calendar.zone, groups or self.groups, self.raw()))

    def close(self) -> None:
        self.store.stop()


def lamp_records(first: int, start: int, count: int, step: int = 900, energy: int = 1000) -> list[Record]:
    """A lamp that burns at 40 W."""
    return [
        Record(first + i, start + i * step, {LEVEL: 100, POWER: 400, ENERGY: energy + i * 40 * step // 3600})
        for i in range(count)
    ]
