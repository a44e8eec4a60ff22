"""Each law of PROTOCOL.md has tests that carry its number, where the code that keeps it lives."""

import ast
import re
from pathlib import Path

from kerbwire import commands, controls, flights, gateway_end, group, node_end, session, waves

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "protocol" / "PROTOCOL.md").read_text()

# Law -> the test folders that hold its tests: both ends where both keep it.
WHERE = {
    1: {"firmware"},
    2: {"firmware", "gateway"},
    3: {"protocol", "firmware", "gateway"},
    4: {"protocol", "gateway"},
    5: {"protocol", "firmware", "gateway"},
    6: {"protocol"},
    7: {"protocol"},
    8: {"protocol"},
    9: {"firmware", "gateway"},
    10: {"protocol", "firmware", "gateway"},
}


def numbered() -> dict[int, set[str]]:
    """Law -> folders of the test functions that name it, as test_law_7_and_10_... names both."""
    found: dict[int, set[str]] = {}
    for path in [*TESTS.rglob("case_*.py"), *TESTS.rglob("test_*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.name if isinstance(node, ast.FunctionDef) else ""
            match = re.match(r"test_law_(\d+)(?:_and_(\d+))?_", name)
            for law in match.groups() if match else ():
                if law:
                    found.setdefault(int(law), set()).add(path.parent.name)
    return found


def test_every_law_has_tests_with_its_number() -> None:
    found = numbered()
    assert sorted(found) == sorted(WHERE)
    for law, folders in WHERE.items():
        assert folders <= found[law], law


def test_every_law_stands_in_the_document() -> None:
    laws = TEXT.split("\n## Laws\n")[1].split("\n## ")[0]
    assert [int(law) for law in re.findall(r"^\*\*(\d+)\. ", laws, re.MULTILINE)] == sorted(WHERE)


def node_table() -> list[str]:
    """The table of the node's end as PROTOCOL.md prints it: a row an event, a column a state."""
    events = [
        "hello due", "report due", "ack of what is out", "late ack", "challenge", "duplicate", "no answer, tries left",
        "no answer, no try left", "day's numbers spent", "refused eight times", "does not fit a frame", "backoff over",
        "late acks settled all",
    ]  # fmt: skip
    states = ["fresh", "hello", "silent", "rest", "report", "backoff"]
    actions = ["", "send hello", "send report", "confirm", "settle", "back off", "set aside", "give up", "stop"]
    rows = ["| event | " + " | ".join(states) + " |"]
    for event, name in enumerate(events):
        cells: list[str] = []
        for state, own in enumerate(states):
            row = session.TABLE.get(state << 4 | event)
            words = (
                [] if row is None else [actions[row & 15], "" if states[row >> 4] == own else f"**{states[row >> 4]}**"]
            )
            cells.append("" if row is None else ", ".join(word for word in words if word) or "nothing")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


def gateway_table() -> list[str]:
    """The same of the gateway's end."""
    states = ["strange", "asked", "open", "closed"]
    rows = ["| event | " + " | ".join(states) + " |"]
    for event in dict.fromkeys(event for _, event in gateway_end.TABLE):
        cells: list[str] = []
        for state in states:
            after, verdict = gateway_end.TABLE.get((state, event), (state, ""))
            words = [
                verdict if verdict != "nothing" or after == state else "",
                "" if after == state else f"**{after}**",
            ]
            cells.append(", ".join(word for word in words if word))
        rows.append(f"| {event} | " + " | ".join(cells) + " |")
    return rows


def test_both_tables_stand_in_the_document() -> None:
    for row in node_table() + gateway_table():
        assert row in TEXT, row


def test_the_caps_of_the_laws_stand_in_the_document() -> None:
    for said in (
        f"after {flights.MAX_REFUSALS} refusals",
        f"the last {commands.KEEP} ids",
        f"above {group.MAX_JUMP:,}",
        f"{group.MAX_UNPROVEN} such messages",
        f"{group.MAX_SENDERS} senders",
        f"after {node_end.MAX_BAD_FRAMES} bad frames",
        f"{group.MAX_RAISE_S // 3600} hours",
    ):
        assert said in TEXT, said
    assert group.MAX_RAISE_S == waves.MAX_BRIGHTEN_S >= waves.MAX_LIFETIME_S
    assert (commands.EXPIRED, commands.INTERRUPTED) == (controls.EXPIRED, controls.INTERRUPTED)
    assert (commands.EMERGENCY, commands.OPERATOR, commands.SCHEDULE) == (
        controls.EMERGENCY, controls.OPERATOR, controls.SCHEDULE,
    )  # fmt: skip
