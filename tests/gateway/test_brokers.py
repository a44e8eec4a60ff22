"""What inlets, outlets and commands share of MQTT: the version a broker speaks, and that a stop always stops."""

import asyncio
from pathlib import Path

import pytest
from gateway_harness import Broker as Mosquitto

from kerbgate import mqtt
from kerbgate.brokers import Address, Broker
from kerbgate.errors import BrokerError

OPTIONS = mqtt.Options("client", timeout_s=5.0)


def unasked(connection: mqtt.Connection, message: mqtt.Publish) -> None:
    pytest.fail("a message that nobody asked for")


class Old(asyncio.Protocol):
    """A broker of 3.1.1, which answers any other level with code 1 and closes (MQTT 3.1.1, section 3.1.2.2)."""

    levels: "list[int]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data[0] == 0x10:
            self.levels.append(data[8])
            self._transport.write(b"\x20\x02\x00" + bytes((0 if data[8] == 4 else 1,)))
            if data[8] != 4:
                self._transport.close()


def test_an_older_version_is_spoken_where_nothing_else_is() -> None:
    async def main() -> None:
        Old.levels = []
        server = await asyncio.get_running_loop().create_server(Old, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = await Broker(Address("127.0.0.1", port, tls=False)).connect(OPTIONS, unasked)
        assert connection.version == mqtt.V311 and Old.levels == [5, 4]
        await connection.close()
        server.close()

    asyncio.run(main())


class Waiting(Old):
    """A broker of 3.1.1 that takes the properties of a newer CONNECT for a length, and waits for more."""

    def data_received(self, data: bytes) -> None:
        if data[8] == 4:
            super().data_received(data)
        else:
            self.levels.append(data[8])


def test_a_broker_that_is_silent_is_spoken_to_in_either_version_in_turn() -> None:
    async def main() -> None:
        Waiting.levels = []
        server = await asyncio.get_running_loop().create_server(Waiting, "127.0.0.1", 0)
        broker = Broker(Address("127.0.0.1", server.sockets[0].getsockname()[1], tls=False))
        options = mqtt.Options("client", timeout_s=0.1)
        for levels in ([5, 4], [5, 4, 5, 4]):
            with pytest.raises(TimeoutError):
                await broker.connect(options, unasked)
            connection = await broker.connect(options, unasked)
            assert connection.version == mqtt.V311 and Waiting.levels == levels
            await connection.close()
        server.close()

    asyncio.run(main())


def test_a_stop_at_any_moment_of_a_connection_stops(tmp_path: Path) -> None:
    """However many turns of the loop it has had: also as the answer comes, and as the wait for it ends."""
    mosquitto = Mosquitto(tmp_path)
    mosquitto.start()
    broker = Broker(Address("127.0.0.1", mosquitto.port, tls=False))
    connected = 0

    async def work() -> None:
        nonlocal connected
        connection = await broker.connect(OPTIONS, unasked)
        connected += 1
        try:
            await connection.ended()
        finally:
            await connection.close()

    async def main() -> None:
        for turns in range(40):
            task = asyncio.create_task(work())
            for _ in range(turns):
                await asyncio.sleep(0 if turns < 20 else 0.0005)
            task.cancel()
            async with asyncio.timeout(5):
                with pytest.raises(asyncio.CancelledError):
                    await task

    try:
        asyncio.run(main())
    finally:
        mosquitto.stop()
    assert connected, "some of the stops came after the connection was made"


def test_credentials_are_read_once_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("gateway:sesame\n")
    path.chmod(0o640)
    with pytest.raises(BrokerError, match="can be read by others"):
        Broker(Address("h", 1883, tls=False), credentials=path)
    path.chmod(0o600)
    broker = Broker(Address("h", 1883, tls=False), credentials=path)
    assert "sesame" not in f"{broker} {broker!r} {mqtt.Options('c', user='gateway', password='sesame')!r}"
