"""The council: an MQTT subscriber that keeps every record it was given and finds what came twice.

It talks paho-mqtt directly, QoS 1 in a persistent session, and shares no code with the gateway's outlet.
"""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

PREFIX = "kerbstone/1"


@dataclass
class Arrived:
    """What the council holds. A record is known by its id `site/node/life/index`."""

    documents: dict[str, str] = field(default_factory=dict[str, str])  # id -> canonical text
    records: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    doubled: set[str] = field(default_factory=set[str])  # record ids in two different documents
    redelivered: int = 0  # the same document again: MQTT's at-least-once, dropped by its id
    battery_v: dict[int, float] = field(default_factory=dict[int, float])
    last: dict[str, Any] | None = None

    def take(self, document: dict[str, Any]) -> None:
        """One document as it arrived; idempotent by the document's id. Alarms and roll-ups are passed over."""
        if "records" not in document:
            return
        text = json.dumps(document, sort_keys=True)
        ident = str(document["id"])
        if self.documents.get(ident) == text:
            self.redelivered += 1
            return
        if ident in self.documents:  # the same id with other words is as bad as a double
            self.doubled.add(ident)
        self.documents[ident] = text
        if document["records"]:
            self.last = document
        for record in document["records"]:
            if record["id"] in self.records:
                self.doubled.add(str(record["id"]))
            self.records[record["id"]] = record
            if record.get("battery_v") is not None:
                self.battery_v[int(document["node"])] = record["battery_v"]


class Council:
    """Listens on a loopback broker from a thread of paho's own. `arrived()` is a snapshot."""

    def __init__(self, port: int, prefix: str = PREFIX, name: str = "council"):
        self._topic = f"{prefix}/+/+/readings"
        self._arrived = Arrived()
        self._lock = threading.Lock()
        self._port = port
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def start(self, timeout_s: float = 10.0) -> None:
        """Returns when the subscription stands; TimeoutError otherwise."""
        self._client.connect("127.0.0.1", self._port, keepalive=10)
        self._client.loop_start()
        if not self._subscribed.wait(timeout_s):
            raise TimeoutError("the council could not subscribe at its broker")

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def counts(self) -> dict[int, int]:
        """Records held, by node address."""
        found: dict[int, int] = {}
        for ident in self.record_ids():
            node = int(ident.split("/")[1])
            found[node] = found.get(node, 0) + 1
        return found

    def documents(self) -> list[str]:
        """Every document that it holds, as text."""
        with self._lock:
            return list(self._arrived.documents.values())

    def record_ids(self) -> set[str]:
        with self._lock:
            return set(self._arrived.records)

    def newest(self) -> dict[int, dict[str, Any]]:
        """The latest record of each node, by time."""
        found: dict[int, dict[str, Any]] = {}
        with self._lock:
            for ident, record in self._arrived.records.items():
                node = int(ident.split("/")[1])
                if node not in found or str(record["time"]) >= str(found[node]["time"]):
                    found[node] = record
        return found

    def battery_v(self, node: int) -> float | None:
        """The battery voltage that a node last told; it does so once a day."""
        with self._lock:
            return self._arrived.battery_v.get(node)

    def last(self) -> dict[str, Any] | None:
        with self._lock:
            return self._arrived.last

    def doubled(self) -> set[str]:
        with self._lock:
            return set(self._arrived.doubled)

    def redelivered(self) -> int:
        with self._lock:
            return self._arrived.redelivered

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        document: dict[str, Any] = json.loads(message.payload)
        with self._lock:
            self._arrived.take(document)
