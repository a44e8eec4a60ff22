"""The serial inlet on a real pty: frames, noise, ports that vanish, peers that do not read, options."""

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import soon

from kerbgate.errors import InletError
from kerbgate.inlets import Route, open_inlet
from kerbgate.inlets.port import MAX_UNSENT
from kerbgate.inlets.serial import SerialInlet
from kerbwire import line


class Desk:
    """Collects frames; can be full."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.full = False
        self.space = asyncio.Event()

    def take(self, data: bytes, route: Route, /) -> None:
        self.frames.append(data)

    async def room(self) -> None:
        await self.space.wait()
        self.full = False


class Port:
    """A pty whose path stays the same over a replug."""

    def __init__(self, folder: Path):
        self.path = folder / "port"
        self.plug()

    def plug(self) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self.master)
        os.close(self._slave)


def with_inlet(tmp_path: Path, work: Callable[[SerialInlet, Desk, Port], Awaitable[None]]) -> None:
    async def main() -> None:
        port, desk = Port(tmp_path), Desk()
        inlet = open_inlet(f"serial:{port.path}?baud=115200")
        assert isinstance(inlet, SerialInlet)
        task = asyncio.create_task(inlet.run(desk))
        try:
            await soon(lambda: inlet.counters.connected, "open")
            await work(inlet, desk, port)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            port.unplug()

    asyncio.run(main())


def test_frames_come_through_noise_and_replies_go_back(tmp_path: Path) -> None:
    async def work(inlet: SerialInlet, desk: Desk, port: Port) -> None:
        os.write(port.master, b"boot: hello\r\n\x00" + line.encode(b"one") + b"\x01\x02\x03\x00" + line.encode(b"two"))
        await soon(lambda: desk.frames == [b"one", b"two"], "both frames")
        assert (inlet.counters.frames, inlet.counters.noise) == (2, 2)
        assert inlet.send(b"answer")
        await soon(lambda: inlet.counters.sent == 1, "sent")
        assert line.Reader().feed(os.read(port.master, 100)) == [b"answer"]

    with_inlet(tmp_path, work)


def test_a_port_that_vanishes_is_opened_again(tmp_path: Path) -> None:
    async def work(inlet: SerialInlet, desk: Desk, port: Port) -> None:
        port.unplug()
        await soon(lambda: not inlet.counters.connected, "the loss is noticed")
        assert not inlet.send(b"nobody hears this") and inlet.counters.unsent == 1
        await soon(lambda: "cannot be opened" in (inlet.counters.last_error or ""), "it tries again")
        port.plug()
        await soon(lambda: inlet.counters.connected, "open again")
        os.write(port.master, line.encode(b"back"))
        await soon(lambda: desk.frames == [b"back"], "frames flow")
        assert inlet.counters.opened == 2

    with_inlet(tmp_path, work)


def test_a_peer_that_does_not_read_costs_bounded_memory(tmp_path: Path) -> None:
    async def work(inlet: SerialInlet, desk: Desk, port: Port) -> None:
        for _ in range(1000):
            inlet.send(bytes(200))
            await asyncio.sleep(0)
        assert inlet.counters.unsent > 0 and inlet.counters.sent * 200 <= 2 * MAX_UNSENT
        os.write(port.master, line.encode(b"still alive"))
        await soon(lambda: desk.frames == [b"still alive"], "reading goes on")
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        transport: Any = inlet._transport
        os.set_blocking(port.master, False)

        def drained() -> bool:
            with contextlib.suppress(BlockingIOError):
                os.read(port.master, 65536)
            return transport.get_write_buffer_size() == 0

        await soon(drained, "the peer has read all")
        for _ in range(20):
            await asyncio.sleep(0)
        assert not failures and not transport._has_writer
        assert inlet.send(b"and again") and inlet.counters.connected

    with_inlet(tmp_path, work)


def test_a_full_intake_stops_the_reading(tmp_path: Path) -> None:
    async def work(inlet: SerialInlet, desk: Desk, port: Port) -> None:
        desk.full = True
        os.write(port.master, line.encode(b"one"))
        await soon(lambda: desk.frames == [b"one"], "the first frame")
        os.write(port.master, line.encode(b"two"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert desk.frames == [b"one"]
        desk.space.set()
        await soon(lambda: desk.frames == [b"one", b"two"], "the second frame")

    with_inlet(tmp_path, work)


def test_a_port_has_one_owner(tmp_path: Path) -> None:
    async def work(inlet: SerialInlet, desk: Desk, port: Port) -> None:
        second = open_inlet(str(port.path))  # a plain path means serial
        task = asyncio.create_task(second.run(Desk()))
        await soon(lambda: second.counters.last_error, "the second is refused")
        assert not second.counters.connected
        task.cancel()

    with_inlet(tmp_path, work)


@pytest.mark.parametrize(
    "url",
    ["serial:", "serial:ttyACM0", "serial:/dev/x?speed=9600", "serial:/dev/x?baud=fast", "serial:/dev/x?baud=1", "serial:/dev/x?baud",
     "serial:/dev/x?baud=9600&baud=9600", "ble:aa", "nothing", "", "spy:/dev/x"],
)  # fmt: skip
def test_what_is_not_understood_is_an_error(url: str) -> None:
    with pytest.raises(InletError) as caught:
        open_inlet(url)
    assert caught.value.hint
