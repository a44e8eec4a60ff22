"""MQTT brokers, as inlets and outlets both reach them: address, credentials, TLS, and what the client leaves to do.

mqtt://host:1883     plain
mqtts://host:8883    TLS 1.2 or later; the broker's certificate is checked against the system's or a given authority
"""

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from kerbgate.errors import BrokerError

KEEPALIVE_S = 15  # a frozen broker is found after 15 to 30 s
PORTS = {"mqtt": 1883, "mqtts": 8883}
MAX_CREDENTIALS = 1024  # bytes of a file with one line user:password
REFUSED = 0x80  # MQTT 5, section 2.4: reason codes from here on are refusals
UNSUPPORTED_VERSION = 0x84  # what paho makes of it, too, when a broker of 3.1.1 refuses MQTT 5

quiet = logging.getLogger("kerbgate.brokers.client")
quiet.setLevel(logging.CRITICAL)  # the client warns of each connection loss; status says it once


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is. path: what follows host and port, without its first slash."""

    host: str
    port: int
    tls: bool
    path: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of TLS. authority: PEM of who signs the broker's certificate, None for the system's store.

    certificate and key: PEM of a client certificate, both or neither; the key's file must be of mode 0600.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def parse_address(url: str) -> Address:
    """The parts of mqtt://host:port or mqtts://host:port, with a path if there is one; BrokerError otherwise."""
    hint = "write it as mqtt://host:1883 or mqtts://host:8883; user and password belong into a credentials file"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BrokerError(f"the broker's URL cannot be read: {error}", hint) from error
    if parts.scheme not in PORTS or not parts.hostname or parts.username or parts.password:
        raise BrokerError("the broker's URL is not of the form mqtt://host:port", hint)
    if parts.query or parts.fragment:
        raise BrokerError(f"the broker's URL {parts.scheme}://{parts.hostname} has parts that are not understood", hint)
    path = parts.path.strip("/")
    return Address(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "mqtts", path)


def read_credentials(path: Path) -> tuple[str, str]:
    """User and password from a file that only its owner can read. BrokerError."""
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            text = file.read(MAX_CREDENTIALS + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"the credentials file {path} cannot be read: {error}", "check its path and owner") from error
    _check_private(path, mode, "credentials")
    user, colon, password = text.partition(":")
    if not colon or not user or "\n" in text or len(text) > MAX_CREDENTIALS:
        raise BrokerError(f"the credentials file {path} is not one line user:password", "write just that line")
    return user, password


def tls_context(address: Address, certificates: Certificates) -> ssl.SSLContext | None:
    """What TLS needs, None where the address is plain. BrokerError names the file that cannot be used."""
    if not address.tls:
        if certificates != Certificates():
            raise BrokerError(f"certificates are given, but {address} is reached without TLS", "write mqtts://")
        return None
    authority, certificate, key = certificates.authority, certificates.certificate, certificates.key
    try:
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(
            f"the authority's certificate {authority} cannot be used: {error}", "give a readable PEM file"
        ) from error
    if (certificate is None) != (key is None):
        raise BrokerError("a client certificate needs its key, and a key its certificate", "give both files, or none")
    if certificate is not None and key is not None:
        try:
            _check_private(key, key.stat().st_mode, "key")
            context.load_cert_chain(certificate, key, password=lambda: "")  # an encrypted key must not ask a terminal
        except (OSError, ssl.SSLError) as error:
            raise BrokerError(
                f"the client certificate {certificate} with {key} cannot be used: {error}",
                "give PEM files that belong together, the key without a passphrase",
            ) from error
    return context


def heed_cancellation() -> None:
    """Raise the CancelledError that asyncio.wait_for of Python 3.11 loses when it comes as the wait ends.

    aiomqtt waits so for its connection: a task that goes on after that would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def code_of(code: "ReasonCode | int | None") -> int:
    return code.value if isinstance(code, ReasonCode) else code or 0


def reason_of(code: int, packet: int = PacketTypes.PUBACK) -> str:
    """A reason code in words."""
    try:
        return f"{ReasonCode(packet, identifier=code)} (0x{code:02x})"
    except KeyError:
        return f"reason 0x{code:02x}"


def abandon(client: aiomqtt.Client) -> None:
    """Close the socket of a client that is done with. aiomqtt leaves it open when a broker is silent."""
    sock = client._client.socket()  # pyright: ignore[reportPrivateUsage]
    if isinstance(sock, socket.socket) and sock.fileno() >= 0:
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
        sock.close()


def _check_private(path: Path, mode: int, what: str) -> None:
    if mode & 0o077:
        raise BrokerError(f"the {what} file {path} can be read by others", f"run: chmod 600 {path}")
