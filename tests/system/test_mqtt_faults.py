"""What a node on Wi-Fi comes to when something fails: nothing is lost, nothing counts twice, and its log says what it was.

The table of gateway/LINKS.md has a line for each of these.
"""

import secrets
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import paho.mqtt.client as paho
import pytest
from mqtt_field import (
    BROKER,
    BROKER_NAME,
    CONFIG,
    DAY,
    HOUR,
    ROUTER,
    SITE,
    SSID,
    WIFI_PASSWORD,
    Field,
    files,
    lossy,
    put,
    wait_for,
)
from paho.mqtt.enums import CallbackAPIVersion

from kerbgate import config, control
from kerbtools import send
from kerbtools.emulator import Board, Identity
from kerbtools.provision.links import Access

MQTT = f"mqtt://{BROKER}/{SITE}"
IDENTITIES = {node: Identity(node=node, secret=secrets.token_bytes(16), site=SITE) for node in range(1, 15)}
FORGED = 200


@pytest.fixture(scope="module")
def field() -> Iterator[Field]:
    # No folder of pytest's: mosquitto gives up root, and each run of pytest closes their root to others again.
    with tempfile.TemporaryDirectory(prefix="kerb-field-") as name:
        Path(name).chmod(0o711)
        field = Field(Path(name))
        try:
            field.start(IDENTITIES)
            yield field
        finally:
            field.stop()


@pytest.fixture
def node(field: Field, request: pytest.FixtureRequest) -> Iterator[Board]:
    """A node of its own for each test, off, with the links of `files`."""
    number = 1 + sorted(NUMBERS).index(request.node.originalname)
    board = field.node(IDENTITIES[number])
    put(board, files(number, MQTT))
    yield board
    board.cut_power()
    assert "crash" not in notes(board)


def notes(board: Board) -> str:
    return "\n".join(line for line in board.console if line.startswith("note"))


def address(board: Board) -> int:
    return next(number for number, identity in IDENTITIES.items() if board.name.endswith(f"-{identity.node}"))


def test_a_command_waits_for_a_node_that_sleeps_and_its_result_comes_back(field: Field, node: Board) -> None:
    path = field.gateway.config
    state = config.load(path).gateway.state

    def counts() -> dict[str, int]:
        (row,) = control.ask(state, "commands", limit=10)["commands"]
        return {name: count for name, count in row["counts"].items() if count}

    put(node, files(address(node), f"mqtt://{BROKER_NAME}/{SITE}"))
    node.start()
    field.world.advance(5 * HOUR)
    sent, seen = node.lines, field.taken(address(node))
    assert send.main(["sample", "--node", str(address(node)), "--valid", "1d", "--config", str(path)]) == 0
    assert not counts().get("applied")
    field.world.advance(HOUR / 2)
    assert not counts().get("applied") and not [line for line in new_lines(node, sent) if line.startswith("obeyed")]
    field.world.advance(5 * HOUR)
    wait_for(lambda: counts() == {"applied": 1}, f"the result came back: {counts()}")
    obeyed = [line for line in new_lines(node, sent) if line.startswith("obeyed")]
    assert len(obeyed) == 1 and len(field.taken(address(node)) - seen) > 5
    field.settle(address(node))


def test_orders_are_obeyed_in_a_heap_that_is_a_tenth_smaller(field: Field, node: Board) -> None:
    """What samples and what tests have no room beside what speaks. The fixture sees that nothing crashed."""
    path, number = field.gateway.config, address(node)
    state = config.load(path).gateway.state
    node.facts = replace(node.facts, heap_bytes=round(0.9 * node.facts.heap_bytes))

    def counts() -> list[dict[str, int]]:
        rows = control.ask(state, "commands", limit=2)["commands"]
        return [{name: count for name, count in row["counts"].items() if count} for row in rows]

    put(node, files(number, f"mqtt://{BROKER_NAME}/{SITE}"))
    node.start()
    field.world.advance(3 * HOUR)
    for operation in ("sample", "self_test"):
        assert send.main([operation, "--node", str(number), "--valid", "1d", "--config", str(path)]) == 0
        field.world.advance(5 * HOUR)
    wait_for(lambda: counts() == [{"applied": 1}] * 2, f"the results came back: {counts()}")
    lines = list(node.console)
    assert len([line for line in lines if line.startswith("obeyed")]) == 2
    assert not [line for line in lines if "memory" in line or line.startswith("note self-test")]
    field.settle(number)


def new_lines(board: Board, since: int) -> list[str]:
    return list(board.console)[since - board.lines :] if board.lines > since else []


