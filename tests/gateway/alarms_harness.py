"""What the tests of alarms share: a rig with the book of alarms, its letters and its watch, on time that tests set."""

import asyncio
import json
import os
import queue
import time
from pathlib import Path
from typing import Any

from gateway_harness import DEADLINE_S, SITE, Rig, add_node, secret_of

from kerbgate import decoding
from kerbgate.alarms import AlarmBook, AlarmLetters, kinds, listing
from kerbgate.alarms.causes import Causes
from kerbgate.alarms.hearing import Hearing
from kerbgate.alarms.places import Place, Places
from kerbgate.alarms.watch import Watch
from kerbgate.alarms.windows import Window
from kerbgate.intake import Intake
from kerbgate.letters import ALARMS, Letter
from kerbgate.store import Store
from kerbgate.store.items import COMMITTED, Change
from kerbtools.simulate import SimulatedNode
from kerbwire import channels
from kerbwire.channels import ENERGY, FAULTS, LEVEL, POWER

LATITUDE, LONGITUDE = 51.45, -2.59
COLUMN_DEG = 0.00045  # 31 m to the next column of a street that runs east
DARK = {LEVEL: 0, POWER: 8, ENERGY: 1000, FAULTS: 0}
LIT = {LEVEL: 100, POWER: 300, ENERGY: 1000, FAULTS: 0}


class AlarmRig(Rig):
    """A rig whose clock drives alarms: `mono` goes with the clock, unless a test takes them apart."""

    def __init__(self, folder: Path, **settings: Any):
        self.mono = 1000.0
        self.places: dict[int, Place] = {}
        self.wanted = ("council",)
        super().__init__(folder, **settings)

    def open(self, decode: Any = decoding.read_again) -> None:
        self._deliveries: Any = queue.SimpleQueue()
        self.hearing = Hearing()
        self.book = AlarmBook(
            SITE, Causes(320), self.hearing, table=kinds.with_routes({}), mono=lambda: self.mono
        )  # fmt: skip
        self.letters = AlarmLetters(self.book)
        self.store = Store(
            self.folder / "store.sqlite", outlets=self.outlets, settings=self.settings, post=self._deliveries.put,
            decode=decode, folds=[self.book],
        )  # fmt: skip
        self.intake = Intake(
            self.registry, self.store, self.clock, instance=os.urandom(8),
            on_commit=lambda row, report: self.committed.append(row.report_id),
        )  # fmt: skip
        with listing.reading(self.store.path) as db:
            self.hearing.begin(db, self.mono)
        db.close()
        self.watch = Watch(self.book, self.hearing, self.clock, lambda: self.mono, self._submit)
        self.store.start()
        self.look_at_places()
        self.change(lambda db, now_ms: self.letters.outlets(db, {name: frozenset((ALARMS,)) for name in self.wanted}))

    def look_at_places(self) -> None:
        feeders: Any = Places(SITE).feeders
        feeders.update(place.feeder for place in self.places.values() if place.feeder)
        self.book.places = Places(SITE, dict(self.places), feeders)
        self.book.causes.middle = self.book.places.middle()

    def _submit(self, apply: Any) -> bool:
        self.change(apply)
        return True

    def change(self, apply: Any) -> Any:
        """Commit a change of the book and wait for it."""
        now_ms = round(self.clock.now * 1000)
        result: list[Any] = []
        heard: list[Any] = []

        def work(db: Any) -> None:
            result[:] = [apply(db, now_ms)]

        assert self.store.submit(Change(work, now_ms), heard.append)
        end = time.monotonic() + DEADLINE_S
        while not heard:
            self.intake.deliver(self._deliveries.get(timeout=max(end - time.monotonic(), 0.01)))
        assert heard[0].verdict == COMMITTED, self.store.health.last_unstorable or self.store.health.failing
        return result[0]

    def pass_time(self, seconds: float, step: float = 30.0) -> None:
        """Time goes on, and the watch looks every `step` seconds."""
        while seconds > 0:
            some = min(seconds, step)
            self.clock.now += some
            self.mono += some
            seconds -= some
            self.tick()

    def tick(self) -> None:
        asyncio.run(self.watch.tick())

    def lamp(self, address: int, *, number: int | None = None, **about: Any) -> SimulatedNode:
        """A confirmed lamp, at column `number` of a street if it is given."""
        return self._node(address, "lamp", channels.LAMP, number, about)

    def bin(self, address: int, *, number: int | None = None, **about: Any) -> SimulatedNode:
        return self._node(address, "bin", channels.BIN, number, about)

    def _node(
        self, address: int, role: str, wire_role: int, number: int | None, about: dict[str, Any]
    ) -> SimulatedNode:
        if self.registry.get(address) is None:
            add_node(self.registry, address, role)
        if number is not None:
            about |= {"latitude": LATITUDE, "longitude": LONGITUDE + number * COLUMN_DEG}
        self.places[address] = Place(address, SITE, role, **{"asset": f"c{address}", **about})
        self.look_at_places()
        node = SimulatedNode(address, secret_of(address), seed=address, role=wire_role)
        self.confirm(node)
        return node

    def report(self, node: SimulatedNode, values: dict[int, int], at: float | None = None) -> None:
        """One record, taken now, reported and acknowledged."""
        node.take_values(int(self.clock.now if at is None else at), values)
        while node.waiting or node._events:
            self.exchange(node)

    def event(self, node: SimulatedNode, code: int, severity: int, state: int, values: Any = None) -> None:
        node.tell(code, severity, state, int(self.clock.now), values)
        while node._events:
            self.exchange(node)

    def alarms(self, **wanted: Any) -> list[dict[str, Any]]:
        return listing.alarms(self.store.path, self.book._kinds, self.book.places, wanted, 10_000)

    def past(self) -> list[dict[str, Any]]:
        return listing.alarms(self.store.path, self.book._kinds, self.book.places, {}, 10_000, past=True)

    def states(self) -> list[tuple[str, str, str]]:
        return sorted((alarm["kind"], alarm["subject"], alarm["state"]) for alarm in self.alarms())

    def waiting(self, outlet: str = "council") -> list[Letter]:
        with listing.reading(self.store.path) as db:
            found = self.letters.waiting(db, outlet, 100_000, int(self.clock.now))
        db.close()
        return found

    def told(self, outlet: str = "council") -> list[tuple[str, str]]:
        """(kind, state) of each letter that waits, in order."""
        return [(letter.body.get("kind", "maintenance"), letter.body["state"]) for letter in self.waiting(outlet)]

    def maintain(self, scope: str, seconds: float, after: float = 0.0) -> int:
        begins = int(self.clock.now + after)
        window = Window(0, scope, begins, int(begins + seconds), "j.smith", "new lanterns", False)
        return self.change(lambda db, now_ms: self.book.begin_maintenance(db, window, now_ms))

    def acknowledge(self, *idents: str) -> list[str]:
        return self.change(lambda db, now_ms: self.book.acknowledge(db, idents, "j.smith", "on my way", now_ms))

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(row[0]) for row in self.query("SELECT document FROM alarm_change ORDER BY change_id")]
