"""Shadow mode beside a live gateway: it hears what the other hears, keeps it, and nothing ever leaves it."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from forward_harness import a_broker
from gateway_harness import (
    DEADLINE_S,
    ENVIRONMENT,
    SITE,
    START,
    GatewayProcess,
    Rig,
    Street,
    closing_all,
    taken_ids,
    until,
)

from kerbgate import config, control
from kerbgate.app import Gateway
from kerbgate.backup import backup, restore
from kerbgate.errors import ControlError, StoreError
from kerbgate.inlets import open_inlet
from kerbgate.shadow import ShadowIntake
from kerbgate.store import Store
from kerbtools.simulate import SimulatedNode
from kerbwire import line


class Listener:
    """Everything that is said on a broker."""

    def __init__(self, port: int):
        self.heard: list[tuple[str, bytes]] = []
        self._subscribed: list[bool] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="listener", protocol=paho.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.append(True)
        self._client.on_message = lambda client, data, message: self.heard.append((message.topic, message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        until(lambda: self._subscribed, "the listener listens")

    def say(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def topics(self) -> set[str]:
        return {topic for topic, _ in self.heard}


def shadow_config(folder: Path, inlet: str, *outlets: str) -> GatewayProcess:
    folder.mkdir()
    made = GatewayProcess(folder, inlets=[inlet], broker_port=None)
    text = made.config.read_text().replace("[gateway]\n", "[gateway]\nshadow = true\n")
    made.config.write_text(text + "".join(outlets))
    return made


def copy_registry(live: GatewayProcess, shadow: GatewayProcess) -> None:
    for path in live.state.glob("registry*"):
        shutil.copy(path, shadow.state / path.name)


def outlet(port: int, name: str, more: str = "") -> str:
    return f'[[outlet]]\nname = "{name}"\nurl = "mqtt://127.0.0.1:{port}"\ntimeout_s = 2\nalarms = false\n{more}'


def street(listener: Listener, nodes: list[SimulatedNode], done: Any) -> None:
    """Nodes on a broker: they say what is next, and hear what is said to them."""
    at = len(listener.heard)

    def turn() -> bool:
        nonlocal at
        new, at = listener.heard[at:], len(listener.heard)
        for topic, payload in new:
            for node in nodes:
                if topic == f"kerb/1/{SITE}/down/{node.address}":
                    node.feed(payload)
        for node in nodes:
            frame = node.next_frame()
            if frame is not None:
                listener.say(f"kerb/1/{SITE}/up/{node.address}", frame)
        return done()

    until(turn, "the nodes are done", 60)


def test_beside_a_live_gateway_it_hears_all_and_says_nothing(tmp_path: Path) -> None:
    with a_broker(tmp_path / "broker") as broker:
        url = f"mqtt://127.0.0.1:{broker.port}/{SITE}"
        (tmp_path / "live").mkdir()
        live = GatewayProcess(tmp_path / "live", inlets=[url], broker_port=broker.port)
        nodes = live.register(range(1, 4))
        shadow = shadow_config(
            tmp_path / "shadow", url, outlet(broker.port, "quiet"), outlet(broker.port, "heard", "shadow = true\n")
        )
        copy_registry(live, shadow)
        listener = Listener(broker.port)
        with closing_all(live, shadow, listener):
            shadow.start()
            assert _sessions(shadow) == [True]
            alone = [node.next_frame() for node in nodes]
            for node, frame in zip(nodes, alone, strict=True):
                listener.say(f"kerb/1/{SITE}/up/{node.address}", frame or b"")
            until(lambda: shadow.status()["inlets"][0]["committed"] == 3, "it has heard the hellos")
            assert listener.topics() == {f"kerb/1/{SITE}/up/{node.address}" for node in nodes}  # and answered none
            with pytest.raises(ControlError, match="this gateway is a shadow"):
                control.ask(shadow.state, "send", document={})

            live.start()
            for node in nodes:
                node.take(40, START)
            street(listener, nodes, lambda: not any(node.waiting for node in nodes))
            ids = taken_ids(nodes)
            until(lambda: _records(listener, "shadow/kerbstone/1/") == ids, "the shadow has what the other has")
            until(lambda: _records(listener, "kerbstone/1/") == ids, "and the other has it too")
            status = shadow.status()
            assert status["shadow"] and (status["inlets"][0]["sent"], status["inlets"][0]["challenged"]) == (0, 0)
            assert [made["name"] for made in status["outlets"]] == ["heard"]
            assert set(status["store"]["outbox"]) <= {"heard"}
            spoken = {topic.split("/")[0] for topic in listener.topics()}
            assert spoken == {"kerb", "kerbstone", "shadow"}

            lines = tmp_path / "other.jsonl"
            readings = [payload for topic, payload in listener.heard if topic.startswith("kerbstone/1/")]
            lines.write_bytes(b"\n".join(readings))
            done = subprocess.run(
                [sys.executable, "-m", "kerbgate", "compare", "--config", str(shadow.config), "--with", str(lines), "--json"],
                env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE_S,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            for one in json.loads(done.stdout)["nodes"]:
                assert (one["both"], one["only_ours"], one["only_theirs"], one["differ"]) == (40, 0, 0, {})
            assert shadow.stop() == 0 and live.stop() == 0


def _sessions(gateway: GatewayProcess) -> list[bool]:
    return until(
        lambda: [inlet["connected"] for inlet in gateway.status()["inlets"] if inlet["connected"]], "it is connected"
    )


def _records(listener: Listener, prefix: str) -> set[str]:
    return {
        record["id"]
        for topic, payload in listener.heard
        if topic.startswith(prefix)
        for record in json.loads(payload)["records"]
    }


def test_not_a_byte_leaves_by_a_serial_line(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    live = GatewayProcess(tmp_path / "live", inlets=[], broker_port=None)
    nodes = live.register(range(1, 3))
    line_out = Street(nodes)
    shadow = shadow_config(tmp_path / "shadow", f"serial:{line_out.path}")
    copy_registry(live, shadow)
    with closing_all(shadow, line_out):
        shadow.start()
        assert _sessions(shadow) == [True]
        for node in nodes:
            os.write(line_out.master, line.encode(node.next_frame() or b""))
        until(lambda: shadow.status()["inlets"][0]["committed"] == 2, "it has heard the hellos")
        with contextlib.suppress(BlockingIOError):
            assert os.read(line_out.master, 100) == b""
        assert shadow.stop() == 0
        with contextlib.suppress(BlockingIOError, OSError):
            assert os.read(line_out.master, 100) == b""


def test_a_silent_inlet_has_no_way_to_send(tmp_path: Path) -> None:
    for url in ("serial:/dev/ttyACM0", "mqtt://host/site", "mqtt://host/site?client=own"):
        loud, silent = open_inlet(url), open_inlet(url, silent=True)
        assert not silent.send(b"x") if url.startswith("serial") else not silent.publish(b"x", None)  # type: ignore[attr-defined]
        if url.startswith("mqtt"):
            options, own = loud._options, silent._options  # type: ignore[attr-defined]
            assert own.clean and not own.session_s and own.identifier.startswith(options.identifier + "-shadow-")
            assert own.identifier != open_inlet(url, silent=True)._options.identifier  # type: ignore[attr-defined]
            assert not silent.broadcast(b"x", [1])  # type: ignore[attr-defined]


def shadow_rig(folder: Path) -> Rig:
    """A rig whose intake and store are a shadow's."""

    class Shadowed(Rig):
        def open(self, decode: Any = None) -> None:
            import gateway_harness

            import kerbgate.decoding as decoding

            kept = gateway_harness.Store, gateway_harness.Intake
            gateway_harness.Store = lambda *given, **named: Store(*given, **named, shadow=True)  # type: ignore[misc,assignment]
            gateway_harness.Intake = ShadowIntake  # type: ignore[misc]
            try:
                super().open(decode or decoding.read_again)
            finally:
                gateway_harness.Store, gateway_harness.Intake = kept  # type: ignore[misc]

    folder.mkdir(exist_ok=True)
    return Shadowed(folder)


