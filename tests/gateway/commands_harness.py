"""What the tests of commands share: a rig with commands, and nodes that follow law 6 on a clock that tests set."""

import json
import os
import queue
import time
from pathlib import Path
from typing import Any

from gateway_harness import DEADLINE_S, SITE, START, Rig, add_node, secret_of

from kerbgate import audit, decoding
from kerbgate.commands import Commands, Groups, GroupVoice, Ledger
from kerbgate.commands.request import write_time
from kerbgate.intake import Intake
from kerbgate.store import Store
from kerbgate.store.items import Change
from kerbgate.store.store import Delivery
from kerbtools.simulate import SimulatedNode
from kerbwire import channels
from kerbwire.commands import OBEY
from kerbwire.controls import APPLIED, Command, Config, Result

GROUPS = """
[[group]]
name = "river-street"
street = "River Street"
scope = 7
nodes = ["801-803"]
[[group]]
name = "quay"
street = "The Quay"
nodes = ["804", "805-806", "17"]
"""


class CommandNode(SimulatedNode):
    """A node that obeys: its own clock, what it did in order, and what it is now."""

    def __init__(self, address: int, *, utc: Any, clock_set: bool = True, **options: Any):
        super().__init__(address, secret_of(address), seed=address, **options)
        self._utc = utc
        self.clock_set = clock_set
        self.done: list[tuple[int, int, tuple[int, ...]]] = []  # (id, operation or -1 for a config, arguments)
        self.heard: list[Command | Config] = []
        self.answers: dict[int, int] = {}  # status to answer by operation, instead of applied
        self.details: dict[int, int] = {}  # what to add, by operation
        self.on_obey: Any = lambda command: None

    def _obey(self, command: Command | Config) -> None:
        self.heard.append(command)
        now = int(self._utc()) if self.clock_set else None
        expiry, remaining = (command.expiry, command.remaining) if isinstance(command, Command) else (1 << 32, 1)
        verdict, status, detail = self._commands.offer(command.ident, expiry, remaining, now)
        if verdict == OBEY:
            self._commands.begin(command.ident)
            self.on_obey(command)
            operation = command.operation if isinstance(command, Command) else -1
            arguments = command.arguments if isinstance(command, Command) else ()
            self.done.append((command.ident, operation, tuple(arguments)))
            status, detail = self.answers.get(operation, APPLIED), self.details.get(operation)
            self._commands.finish(command.ident, status, detail)
        self._results.append(Result(command.ident, status, detail))


class Watched(Store):
    """A store that counts what was submitted to it. dying: the process ends before the next write of commands."""

    submitted = 0
    dying = False

    def submit(self, arrival: Any, done: Any) -> bool:
        if self.dying and isinstance(arrival, Change):
            return True
        taken = super().submit(arrival, done)
        self.submitted += taken
        return taken


class Deliveries(queue.Queue[Delivery]):
    """The way back from the writer; counts what was taken out."""

    taken = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Delivery:
        delivery = super().get(block, timeout)
        self.taken += len(delivery)
        return delivery


class CommandRig(Rig):
    """A rig whose clock drives commands: `mono` goes with the clock, unless a test takes them apart."""

    def __init__(self, folder: Path, **settings: Any):
        self.mono = 1000.0
        (folder / "groups.toml").write_text(GROUPS)
        self.broadcasts: list[bytes] = []
        super().__init__(folder, **settings)

    def open(self, decode: Any = decoding.read_again) -> None:
        self._deliveries: Any = Deliveries()
        self.key = audit.Key.open(self.folder, create=True)
        self.ledger = Ledger(SITE, self.key)
        self.store = Watched(
            self.folder / "store.sqlite", outlets=self.outlets, settings=self.settings, post=self._deliveries.put,
            decode=decode, answered=self.ledger.answered,
        )  # fmt: skip
        self.intake = Intake(self.registry, self.store, self.clock, instance=os.urandom(8), on_commit=lambda *_: None)
        self.commands = Commands(
            site=SITE, store=self.store, ledger=self.ledger, registry=self.registry, clock=self.clock,
            groups=Groups.load(SITE, self.folder / "groups.toml"), voice=GroupVoice(self.folder),
            broadcast=self._broadcast, mono=lambda: self.mono,
        )  # fmt: skip
        self.intake.downlinks = self.commands
        self.store.start()
        self.commands.begin(self.intake)
        self.settle()
        assert self.commands.ready
        self.commands.tick()  # the numbers of group messages are reserved
        self.settle()

    def _broadcast(self, frame: bytes, nodes: list[int]) -> int:
        self.broadcasts.append(frame)
        return 1

    def pass_time(self, seconds: float) -> None:
        """Time goes on, and what is due by then is done."""
        self.clock.now += seconds
        self.mono += seconds
        self.tick()

    def tick(self) -> None:
        self.commands.tick()
        self.settle()

    def settle(self) -> None:
        """Deliver what the writer commits until it has nothing left to do."""
        end = time.monotonic() + DEADLINE_S
        while self._deliveries.taken < self.store.submitted:
            self.intake.deliver(self._deliveries.get(timeout=max(end - time.monotonic(), 0.01)))

    def lamp(self, address: int, **options: Any) -> CommandNode:
        if self.registry.get(address) is None:
            add_node(self.registry, address, "lamp")
        return CommandNode(address, utc=self.clock.utc, role=channels.LAMP, **options)

    def bin(self, address: int, **options: Any) -> CommandNode:
        if self.registry.get(address) is None:
            add_node(self.registry, address, "bin")
        return CommandNode(address, utc=self.clock.utc, **options)

    def speak(self, node: CommandNode) -> list[bytes]:
        """The node takes a record and reports it; the answers have reached it."""
        if not node.waiting and not node._results:
            node.take(1, int(self.clock.now))
        frame = node.next_frame()
        assert frame is not None
        answers = self.send(frame)
        for answer in answers:
            node.feed(answer)
        self.settle()
        return answers

    def ask(
        self, document: dict[str, Any] | bytes, role: str = "operator", *, listening: bool = False
    ) -> dict[str, Any]:
        """Submit a document and wait for the answer. listening: lamps are told at once, not at their next frame."""
        if not listening:
            self.commands._ways.clear()  # as after a start, until a lamp speaks
        heard: list[dict[str, Any]] = []
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.commands.submit(data if role != "local" else json.loads(data), role, heard.append)
        self.settle()
        assert len(heard) == 1
        return heard[0]

    def states(self, command_id: str) -> dict[int, str]:
        return dict(self.query("SELECT node, state FROM command_order WHERE command_id=?", command_id))

    def entries(self, kind: str = "state") -> list[dict[str, Any]]:
        return [json.loads(row[0]) for row in self.query("SELECT entry FROM audit WHERE kind=? ORDER BY seq", kind)]


def document(ident: str, operation: str = "dim", target: Any = None, **fields: Any) -> dict[str, Any]:
    """A command as the council writes it. Times in seconds are counted from START."""
    out: dict[str, Any] = {
        "schema": "kerbstone/command/1", "id": ident, "operation": operation,
        "target": {"node": 801} if target is None else target,
    }  # fmt: skip
    if operation == "dim":
        out |= {"arguments": {"level_percent": 40}, "until": START + 3600}
    elif operation == "brighten":
        out |= {"arguments": {"for_s": 1800}}
    else:
        out |= {"expires": START + 3600}
    out |= fields
    for name in ("until", "expires", "not_before"):
        if isinstance(out.get(name), int):
            out[name] = write_time(out[name])
    return out
