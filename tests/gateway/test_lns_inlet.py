"""The LNS inlet: both servers' messages as documented, and simulated nodes of class A behind a simulated server."""

import base64
import json
import threading
from collections import deque
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from gateway_harness import Broker, Council, GatewayProcess, closing_all, taken_ids, until
from hypothesis import given
from hypothesis import strategies as st

from kerbgate import mqtt
from kerbgate.brokers import Address
from kerbgate.errors import GatewayError
from kerbgate.inlets import open_inlet
from kerbgate.inlets.base import Signal
from kerbgate.inlets.lns import DEFAULT_PORT, SERVERS
from kerbtools.simulate import SimulatedNode

EXAMPLES: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "lns.json").read_text())
FRAME = bytes.fromhex("8001a102")
APPLICATIONS = {"chirpstack": "6f1b9c2e-7a44-4d0b-8e3f-5b2a9d1c4e77", "thethingsstack": "bins@harbour"}


def topics(server: str, port: int = DEFAULT_PORT) -> Any:
    return SERVERS[server](Address("host", 1883, False), APPLICATIONS[server], port)


def message(server: str, payload: Any = None, topic: str | None = None) -> mqtt.Publish:
    example = EXAMPLES[server]
    body = json.dumps(example["payload"] if payload is None else payload).encode()
    return mqtt.Publish(example["topic"] if topic is None else topic, body, 0, False)


@pytest.mark.parametrize("server", SERVERS)
def test_a_frame_is_found_in_the_documented_message_with_the_best_signal(server: str) -> None:
    airtime_ms = {"chirpstack": None, "thethingsstack": 1483}[server]
    snr = {"chirpstack": 3.2, "thethingsstack": 3.2}[server]
    assert topics(server).read(message(server)) == (FRAME, Signal(-96, snr, airtime_ms))


