"""Kerbstone between its nodes and the council: sealed frames in, by MQTT or a serial line, documents out."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from kerbgate.registry import Registry
from kerbtools.bench.gateways.line import Line
from kerbtools.bench.gateways.load import NOTHING, Collector, Publisher
from kerbtools.bench.gateways.process import Process
from kerbtools.bench.gateways.subjects import NODES, SITE, Message, Sends
from kerbtools.simulate import SimulatedNode
from kerbwire import frame

START = 1_772_323_200  # 2026-03-01T00:00:00Z
ANSWER_S = 2.0  # for the answers to a round of frames


class Ours:
    """records: readings a message. serial: nodes on a serial line, else behind a broker."""

    acknowledges = "PUBACK and sealed ack after the commit (FULL)"
    commits = "report, replay window, range, outbox row and roll-ups, many reports a commit (FULL)"

    def __init__(self, folder: Path, field_port: int, council_port: int, *, records: int = 1, serial: bool = False):
        self.name = "kerbstone" + (", serial" if serial else "") + (f", {records} a message" if records > 1 else "")
        self.records = records
        self.field_port = field_port
        self._council_port = council_port
        self._folder = folder
        folder.mkdir()
        self._line = Line() if serial else None
        self._turn = 0
        self._nodes: list[SimulatedNode] = []
        self._base: dict[int, str] = {}
        self._forgotten: dict[int, int] = {}  # by node: how many indices are not expected any more
        if serial:
            self.acknowledges = "sealed ack after the commit (FULL)"

    def prepare(self) -> Process:
        state = self._folder / "state"
        state.mkdir(mode=0o700)
        registry = Registry(state / "registry.sqlite", create=True)
        for address in range(1, NODES + 1):
            secret = os.urandom(16)
            registry.add(address=address, site=SITE, role="bin", board="simulated", secret=secret)
            node = SimulatedNode(address, secret, seed=address, batch=self.records)
            self._nodes.append(node)
            self._base[address] = f"{SITE}/{address}/{node.life.hex()}/"
        registry.close()
        inlet = f"mqtt://127.0.0.1:{self.field_port}/{SITE}"
        if self._line is not None:
            self._line.open(self._folder, self._heard)
            inlet = f"serial:{self._line.path}?baud=4000000"
        (self._folder / "gateway.toml").write_text(
            f'[gateway]\nsite = "{SITE}"\nstate = "state"\n[clock]\nsource = "trusted"\n'
            f'[[inlet]]\nurl = "{inlet}"\n'
            f'[[outlet]]\nname = "council"\nurl = "mqtt://127.0.0.1:{self._council_port}"\n'
        )
        return Process(self.name, self._folder, [sys.executable, "-m", "kerbgate", "run", "--config", "gateway.toml"])

    def sender(self) -> Sends:
        return self._line if self._line is not None else Publisher(self.field_port, "nodes")

    async def introduce(self, sender: Sends, deadline_s: float) -> None:
        """Confirm the nodes' lives: hello, challenge, hello, ack."""
        async with asyncio.timeout(deadline_s), self.hearing():
            while told := [node for node in self._nodes if not node.confirmed]:
                await self._round(sender, told, lambda: all(node.confirmed for node in told))

    async def settle(self, sender: Sends, deadline_s: float) -> None:
        """On a line a node sends again what no ack named; a broker keeps what the gateway has not acknowledged."""
        async with asyncio.timeout(deadline_s):
            while self._line is not None and (told := [node for node in self._nodes if node.waiting]):
                await self._round(sender, told, lambda: not any(node.waiting for node in told))

    async def _round(self, sender: Sends, nodes: list[SimulatedNode], done: Callable[[], bool]) -> None:
        """A frame of each of these nodes, and a while for the answers."""
        await sender.publish([self._message(node, node.next_frame()) for node in nodes])
        with contextlib.suppress(TimeoutError):  # the broker drops what comes before the gateway's subscription
            async with asyncio.timeout(ANSWER_S):
                while not done():  # noqa: ASYNC110  # the condition is the nodes' state
                    await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def hearing(self) -> AsyncGenerator[None]:
        """Meanwhile the nodes of a broker hear what is sent down to them; those of a line always do."""
        if self._line is not None:
            yield
            return
        collector = Collector(self.field_port, "answers", f"kerb/1/{SITE}/down/+", answer=self._heard_from)
        task = asyncio.create_task(collector.run())
        try:
            await collector.subscribed.wait()
            yield
        finally:
            task.cancel()

    def _heard_from(self, topic: str, data: bytes) -> Message | None:
        self._heard(data)
        return NOTHING

    def _heard(self, data: bytes) -> None:
        self._nodes[frame.parse(data).node - 1].feed(data)

    def messages(self, count: int) -> list[Message]:
        made: list[Message] = []
        while len(made) < count:
            node = self._nodes[self._turn % NODES]
            node.take(self.records, START + self._turn // NODES * 3600 * self.records)
            made.append(self._message(node, node.stream()))
            self._turn += 1
        return made

    def forget(self) -> None:
        for node in self._nodes:
            self._forgotten[node.address] = len(node.taken)

    def expected(self) -> set[str]:
        forgotten = self._forgotten
        return {
            f"{self._base[node.address]}{index}"
            for node in self._nodes
            for index in node.taken[forgotten.get(node.address, 0) :]
        }

    def order(self, ident: str) -> tuple[int, ...]:
        _, node, _, index = ident.split("/")
        return int(index) // self.records, int(node), int(index)

    def ids(self, document: bytes) -> list[str]:
        return [record["id"] for record in json.loads(document)["records"]]

    def answer(self, topic: str, payload: bytes) -> Message | None:
        return None

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    @staticmethod
    def _message(node: SimulatedNode, data: bytes | None) -> Message:
        if data is None:
            raise RuntimeError(f"node {node.address} has nothing to say")
        return f"kerb/1/{SITE}/up/{node.address}", data
