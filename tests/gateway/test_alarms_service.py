"""Alarms of a running gateway: socket and tool, audit log, letters at the council; a week in which all is well."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alarms_harness import DARK, LIT, AlarmRig
from gateway_harness import (
    DEADLINE_S,
    SITE,
    START,
    Broker,
    GatewayProcess,
    Street,
    closing_all,
    until,
)

from kerbgate import audit, control
from kerbgate.alarms.health import Facts, GatewayHealth, OutletFacts
from kerbgate.app import TaskState
from kerbgate.errors import ControlError
from kerbgate.inlets import Counters
from kerbgate.registry import Registry, inventory
from kerbgate.registry.cards import Asset
from kerbgate.sun import elevation
from kerbtools import alarms as tool
from kerbwire import messages
from kerbwire.channels import BATTERY, ENERGY, FILL, LEVEL, QUALITY, TEMPERATURE
from kerbwire.controls import Log
from kerbwire.events import CLEARED, EMERGENCY, FIRE, FULL, RAISED, WARNING


@pytest.fixture
def desk(tmp_path: Path) -> Iterator["Desk"]:
    made = Desk(tmp_path)
    with closing_all(made.gateway, made.street):
        yield made


class Desk:
    """A gateway process with one node on a line and no council."""

    def __init__(self, folder: Path, broker: Broker | None = None):
        self.gateway = GatewayProcess(folder, inlets=[], broker_port=broker.port if broker else None)
        (self.node,) = self.gateway.register(range(17, 18))
        registry = Registry(self.gateway.state / "registry.sqlite")
        inventory.bind(registry, 17, Asset(asset="b17", site=SITE, role="bin", latitude=51.45, longitude=-2.59))
        registry.close()
        self.street = Street([self.node])
        config = self.gateway.config.read_text()
        where = config.index("[[outlet]]") if broker else len(config)
        inlet = f'[[inlet]]\nurl = "serial:{self.street.path}"\n'
        self.gateway.config.write_text(config[:where] + inlet + config[where:])
        self.gateway.start()
        assert self.street.run(lambda: self.node.confirmed)

    def tell(self, code: int, severity: int, state: int) -> None:
        index = self.node.tell(code, severity, state, START, {TEMPERATURE: 142} if code == FIRE else {FILL: 97})
        assert self.street.run(lambda: index in self.node.committed)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        return control.ask(self.gateway.state, op, **fields)

    def kerb(self, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
        status = tool.main([*words, "--config", str(self.gateway.config)])
        out, err = capsys.readouterr()
        return status, out, err


def test_alarms_are_listed_taken_and_audited(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.kerb(capsys)[1] == "no alarm is open\n"
    desk.tell(FIRE, EMERGENCY, RAISED)
    found = desk.ask("alarms")["alarms"]
    assert [(one["kind"], one["state"], one["where"]) for one in found] == [("fire", "raised", "b17")]
    status, out, _ = desk.kerb(capsys)
    assert status == 0 and "emergency fire, b17: raised since 2026-03-01T00:00:00Z" in out
    ident = found[0]["id"]
    status, out, err = desk.kerb(capsys, "ack", ident)
    assert status == 1 and "reason is no text" in err and "--reason" in err
    status, out, _ = desk.kerb(capsys, "ack", ident, "--reason", "on its way", "--user", "j.smith")
    assert (status, out) == (0, "acknowledged: 1\n")
    status, out, _ = desk.kerb(capsys, "ack", "no/such", "--reason", "x", "--user", "j.smith")
    assert status == 1 and "not open, or not told yet: no/such" in out
    assert "taken by j.smith: on its way" in desk.kerb(capsys, "list", "--kind", "fire")[1]
    assert json.loads(desk.kerb(capsys, "--json", "--state", "raised")[1]) == []
    with contextlib.closing(sqlite3.connect(desk.gateway.state / "store.sqlite")) as db:
        entries = [json.loads(row[0]) for row in db.execute("SELECT entry FROM audit WHERE kind='alarm' ORDER BY seq")]
    assert [(entry["acknowledged"], entry["by"]) for entry in entries] == [([ident], "j.smith"), ([], "j.smith")]
    status = desk.gateway.status()
    assert status["alarms"]["open"] == {"acknowledged": 1} and status["alarms"]["failures"] == 0


def test_maintenance_and_the_morning_list_by_the_tool(
    desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("--reason", "new lids", "--user", "j.smith")
    status, out, _ = desk.kerb(capsys, "maintenance", "--scope", "node:17", "--for", "2h", *words)
    assert status == 0 and out.startswith("maintenance 1 of node:17 until ")
    desk.tell(FULL, WARNING, RAISED)
    assert [one["state"] for one in desk.ask("alarms")["alarms"]] == ["suppressed"]
    assert "1  node:17, from " in desk.kerb(capsys, "maintenance")[1]
    assert desk.kerb(capsys, "maintenance", "--end", "1", *words)[:2] == (0, "maintenance 1 has ended\n")
    assert desk.kerb(capsys, "maintenance", "--end", "1", *words)[0] == 1
    assert [one["state"] for one in desk.ask("alarms")["alarms"]] == ["raised"]
    path = tmp_path / "list.csv"
    status, out, _ = desk.kerb(capsys, "morning", "--out", str(path))
    assert status == 0 and out.startswith(f"1 rows in {path}")
    assert (
        path.read_text().splitlines()[1].startswith(f"{SITE},17,b17,bins due,2026-03-01T00:00:00Z,contractor,warning")
    )
    for scope, hint in (("node:99", "not known here"), ("street:x", "is no scope"), ("feeder:F1", "not known here")):
        status, _, err = desk.kerb(capsys, "maintenance", "--scope", scope, "--for", "2h", *words)
        assert status == 1 and hint in err, scope
    status, _, err = desk.kerb(capsys, "maintenance", "--scope", "node:17", *words)
    assert status == 1 and "--for 4h" in err


BAD: list[tuple[str, dict[str, Any]]] = [
    ("alarms", {"filter": {"colour": "red"}}),
    ("alarms", {"filter": []}),
    ("alarms", {"limit": 0}),
    ("alarms", {"limit": True}),
    ("acknowledge", {"alarms": [], "user": "x", "reason": "y"}),
    ("acknowledge", {"alarms": [5], "user": "x", "reason": "y"}),
    ("acknowledge", {"alarms": ["a"] * 1001, "user": "x", "reason": "y"}),
    ("acknowledge", {"alarms": ["a"], "user": "x\x1b[2J", "reason": "y"}),
    ("maintenance", {"scope": "site:harbour", "user": "x", "reason": "y", "until": "tomorrow"}),
    ("maintenance", {"scope": "site:harbour", "user": "x", "reason": "y", "for_s": 40 * 86_400}),
    ("maintenance", {"scope": "site:other", "user": "x", "reason": "y", "for_s": 60}),
    ("maintenance", {"scope": "node:²", "user": "x", "reason": "y", "for_s": 60}),
    ("maintenance", {"end": -1, "user": "x", "reason": "y"}),
    ("log", {"node": 0}),
]


def test_what_cannot_be_asked_is_refused_with_a_hint(desk: Desk) -> None:
    for op, fields in BAD:
        with pytest.raises(ControlError) as refused:
            desk.ask(op, **fields)
        assert refused.value.hint and "check the versions" not in refused.value.hint, (op, fields)


def test_a_nodes_log_can_be_read(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert "kerb send send_log" in desk.kerb(capsys, "log", "17")[1]
    frame = desk.node._seal(messages.encode(Log(3, 7, b"boot 3\nclock set\n", 7)), ())
    sent = [frame]
    desk.node.next_frame = lambda: sent.pop() if sent else None  # type: ignore[method-assign]
    assert desk.street.run(lambda: not sent)
    out = until(lambda: "clock set" in (said := desk.kerb(capsys, "log", "17")[1]) and said, "the log is kept")
    assert out == "boot 3\n  ... 7 lines were overwritten ...\n     7  boot 3\n     8  clock set\n"


def test_letters_reach_the_council_in_order_over_a_kill(tmp_path: Path, broker: Broker, council: Any) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    council._client.on_message = lambda client, userdata, message: heard.append(
        (message.topic, json.loads(message.payload))
    )
    made = Desk(tmp_path, broker)
    with closing_all(made.gateway, made.street):
        made.tell(FIRE, EMERGENCY, RAISED)
        made.gateway.kill()
        made.gateway.start()
        made.node.reset()
        ident = until(lambda: made.ask("alarms")["alarms"], "the alarm is there")[0]["id"]
        made.ask("acknowledge", alarms=[ident], user="j.smith", reason="on its way")
        made.tell(FIRE, EMERGENCY, CLEARED)

        def told() -> list[str]:
            seen: dict[str, str] = {}
            for topic, document in heard:
                if topic == f"kerbstone/1/{SITE}/alarm/node/17":
                    assert document["alarm"] == ident and document["kind"] == "fire"
                    seen.setdefault(document["id"], document["state"])
            return list(seen.values())

        until(lambda: told() == ["raised", "acknowledged"], "both letters came", DEADLINE_S)


def test_a_week_in_which_all_is_well_raises_nothing(tmp_path: Path) -> None:
    """Bins that report once a day, lamps each quarter by night and each hour by day, half of them switched."""
    rig = AlarmRig(tmp_path)
    bins = [rig.bin(100 + n, number=50 + n) for n in range(3)]
    permanent = [rig.lamp(800 + n, number=n, supply="permanent", feeder="F1") for n in range(2)]
    switched = [rig.lamp(900 + n, number=20 + n, supply="switched", feeder="F2") for n in range(3)]
    energy = 0
    for tick in range(7 * 96):
        at = START + tick * 900
        sun = elevation(at, 51.45, -2.59)
        energy += 5
        for number, node in enumerate(bins):
            if tick % 96 == 40 + number:
                fill = (tick // 96 * 14 + number) % 100
                for hour in range(24):
                    node.take_values(
                        at - (23 - hour) * 3600,
                        {FILL: fill, TEMPERATURE: 10, QUALITY: 0} | ({} if hour else {BATTERY: 361}),
                    )
                rig.exchange(node)
        for lamp in permanent:
            if sun < -1 or tick % 4 == 0:
                rig.report(lamp, (LIT if sun < -1 else DARK) | {ENERGY: energy})
        for lamp in switched:
            if sun < -1:
                rig.report(lamp, LIT | {ENERGY: energy, LEVEL: 60})
        rig.pass_time(900, 300)
        if tick % 200 == 150:
            rig.restart()
    assert rig.told() == []
    assert rig.query("SELECT count(*) FROM alarm WHERE state != 'pending'") == [(0,)]
    rig.close()
    rig.registry.close()


def test_the_gateway_sees_what_is_wrong_with_itself(tmp_path: Path) -> None:
    rig = AlarmRig(tmp_path)
    mono = [0.0]
    inlet, task = Counters(connected=True), TaskState()
    delivered = 0
    health = GatewayHealth(rig.store, rig.clock, audit.Key.open(tmp_path, create=True), lambda: mono[0])

    def look(seconds: float = 0.0, step_s: float | None = None) -> set[str]:
        mono[0] += seconds
        outlets = [OutletFacts("council", delivered, "refused")]
        facts = Facts({"serial": inlet}, outlets, {"outlet council": task}, step_s)
        with contextlib.closing(sqlite3.connect(rig.store.path)) as db:
            return {kind for kind, _ in health.look(db, facts)}

    assert look() == set()
    inlet.connected = False
    assert look() == {"inlet down"}
    inlet.connected = True
    rig.clock.is_synchronised = False
    assert look() == {"clock not trusted"}
    rig.clock.is_synchronised = True
    assert look(step_s=-86_400.0) == {"clock not trusted"}
    node = rig.bin(17)
    rig.report(node, {FILL: 3})
    assert look(899) == set() and look(900) == {"outlet behind"}
    delivered = 5
    assert look(10) == set()
    for frames in range(1, 101):
        inlet.frames, delivered = frames, delivered + 1
        assert look(60) == set()
    assert "inlet silent" not in look(3500) and "inlet silent" in look(200)
    inlet.frames, delivered, task.failures = 101, 500, 1
    assert look(1) == {"task failing"} and look(1) == set()
    rig.store.health.failing = "disk full"
    assert look() == {"store failing"} and health.deaf({("store failing", "gateway:store"): {}})
    rig.store.health.failing = None
    rig.change(lambda db, now_ms: audit.append(db, health._key, "note", {"a": 1}))
    inlet.frames, delivered = 102, 501
    assert look(86_400) == set()
    rig.change(lambda db, now_ms: db.execute("UPDATE audit SET entry='{}'"))
    inlet.frames, delivered = 103, 502
    assert look(86_400) == {"audit log changed"}
    rig.close()
    rig.registry.close()
