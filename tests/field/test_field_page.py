"""The page for the field: each command in it is run, on a street that has what the page speaks of."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field_harness import World, until
from gateway_harness import add_node
from terminal_harness import Terminal

from kerbgate import asking
from kerbtools.cli import VERBS
from kerbtools.cli import main as kerb
from kerbtools.field import capture, doctor, tail
from kerbtools.field.checks import CHECKS
from kerbwire import events

PAGE = Path(__file__).parents[2] / "gateway/FIELD.md"
COMMANDS = [
    command
    for row in PAGE.read_text().splitlines()
    if row.startswith("| ") and not row.startswith(("| you see", "| ---"))
    for command in re.findall(r"`(kerb [^`]+)`", row.split(" | ")[1])
]
# Statuses of a command that did what it should: a doctor may find something, a bin answers later, 0001 is no frame.
GOOD = {"doctor": (0, 1, 2), "ping": (0, 4)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("page"), bins=(1, 17), lamps=(801, 804, 805))
    made.start()
    made.tell(1, events.TILTED, events.WARNING)
    until(lambda: asking.ask(made.gateway.state, "alarms")["alarms"], "an alarm is open")
    yield made
    made.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_page_runs(
    world: World, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.folder)  # where gateway.toml is: the page names no configuration

    def once(seconds: float) -> None:
        raise KeyboardInterrupt

    words = shlex.split(command)[1:]
    if "--watch" in words or "-f" in words:  # what goes on until Ctrl-C
        monkeypatch.setattr({"doctor": doctor, "tail": tail}[words[0]].time, "sleep", once)
    if "ID" in words:
        ident: str = asking.ask(world.gateway.state, "alarms")["alarms"][0]["id"]
        words = [ident if word == "ID" else word for word in words]
    if words[0] == "ping":
        words += ["--wait", "0s"]
    if words[0] in ("capture", "support"):  # a moment will do
        words[words.index("1min") if "1min" in words else len(words) :] = (
            ["1s"] if "1min" in words else ["--capture", "0s"]
        )
    if words[:2] == ["decode", "street.kcap"]:
        record(world)
    if words[0] == "top":
        live(world, words)
        return
    status = kerb(words)
    said = capsys.readouterr()
    endless = "--watch" in words or "-f" in words
    assert status == 130 if endless else status in GOOD.get(words[0], (0,)), (status, said.out[-300:], said.err)
    assert "Traceback" not in said.err and (said.out or endless)


def live(world: World, words: list[str]) -> None:
    """What goes on until q, and wants a terminal."""
    terminal = Terminal(words, (80, 24), world.folder)
    try:
        terminal.until("bin-17", "tilted")
        terminal.press("q")
        assert terminal.ended() == 0
    finally:
        terminal.close()


def record(world: World) -> None:
    """A capture that has a frame, whatever was said in the moment of the command before."""
    files = capture.Files(world.folder / "spoken.kcap", 10_000, 1)
    files.begin("", None)
    files.put(0, 0, 0, world.nodes[1]._hello())
    files.close()
    (world.folder / "spoken.kcap").replace(world.folder / "street.kcap")


def test_the_page_fits_on_a_sheet_and_names_only_what_there_is() -> None:
    text = PAGE.read_text()
    assert len(COMMANDS) >= 25 and len(text.splitlines()) < 60
    assert {shlex.split(command)[1] for command in COMMANDS} <= set(VERBS)
    named = {name for part in re.findall(r"--only ([a-z,]+)", text) for name in part.split(",")}
    assert named <= {row.name for row in CHECKS}


def test_the_table_of_checks_is_the_one_in_the_notes() -> None:
    text = (PAGE.parents[1] / "tools/kerbtools/field/DOCTOR.md").read_text()
    section = text.partition("\n## Checks\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z]+)` \| ([^|]+) \|", section, re.MULTILINE)
    assert rows == [(row.name, row.about) for row in CHECKS]


def test_what_is_asked_of_the_socket_is_in_the_notes(world: World) -> None:
    text = (PAGE.parents[1] / "tools/kerbtools/field/DOCTOR.md").read_text()
    with world.registry() as registry:
        add_node(registry, 4000)
    for op, fields in re.findall(r"^\| `([a-z]+)` \| (\{[^}]*\}|) ?\|", text, re.MULTILINE):
        given: dict[str, Any] = eval(fields) if fields else {}  # of our own notes
        assert asking.ask(world.gateway.state, op, **given)["ok"], op
    assert os.access(PAGE, os.R_OK)
