"""The lamp's drivers on emulated boards, as the firmware runs them: what they measure and show, and each part's faults."""

import ast
import json
from pathlib import Path

import pytest

import kerbnode
import kerbwire
from kerbtools import boards
from kerbtools.emulator.parts.luminaire import STANDBY_W
from kerbwire.channels import (
    AT_DIMMER,
    AT_LIGHT,
    AT_METER,
    AT_PRESENCE,
    AT_RELAY,
    FAULT,
    GARBLED,
    OUT_OF_RANGE,
    SILENT,
    STUCK,
    WRONG_PART,
)

MAIN = """
import json, machine, os, time
with open("/board.json") as file:
    board = json.load(file)
from kerbnode.hal import Hal
from kerbnode.lamp.parts import Parts
parts = Parts(Hal(machine, time, os.urandom, board), board["sensors"])
now_ms = 0
level = longest_ms = 0
for line in open("/orders"):
    seconds, level = [int(word) for word in line.split()]
    parts.show(level, now_ms)
    for _ in range(10 * seconds):
        parts.poll(now_ms)
        parts.active()
        time.sleep_ms(100)
        now_ms += 100
    print((level, parts.lux(), parts.power_mw, parts.supply_mv, parts.energy_wh, parts.celsius, parts.gear,
           parts.status, parts.active(), parts.is_closed, parts.troubles))
"""
NAMES = (
    "level",
    "lux",
    "power_mw",
    "supply_mv",
    "energy_wh",
    "celsius",
    "gear",
    "status",
    "active",
    "closed",
    "troubles",
)
NEEDED = ("__init__", "hal", "retained", "lamp/parts", "flash", "lamp/selftest")
SELFTEST = """
import json, machine, os, time
with open("/board.json") as file:
    board = json.load(file)
from kerbnode.hal import Hal
from kerbnode.lamp import selftest as selftest_lamp
for row in selftest_lamp.parts(Hal(machine, time, os.urandom, board), board["sensors"]):
    print((row["check"], row["verdict"], row["value"], row["limit"], row["cause"]))
"""


def sources():
    """What Parts needs of both packages, as it lies in the source tree."""
    node, wire = Path(kerbnode.__file__).parent, Path(kerbwire.__file__).parent
    files = [(node, node / f"{name}.py") for name in NEEDED]
    files += [(node, path) for path in (node / "drivers").glob("*.py")]
    files += [(wire, wire / f"{name}.py") for name in ("__init__", "channels", "compat", "errors", "ccm")]
    return {f"lib/{top.name}/{path.relative_to(top)}": path.read_bytes() for top, path in files}


@pytest.fixture(scope="module")
def firmware():
    return sources()


@pytest.fixture
def lamp(emulated_board, world, firmware):
    """A board that polls its parts ten times a second and shows levels: lamp(name, (seconds, level), ...) -> board."""

    def make(name, *orders, before=lambda board: None, main=MAIN, **options):
        text = "".join(f"{seconds} {level}\n" for seconds, level in orders)
        files = {**firmware, "main.py": main.encode(), "orders": text.encode()}
        files["board.json"] = json.dumps(boards.load(name).on_board("lamp")).encode()
        board = emulated_board(name, role="lamp", files=files, **options)
        before(board)
        board.start()
        return board

    return make


def rows(board):
    """What the board has told so far."""
    told = [line for line in board.console if line.startswith("(")]
    return [dict(zip(NAMES, ast.literal_eval(line), strict=True)) for line in told]


def reasons(row):
    return {code & 0xF0: code & 15 for code, _ in row["troubles"]}


def test_a_c3_dims_by_pwm_measures_by_its_meter_and_its_relay_puts_out(lamp, world):
    board = lamp("esp32_c3", (6, 100), (6, 50), (6, 0), (6, 30))
    world.advance(9)
    luminaire = board.hardware.wired.luminaire
    assert luminaire.light(world.now_us()) == pytest.approx(0.5, abs=0.01)
    world.advance(18)
    full, half, dark, low = rows(board)
    volts = board.truth().mains_v
    for row, watts in ((full, 60), (half, 33.2), (dark, 0), (low, 22.5)):
        assert row["power_mw"] == pytest.approx(1000 * watts, abs=120)
        assert row["supply_mv"] == pytest.approx(1000 * volts, rel=0.005)
        assert row["troubles"] == []
        assert 8 < row["celsius"] < 60  # of the chip
    assert [row["closed"] for row in (full, half, dark, low)] == [True, True, False, True]
    assert full["lux"] == pytest.approx(board.truth().daylight_lux + 4, abs=3)


