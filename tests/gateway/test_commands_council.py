"""Commands over a real broker into a real gateway process, to nodes on a serial line; and a publisher that means ill."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.client as paho
import pytest
from commands_harness import GROUPS, CommandNode
from gateway_harness import SITE, Broker, GatewayProcess, Street, add_node, closing_all, until

from kerbgate import audit
from kerbgate.commands.operations import NO_ISOLATION
from kerbgate.commands.request import write_time
from kerbgate.registry import Registry
from kerbtools import audit as audit_verb
from kerbtools import send
from kerbwire import channels, controls

BASE = f"kerbstone/1/{SITE}"
VALIDATOR = jsonschema.Draft202012Validator(
    json.loads(resources.files("kerbgate").joinpath("schemas/commands-1.json").read_text("utf-8"))
)
RULES = f"""
topic read kerbstone/1/#
topic write {BASE}/command/+/state
topic write {BASE}/command/refused
topic write {BASE}/audit/head
topic write {BASE}/+/readings
pattern write {BASE}/command/%c
"""


class Desk:
    """A council's client: publishes commands, keeps every state. Its client id is its role, which the broker's rules use.

    It speaks MQTT 5 to hear of refusals, 3.1.1 to come back after a broker's restart, which paho 2.1 does not do in 5.
    """

    def __init__(self, port: int, role: str = "operator", protocol: Any = paho.MQTTv5):
        self.role = role
        self.states: list[dict[str, Any]] = []
        self.heads: list[dict[str, Any]] = []
        self.topics: list[str] = []
        self.pubacks: list[int] = []
        self._ready = threading.Event()
        clean = None if protocol == paho.MQTTv5 else False
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=role, protocol=protocol, clean_session=clean
        )
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(f"{BASE}/command/#", 1), (f"{BASE}/audit/#", 1)]
        )
        self.subscribed = 0
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._take
        self._client.on_publish = lambda client, userdata, mid, code, props: self.pubacks.append(code.value)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribed(self, *_: Any) -> None:
        self.subscribed += 1
        self._ready.set()

    def _take(self, client: Any, userdata: Any, message: Any) -> None:
        if message.topic in (f"{BASE}/command/{role}" for role in ("emergency", "operator", "schedule")):
            return
        self.topics.append(message.topic)
        document = json.loads(message.payload)
        (self.heads if message.topic.endswith("/head") else self.states).append(document)

    def publish(self, document: "dict[str, Any] | bytes", role: str | None = None, retain: bool = False) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._client.publish(f"{BASE}/command/{role or self.role}", data, qos=1, retain=retain)

    def of(self, ident: str) -> list[dict[str, Any]]:
        return [state for state in list(self.states) if state.get("id") == ident]

    def events(self, ident: str) -> list[str]:
        return [state["event"] for state in self.of(ident)]


def command(ident: str, operation: str = "sample", target: Any = None, **fields: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"schema": "kerbstone/command/1", "id": ident, "operation": operation}
    out["target"] = {"node": 801} if target is None else target
    end = "until" if operation == "dim" else "expires"
    out |= {} if operation == "brighten" else {end: write_time(int(time.time()) + 600)}
    return out | fields


class City:
    """A gateway process with council commands, lamps on a serial line, and a broker that has rules."""

    def __init__(self, folder: Path, more_rules: str = ""):
        (folder / "broker").mkdir()
        (folder / "broker" / "acl").write_text(RULES + more_rules)
        self.broker = Broker(folder / "broker", f"acl_file {folder}/broker/acl")
        self.broker.start()
        nodes = [CommandNode(address, utc=time.time, role=channels.LAMP) for address in (801, 802, 803)]
        self.nodes = {node.address: node for node in nodes}
        self.street = Street(list(nodes))
        self.gateway = GatewayProcess(folder, inlets=[f"serial:{self.street.path}"], broker_port=self.broker.port)
        (folder / "groups.toml").write_text(GROUPS)
        with self.gateway.config.open("a") as file:
            file.write('[command]\noutlet = "council"\ngroups = "groups.toml"\nhead_interval_s = 1\n')
        registry = Registry(self.gateway.state / "registry.sqlite", create=True)
        for address in self.nodes:
            add_node(registry, address, "lamp")
        registry.close()
        try:
            self.gateway.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.gateway.kill()
        self.street.close()
        self.broker.stop()

    def run(self, done: Callable[[], Any], what: str) -> None:
        assert self.street.run(done), f"still not: {what}"

    def listening(self) -> bool:
        return bool(self.gateway.status()["commands"]["council"]["listening"])


@pytest.fixture
def city(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[City]:
    made = City(tmp_path, getattr(request, "param", ""))
    try:
        until(made.listening, "the gateway listens for commands")
        made.run(lambda: all(node.confirmed for node in made.nodes.values()), "every lamp is confirmed")
        yield made
    finally:
        made.close()


def test_a_street_is_dimmed_from_the_councils_broker_and_each_change_is_told(city: City, tmp_path: Path) -> None:
    desk = Desk(city.broker.port)
    with closing_all(desk):
        asked = command("night-1", "dim", {"group": "river-street"}, arguments={"level_percent": 0})
        VALIDATOR.validate(asked)
        desk.publish(asked)
        city.run(lambda: "ended" in desk.events("night-1"), "the command ended")
        states = desk.of("night-1")
        for state in desk.states:
            VALIDATOR.validate(state)
        assert states[0]["event"] == "accepted" and states[0]["streets"] == {"River Street": 3}
        assert all(state["notice"] == NO_ISOLATION for state in states)
        assert states[-1]["counts"] == {"applied": 3} and states[-1]["unanswered"] == []
        assert all(topic in (f"{BASE}/command/night-1/state", f"{BASE}/audit/head") for topic in desk.topics)
        for node in city.nodes.values():
            ((_, operation, arguments),) = node.done
            assert operation == controls.DIM and arguments[:2] == (0, 2) and 590 <= arguments[2] <= 600
        numbers = [state["sequence"] for state in states]
        assert numbers == sorted(numbers)

        def covered() -> bool:
            return bool(desk.heads) and desk.heads[-1]["sequence"] >= numbers[-1]

        until(covered, "a head of the log covers it")
        VALIDATOR.validate(desk.heads[-1])
        heads = tmp_path / "heads.jsonl"
        heads.write_text("\n".join(map(json.dumps, desk.heads)))
        assert audit_verb.main(["verify", "--config", str(city.gateway.config), "--head", str(heads)]) == 0


def test_states_wait_for_a_broker_that_was_away(city: City) -> None:
    """Written down while nobody listens, told afterwards, in order and none left out; also over a killed gateway."""
    desk = Desk(city.broker.port, protocol=paho.MQTTv311)
    with closing_all(desk):
        desk.publish(command("first"))
        city.run(lambda: "ended" in desk.events("first"), "the first command ended")
        city.broker.stop()
        config = str(city.gateway.config)
        assert send.main(["sample", "--config", config, "--node", "802", "--node", "803"]) == 0
        city.run(
            lambda: all(city.nodes[a].done and not city.nodes[a]._results for a in (802, 803)), "both have answered"
        )
        city.gateway.kill()
        city.broker.start()
        until(lambda: desk.subscribed == 2, "the council is back")
        city.gateway.start()
        until(city.listening, "the gateway listens again")
        for node in city.nodes.values():  # an answer that was on its way when the gateway died is asked for again
            node.take(1, int(time.time()))

        def ended() -> bool:
            return any(state["event"] == "ended" and state["role"] == "local" for state in list(desk.states))

        city.run(ended, "the end of the local command is told")
        ident = next(state["id"] for state in desk.states if state["role"] == "local")
        told = [change["state"] for state in desk.of(ident) for change in state.get("changes", ())]
        assert told.count("applied") == 2 and set(told) <= {"sent", "applied"}
        assert all(len(node.done) == 1 for node in city.nodes.values())
        numbers = [state["sequence"] for state in desk.states]
        assert numbers == sorted(set(numbers)) and len(numbers) >= 7


def test_a_role_is_what_the_brokers_access_list_says(city: City) -> None:
    desk = Desk(city.broker.port, "schedule")
    with closing_all(desk):
        desk.publish(command("raise", "restart"), role="emergency")
        desk.publish(command("mine", "restart"))
        until(lambda: len(desk.pubacks) == 2, "the broker has answered")
        assert sorted(desk.pubacks)[-1] == 0x87  # not authorised
        until(lambda: desk.events("mine"), "the gateway has answered")
        assert desk.of("mine")[0]["reason"] == "not allowed" and not desk.events("raise")


def test_a_hostile_publisher_is_refused_with_reasons_and_bounded(city: City) -> None:
    desk = Desk(city.broker.port)
    with closing_all(desk):
        bad: list[tuple[Any, str]] = [
            (b"{", "not a document"), (b"\xff\xfe", "not a document"), (b"", "not a document"),
            (b"[" * 10_000, "not a document"), (b'{"id":' * 2000, "not a document"),
            (b"x" * (16 * 1024 + 1), "too large"), ({}, "unknown schema"),
            (command("u1", target={"node": 4000}), "unknown node"), (command("u2", target={"site": "quay"}), "other site"),
            (command("u3", expires="2020-01-01T00:00:00Z"), "expired"), (command("../x"), "bad id"),
            (command("u4", by="\x1b[2J"), None), (command("u5", "rm -rf"), "unknown operation"),
        ]  # fmt: skip
        for document, _ in bad:
            desk.publish(document)
        desk.publish(b"x" * 60_000)  # the broker keeps it from us
        wanted = [reason for _, reason in bad if reason]

        def refused() -> list[str]:
            return [state["reason"] for state in list(desk.states) if state["event"] == "refused"]

        until(lambda: len(refused()) >= len(wanted), "every document is answered")
        assert sorted(refused()) == sorted(wanted)
        for state in desk.states:
            VALIDATOR.validate(state)
        desk.publish(command("past"))
        until(lambda: desk.events("past"), "accepted")
        desk.publish(command("past", "identify"))
        until(lambda: "id used" in refused(), "a past id is refused")
        desk.publish(command("kept"), retain=True)
        for number in range(1500):
            desk.publish(command(f"flood-{number}", "no such thing"))
        until(lambda: len(desk.pubacks) >= 1500, "the broker has taken the flood")
        until(lambda: city.gateway.status()["commands"]["council"]["too_fast"] > 0, "the flood is bounded")
        assert refused().count("too fast") == 1
        fire = Desk(city.broker.port, "emergency")
        with closing_all(fire):  # another role is not held up by it
            fire.publish(command("fire", "brighten", {"site": SITE}, arguments={"for_s": 60}))
            until(lambda: fire.events("fire"), "the emergency is accepted", 5)
            assert fire.of("fire")[0]["event"] == "accepted"
        status = city.gateway.status()
        assert all(not task["failures"] for task in status["tasks"].values()), status["tasks"]
        assert city.gateway.stop() == 0
        city.gateway.start()
        until(lambda: "retained" in refused(), "what the broker kept is no command")
        state = city.gateway.state
        with audit_verb._open(state / "store.sqlite") as db:
            assert audit.verify(db, audit.Key.open(state)).sound
            assert db.execute("SELECT count(*) FROM audit WHERE kind='note'").fetchone()[0] < 60
        for name in ("audit.key", "group.key", "control.sock", "store.sqlite"):
            assert (state / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.parametrize("city", ["topic write kerbstone/1/quay/#\n"], indirect=True)
def test_another_sites_topic_is_not_heard(city: City) -> None:
    """Whatever the broker's rules are, the gateway has subscribed to its own site alone."""
    desk = Desk(city.broker.port)
    with closing_all(desk):
        desk._client.publish("kerbstone/1/quay/command/operator", json.dumps(command("x")).encode(), qos=1)
        desk.publish(command("y"))
        until(lambda: desk.events("y"), "its own is answered")
        assert not desk.events("x") and city.gateway.status()["commands"]["council"]["received"] == 1


def test_kerb_send_asks_lists_and_withdraws(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(city.gateway.config)]
    assert send.main(["dim", *config, "--group", "river-street", "--level", "0", "--for", "2h", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "dry run" in out and "River Street: 3" in out and NO_ISOLATION in out
    assert send.main(["dim", *config, "--node", "801", "--level", "0"]) == 1
    assert "REFUSED   no expiry" in capsys.readouterr().out
    assert send.main(["sample", *config, "--site", SITE, "--in", "1h", "--valid", "2h", "--json"]) == 0
    ident = json.loads(capsys.readouterr().out)["id"]
    assert send.main(["list", *config]) == 0
    assert f"open   {ident}: sample (operator)" in (out := capsys.readouterr().out) and "waiting: 801 802 803" in out
    assert send.main(["cancel", ident, *config]) == 0
    assert send.main(["list", *config, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["counts"] == {"cancelled": 3} and row["ended"] is not None
    assert send.main(["configure", *config, "--node", "801", "--set", "3=x"]) == 1
    assert "setting 3" in capsys.readouterr().out
    assert city.gateway.stop() == 0
    assert send.main(["list", *config]) == 1
    assert "kerb gateway run" in capsys.readouterr().err
