"""How a node is to reach its gateway: the strings of /node/links.json, and the secrets that lie beside it.

Secrets come from files that only their owner can read, and go to the board: no output, label or registry has them.
"""

import binascii
import ipaddress
import json
import re
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from kerbnode.link import lookup
from kerbnode.link.fallback import MAX_LINKS  # pyright: ignore[reportUnknownVariableType]
from kerbnode.link.lora import MOST_SPREAD_S  # pyright: ignore[reportUnknownVariableType]
from kerbtools import boards, bundle
from kerbtools.provision.errors import NotReady, OrderError
from kerbtools.provision.shell import read_bytes
from kerbwire import lora

LINKS = "/node/links.json"
LEARNT = "/node/links.cbor"  # which of its links failed, and for how long a node leaves them alone
WIFI, BROKER, SINCE = "/node/wifi.json", "/node/broker.json", "/node/tls.json"
AUTHORITY, CERTIFICATE, KEY = "/node/broker-ca.der", "/node/client.der", "/node/client-key.der"
SECRETS = (WIFI, BROKER, SINCE, AUTHORITY, CERTIFICATE, KEY)
MAX_FILE = 4096  # bytes that a board reads of a file
MAX_SSID, MIN_PASSWORD, MAX_PASSWORD = 32, 8, 63  # of WPA2
MAX_TEXT = 64  # of a broker's user or password: with frame and topic they fit in a packet of the node
MAX_STRING = 120
MAX_SECRET = 1 << 16  # of a file on this machine

_SITE = r"(/[a-z0-9][a-z0-9_-]{0,31})?"
_HOST = "[A-Za-z0-9_.-]{1,253}"
# Scheme -> (what its address looks like, options by name, the radio that it needs). An option: the form of its value,
# and that in words.
SCHEMES: dict[str, tuple[str, dict[str, tuple[str, str]], str | None]] = {
    "serial": ("", {}, None),
    "mqtt": (rf"//{_HOST}(:\d{{1,5}})?{_SITE}", {}, "wifi"),
    "mqtts": (
        rf"//{_HOST}(:\d{{1,5}})?{_SITE}",
        {"name": (r"[A-Za-z0-9.-]{1,64}", "as the broker's certificate says it")},
        "wifi",
    ),
    "ble": ("", {"window_s": (r"[1-9]|1\d|20", "1 to 20 seconds")}, "ble"),
    "lora": (
        r"(\d{3}(\.\d{1,3})?)?",
        {
            "down": (r"\d{3}(\.\d{1,3})?", "MHz of the gateway's answers, such as 869.525"),
            "sf": ("[789]|1[012]", "7 to 12"),
            "power": (r"\d{1,2}", f"dBm, 0 to {lora.MOST_DBM}"),
            "spread": (r"\d{1,3}", f"0 to {MOST_SPREAD_S} seconds"),
        },
        "lora",
    ),
}
_ADVICE = {
    "serial": "write serial: and nothing behind it: the pins are the board's",
    "mqtt": "write mqtt://HOST/SITE or mqtt://HOST:1883/SITE; HOST is an address, or a name as name servers know it",
    "mqtts": "write mqtts://HOST/SITE; a HOST that is an address takes the certificate's name behind it: ?name=NAME",
    "ble": "write ble: and nothing behind it",
    "lora": "write lora:868.1, in MHz",
}


