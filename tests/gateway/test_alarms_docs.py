"""ALARMS.md and COUNCIL.md say what the alarms do: state table, kinds, operations, letters and their schemas."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from alarms_harness import LIT, AlarmRig
from gateway_harness import ROOT, START

from kerbgate.alarms import grouping, hearing, kinds, listing, morning, rows, table, windows
from kerbgate.alarms.places import NEAR_M
from kerbwire.channels import FAULTS, POWER
from kerbwire.events import RAISED, SEVERITIES, SUPPLY_LOW, WARNING

TEXT = (ROOT / "gateway" / "ALARMS.md").read_text()
COUNCIL = (ROOT / "gateway" / "COUNCIL.md").read_text()


def schema(name: str) -> Any:
    return json.loads(resources.files("kerbgate").joinpath(f"schemas/{name}-1.json").read_text("utf-8"))


def table_of(head: str) -> list[list[str]]:
    block = TEXT.split(f"| {head} |", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]


def test_the_state_table_is_the_programs() -> None:
    head = re.search(r"^\| state \| (.+) \|$", TEXT, re.M)
    assert head is not None and tuple(head[1].split(" | ")) == table.EVENTS
    said: dict[tuple[str, str], tuple[str, int]] = {}
    for state, *cells in table_of("state"):
        for event, cell in zip(table.EVENTS, cells, strict=True):
            if cell:
                tell = table.TOLD if cell.startswith("**") else table.IF_TOLD if cell.startswith("*") else table.NOT
                said[state, event] = (cell.strip("*"), tell)
    assert said == {key: tuple(step) for key, step in table.TRANSITIONS.items()}


def test_the_table_of_kinds_is_the_programs() -> None:
    assert [tuple(row) for row in table_of("kind")] == [
        (kind.name, SEVERITIES[kind.severity], kind.route, str(kind.raise_s), str(kind.clear_s), kind.listed)
        for kind in kinds.KINDS.values()
    ]


def test_the_numbers_of_the_page_are_the_programs() -> None:
    from kerbgate.alarms import book, causes, watch

    assert (hearing.FLOOR_S, hearing.UNKNOWN_S) == (
        {"lamp": 45 * 60, "bin": 26 * 3600}, {"lamp": 2 * 3600, "bin": 50 * 3600},
    )  # fmt: skip
    assert (hearing.TIMES, hearing.GAPS, watch.DARK_DEG, watch.DEAF_S) == (3, 4, -4, 86_400)
    assert (grouping.TOGETHER_S, grouping.MIN_FEEDER, grouping.MIN_PLACE) == (20 * 60, 3, 4)
    assert (grouping.MIN_GROUP, grouping.MIN_SITE, NEAR_M) == (4, 10, 150)
    assert (book.MAX_OPEN, windows.MAX_WINDOWS, rows.MAX_PAST, rows.KEPT_MS) == (20_000, 500, 100_000, 400 * 86_400_000)
    assert (book.RETELL_S, book.RETELL_GROWTH, windows.MAX_S) == (900, 1.5, 31 * 86_400)
    assert causes.DOUBTS == 24
    assert (causes.SUN_UP_DEG, causes.LIT_POWER, causes.BATTERY_STEP, rows.MAX_MEMBERS) == (3, 50, 5, 500)
    assert {word for row in table_of("column") for word in re.findall(r"`(\w+)`", row[0])} == set(morning.COLUMNS)
    assert set(re.search(r"`filter` \((.+?)\)", TEXT)[1].split(", ")) == set(listing.FILTERS)  # type: ignore[index]


def examples(folder: Path) -> dict[str, dict[str, Any]]:
    """A lamp fails, is taken and mended in maintenance; four lamps of a feeder lose their supply."""
    rig = AlarmRig(folder)
    rig.clock.now = START + 19 * 3600
    lamp = rig.lamp(802, number=0, asset="c802", street="River Street", groups=("river-street",), feeder="F1")
    rig.report(lamp, LIT | {POWER: 8, FAULTS: 1})
    rig.pass_time(900)
    rig.acknowledge(rig.alarms()[0]["id"])
    rig.maintain("node:802", 3600)
    cut = [rig.lamp(811 + n, number=100 + n, feeder="F3") for n in range(3)]
    for other in cut:
        rig.event(other, SUPPLY_LOW, WARNING, RAISED)
    rig.pass_time(3600)
    found = [letter.body for letter in rig.waiting()]
    rig.close()
    rig.registry.close()
    by: dict[str, dict[str, Any]] = {}
    for body in found:
        by.setdefault(f"{body.get('kind', 'maintenance')} {body['state']}", body)
    return {
        "An alarm": by["lamp failure acknowledged"],
        "A power cut": by["power cut raised"],
        "A maintenance that has ended": by["maintenance ended"],
    }


@pytest.mark.parametrize("name", ["An alarm", "A power cut", "A maintenance that has ended"])
def test_the_examples_of_council_md_are_what_the_gateway_writes(tmp_path: Path, name: str) -> None:
    block = re.search(rf"^### {name}$.*?```json\n(.*?)```", COUNCIL, re.DOTALL | re.MULTILINE)
    assert block is not None, f"COUNCIL.md has no example {name!r}"
    document = json.loads(block[1])
    jsonschema.Draft202012Validator(schema(document["schema"].split("/")[1])).validate(document)
    assert document == examples(tmp_path)[name]


def test_each_letter_fits_its_schema_and_the_schemas_know_each_word(tmp_path: Path) -> None:
    rig = AlarmRig(tmp_path)
    lamps = [rig.lamp(811 + n, number=n, feeder="F3") for n in range(3)]
    rig.clock.now = START + 12 * 3600
    for lamp in lamps:
        rig.report(lamp, LIT | {FAULTS: 0x0FFF})
        rig.event(lamp, 61, WARNING, RAISED)
    rig.maintain("node:811", 900)
    rig.watch.health({(kinds.INLET_DOWN, "inlet:serial:/dev/x"): {"cause": "x"}}, deaf=False)
    rig.pass_time(7200, 60)
    for lamp in lamps:
        rig.report(lamp, LIT | {FAULTS: 0})
    rig.pass_time(90_000, 600)
    validators = {name: jsonschema.Draft202012Validator(schema(name)) for name in ("alarm", "maintenance")}
    letters = rig.waiting()
    for letter in letters:
        validators[letter.body["schema"].split("/")[1]].validate(letter.body)
        assert re.fullmatch(r"[a-z]+/[\w.-]+", letter.topic), letter.topic
    assert len(letters) > 50
    known = schema("alarm")["properties"]
    assert set(known["route"]["enum"]) == set(kinds.ROUTES) and set(known["severity"]["enum"]) == set(SEVERITIES)
    told = {step.state for step in table.TRANSITIONS.values() if step.tell != table.NOT}
    assert set(known["state"]["enum"]) == told
    rig.close()
    rig.registry.close()
