"""The MQTT outlet: one connection, QoS 1, a document counts as delivered on a PUBACK that does not refuse it.

MQTT 5 says in the PUBACK whether a document was refused, such as by an access list. MQTT 3.1.1 cannot: a broker
acknowledges and drops it. So 3.1.1 is spoken only with a broker that knows nothing else, and status says so.
A frozen broker keeps its socket open and says nothing: keep-alive finds that after 15 to 30 s, the publish timeout
usually sooner. Every failure ends the connection; what was not acknowledged is still in the store.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiomqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from kerbgate import brokers
from kerbgate.brokers import KEEPALIVE_S, REFUSED, UNSUPPORTED_VERSION
from kerbgate.config import OutletSettings
from kerbgate.errors import OutletError
from kerbgate.outlets.base import Link

NO_SUBSCRIBERS = 0x10  # acknowledged, but nobody has subscribed to this topic
OLD_BROKER = "the broker does not speak MQTT 5: a document that its access list denies is lost there unnoticed"
NOBODY = "nobody has subscribed: the broker acknowledges the documents and drops them"


class MqttOutlet:
    """A broker. `name` is the outlet's name in the configuration."""

    def __init__(self, settings: OutletSettings, identifier: str):
        """BrokerError if the URL, the credentials or a certificate cannot be used."""
        self.name = settings.name
        self._address = brokers.parse_address(settings.url)
        self._settings = settings
        self._identifier = identifier
        self._user, self._password = (
            brokers.read_credentials(settings.credentials) if settings.credentials else (None, None)
        )
        self._tls = brokers.tls_context(
            self._address, brokers.Certificates(settings.authority, settings.certificate, settings.key)
        )

    def connect(self) -> AbstractAsyncContextManager[Link]:
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Link]:
        where = str(self._address)
        try:
            client, link = await self._connect(aiomqtt.ProtocolVersion.V5, where)
        except _OldBroker:
            client, link = await self._connect(aiomqtt.ProtocolVersion.V311, where)
        try:
            brokers.heed_cancellation()
            yield link
        finally:
            with contextlib.suppress(aiomqtt.MqttError, OSError, TimeoutError):
                async with asyncio.timeout(self._settings.timeout_s):
                    await client.__aexit__(None, None, None)
            brokers.abandon(client)

    async def _connect(self, protocol: aiomqtt.ProtocolVersion, where: str) -> "tuple[aiomqtt.Client, _MqttLink]":
        """_OldBroker if the broker does not speak this version; OutletError for anything else."""
        newer = protocol == aiomqtt.ProtocolVersion.V5
        client = aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._user,
            password=self._password,
            identifier=self._identifier,
            protocol=protocol,
            clean_session=None if newer else True,  # MQTT 5: clean_start, which is its default at a first connection
            keepalive=KEEPALIVE_S,
            timeout=self._settings.timeout_s,
            max_inflight_messages=self._settings.window,
            max_queued_incoming_messages=16,  # nothing is subscribed; a broker that sends all the same is not kept
            tls_context=self._tls,
            logger=brokers.quiet,
        )
        link = _MqttLink(client, where, self._settings, None if newer else OLD_BROKER)
        try:
            # Connecting has steps that the client's own timeout does not cover, such as a name server that is silent.
            async with asyncio.timeout(2 * self._settings.timeout_s):
                await client.__aenter__()
        except (aiomqtt.MqttError, OSError, TimeoutError) as error:
            brokers.abandon(client)
            if newer and isinstance(error, aiomqtt.MqttCodeError) and brokers.code_of(error.rc) == UNSUPPORTED_VERSION:
                raise _OldBroker from error
            raise OutletError(
                f"no connection to the broker {where}: {error or 'it does not answer'}",
                "check the URL, the credentials and the way to the broker; readings are kept until it answers",
            ) from error
        return client, link


class _OldBroker(Exception):
    """The broker does not speak MQTT 5."""


class _MqttLink:
    """Publishes past aiomqtt 2.5.1, which throws the reason code of a PUBACK away. All of it runs in the event loop."""

    def __init__(self, client: aiomqtt.Client, where: str, settings: OutletSettings, warning: str | None):
        self.warning = warning
        self._client = client
        self._where = where
        self._timeout_s = settings.timeout_s
        self._window = settings.window
        self._places: asyncio.Semaphore | None = None
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._paho = client._client  # pyright: ignore[reportPrivateUsage]
        self._paho.on_publish = self._acknowledged
        self._accept = self._paho.on_connect
        self._paho.on_connect = self._connected

    async def publish(self, topic: str, payload: bytes) -> None:
        if self._places is None:
            self._places = asyncio.Semaphore(self._window)
        async with self._places:
            try:
                code = await self._send(topic, payload)
            except (OSError, ValueError, TimeoutError) as error:
                raise OutletError(
                    f"the broker {self._where} did not acknowledge: {error or 'no answer in time'}",
                    "readings are kept and sent again; check the broker's log and its access list",
                ) from error
        if code >= REFUSED:
            raise OutletError(
                f"the broker {self._where} refused a document: {brokers.reason_of(code)}",
                f"readings are kept; let this gateway's user write to {topic} in the broker's access list",
            )
        if self.warning != OLD_BROKER:
            self.warning = NOBODY if code == NO_SUBSCRIBERS else None

    async def _send(self, topic: str, payload: bytes) -> int:
        """The reason code of the PUBACK of this very document."""
        info = self._paho.publish(topic, payload, qos=1)
        if info.rc:
            raise OSError(aiomqtt.MqttCodeError(info.rc))
        acknowledged = self._waiting[info.mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await acknowledged
        finally:
            self._waiting.pop(info.mid, None)

    def _acknowledged(self, client: object, userdata: object, mid: int, code: ReasonCode, *_: object) -> None:
        waits = self._waiting.get(mid)
        if waits is not None and not waits.done():
            waits.set_result(brokers.code_of(code))

    def _connected(
        self, client: Any, userdata: Any, flags: Any, code: ReasonCode, properties: Properties | None = None
    ) -> None:
        """A broker of MQTT 5 says how many documents it takes at once; paho does not heed it."""
        most = getattr(properties, "ReceiveMaximum", None)
        if isinstance(most, int):
            self._window = max(min(self._window, most), 1)
        if self._accept is not None:
            self._accept(client, userdata, flags, code, properties)  # pyright: ignore[reportCallIssue, reportArgumentType]

    async def ended(self) -> None:
        cause = "it closed the connection"
        try:
            async for _ in self._client.messages:  # nothing is subscribed: this only ends with the connection
                pass
        except (aiomqtt.MqttError, OSError) as error:
            cause = str(error.__cause__ or error)
        raise OutletError(
            f"the connection to the broker {self._where} ended: {cause}", "readings are kept until it is back"
        )
