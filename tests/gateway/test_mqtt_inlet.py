"""The MQTT inlet at a real broker: PUBACK after the commit, persistent sessions, TLS, hostile publishers."""

import asyncio
import contextlib
import datetime
import ipaddress
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_harness import SITE, Broker, Council, GatewayProcess, closing_all, soon, taken_ids, until

from kerbgate.errors import BrokerError, InletError
from kerbgate.inlets import Route, open_inlet
from kerbgate.inlets.mqtt import MqttInlet
from kerbgate.mqtt.connection import TURN
from kerbtools.simulate import SimulatedNode


class MqttStreet:
    """Simulated nodes as clients of a broker: one connection for all; a node sends again what no ack names."""

    def __init__(self, nodes: list[SimulatedNode], port: int, **options: Any):
        self.nodes = {node.address: node for node in nodes}
        self.connected = threading.Event()
        self.pubacks = 0
        self._lock = threading.Lock()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="street", protocol=paho.MQTTv311)
        for name, value in options.items():
            getattr(self._client, name)(*value)
        self._client.on_connect = lambda client, *_: client.subscribe(f"kerb/1/{SITE}/down/+", qos=1)
        self._client.on_subscribe = lambda *_: self.connected.set()
        self._client.on_message = self._heard
        self._client.on_publish = self._acknowledged
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        assert self.connected.wait(20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, node: int | str, payload: bytes) -> None:
        self._client.publish(f"kerb/1/{SITE}/up/{node}", payload, qos=1)

    def say(self) -> int:
        """Each node's next frame; how many there were."""
        with self._lock:
            frames = [(node.address, node.next_frame()) for node in self.nodes.values()]
        for address, frame in frames:
            if frame is not None:
                self.publish(address, frame)
        return sum(frame is not None for _, frame in frames)

    def run(self) -> None:
        """Speak until every node is confirmed and has nothing left to send."""

        def done() -> bool:
            self._quiet.clear()
            said = self.say()
            if said:
                self._quiet.wait(0.25)
            return not said

        self._quiet = threading.Event()
        until(done, "every record is acknowledged")

    def _heard(self, client: Any, userdata: Any, message: Any) -> None:
        with self._lock:
            address = int(message.topic.rpartition("/")[2])
            self.nodes[address].feed(message.payload)
            if all(node.confirmed and not node.waiting for node in self.nodes.values()):
                self._quiet.set()

    def _acknowledged(self, *_: Any) -> None:
        self.pubacks += 1


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Broker]:
    """The broker that nodes and gateway meet at."""
    folder = tmp_path / "field"
    folder.mkdir()
    made = Broker(folder, "max_inflight_messages 1000")  # with 0, unlimited, it does not heed a client's limit either
    made.start()
    yield made
    made.stop()


def link(broker: Broker, options: str = "") -> str:
    return f"mqtt://127.0.0.1:{broker.port}/{SITE}{options}"


def inlet_of(gateway: GatewayProcess) -> dict[str, Any]:
    return gateway.status()["inlets"][0]


def test_readings_pass_from_broker_to_broker(tmp_path: Path, field: Broker, broker: Broker, council: Council) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[link(field)], broker_port=broker.port)
    nodes = gateway.register(range(1, 21))
    gateway.start()
    street = MqttStreet(nodes, field.port)
    with closing_all(gateway, street):
        for node in nodes:
            node.take(10, 1_772_323_200)
        street.run()
        until(lambda: set(council.records) == taken_ids(nodes), "every record is at the council")
        assert council.copies == 0
        counters = inlet_of(gateway)
        assert counters["connected"] and counters["unsent"] == 0 and not counters["refused"]
        assert gateway.stop() == 0


def test_a_broker_keeps_frames_for_a_gateway_that_was_killed(
    tmp_path: Path, field: Broker, broker: Broker, council: Council
) -> None:
    """Published while nobody listens, and while a gateway dies: all arrives once."""
    gateway = GatewayProcess(tmp_path, inlets=[link(field)], broker_port=broker.port)
    nodes = gateway.register(range(1, 6))
    gateway.start()
    street = MqttStreet(nodes, field.port)
    with closing_all(gateway, street):
        street.run()  # the session exists, lives are confirmed
        gateway.kill()
        for node in nodes:
            node.take(8, 1_772_323_200)
        said = street.say()  # once; the nodes then sleep
        until(lambda: street.pubacks >= said, "the broker has the frames")
        gateway.start()
        until(lambda: set(council.records) == taken_ids(nodes), "every record is at the council")
        assert council.copies == 0