@pytest.mark.parametrize("name", ["pico2_w", "esp32_s3"])
def test_dali_dims_by_either_port_and_its_banks_are_read(lamp, world, name):
    board = lamp(name, (60, 100), (60, 40), (12, 0))
    world.advance(110)
    luminaire = board.hardware.wired.luminaire
    assert luminaire.light(world.now_us()) == pytest.approx(0.4, abs=0.02)
    world.advance(25)
    full, low, dark = rows(board)
    assert full["power_mw"] == pytest.approx(60_000, abs=200) and low["power_mw"] == pytest.approx(27_900, abs=700)
    assert full["supply_mv"] == pytest.approx(1000 * board.truth().mains_v, rel=0.01)
    assert full["energy_wh"] >= 0 and 20 < full["celsius"] < 60
    assert full["status"] & 4 and not dark["status"] & 4  # lamp on
    assert not any(row["troubles"] for row in (full, low, dark))
    assert luminaire.light(world.now_us()) == 0 and luminaire.power_w(world.now_us()) == STANDBY_W


@pytest.mark.parametrize(
    ("name", "faults", "named"),
    [
        ("esp32_c3", {"meter": "silent", "light": "wrong_id"}, {AT_METER: SILENT, AT_LIGHT: WRONG_PART}),
        ("esp32_c3", {"meter": "garbled"}, {AT_METER: GARBLED}),
        ("esp32_c3", {"meter": "out_of_range"}, {AT_METER: OUT_OF_RANGE}),
        ("pico2_w", {"dimmer": "silent"}, {AT_DIMMER: SILENT}),
        ("pico2_w", {"dimmer": "short"}, {AT_DIMMER: GARBLED}),
        ("pico2_w", {"dimmer": "garbled"}, {AT_DIMMER: GARBLED}),
        ("pico2_w", {"dimmer": "stuck"}, {AT_DIMMER: STUCK}),
        ("esp32_s3", {"presence": "silent", "meter": "silent"}, {AT_PRESENCE: SILENT, AT_METER: SILENT}),
        ("esp32_s3", {"presence": "garbled", "meter": "garbled"}, {AT_PRESENCE: GARBLED, AT_METER: GARBLED}),
        ("esp32_s3", {"presence": "out_of_range", "meter": "out_of_range"}, {AT_PRESENCE: GARBLED, AT_METER: GARBLED}),
    ],
)
def test_each_fault_of_a_part_is_named_and_gone_when_it_is_mended(lamp, world, name, faults, named):
    def break_them(board):
        for slot, fault in faults.items():
            board.break_part(slot, fault)

    board = lamp(name, (42, 30), (42, 60), before=break_them)
    world.advance(43)
    assert [reasons(row) for row in rows(board)] == [named]
    for slot in faults:
        board.break_part(slot, None)
    world.advance(43)
    assert rows(board)[1]["troubles"] == []


def test_a_relay_without_its_zero_crossings_switches_all_the_same_and_says_so(lamp, world):
    board = lamp("esp32_c3", (3, 0), (3, 30), (3, 0), before=lambda board: board.break_part("relay", "no_zero"))
    world.advance(3.5)
    assert not rows(board)[0]["closed"] and reasons(rows(board)[0]) == {AT_RELAY: SILENT}
    world.advance(2)
    assert board.hardware.wired.luminaire.closed
    board.break_part("relay", None)
    world.advance(4)
    assert reasons(rows(board)[1]) == {AT_RELAY: SILENT} and rows(board)[2]["troubles"] == []


def test_an_absent_light_sensor_is_silent_and_comes_back(lamp, world):
    board = lamp("pico_w", (4, 30), (6, 30), before=lambda board: board.remove_part("light"))
    world.advance(5)
    row = rows(board)[0]
    assert reasons(row) == {AT_LIGHT: SILENT} and row["lux"] == FAULT
    board.fit_part("light")
    world.advance(6)
    row = rows(board)[1]
    assert row["lux"] == pytest.approx(board.truth().daylight_lux + 4 * 0.3, abs=3) and row["troubles"] == []
    inside_c = board.truth().temperature_c + 25 * 0.3 + 12
    assert row["celsius"] == pytest.approx(inside_c, abs=2)


