"""The MQTT client at a real broker, that restarts, freezes and refuses, and at one that says whatever it likes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import Broker, soon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerbgate import mqtt
from kerbgate.mqtt import packets
from kerbgate.mqtt.connection import FIRST_PACE, MAX_UNSENT

CONNACK = b"\x20\x03\x00\x00\x00"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (tmp_path / "acl").write_text("topic readwrite open/#\ntopic read closed/#\n")
    made = Broker(tmp_path, f"acl_file {tmp_path / 'acl'}", "max_inflight_messages 50")
    made.start()
    yield made
    made.stop()


async def connect(port: int, on_message: Callable[..., None] = lambda *_: None, **options: Any) -> mqtt.Connection:
    named = mqtt.Options(**{"identifier": "client", "timeout_s": 5.0, **options})
    return await mqtt.connect("127.0.0.1", port, named, on_message)


def run(work: Callable[[], Awaitable[None]]) -> None:
    """In a loop that lets no exception of a callback, and no future that nobody saw fail, go unnoticed."""
    unseen: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        async with asyncio.timeout(30):
            await work()

    asyncio.run(main())
    assert not unseen


@pytest.mark.parametrize("version", [mqtt.V5, mqtt.V311])
def test_messages_go_round(broker: Broker, version: int) -> None:
    """More than any window, in order, each acknowledged; sizes about the steps of the length field."""

    async def work() -> None:
        heard: list[tuple[str, bytes | None]] = []

        def hear(connection: mqtt.Connection, message: mqtt.Publish) -> None:
            heard.append((message.topic, message.payload))
            connection.acknowledge(message.number)

        listener = await connect(broker.port, hear, identifier="listener", version=version, max_packet=100_000)
        assert await listener.subscribe(["open/+", "open/x/#"]) == b"\1\1"
        speaker = await connect(broker.port, version=version)
        sent = [("open/ü", bytes(size)) for size in (0, 1, 117, 118, 119, 120, 16_370, 16_380, 70_000)]
        sent += [("open/x/1", str(number).encode()) for number in range(1000)]
        codes = await asyncio.gather(*(speaker.publish(*message) for message in sent))
        assert set(codes) == {0}
        assert speaker.tell("open/last", b"QoS 0")
        await soon(lambda: len(heard) == len(sent) + 1, "all heard")
        last = ("open/last", b"QoS 0")  # a broker may send it past those that wait for room in the window
        assert last in heard and [message for message in heard if message != last] == sent
        await speaker.close()
        await listener.close()

    run(work)


def test_refusals_say_why(broker: Broker) -> None:
    async def work() -> None:
        connection = await connect(broker.port)
        assert await connection.publish("open/nobody", b"") == mqtt.NO_SUBSCRIBERS
        with pytest.raises(mqtt.NotTaken, match="Not authorized"):
            await connection.publish("closed/1", b"")
        await connection.close()

    run(work)


def test_a_refusal_leaves_the_connection_as_it_was() -> None:
    """With the broker's own words, and what it did not find in its access list of topics."""

    async def work() -> None:
        async with saying(CONNACK) as (port, heard):
            connection = await connect(port)
            refused, taken = connection.publish("t", b"1"), connection.publish("t", b"2")
            granted = asyncio.create_task(connection.subscribe(["a", "b"]))
            await soon(lambda: heard[0].endswith(b"\x01b\x01"), "all is asked")
            connection.data_received(bytes.fromhex("400a 0001 99 06 1f 0003 6e6f21") + bytes.fromhex("4002 0002"))
            with pytest.raises(mqtt.NotTaken, match=r"Payload format invalid.*no!"):
                await refused
            assert await taken == 0
            connection.data_received(bytes.fromhex("9005 0003 00 01 87"))
            assert await granted == b"\x01\x87"
            await connection.close()

    run(work)


def test_what_was_not_acknowledged_comes_again(broker: Broker) -> None:
    async def work() -> None:
        heard: list[mqtt.Publish] = []

        def hear(connection: mqtt.Connection, message: mqtt.Publish) -> None:
            heard.append(message)
            if len(heard) in (1, 3):
                connection.acknowledge(message.number)

        options = {"identifier": "keeper", "clean": False, "session_s": 60, "window": 3}
        first = await connect(broker.port, hear, **options)
        await first.subscribe(["open/#"])
        speaker = await connect(broker.port)
        for number in range(3):
            await speaker.publish("open/1", bytes([number]))
        await soon(lambda: len(heard) == 3, "all heard")
        await speaker.publish("open/1", b"third")  # 0 and 2 are acknowledged: this is sent, and not acknowledged
        await soon(lambda: len(heard) == 4, "the next")
        await first.close()
        assert heard[1].payload == b"\1"
        heard.clear()
        second = await connect(broker.port, hear, **options)  # no subscription: the session has it
        await soon(lambda: len(heard) == 2, "again")
        assert [message.payload for message in heard] == [b"\1", b"third"]
        first.acknowledge(heard[1].number)  # on a connection that is gone: void
        await second.close()
        await speaker.close()

    run(work)


