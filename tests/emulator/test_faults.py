"""Faults, one call each, as firmware meets them."""

import json
import re

import pytest

from kerbtools import boards
from kerbtools.emulator import Identity


def program(make, name, main, *, role="bin", **options):
    facts = json.dumps(boards.load(name).on_board(role)).encode()
    return make(name, role, files={"main.py": main.encode(), "board.json": facts}, **options)


CAUSE = """
import machine, time
kept = bytes(machine.mem_backup()) if hasattr(machine, "mem_backup") else machine.RTC().memory()
print("start", machine.reset_cause(), any(kept))
if hasattr(machine, "mem_backup"):
    machine.mem_backup()[0] = 7
else:
    machine.RTC().memory(b"kept")
with open("/log", "a") as log:
    log.write("x")
time.sleep(100)
"""


@pytest.mark.parametrize("name", ["esp32_c3", "pico_w"])
def test_a_brown_out_starts_the_board_again_as_power_up_does_with_nothing_kept(emulated_board, world, name):
    board = program(emulated_board, name, CAUSE)
    board.start()
    world.advance(5)
    board.brown_out()
    world.advance(5)
    assert board.alive
    assert list(board.console) == ["start 1 False"] * 2
    board.brown_out(at_write=1, tear="half")
    board.reset()
    world.advance(5)
    assert board.starts == 4  # the write of the third life tore, and the fourth came by itself
    assert board.console[-1] == "start 1 False"
    board.cut_power()
    with pytest.raises(RuntimeError, match="is off"):
        board.brown_out()


RANGE = """
import json, machine, time
facts = json.load(open("/board.json"))["sensors"]["distance"]
machine.Pin(facts["power_pin"], machine.Pin.OUT, value=1)
uart = machine.UART(facts["uart"], facts["baud"], timeout=150)
while True:
    time.sleep(1)
    uart.read(uart.any())
    good, noise, values = 0, 0, set()
    for _ in range(20):
        frame = uart.read(4)
        if frame and len(frame) == 4 and frame[0] == 0xFF and sum(frame[:3]) & 0xFF == frame[3]:
            good += 1
            values.add(frame[1] << 8 | frame[2])
        elif frame:
            noise += 1
            uart.read(uart.any())
    print("frames", good, noise, len(values))
    time.sleep(56)
"""


def test_a_sensor_that_is_stuck_silent_noisy_or_absent(emulated_board, world):
    board = program(emulated_board, "esp32_c3", RANGE)
    board.start()

    def frames():
        before = board.lines
        world.advance(120)
        good, noise, values = map(int, list(board.console)[before - board.lines + 1].split()[1:])
        return good, noise, values

    good, noise, values = frames()
    assert (good, noise) == (20, 0)
    assert values > 2
    board.break_part("distance", "stuck")
    assert frames() == (20, 0, 1)
    board.break_part("distance", None)
    board.make_noisy("distance", 0.05)
    good, noise, values = frames()
    assert 5 < good < 20
    assert noise > 0
    board.make_noisy("distance", 0)
    assert frames()[:2] == (20, 0)
    board.remove_part("distance")
    assert frames() == (0, 0, 0)
    board.fit_part("distance")
    assert frames()[:2] == (20, 0)


def test_wrong_names_are_told_with_the_right_ones(emulated_board):
    board = program(emulated_board, "esp32_c3", "")
    with pytest.raises(ValueError, match="battery, distance, temperature, tilt"):
        board.break_part("light", "stuck")
    with pytest.raises(ValueError, match="silent, garbled, stuck, brown_out"):
        board.break_part("distance", "melted")
    with pytest.raises(ValueError, match="on no UART"):
        board.make_noisy("battery", 0.1)
    with pytest.raises(ValueError, match="from 0 to 1"):
        board.make_noisy("link", 2)


@pytest.fixture
def node(emulated_board):
    def make(name="esp32_c3", **config):
        return emulated_board(name, identity=Identity(node=1, secret=bytes(16)), config={"interval_s": 600, **config})

    return make


def test_the_firmware_lives_without_each_of_its_parts(node, world):
    board = node()
    board.start()
    for slot in ("distance", "temperature", "battery"):
        board.remove_part(slot)
        before = board.lines
        world.advance(1800)
        lines = list(board.console)[before - board.lines :]
        assert sum(line.startswith("taken") for line in lines) >= 2
        assert not [line for line in lines if "crash" in line], lines


