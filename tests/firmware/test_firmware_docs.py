"""The pages beside the firmware say what the code does."""

import re
from pathlib import Path

from kerbnode import config, gaps, opening, outbox, retained
from kerbnode.bin import events
from kerbnode.lamp import app as lampapp
from kerbnode.lamp import lamp, loop, talk
from kerbnode.lamp import node as lampnode
from kerbnode.lamp import settings as lampsettings
from kerbtools import boards
from kerbwire import controls, flights

FIRMWARE = Path(__file__).parents[2] / "firmware"


def test_every_setting_is_documented_with_its_bounds():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| .+ \|$", (FIRMWARE / "SETTINGS.md").read_text(), re.M)
    assert [(name, int(default), int(low), int(high)) for name, default, low, high in rows] == list(config.SETTINGS)


def test_every_setting_of_a_lamp_is_documented_with_its_bounds():
    page = (FIRMWARE / "RUNTIME.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (-?\d+) \| (-?\d+) \| (-?\d+) \| .+ \|$", page, re.M)
    assert [(name, int(default), int(low), int(high)) for name, default, low, high in rows] == list(lampsettings.ROWS)


def test_the_runtime_page_names_the_bounds_in_the_code():
    page = " ".join((FIRMWARE / "RUNTIME.md").read_text().split())
    for words in (
        f"each {lamp.TICK_MS} ms", f"{loop.AFTER_STEP_MS / 1000:g} s after a ramp", f"wait for {loop.MAX_PROGRAM_MS // 1000} s",
        f"dark below {lampnode.DARK_MW // 1000} W, lit above {lampnode.LIT_MW // 1000} W",
        f"within {lampnode.SOON_S} s of any other start", f"{talk.FIRST_S} s, 20 s, ... {talk.LONGEST_S // 60} min",
        f"between full and {loop.BLINK_LEVEL} %", f"segments of {outbox.SEGMENT_RECORDS}",
        f"for {lampapp.FIRST_HOLD_S} s to {lampapp.LONGEST_HOLD_S // 60} min", f"each {lampnode.SAFE_TRY}th start",
    ):  # fmt: skip
        assert words in page, words


def test_the_outbox_page_names_the_sizes_in_the_code():
    page = (FIRMWARE / "OUTBOX.md").read_text()
    for number, words in (
        (outbox.SEGMENT_RECORDS, "records"),
        (flights.MAX_IN_FLIGHT, "reports"),
        (outbox.MAX_RANGES, "stretches"),
        (2 * opening.MAX_BLOCK, "numbers"),
        (gaps.MAX_GAPS, "gaps"),
        (retained.SIZE, "bytes"),
    ):
        assert f"{number} {words}" in page, (number, words)


def test_each_sensor_of_a_board_has_its_bit_in_a_self_tests_result_and_the_protocol_lists_them():
    wired = {name for board in boards.names() for role in boards.load(board).roles.values() for name in role.sensors}
    assert wired <= set(controls.CHECKS) and len(controls.CHECKS) <= controls.CHECK_OF_ELSE
    listed = re.sub(r"\s+", " ", (FIRMWARE.parent / "protocol" / "PROTOCOL.md").read_text())
    assert f"from the lowest: {', '.join(controls.CHECKS)}; bit {controls.CHECK_OF_ELSE}" in listed


def test_the_page_of_events_says_the_limits_in_the_code():
    page = (FIRMWARE / "EVENTS.md").read_text()
    rise_c = next(row[1] for row in config.SETTINGS if row[0] == "fire_rise_c")
    for words in (
        f"{events.SIZE} bytes of state", f"each {events.HASTE_S} s", f"is {events.WARMS_HALF_C // 2} degC above",
        f"the {rise_c} of `fire_rise_c`", f"same to the millimetre, {events.STILL_SAMPLES}, ",
        f"tilt over saves {events.STILL_TIPPED} ",
    ):  # fmt: skip
        assert words in page, words
