"""The BLE inlet with bleak's own BlueZ backend, on a real D-Bus; BlueZ itself is played, as far as an adapter goes."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import BusType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_property, method
from gateway_harness import soon, until

from kerbgate.inlets.ble import BleInlet
from kerbgate.inlets.ble_radio import choose
from kerbwire import gatt

RULES = "".join(f'<allow receive_type="{kind}"/>' for kind in ("method_return", "signal", "error", "method_call"))


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system bus of our own, with nobody on it."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("dbus-daemon is not installed: apt-get install dbus")
    (tmp_path / "bus.conf").write_text(
        '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"'
        ' "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">'
        f"<busconfig><type>system</type><listen>unix:path={tmp_path}/bus</listen><auth>EXTERNAL</auth>"
        f'<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>{RULES}</policy>'
        "</busconfig>"
    )
    daemon = subprocess.Popen([program, f"--config-file={tmp_path}/bus.conf", "--nofork"], stderr=subprocess.DEVNULL)
    try:
        until(lambda: (tmp_path / "bus").exists(), "the bus listens")
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
        yield
    finally:
        daemon.kill()
        daemon.wait()


class Adapter(ServiceInterface):
    """org.bluez.Adapter1. refusal: the error that a scan meets."""

    def __init__(self, powered: bool = True, refusal: str | None = None) -> None:
        super().__init__("org.bluez.Adapter1")
        self.powered = powered
        self.refusal = refusal
        self.filters: dict[str, Any] = {}
        self.scans = 0

    @dbus_property(access=PropertyAccess.READ)
    def Powered(self) -> "b":  # type: ignore[name-defined]  # noqa: F821
        return self.powered

    @dbus_property(access=PropertyAccess.READ)
    def Roles(self) -> "as":  # type: ignore[valid-type]  # noqa: F722
        return ["central", "peripheral"]

    @method()
    def SetDiscoveryFilter(self, filters: "a{sv}"):  # type: ignore[valid-type]  # noqa: F722
        self.filters = {name: variant.value for name, variant in filters.items()}

    @method()
    def StartDiscovery(self):
        if self.refusal:
            raise DBusError(self.refusal, "as it is")
        self.scans += 1

    @method()
    def StopDiscovery(self):
        """Nothing to do."""


@contextlib.asynccontextmanager
async def bluez(*adapters: Adapter) -> AsyncIterator[MessageBus]:
    """BlueZ with these adapters, hci0 and on."""
    connection = await MessageBus(bus_type=BusType.SYSTEM).connect()
    for number, adapter in enumerate(adapters):
        connection.export(f"/org/bluez/hci{number}", adapter)
    await connection.request_name("org.bluez")
    try:
        yield connection
    finally:
        connection.disconnect()


class Nobody:
    full = False

    def take(self, data: bytes, route: Any, /) -> None:
        raise AssertionError("nobody is there")

    async def room(self) -> None: ...


@contextlib.asynccontextmanager
async def inlet(address: str = "", silence_s: float = 300.0) -> AsyncIterator[BleInlet]:
    made = BleInlet(f"ble:{address}", choose(address, None), silence_s=silence_s)
    task = asyncio.create_task(made.run(Nobody()))
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def said_of(address: str, *adapters: Adapter, has_bluez: bool = True) -> str:
    """What the inlet says of what it finds."""

    async def main() -> str:
        async with contextlib.AsyncExitStack() as stack:
            if has_bluez:
                await stack.enter_async_context(bluez(*adapters))
            made = await stack.enter_async_context(inlet(address))
            await soon(lambda: made.counters.last_error, "it says why")
            assert not made.counters.connected
            return made.counters.last_error or ""

    return asyncio.run(main())


def test_without_a_system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    assert "BlueZ does not run" in said_of("hci0", has_bluez=False)


@pytest.mark.usefixtures("bus")
def test_without_bluez_on_the_bus() -> None:
    assert "BlueZ does not run" in said_of("hci0", has_bluez=False)


@pytest.mark.usefixtures("bus")
def test_adapters_that_are_missing_switched_off_busy_or_forbidden() -> None:
    assert "is not there" in said_of("")
    assert "hci3" in (text := said_of("hci3", Adapter())) and "bluetoothctl list" in text
    assert "is switched off" in said_of("", Adapter(powered=False))
    assert "is switched off" in said_of("hci0", Adapter(refusal="org.bluez.Error.NotReady"))
    assert "another program's scan" in said_of("hci0", Adapter(refusal="org.bluez.Error.InProgress"))
    assert "usermod" in said_of("hci0", Adapter(refusal="org.freedesktop.DBus.Error.AccessDenied"))


@pytest.mark.usefixtures("bus")
def test_a_scan_asks_for_nodes_only_and_for_each_of_their_advertisements() -> None:
    adapter = Adapter()

    async def main() -> None:
        async with bluez(adapter), inlet("hci0") as made:
            await soon(lambda: made.counters.connected, "it scans")
            assert adapter.filters["UUIDs"] == [gatt.SERVICE] and adapter.filters["DuplicateData"] is True
            assert adapter.scans == 1

    asyncio.run(main())


@pytest.mark.usefixtures("bus")
def test_a_bluez_that_ends_is_noticed_by_its_silence_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerbgate.inlets.ble_central.LOOK_S", 0.2)
    monkeypatch.setattr("kerbgate.inlets.ble_central.TICK_S", 0.1)

    async def main() -> None:
        async with inlet("hci0", silence_s=0.3) as made:
            async with bluez(Adapter()):
                await soon(lambda: made.counters.connected, "it scans")
            await soon(lambda: not made.counters.connected, "noticed")
            assert "BlueZ does not run" in (made.counters.last_error or "")
            async with bluez(Adapter()):
                await soon(lambda: made.counters.connected, "it scans again")

    asyncio.run(main())
