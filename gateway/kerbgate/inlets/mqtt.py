"""The MQTT inlet: nodes publish to kerb/1/<site>/up/<node>, answers go to kerb/1/<site>/down/<node>.

    mqtt://host:1883/site?credentials=/path&client=name&window=500
    mqtts://host:8883/site?authority=/path&certificate=/path&key=/path

The session persists at the broker, and a frame is acknowledged to it (PUBACK) only when the intake has settled it: what
a dead gateway held comes again. While too much waits for room in the store nothing is read, and the broker keeps the
rest. Topics are only addresses on the broker: who a frame is from, and
where its answer goes, says its sealed header. Answers go out with QoS 0: a node that misses one sends again.
"""

import asyncio
import dataclasses
import os
import random
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from kerbgate import brokers, mqtt
from kerbgate.brokers import Address, Broker, Certificates
from kerbgate.errors import InletError
from kerbgate.inlets.base import QUEUE_FULL, Counters, LinkUrl, Signal, Take
from kerbwire import frame
from kerbwire.frame import MAX_FRAME

DEFAULT_WINDOW = 500  # frames: some 20 ms of a full district, and 120 KB
SESSION_S = 7 * 86400  # how long a broker keeps frames for a gateway that is away
TIMEOUT_S = 10.0
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
HELD_PAUSE_S = 1.0  # until frames that the store could not take are tried again

_SITE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATHS = ("credentials", "authority", "certificate", "key")


class Topics(Protocol):
    """Where frames are on a broker, and how they are written there."""

    name: str  # of the inlet
    filter: str  # what is subscribed to
    client: str  # the inlet's name at the broker, if it is given no other
    access: str  # what the broker's access list must allow
    max_packet: int  # bytes of a frame with all that is around it; a broker keeps larger ones from us
    window: int  # frames under way at once, if the link string says no other

    def read(self, message: mqtt.Publish) -> tuple[bytes, Signal | None] | None:
        """The frame in a message; None if there is none."""
        ...

    def answer(self, data: bytes, topic: str) -> tuple[str, bytes]:
        """Topic and payload of an answer to the node whose message came on this topic."""
        ...

    def of_node(self, node: int) -> str | None:
        """The topic on which a node that is awake hears group frames; None: nodes here hear none."""
        ...


class SiteTopics:
    """A site's own topics: a frame is the payload."""

    max_packet = 1024
    window = DEFAULT_WINDOW

    def __init__(self, address: Address, site: str):
        self.name = f"mqtt:{address}/{site}"
        self.filter = f"kerb/1/{site}/up/+"
        self.client = f"kerb-{site}-inlet"
        self.access = f"let this gateway's user read kerb/1/{site}/up/# and write .../down/# in its access list"
        self._down = f"kerb/1/{site}/down/"

    def read(self, message: mqtt.Publish) -> tuple[bytes, Signal | None] | None:
        return None if message.payload is None else (message.payload, None)

    def answer(self, data: bytes, topic: str) -> tuple[str, bytes]:
        return f"{self._down}{frame.parse(data).node}", data

    def of_node(self, node: int) -> str | None:
        return f"{self._down}{node}"


