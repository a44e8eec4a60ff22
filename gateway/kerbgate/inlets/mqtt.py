"""The MQTT inlet: nodes publish to kerb/1/<site>/up/<node>, answers go to kerb/1/<site>/down/<node>.

    mqtt://host:1883/site?credentials=/path&client=name&window=500
    mqtts://host:8883/site?authority=/path&certificate=/path&key=/path

The session persists at the broker, and a frame is acknowledged to it (PUBACK) only when the intake has settled it: what
a dead gateway held comes again. So the window of frames that are not yet acknowledged bounds what waits here, and a
store that is full lets the broker keep the rest. Topics are only addresses on the broker: who a frame is from, and
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

from kerbgate import brokers, mqtt
from kerbgate.brokers import Address, Broker, Certificates
from kerbgate.errors import InletError
from kerbgate.inlets.base import QUEUE_FULL, Counters, LinkUrl, Take
from kerbwire import frame
from kerbwire.frame import MAX_FRAME

DEFAULT_WINDOW = 500  # frames: some 20 ms of a full district, and 120 KB
MAX_PACKET = 1024  # bytes: a frame, its topic, and room; a broker keeps larger ones from us
SESSION_S = 7 * 86400  # how long a broker keeps frames for a gateway that is away
TIMEOUT_S = 10.0
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
HELD_PAUSE_S = 1.0  # until a frame that the store could not take is tried again

_SITE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_CLIENT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATHS = ("credentials", "authority", "certificate", "key")


class MqttInlet:
    """One site's topics on one broker. `name` is the address without options."""

    def __init__(
        self,
        address: Address,
        site: str,
        *,
        client: str | None = None,
        window: int = DEFAULT_WINDOW,
        credentials: Path | None = None,
        certificates: Certificates | None = None,
    ):
        """BrokerError if the credentials or a certificate cannot be used."""
        self.name = f"mqtt:{address}/{site}"
        self.counters = Counters()
        self.window = window
        self._site = site
        self._broker = Broker(address, credentials=credentials, certificates=certificates)
        self._options = mqtt.Options(
            client or f"kerb-{site}-inlet",
            clean=False,
            session_s=SESSION_S,
            window=window,
            max_packet=MAX_PACKET,
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
        url.only(client=_client, window=_window, **dict.fromkeys(_PATHS, _path))
        if not _SITE.fullmatch(address.path):
            raise InletError(
                f"the inlet {url.text!r} names no site", f"write it as {url.scheme}://{address}/site: a topic level"
            )
        files = {name: Path(url.options[name]) if name in url.options else None for name in _PATHS}
        return cls(
            address,
            address.path,
            client=url.options.get("client"),
            window=_window(url.options.get("window", str(DEFAULT_WINDOW))),
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
            await self._subscribe(connection)
            self._connection = connection
            self.counters.connected = True
            self.counters.opened += 1
            feeding = asyncio.create_task(session.feed(), name=f"{self.name} feeds")
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
        topic = f"kerb/1/{self._site}/up/+"
        try:
            code = (await connection.subscribe([topic], qos=0 if self._silent else 1))[0]
        except (mqtt.MqttError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if code >= mqtt.REFUSED:
            raise InletError(
                f"the broker {self._broker} refused {topic}: {mqtt.reason(code)}",
                f"let this gateway's user read kerb/1/{self._site}/up/# and write .../down/# in its access list",
            )

    def _unreachable(self, error: Exception) -> InletError:
        return InletError(
            f"no connection to the broker {self._broker}: {error or 'it does not answer'}",
            "check the URL, the credentials and the way to the broker; it keeps what nodes send",
        )

    def publish(self, data: bytes) -> bool:
        """Send a frame to the node that its header names; False, and counted, if it cannot go now."""
        if self._silent:
            return False
        connection = self._connection
        if connection is None or not connection.tell(f"kerb/1/{self._site}/down/{frame.parse(data).node}", data):
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
        sent = [connection.tell(f"kerb/1/{self._site}/down/{node}", frame) for node in nodes]
        return all(sent)


class _Session:
    """The frames of one connection that wait for room, and those that do not."""

    def __init__(self, inlet: MqttInlet, intake: Take):
        self._inlet = inlet
        self._intake = intake
        self._waiting: deque[tuple[bytes, _Way]] = deque()  # frames that found the intake full
        self._wait = asyncio.Event()

    def heard(self, connection: mqtt.Connection, message: mqtt.Publish) -> None:
        inlet = self._inlet
        inlet.counters.frames += 1
        way = _Way(inlet, self, connection, message)
        data = message.payload
        if data is None or len(data) > MAX_FRAME:
            inlet.counters.noise += 1
            way.settle(kept=True)
        elif self._waiting or self._intake.full:
            self.hold(data, way)
        else:
            self._intake.take(data, way)

    def hold(self, data: bytes, way: "_Way") -> None:
        """Keep a frame until the intake has room. A broker that sends far more than the window has it coming again.

        mosquitto 2.0 sends up to two windows: a whole one on the first acknowledgement of a full one. No window bounds
        what comes with QoS 0, such as what somebody had retained; nobody was promised that it is kept.
        """
        if len(self._waiting) < 2 * self._inlet.window:
            self._waiting.append((data, way))
            self._wait.set()
        elif not way.promised:
            self._inlet.counters.refused[QUEUE_FULL] += 1
        else:
            self._inlet.counters.noise += 1
            way.connection.fail(f"it sent more than {2 * self._inlet.window} frames unacknowledged")

    async def feed(self) -> None:
        """Hand on what waits, as there is room, until cancelled."""
        while True:
            await self._wait.wait()
            await self._intake.room()
            while self._waiting and not self._intake.full:
                data, way = self._waiting.popleft()
                if way.tried:  # the store failed on it: give the disk time
                    await asyncio.sleep(HELD_PAUSE_S)
                self._intake.take(data, way)
            if not self._waiting:
                self._wait.clear()


class _Way:
    """The way that one frame came, and back to its node."""

    __slots__ = ("_inlet", "_message", "_session", "connection", "counters", "tried")

    def __init__(self, inlet: MqttInlet, session: _Session, connection: mqtt.Connection, message: mqtt.Publish):
        self.counters = inlet.counters
        self.connection = connection
        self.tried = False
        self._inlet = inlet
        self._session = session
        self._message = message

    @property
    def promised(self) -> bool:
        """Whether the broker waits for an acknowledgement."""
        return self._message.number != 0

    def send(self, frame: bytes) -> bool:
        return self._inlet.publish(frame)

    def settle(self, kept: bool) -> None:
        """Acknowledge to the broker, or keep the frame for later."""
        if kept:
            self.connection.acknowledge(self._message.number)
        elif self._message.payload is not None:
            self.tried = True
            self._session.hold(self._message.payload, self)


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
