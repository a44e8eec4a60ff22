"""The broker's configuration and access list of gateway/LINKS.md, at a real mosquitto, with a node's keys in wrong hands."""

import contextlib
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from gateway_harness import DEADLINE_S, Broker, closing_all, until
from test_mqtt_inlet import Certificates

PAGE = Path(__file__).parents[2] / "gateway" / "LINKS.md"
USERS = ("gateway", "1", "2")
NODE = "kerb-quay-1"  # what node 1 calls itself


def example() -> tuple[str, str]:
    """mosquitto.conf and the access list of the page."""
    part = PAGE.read_text().split("\n## Bringing links to a node\n")[1].split("\n## ")[0]
    blocks: list[str] = re.findall(r"```\n(.*?)```", part, re.S)
    (conf,) = [block for block in blocks if "acl_file" in block]
    (rules,) = [block for block in blocks if block.startswith("user gateway")]
    return conf, rules


def replaced() -> list[str]:
    """The lines of mosquitto.conf in whose place the page puts a password_file."""
    found = re.search(r"`password_file` in the place of ([^;.]*);", PAGE.read_text())
    assert found is not None
    return re.findall(r"`(\w+)`", found[1])


class Guarded(Broker):
    """A mosquitto set up as the page says, over TLS: with the users' certificates, or by their passwords."""

    def __init__(self, folder: Path, certified: bool):
        folder.mkdir()
        super().__init__(folder)
        self.made = Certificates(folder / "pki")
        self.keys = {user: self.made.issue(user, user) for user in USERS} if certified else None
        conf, rules = example()
        assert not re.search(r"\S\s*#", conf.replace("\n#", "\n")), (
            "mosquitto.conf(5) has comments on lines of their own"
        )
        (folder / "acl").write_text(rules)
        (folder / "users").write_text("".join(f"{user}:word-of-{user}\n" for user in USERS))
        subprocess.run(["mosquitto_passwd", "-U", str(folder / "users")], check=True, timeout=60)
        for there, here in (
            ("listener 8883\n", f"listener {self.port} 127.0.0.1\n"),
            ("/etc/mosquitto/kerb/ca.crt", str(self.made.authority)),
            ("/etc/mosquitto/kerb/broker.crt", str(self.made.server[0])),
            ("/etc/mosquitto/kerb/broker.key", str(self.made.server[1])),
            ("/etc/mosquitto/kerb/acl", str(folder / "acl")),
        ):
            assert conf.count(there) == 1, there
            conf = conf.replace(there, here)
        if not certified:
            for name in replaced():
                conf, count = re.subn(rf"^{name} .*\n", "", conf, flags=re.M)
                assert count == 1, name
            conf += f"password_file {folder / 'users'}\n"
        (folder / "mosquitto.conf").write_text("user root\n" + conf)

    def client(self, user: str, name: str, *, clean: bool = False, will: str | None = None) -> "Client":
        return Client(self, user, name, clean, will)


class Client:
    """Somebody with a user's keys, who takes a name. heard: topics and payloads; ends: how often it lost its connection."""

    def __init__(self, broker: Guarded, user: str, name: str, clean: bool, will: str | None):
        self.heard: list[tuple[str, bytes]] = []
        self.ends = 0
        self.has_session: bool | None = None
        self._acknowledged = threading.Event()
        self._client = client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, protocol=paho.MQTTv311
        )
        if broker.keys is None:
            client.username_pw_set(user, f"word-of-{user}")
            client.tls_set(str(broker.made.authority))
        else:
            certificate, key = broker.keys[user]
            client.tls_set(str(broker.made.authority), str(certificate), str(key))
        if will is not None:
            client.will_set(will, b"will", qos=1)
        client.on_connect = self._connected
        client.on_disconnect = self._lost
        client.on_message = lambda _, __, message: self.heard.append((message.topic, message.payload))
        client.on_publish = client.on_subscribe = lambda *_: self._acknowledged.set()
        client.connect("localhost", broker.port)
        client.loop_start()
        until(lambda: self.has_session is not None, "it is let in")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def drop(self) -> None:
        """Its cable is cut: the broker speaks its will."""
        self._client.loop_stop()
        self._client.socket().close()

    def subscribe(self, topic: str) -> None:
        self._answered(lambda: self._client.subscribe(topic, qos=1))

    def publish(self, topic: str, payload: bytes) -> None:
        self._answered(lambda: self._client.publish(topic, payload, qos=1))

    def _answered(self, ask: Any) -> None:
        self._acknowledged.clear()
        ask()
        assert self._acknowledged.wait(DEADLINE_S)

    def _connected(self, _: Any, __: Any, flags: paho.ConnectFlags, code: Any, ___: Any) -> None:
        assert not code.is_failure, code
        self.has_session = flags.session_present

    def _lost(self, *_: Any) -> None:
        self.ends += 1


