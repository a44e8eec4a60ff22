"""The load generator and the collector: the few packets of MQTT 3.1.1 that they need, written for speed.

The generator must outrun every gateway, which no client library does on two cores. It behaves as a real QoS 1 node: it
has a bounded number of messages under way and sends again, on a new connection, what was not acknowledged.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence

KEEPALIVE_S = 30
TIMEOUT_S = 10.0
RETRY_S = 0.1

_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 0x20, 0x30, 0x40, 0x90

Answer = Callable[[str, bytes], tuple[str, bytes] | None]


NOTHING: tuple[str, bytes] = ("", b"")  # an Answer's: it was taken, nothing is said to it, and it is not kept


def _none(topic: str, payload: bytes) -> None:
    return None


class Refused(Exception):
    """The broker said no, or spoke something else than MQTT 3.1.1."""


class Publisher:
    """Publishes messages with QoS 1, at most `window` under way. `acknowledged` counts PUBACKs of distinct messages."""

    def __init__(self, port: int, client: str, window: int = 200):
        self.acknowledged = 0
        self._port = port
        self._client = client
        self._window = window

    async def publish(self, messages: Sequence[tuple[str, bytes]], per_second: float | None = None) -> None:
        """Send all, in order, and wait until each is acknowledged. per_second: a steady rate; None: full speed."""
        waiting = deque(range(len(messages)))
        under_way: dict[int, int] = {}
        started = time.perf_counter()
        while waiting or under_way:
            waiting.extendleft(sorted(under_way.values(), reverse=True))
            under_way.clear()
            try:
                await self._once(messages, waiting, under_way, started, per_second)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                await asyncio.sleep(RETRY_S)

    async def _once(
        self,
        messages: Sequence[tuple[str, bytes]],
        waiting: deque[int],
        under_way: dict[int, int],
        started: float,
        per_second: float | None,
    ) -> None:
        reader, writer = await _connect(self._port, self._client, clean=True)
        room = asyncio.Event()
        room.set()

        async def hear() -> None:
            while waiting or under_way:
                kind, body = await _packet(reader)
                if kind & 0xF0 == _PUBACK and under_way.pop(int.from_bytes(body[:2], "big"), None) is not None:
                    self.acknowledged += 1
                    room.set()

        hearing = asyncio.create_task(hear())
        number = 0
        try:
            while waiting and not hearing.done():
                if len(under_way) >= self._window:
                    room.clear()
                    await asyncio.wait((hearing, asyncio.ensure_future(room.wait())), return_when="FIRST_COMPLETED")
                    continue
                if per_second is not None:
                    ahead_s = started + waiting[0] / per_second - time.perf_counter()
                    if ahead_s > 0:
                        await asyncio.sleep(ahead_s)
                number = number % 65535 + 1
                index = waiting.popleft()
                under_way[number] = index
                topic, payload = messages[index]
                writer.write(publish_packet(topic, payload, number))
                if writer.transport.get_write_buffer_size() > 65536:
                    await writer.drain()
            await asyncio.wait_for(hearing, None if hearing.done() else TIMEOUT_S)
        finally:
            hearing.cancel()
            writer.close()


class Collector:
    """Subscribes with a persistent session and keeps what comes, with the time of its arrival (time.perf_counter)."""

    def __init__(
        self, port: int, client: str, topic: str, on_message: Callable[[], None] = lambda: None, answer: Answer = _none
    ):
        """answer: what to publish, with QoS 0, on a message, as a server behind the broker would; such is not kept."""
        self.received: list[tuple[float, bytes]] = []
        self.bytes = 0  # of topics and payloads
        self.subscribed = asyncio.Event()
        self._port = port
        self._client = client
        self._topic = topic
        self._on_message = on_message
        self._answer = answer

    async def run(self) -> None:
        """Collect until cancelled; a connection that ends is made anew."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, Refused):
                await self._session()
            await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        reader, writer = await _connect(self._port, self._client, clean=False)
        pinging = asyncio.create_task(_ping(writer))
        try:
            writer.write(_frame(0x82, b"\0\1" + _text(self._topic) + b"\1"))
            while True:
                kind, body = await _packet(reader)
                if kind & 0xF0 == _SUBACK:
                    if body[2] == 0x80:
                        raise Refused("the subscription")
                    self.subscribed.set()
                elif kind & 0xF0 == _PUBLISH:
                    length = int.from_bytes(body[:2], "big")
                    payload = body[2 + length :]
                    if kind & 0x06:
                        writer.write(b"\x40\x02" + payload[:2])
                        payload = payload[2:]
                    answer = self._answer(body[2 : 2 + length].decode(), payload)
                    if answer is not None:
                        if answer is not NOTHING:
                            writer.write(_frame(0x30, _text(answer[0]) + answer[1]))
                        continue
                    self.received.append((time.perf_counter(), payload))
                    self.bytes += length + len(payload)
                    self._on_message()
        finally:
            pinging.cancel()
            writer.close()


def publish_packet(topic: str, payload: bytes, number: int) -> bytes:
    """A PUBLISH with QoS 1 (MQTT 3.1.1, section 3.3)."""
    return _frame(0x32, _text(topic) + number.to_bytes(2, "big") + payload)


async def _connect(port: int, client: str, *, clean: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        flags = bytes((2 if clean else 0,))
        writer.write(_frame(0x10, _text("MQTT") + b"\4" + flags + KEEPALIVE_S.to_bytes(2, "big") + _text(client)))
        kind, body = await _packet(reader)
        if kind != _CONNACK or body[1]:
            writer.close()
            raise Refused(f"connection refused: {body.hex()}")
        return reader, writer


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return kind, await reader.readexactly(length)


async def _ping(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(KEEPALIVE_S / 2)
        writer.write(b"\xc0\0")


def _frame(kind: int, body: bytes) -> bytes:
    head = bytearray((kind,))
    length = len(body)
    while True:
        head.append(length & 0x7F | (0x80 if length > 127 else 0))
        length >>= 7
        if not length:
            return bytes(head) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