def overheard(rig: Rig, node: SimulatedNode, count: int) -> list[bytes]:
    """Frames of a node that a live gateway confirms and acknowledges; what the air carried from the node."""
    frames: list[bytes] = []
    live = rig
    while True:
        frame = node.next_frame()
        if frame is None:
            return frames
        frames.append(frame)
        for answer in live.send(frame):
            node.feed(answer)
        if node.confirmed and not node.taken:
            node.take(count, START)


def test_it_learns_a_life_from_its_hello_and_keeps_what_the_node_says_in_it(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    live = Rig(tmp_path / "live")
    node = live.node(1, batch=4)
    frames = overheard(live, node, 12)
    shadow = shadow_rig(tmp_path / "shadow")
    shadow.node(1)
    for frame in frames:
        assert shadow.send(frame) == []
    assert shadow.query("SELECT first, last FROM committed") == [(0, 11)]
    for frame in frames:  # all of it again: known, and refused or counted
        assert shadow.send(frame) == []
    assert shadow.query("SELECT first, last FROM committed") == [(0, 11)]
    live.close()
    shadow.close()


def test_an_old_hello_that_is_replayed_does_not_make_it_deaf(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    live = Rig(tmp_path / "live")
    node = live.node(1, batch=4)
    before = overheard(live, node, 4)
    node.wipe()
    now = overheard(live, node, 4)
    shadow = shadow_rig(tmp_path / "shadow")
    shadow.node(1)
    for frame in now:
        shadow.send(frame)
    shadow.send(before[0])  # a stranger says an old hello, which it has never heard
    assert shadow.intake.life_of(1) != node.life
    node.take(4, START + 4 * 3600)
    for frame in overheard(live, node, 0):
        shadow.send(frame)
    assert shadow.query("SELECT count(*), sum(last - first + 1) FROM committed") == [(1, 8)]
    assert shadow.intake.life_of(1) == node.life
    assert shadow.refused()["unsealed"] == 0 and shadow.intake.undecoded == 0
    live.close()
    shadow.close()


def test_a_copy_of_the_live_store_tells_it_the_lives_that_say_no_hello_today(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    live = Rig(tmp_path / "live")
    node = live.node(1, batch=4)
    overheard(live, node, 4)
    (tmp_path / "shadow").mkdir()
    backup(live.store.path, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "shadow" / "store.sqlite")
    shadow = shadow_rig(tmp_path / "shadow")
    shadow.node(1)
    node.take(4, START + 4 * 3600)
    for frame in overheard(live, node, 0):
        assert shadow.send(frame) == []
    assert shadow.query("SELECT first, last FROM committed") == [(0, 7)]
    assert shadow.query("SELECT count(*) FROM ask") == [(0,)]
    live.close()
    shadow.close()


def test_a_store_is_a_shadows_or_a_gateways(tmp_path: Path) -> None:
    live = Rig(tmp_path)
    node = live.node(1)
    live.confirm(node)
    live.close()
    with pytest.raises(StoreError, match="is of a gateway that is no shadow"):
        shadow_rig(tmp_path)
    shadow = shadow_rig(tmp_path / "shadow")
    shadow.close()
    shadow.open()
    shadow.close()
    with pytest.raises(StoreError, match="is of a shadow"):
        Rig(tmp_path / "shadow")


def test_its_morning_list_stays_in_its_own_folder(tmp_path: Path) -> None:
    """A list of the day that is there already is not written again: the other gateway's would be missing."""

    async def main() -> None:
        text = f'[gateway]\nsite = "{SITE}"\nshadow = true\n[service]\nport = 0\n[morning]\nfolder = "lists"\n'
        made = Gateway(config.parse(tmp_path / "c.toml", text.encode()))
        stop, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(made.run(stop, ready.set))
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
            stop.set()
            await running
        assert made.alarm_service.folder == tmp_path / "state" / "morning"

    asyncio.run(main())
