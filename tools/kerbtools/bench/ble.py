"""Reports over Bluetooth Low Energy while fragments and connections are lost: every record at the store, once.

Four nodes speak through the firmware's own link, two of them on radios with an MTU of 104, which cut a report in two or
three; the gateway's own inlet visits them by bleak. Values are drawn so that a sealed report takes some 200 bytes. The
radio is bumble's: it has no air time, so seconds are of this machine and its waits (400 ms for an answer), not of a
street.
"""

import asyncio
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kerbgate import decoding
from kerbgate.clock import SystemClock
from kerbgate.config import StoreSettings
from kerbgate.inlets import open_inlet
from kerbgate.intake import Intake
from kerbgate.registry import Registry
from kerbgate.store import Store
from kerbgate.store.items import StoredReport
from kerbgate.store.store import Delivery
from kerbtools.simulate import SimulatedNode
from kerbwire import channels, gatt
from kerbwire.events import Event
from kerbwire.messages import Report

if TYPE_CHECKING:  # emulation is POSIX only
    from kerbtools.emulator import World
    from kerbtools.emulator.ble_air import BleAir
    from kerbtools.emulator.ble_walker import Walker

SITE = "bench"
REPORTS = 1000
NODES = 4
RECORDS = 86  # of a report: 200 bytes sealed, of values that nothing predicts
START = 1_772_323_200  # 2026-03-01T00:00:00Z
SMALL_MTU = 104
CUT = 0.005  # of fragments, with which the connection goes
CASES = ((0.0, REPORTS), (0.1, REPORTS), (0.3, 240))  # share of fragments lost, reports
TIMEOUT_S = 600.0


def rows() -> Iterator[dict[str, object]]:
    """One row a share of fragments that are lost."""
    for loss, reports in CASES:
        yield measure(reports, loss, CUT if loss else 0.0)


def measure(reports: int, loss: float, cut: float) -> dict[str, object]:
    """reports: in all, a multiple of NODES. TimeoutError where a node does not get rid of its records."""
    from kerbtools.emulator import World
    from kerbtools.emulator.ble_air import BleAir

    with tempfile.TemporaryDirectory(prefix="kerb-bench-") as folder, World() as world:
        air = BleAir(world, loss=loss, cut=cut)
        return asyncio.run(_measure(Path(folder), world, air, reports))


async def _measure(folder: Path, world: "World", air: "BleAir", reports: int) -> dict[str, object]:
    from kerbtools.emulator.ble_walker import join_all

    registry = Registry(folder / "registry.sqlite", create=True)
    nodes: list[SimulatedNode] = []
    for address in range(1, NODES + 1):
        secret = os.urandom(16)
        registry.add(address=address, site=SITE, role="bin", board="simulated", secret=secret)
        nodes.append(SimulatedNode(address, secret, seed=address, batch=RECORDS))
    loop = asyncio.get_running_loop()

    def post(delivery: Delivery) -> None:
        loop.call_soon_threadsafe(intake.deliver, delivery)

    stored: Counter[tuple[int, bytes, int]] = Counter()
    sizes: list[int] = []

    def committed(row: StoredReport, read: Report | Event) -> None:
        sizes.append(len(row.message) + 16)  # with the seal and its header, of 3-byte numbers and 1-byte addresses
        for place in range(row.count):
            if row.fresh is None or row.fresh >> place & 1:
                stored[row.node, row.life, row.first + place] += 1

    store = Store(
        folder / "store.sqlite", outlets=["council"], settings=StoreSettings(), post=post, decode=decoding.read_again
    )
    intake = Intake(registry, store, SystemClock(), instance=os.urandom(8), on_commit=committed)
    store.start()
    inlet = open_inlet(f"{air.url}&site={SITE}&connections=3")  # one node has to wait for another
    visits = asyncio.create_task(inlet.run(intake))
    walkers = [_walker(world, node, reports // NODES) for node in nodes]
    began = time.monotonic()
    try:
        await asyncio.to_thread(join_all, walkers, TIMEOUT_S)
    finally:
        seconds = time.monotonic() - began
        visits.cancel()
        await asyncio.wait({visits})
        store.stop()
        registry.close()
    taken = {(node.address, node.life, index) for node in nodes for index in node.taken}
    return {
        "fragments_lost": air.loss,
        "reports": reports,
        "bytes_a_report": sum(sizes) / len(sizes),
        "records": len(taken),
        "lost": len(taken - set(stored)),
        "doubled": sum(stored.values()) - len(stored),
        "fragments": air.fragments,
        "of_them_lost": air.lost,
        "connections": sum(walker.connections for walker in walkers),
        "cut_off": air.cuts,
        "frames_sent": sum(walker.frames for walker in walkers),
        "seconds": seconds,
    }


def _walker(world: "World", node: SimulatedNode, reports: int) -> "Walker":
    """One node, which has one report to say after the other."""
    from kerbtools.emulator.ble_walker import Walker, open_link

    rng = random.Random(node.address)  # noqa: S311  a scene, not a secret
    left = [reports]

    def give() -> bool:
        if not left[0]:
            return False
        number = reports - left[0]
        left[0] -= 1
        for place in range(RECORDS):
            values = {channels.FILL: rng.randrange(101), channels.TEMPERATURE: rng.randrange(-40, 120)}
            node.take_values(START + (number * RECORDS + place) * 3600, values)
        return True

    most_mtu = SMALL_MTU if node.address % 2 else gatt.MTU
    return Walker(lambda: open_link(world.air, node.address, SITE, most_mtu=most_mtu), node, give)
