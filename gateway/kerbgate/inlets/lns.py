"""The LNS inlet: our frames as LoRaWAN payloads, through a network server that a council already runs.

    lns:mqtt://host:1883/APPLICATION?server=chirpstack&port=77&credentials=/path      ChirpStack v4, JSON marshaler
    lns:mqtts://host:8883/APP@TENANT?server=thethingsstack&credentials=/path          The Things Stack v3

Answers are put into the server's queue of the device and go out after its next uplink: an ack comes one report late,
which costs a node nothing. What LoRaWAN says of who sent a frame is only an address; the frame's own seal counts. The
Things Stack's broker speaks QoS 0 only: what it sends while the gateway is away is lost on that way, and the node sends
again what no ack names.
"""

import base64
import json
import re
from typing import Any, Final, cast

from kerbgate import brokers, mqtt
from kerbgate.brokers import Address
from kerbgate.errors import InletError
from kerbgate.inlets.base import LinkUrl, Signal
from kerbgate.inlets.mqtt import OPTIONS, MqttInlet, Topics

DEFAULT_PORT: Final = 77  # FPort of our frames; others of the same devices are not ours
MAX_PACKET: Final = 32 * 1024  # bytes: what a server says of a frame that thirty of its gateways heard
WINDOW: Final = 50  # frames with all that is said of them: some 3 MB at worst

_NAME = re.compile(r"[A-Za-z0-9@._-]{1,100}")
_LEVEL = re.compile(r"[A-Za-z0-9._-]{1,64}")  # a device, as a level of a topic


class ChirpStack:
    """Topics of ChirpStack v4's MQTT integration: application/ID/device/EUI/event/up and .../command/down."""

    max_packet = MAX_PACKET
    window = WINDOW

    def __init__(self, address: Address, application: str, port: int):
        self.name = f"lns:{address}/{application}"
        self.client = f"kerb-{application}-lns"
        self.filter = f"application/{application}/device/+/event/up"
        self.access = f"let this gateway's user read {self.filter} and write .../command/down in its access list"
        self._port = port

    def read(self, message: mqtt.Publish) -> tuple[bytes, Signal | None] | None:
        event = _read(message)
        if event.get("fPort") != self._port:
            return None
        data = _bytes(event.get("data"))
        return None if data is None else (data, _best(event.get("rxInfo")))

    def answer(self, data: bytes, topic: str) -> tuple[str, bytes]:
        device = topic.split("/")[3]
        down = {"devEui": device, "confirmed": False, "fPort": self._port, "data": base64.b64encode(data).decode()}
        return f"{topic.removesuffix('event/up')}command/down", json.dumps(down).encode()

    def of_node(self, node: int) -> str | None:
        return None


class TheThingsStack:
    """Topics of The Things Stack's MQTT server: v3/APP@TENANT/devices/DEVICE/up and .../down/push."""

    max_packet = MAX_PACKET
    window = WINDOW

    def __init__(self, address: Address, application: str, port: int):
        self.name = f"lns:{address}/{application}"
        self.client = f"kerb-{application.replace('@', '-')}-lns"
        self.filter = f"v3/{application}/devices/+/up"
        self.access = "give the application's API key the rights to read application traffic and to write downlinks"
        self._port = port

    def read(self, message: mqtt.Publish) -> tuple[bytes, Signal | None] | None:
        found = _object(_read(message).get("uplink_message"))
        if found.get("f_port") != self._port:
            return None
        data = _bytes(found.get("frm_payload"))
        airtime = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)s", str(found.get("consumed_airtime")))
        airtime_ms = round(float(airtime[1]) * 1000) if airtime else None
        return None if data is None else (data, _best(found.get("rx_metadata"), airtime_ms))

    def answer(self, data: bytes, topic: str) -> tuple[str, bytes]:
        down = {"f_port": self._port, "frm_payload": base64.b64encode(data).decode(), "priority": "NORMAL"}
        return f"{topic.removesuffix('up')}down/push", json.dumps({"downlinks": [down]}).encode()

    def of_node(self, node: int) -> str | None:
        return None


SERVERS: dict[str, type[ChirpStack] | type[TheThingsStack]] = {
    "chirpstack": ChirpStack,
    "thethingsstack": TheThingsStack,
}


def from_url(url: LinkUrl) -> MqttInlet:
    """InletError for a link string that is not understood, BrokerError for files that cannot be used."""
    address = brokers.parse_address(url.rest)
    url.only(server=_server, port=_port, **OPTIONS)
    if "server" not in url.options or not _NAME.fullmatch(address.path):
        raise InletError(
            f"the inlet {url.text!r} does not say which server, or which application",
            f"write it as lns:mqtt://{address}/APPLICATION?server=" + "|".join(SERVERS),
        )
    port = _port(url.options.get("port", str(DEFAULT_PORT)))
    topics: Topics = SERVERS[url.options["server"]](address, address.path, port)
    return MqttInlet.at(address, topics, url)


def _read(message: mqtt.Publish) -> dict[str, Any]:
    """The JSON object of a message on a device's topic; {} for anything else."""
    levels = message.topic.split("/")
    if message.payload is None or len(levels) < 5 or not _LEVEL.fullmatch(levels[3]):
        return {}
    try:
        return _object(json.loads(message.payload))
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    """A JSON object; {} for any other value."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _bytes(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None


def _best(receivers: Any, airtime_ms: int | None = None) -> Signal:
    """The best of the server's own gateways, by signal strength."""
    best = Signal(airtime_ms=airtime_ms)
    found = cast(list[Any], receivers) if isinstance(receivers, list) else []
    for each in map(_object, found):
        rssi, snr = _number(each.get("rssi"), -200, 50), _number(each.get("snr"), -50, 50)
        if rssi is not None and (best.rssi_dbm is None or rssi > best.rssi_dbm):
            best = Signal(round(rssi), None if snr is None else round(snr, 1), airtime_ms)
    return best


def _number(value: Any, low: float, high: float) -> float | None:
    return value if type(value) in (int, float) and low <= value <= high else None


def _server(text: str) -> str:
    if text not in SERVERS:
        raise ValueError("use one of " + ", ".join(SERVERS))
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 223:
        raise ValueError("use an FPort of an application, 1 to 223")
    return int(text)
