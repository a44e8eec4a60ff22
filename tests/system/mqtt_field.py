"""Nodes on emulated Wi-Fi, a real mosquitto with users, access list and TLS, a real gateway, and the council behind it."""

import datetime
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from name_server import NameServer

from kerbtools.demo.broker import Relay, find_mosquitto, free_port
from kerbtools.demo.council import Council
from kerbtools.demo.gateway import GatewayProcess
from kerbtools.demo.ledger import Ledger
from kerbtools.emulator import Board, Identity, World
from kerbtools.provision.links import Access

SITE = "quay"
ROUTER = "192.168.4.1"  # which names itself as the name server of the emulated Wi-Fi
SSID, WIFI_PASSWORD = "street", "lanterns and lamps"
BROKER, BROKER_NAME = "10.0.0.2", "broker.example"
HOUR = 3600
CONFIG = {"interval_s": HOUR, "report_records": 4, "heat_s": 0, "ack_timeout_ms": 3000}
DAY = 24 * HOUR

_ACCESS_LIST = f"""\
user gateway
topic read kerb/1/{SITE}/up/#
topic write kerb/1/{SITE}/down/#
pattern write kerb/1/{SITE}/up/%u
pattern read kerb/1/{SITE}/down/%u
"""


class Mosquitto:
    """Three listeners: `port` with users, `tls_port` with client certificates, `open_port` for anybody."""

    def __init__(self, folder: Path):
        program = find_mosquitto()
        if program is None:
            pytest.skip("mosquitto is not installed: apt-get install mosquitto")
        folder.mkdir()
        folder.chmod(0o777)
        self.folder = folder
        self.port, self.tls_port, self.open_port = free_port(), free_port(), free_port()
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        self._process: subprocess.Popen[bytes] | None = None
        self.authority = Authority()
        (folder / "ca.crt").write_bytes(self.authority.certificate)
        self.certify(days=30)
        (folder / "acl").write_text(_ACCESS_LIST)
        users = "".join(f"{user}:{password_of(user)}\n" for user in ["gateway", *map(str, range(1, 20))])
        (folder / "users").write_text(users)
        subprocess.run(["mosquitto_passwd", "-U", str(folder / "users")], check=True, timeout=60)
        for path in folder.iterdir():
            path.chmod(0o644)
        common = f"allow_anonymous false\nacl_file {folder}/acl\nuse_username_as_clientid true\n"
        (folder / "mosquitto.conf").write_text(
            f"log_type all\nper_listener_settings true\npersistence true\npersistence_location {folder}/\nmax_queued_messages 0\n"
            f"listener {self.port} 127.0.0.1\n{common}password_file {folder}/users\n"
            f"listener {self.tls_port} 127.0.0.1\n{common}cafile {folder}/ca.crt\ncertfile {folder}/broker.crt\n"
            f"keyfile {folder}/broker.key\nrequire_certificate true\nuse_identity_as_username true\n"
            f"listener {self.open_port} 127.0.0.1\nallow_anonymous true\n"
        )

    def certify(self, days: int) -> None:
        """A certificate of the broker for so many days from now; less than 0: it expired that long ago."""
        certificate, key = self.authority.issue(BROKER_NAME, days)
        (self.folder / "broker.crt").write_bytes(certificate)
        (self.folder / "broker.key").write_bytes(key)
        (self.folder / "broker.key").chmod(0o644)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_for(self._listens, "mosquitto listens")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def deny(self, node: int, way: str | None) -> None:
        """The access list takes "up" or "down" from a node; None: all get again what the list says."""
        denied = "" if way is None else f"\nuser {node}\ntopic deny kerb/1/{SITE}/{way}/{node}\n"
        (self.folder / "acl").write_text(_ACCESS_LIST + denied)
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def check(self) -> None:
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()[-500:]

    def _listens(self) -> bool:
        self.check()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.open_port), 1):
            return True
        return False


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Authority:
    """A certificate authority for one test run; all in PEM."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "depot")])
        built = self._builder(self._name, self._key, 30).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.certificate = built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, days: int) -> tuple[bytes, bytes]:
        """(certificate, key) for a common and DNS name."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, days)
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return (
            built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(days=days)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - datetime.timedelta(days=1))
            .not_valid_after(end)
        )