@pytest.mark.parametrize(
    ("server", "topic", "body"),
    [
        (
            "chirpstack",
            "application/6f1b9c2e-7a44-4d0b-8e3f-5b2a9d1c4e77/device/0102030405060708/command/down",
            {"devEui": "0102030405060708", "confirmed": False, "fPort": 77, "data": "gAGhAg=="},
        ),
        (
            "thethingsstack",
            "v3/bins@harbour/devices/bin-417/down/push",
            {"downlinks": [{"f_port": 77, "frm_payload": "gAGhAg==", "priority": "NORMAL"}]},
        ),
    ],
)
def test_an_answer_goes_into_the_devices_queue(server: str, topic: str, body: dict[str, Any]) -> None:
    told = topics(server).answer(FRAME, message(server).topic)
    assert (told[0], json.loads(told[1])) == (topic, body)


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_not_ours_or_no_message_is_no_frame(server: str) -> None:
    assert topics(server, port=78).read(message(server)) is None
    for payload in ({}, [], None, 7, "x", {"fPort": 77}, {"fPort": 77, "data": 5}, {"fPort": 77, "data": "%%%"}):
        assert (
            topics(server).read(mqtt.Publish(EXAMPLES[server]["topic"], json.dumps(payload).encode(), 1, False)) is None
        )
    for raw in (None, b"", b"\xff", b"[" * 30_000):
        assert topics(server).read(mqtt.Publish(EXAMPLES[server]["topic"], raw, 1, False)) is None
    for topic in ("", "a/b/c", "application/x/device/a b/event/up"):
        assert topics(server).read(message(server, topic=topic)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(
    receivers=JSON | st.lists(st.dictionaries(st.sampled_from(["rssi", "snr"]), JSON)),
    server=st.sampled_from(list(SERVERS)),
)
def test_no_answer_of_a_server_raises(receivers: Any, server: str) -> None:
    payload = json.loads(json.dumps(EXAMPLES[server]["payload"]))
    where = payload if server == "chirpstack" else payload["uplink_message"]
    where["rxInfo" if server == "chirpstack" else "rx_metadata"] = receivers
    where["consumed_airtime"] = receivers
    found = topics(server).read(message(server, payload))
    assert found is not None and found[0] == FRAME and isinstance(found[1], Signal)


class NetworkServer:
    """A LoRaWAN server and its devices of class A: what waits for a device goes out after its next uplink, one each."""

    def __init__(self, server: str, nodes: list[SimulatedNode], port: int):
        self._server = server
        self._example = EXAMPLES[server]
        self._nodes = {f"bin-{node.address}": node for node in nodes}
        self._queues: dict[str, deque[bytes]] = {name: deque() for name in self._nodes}
        self._lock = threading.Lock()
        ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="lns")
        down = {"chirpstack": "application/+/device/+/command/down", "thethingsstack": "v3/+/devices/+/down/push"}[
            server
        ]
        self._client.on_connect = lambda client, *_: client.subscribe(down, qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._told
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def uplinks(self) -> int:
        """Each device says what it has to say, and hears what waited for it; how many spoke."""
        spoke = 0
        for name, node in self._nodes.items():
            with self._lock:
                frame = node.next_frame()
                waited = self._queues[name].popleft() if frame is not None and self._queues[name] else None
            if frame is None:
                continue
            spoke += 1
            payload = json.loads(json.dumps(self._example["payload"]))
            data = base64.b64encode(frame).decode()
            if self._server == "chirpstack":
                payload["data"] = data
                topic = self._example["topic"].replace("0102030405060708", name)
            else:
                payload["uplink_message"]["frm_payload"] = data
                topic = self._example["topic"].replace("bin-417", name)
            self._client.publish(topic, json.dumps(payload), qos=1).wait_for_publish(20)
            if waited is not None:
                node.feed(waited)
        return spoke

    def waiting(self) -> int:
        with self._lock:
            return sum(len(queue) for queue in self._queues.values())

    def _told(self, client: Any, userdata: Any, message: Any) -> None:
        body = json.loads(message.payload)
        levels = message.topic.split("/")
        name = levels[3]
        texts = [body["data"]] if self._server == "chirpstack" else [item["frm_payload"] for item in body["downlinks"]]
        with self._lock:
            self._queues[name] += [base64.b64decode(text) for text in texts]


@pytest.mark.parametrize("server", SERVERS)
def test_devices_whose_acks_come_one_report_late_lose_and_double_nothing(
    server: str, tmp_path: Path, broker: Broker, council: Council
) -> None:
    folder = tmp_path / "field"
    folder.mkdir()
    field = Broker(folder)
    field.start()
    link = f"lns:mqtt://127.0.0.1:{field.port}/{APPLICATIONS[server]}?server={server}"
    gateway = GatewayProcess(tmp_path, inlets=[link], broker_port=broker.port)
    nodes = gateway.register(range(1, 4))
    network = NetworkServer(server, nodes, field.port)

    def start() -> None:
        """The Things Stack keeps nothing for a gateway that is away."""
        gateway.start()
        until(lambda: gateway.asked()["inlets"][0]["connected"], "the gateway is at the server")

    with closing_all(gateway, network, field):
        start()
        for day in range(4):
            for node in nodes:
                node.take(8, 1_772_323_200 + day * 86_400)
            for _ in range(6):  # a hello, its answer to the challenge, and some reports
                heard = gateway_frames(gateway)
                spoke = network.uplinks()
                until(
                    lambda heard=heard, spoke=spoke: gateway_frames(gateway) >= heard + spoke, "the gateway heard them"
                )
                until(
                    lambda: network.waiting() or all(not node.waiting for node in nodes), "answers wait at the server"
                )
            if day == 1:
                gateway.kill()
                start()
        until(lambda: set(council.records) == taken_ids(nodes), "every record is at the council")
        assert all(node.confirmed for node in nodes) and council.changed == []
        assert gateway.stop() == 0


def gateway_frames(gateway: GatewayProcess) -> int:
    return gateway.asked()["inlets"][0]["frames"]


@pytest.mark.parametrize(
    "url",
    [
        "lns:host",
        "lns:mqtt://host:1883/app",
        "lns:mqtt://host:1883?server=chirpstack",
        "lns:mqtt://host:1883/app?server=loriot",
        "lns:mqtt://host:1883/app?server=chirpstack&port=0",
        "lns:http://host/app?server=chirpstack",
        "lns:mqtt://host:1883/a/b?server=chirpstack",
    ],
)
def test_a_link_that_cannot_be_read_says_how_to_write_it(url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        open_inlet(url)
    assert caught.value.hint


def test_names() -> None:
    assert open_inlet("lns:mqtt://host/app?server=chirpstack").name == "lns:host:1883/app"
    assert open_inlet("lns:mqtts://host/a@t?server=thethingsstack&port=3").name == "lns:host:8883/a@t"
