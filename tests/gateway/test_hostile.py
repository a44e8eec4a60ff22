"""Hostile callers of each door of a running gateway: a broker's publishers, a serial line, the control socket, HTTP.

Each attack is bounded in count and time. During it honest nodes on two other links go on to the council; after it the
gateway is the same process, its peak of memory has grown by less than GROWTH_MB, it holds as many descriptors as before,
and its store has what the honest nodes took and nothing else. The hostile broker has a test of its own.
"""

import contextlib
import json
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from gateway_harness import (
    SITE,
    START,
    Broker,
    Council,
    GatewayProcess,
    Street,
    closing_all,
    secret_of,
    taken_ids,
    until,
)
from test_mqtt_inlet import MqttStreet
from test_service_pages import free_port, get

from kerbtools.simulate import SimulatedNode
from kerbwire import line

GROWTH_MB = (
    16  # of the peak, which is some 45 MB: a queue of 2,000 frames, buffers and SQLite's cache have a few MB each
)
MAX_FDS = 80  # 16 callers of the control socket, 8 of HTTP, and what the gateway needs itself
FLOOD = 15_000
LINE_BYTES = 4_000_000
ATTACK_S = 12.0


class Onair(MqttStreet):
    """Honest nodes on the field's broker, who hear what is for them."""

    def _heard(self, client: Any, userdata: Any, message: Any) -> None:
        if int(message.topic.rpartition("/")[2]) in self.nodes:
            super()._heard(client, userdata, message)


class Town:
    """A gateway with an honest serial line, an honest site on a broker, a hostile line, and the council's broker."""

    def __init__(self, folder: Path, field: Broker, uplink: Broker, council: Council):
        self.folder, self.field, self.council = folder, field, council
        self.port = free_port()
        self.gateway = GatewayProcess(
            folder, inlets=[f"mqtt://127.0.0.1:{field.port}/{SITE}"], broker_port=uplink.port, service_port=self.port
        )
        *nodes, self.visitor = self.gateway.register(range(1, 8))
        self.street = Street(nodes[:3])
        self.dark = Street([])
        text = "".join(f'[[inlet]]\nurl = "serial:{street.path}"\n' for street in (self.street, self.dark))
        self.gateway.config.write_text(self.gateway.config.read_text() + text)
        self.gateway.start()
        self.onair = Onair(nodes[3:], field.port)
        self.nodes = nodes
        self.hours = 0
        self.exchange()
        self.peak_before = self.peak_mb()

    def exchange(self) -> None:
        """Each honest node takes and delivers a few records."""
        for node in self.nodes:
            node.take(4, START + 3600 * self.hours)
        self.hours += 4
        self.onair.run()
        assert self.street.run(lambda: all(node.confirmed and not node.waiting for node in self.street.nodes.values()))

    def peak_mb(self) -> float:
        return int(self._proc("status").split("VmHWM:")[1].split()[0]) / 1024

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.gateway.pid}/fd").iterdir()))

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.gateway.pid}/{name}").read_text()

    def under(self, attack: "Callable[[Town], None]") -> dict[str, Any]:
        """Attack while honest nodes speak; returns status afterwards."""
        pid, died = self.gateway.pid, threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                attack(self)
            except BaseException as error:
                failed.append(error)
            finally:
                died.set()

        thread = threading.Thread(target=work)
        began = time.monotonic()
        thread.start()
        rounds = 0
        while not died.is_set() or not rounds:
            self.exchange()
            rounds += 1
        thread.join()
        assert not failed, failed
        assert time.monotonic() - began < 2 * ATTACK_S
        assert self.gateway.pid == pid and Path(f"/proc/{pid}").exists()
        grown = self.peak_mb() - self.peak_before
        print(f"{attack.__name__}: {rounds} rounds of honest traffic, peak {self.peak_mb():.0f} MB, {grown:+.1f} MB")
        assert grown < GROWTH_MB
        assert self.descriptors() < MAX_FDS
        taken = taken_ids(self.nodes)
        until(lambda: taken <= self.council.records.keys(), "every honest record is at the council")
        assert self.council.records.keys() == taken
        found = self.gateway.status()
        assert [(node["node"], node["committed"]) for node in found["nodes"]] == [
            (node.address, len(node.taken)) for node in self.nodes
        ]
        assert not any(task["failures"] for task in found["tasks"].values()), found["tasks"]
        assert found["intake"]["failures"] == 0 and get(self.port, "/ready")[0] == 200
        return found


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    brokers: list[Broker] = []
    for name in ("field", "uplink"):
        (folder / name).mkdir()
        brokers.append(Broker(folder / name, "max_inflight_messages 1000"))
        brokers[-1].start()
    council = Council(brokers[1].port)
    assert council.subscribed.wait(20)
    made = Town(folder, brokers[0], brokers[1], council)
    with closing_all(made.gateway, made.street, made.dark, made.onair, council, *brokers):
        yield made