@pytest.mark.soak
def test_a_wrong_wifi_password(field: Field, node: Board) -> None:
    put(node, files(address(node), MQTT, wifi="lanterns and damps"))
    node.start()
    field.world.advance(DAY / 2)
    assert len(field.taken(address(node))) == 12 and not field.taken(address(node)) & field.council.record_ids()
    assert f"note link mqtt {SSID} refuses the password: check wifi.json: kerb links --wifi FILE" in notes(node)
    node.cut_power()
    put(node, files(address(node), MQTT))
    node.start()
    assert len(field.settle(address(node))) >= 12


@pytest.mark.soak
def test_a_wrong_password_at_the_broker(field: Field, node: Board) -> None:
    put(node, files(address(node), MQTT, broker="guessed"))
    node.start()
    field.world.advance(DAY / 2)
    assert len(field.taken(address(node))) == 12 and not field.taken(address(node)) & field.council.record_ids()
    assert "the broker refuses the node's user or password: check broker.json" in notes(node)
    node.cut_power()
    put(node, files(address(node), MQTT))
    node.start()
    field.settle(address(node))


def test_a_broker_that_is_gone_for_a_day(field: Field, node: Board) -> None:
    node.start()
    field.world.advance(6 * HOUR)
    field.broker.stop()
    field.world.advance(DAY)
    assert "note link mqtt the broker does not answer: check its address, and that it runs" in notes(node)
    field.broker.start()
    assert len(field.settle(address(node))) >= 30


@pytest.mark.soak
def test_an_expired_certificate(field: Field, node: Board, tmp_path: Path) -> None:
    """As the unix port checks it, by this machine's clock: what a board's own clock does to it, no emulator shows."""
    world, broker, number = field.world, field.broker, address(node)
    certificate, key = broker.authority.issue(str(number), 30)
    for name, data in (("ca", broker.authority.certificate), ("crt", certificate), ("key", key)):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    access = Access(
        None, (SSID, WIFI_PASSWORD), {}, tmp_path / "ca", str(tmp_path / "crt"), str(tmp_path / "key")
    )  # fmt: skip
    put(node, files(number, f"mqtts://{BROKER_NAME}/{SITE}", access=access))
    world.air.add_host(BROKER, broker.tls_port)
    broker.stop()
    broker.certify(days=-2)
    broker.start()
    try:
        node.start()
        world.advance(DAY / 2)
        assert (
            "the broker's certificate is refused" in notes(node)
            and not field.taken(address(node)) & field.council.record_ids()
        )
        broker.stop()
        broker.certify(days=30)
        broker.start()
        field.settle(address(node))
    finally:
        world.air.add_host(BROKER, broker.port)


@pytest.mark.soak
def test_an_access_list_that_denies_either_way(field: Field, node: Board) -> None:
    """The broker acknowledges and drops: the node learns it from the gateway's silence, and keeps what it has."""
    broker, number = field.broker, address(node)
    broker.deny(number, "down")
    try:
        node.start()
        field.world.advance(DAY / 2)
        assert len(field.taken(number)) == 12 and not field.taken(number) & field.council.record_ids()
        broker.deny(number, "up")
        field.world.advance(DAY / 2)
        assert len(field.taken(number)) == 24 and not field.taken(number) & field.council.record_ids()
        assert "note link" not in notes(node)
        assert f"Denied PUBLISH from {number} " in broker.log()
    finally:
        broker.deny(number, None)
    assert len(field.settle(number)) >= 24


@pytest.mark.soak
def test_a_gateway_that_is_gone_beside_a_broker_that_is_there(field: Field, node: Board) -> None:
    number = address(node)
    node.start()
    field.world.advance(6 * HOUR)
    committed = field.settle(number)
    field.gateway.stop()
    field.world.advance(DAY)
    said = [line for line in node.console if line.startswith("sent report")]
    assert field.taken(number) - committed and len(said) > 4
    field.gateway.start()
    assert len(field.settle(number)) >= 30


@pytest.mark.soak
def test_no_access_point(field: Field, node: Board) -> None:
    field.point.present = False
    try:
        node.start()
        field.world.advance(DAY / 2)
        assert f"note link mqtt no access point {SSID} is heard: check its name, and the signal here" in notes(node)
    finally:
        field.point.present = True
    assert len(field.settle(address(node))) >= 12


