"""Drivers against streams and parts that behave as the data sheets say, faults included."""

from rig import Time, Uart

from kerbnode.drivers import a02yyuw, battery, ds18b20
from kerbwire.channels import FAULT, NO_ECHO


def frame(range_mm):
    high, low = range_mm >> 8, range_mm & 255
    return bytes((0xFF, high, low, (0xFF + high + low) & 255))


def parsed(data, step=None):
    parser = a02yyuw.Parser()
    readings = []
    for at in range(0, len(data), step or len(data) or 1):
        readings += parser.feed(data[at : at + (step or len(data))])
    return readings, parser.noise


def test_the_data_sheets_frame():
    assert parsed(b"\xff\x07\xa1\xa7") == ([1953], 0)


def test_frames_come_out_however_they_are_cut():
    data = b"".join([frame(mm) for mm in (30, 255, 256, 511, 1200, 4500)])
    for step in range(1, 9):
        assert parsed(data, step) == ([30, 255, 256, 511, 1200, 4500], 0)


def test_nothing_there_is_no_echo():
    assert parsed(frame(0) + frame(29) + frame(4501) + frame(65535))[0] == [NO_ECHO] * 4


def test_noise_is_skipped_and_counted():
    assert parsed(b"\x01\x02" + frame(700) + b"\xff\xff" + frame(800)) == ([700, 800], 4)
    assert parsed(frame(700)[2:] + frame(800)) == ([800], 2)
    assert parsed(frame(700)[:2] + frame(800)) == ([800], 2)
    assert parsed(b"\xff" * 50)[0] == []
    assert parsed(b"\x00" * 50) == ([], 47)
    damaged = bytearray(frame(700))
    damaged[3] ^= 1
    assert parsed(bytes(damaged) + frame(900)) == ([900], 4)


def test_any_single_flipped_bit_gives_no_wrong_reading_alone():
    for bit in range(32):
        data = bytearray(frame(1200))
        data[bit // 8] ^= 1 << bit % 8
        assert parsed(bytes(data))[0] == []


def test_the_parser_holds_less_than_a_frame():
    parser = a02yyuw.Parser()
    for _ in range(100):
        parser.feed(b"\xff\x07\xa1")
    assert len(parser._held) < 4


def measured(source, count=7, timeout_ms=2500):
    time = Time()
    readings = a02yyuw.measure(Uart(lambda: source(time.now_ms)), time, count, timeout_ms, a02yyuw.Parser())
    return readings, time.now_ms


def test_measuring_ends_with_enough_echoes():
    readings, took_ms = measured(lambda now_ms: frame(700) if now_ms % 100 == 0 else b"")
    assert readings == [700] * 7 and took_ms == 700


def test_a_dead_part_ends_with_the_time():
    readings, took_ms = measured(lambda now_ms: b"")
    assert readings == [] and took_ms == 2500


def test_a_part_that_babbles_ends_with_the_time():
    readings, took_ms = measured(lambda now_ms: b"\x55" * 20)
    assert readings == [] and took_ms == 2500


class Bus:
    """A ds18x20.DS18X20 with a part that shows `celsius`; fails: the calls that raise."""

    def __init__(self, celsius=21.5, roms=1, fails=()):
        self._celsius = celsius
        self._roms = roms
        self._fails = fails

    def _call(self, name, result):
        if name in self._fails:
            raise Exception("CRC error")
        return result

    def convert_temp(self):
        return self._call("convert", None)

    def scan(self):
        return self._call("scan", [bytearray(8)] * self._roms)

    def read_temp(self, rom):
        return self._call("read", self._celsius)


def temperature(bus):
    thermometer = ds18b20.Ds18b20(bus)
    thermometer.start()
    return thermometer.read()


def test_temperature_in_half_degrees():
    for celsius, half_c in ((21.5, 43), (-10.25, -20), (0.0, 0), (125.0, 250), (-55.0, -110), (20.6875, 41)):
        assert temperature(Bus(celsius)) == half_c


def test_every_fault_of_the_thermometer_is_a_fault():
    assert temperature(Bus(roms=0)) == FAULT
    for call in ("convert", "scan", "read"):
        assert temperature(Bus(fails=(call,))) == FAULT
    assert temperature(Bus(85.0)) == FAULT  # no conversion took place
    for celsius, half_c in ((84.75, 170), (84.9375, 170), (85.0625, 170), (85.25, 170), (86.0, 172)):
        assert temperature(Bus(celsius)) == half_c  # near it is a temperature
    assert temperature(Bus(-127.0)) == FAULT
    assert ds18b20.Ds18b20(Bus()).read() == FAULT  # never started


def test_battery_behind_a_divider():
    assert battery.volts_10mv(lambda: 1800, 1000000, 1000000) == 360
    assert battery.volts_10mv(lambda: 0, 1000000, 1000000) == 0
    readings = [1798, 1802, 1801, 1799]
    assert battery.volts_10mv(readings.pop, 1000000, 1000000) == 360