@pytest.fixture(params=[False, True], ids=["passwords", "certificates"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    broker = Guarded(tmp_path / "guarded", request.param)
    broker.start()
    with closing_all(broker):
        yield broker


def test_a_node_says_and_hears_what_is_its_own_and_nothing_else(guarded: Guarded) -> None:
    gateway = guarded.client("gateway", "kerb-quay-inlet")
    gateway.subscribe("kerb/1/quay/up/+")
    node = guarded.client("1", NODE)
    node.subscribe("kerb/1/quay/down/1")
    thief = guarded.client("2", NODE, will="kerb/1/quay/up/1")  # node 2's keys, and node 1's name
    with closing_all(gateway, node, thief):
        for topic in ("kerb/1/quay/down/1", "kerb/1/quay/down/+", "kerb/1/quay/up/+", "#", "kerb/1/quay/down/2"):
            thief.subscribe(topic)
        for topic in ("kerb/1/quay/up/1", "kerb/1/quay/down/1", "kerb/1/quay/up/gateway", "kerb/1/quay/up/2"):
            thief.publish(topic, b"as another")
        node.publish("kerb/1/quay/up/1", b"its own")
        gateway.publish("kerb/1/quay/down/1", b"answer")
        gateway.publish("kerb/1/quay/down/2", b"for the other")
        thief.drop()
        until(lambda: node.heard and thief.heard and len(gateway.heard) >= 2, "what may be heard")
        gateway.publish("kerb/1/quay/down/1", b"the end")
        until(lambda: len(node.heard) == 2, "the end")
        assert gateway.heard == [("kerb/1/quay/up/2", b"as another"), ("kerb/1/quay/up/1", b"its own")]
        assert thief.heard == [("kerb/1/quay/down/2", b"for the other")]
        assert [payload for _, payload in node.heard] == [b"answer", b"the end"]
        assert node.ends == 0, "nobody else takes its connection"


def test_nobody_passes_in_clear_text(guarded: Guarded) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=DEADLINE_S) as plain:
        plain.sendall(bytes.fromhex("100f00044d5154540402003c0003") + b"abc")  # CONNECT of a client abc, MQTT 3.1.1
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(4)[:1] != b"\x20", "it answers in clear text"  # CONNACK


@pytest.mark.parametrize("clean", [False, True])
def test_nobody_takes_a_session_that_is_not_his(guarded: Guarded, clean: bool) -> None:
    """Neither what waits for a node that is away, nor, with a clean session, the session itself."""
    gateway = guarded.client("gateway", "kerb-quay-inlet")
    away = guarded.client("1", NODE)
    away.subscribe("kerb/1/quay/down/1")
    away.close()
    gateway.publish("kerb/1/quay/down/1", b"waits")
    thief = guarded.client("2", NODE, clean=clean)
    with closing_all(gateway, thief):
        assert not thief.has_session
        thief.publish("kerb/1/quay/up/2", b"it is in")
        back = guarded.client("1", NODE)
        with closing_all(back):
            until(lambda: back.heard, "what has waited")
            assert back.has_session and back.heard == [("kerb/1/quay/down/1", b"waits")] and not thief.heard