def test_a_broker_that_ends_and_comes_back(broker: Broker) -> None:
    async def work() -> None:
        connection = await connect(broker.port)
        watching = asyncio.create_task(connection.ended())
        broker.freeze()  # so that these are under way
        waiting = [connection.publish("open/1", b"x") for _ in range(5)]
        unseen = connection.publish("open/1", b"nobody waits for this one")
        await asyncio.sleep(0)
        await asyncio.to_thread(broker.kill)
        with pytest.raises(mqtt.Lost):
            await watching
        for future in waiting:
            with pytest.raises(mqtt.Lost):
                await future
        with pytest.raises(mqtt.Lost):
            await connection.publish("open/1", b"too late")
        with pytest.raises(mqtt.Lost):
            await connection.subscribe(["open/#"])
        assert not connection.tell("open/1", b"too late")
        await connection.close()
        with pytest.raises(OSError):
            await connect(broker.port)
        await asyncio.to_thread(broker.start)
        again = await connect(broker.port)
        assert await again.publish("open/1", b"x") == mqtt.NO_SUBSCRIBERS
        await again.close()
        del unseen

    run(work)


def test_a_frozen_broker_is_given_up(broker: Broker) -> None:
    """By what it does not acknowledge; by its silence; and one that takes no connection."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        asked = await connect(broker.port, identifier="asked", timeout_s=0.5)
        idle = await connect(broker.port, identifier="idle", keepalive_s=1)
        broker.freeze()
        began = loop.time()
        with pytest.raises(mqtt.Lost, match="did not acknowledge in time"):
            await asked.publish("open/1", b"x")
        assert 0.4 < loop.time() - began < 2
        with pytest.raises(mqtt.Lost, match="silent"):
            await idle.ended()
        assert 0.9 < loop.time() - began < 4
        began = loop.time()
        with pytest.raises(TimeoutError):
            await connect(broker.port, identifier="new", timeout_s=0.2)
        assert loop.time() - began < 2
        broker.thaw()
        await asked.close()
        await idle.close()

    run(work)


def test_an_idle_connection_lives(broker: Broker) -> None:
    """Longer than a broker waits for a client that says nothing: one and a half keep-alive times."""

    async def work() -> None:
        connection = await connect(broker.port, keepalive_s=1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.5):
                await connection.ended()
        assert await connection.publish("open/1", b"x") == mqtt.NO_SUBSCRIBERS
        await connection.close()

    run(work)


def test_a_connection_that_is_not_read_lives_and_goes_on(broker: Broker) -> None:
    """Longer than either side waits for the other; then all comes that was sent meanwhile."""

    async def work() -> None:
        heard: list[bytes | None] = []
        connection = await connect(broker.port, lambda _, message: heard.append(message.payload), keepalive_s=1)
        await connection.subscribe(["open/#"])
        connection.pause()
        for number in range(3):
            assert connection.tell("open/1", bytes([number]))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.5):
                await connection.ended()
        assert not heard
        connection.resume()
        await soon(lambda: len(heard) == 3, "all heard")
        assert heard == [b"\0", b"\1", b"\2"]
        await connection.close()

    run(work)


def test_answers_for_a_socket_that_takes_none_are_refused(broker: Broker) -> None:
    async def work() -> None:
        connection = await connect(broker.port, timeout_s=20.0)
        broker.freeze()
        said = 0
        async with asyncio.timeout(15):
            while connection.tell("open/1", bytes(1000)):
                said += 1
                if not said % 50:
                    await asyncio.sleep(0)
        transport: Any = connection._transport
        assert transport.get_write_buffer_size() < MAX_UNSENT + 100 * 1100
        await connection.close()  # at once, although nothing of it goes out
        broker.thaw()

    run(work)


# A broker that says whatever a test likes.


class Says(asyncio.Protocol):
    """Answers the first bytes of a connection with these, and keeps what it hears."""

    def __init__(self, answer: bytes, heard: list[bytearray]):
        self._answer = answer
        self._heard = bytearray()
        heard.append(self._heard)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._heard:
            self._transport.write(self._answer)
        self._heard += data


@contextlib.asynccontextmanager
async def saying(answer: bytes) -> AsyncGenerator[tuple[int, list[bytearray]]]:
    """A port where each connection is answered so."""
    heard: list[bytearray] = []
    server = await asyncio.get_running_loop().create_server(lambda: Says(answer, heard), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


def test_the_brokers_limits_are_heeded() -> None:
    """CONNACK: receive maximum 2, packets of at most 100 bytes, keep-alive of 1 s."""

    async def work() -> None:
        limits = bytes.fromhex("2100022700000064130001")
        async with saying(b"\x20" + bytes((3 + len(limits), 0, 0, len(limits))) + limits) as (port, heard):
            connection = await connect(port, identifier="c")
            before = len(heard[0])
            waiting = [connection.publish("t", bytes([number])) for number in range(5)]
            with pytest.raises(mqtt.NotTaken, match="100 bytes"):
                big = await connect(port, identifier="d")
                await big.publish("t", bytes(200))
            await soon(lambda: len(heard[0]) > before, "two went out")
            assert heard[0][before:] == packets.publish(mqtt.V5, "t", b"\0", 1) + packets.publish(
                mqtt.V5, "t", b"\1", 2
            )
            for answer in (b"\x40\x02\x00\x02", b"\x40\x02\x00\x02", b"\x40\x02\xff\xff"):  # once, twice, never sent
                connection.data_received(answer)
            assert await waiting[1] == 0 and not any(waiting[number].done() for number in (0, 2, 3, 4))
            await soon(lambda: heard[0].endswith(packets.publish(mqtt.V5, "t", b"\2", 3)), "one more")
            await soon(lambda: heard[0].endswith(packets.PINGREQ), "a ping within the broker's keep-alive")
            for each in (connection, big):
                await each.close()

    run(work)


@pytest.mark.parametrize(
    ("answer", "code"),
    [(b"\x20\x02\x00\x01", mqtt.UNSUPPORTED_VERSION), (b"\x20\x03\x00\x87\x00", 0x87), (b"\x20\x02\x00\x05", 0x87)],
)
def test_a_broker_that_refuses(answer: bytes, code: int) -> None:
    async def work() -> None:
        async with saying(answer) as (port, _):
            with pytest.raises(mqtt.Refused) as refused:
                await connect(port)
            assert refused.value.code == code

    run(work)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300), st.booleans(), st.sampled_from((mqtt.V5, mqtt.V311)))
def test_nonsense_ends_the_connection_and_nothing_else(nonsense: bytes, accepted: bool, version: int) -> None:
    """What is under way fails; no message is made up; nothing hangs."""

    async def work() -> None:
        heard: list[mqtt.Publish] = []
        start = (CONNACK if version == mqtt.V5 else b"\x20\x02\x00\x00") if accepted else b""
        async with saying(start + nonsense + b"\xf0\x00") as (port, _):
            try:
                connection = await connect(
                    port, lambda _, message: heard.append(message), version=version, timeout_s=0.2
                )
            except (mqtt.MqttError, TimeoutError):
                assert not heard or accepted
                return
            future = connection.publish("t", b"x")
            with pytest.raises(mqtt.MqttError):
                await connection.ended()
            assert future.done()
            await connection.close()

    run(work)


def test_a_cancelled_wait_neither_hangs_nor_leaks() -> None:
    """A stop that comes while the broker has not answered."""

    async def work() -> None:
        async with saying(b"") as (port, heard):
            task = asyncio.create_task(connect(port, timeout_s=30.0))
            await soon(lambda: heard and heard[0], "it asks")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(work)


def test_a_window_grows_with_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what comes back quickly lets more go: on a thin line a large window would end in timeouts."""
    broker = Broker(tmp_path, "max_inflight_messages 500")
    broker.start()

    async def most(connection: mqtt.Connection) -> int:
        answered: list[int] = []
        found = 0
        for _ in range(300):
            connection.send("a", b"x", lambda code, words: answered.append(code))
        while len(answered) < 300:
            found = max(found, len(connection._under_way))
            await asyncio.sleep(0)
        return found

    async def work() -> None:
        connection = await connect(broker.port)
        assert FIRST_PACE <= await most(connection) <= 300
        assert await most(connection) == 300
        await connection.close()
        monkeypatch.setattr("kerbgate.mqtt.connection.QUICK_S", 0.0)
        slow = await connect(broker.port)
        assert await most(slow) == await most(slow) == FIRST_PACE
        await slow.close()

    try:
        run(work)
    finally:
        broker.stop()
