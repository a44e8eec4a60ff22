"""In which order a council sees the documents of a node: first copies as they were committed, whatever is lost."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from forward_harness import Sending, make_pump, until_async
from gateway_harness import START, Rig

from kerbgate.errors import DocumentRefused, OutletError
from kerbgate.outlets.base import Link
from kerbgate.store import Reader


class Wire(Sending):
    """A broker behind one ordered connection: takes messages in their order, answers later in any order, and loses
    connections, with what was sent on them or only with its answers."""

    name = "council"
    warning = None
    most_bytes = 0

    def __init__(self, seed: int, refused: frozenset[str] = frozenset()):
        super().__init__()
        self.got: list[str] = []
        self.refused = refused
        self.refusals: list[str] = []
        self._random = random.Random(seed)

    def connect(self) -> AbstractAsyncContextManager[Link]:
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Link]:
        self._left = self._random.randrange(1, 60)  # messages until it breaks
        self._broken = asyncio.Event()
        try:
            yield self
        finally:
            self.drop()

    async def ended(self) -> None:
        await self._broken.wait()
        raise OutletError("the connection ended", "-")

    async def publish(self, topic: str, payload: bytes) -> None:
        name = payload.split(b'"id":"')[1].split(b'"')[0].decode()
        if self._broken.is_set():
            raise OutletError("the connection ended", "-")
        self._left -= 1
        if self._left > 0 or self._random.random() < 0.5:
            if name in self.refused:
                self.refusals.append(name)
            else:
                self.got.append(name)
        if self._left <= 0:
            self._broken.set()
            await asyncio.Event().wait()
        for _ in range(self._random.randrange(1, 8)):
            await asyncio.sleep(0)
        if self._broken.is_set():
            await asyncio.Event().wait()
        if name in self.refused:
            raise DocumentRefused("Payload format invalid (0x99)", "-")


def filled(tmp_path: Path, reports: int) -> tuple[Rig, dict[int, list[str]]]:
    """Reports of three nodes, mixed; and the names of their documents by node, in order."""
    rig = Rig(tmp_path)
    nodes = [rig.node(address, batch=1) for address in (1, 2, 3)]
    for node in nodes:
        rig.confirm(node)
    names: dict[int, list[str]] = {node.address: [] for node in nodes}
    for number in range(reports):
        node = nodes[number * number % 3]
        node.take(1, START + number)
        rig.exchange(node)
        index = node.taken[-1]
        names[node.address].append(f"harbour/{node.address}/{node.life.hex()}/{index}-{index}")
    return rig, names


def forward(rig: Rig, wire: Wire, left: int, **settings: Any) -> Any:
    async def main() -> Any:
        with contextlib.closing(Reader(rig.store.path)) as reader:
            pump = make_pump(wire, rig.store, reader, **{"window": 16} | settings)
            task = asyncio.create_task(pump.run())
            await until_async(lambda: sum(reader.outbox().values()) == left, f"{left} are left")
            task.cancel()
            await asyncio.wait([task])
            return pump.state

    return asyncio.run(main())


@pytest.mark.parametrize("send", ["raw", "change"])
@pytest.mark.parametrize("seed", range(6))
def test_first_copies_come_in_order_however_often_the_connection_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, send: str
) -> None:
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.0005)
    monkeypatch.setattr("kerbgate.suspects.STRIKES", 10_000)  # the broker is at fault here, not a document
    rig, names = filled(tmp_path, 250)
    wire = Wire(seed)
    state = forward(rig, wire, 0, send=send, heartbeat_s=60) if send == "change" else forward(rig, wire, 0)
    assert state.connections > 3
    first = list(dict.fromkeys(wire.got))
    assert len(wire.got) > len(first) or seed  # some came twice
    for node, expected in names.items():
        of_node = [name for name in first if name.split("/")[1] == str(node)]
        assert of_node == ([name for name in expected if name in first] if send == "change" else expected)
    rig.close()


def test_a_refused_document_lets_the_others_go_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerbgate.forward.FIRST_RETRY_S", 0.0005)
    rig, names = filled(tmp_path, 120)
    refused = frozenset((names[1][3], names[1][4], names[2][20]))
    wire = Wire(3, refused)
    state = forward(rig, wire, 3)
    assert state.set_aside == 3 and set(wire.refusals) == refused
    first = list(dict.fromkeys(wire.got))
    for node, expected in names.items():
        assert [name for name in first if name.split("/")[1] == str(node)] == [n for n in expected if n not in refused]
    rig.close()
