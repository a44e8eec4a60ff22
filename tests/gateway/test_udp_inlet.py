"""The UDP inlet: frames as datagrams, answers to where they came from, loss, kills, strangers, options."""

import asyncio
import contextlib
import random
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import DEADLINE_S, Broker, Council, GatewayProcess, Rig, closing_all, soon, taken_ids, until

from kerbgate.errors import InletError
from kerbgate.inlets import Route, open_inlet
from kerbgate.inlets.udp import MAX_UNSENT, UdpInlet
from kerbtools.simulate import SimulatedNode
from kerbwire.frame import MAX_FRAME


def a_free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class UdpStreet:
    """Nodes with a socket each, on a network that loses datagrams both ways."""

    PATIENCE_S = 0.1

    def __init__(self, nodes: list[SimulatedNode], port: int, loss: float = 0.0):
        self.lost = 0
        self._random = random.Random(1)
        self._loss = loss
        self._gateway = ("127.0.0.1", port)
        self._nodes = {socket.socket(socket.AF_INET, socket.SOCK_DGRAM): node for node in nodes}
        self._due = dict.fromkeys(self._nodes, 0.0)
        for each in self._nodes:
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)

    def close(self) -> None:
        for each in self._nodes:
            each.close()

    def run(self) -> None:
        """Exchange frames until every node is confirmed and has nothing left to send."""
        end = time.monotonic() + DEADLINE_S
        while not all(node.confirmed and not node.waiting for node in self._nodes.values()):
            assert time.monotonic() < end, "every record is acknowledged"
            now = time.monotonic()
            for each, node in self._nodes.items():
                if now >= self._due[each] and (frame := node.next_frame()) is not None:
                    self._due[each] = now + self.PATIENCE_S
                    if not self._is_lost():
                        each.sendto(frame, self._gateway)
            for each in select.select(list(self._nodes), [], [], 0.02)[0]:
                with contextlib.suppress(ConnectionRefusedError):  # nobody listens: the gateway was killed
                    data = each.recv(2048)
                    if not self._is_lost() and self._nodes[each].feed(data):
                        self._due[each] = 0.0

    def _is_lost(self) -> bool:
        lost = self._random.random() < self._loss
        self.lost += lost
        return lost


class Desk:
    """Collects frames and the ways that they came."""

    full = False

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Route]] = []

    def take(self, data: bytes, route: Route, /) -> None:
        self.taken.append((data, route))

    async def room(self) -> None: ...


@pytest.fixture
def node_socket() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(DEADLINE_S)
        yield made


def test_records_pass_a_network_that_loses_a_third_and_a_gateway_that_is_killed(
    tmp_path: Path, broker: Broker, council: Council
) -> None:
    port = a_free_port()
    gateway = GatewayProcess(tmp_path, inlets=[f"udp:127.0.0.1:{port}"], broker_port=broker.port)
    nodes = gateway.register(range(1, 9))
    street = UdpStreet(nodes, port, loss=0.3)
    gateway.start()
    with closing_all(gateway, street):
        for start in (0, 100):
            for node in nodes:
                node.take(20, 1_772_323_200 + start * 3600)
            street.run()
            gateway.kill()
            gateway.start()
        until(lambda: set(council.records) == taken_ids(nodes), "every record is at the council")
        assert street.lost > 20 and council.changed == []
        assert gateway.status()["inlets"][0]["connected"]
        assert gateway.stop() == 0


def test_answers_go_to_where_a_frame_came_from(node_socket: socket.socket) -> None:
    async def main() -> None:
        desk = Desk()
        inlet = open_inlet("udp:127.0.0.1:0")
        assert isinstance(inlet, UdpInlet)
        task = asyncio.create_task(inlet.run(desk))
        await soon(lambda: inlet.counters.connected, "open")
        for data in (b"", bytes(MAX_FRAME), bytes(MAX_FRAME + 1), b"one"):
            node_socket.sendto(data, ("127.0.0.1", inlet.bound or 0))
        await soon(lambda: inlet.counters.frames + inlet.counters.noise == 4, "all heard")
        assert [data for data, _ in desk.taken] == [bytes(MAX_FRAME), b"one"] and inlet.counters.noise == 2
        way = desk.taken[1][1]
        assert way.send(b"answer") and node_socket.recv(100) == b"answer"
        way.settle(kept=True)
        transport: Any = inlet._transport
        transport.abort()
        await soon(lambda: not inlet.counters.connected, "lost")
        assert not way.send(b"nobody") and inlet.counters.unsent == 1
        await soon(lambda: inlet.counters.opened == 2, "opened again")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_an_address_that_is_taken_is_tried_again_and_said(node_socket: socket.socket) -> None:
    async def main() -> None:
        inlet = open_inlet(f"udp:127.0.0.1:{node_socket.getsockname()[1]}")
        task = asyncio.create_task(inlet.run(Desk()))
        await soon(lambda: "cannot be opened" in (inlet.counters.last_error or ""), "it says why")
        node_socket.close()
        await soon(lambda: inlet.counters.connected, "open")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_who_plays_a_heard_frame_again_moves_no_way_back(tmp_path: Path) -> None:
    """Its ack may go astray, which the node does not wait for; commands go on to where the newest frame came from."""

    class Ways:
        spoke_by: list[Route]

        def __init__(self) -> None:
            self.spoke_by = []

        def spoke(self, node: object, life: bytes, top: int, route: Route) -> None:
            self.spoke_by.append(route)

        def answered(self, node: int, ident: int, status: int) -> bool:
            return False

    rig = Rig(tmp_path)
    with contextlib.closing(rig), contextlib.closing(rig.registry):
        rig.intake.downlinks = ways = Ways()
        node = rig.node(7)
        rig.confirm(node)
        node.take(1, 1_772_323_200)
        frame = node.next_frame()
        assert frame is not None and rig.send(frame)
        before = len(ways.spoke_by)
        assert len(rig.send(frame)) == 1  # known: an ack, and nothing else
        assert len(ways.spoke_by) == before > 0


def test_a_silent_inlet_sends_nothing(node_socket: socket.socket) -> None:
    inlet = open_inlet("udp:127.0.0.1:0", silent=True)
    assert isinstance(inlet, UdpInlet) and not inlet.send(b"x", node_socket.getsockname())
    assert MAX_UNSENT > MAX_FRAME


@pytest.mark.parametrize(
    "url", ["udp:5690", "udp:example.org:5690", "udp:127.0.0.1:", "udp:127.0.0.1:70000", "udp:0.0.0.0:5690?window=3"]
)
def test_a_link_that_cannot_be_read_says_how_to_write_it(url: str) -> None:
    with pytest.raises(InletError) as caught:
        open_inlet(url)
    assert caught.value.hint


def test_addresses_of_both_families(tmp_path: Path) -> None:
    assert open_inlet("udp:[::1]:5690").name == "udp:[::1]:5690"
    assert open_inlet("udp://10.0.0.1:5690").name == "udp:10.0.0.1:5690"