def test_a_meter_that_repeats_itself_to_the_bit_is_stuck(lamp, world):
    board = lamp("esp32_c3", (75, 30), before=lambda board: board.break_part("meter", "stuck"))
    world.advance(76)
    row = rows(board)[0]
    assert reasons(row) == {AT_METER: STUCK} and row["power_mw"] == FAULT


def test_the_relays_contacts_move_at_a_zero_of_the_mains(lamp, world):
    board = lamp("esp32_c3", (3, 30), (3, 0), (3, 30))
    world.advance(6)
    relay = board.hardware.parts["relay"]
    assert not board.hardware.wired.luminaire.closed
    parted_us = relay.moved_us
    world.advance(3)
    for moved_us in (parted_us, relay.moved_us):
        assert min(moved_us % 10_000, -moved_us % 10_000) < 1_500, moved_us
    assert relay.moved_us > parted_us


def test_a_radar_tells_who_is_there(lamp, world):
    world.advance(7 * 3600)
    board = lamp("esp32_s3", *[(2, 30)] * 20)
    seen = []
    for _ in range(20):
        world.advance(2)
        seen.append(board.scene.is_occupied(world.now_us() - 200_000))
    found = [row["active"] for row in rows(board)]
    assert len(found) >= 19 and sum(a != b for a, b in zip(found, seen, strict=False)) <= 2


def self_tested(lamp, world, name, before=lambda board: None):
    board = lamp(name, before=before, main=SELFTEST)
    world.advance(16)
    return {
        row[0]: row[1:] for row in (ast.literal_eval(line) for line in board.console if line.startswith("("))
    }, board


@pytest.mark.parametrize("name", ["esp32_c3", "pico2_w"])
def test_a_sound_lamp_passes_its_self_test_and_is_left_lit(lamp, world, name):
    rows, board = self_tested(lamp, world, name)
    assert {slot: row[0] for slot, row in rows.items()} == dict.fromkeys(
        boards.load(name).roles["lamp"].sensors, "pass"
    )
    assert (
        rows["dimmer"][1] == "55 % of full power at half light"
        and rows["meter"][1].endswith(" W")
        and rows["presence"][1] in ("someone", "nobody")
    )
    assert board.hardware.wired.luminaire.light(world.now_us()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "slot", "fault", "verdict", "value", "cause"),
    [
        ("esp32_c3", "relay", "welded", "fail", "11.8 W", "welded"),
        ("esp32_c3", "relay", "no_zero", "fail", "silent", "no zero crossing"),
        ("esp32_c3", "meter", "silent", "fail", "silent", "no mains at the meter"),
        ("esp32_c3", "light", "wrong_id", "fail", "another part", "another part is fitted"),
        ("pico2_w", "dimmer", "short", "fail", "garbled", "a bus that is short"),
        ("esp32_s3", "presence", "silent", "fail", "silent", "TX and RX swapped"),
        ("esp32_s3", "meter", "out_of_range", "fail", "garbled", "two drivers on one bus"),
    ],
)
def test_the_self_test_names_the_fault_of_a_part(lamp, world, name, slot, fault, verdict, value, cause):
    rows, _ = self_tested(lamp, world, name, lambda board: board.break_part(slot, fault))
    assert rows[slot][0] == verdict and value in rows[slot][1] and cause in rows[slot][3]
    others = {row[0] for other, row in rows.items() if other not in (slot, "dimmer", "relay", "meter")}
    assert others == {"pass"}


def test_a_dimming_line_that_is_open_and_a_bench_without_mains_are_told_apart(lamp, world):
    rows, _ = self_tested(
        lamp, world, "esp32_c3", lambda board: setattr(board.hardware.wired.luminaire, "fault", "stuck_full")
    )
    assert rows["dimmer"][:2] == ("fail", "100 % of full power at half light") and "open" in rows["dimmer"][3]
    rows, _ = self_tested(lamp, world, "esp32_c3", lambda board: setattr(board.scene, "outage", True))
    assert rows["meter"][:2] == ("skip", "no mains") and rows["dimmer"][0] == "skip"
    assert rows["relay"][0] == "fail" and "no zero crossing" in rows["relay"][3]
