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
from functools import partial

from kerbgate import brokers, mqtt
from kerbgate.config import OutletSettings
from kerbgate.errors import DocumentRefused, NotAllowed, OutletError
from kerbgate.outlets.base import Done, Link

OLD_BROKER = "the broker does not speak MQTT 5: a document that its access list denies is lost there unnoticed"
NOBODY = "nobody has subscribed: the broker acknowledges the documents and drops them"


class MqttOutlet:
    """A broker. `name` is the outlet's name in the configuration."""

    def __init__(self, settings: OutletSettings, identifier: str):
        """BrokerError if the URL, the credentials or a certificate cannot be used."""
        self.name = settings.name
        self._broker = brokers.of_outlet(settings)
        self._options = mqtt.Options(identifier, timeout_s=settings.timeout_s)

    def connect(self) -> AbstractAsyncContextManager[Link]:
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Link]:
        try:
            connection = await self._broker.connect(self._options, _unasked)
        except (mqtt.MqttError, OSError, TimeoutError) as error:
            raise OutletError(
                f"no connection to the broker {self._broker}: {error or 'it does not answer'}",
                "check the URL, the credentials and the way to the broker; readings are kept until it answers",
            ) from error
        try:
            yield _MqttLink(connection, str(self._broker))
        finally:
            await connection.close()


class _MqttLink:
    """One connection. All of it runs in the event loop."""

    def __init__(self, connection: mqtt.Connection, where: str):
        self.warning = OLD_BROKER if connection.version == mqtt.V311 else None
        self._old = connection.version == mqtt.V311
        self.most_bytes = connection.max_packet
        self._connection = connection
        self._where = where

    async def publish(self, topic: str, payload: bytes) -> None:
        """See Link."""
        future: asyncio.Future[OutletError | None] = asyncio.get_running_loop().create_future()
        self.send(topic, payload, lambda error: None if future.done() else future.set_result(error))
        error = await future
        if error is not None:
            raise error

    def send(self, topic: str, payload: bytes, done: Done) -> None:
        """See Link."""
        self._connection.send(topic, payload, partial(self._answered, topic, done))

    def _answered(self, topic: str, done: Done, code: int, words: str) -> None:
        if 0 <= code < mqtt.REFUSED:
            if not self._old:
                self.warning = NOBODY if code == mqtt.NO_SUBSCRIBERS else None
            done(None)
        elif code == mqtt.LOST:
            done(
                OutletError(
                    f"the broker {self._where} did not acknowledge: {words}",
                    "readings are kept and sent again; check the broker's log and its access list",
                )
            )
        else:
            cause = f"the broker {self._where} refused a document: {mqtt.NotTaken(code, words)}"
            if code in mqtt.OF_THE_MESSAGE:
                done(DocumentRefused(cause, "it is kept, and the others go; ask who runs the broker"))
            else:
                let = f"readings are kept; let this gateway's user write to {topic} in the broker's access list"
                done((NotAllowed if code == mqtt.NOT_AUTHORIZED else OutletError)(cause, let))

    async def ended(self) -> None:
        try:
            await self._connection.ended()
        except mqtt.MqttError as error:
            raise OutletError(
                f"the connection to the broker {self._where} ended: {error}", "readings are kept until it is back"
            ) from error


def _unasked(connection: mqtt.Connection, message: mqtt.Publish) -> None:
    """Nothing is subscribed: what a broker sends all the same is not kept."""
