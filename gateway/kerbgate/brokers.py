"""MQTT brokers, as inlets, outlets and commands reach them: address, credentials, TLS, and the version they speak.

mqtt://host:1883     plain
mqtts://host:8883    TLS 1.2 or later; the broker's certificate is checked against the system's or a given authority
"""

import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from kerbgate import mqtt
from kerbgate.config import PORTS, OutletSettings
from kerbgate.errors import BrokerError
from kerbgate.mqtt.connection import OnMessage

KEEPALIVE_S = 15  # a frozen broker is found after 15 to 30 s
MAX_CREDENTIALS = 1024  # bytes of a file with one line user:password


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


class Broker:
    """A broker that can be connected to, as often as it takes. Its name says no credentials."""

    def __init__(self, address: Address, *, credentials: Path | None = None, certificates: Certificates | None = None):
        """BrokerError if the credentials or a certificate cannot be used."""
        self.address = address
        self._user, self._password = read_credentials(credentials) if credentials else (None, None)
        self._tls = tls_context(address, certificates or Certificates())
        self._is_older_next = False

    def __str__(self) -> str:
        return str(self.address)

    async def connect(self, options: mqtt.Options, on_message: OnMessage) -> mqtt.Connection:
        """A connection in MQTT 5, or in 3.1.1 with a broker that speaks nothing newer.

        A broker that is silent may be frozen, or one that waits for more of a CONNECT which it does not understand: the
        next attempt is made in the older version, and the one after it in the newer again.
        options: user, password and version are set here. MqttError, OSError, TimeoutError.
        """
        options = replace(options, user=self._user, password=self._password, keepalive_s=KEEPALIVE_S)
        host, port = self.address.host, self.address.port
        older = replace(options, version=mqtt.V311)
        if self._is_older_next:
            self._is_older_next = False
            return await mqtt.connect(host, port, older, on_message, self._tls)
        try:
            return await mqtt.connect(host, port, options, on_message, self._tls)
        except TimeoutError:
            self._is_older_next = True
            raise
        except mqtt.Refused as refused:
            if refused.code != mqtt.UNSUPPORTED_VERSION:
                raise
        return await mqtt.connect(host, port, older, on_message, self._tls)


def of_outlet(settings: OutletSettings) -> Broker:
    """The council's broker, as an outlet's settings name it. BrokerError."""
    return Broker(
        parse_address(settings.url),
        credentials=settings.credentials,
        certificates=Certificates(settings.authority, settings.certificate, settings.key),
    )


def _check_private(path: Path, mode: int, what: str) -> None:
    if mode & 0o077:
        raise BrokerError(f"the {what} file {path} can be read by others", f"run: chmod 600 {path}")