class MqttInlet:
    """Topics of one broker. `name` is the address without options."""

    def __init__(
        self,
        address: Address,
        topics: Topics,
        *,
        client: str | None = None,
        window: int,
        credentials: Path | None = None,
        certificates: Certificates | None = None,
    ):
        """BrokerError if the credentials or a certificate cannot be used."""
        self.name = topics.name
        self.counters = Counters()
        self.window = window
        self.topics = topics
        self._broker = Broker(address, credentials=credentials, certificates=certificates)
        self._options = mqtt.Options(
            client or topics.client,
            clean=False,
            session_s=SESSION_S,
            window=window,
            max_packet=topics.max_packet,
            timeout_s=TIMEOUT_S,
        )
        self._connection: mqtt.Connection | None = None
        self._silent = False

    def silence(self) -> None:
        """A session of its own that the broker forgets, and QoS 0: it has nothing to keep for us, or to wait for."""
        name = f"{self._options.identifier}-shadow-{os.urandom(4).hex()}"
        self._options = dataclasses.replace(self._options, identifier=name, clean=True, session_s=0)
        self._silent = True

    @classmethod
    def from_url(cls, url: LinkUrl) -> "MqttInlet":
        """InletError for a link string that is not understood, BrokerError for files that cannot be used."""
        address = brokers.parse_address(f"{url.scheme}:{url.rest}")
        url.only(**OPTIONS)
        if not _SITE.fullmatch(address.path):
            raise InletError(
                f"the inlet {url.text!r} names no site", f"write it as {url.scheme}://{address}/site: a topic level"
            )
        return cls.at(address, SiteTopics(address, address.path), url)

    @classmethod
    def at(cls, address: Address, topics: Topics, url: LinkUrl) -> "MqttInlet":
        """An inlet with what a link string says of its broker. BrokerError for files that cannot be used."""
        files = {name: Path(url.options[name]) if name in url.options else None for name in _PATHS}
        return cls(
            address,
            topics,
            client=url.options.get("client"),
            window=_window(url.options.get("window", str(topics.window))),
            credentials=files["credentials"],
            certificates=Certificates(files["authority"], files["certificate"], files["key"]),
        )

    async def run(self, intake: Take) -> None:
        """Take frames until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            opened = self.counters.opened
            try:
                await self._connect_and_take(intake)
            except InletError as error:
                self.counters.last_error = error.cause
            retry_s = FIRST_RETRY_S if self.counters.opened > opened else min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    async def _connect_and_take(self, intake: Take) -> None:
        """From connecting until the connection is lost: always ends in InletError."""
        session = _Session(self, intake)
        try:
            connection = await self._broker.connect(self._options, session.heard)
        except (mqtt.MqttError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        feeding: asyncio.Task[None] | None = None
        try:
            feeding = asyncio.create_task(session.feed(), name=f"{self.name} feeds")
            self._connection = connection  # what the broker kept of this session comes before its answer, and is acked
            await self._subscribe(connection)
            self.counters.connected = True
            self.counters.opened += 1
            await connection.ended()
        except mqtt.MqttError as error:
            raise InletError(
                f"the connection to the broker {self._broker} ended: {error}",
                "it keeps what nodes send; check its log",
            ) from error
        finally:
            self.counters.connected = False
            self._connection = None
            if feeding is not None:
                feeding.cancel()
            await connection.close()

    async def _subscribe(self, connection: mqtt.Connection) -> None:
        topic = self.topics.filter
        try:
            code = (await connection.subscribe([topic], qos=0 if self._silent else 1))[0]
        except (mqtt.MqttError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if code >= mqtt.REFUSED:
            raise InletError(
                f"the broker {self._broker} refused {topic}: {mqtt.reason(code)}",
                self.topics.access,
            )

    def _unreachable(self, error: Exception) -> InletError:
        return InletError(
            f"no connection to the broker {self._broker}: {error or 'it does not answer'}",
            "check the URL, the credentials and the way to the broker; it keeps what nodes send",
        )

    def publish(self, data: bytes, topic: str) -> bool:
        """Send a frame to the node whose message came on this topic; False, and counted, if it cannot go now."""
        if self._silent:
            return False
        connection = self._connection
        if connection is None or not connection.tell(*self.topics.answer(data, topic)):
            self.counters.unsent += 1
            return False
        self.counters.sent += 1
        return True

    def broadcast(self, frame: bytes, nodes: Iterable[int]) -> bool:
        """Send one group frame on the topic of each of these nodes; False if it could not go to all of them."""
        if self._silent:
            return False
        connection = self._connection
        if connection is None:
            return False
        topics = [self.topics.of_node(node) for node in nodes]
        sent = [topic is not None and connection.tell(topic, frame) for topic in topics]
        return all(sent)


class _Session:
    """The frames of one connection that wait for room, and those that do not."""

    def __init__(self, inlet: MqttInlet, intake: Take):
        self._inlet = inlet
        self._intake = intake
        self._waiting: deque[_Way] = deque()  # frames that found the intake full
        self._wait = asyncio.Event()
        self._failed = False  # the store could not take some of those that wait
        self._paused: mqtt.Connection | None = None  # while too much waits

    def heard(self, connection: mqtt.Connection, message: mqtt.Publish) -> None:
        inlet = self._inlet
        inlet.counters.frames += 1
        found = inlet.topics.read(message)
        data, signal = found or (b"", None)
        way = _Way(inlet, self, connection, message, data, signal)
        if not 0 < len(data) <= MAX_FRAME:
            inlet.counters.noise += 1
            way.settle(kept=True)
        elif self._waiting or self._intake.full:
            self.hold(way)
        else:
            self._intake.take(data, way)

    def hold(self, way: "_Way") -> None:
        """Keep a frame until the intake has room; where two windows wait, read nothing more for now.

        mosquitto 2.0 sends up to a window more on each acknowledgement, so what the broker has sent is no bound. No
        window bounds what comes with QoS 0, such as what somebody had retained; nobody was promised that it is kept.
        """
        most = 2 * self._inlet.window
        if not way.promised and len(self._waiting) >= most:
            self._inlet.counters.refused[QUEUE_FULL] += 1
            return
        self._waiting.append(way)
        self._wait.set()
        if way.promised and len(self._waiting) >= most:
            self._paused = way.connection
            way.connection.pause()

    def hold_failed(self, way: "_Way") -> None:
        """Keep a frame that the store could not take."""
        self._failed = True
        self.hold(way)

    async def feed(self) -> None:
        """Hand on what waits, as there is room, until cancelled."""
        while True:
            await self._wait.wait()
            if self._failed:  # give the disk time: once for all of them
                self._failed = False
                await asyncio.sleep(HELD_PAUSE_S)
            await self._intake.room()
            while self._waiting and not self._intake.full and not self._failed:  # a store that stops refuses at once
                way = self._waiting.popleft()
                self._intake.take(way.data, way)
            if self._paused is not None and len(self._waiting) < self._inlet.window:
                self._paused.resume()
                self._paused = None
            if not self._waiting:
                self._wait.clear()


class _Way:
    """The way that one frame came, and back to its node."""

    __slots__ = ("_inlet", "_number", "_session", "_topic", "connection", "counters", "data", "signal")

    def __init__(
        self, inlet: MqttInlet, session: _Session, connection: mqtt.Connection, message: mqtt.Publish, data: bytes,
        signal: Signal | None,
    ):  # fmt: skip
        self.counters = inlet.counters
        self.data = data
        self.signal = signal
        self.connection = connection
        self._inlet = inlet
        self._session = session
        self._topic, self._number = message.topic, message.number

    @property
    def promised(self) -> bool:
        """Whether the broker waits for an acknowledgement."""
        return self._number != 0

    def send(self, frame: bytes) -> bool:
        return self._inlet.publish(frame, self._topic)

    def settle(self, kept: bool) -> None:
        """Acknowledge to the broker, or keep the frame for later."""
        if kept:
            self.connection.acknowledge(self._number)
        else:
            self._session.hold_failed(self)


def _client(text: str) -> str:
    if not _CLIENT.fullmatch(text):
        raise ValueError("use at most 64 letters, digits, - and _")
    return text


def _window(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise ValueError("use a number of frames from 1 to 10000")
    return int(text)


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("use a whole path, from /")
    return text


OPTIONS = {"client": _client, "window": _window, **dict.fromkeys(_PATHS, _path)}  # of a link string, with their checks
