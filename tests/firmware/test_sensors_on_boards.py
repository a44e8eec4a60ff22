"""Each driver on a real MicroPython against its emulated part, sound and with each of its faults."""

import ast
import json
from functools import cache
from pathlib import Path

import pytest
from peer import Peer
from rig import NODE, SECRET

import kerbnode
import kerbwire
from kerbnode import config
from kerbtools import boards, bundle
from kerbtools.emulator import Identity
from kerbwire import channels as c
from kerbwire import events

A02YYUW = dict(boards.load("esp32_c3").sensors["distance"])
WIRINGS = {
    "a02yyuw": A02YYUW,
    "jsn_sr04t": {"driver": "jsn_sr04t", "trigger": 5, "echo": 4, "power_pin": 6, "warm_up_ms": 100},
    "vl53l1x": {
        "driver": "vl53l1x", "i2c": 0, "sda": 10, "scl": 1, "frequency_hz": 400_000, "address": 0x29, "power_pin": 6,
        "warm_up_ms": 2,
    },
}  # fmt: skip
NEEDED = ("errors", "channels"), ("config", "flash", "hal", "retained", "bin/geometry", "bin/level", "bin/sensors")

MAIN = """
import gc, json, machine, os, time
from kerbnode import hal
from kerbnode.bin.sensors import Sensors
board = json.load(open("/board.json"))
settings = json.load(open("/settings.json"))
sensors = Sensors(hal.Hal(machine, time, os.urandom, board), board["sensors"])
while True:
    values = sensors.sample(settings, True)
    row = [sorted(values.items()), sensors.troubles, sensors.distance_mm, sensors.tilt_deg, sensors.moved]
    print(json.dumps(row + [sensors.battery_mv, time.ticks_ms()]))
    time.sleep(60 - time.ticks_ms() // 1000 % 60)
"""


@cache
def library():
    """The modules that a sample needs, each by itself."""
    files = {}
    for package, names in ((kerbwire, NEEDED[0]), (kerbnode, NEEDED[1])):
        root = Path(str(package.__file__)).parent
        drivers = sorted(root.glob("drivers/*.py"))
        for source in [root / "__init__.py", *(root / f"{name}.py" for name in names), *drivers]:
            name = f"{package.__name__}/{source.relative_to(root)}"
            files[f"lib/{Path(name).with_suffix('.mpy')}"] = bundle.compile_module(source, name)
    return files


class Sample:
    """One line of MAIN."""

    def __init__(self, line):
        values, troubles, self.distance_mm, self.tilt_deg, self.moved, self.battery_mv, self.ticks_ms = json.loads(line)
        self.values = dict(map(tuple, values))
        self.troubles = [(c.trouble(code), raw) for code, raw in troubles]
        self.flags = {word for bit, word in c.QUALITY_FLAGS.items() if self.values[c.QUALITY] & bit}


@pytest.fixture
def sampling(emulated_board):
    """A factory: board, sample(): what it finds a minute later."""

    def make(name="esp32_c3", ranger="a02yyuw", **changed):
        settings = {**config.parse("{}")[0], "heap_mm": 0, **changed}
        wiring = WIRINGS[ranger] if name == "esp32_c3" else dict(boards.load(name).sensors["distance"])
        sensors = {**boards.load(name).on_board("bin"), "sensors": {**boards.load(name).sensors, "distance": wiring}}
        files = {"main.py": MAIN.encode(), "settings.json": json.dumps(settings).encode(), **library()}
        board = emulated_board(
            name, files={**files, "board.json": json.dumps(sensors).encode()}, wiring={"distance": wiring}
        )
        board.start()

        def sample(seconds=60):
            before = board.lines
            board.world.advance(seconds)
            assert board.lines > before
            return Sample(list(board.console)[-1])

        sample()
        return board, sample

    return make


@pytest.mark.parametrize("ranger", WIRINGS)
def test_a_sound_ranger_sees_the_truth(sampling, ranger):
    board, sample = sampling(ranger=ranger)
    for _ in range(5):
        found = sample()
        assert abs(found.distance_mm - board.truth().distance_mm) < 6
        assert abs(found.values[c.FILL] - board.truth().fill_percent) < 1.5
        assert abs(found.values[c.TEMPERATURE] - 2 * board.truth().temperature_c) <= 1
        assert found.flags == set() and found.troubles == []
        assert found.tilt_deg == 0 and not found.moved