VOLTS = """
import json, machine, time
facts = json.load(open("/board.json"))["sensors"]["battery"]
adc = machine.ADC(machine.Pin(facts["pin"]))
while True:
    print("mv", adc.read_u16() * facts["full_scale_mv"] // 65535 * 2)
    time.sleep(60)
"""


def test_a_drained_battery_shows_at_its_divider(emulated_board, world):
    board = program(emulated_board, "pico_w", VOLTS)
    board.start()
    world.advance(30)
    full = int(board.console[-1].split()[1])
    assert full > 3400
    board.drain_battery(2.9)
    world.advance(60)
    assert int(board.console[-1].split()[1]) == pytest.approx(2900, abs=10)
    assert board.truth().battery_v == pytest.approx(2.9, abs=0.01)


def test_a_wrong_clock_is_the_boards_own_and_not_the_worlds(emulated_board, world):
    main = "import time\nwhile True:\n    print(time.time())\n    time.sleep(100)"
    board = program(emulated_board, "esp32_c3", main)
    board.start()
    world.advance(10)
    utc = world.now()
    board.shift_clock(3600)
    world.advance(100)
    assert [int(line) for line in board.console] == [0, 3700]
    assert world.now() - utc == pytest.approx(100, abs=0.1)


ECHO = """
import machine
uart = machine.UART(0, 115200, timeout=100)
print("ready")
while True:
    data = uart.read(uart.any() or 1)
    if data:
        uart.write(data)
"""


def test_a_noisy_link_spoils_bytes_both_ways(emulated_board, world):
    import os
    import time

    board = program(emulated_board, "esp32_c3", ECHO)
    end = os.open(board.link_path, os.O_RDWR | os.O_NOCTTY)
    os.set_blocking(end, False)
    board.make_noisy("link", 0.1)
    board.start()
    world.resume()
    board.wait_line("ready")
    sent, came = bytes(range(200)), b""
    os.write(end, sent)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and len(came) < 190:
        try:
            came += os.read(end, 256)
        except BlockingIOError:
            time.sleep(0.002)
    os.close(end)
    assert came != sent
    assert 150 < len(came) < 240
    spoilt = board.hardware.noise[0].spoilt
    assert 15 < spoilt < 90


METER = """
import json, machine, time
facts = json.load(open("/board.json"))["sensors"]
meter = facts["meter"]
uart = machine.UART(meter["uart"], meter["baud"], timeout=200)
presence = machine.Pin(facts["presence"]["pin"], machine.Pin.IN)
while True:
    uart.write(b"\\x58\\xaa")
    frame = uart.read(23)
    print(frame and (frame[0], int.from_bytes(frame[10:13], "little") > 0, int.from_bytes(frame[4:7], "little") > 0),
          presence.value())
    time.sleep(60)
"""


def test_a_lamps_faults_show_at_its_meter_and_its_sensors(emulated_board, world):
    board = program(emulated_board, "esp32_c3", METER, role="lamp")
    board.start()
    world.advance(30)
    assert board.console[-1].startswith("(85, True, True)")
    standby_w, full_w = 0.5, 60.0
    board.break_part("luminaire", "dead")
    world.advance(60)
    assert board.hardware.wired.luminaire.power_w(world.now_us()) == standby_w
    board.break_part("luminaire", None)
    assert board.hardware.wired.luminaire.power_w(world.now_us()) == full_w
    board.scene.outage = True
    world.advance(60)
    assert board.console[-1].startswith("(85, False, False)")
    board.break_part("meter", "silent")
    board.break_part("presence", "stuck")
    world.advance(60)
    assert board.console[-1] == "None 1"


def test_every_board_and_role_can_be_asked_for_each_fault_of_its_parts(emulated_board, world):
    for name in boards.names():
        for role in boards.load(name).roles:
            board = emulated_board(name, role, files={"main.py": b"import machine\nmachine.deepsleep(60000)"})
            board.start()
            for slot, part in board.hardware.parts.items():
                for fault in (*part.FAULTS, None):
                    board.break_part(slot, fault)
            world.advance(130)
            assert board.wakes == 2
            assert not [line for line in board.console if re.search("Error|emulator", line)]
