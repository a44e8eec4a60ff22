"""Every link that a gateway opens can be recorded, both ways, and what was recorded can be played again."""

import asyncio
import base64
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ble_harness import open_link
from gateway_harness import SITE, Broker, Rig, soon
from test_lns_inlet import APPLICATIONS, EXAMPLES
from test_lora_inlet import Modem, fine
from test_serial_inlet import Port

from kerbgate import inlets, mqtt
from kerbgate.errors import InletError
from kerbgate.field.capture import Recorder
from kerbgate.inlets import Inlet, Route, open_inlet, replay
from kerbgate.inlets.udp import UdpInlet
from kerbtools.emulator import World
from kerbtools.emulator.ble_air import BleAir
from kerbtools.field import capture as writing
from kerbwire import capture, line, modem

Say = Callable[[Inlet, bytes], Awaitable[None]]
NODE = 7


@contextlib.asynccontextmanager
async def serial(folder: Path, broker: Broker) -> AsyncIterator[tuple[str, Say]]:
    port = Port(folder)

    async def say(inlet: Inlet, frame: bytes) -> None:
        os.write(port.master, line.encode(frame))

    yield f"serial:{port.path}", say
    port.unplug()


@contextlib.asynccontextmanager
async def lora(folder: Path, broker: Broker) -> AsyncIterator[tuple[str, Say]]:
    port = Port(folder)
    other = Modem(port, fine())

    async def say(inlet: Inlet, frame: bytes) -> None:
        other.say(modem.Heard(-121, -30, 1478, line.crc16(frame)).encode(), frame)

    yield f"lora:{port.path}", say
    other.stop()
    port.unplug()


@contextlib.asynccontextmanager
async def udp(folder: Path, broker: Broker) -> AsyncIterator[tuple[str, Say]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:

        async def say(inlet: Inlet, frame: bytes) -> None:
            assert isinstance(inlet, UdpInlet)
            node.sendto(frame, ("127.0.0.1", inlet.bound or 0))

        yield "udp:127.0.0.1:0", say


async def publish(broker: Broker, topic: str, payload: bytes) -> None:
    options = mqtt.Options("street", timeout_s=5)
    connection = await mqtt.connect("127.0.0.1", broker.port, options, lambda link, message: None)
    await connection.publish(topic, payload)
    await connection.close()


@contextlib.asynccontextmanager
async def over_mqtt(folder: Path, broker: Broker) -> AsyncIterator[tuple[str, Say]]:
    async def say(inlet: Inlet, frame: bytes) -> None:
        await publish(broker, f"kerb/1/{SITE}/up/{NODE}", frame)

    yield f"mqtt://127.0.0.1:{broker.port}/{SITE}", say


@contextlib.asynccontextmanager
async def lns(folder: Path, broker: Broker) -> AsyncIterator[tuple[str, Say]]:
    example = EXAMPLES["chirpstack"]

    async def say(inlet: Inlet, frame: bytes) -> None:
        payload = example["payload"] | {"data": base64.b64encode(frame).decode()}
        await publish(broker, example["topic"], json.dumps(payload).encode())

    yield f"lns:mqtt://127.0.0.1:{broker.port}/{APPLICATIONS['chirpstack']}?server=chirpstack", say


@contextlib.asynccontextmanager
async def ble(folder: Path, broker: Broker) -> AsyncIterator[tuple[str, Say]]:
    with World() as world:
        air = BleAir(world)

        async def say(inlet: Inlet, frame: bytes) -> None:
            def exchange() -> None:
                link = open_link(world.air, NODE)
                link.start()
                assert link.wait(10_000)
                link.send(frame)
                assert link.receive(10_000)  # the gateway's
                link.close()

            await asyncio.to_thread(exchange)

        yield air.url, say


LINKS: dict[str, Callable[[Path, Broker], contextlib.AbstractAsyncContextManager[tuple[str, Say]]]] = {
    "serial": serial, "ble": ble, "mqtt": over_mqtt, "lns": lns, "udp": udp, "lora": lora,
}  # fmt: skip


def test_no_scheme_is_left_out() -> None:
    assert set(LINKS) | {"mqtts", "replay"} == set(inlets._SCHEMES)  # mqtts is mqtt, sealed once more


class Desk:
    """Collects what is played."""

    full = False

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Route]] = []

    def take(self, data: bytes, route: Route, /) -> None:
        self.taken.append((data, route))
        assert not route.send(b"nobody is there")
        route.settle(True)

    async def room(self) -> None: ...


