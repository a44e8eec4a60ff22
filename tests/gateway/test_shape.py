"""The council's document: its schema, its examples in COUNCIL.md, and each kind of value."""

import json
import re
from typing import Any

import jsonschema
import pytest
from gateway_harness import ROOT, START

from kerbgate import shape
from kerbgate.changes import Changes, Told, parse_deadband
from kerbgate.store import StoredReport
from kerbgate.views import View
from kerbwire import messages, records
from kerbwire.channels import (
    BATTERY,
    CAUSE,
    CHANNELS,
    DISTANCE,
    FAULT,
    FAULTS,
    FEW_ECHOES,
    FILL,
    LEVEL,
    NO_ECHO,
    NOT_FITTED,
    POWER,
    QUALITY,
    SPREAD_ECHOES,
    TEMPERATURE,
)
from kerbwire.messages import Record, Report

LIFE = bytes.fromhex("8f3a52c1d07be694")
VALIDATOR = jsonschema.Draft202012Validator(shape.schema())


def row(report: Report, *, node: int = 17, role: str = "bin", fresh: int | None = None, **fields: Any) -> StoredReport:
    values: dict[str, Any] = {"received_ms": START * 1000 + 88_000_250, "synchronised": 1} | fields
    first, count = report.records[0].index, len(report.records)
    return StoredReport(
        1, node, "harbour", role, LIFE, values["received_ms"], values["synchronised"], first, count, fresh,
        messages.encode(report),
    )  # fmt: skip


BIN_DAY = Report(
    [
        Record(412, START, {FILL: 63, DISTANCE: 540, TEMPERATURE: 23, BATTERY: 361, QUALITY: 0}),
        Record(413, START + 3600, {FILL: NO_ECHO, DISTANCE: NO_ECHO, TEMPERATURE: 22, QUALITY: FEW_ECHOES}),
    ]
)
UNSET_CLOCK = Report([Record(0, 30, {FILL: 12}), Record(1, 3630, {FILL: 13})], boot=4, uptime_now=3700)
CHANGES = Report(
    [Record(97 + n, START + 22 * 3600 + at_s, {LEVEL: 80, CAUSE: 1}) for n, at_s in enumerate((62, 641, 1100))]
)
LAMP = Report([Record(96, START, {LEVEL: 40, POWER: 224, TEMPERATURE: FAULT, FAULTS: 3})])


def seen(row: StoredReport, report: Report, changes: Changes | None = None) -> dict[str, Any]:
    """The document of an outlet that does not settle."""
    payload = View("kerbstone/1", False, changes).see(row, report).payload
    assert payload is not None
    return json.loads(payload)


def told() -> Changes:
    """An outlet that was told the bin's record 412, or one like it."""
    before = Told(400, START - 3600, BIN_DAY.records[0].values, 10)
    return Changes("council", parse_deadband("temperature_c=1"), 21_600, lambda outlet, key: before)


def examples() -> dict[str, dict[str, Any]]:
    """What each example of COUNCIL.md must say, by its heading."""
    return {
        "A bin": shape.document(row(BIN_DAY), BIN_DAY),
        "A node whose clock was unset": shape.document(row(UNSET_CLOCK), UNSET_CLOCK),
        "A lamp": shape.document(row(LAMP, node=802, role="lamp"), LAMP),
        "Only what is new": shape.document(row(BIN_DAY, fresh=0b10), BIN_DAY),
        "Level changes as counts": seen(row(CHANGES, node=802, role="lamp"), CHANGES),
        "Changes only, at work": seen(row(BIN_DAY), BIN_DAY, told()),
    }