@dataclass(frozen=True, slots=True)
class Access:
    """What nodes are let in with. links: of a node whose order names none; None: what is on the board stays.

    wifi: network and password. brokers: user and password by address, None for all others. certificate and key: paths
    in which {node} stands for the address.
    """

    links: tuple[str, ...] | None = None
    wifi: tuple[str, str] | None = None
    brokers: Mapping[int | None, tuple[str, str]] = field(default_factory=dict[int | None, tuple[str, str]])
    authority: Path | None = None
    certificate: str | None = None
    key: str | None = None

    def files(self, node: int, links: Sequence[str] | None, there: Collection[str] = ()) -> dict[str, bytes | None]:
        """What is to lie on a board, by path; None: nothing. links: of the order. OrderError.

        there: what lies on it already and stays where nothing new is brought; it is then not named.
        """
        wanted = tuple(links) if links else self.links
        if wanted is None:
            if self.brings:
                raise OrderError(
                    f"node {node} gets a network or a broker, and no links that use them",
                    "name all its links: --link mqtt://10.0.0.2/SITE --link serial:; for its secrets alone: kerb links",
                )
            return {}
        found: dict[str, bytes | None] = {LINKS: json.dumps(wanted).encode(), **dict.fromkeys(SECRETS)}
        schemes = {name.partition(":")[0] for name in wanted}
        if not schemes & {"mqtt", "mqtts"}:
            return found
        if self.wifi is not None:
            found[WIFI] = json.dumps({"ssid": self.wifi[0], "password": self.wifi[1]}).encode()
        elif WIFI in there:
            del found[WIFI]
        else:
            raise OrderError(f"node {node} is to use Wi-Fi, and no network is known", "name its file: --wifi FILE")
        broker = self.brokers.get(node, self.brokers.get(None))
        if self.brokers and broker is None:
            raise OrderError(f"the broker's file has no line for node {node}", f"add one: {node} user:password")
        if broker is not None:
            found[BROKER] = json.dumps({"user": broker[0], "password": broker[1]}).encode()
        elif BROKER in there:
            del found[BROKER]
        if "mqtts" in schemes:
            for path, data in self._certificates(node, there).items():
                if data is None:
                    del found[path]
                else:
                    found[path] = data
        return found

    @property
    def brings(self) -> bool:
        """Whether it lets nodes in anywhere."""
        return bool(self.wifi or self.brokers or self.authority or self.certificate or self.key)

    def _certificates(self, node: int, there: Collection[str]) -> dict[str, bytes | None]:
        """By path; None: what lies there stays."""
        if (self.certificate is None) != (self.key is None):
            raise OrderError("a client certificate needs its key, and a key its certificate", "give both, or none")
        found: dict[str, bytes | None] = {}
        if self.authority is not None:
            found[AUTHORITY] = _certificate(self.authority)
        elif AUTHORITY in there:
            found[AUTHORITY] = None
        else:
            raise OrderError(
                f"node {node} is to use TLS, and no authority is known", "give the broker's CA: --authority FILE"
            )
        if self.certificate is not None and self.key is not None:
            found[CERTIFICATE] = _certificate(Path(self.certificate.replace("{node}", str(node))))
            found[KEY] = _key(Path(self.key.replace("{node}", str(node))))
        else:
            found |= {path: None for path in (CERTIFICATE, KEY) if path in there}
        if self.authority is not None or self.certificate is not None or SINCE not in there:
            found[SINCE] = json.dumps({"since_utc": int(time.time())}).encode()
        else:
            found[SINCE] = None
        return found


def read_links(strings: Sequence[str]) -> tuple[str, ...]:
    """The strings of a node's links, in the order in which it tries them. OrderError."""
    if len(strings) > MAX_LINKS:
        raise OrderError(f"{len(strings)} links are too many", f"name {MAX_LINKS} at most")
    for text in strings:
        _check(text)
    if len(set(strings)) != len(strings):
        raise OrderError("a link is named twice", "name each once, in the order in which the node tries them")
    return tuple(strings)


def check_board(port: str, board: str, role: str, strings: Sequence[str]) -> None:
    """NotReady where a board has no radio for a link, or its role does not speak over it."""
    facts = boards.load(board)
    spoken = bundle.LINKS.get(role, {}).values()
    for text in strings:
        scheme = text.partition(":")[0]
        radio = SCHEMES[scheme][2]
        if radio is not None and radio not in facts.radio and not getattr(facts, radio, None):
            raise NotReady(f"The board on {port}, a {board}, has no {radio} for {text}.", "Name another link: --link")
        if radio is not None and radio not in spoken:
            raise NotReady(
                f"The board on {port} is a {role}, and a {role} has no link {scheme}:.",
                f"Name another one: serial:, or one over {' or '.join(spoken) or 'a cable'}",
            )


def check_site(strings: Sequence[str], site: str) -> None:
    """OrderError where a link names another site than the node's: nobody would listen where it speaks."""
    for text in strings:
        scheme, _, rest = text.partition(":")
        named = rest.partition("?")[0].removeprefix("//").partition("/")[2]
        if scheme in ("mqtt", "mqtts") and named not in ("", site):
            raise OrderError(
                f"the link {text[:80]!r} names the site {named}, and the node is of {site}",
                f"leave the site out, or write /{site}",
            )


def read_wifi(path: Path) -> tuple[str, str]:
    """Network and password: the two lines of a file that only its owner can read. OrderError, ProvisionError."""
    lines = _private(path).splitlines()
    if len(lines) not in (1, 2) or not 0 < len(lines[0].encode()) <= MAX_SSID:
        raise OrderError(f"{path} does not hold a network's name and, below it, its password", "write just these lines")
    password = lines[1] if len(lines) == 2 else ""
    if password and not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise OrderError(
            f"the password in {path} has not {MIN_PASSWORD} to {MAX_PASSWORD} characters", "WPA2 takes no other"
        )
    return lines[0], password


def read_brokers(path: Path) -> dict[int | None, tuple[str, str]]:
    """Users and passwords: lines `user:password` for all, `ADDRESS user:password` for one node. OrderError."""
    found: dict[int | None, tuple[str, str]] = {}
    for number, line in enumerate(_private(path).splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"(?:([1-9]\d{0,4})\s+)?([^:\s]+):(\S+)", line.strip())
        node = int(match[1]) if match and match[1] else None
        if match is None or max(len(match[2]), len(match[3])) > MAX_TEXT or (node or 0) > 65535 or node in found:
            raise OrderError(
                f"{path}, line {number}: no user:password, or a node twice",
                f"write user:password, or ADDRESS user:password, each of at most {MAX_TEXT} characters",
            )
        found[node] = match[2], match[3]
    if not found:
        raise OrderError(f"{path} is empty", "write one line user:password")
    return found


