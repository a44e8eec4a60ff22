"""The bin's sensors through the official MicroPython calls, against the truth of the scene."""

import itertools
import statistics

import pytest

from kerbtools.emulator import BinScene
from kerbtools.emulator.parts import A02yyuw, Ds18b20, crc8, speed_of_sound
from kerbtools.emulator.world import START_UTC

START_US = START_UTC * 1_000_000
HOUR_US = 3_600_000_000

READ = """
import json, machine, onewire, ds18x20, time
board = json.load(open("/board.json"))["sensors"]
power = machine.Pin(board["distance"]["power_pin"], machine.Pin.OUT, value=1)
uart = machine.UART(board["distance"]["uart"], 9600, timeout=500)
bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(board["temperature"]["pin"])))
roms = bus.scan()
print("before", bus.read_temp(roms[0]))
bus.convert_temp()
time.sleep_ms(750)
print("temperature", bus.read_temp(roms[0]), len(roms))
frames = [uart.read(4) for _ in range(9)]
print("distance", *[f[1] * 256 + f[2] for f in frames if f[0] == 0xFF and sum(f[:3]) & 0xFF == f[3]])
power.off()
adc = machine.ADC(machine.Pin(board["battery"]["pin"]))
print("battery", adc.read_u16() * board["battery"]["full_scale_mv"] // 65535 * 2)
print("silent", uart.read())
print("nothing", machine.ADC(machine.Pin(0)).read_u16())
"""


@pytest.mark.parametrize("name", ["esp32_c3", "pico_w"])
def test_the_sensors_tell_the_truth_within_their_limits(emulated_board, name):
    import json

    from kerbtools import boards

    files = {"main.py": READ.encode(), "board.json": json.dumps(boards.load(name).on_board()).encode()}
    board = emulated_board(name, files=files)
    board.start()
    board.world.advance(10)
    truth = board.truth()
    seen = {line.split()[0]: line.split()[1:] for line in board.console}
    assert seen["before"] == ["85.0"]
    assert float(seen["temperature"][0]) == pytest.approx(truth.temperature_c, abs=0.1)
    distance = statistics.median(int(mm) for mm in seen["distance"] if int(mm))
    corrected = distance * speed_of_sound(truth.temperature_c) / speed_of_sound(20)
    assert corrected == pytest.approx(truth.distance_mm, abs=6)
    assert int(seen["battery"][0]) / 1000 == pytest.approx(truth.battery_v, abs=0.01)
    assert seen["silent"] == ["None"]
    assert seen["nothing"] == ["0"]


def test_a_bin_fills_and_is_emptied_and_depends_on_seed_and_time_only():
    scene = BinScene("seed", START_US)
    moments = [START_US + hour * HOUR_US // 2 for hour in range(2 * 24 * 28)]
    levels = [scene.truth(us).fill_percent for us in moments]
    assert all(0 <= level <= 100 for level in levels)
    assert max(levels) > 60
    falls = sum(1 for a, b in itertools.pairwise(levels) if b < a - 10)
    assert 4 <= falls <= scene.truth(moments[-1]).emptied <= 28
    asked_otherwise = BinScene("seed", START_US)
    assert [asked_otherwise.truth(us).fill_percent for us in reversed(moments)] == levels[::-1]
    assert BinScene("other", START_US).truth(moments[-1]) != scene.truth(moments[-1])


def test_temperature_and_battery_stay_in_the_range_of_a_street():
    scene = BinScene("seed", START_US)
    truths = [scene.truth(START_US + hour * HOUR_US) for hour in range(24 * 28)]
    assert all(-15 < truth.temperature_c < 35 for truth in truths)
    assert all(3.4 < truth.battery_v < 3.7 for truth in truths)


@pytest.fixture
def ranger():
    scene = BinScene("seed", START_US)
    part = A02yyuw("seed/a02yyuw", scene.truth, reference_c=20, warm_up_ms=300)
    part.power(True, START_US)
    return part, scene


def readings(part, seconds=60):
    data = part.sent(START_US, START_US + seconds * 1_000_000, 1 << 20)
    frames = [data[i : i + 4] for i in range(0, len(data), 4)]
    return [f[1] * 256 + f[2] for f in frames if f[0] == 0xFF and sum(f[:3]) & 0xFF == f[3]]


def test_frames_come_each_100_ms_after_the_warm_up(ranger):
    part, _ = ranger
    assert part.sent(START_US, START_US + 299_999, 256) == b""
    assert len(part.sent(START_US, START_US + 300_000, 256)) == 4
    assert len(part.sent(START_US, START_US + 1_250_000, 256)) == 40
    assert len(part.sent(START_US + 300_000, START_US + 400_000, 256)) == 4
    assert len(part.sent(START_US, START_US + 60_000_000, 256)) == 256
    part.power(False, START_US)
    assert part.sent(START_US, START_US + 60_000_000, 256) == b""


def test_echoes_are_noisy_and_sometimes_missing_or_early(ranger):
    part, scene = ranger
    seen = readings(part)
    expected = (
        scene.truth(START_US).distance_mm * speed_of_sound(20) / speed_of_sound(scene.truth(START_US).temperature_c)
    )
    good = [mm for mm in seen if abs(mm - expected) < 10]
    assert len(good) > 0.9 * len(seen)
    assert 0 in seen
    assert any(0 < mm < expected - 10 for mm in seen)
    assert len(set(good)) > 3


def test_the_reading_depends_on_the_air(ranger):
    part, scene = ranger
    cool = statistics.median(readings(part))
    scene.extra_c = 30.0
    warm = statistics.median(readings(part))
    assert warm / cool == pytest.approx(
        speed_of_sound(scene.truth(START_US).temperature_c - 30) / speed_of_sound(scene.truth(START_US).temperature_c),
        abs=0.005,
    )


def test_faults(ranger):
    part, _ = ranger
    part.fault = "silent"
    assert readings(part) == []
    part.fault = "no_echo"
    assert set(readings(part)) == {0}
    part.fault = "stuck"
    assert set(readings(part)) == {777}
    part.fault = "garbled"
    assert len(readings(part)) < 10


def test_the_thermometer_speaks_the_data_sheets_protocol():
    scene = BinScene("seed", START_US)
    scene.extra_c = -30.0
    part = Ds18b20(0x1234, scene.truth)
    assert crc8(part.address) == 0
    assert part.reset()
    for value in (0xCC, 0x44):
        part.write(value, START_US)
    for at_us, ready in ((START_US + 749_999, False), (START_US + 750_000, True)):
        part.reset()
        for value in (0x55, *part.address, 0xBE):
            part.write(value, at_us)
        pad = bytes(part.read(at_us) for _ in range(9))
        assert crc8(pad) == 0
        celsius = int.from_bytes(pad[:2], "little", signed=True) / 16
        assert celsius == pytest.approx(scene.truth(START_US).temperature_c, abs=0.04) if ready else celsius == 85
    part.present = False
    assert not part.reset()
    assert part.read(START_US) == 0xFF
    assert part.scan() == b""