@pytest.mark.soak
@pytest.mark.timeout(600)  # what nobody answers passes at the pace of a real clock
def test_a_name_server_that_is_dead_or_lies_and_a_broker_that_moves(field: Field, node: Board) -> None:
    names, world, number = field.names, field.world, address(node)
    put(node, files(number, f"mqtt://{BROKER_NAME}/{SITE}"))
    names.mute = True
    node.start()
    world.advance(HOUR / 2)
    assert (
        f"note link mqtt the broker's address is not to be had (name server {ROUTER} does not answer: check"
        in notes(node)
    )
    names.mute = False
    world.advance(6 * HOUR)
    field.settle(number)
    asked = len(names.asked)
    known = names.records.pop(BROKER_NAME)  # nobody knows it any more
    world.advance(6 * HOUR)
    assert len(field.settle(number)) >= 12 and len(names.asked) > asked
    names.mute = True
    world.advance(6 * HOUR)
    assert len(field.settle(number)) >= 24
    elsewhere = "10.0.0.3"
    world.air.hosts.pop(BROKER)
    world.air.add_host(elsewhere, field.broker.port)
    try:
        world.advance(HOUR * 8)
        said = f"note link mqtt name server {ROUTER} does not answer, and the broker does not answer: check"
        assert said in notes(node)
        names.mute = False
        names.records[BROKER_NAME] = [f"{BROKER_NAME}. 300 IN A {elsewhere}"]
        assert len(field.settle(number)) >= 36
    finally:
        names.mute = False
        names.records[BROKER_NAME] = known
        world.air.hosts.pop(elsewhere)
        world.air.add_host(BROKER, field.broker.port)


@pytest.mark.soak
def test_a_radio_that_is_deaf(field: Field, node: Board) -> None:
    node.start()
    field.world.advance(6 * HOUR)
    node.deafen_radio()
    field.world.advance(DAY / 2)
    assert "note link mqtt" in notes(node)
    node.deafen_radio(False)
    field.settle(address(node))


@pytest.mark.soak
def test_a_third_of_all_connections_lost(field: Field, node: Board) -> None:
    with lossy(field.world, field.broker.port, 0.3) as decided:
        node.start()
        field.world.advance(2 * DAY, timeout_s=200)
        assert sum(decided) >= 10
        field.settle(address(node))
    assert len(field.taken(address(node))) >= 48


class Stranger:
    """Somebody at the broker who hears all, plays everything again in both directions, and makes frames up."""

    def __init__(self, port: int):
        self.heard = 0
        self._random = Random(4)
        self._said: set[bytes] = set()
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="stranger")
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"kerb/1/{SITE}/#", qos=1)
        self._client.loop_start()

    def _take(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        with self._lock:
            if payload in self._said or len(self._said) > 20 * FORGED:
                return
            self.heard += 1
            way, other = ("up", "down") if "/up/" in message.topic else ("down", "up")
            garbled = bytearray(payload)
            garbled[self._random.randrange(len(garbled))] ^= 1 << self._random.randrange(8)
            for data in (payload, bytes(garbled), self._random.randbytes(self._random.randrange(1, 60))):
                self._said.add(data)
                for topic in (message.topic, message.topic.replace(f"/{way}/", f"/{other}/")):
                    self._client.publish(topic, data, qos=1, retain=self._random.random() < 0.2)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_stranger_who_replays_and_forges(field: Field, node: Board) -> None:
    stranger = Stranger(field.broker.open_port)
    try:
        node.start()
        field.world.advance(DAY, timeout_s=200)
        assert stranger.heard > 10
        assert "note refused" in notes(node)
        field.settle(address(node))
    finally:
        stranger.close()
    counters = field.gateway.status()["inlets"][0]
    assert sum(counters["refused"].values()) > 10
    assert len(field.taken(address(node))) >= 24


@pytest.mark.soak
def test_a_second_link_takes_over_and_gives_back(field: Field, node: Board) -> None:
    elsewhere = "10.0.0.3"  # a broker that is not there yet
    put(node, files(address(node), f"mqtt://{elsewhere}/{SITE}", f"{MQTT}?"))
    node.start()
    field.settle(address(node))
    assert "note link mqtt the broker does not answer" in notes(node)
    seen = node.lines
    field.world.air.add_host(elsewhere, field.broker.port)
    field.world.advance(DAY)
    assert not [line for line in list(node.console)[seen - node.lines :][-8:] if line.startswith("note")]
    field.settle(address(node))
    node.cut_power()
    assert "/node/links.cbor" in node.list_files()


NUMBERS = [name for name in globals() if name.startswith("test_")]
assert len(NUMBERS) <= len(IDENTITIES) and CONFIG["report_records"] > 1