def _check(text: str) -> None:
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in SCHEMES or len(text) > MAX_STRING:
        raise OrderError(
            f"the link {text[:80]!r} has no known scheme", "use one of: " + ", ".join(f"{name}:" for name in SCHEMES)
        )
    address, _, query = rest.partition("?")
    form, options, _ = SCHEMES[scheme]
    if not re.fullmatch(form, address):
        raise OrderError(f"the link {text[:80]!r} has an address that cannot be read", _ADVICE[scheme])
    if scheme in ("mqtt", "mqtts"):
        host, _, port = address[2:].partition("/")[0].partition(":")
        try:
            if not lookup.is_name(host):  # pyright: ignore[reportUnknownMemberType]
                ipaddress.IPv4Address(host)
        except ValueError as error:
            raise OrderError(f"the link {text[:80]!r} names no broker", _ADVICE[scheme]) from error
        if port and not 0 < int(port) < 1 << 16:
            raise OrderError(f"the link {text[:80]!r} names no port", "use 1 to 65535")
    pairs = parse_qsl(query, keep_blank_values=True)
    if "&".join(f"{name}={value}" for name, value in pairs) != query:
        raise OrderError(f"the link {text[:80]!r} has malformed options", "write ?name=value&name=value")
    for name, value in pairs:
        if name not in options:
            known = ", ".join(options) or "none"
            raise OrderError(f"the link {text[:80]!r} has an option that is not understood", f"options here: {known}")
        if not re.fullmatch(options[name][0], value) or [key for key, _ in pairs].count(name) > 1:
            raise OrderError(
                f"the link {text[:80]!r} has an option {name} that cannot be", f"{name} is {options[name][1]}, once"
            )
    if scheme == "lora":
        _check_lora(text, address, dict(pairs))


def _check_lora(text: str, address: str, options: Mapping[str, str]) -> None:
    """By the rules that the node goes by when it opens the link. OrderError."""
    for name, value in (("the frequency", address), ("down", options.get("down", ""))):
        try:
            if value:
                lora.band(lora.khz(value))
        except ValueError as error:
            raise OrderError(f"the link {text[:80]!r} has no channel of ours: {name} is {value}", str(error)) from error
    try:
        settings = lora.settings(address, dict(options))
    except ValueError as error:
        raise OrderError(f"the link {text[:80]!r} has an option that cannot be", str(error)) from error
    most = lora.band(settings.up_khz)[1]
    if settings.power_dbm > most:
        raise OrderError(
            f"the link {text[:80]!r} has an option power that cannot be",
            f"at most {most} dBm may be sent at {settings.up_khz / 1000:g} MHz",
        )
    if int(options.get("spread", "0")) > MOST_SPREAD_S:
        raise OrderError(
            f"the link {text[:80]!r} has an option spread that cannot be", f"spread is 0 to {MOST_SPREAD_S} seconds"
        )


def _private(path: Path) -> str:
    """The text of a file of secrets. OrderError, ProvisionError."""
    data = read_bytes(path, MAX_SECRET)
    if path.stat().st_mode & 0o077:
        raise OrderError(f"{path} can be read by others", f"run: chmod 600 {path}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise OrderError(f"{path} is not UTF-8 text", "check which file it is") from error


def _certificate(path: Path) -> bytes:
    """DER of a certificate in PEM or DER. OrderError."""
    return _der(path, "CERTIFICATE", "certificate", read_bytes(path, MAX_SECRET), ssl.PEM_cert_to_DER_cert)


def _key(path: Path) -> bytes:
    """DER of a private key without a passphrase. OrderError."""
    _private_mode(path)

    def decode(text: str) -> bytes:
        return binascii.a2b_base64("".join(line for line in text.splitlines() if line and not line.startswith("-")))

    return _der(path, "PRIVATE KEY", "key", read_bytes(path, MAX_SECRET), decode)


def _private_mode(path: Path) -> None:
    read_bytes(path, MAX_SECRET)
    if path.stat().st_mode & 0o077:
        raise OrderError(f"{path} can be read by others", f"run: chmod 600 {path}")


def _der(path: Path, label: str, what: str, data: bytes, decode: Callable[[str], bytes]) -> bytes:
    hint = f"give one {what} in PEM or DER, a key without a passphrase"
    if b"-----BEGIN" in data:
        blocks = re.findall(
            rf"-----BEGIN (?:[A-Z]+ )?{label}-----.*?-----END (?:[A-Z]+ )?{label}-----", data.decode("latin-1"), re.S
        )
        if len(blocks) != 1 or "ENCRYPTED" in blocks[0]:
            raise OrderError(f"{path} holds {len(blocks) or 'no'} usable {what}", hint)
        try:
            data = decode(blocks[0])
        except (ValueError, binascii.Error) as error:
            raise OrderError(f"{path} cannot be read as a {what}", hint) from error
    if not data.startswith(b"\x30") or len(data) > MAX_FILE:
        raise OrderError(f"{path} is no {what}, or larger than {MAX_FILE} bytes", hint)
    return data
