"""The MQTT inlet: nodes publish to kerb/1/<site>/up/<node>, answers go to kerb/1/<site>/down/<node>.

    mqtt://host:1883/site?credentials=/path&client=name&window=500
    mqtts://host:8883/site?authority=/path&certificate=/path&key=/path

The session persists at the broker, and a frame is acknowledged to it (PUBACK) only when the intake has settled it: what
a dead gateway held comes again. So the window of frames that are not yet acknowledged bounds what waits here, and a
store that is full lets the broker keep the rest. Topics are only addresses on the broker: who a frame is from, and
where its answer goes, says its sealed header. Answers go out with QoS 0: a node that misses one sends again.
"""

import asyncio
import contextlib
import random
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from kerbgate import brokers
from kerbgate.brokers import Address, Certificates
from kerbgate.errors import InletError
from kerbgate.inlets.base import Counters, LinkUrl, Take
from kerbwire import frame
from kerbwire.frame import MAX_FRAME

DEFAULT_WINDOW = 500  # frames: some 20 ms of a full district, and 120 KB
MAX_PACKET = 1024  # bytes: a frame, its topic, and room; a broker keeps larger ones from us
SESSION_S = 7 * 86400  # how long a broker keeps frames for a gateway that is away
MAX_UNSENT = 4 * DEFAULT_WINDOW  # answers queued for a socket that takes none
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
        self._address = address
        self._site = site
        self._client_id = client or f"kerb-{site}-inlet"
        self._user, self._password = brokers.read_credentials(credentials) if credentials else (None, None)
        self._tls = brokers.tls_context(address, certificates or Certificates())
        self._session: _Session | None = None

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
            brokers.heed_cancellation()
            retry_s = FIRST_RETRY_S if self.counters.opened > opened else min(retry_s * 2, LAST_RETRY_S)
            await asyncio.sleep(retry_s * random.uniform(0.5, 1))  # noqa: S311

    async def _connect_and_take(self, intake: Take) -> None:
        try:
            await self._take(intake, aiomqtt.ProtocolVersion.V5)
        except _OldBroker:
            await self._take(intake, aiomqtt.ProtocolVersion.V311)

    async def _take(self, intake: Take, protocol: aiomqtt.ProtocolVersion) -> None:
        """From connecting until the connection is lost: always ends in InletError, or _OldBroker."""
        newer = protocol == aiomqtt.ProtocolVersion.V5
        client = aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._user,
            password=self._password,
            identifier=self._client_id,
            protocol=protocol,
            clean_session=None if newer else False,
            clean_start=False if newer else 3,  # of MQTT 5 alone; 3 is the client's default
            properties=_limits(self.window) if newer else None,
            keepalive=brokers.KEEPALIVE_S,
            timeout=TIMEOUT_S,
            tls_context=self._tls,
            logger=brokers.quiet,
        )
        session = _Session(client, self, intake)
        try:
            await self._open(client, newer)
            brokers.heed_cancellation()
            self._session = session
            self.counters.connected = True
            self.counters.opened += 1
            await self._ended(client, session)
        finally:
            self.counters.connected = False
            self._session = None
            session.close()
            with contextlib.suppress(aiomqtt.MqttError, OSError, TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    await client.__aexit__(None, None, None)
            brokers.abandon(client)

    async def _open(self, client: aiomqtt.Client, newer: bool) -> None:
        """Connect and subscribe."""
        topic = f"kerb/1/{self._site}/up/+"
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                await client.__aenter__()
                granted = await client.subscribe(topic, qos=1)
        except (aiomqtt.MqttError, OSError, TimeoutError) as error:
            old = isinstance(error, aiomqtt.MqttCodeError) and (
                brokers.code_of(error.rc) == brokers.UNSUPPORTED_VERSION
            )
            if newer and old:
                raise _OldBroker from error
            raise InletError(
                f"no connection to the broker {self._address}: {error or 'it does not answer'}",
                "check the URL, the credentials and the way to the broker; it keeps what nodes send",
            ) from error
        code = brokers.code_of(granted[0])
        if code >= brokers.REFUSED:
            raise InletError(
                f"the broker {self._address} refused {topic}: {brokers.reason_of(code, PacketTypes.SUBACK)}",
                f"let this gateway's user read kerb/1/{self._site}/up/# and write .../down/# in its access list",
            )

    async def _ended(self, client: aiomqtt.Client, session: "_Session") -> None:
        """Wait until the connection is gone; feed what had to wait meanwhile. Always ends in InletError."""
        feeding = asyncio.create_task(session.feed(), name=f"{self.name} feeds")
        cause = "it closed the connection"
        try:
            async for (
                _
            ) in client.messages:  # the session takes them before this queue: it only ends with the connection
                pass
        except (aiomqtt.MqttError, OSError) as error:
            cause = str(error.__cause__ or error)
        finally:
            feeding.cancel()
        raise InletError(
            f"the connection to the broker {self._address} ended: {session.fault or cause}",
            "it keeps what nodes send; check its log",
        )

    def publish(self, data: bytes) -> bool:
        """Send a frame to the node that its header names; False, and counted, if it cannot go now."""
        session = self._session
        if session is None or not session.publish(f"kerb/1/{self._site}/down/{frame.parse(data).node}", data):
            self.counters.unsent += 1
            return False
        self.counters.sent += 1
        return True

    def broadcast(self, frame: bytes, nodes: Iterable[int]) -> bool:
        """Send one group frame on the topic of each of these nodes; False if it could not go to all of them."""
        session = self._session
        if session is None:
            return False
        sent = [session.publish(f"kerb/1/{self._site}/down/{node}", frame) for node in nodes]
        return all(sent)


class _OldBroker(Exception):
    """The broker does not speak MQTT 5."""


class _Session:
    """One connection: frames in, acknowledgements and answers out, past aiomqtt 2.5.1, which has no manual PUBACK."""

    def __init__(self, client: aiomqtt.Client, inlet: MqttInlet, intake: Take):
        self.fault: str | None = None
        self._inlet = inlet
        self._intake = intake
        self._waiting: deque[tuple[bytes, _Way]] = deque()  # frames that found the intake full
        self._wait = asyncio.Event()
        self._paho = client._client  # pyright: ignore[reportPrivateUsage]
        self._paho.manual_ack_set(True)
        self._paho.on_message = self._heard
        self._open = True

    def close(self) -> None:
        """From now on nothing is acknowledged on this connection: its packet numbers are void."""
        self._open = False

    def _heard(self, client: object, userdata: object, message: Any) -> None:
        inlet = self._inlet
        way = _Way(inlet, self, message.mid, message.qos, message.payload)
        inlet.counters.frames += 1
        if len(message.payload) > MAX_FRAME:
            inlet.counters.noise += 1
            way.settle(kept=True)
        elif self._waiting or self._intake.full:
            self.hold(message.payload, way)
        else:
            self._intake.take(message.payload, way)

    def hold(self, data: bytes, way: "_Way") -> None:
        """Keep a frame until the intake has room. A broker that sends far more than the window has it coming again.

        mosquitto 2.0 sends up to two windows: a whole one on the first acknowledgement of a full one.
        """
        if len(self._waiting) < 2 * self._inlet.window:
            self._waiting.append((data, way))
            self._wait.set()
        else:
            self._inlet.counters.noise += 1
            self.fault = f"it sent more than {2 * self._inlet.window} frames unacknowledged"
            self._paho.disconnect()

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

    def acknowledge(self, mid: int, qos: int) -> None:
        if self._open:
            self._paho.ack(mid, qos)

    def publish(self, topic: str, data: bytes) -> bool:
        if not self._open or len(self._paho._out_packet) >= MAX_UNSENT:  # pyright: ignore[reportPrivateUsage]
            return False
        return not self._paho.publish(topic, data).rc


class _Way:
    """The way that one frame came, and back to its node."""

    __slots__ = ("_data", "_inlet", "_mid", "_qos", "_session", "counters", "tried")

    def __init__(self, inlet: MqttInlet, session: _Session, mid: int, qos: int, data: bytes):
        self.counters = inlet.counters
        self.tried = False
        self._inlet = inlet
        self._session = session
        self._mid = mid
        self._qos = qos
        self._data = data

    def send(self, frame: bytes) -> bool:
        return self._inlet.publish(frame)

    def settle(self, kept: bool) -> None:
        """Acknowledge to the broker, or keep the frame for later."""
        if kept:
            self._session.acknowledge(self._mid, self._qos)
        else:
            self.tried = True
            self._session.hold(self._data, self)


def _limits(window: int) -> Properties:
    """What the broker is told when we connect (MQTT 5, section 3.1.2.11)."""
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_S
    properties.ReceiveMaximum = window
    properties.MaximumPacketSize = MAX_PACKET
    return properties


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
