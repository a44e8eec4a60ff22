"""The BLE inlet, unmodified, on a virtual radio: many nodes in turn, loss, lost connections, strangers, adapter faults."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ble_harness import Walker, join_all, open_link
from bleak.exc import BleakError
from gateway_harness import SITE, Broker, Council, GatewayProcess, closing_all, soon, taken_ids, until

from kerbgate.errors import InletError
from kerbgate.inlets import Route, open_inlet
from kerbgate.inlets.ble import BleInlet
from kerbgate.inlets.ble_radio import Radio, choose, fault
from kerbtools.emulator import World
from kerbtools.emulator.ble_air import BleAir
from kerbtools.emulator.ble_central import BumbleScanner
from kerbwire import gatt

STRANGER = "moor"


class Desk:
    """Collects frames and the ways that they came; answers each with `answers`."""

    full = False

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Route]] = []

    def take(self, data: bytes, route: Route, /) -> None:
        self.taken.append((data, route))
        route.send(b"answer to " + data)
        route.settle(True)

    async def room(self) -> None: ...


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


@contextlib.asynccontextmanager
async def running(inlet: BleInlet, desk: Desk):
    task = asyncio.create_task(inlet.run(desk))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def ble(url: str) -> BleInlet:
    inlet = open_inlet(url)
    assert isinstance(inlet, BleInlet)
    return inlet


def test_nodes_in_turn_with_loss_lost_connections_and_a_gateway_that_is_killed(
    tmp_path: Path, broker: Broker, council: Council, world: World
) -> None:
    air = BleAir(world, loss=0.1, cut=0.01)
    gateway = GatewayProcess(tmp_path, inlets=[f"{air.url}&site={SITE}&connections=2"], broker_port=broker.port)
    nodes = gateway.register(range(1, 5))
    gateway.start()
    with closing_all(gateway):
        for start in (0, 100):
            for node in nodes:
                node.take(24, 1_772_323_200 + start * 3600)
            join_all([Walker(lambda node=node: open_link(world.air, node.address), node) for node in nodes], 40)
            gateway.kill()
            gateway.start()
        until(lambda: set(council.records) == taken_ids(nodes), "every record is at the council")
        assert council.changed == [] and air.lost > 5
        until(lambda: gateway.status()["inlets"][0]["connected"], "it scans again")
        assert gateway.stop() == 0


def test_a_frame_its_signal_its_answer_and_the_other_site(world: World) -> None:
    air = BleAir(world)
    desk = Desk()
    answers: list[bytes | None] = []

    async def main() -> None:
        inlet = ble(f"{air.url}&site={SITE}")
        async with running(inlet, desk):
            await soon(lambda: inlet.counters.connected, "it scans")
            stranger = open_link(world.air, 9, site=STRANGER)
            stranger.start()
            waits = asyncio.create_task(asyncio.to_thread(stranger.wait, 1500))

            def exchange() -> None:
                link = open_link(world.air, 17, rssi=-83)
                link.start()
                try:
                    assert link.wait(10_000) and not link.collects
                    for data in (b"a short one", bytes(range(243))):
                        link.send(data)
                        answers.append(link.receive(3000))
                finally:
                    link.close()

            await asyncio.to_thread(exchange)
            assert not await waits, "a node of another site is left alone"
            stranger.close()
        assert inlet.counters.frames == 2 and inlet.counters.sent == 1 and inlet.counters.noise == 0

    asyncio.run(main())
    assert [data for data, _ in desk.taken] == [b"a short one", bytes(range(243))]
    assert answers == [b"answer to a short one", None]  # the second would be longer than any frame
    signal = desk.taken[0][1].signal
    assert signal is not None and signal.rssi_dbm == -83


def test_an_adapter_that_is_pulled_out_is_said_and_found_again(world: World) -> None:
    air = BleAir(world)
    desk = Desk()

    async def main() -> None:
        inlet = ble(air.url)
        async with running(inlet, desk):
            await soon(lambda: inlet.counters.connected, "it scans")
            air.unplug()
            await soon(lambda: not inlet.counters.connected, "the loss is noticed")
            assert "is not there" in (inlet.counters.last_error or "")
            assert "plug the adapter in" in (inlet.counters.last_error or "")
            air.plug()
            await soon(lambda: inlet.counters.connected and inlet.counters.opened == 2, "found again")

            def exchange() -> None:
                link = open_link(world.air, 3)
                link.start()
                try:
                    assert link.wait(10_000)
                    link.send(b"still here")
                    assert link.receive(3000) == b"answer to still here"
                finally:
                    link.close()

            await asyncio.to_thread(exchange)

    asyncio.run(main())
    assert [data for data, _ in desk.taken] == [b"still here"]


def test_a_deaf_radio_is_told_from_a_quiet_street(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerbgate.inlets.ble_central.LOOK_S", 1.0)
    monkeypatch.setattr("kerbgate.inlets.ble_central.TICK_S", 0.1)
    air = BleAir(world)

    async def main() -> None:
        inlet = BleInlet("ble:", choose(f"127.0.0.1:{air.port}", "virtual"), silence_s=0.2)
        phone = open_link(world.air, 5, site=STRANGER)
        phone._advertisement = b"\x02\x01\x06"  # anybody's
        phone.start()
        heard_enough = threading.Event()

        def advertise() -> None:
            while not heard_enough.is_set():
                phone.wait(500)

        stop = asyncio.create_task(asyncio.to_thread(advertise))
        try:
            async with running(inlet, Desk()):
                await soon(lambda: inlet.counters.connected, "it scans")
                await asyncio.sleep(1.5)
                assert inlet.counters.connected, "a phone is heard: the street is quiet, the radio is not deaf"
                air.deaf = True
                await soon(lambda: not inlet.counters.connected, "deaf")
                assert "hears nobody any more" in (inlet.counters.last_error or "")
                assert "antenna" in (inlet.counters.last_error or "")
                await asyncio.sleep(1.0)
                assert not inlet.counters.connected, "until it hears"
                air.deaf = False
                await soon(lambda: inlet.counters.connected, "it hears again")
        finally:
            heard_enough.set()
            await stop
            phone.close()

    asyncio.run(main())


@pytest.mark.parametrize("result", [None, BleakError("busy")])
def test_an_inlet_ends_though_what_is_below_drops_its_cancellation(result: BleakError | None) -> None:
    """As asyncio.wait_for of Python 3.11 does where its result, or an error, comes with it."""
    stopped: list[bool] = []

    async def main() -> None:
        begun = asyncio.Event()

        class Scanner(BumbleScanner):
            async def start(self) -> None:
                begun.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)
                if result:
                    raise result

            async def stop(self) -> None:
                stopped.append(True)

        inlet = BleInlet("ble:", Radio("the adapter", {"backend": Scanner, "hci": ""}, {}, lambda: True))
        task = asyncio.create_task(inlet.run(Desk()))
        await begun.wait()
        task.cancel()
        assert await asyncio.wait({task}, timeout=10) == ({task}, set())
        assert task.cancelled() and stopped

    asyncio.run(main())


def test_who_forges_and_replays_changes_nothing_and_does_not_keep_others_out(
    tmp_path: Path, broker: Broker, council: Council, world: World
) -> None:
    """An attacker in range advertises as a node, plays what it heard of one again, and what nobody ever said."""
    air = BleAir(world)
    gateway = GatewayProcess(tmp_path, inlets=[f"{air.url}&connections=1"], broker_port=broker.port)
    (node,) = gateway.register(range(1, 2))
    gateway.start()
    heard: list[bytes] = []
    with closing_all(gateway):
        node.take(8, 1_772_323_200)
        original = node.next_frame

        def overhear() -> bytes | None:
            frame = original()
            if frame is not None:
                heard.append(frame)
            return frame

        node.next_frame = overhear  # type: ignore[method-assign]
        join_all([Walker(lambda: open_link(world.air, 1), node)])
        assert len(heard) >= 2
        attacker = open_link(world.air, 1)
        attacker._advertisement = gatt.advertisement(1, SITE)
        attacker.start()
        assert attacker.wait(15_000)

        def refused(*reasons: str) -> int:
            counts = gateway.status()["inlets"][0]["refused"]
            return sum(count for reason, count in counts.items() if not reasons or reason in reasons)

        def attack(frame: bytes, *reasons: str) -> None:
            """Say it until the gateway has heard and refused it: a busy machine loses connections."""
            before = refused(*reasons)

            def is_refused() -> bool:
                attacker.send(frame)
                attacker.receive(100)
                return refused(*reasons) > before

            until(is_refused, f"refused for one of {reasons or 'any reason'}: {frame.hex()}")

        for frame in heard[:2]:
            attack(frame, "duplicate", "replay")
            attack(frame[:-1] + bytes((frame[-1] ^ 1,)), "unsealed")
            attack(os.urandom(40))
        node.take(8, 1_772_323_200 + 8 * 3600)
        walker = Walker(lambda: open_link(world.air, 2), node)  # while the attacker holds the only place
        join_all([walker], 40)
        attacker.close()
        until(lambda: set(council.records) == taken_ids([node]), "every record is at the council")
        assert council.changed == []
        assert gateway.stop() == 0


def test_a_stranger_at_a_node_is_sent_away(world: World) -> None:
    """Who connects and does not say what it wants keeps the gateway out for four seconds, and gets no frame."""
    air = BleAir(world)
    desk = Desk()

    async def main() -> None:
        from bleak import BleakClient, BleakScanner

        radio = choose(f"127.0.0.1:{air.port}", "virtual")
        link = open_link(world.air, 4)
        link.start()

        def exchange() -> None:
            try:
                assert link.wait(15_000)
                link.send(b"for the gateway")
                assert link.receive(3000) == b"answer to for the gateway"
            finally:
                link.close()

        node = asyncio.create_task(asyncio.to_thread(exchange))
        device = await BleakScanner.find_device_by_filter(
            lambda device, said: gatt.SERVICE in said.service_uuids, timeout=10, **radio.scanner
        )
        assert device is not None
        gone = asyncio.Event()
        stranger = BleakClient(device, lambda _: gone.set(), timeout=10, **radio.client)
        await stranger.connect()
        inlet = ble(air.url)
        async with running(inlet, desk):
            async with asyncio.timeout(10):
                await gone.wait()
            await node

    asyncio.run(main())
    assert [data for data, _ in desk.taken] == [b"for the gateway"]


@pytest.mark.parametrize(
    "url",
    ["ble:usb0", "ble:hci0?site=", "ble:?connections=0", "ble:?connections=17", "ble:?speed=1", "ble:x?radio=martian"],
)
def test_a_link_that_cannot_be_read_says_how_to_write_it(url: str) -> None:
    with pytest.raises(InletError) as caught:
        open_inlet(url)
    assert caught.value.hint


def test_a_shadow_cannot_use_it() -> None:
    with pytest.raises(InletError, match="cannot only listen"):
        open_inlet("ble:", silent=True)
    assert open_inlet("ble:").name == "ble:" and open_inlet("ble:hci1?site=x").name == "ble:hci1"


def test_without_bleak_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("kerbgate.inlets.ble")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bleak", None)
    with pytest.raises(InletError, match="needs the package 'bleak'") as caught:
        open_inlet("ble:")
    assert "kerbstone[ble]" in caught.value.hint


def test_each_fault_of_an_adapter_has_its_words() -> None:
    from bleak.exc import (
        BleakBluetoothNotAvailableError,
        BleakBluetoothNotAvailableReason,
        BleakDBusError,
        BleakError,
    )

    for reason in BleakBluetoothNotAvailableReason:
        error = fault("hci0", BleakBluetoothNotAvailableError("text", reason))
        assert error.cause.startswith("hci0 ") and error.hint
    for name, part in (
        ("org.bluez.Error.NotReady", "switched off"),
        ("org.freedesktop.DBus.Error.AccessDenied", "may not be used"),
        ("org.bluez.Error.InProgress", "busy"),
        ("org.freedesktop.DBus.Error.UnknownObject", "is not there"),
        ("org.bluez.Error.Odd", "cannot be used"),
    ):
        error = fault("hci0", BleakDBusError(name, ["details"]))
        assert part in error.cause and error.hint
    assert "does not answer" in fault("hci0", TimeoutError()).cause
    assert "not found" in fault("hci3", BleakError("adapter 'hci3' not found")).cause
    assert "ValueError" in fault("hci0", ValueError("odd")).cause