class Publisher:
    """A client of the field's broker with a right to every topic: the worst case of a missing access list."""

    def __init__(self, port: int, name: str = "mallory"):
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self._client.max_queued_messages_set(0)
        self.heard: list[tuple[str, bytes]] = []
        self._client.on_message = lambda client, data, message: self.heard.append((message.topic, message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic)

    def say(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> Any:
        return self._client.publish(topic, payload, qos=qos, retain=retain)

    def flush(self) -> None:
        until(lambda: not self._client._out_packet, "everything was handed to the broker", ATTACK_S)


def up(node: int | str) -> str:
    return f"kerb/1/{SITE}/up/{node}"


def flood_of_junk(town: Town) -> None:
    rng = random.Random("flood")
    with Publisher(town.field.port) as mallory:
        for number in range(FLOOD):
            mallory.say(up(number % 7), rng.randbytes(rng.randrange(1, 120)))
        mallory.flush()


def payloads_of_a_megabyte(town: Town) -> None:
    with Publisher(town.field.port) as mallory:
        for number in range(12):
            mallory.say(up(number % 7), bytes(1 << 20), qos=number % 2)
            mallory.say(up(number % 7), bytes(1000), qos=number % 2)
        mallory.flush()


def topics_of_others(town: Town) -> None:
    """Other sites, other nodes, deeper and empty levels, what looks like a wildcard or a path, very long ones."""
    neighbour = SimulatedNode(4, secret_of(4), seed=99)  # a valid frame of a known node, under a life nobody confirmed
    neighbour.take(8, START)
    frame = neighbour.next_frame()
    assert frame is not None
    topics = [
        "kerb/1/elsewhere/up/4", "kerb/1/elsewhere/down/4", f"kerb/2/{SITE}/up/4", f"kerb/1/{SITE}/up", f"kerb/1/{SITE}/up/",
        up("4/5"), up("../../elsewhere/up/4"), up("$share"), up("%2b"), up("\u0001"), up("\uff14"), up("x" * 60_000), up("-1"),
        up("99999999999999999999"), "$SYS/kerb", f"/kerb/1/{SITE}/up/4", f"kerb//1/{SITE}/up/4",
    ]  # fmt: skip
    with Publisher(town.field.port) as mallory:
        for topic in topics * 20:
            mallory.say(topic, frame)
            mallory.say(topic, b"\x00")
        mallory.flush()


def replays(town: Town) -> None:
    """Frames of honest nodes, caught on the air and sent again, on their own topics and on others."""
    with Publisher(town.field.port, "listener") as mallory:
        mallory.subscribe(f"kerb/1/{SITE}/#")
        until(lambda: len(mallory.heard) > 20, "honest frames are heard", ATTACK_S)
        for number in range(3000):
            topic, payload = mallory.heard[number % 20]
            mallory.say(topic if number % 2 else up(number % 7), payload)
            mallory.say(topic, payload + b"\x00")
            mallory.say(topic, payload[: number % max(len(payload), 1)])
        mallory.flush()


def nodes_of_another_site(town: Town) -> None:
    """Well-made frames under keys that this gateway has not: of a stranger, and of one with an address that is ours."""
    with Publisher(town.field.port) as mallory:
        for address in (4, 417, 2290):
            node = SimulatedNode(address, random.Random(f"elsewhere {address}").randbytes(16), seed=address)
            node.take(50, START)
            for _ in range(500):
                frame = node.next_frame()
                assert frame is not None
                mallory.say(up(address), frame)
        mallory.flush()


def retained_messages(town: Town) -> None:
    """Thousands of retained frames: the broker gives them to whoever subscribes, at each reconnection."""
    rng = random.Random("retained")
    with Publisher(town.field.port) as mallory:
        for number in range(4000):
            mallory.say(up(number), rng.randbytes(40), retain=True)
        mallory.flush()


@pytest.mark.parametrize(
    "attack",
    [flood_of_junk, payloads_of_a_megabyte, topics_of_others, replays, nodes_of_another_site, retained_messages],
)
def test_hostile_publishers(town: Town, attack: Callable[[Town], None]) -> None:
    found = town.under(attack)
    refused = found["inlets"][0]["refused"]
    wanted = {
        flood_of_junk: ("malformed",), nodes_of_another_site: ("unsealed", "unknown node"), replays: ("duplicate", "unsealed"),
    }.get(attack, ())  # fmt: skip
    for reason in wanted:
        assert refused.get(reason, 0) > 100, refused


def test_topics_of_another_site_are_never_read(town: Town) -> None:
    """Frames that would be answered here, on the topics of another site: as if they had not been sent."""
    before = town.gateway.status()["inlets"][0]
    with Publisher(town.field.port) as mallory:
        mallory.subscribe("kerb/1/+/down/7")
        for site in ("elsewhere", f"{SITE}-2", f"{SITE}/x", f"x/{SITE}"):
            for _ in range(50):
                mallory.say(f"kerb/1/{site}/up/7", town.visitor.next_frame() or b"", qos=1)
        mallory.flush()
        mallory.say(up(7), town.visitor.next_frame() or b"", qos=1)
        until(lambda: mallory.heard, "what came by our own topic is answered")
        after = town.gateway.status()["inlets"][0]
    assert [topic for topic, _ in mallory.heard] == [f"kerb/1/{SITE}/down/7"]
    assert after["frames"] - before["frames"] == after["challenged"] - before["challenged"] == 1


def write_all(town: Town, pieces: Iterator[bytes]) -> int:
    """Onto the hostile line, as fast as the gateway takes it; how many bytes it took."""
    end = time.monotonic() + ATTACK_S
    written = 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            if time.monotonic() > end:
                return written
            if select.select([], [town.dark.master], [], 0.5)[1]:
                with contextlib.suppress(BlockingIOError):
                    size = os.write(town.dark.master, rest)
                    written += size
                    rest = rest[size:]
    return written


def bytes_without_end(town: Town) -> None:
    assert write_all(town, (b"\x55" * 4096 for _ in range(LINE_BYTES // 4096))) > LINE_BYTES // 2


def noise(town: Town) -> None:
    rng = random.Random("noise")
    assert write_all(town, (rng.randbytes(4096) for _ in range(LINE_BYTES // 4096))) > LINE_BYTES // 2


def junk_well_wrapped(town: Town) -> None:
    rng = random.Random("wrapped")
    assert write_all(town, (line.encode(rng.randbytes(rng.randrange(1, 200))) for _ in range(20_000))) > 500_000


def delimiters_alone(town: Town) -> None:
    assert write_all(town, (bytes(4096) for _ in range(LINE_BYTES // 4096))) > LINE_BYTES // 2


def a_slow_drip(town: Town) -> None:
    """A frame that never ends, a byte at a time."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        os.write(town.dark.master, b"\x05")
        select.select([], [], [], 0.002)


@pytest.mark.parametrize("attack", [bytes_without_end, noise, junk_well_wrapped, delimiters_alone, a_slow_drip])
def test_hostile_lines(town: Town, attack: Callable[[Town], None]) -> None:
    town.under(attack)


def dial(town: Town) -> socket.socket | None:
    """A caller of the control socket; None where the kernel's queue is full."""
    caller = socket.socket(socket.AF_UNIX)
    caller.setblocking(False)
    folder = os.open(town.gateway.state, os.O_RDONLY)
    try:
        caller.connect(f"/proc/self/fd/{folder}/control.sock")
        return caller
    except (BlockingIOError, ConnectionError):
        caller.close()
        return None
    finally:
        os.close(folder)


def tell(caller: socket.socket, data: bytes) -> None:
    caller.settimeout(0.5)
    with contextlib.suppress(OSError):
        caller.sendall(data)


def lines_without_end(town: Town) -> None:
    for _ in range(20):
        with contextlib.closing(until(lambda: dial(town), "a place", ATTACK_S)) as caller:
            tell(caller, b"x" * (1 << 20))


def half_lines(town: Town) -> None:
    for number in range(300):
        with contextlib.closing(until(lambda: dial(town), "a place", ATTACK_S)) as caller:
            tell(caller, b'{"v":1,"op":"status"'[: number % 21])


def thousands_of_callers(town: Town) -> None:
    held: list[socket.socket] = []
    refused = 0
    try:
        for _ in range(3000):
            caller = dial(town)
            refused += caller is None
            if caller is not None:
                held.append(caller)
                tell(caller, b"{")
        assert len(held) < 100 and refused > 2800
        assert town.descriptors() < MAX_FDS
    finally:
        for caller in held:
            caller.close()


def junk_requests(town: Town) -> None:
    rng = random.Random("requests")
    junk = [
        b"[" * 19_000, b'{"a":' * 3000, b'{"v":1e999,"op":"status"}', b'{"v":1,"op":"status","v":2}', b'{"v":true,"op":null}',
        b'{"v":1,"op":"send","document":{"id":"\\ud800"}}', b'{"v":1,"op":"send","document":[]}', b"\xff\xfe\x00",
        b'{"v":1,"op":"commands","limit":1e30}', b'{"v":1,"op":"commands","limit":' + b"9" * 5000 + b"}", b"\x00" * 5000,
        b'{"v":1,"op":"send","document":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}", b'{"v":NaN,"op":Infinity}',
    ]  # fmt: skip
    for number in range(400):
        with contextlib.closing(until(lambda: dial(town), "a place", ATTACK_S)) as caller:
            tell(caller, (junk[number % len(junk)] if number % 3 else rng.randbytes(200)) + b"\n")
            with contextlib.suppress(OSError):
                answer = caller.makefile("rb").readline()
                said = json.loads(answer) if answer else {}
                assert not said.get("ok") or "refused" in json.dumps(said["answer"]), said


@pytest.mark.parametrize("attack", [lines_without_end, half_lines, thousands_of_callers, junk_requests])
def test_hostile_callers_of_the_control_socket(town: Town, attack: Callable[[Town], None]) -> None:
    town.under(attack)


def thousands_of_browsers(town: Town) -> None:
    held: list[socket.socket] = []
    try:
        for number in range(400):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", town.port))
            held.append(caller)
            if number % 2:
                tell_quietly(caller, b"GET /metrics HTTP/1.1\r\n")
        assert town.descriptors() < MAX_FDS
    finally:
        for caller in held:
            caller.close()


def tell_quietly(caller: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        caller.send(data)


def headers_without_end(town: Town) -> None:
    for number in range(60):
        with socket.create_connection(("127.0.0.1", town.port), 5) as caller:
            tell(caller, b"GET /metrics HTTP/1.1\r\n" + (b"X: y\r\n" if number % 2 else b"X" * 7) * 100_000)


def bodies_and_pipelines(town: Town) -> None:
    for number in range(100):
        with socket.create_connection(("127.0.0.1", town.port), 5) as caller:
            if number % 2:
                tell(caller, b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" + bytes(100_000))
            else:
                tell(caller, b"GET /metrics HTTP/1.1\r\n\r\n" * 1000)


@pytest.mark.parametrize("attack", [thousands_of_browsers, headers_without_end, bodies_and_pipelines])
def test_hostile_browsers(town: Town, attack: Callable[[Town], None]) -> None:
    town.under(attack)


def test_after_all_of_it_a_restart_over_retained_messages_is_well(town: Town) -> None:
    assert town.gateway.stop() == 0
    town.gateway.start()
    town.peak_before = max(town.peak_before, town.peak_mb())
    town.under(lambda _: None)
    events = {event["event"] for event in town.gateway.events()}
    assert "task_failed" not in events and "stuck" not in events
    assert town.gateway.log.stat().st_size < 200_000
