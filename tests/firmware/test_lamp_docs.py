"""FAULTS.md is the table that the judge lives by."""

import re
from pathlib import Path

import kerbnode
from kerbnode.drivers import d4i
from kerbnode.lamp import faults as lampfaults
from kerbwire import council, events

FOLDER = Path(kerbnode.__file__).parents[1]
NIGHTS = 1 << 14


def limit(text):
    count, unit = re.fullmatch(r"(\d+) (s|nights)", text).groups()
    return int(count) | (NIGHTS if unit == "nights" else 0)


def test_every_row_of_the_judge_is_in_faults_md_and_nothing_else():
    lines = (FOLDER / "FAULTS.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert [getattr(lampfaults, row[0].strip("`")) for row in rows] == list(range(len(lampfaults.ROWS)))
    for row in rows:
        name, _, raised, cleared, event, severity, bit = row
        code, how, flag, raise_at, clear_at = lampfaults.ROWS[getattr(lampfaults, name.strip("`"))]
        assert (limit(raised), limit(cleared)) == (raise_at, clear_at), name
        assert council.EVENTS[code].name == event, name
        assert events.SEVERITIES[how] == severity and int(bit) == flag, name


def test_the_codes_are_the_wires():
    for name in (
        "SENSOR_FAULT", "LAMP_FAILURE", "DAY_BURNER", "CYCLING", "GEAR_FAULT", "SUPPLY_LOW", "SUPPLY_HIGH", "RELAY_FAULT",
        "TOO_HOT", "PHOTOCELL_FAULT", "RAISED", "CLEARED", "NOTICE", "WARNING",
    ):  # fmt: skip
        assert getattr(lampfaults, name) == getattr(events, name), name
    for _, _, bit, _, _ in lampfaults.ROWS:
        assert bit == 0 or bit in council.FAULT_FLAGS


def test_the_bits_of_a_d4i_driver_are_those_that_the_judge_looks_at():
    assert lampfaults.D4I_GEAR == d4i.GEAR_FAILURE | d4i.SHUT_DOWN
    assert lampfaults.D4I_LAMP == d4i.LAMP_FAILURE | d4i.OPEN | d4i.SHORT


def test_every_driver_of_a_lamp_is_in_drivers_md():
    text = (FOLDER / "DRIVERS.md").read_text()
    for name in ("level", "ld2410", "veml7700", "bh1750", "bl0942", "d4i", "pwm", "dali", "relay"):
        assert f"| `{name}`" in text or f", `{name}` |" in text, name