@pytest.mark.parametrize("name", list(examples()))
def test_the_examples_of_council_md_are_what_the_gateway_writes(name: str) -> None:
    text = (ROOT / "gateway" / "COUNCIL.md").read_text()
    section = re.search(rf"^### {name}$(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    assert section is not None, f"COUNCIL.md has no example {name!r}"
    block = re.search(r"```json\n(.*?)```", section[1], re.DOTALL)
    assert block is not None
    document = json.loads(block[1])
    VALIDATOR.validate(document)
    assert document == examples()[name]


def test_what_was_left_out_is_said_once() -> None:
    """Counts of level changes go when no record does; the next document counts from there."""
    made = told()
    same = Report([Record(500, START, dict(BIN_DAY.records[0].values))])
    assert seen(row(CHANGES, node=17), CHANGES, made)["suppressed"] == 10
    assert View("kerbstone/1", False, made).see(row(same), same).payload is None
    assert seen(row(CHANGES, node=17), CHANGES, made)["suppressed"] == 1


def test_the_schema_is_one_and_knows_every_channel() -> None:
    jsonschema.Draft202012Validator.check_schema(shape.schema())
    known = shape.schema()["$defs"]["record"]["properties"]
    for channel in CHANNELS.values():
        assert shape.field_name(channel) in known, channel.name


@pytest.mark.parametrize("ident", list(CHANNELS))
def test_every_value_of_every_channel_fits_the_schema(ident: int) -> None:
    channel = CHANNELS[ident]
    for raw in (channel.low, channel.high, (channel.low + channel.high) // 2, NO_ECHO, FAULT, NOT_FITTED):
        report = Report([Record(0, START, {ident: raw})])
        document = json.loads(shape.payload(row(report), report))
        VALIDATOR.validate(document)
        assert set(document["records"][0]) <= set(shape.schema()["$defs"]["record"]["properties"])


def test_values_are_in_their_units() -> None:
    record = shape.document(row(BIN_DAY), BIN_DAY)["records"][0]
    assert (record["fill_percent"], record["distance_mm"], record["temperature_c"], record["battery_v"]) == (
        63,
        540,
        11.5,
        3.61,
    )
    assert record["quality"] == [] and "missing" not in record


def test_a_special_value_is_null_and_says_why() -> None:
    record = shape.document(row(BIN_DAY), BIN_DAY)["records"][1]
    assert record["fill_percent"] is None and record["missing"]["fill_percent"] == "no echo"
    assert shape.flags(FEW_ECHOES | SPREAD_ECHOES | 256, {FEW_ECHOES: "few echoes"}) == ["few echoes", "bit 1", "bit 8"]


def test_a_derived_time_never_lies_after_the_reception() -> None:
    report = Report([Record(0, 900, {FILL: 1})], boot=1, uptime_now=10)
    record = shape.document(row(report), report)["records"][0]
    assert record["time"] == "2026-03-02T00:26:40Z" and record["time_quality"] == "derived"


def test_a_gateway_without_time_says_so() -> None:
    assert shape.document(row(BIN_DAY, synchronised=0), BIN_DAY)["received_synchronised"] is False


def test_ids_are_those_of_the_records() -> None:
    document = shape.document(row(BIN_DAY), BIN_DAY)
    assert document["id"] == "harbour/17/8f3a52c1d07be694/412-413"
    assert [record["id"] for record in document["records"]] == [
        "harbour/17/8f3a52c1d07be694/412",
        "harbour/17/8f3a52c1d07be694/413",
    ]
    assert shape.topic("kerbstone/1", row(BIN_DAY)) == "kerbstone/1/harbour/17/readings"


@pytest.mark.parametrize("seconds", [0, (1 << 32) - 1])
def test_the_ends_of_time_can_be_written(seconds: int) -> None:
    for report in (
        Report([Record(0, seconds, {FILL: 1})]),
        Report([Record(0, 0, {FILL: 1})], boot=1, uptime_now=seconds),
    ):
        VALIDATOR.validate(json.loads(shape.payload(row(report), report)))


def test_the_most_records_of_a_document_stand_in_page_and_schema() -> None:
    most = max(records.MAX_RECORDS, records.MAX_CHANGES)
    assert shape.schema()["properties"]["records"]["maxItems"] == most
    assert f"| 1 to {most} records, by `index` |" in (ROOT / "gateway" / "COUNCIL.md").read_text()
