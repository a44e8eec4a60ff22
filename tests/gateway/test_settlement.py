"""Level changes tell who passed a lamp: they go, to the second, to the outlet that settles the bill and to no other."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from forward_harness import Running, waiting
from gateway_harness import DEADLINE_S, SITE, START, Broker, Council, Rig, add_node, secret_of, until

from kerbgate import config, shape
from kerbgate.config import OutletSettings
from kerbgate.errors import ConfigError
from kerbtools.simulate import SimulatedNode
from kerbwire import channels
from kerbwire.channels import CAUSE, LEVEL, PRESENCE

PASSAGES = (62, 75, 641, 1100, 3000)  # seconds after START at which someone passed


def lamp_with_passages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with two quarter hours of a lamp and a report of level changes; its life."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    rig = Rig(state, outlets=("council", "bill", "moved"))
    add_node(rig.registry, 802, role="lamp")
    node = SimulatedNode(802, secret_of(802), seed=802, role=channels.LAMP, batch=8)
    rig.confirm(node)
    monkeypatch.setattr(node, "_values", lambda: {LEVEL: 30, PRESENCE: 4})
    node.take(2, START - 1800, 900)
    rig.exchange(node)
    levels = iter((80, 30, 80, 30, 80))
    monkeypatch.setattr(node, "_values", lambda: {LEVEL: next(levels), CAUSE: 1})
    for at_s in PASSAGES:
        node.take(1, START + at_s)
    rig.exchange(node)
    rig.close()
    rig.registry.close()
    return node.life.hex()


def test_other_outlets_get_counts_only(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    life = lamp_with_passages(tmp_path, monkeypatch)
    url = f"mqtt://127.0.0.1:{broker.port}"
    outlets = (
        OutletSettings("council", url, alarms=False),
        OutletSettings("bill", url, prefix="bill/1", settlement=True, alarms=False),
        OutletSettings("moved", url, prefix="moved/1", send="change", batch=10, batch_ms=10, alarms=False),
    )
    council = Council(broker.port)
    seen: list[tuple[str, bytes]] = []
    council._client.on_message = lambda client, userdata, message: seen.append((message.topic, message.payload))
    assert council.subscribed.wait(DEADLINE_S)
    council.subscribed.clear()
    council._client.subscribe("#", qos=1)
    assert council.subscribed.wait(DEADLINE_S)
    running = Running(tmp_path, broker.port, outlets=outlets)
    try:
        until(lambda: waiting(running) == 0, "the outbox is empty")
        until(lambda: len(seen) >= 5, "the council has them all")
        assert running.pump_of("council").tally.withheld == running.pump_of("moved").tally.withheld == 5
        assert running.pump_of("bill").tally.withheld == 0
    finally:
        running.close()
        council.close()

    bill = [json.loads(payload) for topic, payload in seen if topic.startswith("bill/1/")]
    changes = [record for document in bill for record in document["records"] if "cause" in record]
    assert [record["time"] for record in changes] == [_utc(START + at_s) for at_s in PASSAGES]
    others = [(topic, payload) for topic, payload in seen if not topic.startswith("bill/1/")]
    assert {topic.split("/")[0] for topic, _ in others} == {"kerbstone", "moved"}
    validator = jsonschema.Draft202012Validator(shape.schema())
    for prefix in ("kerbstone", "moved"):
        text = b" ".join(payload for topic, payload in others if topic.startswith(prefix)).decode()
        assert '"cause"' not in text and '"presence"' not in text
        assert not any(_utc(START + at_s) in text for at_s in PASSAGES)
        minutes = {
            match[14:16] for match in re.findall(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", text) if match >= _utc(START)
        }
        assert minutes <= {"00", "15", "30", "45"}, "no time is finer than a quarter hour"
        documents = [document for payload in _of(others, prefix) for document in _documents(payload)]
        for document in documents:
            validator.validate(document)
        counts = [item for document in documents for item in document.get("level_changes", ())]
        assert counts == [
            {"from": _utc(START), "count": 3},
            {"from": _utc(START + 900), "count": 1},
            {"from": _utc(START + 2700), "count": 1},
        ]
        ids = [document["id"] for document in documents if "level_changes" in document]
        assert ids == [f"{SITE}/802/{life}/2-6"]


def _of(messages: list[tuple[str, bytes]], prefix: str) -> list[bytes]:
    return [payload for topic, payload in messages if topic.startswith(prefix)]


def _documents(payload: bytes) -> list[dict[str, Any]]:
    found = json.loads(payload)
    return found.get("documents", [found])


def _utc(at_s: int) -> str:
    return shape._utc(at_s)


@pytest.mark.parametrize("prefix", ["kerbstone/1", "kerbstone", "kerbstone/1/bill"])
def test_the_settlement_outlet_has_topics_of_its_own(tmp_path: Path, prefix: str) -> None:
    text = (
        '[gateway]\nsite = "s"\n[[outlet]]\nname = "council"\nurl = "mqtt://h"\n'
        f'[[outlet]]\nname = "bill"\nurl = "mqtt://h"\nsettlement = true\nprefix = "{prefix}"\n'
    )
    with pytest.raises(ConfigError, match="bill would publish level changes where council publishes"):
        config.parse(tmp_path / "c.toml", text.encode())
    for other in ("mqtt://h:1883", "mqtt://H/", "mqtt://h:1883/"):  # the same broker, written otherwise
        with pytest.raises(ConfigError, match="bill would publish"):
            config.parse(tmp_path / "c.toml", text.replace("mqtt://h", other, 1).encode())
    good = config.parse(tmp_path / "c.toml", text.replace(prefix, "bill/1").encode())
    assert [outlet.settlement for outlet in good.outlets] == [False, True]
    with pytest.raises(ConfigError, match="takes roll-ups only"):
        config.parse(
            tmp_path / "c.toml", text.replace(prefix, "bill/1").encode() + b'send = "rollup"\nlevels = "day"\n'
        )
