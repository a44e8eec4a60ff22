"""A property test of the command table: whatever is lost, restarted, wiped or cancelled, and however time goes.

No order is obeyed twice or after its expiry; what the gateway says of it is true of the node; nothing waits for ever.
"""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from commands_harness import CommandNode, CommandRig, document
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kerbgate.commands import table
from kerbgate.commands.request import write_time

NODES = (801, 802, 17)
LONG_S = 4000


class CommandMachine(RuleBasedStateMachine):
    """Two lamps and a bin, one gateway, a council that asks for anything."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.rig = CommandRig(Path(self.folder.name))
        self.nodes: dict[int, CommandNode] = {
            801: self.rig.lamp(801),
            802: self.rig.lamp(802, clock_set=False),  # only the seconds that remain keep it from acting late
            17: self.rig.bin(17, clock_set=False),
        }
        self.obeyed: list[tuple[int, float]] = []
        for node in self.nodes.values():
            node.on_obey = lambda command: self.obeyed.append((command.ident, self.rig.clock.now))
            self.rig.confirm(node)
        self.count = 0
        self.pushed: list[bytes] = []

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            try:
                self.end()
            finally:
                self.rig.close()
                self.folder.cleanup()

    @rule(
        whom=st.sampled_from([{"node": 801}, {"nodes": [801, 802]}, {"group": "river-street"}]),
        operation=st.sampled_from(["dim", "dim", "release", "identify", "sample", "restart"]),
        role=st.sampled_from(["emergency", "operator", "operator", "schedule"]),
        valid_s=st.sampled_from([1, 5, 60, 600, LONG_S]), in_s=st.sampled_from([0, 0, 0, 3, 120]),
        listening=st.booleans(),
    )  # fmt: skip
    def ask(self, whom: Any, operation: str, role: str, valid_s: int, in_s: int, listening: bool) -> None:
        now = int(self.rig.clock.now)
        self.count += 1
        times: dict[str, Any] = {"not_before": now + in_s} if in_s else {}
        times["until" if operation == "dim" else "expires"] = now + in_s + valid_s
        asked = document(f"c{self.count}", operation, whom, **times)
        self.rig.air.sent.clear()
        answer = self.rig.ask(asked, role, listening=listening)
        assert answer["event"] == (
            "refused" if role == "schedule" and operation in ("restart", "identify") else "accepted"
        )
        self.pushed = list(self.rig.air.sent)

    @rule(many=st.integers(10, 20))
    def ask_the_bin_for_much(self, many: int) -> None:
        """More than a node keeps ids of."""
        for _ in range(many):
            self.count += 1
            expires = write_time(int(self.rig.clock.now) + LONG_S)
            answer = self.rig.ask(document(f"c{self.count}", "sample", {"node": 17}, expires=expires))
            assert answer["event"] == "accepted"

    @rule(address=st.sampled_from(NODES), loss=st.sampled_from(["none", "none", "up", "down", "command", "result"]))
    def speak(self, address: int, loss: str) -> None:
        node = self.nodes[address]
        if loss == "result":
            node._results.clear()
        if not node.waiting and not node._results:
            node.take(1, int(self.rig.clock.now))
        sealed = node.next_frame()
        if sealed is None or loss == "up":
            return
        answers = self.rig.send(sealed)
        self.rig.settle()
        if loss != "down":
            for answer in answers[: 1 if loss == "command" else None]:
                node.feed(answer)

    @rule(address=st.sampled_from(NODES), rounds=st.integers(3, 20), pause_s=st.sampled_from([0, 0, 21]))
    def work(self, address: int, rounds: int, pause_s: int) -> None:
        """Many exchanges without a loss."""
        for _ in range(rounds):
            self.speak(address, "none")
            if pause_s:
                self.wait(pause_s)

    @rule(many=st.integers(12, 20))
    def lose_an_answer_among_many(self, many: int) -> None:
        """The first answer is lost, the others come; then the first is asked for again."""
        self.ask_the_bin_for_much(many)
        self.work(17, 3, 0)
        self.nodes[17]._results.clear()
        self.work(17, 2 * many, 0)
        self.wait(21)
        self.work(17, 2, 21)

    @rule(address=st.sampled_from(NODES))
    def lose_a_life_with_an_answer(self, address: int) -> None:
        self.speak(address, "none")
        self.nodes[address].wipe()
        self.work(address, 4, 21)

    @rule(address=st.sampled_from((801, 802)))
    def hear_a_push(self, address: int) -> None:
        for sealed in self.pushed:
            self.nodes[address].feed(sealed)

    @rule(seconds=st.sampled_from([0.5, 1, 4, 21, 61, 700]))
    def wait(self, seconds: float) -> None:
        self.rig.air.sent.clear()
        self.rig.pass_time(seconds)
        self.pushed = list(self.rig.air.sent)

    @rule(address=st.sampled_from(NODES), wiped=st.booleans())
    def restart_a_node(self, address: int, wiped: bool) -> None:
        node = self.nodes[address]
        node.wipe() if wiped else node.reset()

    @rule()
    def restart_the_gateway(self) -> None:
        self.rig.restart()

    @rule(address=st.sampled_from(NODES))
    def kill_the_gateway_as_a_command_leaves(self, address: int) -> None:
        """The frame is committed and its command sent; that it was sent is never written down."""
        self.rig.store.dying = True
        self.speak(address, "none")
        self.rig.restart()

    @precondition(lambda self: self.count > 0)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        which = data.draw(st.integers(1, self.count))
        self.rig.ask(
            {
                "schema": "kerbstone/command/1",
                "id": f"x{self.count}-{which}",
                "operation": "cancel",
                "cancels": f"c{which}",
            },
            "emergency",
        )

    @invariant()
    def no_order_is_obeyed_twice(self) -> None:
        assert all(count == 1 for count in Counter(ident for ident, _ in self.obeyed).values())

    @invariant()
    def none_is_obeyed_after_its_expiry(self) -> None:
        if self.obeyed:
            expiries = dict(self.rig.query("SELECT ident, expiry FROM command_order JOIN command USING (command_id)"))
            assert all(at < expiries[ident] for ident, at in self.obeyed)

    @invariant()
    def what_is_said_is_true(self) -> None:
        obeyed = {ident for ident, _ in self.obeyed}
        for ident, state, status in self.rig.query("SELECT ident, state, status FROM command_order"):
            if state == table.APPLIED:
                assert ident in obeyed
            elif status is None and state in (table.EXPIRED, table.CANCELLED, table.SUPERSEDED, table.ACCEPTED):
                assert ident not in obeyed, f"{state}, but it was obeyed"

    @invariant()
    def no_move_was_outside_the_table(self) -> None:
        assert self.rig.commands.rejected_moves == 0 and self.rig.intake.failures == 0, self.rig.intake.last_error

    def end(self) -> None:
        """Everything ends by its expiry; the log tells of steps of the table only, and the council could follow it."""
        self.rig.pass_time(LONG_S + 200)
        self.rig.pass_time(1)
        assert self.rig.commands.open == (0, 0)
        waiting = "SELECT count(*) FROM command_order WHERE state IN ('accepted', 'queued', 'sent')"
        assert self.rig.query(waiting) == [(0,)]
        assert self.rig.query("SELECT count(*) FROM command WHERE closed IS NULL") == [(0,)]
        steps = {(before, after) for (before, _), after in table.TABLE.items()}
        last: dict[tuple[str, int], str] = {}
        for entry in self.rig.entries():
            for change in entry.get("changes", ()):
                key = (entry["id"], change["node"])
                before = last.get(key)
                begins = {after for first, after in steps if first in (table.ACCEPTED, table.QUEUED)}
                assert change["state"] in begins if before is None else (before, change["state"]) in steps, (
                    key,
                    before,
                )
                last[key] = change["state"]
        states = {(c, n): s for c, n, s in self.rig.query("SELECT command_id, node, state FROM command_order")}
        assert last == states


TestCommands = CommandMachine.TestCase
TestCommands.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCommands.pytestmark = [pytest.mark.timeout(300)]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_long_sweep() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        CommandMachine,
        settings=settings(
            max_examples=500, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
