"""The council's columns hold against the councils' own definitions: LwM2M registry, Smart Data Models, TALQ."""

import json
import math
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

from kerbtools import bundle
from kerbwire import channels, council, events

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
# Objects of the IPSO starter pack, which the reference folder does not hold: named here, so that no other goes unchecked.
UNCHECKED = {"3301/5700", "3303/5700", "3330/5700"}

needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the councils' interface definitions are not beside this checkout"
)
FLAGS = [*council.FAULT_FLAGS.values(), *council.EVENTS.values()]


@cache
def lwm2m(number: str) -> dict[str, tuple[str, str]]:
    """Resource id -> (type, unit) of an object, from the registry's XML."""
    root = ET.parse(REFERENCE / "lwm2m" / f"{number}.xml").getroot().find("Object")
    assert root is not None and root.findtext("ObjectID") == number
    return {
        item.attrib["ID"]: ((item.findtext("Type") or "").strip(), (item.findtext("Units") or "").strip())
        for item in root.iter("Item")
    }


@cache
def smart_data_model(entity: str) -> dict[str, dict]:
    (path,) = (REFERENCE / "smartdatamodels").glob(f"*/{entity}/schema.json")
    found: dict[str, dict] = {}
    for part in json.loads(path.read_text())["allOf"]:
        found |= part.get("properties", {})
    return found


@cache
def talq() -> dict[str, dict]:
    return json.loads((REFERENCE / "talq" / "talq-data-model-2-7-1-online.json").read_text())["components"]["schemas"]


def talq_attribute(path: str) -> dict:
    """Everything that TALQ says of Function.attribute, flattened."""
    function, _, attribute = path.partition(".")
    properties: dict[str, dict] = {}
    for part in talq()[function].get("allOf", [talq()[function]]):
        properties |= part.get("properties", {})
    said: dict = {}
    for part in properties[attribute].get("allOf", [properties[attribute]]):
        said |= part
    return said


def test_every_channel_and_every_event_has_a_row() -> None:
    assert set(council.CHANNELS) == set(channels.CHANNELS)
    for ident, row in council.CHANNELS.items():
        assert len(row.sdm) == len(channels.CHANNELS[ident].roles)
    assert set(council.EVENTS) == set(events.CODES)
    assert set(council.FAULT_FLAGS) <= {1 << bit for bit in range(16)}


def test_units_are_converted_from_ours() -> None:
    """From the unit of the channel table to theirs: the factor is the one that the two units ask for."""
    factor = {
        ("%", "/100"): 1, ("%", "Percent"): 1, ("mm", "m"): 0.001, ("degC", "Cel"): 1, ("degC", "DegreesCelcius"): 1,
        ("V", "V"): 1, ("V", "Volts"): 1, ("deg", "rad"): math.pi / 180, ("W", "W"): 1, ("W", "Watts"): 1,
        ("Wh", "Wh"): 1, ("Wh", "KiloWattHours"): 0.001, ("1/8 octave", "lx"): 1, ("1/8 octave", "Illuminance"): 1,
        ("h", "h"): 1, ("h", "Hours"): 1, ("count", ""): 1, ("mm", ""): 1,
    }  # fmt: skip
    for ident, row in council.CHANNELS.items():
        for target in (row.lwm2m, row.talq):
            if target is not None:
                wanted = factor[channels.CHANNELS[ident].unit, target.unit]
                assert math.isclose(target.numerator / target.denominator, wanted, rel_tol=1e-9), target


@needs_reference
def test_lwm2m_ids_types_and_units() -> None:
    unchecked = set()
    for row in council.CHANNELS.values():
        if row.lwm2m is None:
            continue
        number, _, resource = row.lwm2m.path.partition("/")
        if (REFERENCE / "lwm2m" / f"{number}.xml").exists():
            assert lwm2m(number)[resource] == (row.lwm2m.type, row.lwm2m.unit), row.lwm2m
        else:
            unchecked.add(row.lwm2m.path)
    assert unchecked == UNCHECKED
    for flag in FLAGS:
        if flag.lwm2m:
            number, _, resource = flag.lwm2m.partition("/")
            assert lwm2m(number)[resource][0] == "Boolean", flag


@needs_reference
def test_smart_data_models_properties() -> None:
    for ident, row in council.CHANNELS.items():
        for target in row.sdm:
            entity, _, name = target.path.partition(".")
            prop = smart_data_model(entity)[name]
            assert prop["type"] in ("number", "boolean", "string")
            if prop["type"] == "number" and "maximum" in prop:
                ours = channels.CHANNELS[ident]
                for raw in (ours.low, ours.high):
                    value = raw * ours.numerator / ours.denominator * target.numerator / target.denominator
                    assert prop["minimum"] <= value <= prop["maximum"], target
    bins, lamps = (set(smart_data_model(name)["status"]["enum"]) for name in ("WasteContainer", "Streetlight"))
    assert {flag.sdm for flag in council.FAULT_FLAGS.values()} <= lamps
    for code, flag in council.EVENTS.items():
        if flag.sdm:
            assert flag.sdm in (bins if code < events.LAMP_FAILURE else lamps), flag


@needs_reference
def test_talq_attributes_and_units() -> None:
    for row in council.CHANNELS.values():
        if row.talq is not None:
            said = talq_attribute(row.talq.path)
            assert said.get("x-talq-unit", "None") == (row.talq.unit or "None"), row.talq
    for flag in FLAGS:
        if flag.talq:
            assert talq_attribute(flag.talq)["$ref"].endswith(("AttributeBoolean", "AttributeDeviceReset")), flag


def test_no_bundle_carries_the_councils_words() -> None:
    assert not any("council" in name for role in bundle.ROLES for name in bundle._modules(role))