@contextlib.asynccontextmanager
async def running(inlet: Inlet, intake: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(inlet.run(intake))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("scheme", LINKS)
def test_a_link_is_captured_and_played_again(scheme: str, rig: Rig, broker: Broker, tmp_path: Path) -> None:
    frame = rig.node(NODE).next_frame()
    assert frame is not None
    file = tmp_path / "link.kcap"

    async def main() -> None:
        async with LINKS[scheme](tmp_path, broker) as (url, say):
            inlet = open_inlet(url)
            gateway: Any = SimpleNamespace(
                intake=rig.intake, inlets=[open_inlet("udp:127.0.0.1:0"), inlet], clock=rig.clock
            )
            recorder = Recorder(gateway)
            begun = recorder.since(None)
            found: list[Any] = []

            def both_ways() -> bool:
                while not rig._deliveries.empty():
                    rig.intake.deliver(rig._deliveries.get())
                found[:] = recorder.since(begun["next"])["frames"]
                return {way for _, way, _, _ in found} == {capture.UP, capture.DOWN}

            async with running(inlet, rig.intake):
                await soon(lambda: inlet.counters.connected, "the link")
                said = asyncio.create_task(say(inlet, frame))
                await soon(both_ways, "the frame, and the challenge that answers it")
                await said
            assert {link for _, _, link, _ in found} == {1}
            files = writing.Files(file, 10_000, 1)
            files.begin(begun["links"][1], begun["start_ms"])
            for offset, way, link, text in found:
                files.put(offset, way, link, bytes.fromhex(text))
            files.close()

        for query, frames in (("speed=0", [frame]), ("link=1", [frame]), ("speed=10&link=0", [])):
            played, desk = open_inlet(f"replay:{file}?{query}"), Desk()
            async with running(played, desk):
                await soon(lambda played=played: getattr(played, "at_end", False), "its end")
            assert [data for data, _ in desk.taken] == frames and played.counters.unsent == len(frames)

    asyncio.run(main())


def test_a_capture_with_a_fault_behind_frames_is_played_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "RETRY_S", 0)
    file = tmp_path / "street.kcap"
    writer = capture.Writer("udp:", 0, "test")
    records = writer.start() + writer.record(0, capture.UP, 0, bytes(20))
    filler = bytes(replay.CHUNK)  # zeros, as after a power cut: what lies behind comes with another read
    file.write_bytes(records + filler + capture._encode([capture.VERSION + 1, "udp:", 0, "later"]))

    async def main() -> None:
        played, desk = open_inlet(f"replay:{file}?speed=0"), Desk()
        async with running(played, desk):
            await soon(lambda: played.counters.last_error is not None, "the fault")
            for _ in range(200):
                await asyncio.sleep(0)  # turns in which it would be played again
        assert len(desk.taken) == 1 and played.counters.opened == 1 and not played.counters.connected
        assert "ends early, after 1 frames" in (played.counters.last_error or "")
        assert "later version" in (played.counters.last_error or "")

    asyncio.run(main())


def test_what_holds_nothing_yet_is_said_and_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "RETRY_S", 0.001)
    file, pipe = tmp_path / "street.kcap", tmp_path / "pipe"
    file.touch()
    os.mkfifo(pipe)
    writer = capture.Writer("udp:", 0, "test")
    whole = writer.start() + writer.record(0, capture.UP, 0, bytes(20))

    async def main() -> None:
        played, desk = open_inlet(f"replay:{file}?speed=0"), Desk()
        async with running(played, desk):
            for torn in (b"", whole[:3], whole[:12]):
                file.write_bytes(torn)
                played.counters.last_error = None
                await soon(lambda: "empty" in (played.counters.last_error or ""), "that it holds nothing")
                assert not played.counters.connected and not getattr(played, "at_end", True)
            file.write_bytes(whole)
            await soon(lambda: len(desk.taken) == 1 and getattr(played, "at_end", False), "its end")
            assert played.counters.connected and played.counters.last_error is None
        for path in (pipe, tmp_path):
            refused = open_inlet(f"replay:{path}")
            async with running(refused, desk):
                await soon(lambda refused=refused: refused.counters.last_error is not None, "what it is")
            assert "no regular file" in (refused.counters.last_error or "")

    asyncio.run(main())


def test_a_capture_is_played_at_its_own_pace_and_what_is_none_is_said(tmp_path: Path) -> None:
    file = tmp_path / "street.kcap"
    writer = capture.Writer("udp:", 0, "test")
    file.write_bytes(writer.start() + b"".join(writer.record(n * 200_000, capture.UP, 0, bytes(20)) for n in range(3)))

    async def main() -> None:
        loop, desk = asyncio.get_running_loop(), Desk()
        played = open_inlet(f"replay:{file}?speed=2")
        began_s = loop.time()
        async with running(played, desk):
            await soon(lambda: len(desk.taken) == 3, "three frames")
        assert 0.2 <= loop.time() - began_s < 5
        for path in (tmp_path / "none.kcap", Path(__file__)):
            wrong = open_inlet(f"replay:{path}")
            async with running(wrong, desk):
                await soon(lambda wrong=wrong: wrong.counters.last_error is not None, "what is wrong")
            assert str(path) in (wrong.counters.last_error or "") and not wrong.counters.connected

    asyncio.run(main())
    for text in (
        "replay:",
        "replay:a.kcap?speed=-1",
        "replay:a.kcap?speed=fast",
        "replay:a.kcap?link=x",
        "replay:a?b=1",
    ):
        with pytest.raises(InletError) as refused:
            open_inlet(text)
        assert refused.value.hint
