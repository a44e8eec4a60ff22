"""COMMISSIONING.md says what the code does: states, events, columns and fields."""

import re
from pathlib import Path

from kerbgate.registry import HEARD, KEYED, STATES, TRANSITIONS
from kerbgate.registry.states import PLACED
from kerbtools.cli import VERBS
from kerbtools.provision import inventory_cli, registry_cli
from kerbtools.provision.order import ASSET_COLUMNS, NODE_COLUMNS

TEXT = (Path(registry_cli.__file__).parent / "COMMISSIONING.md").read_text()


def rows(columns: int, heading: str) -> list[list[str]]:
    part = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")
    ]
    return [row for row in found if len(row) == columns and not set(row[0]) <= set("- ")]


def test_every_state_and_what_it_means() -> None:
    told = {row[0]: row[2:] for row in rows(5, "States") if row[0] != "state"}
    assert set(told) == set(STATES)
    for state, (heard, secret, asset) in told.items():
        assert (heard == "yes", secret == "yes", asset != "no") == (state in HEARD, state in KEYED, state in PLACED), (
            state
        )


def test_every_event_from_every_state() -> None:
    told = {
        (state, event): row[2]
        for row in rows(4, "States")
        if row[0] != "event"
        for event in row[0].split(", ")
        for state in row[1].split(", ")
    }
    assert told.keys() == TRANSITIONS.keys()
    for name, state in told.items():
        assert state.endswith(TRANSITIONS[name]), name


def test_every_column_and_every_verb_is_named() -> None:
    words = set(re.findall(r"[a-z_]+", TEXT.split("Columns are the options by name:")[1].split(";")[0]))
    assert words == set(ASSET_COLUMNS + NODE_COLUMNS)
    for verb in re.findall(r"`?kerb ([a-z]+)(?: ([a-z-]+))?", TEXT):
        assert verb[0] in VERBS, verb
        group = {"registry": registry_cli.VERBS, "inventory": inventory_cli.VERBS}.get(verb[0])
        assert group is None or verb[1] in group, verb
