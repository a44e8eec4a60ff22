"""Alarms against a simple model: any order of reports, events, copies, late frames, restarts, rollbacks, clock jumps,
maintenance and time gives the letters that the model writes, each once and in order."""

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from alarms_harness import LIT, AlarmRig
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kerbgate.alarms import kinds
from kerbwire.channels import FAULTS
from kerbwire.events import CLEARED, RAISED, WARNING

STEP_S = 60
NODES = (801, 802)
BIT = next(bit for bit, name in kinds.OF_BIT.items() if name == "too hot")
OTHER = next(code for code, name in kinds.OF_EVENT.items() if name == "door open")
KINDS = {"too hot": kinds.KINDS["too hot"], "door open": kinds.KINDS["door open"]}


@dataclass
class Model:
    """One kind at one node: nothing but whether its cause is there, what waits, and what was told."""

    raise_s: int
    clear_s: int
    on: bool = False
    open: bool = False
    raised: bool = False  # people know of it as raised
    told: bool = False
    covered: bool = False
    wait: float | None = None
    letters: list[str] = field(default_factory=list)

    def observe(self, on: bool) -> None:
        if on and not self.open:
            self.open = True
            self.wait = None if self.covered else self.raise_s
        elif on and not self.on:
            self.wait = None
        elif not on and self.open and self.on:
            if not self.raised and not self.covered:  # pending: it is dropped
                self.open, self.wait = False, None
            else:
                self.wait = self.clear_s
        self.on = on

    def step(self) -> None:
        if self.wait is None:
            return
        self.wait -= STEP_S
        if self.wait > 0:
            return
        self.wait = None
        if self.on:
            self.raised = self.told = True
            self.letters.append("raised")
        else:
            if self.told:
                self.letters.append("cleared")
            self.open = self.raised = self.told = False

    def restart(self) -> None:
        if self.wait is not None:
            self.wait = self.raise_s if self.on else self.clear_s

    def cover(self) -> None:
        self.covered = True
        if self.open and self.on:
            if self.raised:
                self.letters.append("suppressed")
            self.wait = None
        elif self.open:
            self.wait = self.clear_s

    def uncover(self) -> None:
        self.covered = False
        if self.open and self.on:
            self.raised = self.told = True
            self.letters.append("raised")
        elif self.open:
            self.raised = True
            self.wait = self.clear_s


class AlarmMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.rig = AlarmRig(Path(self.folder.name))
        self.nodes = {address: self.rig.lamp(address, number=address) for address in NODES}
        self.model = {
            (name, address): Model(kind.raise_s, kind.clear_s) for name, kind in KINDS.items() for address in NODES
        }
        self.held_back: list[bytes] = []
        self.copies: list[bytes] = []
        self.window: int | None = None
        self.jumped = 0.0

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            self.rig.close()
            self.rig.registry.close()
            self.folder.cleanup()

    @property
    def node_time(self) -> int:
        return int(self.rig.clock.now - self.jumped)

    @rule(address=st.sampled_from(NODES), on=st.booleans())
    def report(self, address: int, on: bool) -> None:
        node = self.nodes[address]
        node.take_values(self.node_time, LIT | {FAULTS: BIT if on else 0})
        self._send(address)
        self.model["too hot", address].observe(on)

    @rule(address=st.sampled_from(NODES), on=st.booleans())
    def event(self, address: int, on: bool) -> None:
        self.nodes[address].tell(OTHER, WARNING, RAISED if on else CLEARED, self.node_time)
        self._send(address)
        self.model["door open", address].observe(on)

    def _send(self, address: int) -> None:
        node = self.nodes[address]
        while node.waiting or node._events:
            frame = node.next_frame()
            assert frame is not None
            self.copies = [*self.copies[-5:], frame]
            for answer in self.rig.send(frame):
                node.feed(answer)

    @rule(address=st.sampled_from(NODES))
    def hold_a_frame_back(self, address: int) -> None:
        """A report with the fault on that comes after the next ones."""
        node = self.nodes[address]
        node.take_values(self.node_time, LIT | {FAULTS: BIT})
        frame = node.next_frame()
        assert frame is not None
        node._outbox.clear()
        node._sent.clear()
        node.take_values(self.node_time, LIT | {FAULTS: 0})
        self._send(address)
        self.model["too hot", address].observe(False)
        self.held_back.append(frame)

    @rule()
    def late(self) -> None:
        for frame in self.held_back:
            self.rig.send(frame)
        self.held_back.clear()

    @rule()
    def again(self) -> None:
        for frame in self.copies:
            self.rig.send(frame)

    @rule(steps=st.integers(1, 20))
    def time_passes(self, steps: int) -> None:
        for _ in range(steps):
            self.rig.pass_time(STEP_S, STEP_S)
            for model in self.model.values():
                model.step()

    @rule()
    def restart(self) -> None:
        self.rig.restart()
        for model in self.model.values():
            model.restart()

    @rule()
    def rollback(self) -> None:
        def fails(db: Any, now_ms: int) -> None:
            self.rig.book.observe(db, {(kinds.DISK, "gateway:disk"): {}}, now_ms)
            raise ValueError("rolled back")

        with contextlib.suppress(AssertionError):
            self.rig.change(fails)
            pytest.fail("it was committed")

    @rule(jump_s=st.sampled_from([-86_400, -3_600, 3_600, 86_400]))
    def clock_jumps(self, jump_s: int) -> None:
        if self.window is None:  # maintenance goes by the wall clock, as people do
            self.rig.clock.now += jump_s
            self.jumped += jump_s

    @rule()
    def maintain(self) -> None:
        if self.window is None:
            self.window = self.rig.maintain("site:harbour", 30 * 86_400)
            for model in self.model.values():
                model.cover()
        else:
            number, self.window = self.window, None
            assert self.rig.change(lambda db, now_ms: self.rig.book.end_maintenance(db, number, now_ms))
            for model in self.model.values():
                model.uncover()

    @invariant()
    def the_letters_are_the_models(self) -> None:
        if not hasattr(self, "model"):
            return
        told: dict[tuple[str, int], list[str]] = {key: [] for key in self.model}
        revisions: dict[str, list[int]] = {}
        for document in self.rig.rows():
            if "kind" in document and document["kind"] in KINDS:
                told[document["kind"], document["subject"]["name"]].append(document["state"])
                revisions.setdefault(document["alarm"], []).append(document["revision"])
        assert told == {key: model.letters for key, model in self.model.items()}
        assert all(numbers == sorted(set(numbers)) for numbers in revisions.values())
        assert len(self.rig.waiting()) == len(self.rig.rows())
        found = {(kind, subject) for kind, subject, _ in self.rig.states() if kind in KINDS}
        assert found == {(kind, f"node:{node}") for (kind, node), model in self.model.items() if model.open}


TestAlarms = AlarmMachine.TestCase
TestAlarms.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_long_sweep_of_alarms() -> None:
    run_state_machine_as_test(
        AlarmMachine,
        settings=settings(
            max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