class Desk:
    """An intake that settles when it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Route]] = []
        self.full = False
        self.stops = False
        self.refused = 0
        self._space = asyncio.Event()

    def take(self, data: bytes, route: Route, /) -> None:
        if not self.stops:
            self.taken.append((data, route))
            return
        self.refused += 1
        assert self.refused < 100, "it tries again and again"
        route.settle(kept=False)

    async def room(self) -> None:
        while self.full:
            self._space.clear()
            await self._space.wait()

    def free(self) -> None:
        self.full = False
        self._space.set()


def at_desk(field: Broker, options: str, work: Callable[[MqttInlet, Desk, paho.Client], Awaitable[None]]) -> None:
    """An inlet in this process, a desk behind it, and a publisher."""

    async def main() -> None:
        desk = Desk()
        inlet = open_inlet(link(field, options))
        assert isinstance(inlet, MqttInlet)
        publisher = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="publisher")
        publisher.connect("127.0.0.1", field.port)
        publisher.loop_start()
        task = asyncio.create_task(inlet.run(desk))
        try:
            await soon(lambda: inlet.counters.connected, "connected")
            await work(inlet, desk, publisher)
        finally:
            publisher.loop_stop()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_the_broker_keeps_what_is_beyond_the_window(field: Broker) -> None:
    """Nothing settled: nothing more comes. Settled: the rest comes, in order."""

    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        for number in range(10):
            publisher.publish(f"kerb/1/{SITE}/up/1", bytes([number]), qos=1)
        await soon(lambda: len(desk.taken) == 3, "the window is full")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await soon(lambda: len(desk.taken) > 3, "more")
                pytest.fail("the window was exceeded")
        for number in range(10):  # mosquitto 2.0 sends a window's worth on the first acknowledgement: no more is asked
            await soon(lambda number=number: len(desk.taken) > number, "the next came")
            assert desk.taken[number][0] == bytes([number])
            desk.taken[number][1].settle(kept=True)

    at_desk(field, "?window=3", work)


def test_a_frame_that_the_store_could_not_take_is_taken_again(field: Broker) -> None:
    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        publisher.publish(f"kerb/1/{SITE}/up/1", b"once", qos=1)
        await soon(lambda: len(desk.taken) == 1, "taken")
        desk.taken[0][1].settle(kept=False)
        await soon(lambda: len(desk.taken) == 2, "taken again")
        assert desk.taken[1][0] == b"once" and inlet.counters.frames == 1

    at_desk(field, "", work)


def test_a_full_intake_is_waited_for(field: Broker) -> None:
    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        desk.full = True
        for number in range(5):
            publisher.publish(f"kerb/1/{SITE}/up/1", bytes([number]), qos=1)
        await soon(lambda: inlet.counters.frames == 5, "all heard")
        assert not desk.taken
        desk.free()
        await soon(lambda: len(desk.taken) == 5, "all taken")
        assert [data for data, _ in desk.taken] == [bytes([number]) for number in range(5)]

    at_desk(field, "", work)


def test_a_broker_that_sends_far_more_than_the_window_is_not_read_until_there_is_room(field: Broker) -> None:
    """mosquitto 2.0 sends a window more on each acknowledgement of the oldest: the connection holds, and the order."""

    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        window, count, size = 20, 600, 200
        bodies = [number.to_bytes(size, "big") for number in range(count)]
        said = [publisher.publish(f"kerb/1/{SITE}/up/1", body, qos=1) for body in bodies]
        await soon(lambda: all(one.is_published() for one in said), "the broker has all of it")
        await soon(lambda: len(desk.taken) == window, "the window is full")
        desk.full = True
        for _, route in desk.taken:
            route.settle(kept=True)
        await soon(lambda: inlet.counters.frames >= 3 * window, "far more than the window came")
        most = 3 * window + TURN // size  # those that were taken, those that may wait, and a turn of the loop
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await soon(lambda: inlet.counters.frames > most or not inlet.counters.connected, "more")
                pytest.fail("more is read than may wait, or the connection was given up")
        desk.free()
        for number in range(window, count):
            await soon(lambda number=number: len(desk.taken) > number, "the next came")
            desk.taken[number][1].settle(kept=True)
        assert [data for data, _ in desk.taken] == bodies
        assert inlet.counters.connected and inlet.counters.opened == 1

    at_desk(field, "?window=20", work)


def test_many_frames_that_the_store_could_not_take_are_taken_again_at_once(field: Broker) -> None:
    """One pause for all of them: when the disk is well again, a window is not let in at a frame a second."""

    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        for number in range(100):
            publisher.publish(f"kerb/1/{SITE}/up/1", bytes([number]), qos=1)
        await soon(lambda: len(desk.taken) == 100, "taken")
        for _, route in desk.taken[:100]:
            route.settle(kept=False)
        await soon(lambda: len(desk.taken) == 200, "taken again")
        assert [data for data, _ in desk.taken[100:]] == [data for data, _ in desk.taken[:100]]

    at_desk(field, "", work)


def test_a_store_that_stops_is_tried_now_and_then(field: Broker) -> None:
    """It refuses at once, though it is not full: the loop must have its turns."""

    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        desk.full = desk.stops = True
        for number in range(5):
            publisher.publish(f"kerb/1/{SITE}/up/1", bytes([number]), qos=1)
        await soon(lambda: inlet.counters.frames == 5, "all heard")
        desk.free()
        await soon(lambda: desk.refused, "refused")
        desk.stops = False
        await soon(lambda: len(desk.taken) == 5, "all taken")

    at_desk(field, "", work)


def test_more_of_qos_0_than_can_wait_is_dropped_and_the_connection_goes_on(field: Broker) -> None:
    """Retained, it would come again with each connection, and end each."""

    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        desk.full = True
        for number in range(20):
            publisher.publish(f"kerb/1/{SITE}/up/1", bytes([number]), qos=0)
        publisher.publish(f"kerb/1/{SITE}/up/1", b"last", qos=0)
        await soon(lambda: inlet.counters.frames == 21, "all heard")
        assert inlet.counters.refused["queue full"] == 15
        desk.free()
        await soon(lambda: len(desk.taken) == 6, "what could wait is taken")
        assert inlet.counters.connected and inlet.counters.opened == 1

    at_desk(field, "?window=3", work)


def test_what_was_not_settled_comes_again_on_the_next_connection(field: Broker) -> None:
    async def work(inlet: MqttInlet, desk: Desk, publisher: paho.Client) -> None:
        publisher.publish(f"kerb/1/{SITE}/up/1", b"frame", qos=1)
        await soon(lambda: len(desk.taken) == 1, "taken")
        rival = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"kerb-{SITE}-inlet", clean_session=False)
        rival.manual_ack_set(True)
        rival.connect("127.0.0.1", field.port)  # takes the session over: the broker ends ours
        await soon(lambda: not inlet.counters.connected, "thrown out")
        desk.taken[0][1].settle(kept=True)  # too late, and of another connection: it must not reach the broker
        rival.disconnect()
        await soon(lambda: len(desk.taken) == 2, "it came again")
        assert desk.taken[1][0] == b"frame"

    at_desk(field, "", work)


def test_hostile_publishers_change_nothing(tmp_path: Path, field: Broker, broker: Broker, council: Council) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[link(field)], broker_port=broker.port)
    nodes = gateway.register(range(1, 3))
    gateway.start()
    street = MqttStreet(nodes, field.port)
    with closing_all(gateway, street):
        street.run()
        nodes[0].take(8, 1_772_323_200)
        heard = nodes[0].next_frame()
        assert heard is not None
        for payload in (b"", b"x", b"\xff" * 243, b"\x00" * 900, b"y" * 100_000, heard[:-1] + b"\0"):
            for topic in ("1", "2", "99999", "not-a-number"):
                street.publish(topic, payload)
        for topic in ("2", "no node", "1"):  # the right frame under a wrong topic, and twice more
            street.publish(topic, heard)
        until(lambda: len(council.records) == 8, "the frame counts, by its sealed header, once")
        street.run()
        status = inlet_of(gateway)
        assert status["refused"]["malformed"] >= 4 and status["connected"]
        assert council.copies == 0


def test_a_broker_that_ends_is_found_again(tmp_path: Path, field: Broker, broker: Broker) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[link(field)], broker_port=broker.port)
    nodes = gateway.register(range(1, 3))
    gateway.start()
    street = MqttStreet(nodes, field.port)
    with closing_all(gateway, street):
        street.run()
        field.stop()
        until(lambda: not inlet_of(gateway)["connected"], "the loss is seen")
        assert "127.0.0.1" in inlet_of(gateway)["last_error"]
        field.start()
        for node in nodes:
            node.take(8, 1_772_323_200)
        street.run()
        assert inlet_of(gateway)["opened"] >= 2


def test_tls_with_client_certificates(tmp_path: Path, broker: Broker, council: Council) -> None:
    made = Certificates(tmp_path / "pki")
    folder = tmp_path / "tls"
    folder.mkdir()
    secure = Broker(
        folder,
        f"cafile {made.authority}", f"certfile {made.server[0]}", f"keyfile {made.server[1]}",
        "require_certificate true", "use_identity_as_username true",
    )  # fmt: skip
    files = f"authority={made.authority}&certificate={made.client[0]}&key={made.client[1]}"
    gateway = GatewayProcess(
        tmp_path, inlets=[f"mqtts://localhost:{secure.port}/{SITE}?{files}"], broker_port=broker.port
    )
    nodes = gateway.register(range(1, 3))
    tls = {"tls_set": (str(made.authority), str(made.client[0]), str(made.client[1])), "tls_insecure_set": (True,)}
    with closing_all(secure, gateway):
        secure.start()
        gateway.start()
        until(lambda: inlet_of(gateway)["connected"], "the gateway is in")
        street = MqttStreet(nodes, secure.port, **tls)
        with closing_all(street):
            for node in nodes:
                node.take(4, 1_772_323_200)
            street.run()
            until(lambda: set(council.records) == taken_ids(nodes), "every record is at the council")


def test_a_certificate_of_a_stranger_is_refused(tmp_path: Path, broker: Broker) -> None:
    ours, theirs = Certificates(tmp_path / "ours"), Certificates(tmp_path / "theirs")
    folder = tmp_path / "tls"
    folder.mkdir()
    secure = Broker(folder, f"certfile {theirs.server[0]}", f"keyfile {theirs.server[1]}")
    url = f"mqtts://localhost:{secure.port}/{SITE}?authority={ours.authority}"
    gateway = GatewayProcess(tmp_path, inlets=[url], broker_port=broker.port)
    with closing_all(secure, gateway):
        secure.start()
        gateway.start()
        until(lambda: "certificate" in str(inlet_of(gateway)["last_error"]).lower(), "the refusal is named")
        assert not inlet_of(gateway)["connected"]


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://host",
        "mqtt://host/a/b",
        "mqtt://host/Upper",
        "mqtt://user:sesame@host/site",
        "mqtt://host:99999/site",
        "mqtt:host/site",
        "mqtt://host/site?window=0",
        "mqtt://host/site?client=a%20b",
        "mqtt://host/site?credentials=relative",
        "mqtt://host/site?colour=red",
        "mqtt://host/site?authority=/etc/ca.pem",  # certificates without TLS
        "mqtts://host/site?certificate=/etc/c.pem",  # a certificate without its key
        "mqtts://host/site?authority=/nowhere.pem",
        "mqtt://host/site?credentials=/nowhere",
    ],
)
def test_a_link_string_that_cannot_be_used_is_an_error(url: str) -> None:
    with pytest.raises((InletError, BrokerError)) as caught:
        open_inlet(url)
    assert caught.value.hint and "sesame" not in caught.value.cause + caught.value.hint


class Certificates:
    """An authority of our own, a server's certificate for localhost and a client's, as PEM files."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self._folder = folder
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        certificate = self._builder(name, name, key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._authority = certificate.sign(key, hashes.SHA256())
        self._key = key
        self.authority = folder / "authority.pem"
        self.authority.write_bytes(self._authority.public_bytes(serialization.Encoding.PEM))
        self.server = self.issue("server", "localhost")
        self.client = self.issue("client", "kerb")

    def _builder(self, subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def issue(self, file: str, common: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        certificate = (
            self._builder(subject, self._authority.subject, key.public_key())
            .add_extension(names, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        paths = self._folder / f"{file}.pem", self._folder / f"{file}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].touch(mode=0o600)
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths
