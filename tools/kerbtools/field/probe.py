"""Brokers as the doctor sees them: each that an inlet or an outlet needs, probed step by step as the gateway would
reach it, under a name of its own and without a word to anybody who reads there. One that the running gateway is
connected to is left alone, but for a look at its certificate.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kerbgate import brokers, mqtt
from kerbgate.brokers import Address, Broker, Certificates
from kerbgate.errors import BrokerError
from kerbgate.inlets import lns
from kerbgate.inlets.base import LinkUrl, parse_url
from kerbgate.inlets.mqtt import SiteTopics, Topics
from kerbtools.field.subject import Subject

PROBE_S = 3.0  # for each step
LATE_S = 5.0  # since the last acknowledgement, while documents wait
_PATHS = ("credentials", "authority", "certificate", "key")


@dataclass(slots=True)
class Far:
    """A broker, and who needs it. topic: that an inlet reads; access: what its list must allow for that.

    stage: how far the probe came: files, resolve, connect, tls, answer, user, topic, or well. why: in words.
    verify_code: of the certificate, as OpenSSL numbers them. days: that the certificate is still good for.
    """

    address: Address
    subject: str
    credentials: Path | None
    certificates: Certificates
    connected: bool = False
    topic: str | None = None
    access: str = ""
    stage: str = ""
    why: str = ""
    verify_code: int = 0
    days: float | None = None


def brokers_of(subject: Subject) -> list[Far]:
    """Every broker, probed where the gateway is not connected to it. Once for all checks."""
    return subject.once("brokers", lambda: asyncio.run(_probe_all(_named(subject))))


def _named(subject: Subject) -> list[Far]:
    facts, out = subject.facts, list[Far]()
    inlets = {row["name"]: row for row in facts["inlets"]} if facts is not None else {}
    outlets = {row["name"]: row for row in facts["outlets"]} if facts is not None else {}
    for settings in subject.config.inlets:
        url = parse_url(settings.url)
        found = _topics(url)
        if found is None:
            continue
        address, names = found
        live = inlets.get(names.name, {})
        paths = {name: Path(url.options[name]) for name in _PATHS if name in url.options}
        certificates = Certificates(*(paths.get(name) for name in _PATHS[1:]))
        well = bool(live.get("connected"))
        out.append(
            Far(address, f"inlet {names.name}", paths.get(_PATHS[0]), certificates, well, names.filter, names.access)
        )
    for settings in subject.config.outlets:
        live = outlets.get(settings.name, {})
        certificates = Certificates(settings.authority, settings.certificate, settings.key)
        out.append(
            Far(
                brokers.parse_address(settings.url),
                f"outlet {settings.name}",
                settings.credentials,
                certificates,
                _well(live),
            )
        )
    return out


def _topics(url: LinkUrl) -> tuple[Address, Topics] | None:
    """The broker of an inlet, and its topics there; None for one that has none."""
    if url.scheme in ("mqtt", "mqtts"):
        address = brokers.parse_address(f"{url.scheme}:{url.rest}")
        return address, SiteTopics(address, address.path)
    server = lns.SERVERS.get(url.options.get("server", ""))
    if url.scheme != "lns" or server is None:
        return None
    address = brokers.parse_address(url.rest)
    return address, server(address, address.path, lns.DEFAULT_PORT)


def _well(outlet: dict[str, Any]) -> bool:
    """Connected, and something was acknowledged of late, or nothing failed: a frozen one stays connected a while."""
    last = outlet.get("last_puback_s_ago")
    return bool(outlet.get("connected")) and (outlet.get("last_error") is None or (last is not None and last < LATE_S))


async def _probe_all(found: list[Far]) -> list[Far]:
    await asyncio.gather(*(_probe(far) for far in found))
    return found


async def _probe(far: Far) -> None:
    """How far one gets: the first step that fails is the stage."""
    try:
        broker = Broker(far.address, credentials=far.credentials, certificates=far.certificates)
        context = brokers.tls_context(far.address, far.certificates)
    except BrokerError as error:
        far.stage, far.why = "files", f"{error.cause}; {error.hint}"
        return
    if far.connected and context is None:
        far.stage = "well"
        return
    try:
        await _knock(far, context)
        if far.stage or far.connected:
            return
        far.stage = "answer"
        await _enter(far, broker)
    except (TimeoutError, OSError, mqtt.MqttError) as error:
        far.why = far.why or str(error) or "no answer in time"


async def _knock(far: Far, context: ssl.SSLContext | None) -> None:
    """Name, way and certificate; sets the stage where one of them fails."""
    host, port = far.address.host, far.address.port
    try:
        async with asyncio.timeout(PROBE_S):
            await _resolve(host, port)
    except (OSError, TimeoutError) as error:
        far.stage, far.why = "resolve", str(error) or "no name server answers"
        return
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError) as error:
        far.stage, far.why = "connect", _plain(error)
        return
    if context is None:
        return
    far.days = await _broker_days(host, port)
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
        writer.close()
    except ssl.SSLCertVerificationError as error:
        far.stage, far.why, far.verify_code = "tls", error.verify_message, error.verify_code
    except (OSError, TimeoutError) as error:
        far.stage, far.why = "tls", _plain(error)


async def _resolve(host: str, port: int) -> None:
    """Look a name up. In a daemon of its own: without an uplink a name server may keep a thread for half a minute."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[OSError | None] = loop.create_future()

    def tell(error: OSError | None) -> None:
        if not found.done():
            found.set_result(error)

    def look() -> None:
        error: OSError | None = None
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as failed:
            error = failed
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=look, name=f"look up {host}", daemon=True).start()
    error = await found
    if error is not None:
        raise error


async def _broker_days(host: str, port: int) -> float | None:
    """For how many days the broker's certificate is good, whoever signed it; None where it shows none."""
    anyone = ssl.create_default_context()
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE  # to look at its dates: nothing is sent
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=anyone)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
    except (OSError, TimeoutError):
        return None
    return None if not shown else certificate_days(shown)


def certificate_days(data: bytes) -> float | None:
    from cryptography import x509

    try:
        read = x509.load_pem_x509_certificate if data.lstrip().startswith(b"-----") else x509.load_der_x509_certificate
        return (read(data).not_valid_after_utc - datetime.now(UTC)).total_seconds() / 86_400
    except ValueError:
        return None


async def _enter(far: Far, broker: Broker) -> None:
    """CONNECT, and for an inlet SUBSCRIBE, under a name of our own."""
    options = mqtt.Options(f"kerb-doctor-{os.urandom(4).hex()}", timeout_s=PROBE_S)
    try:
        async with asyncio.timeout(PROBE_S + 1):
            connection = await broker.connect(options, lambda link, message: None)
    except mqtt.Refused as error:
        far.stage, far.why = "user", mqtt.reason(error.code)
        return
    try:
        far.stage = "well"
        if far.topic is not None:
            code = (await connection.subscribe([far.topic], qos=0))[0]
            if code >= mqtt.REFUSED:
                far.stage, far.why = "topic", mqtt.reason(code)
    finally:
        await connection.close()


def _plain(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {PROBE_S:.0f} s"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