@pytest.mark.parametrize("ranger", WIRINGS)
def test_sound_is_corrected_and_light_is_not(sampling, ranger):
    board, sample = sampling(ranger=ranger)
    board.scene.extra_c = -25.0
    sample()
    assert abs(sample().distance_mm - board.truth().distance_mm) < 6


FAULTS = [  # ranger, fault, what fill becomes, flags, troubles
    ("a02yyuw", "silent", c.FAULT, "faulty part", ("distance: silent", 0)),
    ("a02yyuw", "absent", c.FAULT, "faulty part", ("distance: silent", 0)),
    ("a02yyuw", "brown_out", c.FAULT, "faulty part", ("distance: silent", 0)),
    ("a02yyuw", "garbled", c.FAULT, "faulty part", ("distance: garbled", None)),
    ("jsn_sr04t", "silent", c.FAULT, "faulty part", ("distance: silent", 0)),
    ("jsn_sr04t", "absent", c.FAULT, "faulty part", ("distance: silent", 0)),
    ("jsn_sr04t", "brown_out", c.FAULT, "faulty part", ("distance: silent", 0)),
    ("jsn_sr04t", "stuck", c.FAULT, "faulty part", ("distance: stuck", 1)),
    ("vl53l1x", "absent", c.FAULT, "faulty part", ("distance: silent", 19)),
    ("vl53l1x", "wrong_id", c.FAULT, "faulty part", ("distance: another part", 0xEACC ^ 0x1010)),
    ("vl53l1x", "stuck", c.FAULT, "faulty part", ("distance: no result in time", 0)),
    ("vl53l1x", "brown_out", c.FAULT, "faulty part", ("distance: no result in time", 0)),
    ("vl53l1x", "hardware", c.FAULT, "faulty part", ("distance: garbled", 3)),
    ("vl53l1x", "sigma", c.NO_ECHO, "spread echoes", None),
    ("vl53l1x", "signal", c.NO_ECHO, "weak echo", None),
    ("vl53l1x", "wrapped", c.NO_ECHO, "wrapped echo", None),
    *[(ranger, "no_echo", c.NO_ECHO, "few echoes", None) for ranger in WIRINGS],
    *[(ranger, "covered", c.NO_ECHO, "covered sensor", None) for ranger in WIRINGS],
    *[(ranger, "wet", c.NO_ECHO, "covered sensor", None) for ranger in WIRINGS],
]  # fmt: skip


@pytest.mark.parametrize(("ranger", "fault", "fill", "flag", "trouble"), FAULTS)
def test_each_fault_of_a_ranger_has_its_name_and_what_the_part_said(sampling, ranger, fault, fill, flag, trouble):
    board, sample = sampling(ranger=ranger, full_mm=700 if ranger == "jsn_sr04t" else 250)
    if fault == "absent":
        board.remove_part("distance")
    else:
        board.break_part("distance", fault)
    found = sample()
    assert found.values[c.FILL] == fill
    assert flag in found.flags
    if trouble is None:
        assert found.troubles == []
    else:
        ((name, raw),) = found.troubles
        assert name == trouble[0]
        assert raw == trouble[1] if trouble[1] is not None else raw > 20
    board.fit_part("distance")
    board.break_part("distance", None)
    assert sample().values[c.FILL] not in c.SPECIAL


def test_a_ranger_whose_echoes_come_from_everywhere_is_flagged(sampling):
    for ranger in WIRINGS:
        board, sample = sampling(ranger=ranger)
        board.break_part("distance", "noisy")
        found = [sample() for _ in range(6)]
        assert all(each.flags & {"few echoes", "spread echoes", "above range", "covered sensor"} for each in found)


OTHERS = [  # slot, fault, trouble
    ("temperature", "absent", "temperature: silent", 0),
    ("temperature", "garbled", "temperature: garbled", 9),
    ("temperature", "brown_out", "temperature: lost power in between", 1360),
    ("temperature", "out_of_range", "temperature: out of range", 2400),
    ("temperature", "stuck", "temperature: stuck", None),
    ("tilt", "absent", "tilt: silent", 19),
    ("tilt", "wrong_id", "tilt: another part", 0x44),
    ("tilt", "stuck", "tilt: stuck", 0),
    ("tilt", "out_of_range", "tilt: out of range", 0),
    ("tilt", "noisy", "tilt: out of range", None),
    ("tilt", "brown_out", "tilt: no result in time", 0),
    ("battery", "absent", "battery: silent", 0),
    ("battery", "open", "battery: silent", 0),
    ("battery", "saturated", "battery: out of range", 5000),
]


