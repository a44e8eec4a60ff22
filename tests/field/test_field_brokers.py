"""Faults between a gateway and its brokers, one at a time: a real mosquitto that is made to refuse, expire, freeze."""

import datetime
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from field_harness import BINS, Doctor, World, problems, until, well
from gateway_harness import Broker, Council

from kerbgate import asking
from kerbtools.field.findings import FAIL, WARN

OUTLET = '[[outlet]]\nname = "council"\nurl = "{scheme}://localhost:{port}"\ntimeout_s = 2\nalarms = false\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("brokers"), lamps=())
    made.start()
    yield made
    made.close()


@pytest.fixture
def town(world: World) -> Iterator["Town"]:
    made = Town(world)
    yield made
    made.close()


class Town:
    """A council's broker, and the outlet that leads to it."""

    def __init__(self, world: World):
        self.world = world
        self.folder = world.folder / f"town-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.plain = world.config.read_text()
        self.broker: Broker | None = None
        self.council: Council | None = None

    def open(self, *lines: str, scheme: str = "mqtt", outlet: str = "", reader: bool = True) -> Broker:
        self.broker = Broker(self.folder, *lines)
        self.broker.start()
        if reader:
            self.council = Council(self.broker.port)
            assert self.council.subscribed.wait(20)
        self.use(OUTLET.format(scheme=scheme, port=self.broker.port) + outlet)
        return self.broker

    def use(self, outlets: str) -> None:
        """Give the gateway these outlets, as `kerb gateway reload` does."""
        self.world.config.write_text(outlets + self.plain)
        asking.ask(self.world.gateway.state, "reload")

    def close(self) -> None:
        if self.council is not None:
            self.council.close()
        if self.broker is not None:
            self.broker.stop()
        self.world.config.write_text(self.plain)
        asking.ask(self.world.gateway.state, "reload", drop="council")


def test_a_frozen_broker(town: Town, named: Doctor) -> None:
    broker = town.open()
    town.world.say_all()
    well(town.world.config)
    broker.freeze()
    town.world.say_all()
    named("broker frozen", town.world.config, "broker", "the broker's process hangs", "systemctl restart mosquitto")
    broker.thaw()
    well(town.world.config)


def test_a_broker_that_is_down(town: Town) -> None:
    broker = town.open()
    well(town.world.config)
    broker.stop()
    found = until(lambda: problems(town.world.config), "it is noticed")
    assert found[0].check == "broker" and "does not run" in found[0].causes[0]


def test_a_wrong_password(town: Town, named: Doctor) -> None:
    passwords = town.folder / "passwords"
    passwords.write_text("gateway:right\n")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    credentials = town.folder / "credentials"
    credentials.write_text("gateway:wrong\n")
    credentials.chmod(0o600)
    outlet = f'credentials = "{credentials}"\n'
    broker = town.open("allow_anonymous false", f"password_file {passwords}", outlet=outlet, reader=False)
    named(
        "wrong password",
        town.world.config,
        "broker",
        "user or password is wrong",
        f"put user:password into {credentials}",
    )
    credentials.write_text("gateway:right\n")
    town.use(OUTLET.format(scheme="mqtt", port=broker.port) + outlet)  # kerb gateway reload, as it says
    until(lambda: not problems(town.world.config, ["broker"]), "the gateway is let in")


def test_a_certificate_that_has_expired(town: Town, named: Doctor) -> None:
    made = Certificates(town.folder, days=-3)
    town.open(*made.lines, scheme="mqtts", outlet=f'authority = "{made.authority}"\n', reader=False)
    first = named("expired certificate", town.world.config, "tls", "nobody renewed it", "renew its certificate")
    assert "3 d ago" in first.evidence
    assert all(row.follows for row in problems(town.world.config)[1:]), "what follows from it says so"


def test_certificates_that_end_soon_or_are_of_a_stranger(town: Town) -> None:
    made = Certificates(town.folder, days=5)
    town.open(*made.lines, scheme="mqtts", outlet=f'authority = "{made.authority}"\n', reader=False)
    (soon,) = until(lambda: problems(town.world.config, ["tls", "broker"]), "it is said in time")
    assert soon.verdict == WARN and "ends in 5 d" in soon.evidence
    stranger = Certificates(town.folder, days=5, stem="stranger")
    text = OUTLET.format(scheme="mqtts", port=town.broker.port if town.broker else 0)
    town.use(text + f'authority = "{stranger.authority}"\n')
    found = until(
        lambda: [row for row in problems(town.world.config, ["tls", "broker"]) if row.verdict == FAIL], "it is refused"
    )
    assert found[0].check == "tls" and "authority =" in found[0].causes[0]


def test_a_right_that_was_removed_at_the_broker(town: Town, named: Doctor) -> None:
    rights = town.folder / "rights"
    rights.write_text("topic read kerbstone/1/#\n")
    rights.chmod(0o600)
    town.open(f"acl_file {rights}")
    town.world.say_all()
    named(
        "permission removed",
        town.world.config,
        "topics",
        "the right to write was taken",
        "let this user write kerbstone/1/#",
    )
    rights.write_text("topic readwrite kerbstone/1/#\n")
    broker = town.broker
    assert broker is not None
    broker.stop()
    broker.start()
    well(town.world.config)


def test_documents_that_the_council_refuses(town: Town, named: Doctor) -> None:
    town.open("max_packet_size 800")
    town.world.say(*BINS)
    town.world.say(1, count=8)  # one document of 8 records: larger than that
    town.world.say(*BINS)
    town.world.say(*BINS)
    named("outlet refusing documents", town.world.config, "outlets", "refuses these documents", "kerb gateway reload")
    broker = town.broker
    assert broker is not None
    broker.stop()
    settings = broker.folder / "mosquitto.conf"
    settings.write_text(settings.read_text().replace("max_packet_size 800", "max_packet_size 80000"))
    broker.start()
    asking.ask(town.world.gateway.state, "reload")
    well(town.world.config)


def test_nobody_reads(town: Town) -> None:
    town.open(reader=False)
    town.world.say_all()
    (found,) = until(lambda: problems(town.world.config), "it is told")
    assert found.check == "outlets" and "subscribed" in found.evidence


def test_a_name_server_that_does_not_answer_is_not_waited_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hangs(*_: object, **__: object) -> None:
        released.wait(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    town.use(OUTLET.format(scheme="mqtt", port=1883).replace("localhost", "broker.council.example"))
    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    began = time.monotonic()
    (found,) = problems(town.world.config, ["broker"])
    assert "is not found" in found.evidence and "no uplink" in found.causes[0] and time.monotonic() - began < 7
    released.set()


class Certificates:
    """An authority of our own, and a certificate for localhost that is good for so many days from now."""

    def __init__(self, folder: Path, *, days: int, stem: str = "town"):
        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(days=days, hours=1)
        key, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {stem}")])
        far = datetime.timedelta(days=400)
        signed = self._builder(name, name, key, now - far, now + far).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.authority = folder / f"{stem}-authority.pem"
        self.authority.write_bytes(signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        made = self._builder(host, name, own, now - far, end).add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
        certificate, private = folder / f"{stem}.pem", folder / f"{stem}.key"
        certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.lines = (f"certfile {certificate}", f"keyfile {private}")

    @staticmethod
    def _builder(
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        begin: datetime.datetime,
        end: datetime.datetime,
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        return builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
