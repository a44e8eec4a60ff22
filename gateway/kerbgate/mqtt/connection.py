"""One connection to a broker in an event loop: what is under way, what was acknowledged, and whether it still lives.

Writes of one turn of the loop go out together. A broker that is silent is given up after one to two keep-alive times,
and one that does not acknowledge after `timeout_s`; each failure ends the connection, and says why to all who wait.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from kerbgate.mqtt import packets
from kerbgate.mqtt.packets import (
    Broken,
    Connack,
    Disconnect,
    Event,
    MqttError,
    Puback,
    Publish,
    Reader,
    Suback,
)
from kerbgate.mqtt.reasons import MALFORMED_PACKET, REFUSED, TOO_LARGE, of_connack, reason

MAX_UNSENT = 128 * 1024  # bytes that a socket may owe us before messages of QoS 0 are refused
TURN = 8 * 1024  # bytes read in a turn of the loop, a hundred frames: a burst in must leave turns for what goes out
FIRST_PACE = 32  # messages under way on a fresh connection, of which nothing is known yet: 50 KB
QUICK_S = 1.0  # an acknowledgement within this time lets one more go: a thin line is never given a window of seconds
LOST = -1  # an Answer's code: the connection ended
_GOODBYE_S = 1.0  # for the last bytes, and for TLS to end
_QUICK = getattr(socket, "TCP_QUICKACK", None)


class Lost(MqttError):
    """The connection is gone, or of no use any more."""


class Refused(MqttError):
    """The broker does not let us in. code: its reason, of MQTT 5."""

    def __init__(self, code: int):
        super().__init__(f"it refuses us: {reason(code)}")
        self.code = code


class NotTaken(MqttError):
    """The broker refused one message, and the connection goes on. code: its reason; words: what it adds."""

    def __init__(self, code: int, words: str = ""):
        super().__init__(f"{reason(code)}: {words}" if words else reason(code))
        self.code = code


@dataclass(frozen=True, slots=True)
class Options:
    """How a client is known to the broker, and what each expects of the other.

    clean: what the broker has kept for this client is forgotten. session_s: how long it keeps it from now on.
    window: messages that it sends before one of them is acknowledged. max_packet: bytes; larger ones it keeps to itself
    (MQTT 5), or they are passed by.
    """

    identifier: str
    version: int = packets.V5
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    clean: bool = True
    session_s: int = 0
    window: int = 100
    max_packet: int = 16 * 1024
    keepalive_s: int = 15
    timeout_s: float = 10.0


OnMessage = Callable[["Connection", Publish], None]
Answer = Callable[[int, str], None]  # the PUBACK's code and words; or LOST, and why


async def connect(
    host: str, port: int, options: Options, on_message: OnMessage, tls: ssl.SSLContext | None = None
) -> "Connection":
    """A connection that the broker has accepted. Refused, Lost, OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    made = Connection(options, on_message)
    goodbye_s = _GOODBYE_S if tls else None
    try:
        async with asyncio.timeout(2 * options.timeout_s):  # a name server that is silent, a socket, TLS, the broker
            await loop.create_connection(lambda: made, host, port, ssl=tls, ssl_shutdown_timeout=goodbye_s)
            await made.accepted()
    except BaseException:
        made.abort()
        raise
    return made


