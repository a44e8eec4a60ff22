"""The verbs on a running street: lists that are filtered and sorted, a tail that follows, a ping there and back."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from field_harness import BINS, LAMPS, Node, World, until
from gateway_harness import ENVIRONMENT, SITE, add_node

from kerbgate import asking
from kerbgate.errors import ControlError
from kerbgate.field import records
from kerbgate.field.sight import Sight
from kerbtools.cli import main as kerb
from kerbtools.field import screen
from kerbtools.field.checks import nodes as node_checks
from kerbtools.field.screen import Screen
from kerbwire import channels, events
from kerbwire.channels import CAUSE, FILL, LEVEL
from kerbwire.controls import APPLIED, SAMPLE, Command, Config


class Lamp(Node):
    """A lamp that listens, and takes a record when it is asked to."""

    def act(self, command: Command | Config) -> tuple[int, int | None]:
        if isinstance(command, Command) and command.operation == SAMPLE:
            return APPLIED, None
        return super().act(command)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("verbs"))
    lamp = made.nodes[801]
    lamp.__class__ = Lamp
    with made.registry() as registry:
        add_node(registry, 77)  # never heard
        add_node(registry, 78)
        registry.mark(78, "quarantine")
    made.start()
    made.tell(802, events.LAMP_FAILURE, events.CRITICAL)
    made.tell(1, events.TILTED, events.WARNING)
    until(lambda: row(made, 1)["alarms"], "the alarm is told")
    yield made
    made.close()


def row(world: World, node: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = asking.ask(world.gateway.state, "nodes")["nodes"]
    return next(row for row in found if row["node"] == node)


def listed(world: World, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert kerb(["nodes", "--config", str(world.config), "--json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_nodes_are_filtered_and_sorted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def nodes(*words: str) -> list[int]:
        return [found["node"] for found in listed(world, capsys, *words)]

    assert nodes("--role", "bin") == [*BINS, 77, 78]
    assert nodes("--role", "lamp", "--reverse") == list(reversed(LAMPS))
    assert nodes("--state", "new") == [77] and nodes("--state", "quarantined") == [78]
    assert 1 in nodes("--state", "alarm") and nodes("--site", "elsewhere") == []
    assert nodes("--place", "F2") == [804, 805, 806] and nodes("--place", "BIN-3") == [3]
    assert nodes("--age", "30d") == [77, 78]  # never heard is not heard for so long
    assert nodes("--sort", "state")[0] == 1
    assert nodes("--limit", "2") == [1, 2]
    assert nodes("--sort", "place", "--role", "lamp") == list(LAMPS)
    assert kerb(["nodes", "--config", str(world.config), "--state", "happy"]) == 1
    assert "use one of silent, alarm" in capsys.readouterr().err


def test_a_table_fits_its_screen_and_has_no_colours_when_piped(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in ("60", "200"):
        monkeypatch.setenv("COLUMNS", width)
        assert kerb(["nodes", "--config", str(world.config)]) == 0
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines()[:-1])) <= int(width) and "\x1b" not in said
    assert "tilted" in said and "bin-1" in said and "12 of 12 nodes" in said.splitlines()[-1]
    monkeypatch.setattr(screen.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Screen().colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Screen().colour


def test_the_story_of_a_node_is_whole(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.say(2, count=30)
    assert kerb(["show", "2", "--config", str(world.config)]) == 0
    said = capsys.readouterr().out
    for words in ("a bin of site harbour", "bin-2", "reset by power on", "1.4.0", "frames arrived", "0 missing",
                  "fill_percent", "battery    3.60 V", "week", "nothing is wrong"):  # fmt: skip
        assert words in said, (words, said)
    assert kerb(["show", "1", "--config", str(world.config), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["open"][0]["kind"] == "tilted" and found["findings"][0]["evidence"].startswith("tilted: node 1")
    assert found["life"] == world.nodes[1].life.hex() and len(found["week"]["hours"]) == 168
    assert kerb(["show", "4242", "--config", str(world.config)]) == 1
    assert "list them: kerb nodes" in capsys.readouterr().err


def test_a_tail_follows_and_shows_no_trace_of_movement(world: World) -> None:
    following = subprocess.Popen(
        [sys.executable, "-m", "kerbtools", "tail", "-f", "-n", "0", "--json", "--config", str(world.config)],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        assert following.stdout is not None
        lines: list[dict[str, Any]] = []

        def read() -> None:
            assert following.stdout is not None
            for line in following.stdout:
                lines.append(json.loads(line))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        # It begins at some moment: what is said until it does is not its business.
        until(lambda: (world.say(3), time.sleep(0.2), lines)[2], "it follows")
        world.say(801, values={LEVEL: 100, CAUSE: channels.BY_PRESENCE}, count=1)
        world.tell(4, events.FIRE, events.EMERGENCY, {channels.TEMPERATURE: 180})
        until(lambda: any("event" in line for line in lines), "the event comes")
        changes = [line for line in lines if "level_changes" in line]
        assert changes and changes[0]["time_s"] % 900 == 0 and "index" not in changes[0]
        assert changes[0]["received_ms"] % 900_000 == 0  # a lamp tells of a change soon after it
        (fire,) = [line for line in lines if "event" in line]
        assert (fire["node"], fire["event"], fire["severity"]) == (4, "fire", "emergency")
        assert {line["node"] for line in lines if "values" in line and "event" not in line} == {3}
    finally:
        following.kill()
        following.wait()
        reader.join(5)
        assert following.stdout is not None
        following.stdout.close()


def test_a_tail_of_one_node(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    world.say(2, values={FILL: channels.NO_ECHO})
    world.say(3)
    assert kerb(["tail", "--node", "2", "-n", "1", "--config", str(world.config)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "node 2" in line and "fill_percent no echo" in line
    with pytest.raises(ControlError):
        asking.ask(world.gateway.state, "tail", limit=records.MAX_ROWS + 1)
    assert asking.ask(world.gateway.state, "tail", after=0, limit=0)["after"] == 0
    first = asking.ask(world.gateway.state, "tail", after=0, limit=1)
    assert asking.ask(world.gateway.state, "tail", after=first["after"], limit=1)["rows"] != first["rows"]
    with contextlib.closing(Sight(world.gateway.state / "store.sqlite", world.registry_path)) as sight:
        newest = asking.ask(world.gateway.state, "tail")["after"]
        whole = records.tail(sight, {"after": 0, "limit": 50})["rows"]
        monkeypatch.setattr(records, "MAX_RECORDS", 2)  # an answer that is full goes on with the next one
        parts: list[dict[str, Any]] = []
        after = 0
        while after < newest and len(parts) < len(whole):
            more = records.tail(sight, {"after": after, "limit": 50})
            assert more["after"] > after
            parts, after = parts + more["rows"], more["after"]
    assert parts[: len(whole)] == whole and len(whole) > 2


@contextlib.contextmanager
def listening(world: World) -> Iterator[None]:
    """The street speaks and listens meanwhile."""
    over = threading.Event()
    street = threading.Thread(target=lambda: world.street.run(over.is_set, 60))
    street.start()
    try:
        yield
    finally:
        over.set()
        street.join(10)


def test_a_ping_to_a_lamp_and_to_a_bin(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(world.config)]
    with listening(world):
        assert kerb(["ping", "801", *config, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["answered"] and found["state"] == "applied" and 0 < found["took_s"] < 10 and found["arrived"]
    assert kerb(["ping", "2", *config, "--wait", "1s"]) == 4
    said = capsys.readouterr().out
    assert "node 2 sleeps" in said and "its next report" in said
    world.say(2)  # with the ack of this report it gets the ping, and answers
    with listening(world):
        assert kerb(["ping", "2", *config, "--wait", "60s"]) == 0, "the same ping is waited for"
    assert "node 2 answered" in capsys.readouterr().out
    assert kerb(["ping", "78", *config]) == 1
    assert "is quarantined" in capsys.readouterr().err
    assert kerb(["ping", "77", *config]) == 1
    assert "was never heard" in capsys.readouterr().err


def test_questions_that_are_none_are_refused(world: World) -> None:
    for op, wrong in (
        ("nodes", {"sort": "beauty"}), ("nodes", {"limit": -1}), ("nodes", {"role": 7}), ("story", {"node": "17"}),
        ("story", {"node": 70_000}), ("tail", {"after": "x"}), ("ping", {"node": 1, "wait_s": 1e9}), ("ping", {}),
    ):  # fmt: skip
        with pytest.raises(ControlError) as refused:
            asking.ask(world.gateway.state, op, **wrong)
        assert refused.value.hint, op


def test_each_kind_of_alarm_has_a_cause_and_a_step() -> None:
    from kerbgate.alarms.kinds import KINDS

    elsewhere = node_checks.ELSEWHERE | node_checks.OF_SUPPLY
    assert set(KINDS) <= set(node_checks.ALARMS) | elsewhere
    assert set(node_checks.ALARMS) <= set(KINDS)
    assert all(causes and steps for causes, steps in node_checks.ALARMS.values())


def test_the_first_line_of_a_verb_does_not_wait_for_what_it_does_not_need(world: World) -> None:
    """Loading the whole gateway takes half a second on a small board: what asks a running one loads little of it."""
    code = (
        "import sys; from kerbtools.cli import main; status = main(sys.argv[1:])\n"
        "heavy = {'asyncio', 'cryptography', 'kerbgate.store', 'kerbgate.registry', 'kerbgate.mqtt', 'rich', 'textual'} & set(sys.modules)\n"
        "assert status == 0 and not heavy, heavy"
    )
    for verb in (["nodes"], ["tail", "-n", "1"], ["queue"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *verb, "--config", str(world.config)], env=ENVIRONMENT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (verb, done.stderr)
    assert os.path.exists(world.gateway.state / "control.sock") and SITE == "harbour"