def password_of(user: str) -> str:
    return f"word-of-{user}"


class Field:
    """The whole of it, in a paused world. A node is one of `node(address)`, made when it is asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.world = World(seed=9, paused=True)
        self.ledger = Ledger(SITE)
        self.broker = Mosquitto(folder / "broker")
        self.point = self.world.air.add_access_point(SSID, WIFI_PASSWORD)
        self.world.air.add_host(BROKER, self.broker.port)
        self.names = NameServer()
        self.names.records[BROKER_NAME] = [f"{BROKER_NAME}. 300 IN A {BROKER}"]
        self.world.air.add_host(ROUTER, self.names.port)
        credentials = folder / "gateway.credentials"
        credentials.write_text(f"gateway:{password_of('gateway')}")
        credentials.chmod(0o600)
        self._serial: list[str] = []
        self.inlet = f"mqtt://127.0.0.1:{self.broker.port}/{SITE}?credentials={credentials}"
        self.gateway: Any = None  # a GatewayProcess from `start` on
        self.council = Council(self.broker.open_port)

    def start(self, identities: dict[int, Identity], *inlets: str) -> None:
        self.broker.start()
        self.council.start()
        self.gateway = GatewayProcess(
            self.folder / "gateway", SITE, self.broker.open_port, self.world.clock_path, [self.inlet, *inlets]
        )
        for identity in identities.values():
            self.gateway.add_node(identity.node, SITE, "esp32_c3", identity.secret)
        self.gateway.start()
        self._heed()

    def _heed(self) -> None:
        """Wait until the gateway is at the broker: it takes its own, real time for that, in which days would pass."""

        def connected() -> bool:
            self.gateway.check()
            self.broker.check()
            return all(inlet["connected"] for inlet in self.gateway.status()["inlets"])

        wait_for(connected, "the gateway is at the broker")

    def node(self, identity: Identity, board: str = "esp32_c3") -> Board:
        return Board(
            self.world, board, identity=identity, config=CONFIG,
            on_line=lambda _, line: self.ledger.read_line(identity.node, line),
        )  # fmt: skip

    def taken(self, node: int) -> set[str]:
        """Ids of what a node has taken."""
        return {ident for ident in self.ledger.taken() if ident.startswith(f"{SITE}/{node}/")}

    def settle(self, node: int, days: float = 2.5) -> set[str]:
        """Let time pass until the council holds all that a node took before; its ids."""
        self._heed()
        taken = self.taken(node)
        for _ in range(round(days * 4)):
            self.world.advance(DAY / 4, timeout_s=120)
            if not taken - self.council.record_ids():
                break
        wait_for(lambda: not taken - self.council.record_ids(), f"the council holds {len(taken)} records")
        assert not self.council.doubled() | self.ledger.repeated()
        return taken

    def stop(self) -> None:
        with ExitStack() as ends:
            for end in (self.broker.stop, self.council.stop, self.world.stop, self.names.close):
                ends.callback(end)
            if self.gateway is not None:
                ends.callback(self.gateway.stop)


def files(
    node: int, *links: str, wifi: str = WIFI_PASSWORD, broker: str | None = None, access: Access | None = None
) -> dict[str, bytes]:
    """What `kerb provision` writes for a node's links."""
    password = password_of(str(node)) if broker is None else broker
    access = access or Access(None, (SSID, wifi), {None: (str(node), password)})
    return {path: data for path, data in access.files(node, links).items() if data is not None}


def put(board: Board, found: dict[str, bytes]) -> None:
    """Write files to a board, which is off."""
    for path, data in found.items():
        board.write_file(path, data)


@contextmanager
def lossy(world: World, port: int, share: float, seed: int = 3) -> Iterator[list[bool]]:
    """For nodes the way to the broker leads through a relay that ends a connection at so large a share of what passes:
    what TCP makes of loss that it cannot mend. Yields what it decided, piece by piece."""
    random, decided = Random(seed), list[bool]()

    def loses() -> bool:
        decided.append(random.random() < share)
        return decided[-1]

    relay = Relay(port, loses)
    relay.start()
    world.air.add_host(BROKER, relay.port)
    try:
        yield decided
    finally:
        world.air.add_host(BROKER, port)
        relay.stop()