class Connection(asyncio.BufferedProtocol):
    """Use `connect`. `on_message` is called for each message, in the loop; `acknowledge` its number when it is safe."""

    def __init__(self, options: Options, on_message: OnMessage):
        self.version = options.version
        self.window = 65535  # messages of ours that the broker takes before it acknowledges one
        self.max_packet = 0  # bytes that the broker takes; 0: any
        self._options = options
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(options.version, options.max_packet)
        self._buffer = memoryview(bytearray(TURN))
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._out: list[bytes] = []
        self._stuck = False
        self._paused = False
        self._number = 0
        self._pace = FIRST_PACE  # messages of ours that the line takes: it grows as it is quick
        self._under_way: dict[int, tuple[Answer, float]] = {}  # by when they were sent
        self._waiting: deque[tuple[str, bytes, Answer]] = deque()
        self._granted: dict[int, asyncio.Future[bytes]] = {}
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._cause: str | None = None
        self._keepalive_s = float(options.keepalive_s)
        self._heard = self._said = self._loop.time()
        self._pinged: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # What its owner asks.

    async def accepted(self) -> None:
        """Wait for the broker's answer. Refused, Lost."""
        await self._accepted

    def publish(self, topic: str, payload: bytes) -> "asyncio.Future[int]":
        """Send with QoS 1: the reason code of the PUBACK of this very message. NotTaken, Lost."""
        future: asyncio.Future[int] = self._loop.create_future()

        def answer(code: int, words: str) -> None:
            if future.done():
                return
            if 0 <= code < REFUSED:
                future.set_result(code)
                return
            future.set_exception(Lost(words) if code == LOST else NotTaken(code, words))
            future.exception()  # seen, also where nobody waits any more

        self.send(topic, payload, answer)
        return future

    def send(self, topic: str, payload: bytes, answer: Answer) -> None:
        """The same for many messages: `answer` is called once, in the loop and never from within this call.

        What is beyond the broker's window, or the line's, waits here: callers bound how much that is.
        """
        if self._cause is not None:
            self._loop.call_soon(answer, LOST, self._cause)
        elif self._has_room():
            self._transmit(topic, payload, answer)
        else:
            self._waiting.append((topic, payload, answer))

    def tell(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 0; False if it cannot go now."""
        if self._cause is not None or self._stuck:
            return False
        self._write(packets.publish(self.version, topic, payload))
        return True

    def acknowledge(self, number: int) -> None:
        """Send the PUBACK of a message; nothing once the connection is gone, since its numbers are then void."""
        if number and self._cause is None:
            self._write(packets.puback(number))

    def pause(self) -> None:
        """Read nothing: what comes waits in the kernel's buffers, then at the broker. What is read already is told.

        Whether the broker lives is not asked meanwhile; that we do, it is told.
        """
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._heard = self._loop.time()
            self._pinged = None
            if not self._transport.is_closing():
                self._transport.resume_reading()

    async def subscribe(self, topics: list[str], qos: int = 1) -> bytes:
        """Ask for topics with QoS 0 or 1: a reason code for each. Lost, TimeoutError."""
        if self._cause is not None:
            raise Lost(self._cause)
        number = self._next_number()
        granted = self._granted[number] = self._loop.create_future()
        self._write(packets.subscribe(self.version, number, topics, qos))
        try:
            async with asyncio.timeout(self._options.timeout_s):
                codes = await granted
        finally:
            del self._granted[number]
        if len(codes) != len(topics):
            raise Lost("it answers for another number of topics than it was asked")
        return codes

    async def ended(self) -> None:
        """Wait until the connection is gone, then raise Lost; never returns."""
        await self._gone.wait()
        raise Lost(self._cause or "it closed the connection")

    async def close(self) -> None:
        """Say goodbye and close, in bounded time."""
        transport = self._transport
        if transport is not None and not self._gone.is_set():
            self._write(packets.DISCONNECT)
            self._flush()
            self._end("it was closed")
            if not transport.get_write_buffer_size():
                transport.close()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2 * _GOODBYE_S):
                        await self._gone.wait()
        self.abort()

    def abort(self) -> None:
        """Drop it at once."""
        self._end("it was closed")
        if self._transport is not None:
            self._transport.abort()

    def fail(self, cause: str) -> None:
        """Give the connection up, for a reason that `ended` tells."""
        self._end(cause)
        self.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._cause is not None:  # it was given up meanwhile
            transport.abort()
            return
        transport.set_write_buffer_limits(MAX_UNSENT)
        self._socket = transport.get_extra_info("socket")
        self._watch()
        options = self._options
        limits = {packets.RECEIVE_MAXIMUM: options.window, packets.MAXIMUM_PACKET: options.max_packet}
        if options.session_s:
            limits[packets.SESSION_EXPIRY] = options.session_s
        self._write(
            packets.connect(
                self.version,
                options.identifier,
                clean=options.clean,
                keepalive_s=options.keepalive_s,
                user=options.user,
                password=options.password,
                properties=limits,
            )
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._pinged = None
        for event in self._reader.feed(data):
            if self._cause is not None:
                return
            if not self._accepted.done() and not isinstance(event, Connack):
                self._control(Broken("it begins with something else than an answer"))
            elif isinstance(event, Publish):
                self._on_message(self, event)
            elif isinstance(event, Puback):
                self._acknowledged(event)
            else:
                self._control(event)
        if _QUICK is not None and self._socket is not None:
            # A broker that leaves Nagle's algorithm on holds small packets back until the kernel confirms those before
            # them, which it puts off for 40 ms where nothing is sent the other way.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "it closed the connection")
        self._gone.set()

    def pause_writing(self) -> None:
        self._stuck = True

    def resume_writing(self) -> None:
        self._stuck = False

    # Within.

    def _has_room(self) -> bool:
        return len(self._under_way) < self.window and len(self._under_way) < self._pace

    def _transmit(self, topic: str, payload: bytes, answer: Answer) -> None:
        number = self._next_number()
        packet = packets.publish(self.version, topic, payload, number)
        if self.max_packet and len(packet) > self.max_packet:
            words = f"it takes {self.max_packet} bytes, and this is {len(packet)}"
            self._loop.call_soon(answer, TOO_LARGE, words)
            return
        self._under_way[number] = (answer, self._loop.time())
        self._write(packet)

    def _acknowledged(self, puback: Puback) -> None:
        found = self._under_way.pop(puback.number, None)
        if found is not None:
            answer, sent = found
            if self._heard - sent < QUICK_S:
                self._pace += 1
            answer(puback.code, puback.words)
        while self._waiting and self._has_room():
            self._transmit(*self._waiting.popleft())

    def _control(self, event: Event) -> None:
        if isinstance(event, Connack) and not self._accepted.done():
            code = of_connack(event.code)
            if code:
                self._accepted.set_exception(Refused(code))
                self.fail(f"it refuses us: {reason(code)}")
                return
            self._heed(event.properties)
            self._accepted.set_result(None)
        elif isinstance(event, Suback):
            granted = self._granted.get(event.number)
            if granted is not None and not granted.done():
                granted.set_result(event.codes)
        elif isinstance(event, Disconnect):
            self.fail(f"it ended the connection: {reason(event.code)}")
        elif isinstance(event, Broken | Connack):
            self._write(packets.disconnect(self.version, MALFORMED_PACKET))
            self._flush()
            self.fail(f"it does not speak MQTT: {event.cause}" if isinstance(event, Broken) else "it accepted us twice")

    def _heed(self, properties: packets.Properties) -> None:
        """What the broker says about itself in CONNACK."""
        window = properties.get(packets.RECEIVE_MAXIMUM)
        most = properties.get(packets.MAXIMUM_PACKET)
        keepalive_s = properties.get(packets.SERVER_KEEP_ALIVE)
        if isinstance(window, int) and window:
            self.window = window
        if isinstance(most, int):
            self.max_packet = most
        if isinstance(keepalive_s, int) and keepalive_s:
            self._keepalive_s = min(self._keepalive_s, float(keepalive_s))

    def _next_number(self) -> int:
        while True:
            self._number = self._number % 65535 + 1
            if self._number not in self._under_way and self._number not in self._granted:
                return self._number

    def _write(self, packet: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packet)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._out[0] if len(self._out) == 1 else b"".join(self._out))
            self._said = self._loop.time()
        self._out.clear()

    def _watch(self) -> None:
        """From time to time: is anything overdue?"""
        now = self._loop.time()
        interval_s = min(self._keepalive_s, self._options.timeout_s) / 4
        oldest = next(iter(self._under_way.values()), (None, now))[1]
        if oldest + self._options.timeout_s <= now:
            self.fail("it did not acknowledge in time")
        elif self._pinged is not None and not self._paused and now - self._pinged >= self._keepalive_s:
            self.fail("it is silent")
        else:
            asked = self._pinged is not None and not self._paused
            quiet_since = self._said if self._paused else min(self._heard, self._said)
            if not asked and now - quiet_since >= self._keepalive_s - interval_s:
                self._pinged = now
                self._write(packets.PINGREQ)
            self._timer = self._loop.call_later(interval_s, self._watch)

    def _end(self, cause: str) -> None:
        """From now on nothing is sent; who waits is told why. The first cause counts."""
        if self._cause is not None:
            return
        self._cause = cause
        if self._timer is not None:
            self._timer.cancel()
        for wanted in (*self._granted.values(), self._accepted):
            if not wanted.done():
                wanted.set_exception(Lost(cause))
                wanted.exception()  # seen, also where nobody waits any more
        for answer in (*[one for one, _ in self._under_way.values()], *[one for _, _, one in self._waiting]):
            self._loop.call_soon(answer, LOST, cause)
        self._under_way.clear()
        self._waiting.clear()
