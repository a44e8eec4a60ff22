"""Documents from strangers: each is a request by the schema, or refused with one reason; and COMMANDS.md says so."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from commands_harness import GROUPS, document
from gateway_harness import ROOT, SITE, START
from hypothesis import given, settings
from hypothesis import strategies as st

from kerbgate.commands import reasons, request, table
from kerbgate.commands.groups import Groups
from kerbgate.commands.operations import NO_ISOLATION, OPERATIONS, PRIORITY_NAMES
from kerbgate.commands.reasons import Refusal
from kerbgate.errors import ConfigError
from kerbwire import controls
from kerbwire.waves import MAX_BRIGHTEN_S

TEXT = (ROOT / "gateway" / "COMMANDS.md").read_text()
SCHEMA: dict[str, Any] = json.loads(
    resources.files("kerbgate").joinpath("schemas/commands-1.json").read_text("utf-8")
)  # fmt: skip
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def checked(given: dict[str, Any], role: str = "emergency") -> "request.Request | request.Cancel":
    return request.check(request.read(json.dumps(given).encode()), role, START)


def reason(given: "dict[str, Any] | bytes", role: str = "emergency") -> str:
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    with pytest.raises(Refusal) as caught:
        request.check(request.read(data), role, START)
    assert len(str(caught.value)) < 300 and str(caught.value).isprintable()
    return caught.value.reason


def test_each_operation_of_the_table_is_read_as_the_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name, row in OPERATIONS.items():
        asked = document("a", name, **({"settings": {"3": 4}} if row.settings else {}))
        VALIDATOR.validate(asked)
        found = checked(asked)
        assert isinstance(found, request.Request) and found.operation is row
        if row.code is not None and not row.grouped:
            count = len(row.arguments) + row.timed
            assert count == len(controls.OPERATIONS[row.code])
            for argument, (low, high) in zip(row.arguments, controls.OPERATIONS[row.code], strict=False):
                assert low <= argument.low and argument.high <= high
    assert OPERATIONS["brighten"].arguments[-1].high == MAX_BRIGHTEN_S
    assert OPERATIONS["dim"].notice == NO_ISOLATION


REFUSED: list[tuple[str, Any]] = [
    ("not a document", b"{"), ("not a document", b"[]"), ("not a document", b"\xff"), ("not a document", b"7"),
    ("not a document", b'{"id": 1, "id": 2}'), ("not a document", b'{"id": NaN}'), ("not a document", b"[" * 9000),
    ("not a document", b'{"id": ' + b"9" * 9000 + b"}"), ("too large", b" " * (request.MAX_DOCUMENT + 1)),
    ("unknown schema", document("a", schema="kerbstone/command/2")), ("unknown schema", {}),
    ("unknown field", document("a", force=True)), ("unknown field", document("a", "sample", until=START + 5)),
    ("unknown field", document("a", "sample", settings={"1": 2})), ("unknown field", document("a", cancels="b")),
    ("bad id", document("A")), ("bad id", document("a/b")), ("bad id", document("")), ("bad id", document("a" * 65)),
    ("bad id", document("+")), ("bad id", document("a", id=7)),
    ("unknown operation", document("a", "explode")), ("unknown operation", document("a", operation=["dim"])),
    ("bad argument", document("a", arguments={})), ("bad argument", document("a", arguments={"level_percent": 101})),
    ("bad argument", document("a", arguments={"level_percent": True})), ("bad argument", document("a", arguments=[])),
    ("bad argument", document("a", arguments={"level_percent": 40.0})),
    ("bad argument", document("a", arguments={"level_percent": 40, "x": 1})),
    ("bad argument", document("a", note="x" * 201)), ("bad argument", document("a", dry_run=1)),
    ("bad argument", document("a", priority="royal")), ("bad argument", document("a", "configure", settings={})),
    ("bad argument", document("a", "configure", settings={"01": 1})),
    ("bad argument", document("a", "configure", settings={"1": 1 << 31})),
    ("bad argument", document("a", "configure", settings={str(n): 1 for n in range(17)})),
    ("bad argument", document("a", "brighten", arguments={"for_s": MAX_BRIGHTEN_S + 1})),
    ("bad time", document("a", until="tomorrow")), ("bad time", document("a", until="2026-02-30T00:00:00Z")),
    ("bad time", document("a", "sample", expires=START + 5, not_before=START + 5)), ("bad time", document("a", until=[])),
    ("no expiry", document("a", "sample", expires=None) | {"expires": "x"} and {
        "schema": "kerbstone/command/1", "id": "a", "operation": "sample", "target": {"node": 1}}),
    ("expired", document("a", until=START)), ("expired", document("a", "sample", expires=START - 5)),
    ("too far ahead", document("a", until=START + 7 * 86400 + 1)),
    ("bad target", document("a", target={})), ("bad target", document("a", target={"node": 0})),
    ("bad target", document("a", target={"node": 801, "group": "quay"})), ("bad target", document("a", target=[1])),
    ("bad target", document("a", target={"nodes": []})), ("bad target", document("a", target={"nodes": [True]})),
    ("bad target", document("a", target={"nodes": list(range(1, 300))})),
    ("bad target", document("a", target={"group": "../x"})), ("bad target", document("a", target={"planet": "earth"})),
    ("nothing to cancel", {"schema": "kerbstone/command/1", "id": "a", "operation": "cancel"}),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "given"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_understood_is_refused(expected: str, given: Any) -> None:
    assert reason(given) == expected
    whole = '"level_percent": 40.0' not in str(given).replace("'", '"')  # which JSON Schema takes for an integer
    if whole and not isinstance(given, bytes) and expected not in ("expired", "too far ahead", "bad time", "no expiry"):
        assert not VALIDATOR.is_valid(given), "the schema lets it pass"


@pytest.mark.parametrize("role", PRIORITY_NAMES)
def test_a_role_asks_for_its_own_class_and_those_below(role: str) -> None:
    for name, row in OPERATIONS.items():
        for asked in (None, *PRIORITY_NAMES):
            fields: dict[str, Any] = {"settings": {"1": 1}} if row.settings else {}
            fields |= {"priority": asked} if asked else {}
            wanted = PRIORITY_NAMES.index(asked or role)
            if PRIORITY_NAMES.index(role) <= wanted <= row.lowest:
                found = checked(document("a", name, **fields), role)
                assert isinstance(found, request.Request) and found.priority == wanted
            else:
                assert reason(document("a", name, **fields), role) == "not allowed"


def test_what_a_stranger_wrote_is_shown_short_and_printable() -> None:
    assert reasons.shown("\x1b[2J" + "x" * 500) == "?[2J" + "x" * 76 + "..."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from([*document("a"), "settings", "expires", "not_before", "priority", "dry_run"]), JSON, max_size=3),
    operation=st.sampled_from([*OPERATIONS, "cancel"]), role=st.sampled_from([*PRIORITY_NAMES, "local"]),
)  # fmt: skip
def test_no_document_raises_anything_but_a_refusal(changes: dict[str, Any], operation: str, role: str) -> None:
    """And what passes is what the schema lets pass."""
    asked = document("a", operation) | changes
    try:
        found = request.check(asked, role, START)
    except Refusal as refusal:
        assert refusal.hint
    else:
        if not any(isinstance(value, float) for value in changes.values()):
            VALIDATOR.validate(asked)
        assert isinstance(found, request.Cancel) or 0 < found.expiry - START <= request.MAX_WAIT_S


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise_anything_but_a_refusal(data: bytes) -> None:
    try:
        request.check(request.read(data), "emergency", START)
    except Refusal as refusal:
        assert refusal.reason in reasons.HINTS


def test_the_examples_are_as_the_schema_says() -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
    assert [block["schema"].split("/")[1] for block in blocks] == ["command"] * 3 + ["command-state"] * 2 + [
        "audit-head"
    ]
    for block in blocks:
        VALIDATOR.validate(block)
        if block["schema"] == request.SCHEMA:
            checked(block)
    assert blocks[3]["notice"] == NO_ISOLATION and blocks[4]["hint"] == reasons.HINTS[blocks[4]["reason"]]
    groups = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert groups is not None and "scope = 7" in groups[1]


def test_the_page_names_every_operation_state_event_and_row() -> None:
    for name, row in OPERATIONS.items():
        line = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}`"))
        assert PRIORITY_NAMES[row.lowest] in line and ("lamp" if row.roles == ("lamp",) else "all") in line
        for argument in row.arguments:
            assert f"`{argument.name}`" in line
    states = TEXT[TEXT.index("| state | meaning |") : TEXT.index("The table of events")]
    assert set(
        re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in states.splitlines() if "|" in line))
    ) == set(table.STATES)
    lines = TEXT[TEXT.index("| event | accepted") :].splitlines()
    columns = [cell.strip() for cell in lines[0].split("|")[2:-1]]
    shown: dict[tuple[str, str], str] = {}
    for line in lines[2:10]:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        for state, cell in zip(columns, cells[1:], strict=True):
            if cell == "as it says":
                shown |= {(state, "answer " + word): word for word in table.ANSWERED}
            elif cell:
                shown[state, cells[0]] = cell
    assert shown == table.TABLE


def test_groups_are_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "groups.toml"
    path.write_text(GROUPS)
    groups = Groups.load(SITE, path)
    assert groups.street(802) == "River Street" and groups.street(900) == ""
    assert (
        groups.scope(request.Target("group", "river-street")) == 7 and groups.scope(request.Target("site", SITE)) == 0
    )
    for wrong in (
        "x", "a = 1", "[[group]]", '[[group]]\nname = "A"\nnodes = []', '[[group]]\nname = "a"\nnodes = ["9-1"]',
        '[[group]]\nname = "a"\nnodes = ["70000"]', '[[group]]\nname = "a"\nnodes = ["1"]\nscope = 0',
        '[[group]]\nname = "a"\nnodes = ["1"]\ncolour = "red"', '[[group]]\nname = "a"\nnodes = ["1"]\nstreet = "\\u0007"',
        '[[group]]\nname = "a"\nnodes = ["1"]\n' * 2,
    ):  # fmt: skip
        path.write_text(wrong)
        with pytest.raises(ConfigError) as caught:
            Groups.load(SITE, path)
        assert caught.value.hint
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        Groups.load(SITE, path)
