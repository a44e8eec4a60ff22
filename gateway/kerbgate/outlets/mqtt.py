"""The MQTT outlet: one connection, QoS 1, a document counts as delivered on its PUBACK.

A frozen broker keeps its socket open and says nothing: keep-alive finds that after 15 to 30 s, the publish timeout
usually sooner. Every failure ends the connection; what was not acknowledged is still in the store.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt

from kerbgate.config import OutletSettings
from kerbgate.errors import OutletError
from kerbgate.outlets.base import Link

KEEPALIVE_S = 15
DEFAULT_PORT = 1883
MAX_CREDENTIALS = 1024  # bytes of a file with one line user:password

_quiet = logging.getLogger("kerbgate.outlets.mqtt.client")
_quiet.setLevel(logging.CRITICAL)  # the client warns of each connection loss; status says it once


class MqttOutlet:
    """A broker. `name` is the outlet's name in the configuration."""

    def __init__(self, settings: OutletSettings, identifier: str):
        """OutletError if the URL or the credentials file cannot be used."""
        self.name = settings.name
        self._host, self._port = parse_address(settings.url)
        self._settings = settings
        self._identifier = identifier
        self._user, self._password = read_credentials(settings.credentials) if settings.credentials else (None, None)

    def connect(self) -> AbstractAsyncContextManager[Link]:
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Link]:
        where = f"{self._host}:{self._port}"
        client = aiomqtt.Client(
            self._host,
            self._port,
            username=self._user,
            password=self._password,
            identifier=self._identifier,
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=self._settings.timeout_s,
            max_inflight_messages=self._settings.window,
            max_queued_incoming_messages=16,  # nothing is subscribed; a broker that sends all the same is not kept
            logger=_quiet,
        )
        client.pending_calls_threshold = self._settings.window
        try:
            # Connecting has steps that the client's own timeout does not cover, such as a name server that is silent.
            async with asyncio.timeout(2 * self._settings.timeout_s):
                await client.__aenter__()
        except (aiomqtt.MqttError, OSError, TimeoutError) as error:
            _abandon(client)
            raise OutletError(
                f"no connection to the broker {where}: {error or 'it does not answer'}",
                "check the URL, the credentials and the way to the broker; readings are kept until it answers",
            ) from error
        try:
            yield _MqttLink(client, where)
        finally:
            with contextlib.suppress(aiomqtt.MqttError, OSError, TimeoutError):
                async with asyncio.timeout(self._settings.timeout_s):
                    await client.__aexit__(None, None, None)
            _abandon(client)


class _MqttLink:
    def __init__(self, client: aiomqtt.Client, where: str):
        self._client = client
        self._where = where

    async def publish(self, topic: str, payload: bytes) -> None:
        try:
            await self._client.publish(topic, payload, qos=1)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise OutletError(
                f"the broker {self._where} did not acknowledge: {error}",
                "readings are kept and sent again; check the broker's log and its access list",
            ) from error

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


def _abandon(client: aiomqtt.Client) -> None:
    """Close the socket of a client that is done with. aiomqtt leaves it open when a broker is silent."""
    sock = client._client.socket()  # pyright: ignore[reportPrivateUsage]
    if isinstance(sock, socket.socket) and sock.fileno() >= 0:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
        sock.close()


def parse_address(url: str) -> tuple[str, int]:
    """(host, port) of mqtt://host:port; OutletError for anything that is not understood."""
    hint = "write it as mqtt://host:1883; user and password belong into a credentials file"
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise OutletError(f"the outlet's URL cannot be read: {error}", hint) from error
    if parts.scheme != "mqtt" or not parts.hostname or parts.username or parts.password:
        raise OutletError("the outlet's URL is not of the form mqtt://host:port", hint)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise OutletError(f"the outlet's URL mqtt://{parts.hostname}:{port} has parts that are not understood", hint)
    return parts.hostname, port


def read_credentials(path: Path) -> tuple[str, str]:
    """User and password from a file that only its owner can read."""
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            text = file.read(MAX_CREDENTIALS + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OutletError(f"the credentials file {path} cannot be read: {error}", "check its path and owner") from error
    if mode & 0o077:
        raise OutletError(f"the credentials file {path} can be read by others", f"run: chmod 600 {path}")
    user, colon, password = text.partition(":")
    if not colon or not user or "\n" in text or len(text) > MAX_CREDENTIALS:
        raise OutletError(f"the credentials file {path} is not one line user:password", "write just that line")
    return user, password