@pytest.mark.parametrize(("slot", "fault", "name", "raw"), OTHERS)
def test_each_fault_of_the_other_parts_likewise_and_the_level_lives_on(sampling, slot, fault, name, raw):
    board, sample = sampling()
    if fault == "absent":
        board.remove_part(slot)
    else:
        board.break_part(slot, fault)
    if fault == "brown_out":
        board.hardware.parts[slot]._registers = bytearray(b"\0" * 15 + b"\x33" + b"\0" * 16 + b"\x07" + b"\0" * 31)
    found = sample()
    assert [said for said, _ in found.troubles] == [name]
    assert raw is None or found.troubles[0][1] == raw
    assert "faulty part" in found.flags
    assert abs(found.values[c.FILL] - board.truth().fill_percent) < 2.5
    if slot == "temperature":  # the accelerometer's stands in, and says so
        assert "rough temperature" in found.flags
        assert abs(found.values[c.TEMPERATURE] - 2 * board.truth().temperature_c) <= 10
    if slot == "tilt":
        assert found.tilt_deg == c.FAULT
    if slot == "battery":
        assert found.values[c.BATTERY] == c.FAULT


def test_a_cell_that_slept_long_is_told_from_an_empty_one(sampling):
    board, sample = sampling()
    found = sample()
    rest, _, loaded = found.battery_mv
    assert rest - loaded < 20 and found.troubles == [] and abs(10 * found.values[c.BATTERY] - loaded) <= 5
    board.break_part("battery", "passivated")
    board.reset()  # the load begins
    found = sample(3)
    ((name, raw),) = found.troubles
    assert name == "battery: passivated cells" and raw == min(found.battery_mv) < 3200
    assert found.values[c.BATTERY] > 340
    board.break_part("battery", "worn")
    found = sample(62)
    assert found.troubles == [] and found.values[c.BATTERY] < 300


def test_tilt_lid_and_knock(sampling):
    board, sample = sampling()
    board.knock()
    assert sample().moved
    assert not sample().moved
    board.tilt(40)
    found = sample()
    assert abs(found.tilt_deg - 40) <= 1 and found.moved
    assert "not upright" in found.flags and found.values[c.FILL] == c.NO_ECHO
    assert not sample().moved  # it lies so still, and the interrupt has been taken
    board.tilt(95)
    found = sample()
    assert "open lid" in found.flags and found.values[c.FILL] == c.NO_ECHO
    board.tilt(0)
    found = sample()
    assert found.moved and found.tilt_deg == 0 and found.flags == set()
    assert found.values[c.FILL] not in c.SPECIAL


def test_the_pulse_of_a_pin_is_what_the_port_measures(emulated_board):
    main = """
import machine, time
pin = machine.Pin(4, machine.Pin.IN)
for level, timeout_us in ((1, 10000), (0, 10000)):
    start = time.ticks_us()
    print(machine.time_pulse_us(pin, level, timeout_us), (time.ticks_us() - start) // 1000)
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    board.start()
    board.world.advance(1)
    assert list(board.console) == ["-2 10", "-1 10"]


def test_every_reason_has_words_and_a_driver_that_gives_it():
    named = {}
    for path in Path(str(kerbnode.__file__)).parent.rglob("*.py"):
        if path.name != "selftest.py":
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            named |= {name: getattr(c, name) for name in names if name in REASONS}
    assert set(named.values()) == set(c.PART_REASONS) and set(named) == set(REASONS)


REASONS = ("SILENT", "GARBLED", "WRONG_PART", "STUCK", "LATE", "OUT_OF_RANGE", "NO_CONVERSION", "PASSIVATED")


def test_a_fault_reaches_the_gateway_by_its_name_with_what_the_part_said(emulated_board):
    """One of them on real MicroPython; test_fault_walk has all."""
    me = Identity(node=NODE, secret=SECRET, epoch=1)
    board = emulated_board("esp32_c3", identity=me, config={"heat_s": 0})
    with Peer(board) as peer:
        board.start()
        board.world.advance(2 * 3600)
        board.break_part("temperature", "garbled")
        board.world.advance(5 * 3600)
        found = [m for m in peer.gateway.messages if isinstance(m, events.Event) and m.code == events.SENSOR_FAULT]
    assert found and found[0].state == events.RAISED
    values = found[0].values
    assert (c.trouble(values[c.TROUBLE]), values[c.RAW]) == ("temperature: garbled", 9)
    assert values[c.QUALITY] & c.FAULTY_PART
