"""Drivers against streams and parts that behave as the data sheets say, faults included."""

import sys

from rig import Time, Uart

from kerbnode.drivers import a02yyuw, divider, ds18b20, jsn_sr04t, lis3dh, vl53l1x
from kerbwire.channels import (
    FAULT,
    GARBLED,
    LATE,
    NO_CONVERSION,
    NO_ECHO,
    OUT_OF_RANGE,
    SILENT,
    SPREAD_ECHOES,
    STUCK,
    WEAK_ECHO,
    WRAPPED_ECHO,
    WRONG_PART,
)  # fmt: skip


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
    assert parsed(frame(0) + frame(4501) + frame(65535))[0] == [NO_ECHO] * 3
    assert parsed(frame(29) + frame(1))[0] == [29, 1]  # in its blind zone: something is there


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


class Board(Time):
    """A hal: the time, and a `machine` with what a test puts there."""

    def __init__(self):
        Time.__init__(self)
        self.machine = self

    def pin(self, number):
        return number

    def i2c(self, facts):
        return self.bus

    def uart(self, facts, rxbuf):
        return Uart(lambda: self.source(self.now_ms))


def measured(source, count=7, timeout_ms=2500):
    board = Board()
    board.source = source
    return a02yyuw.measure(board, {}, count, timeout_ms), board.now_ms


def test_measuring_ends_with_enough_echoes():
    found, took_ms = measured(lambda now_ms: frame(700) if now_ms % 100 == 0 else b"")
    assert found == ([700] * 7, 0, 0, 0) and took_ms == 700


def test_a_dead_part_ends_with_the_time():
    found, took_ms = measured(lambda now_ms: b"")
    assert found == ([], 0, SILENT, 0) and took_ms == 2500


def test_a_part_that_babbles_ends_with_the_time_and_tells_how_much_it_said():
    (readings, _, reason, raw), took_ms = measured(lambda now_ms: b"\x55" * 20)
    assert (readings, reason) == ([], GARBLED) and raw > 1000 and took_ms == 2500


def test_noise_between_echoes_is_told_and_no_fault():
    found, _ = measured(lambda now_ms: b"\x01" + frame(700) if now_ms % 100 == 0 else b"")
    assert found == ([700] * 7, 0, 0, 7)


class Echoes:
    """A trigger-and-echo part's pins: widths, what time_pulse_us gives in turn; high: the echo pin's level before."""

    OUT, IN = 1, 0

    def __init__(self, widths, high=0):
        self.widths = widths
        self.high = high
        self.board = board = Board()
        self.log = []
        board.Pin = self
        board.time_pulse_us = self.time_pulse_us

    def __call__(self, number, mode, value=None):
        self.log.append((number, mode, value))
        return self

    def value(self, level=None):
        if level is None:
            return self.high
        self.log.append(level)

    def time_pulse_us(self, pin, level, timeout_us):
        assert pin is self and level == 1 and timeout_us <= 100000
        width = self.widths[self.log.count(1) - 1]
        self.board.now_ms += (timeout_us if width < 0 else width) // 1000
        return width

    def measure(self, count=7, timeout_ms=2500):
        return jsn_sr04t.measure(self.board, {"trigger": 4, "echo": 5}, count, timeout_ms)


def test_trigger_and_echo():
    part = Echoes([5824, 2912, 38000, 14560, 26208, 26300, 1])
    assert part.measure() == ([999, 499, NO_ECHO, 2499, 4499, NO_ECHO, 0], 0, 0, 0)
    assert part.log[:2] == [(4, 1, 0), (5, 0, None)] and part.log[2:] == [1, 0] * 7
    assert part.board.now_ms >= 7 * jsn_sr04t.PAUSE_MS


def test_a_silent_trigger_and_echo_part_and_one_that_is_stuck():
    assert Echoes([-2] * 7).measure() == ([], 0, SILENT, 0)
    assert Echoes([-1] * 7).measure() == ([], 0, STUCK, 1)
    assert Echoes([], high=1).measure() == ([], 0, STUCK, 1)
    assert Echoes([-2, 5824, -2, 5824, -2, 5824, -2]).measure() == ([999] * 3, 0, 0, 0)


def test_trigger_and_echo_end_with_the_time():
    part = Echoes([-2] * 200)
    part.measure(200, 2500)
    assert part.board.now_ms <= 2500 + 200


class Registers:
    """A device on I2C: `answer(register, size)` gives what it shows, writes are kept by register."""

    def __init__(self, answer, addrsize):
        self._answer = answer
        self._addrsize = addrsize
        self.written = []

    def readfrom_mem(self, address, register, size, addrsize=8):
        assert addrsize == self._addrsize
        data = self._answer(register, size)
        assert len(data) == size, hex(register)
        return data

    def writeto_mem(self, address, register, data, addrsize=8):
        assert addrsize == self._addrsize
        self.written.append((register, bytes(data)))


class Flight:
    """A VL53L1X with these results (status, mm), one each 100 ms once it was started."""

    def __init__(self, results, identity=b"\xea\xcc", boots_ms=2):
        self.results = results
        self.identity = identity
        self.boots_ms = boots_ms
        self.board = Board()
        self.board.bus = Registers(self.answer, 16)

    def answer(self, register, size):
        written = self.board.bus.written
        taken = written.count((0x86, b"\x01"))
        starts = [data[-1] & 0x40 for where, data in written if where == 0x2D]
        if register == 0x10F:
            return self.identity
        if register == 0xE5:
            return b"\x03" if self.board.now_ms >= self.boots_ms else b"\x02"
        if register == 0x31:
            ready = starts and taken < len(self.results) and self.board.now_ms >= (taken + 1) * 100
            return b"\x03" if ready else b"\x02"
        assert register == 0x89
        status, mm = self.results[taken]
        return bytes([status | 0x60]) + bytes(12) + bytes((mm >> 8, mm & 255))

    def measure(self, count=7, timeout_ms=2500):
        return vl53l1x.measure(self.board, {"address": 0x29}, count, timeout_ms)


def test_time_of_flight():
    part = Flight([(19, 700)] + [(9, 700 + number) for number in range(1, 7)])
    assert part.measure() == ([700, 701, 702, 703, 704, 705, 706], 0, 0, 9)
    start, stop = part.board.bus.written[0], part.board.bus.written[-1]
    assert start[0] == 0x2D and len(start[1]) == 0x88 - 0x2D and start[1][-1] == 0x40
    assert stop == (0x87, b"\x00")


def test_the_statuses_of_a_flight_are_kept_apart():
    for status, flags in ((6, SPREAD_ECHOES), (4, WEAK_ECHO), (7, WRAPPED_ECHO), (5, 0)):
        assert Flight([(status, 700)] * 7).measure() == ([NO_ECHO] * 7, flags, 0, status), status
    assert Flight([(8, 12)] * 7).measure()[0] == [12] * 7  # nearer than it can tell: something is there
    few = Flight([(4, 700)] * 3 + [(9, 700)] * 4).measure()
    assert few[:2] == ([NO_ECHO] * 3 + [700] * 4, 0)  # most were good
    assert Flight([(4, 700)] * 4 + [(9, 700)] * 3).measure()[1] == WEAK_ECHO


def test_faults_of_a_flight():
    assert Flight([(3, 0)] * 30).measure() == ([], 0, GARBLED, 3)
    assert Flight([]).measure() == ([], 0, LATE, 0)
    assert Flight([(9, 700)], boots_ms=99999).measure() == ([], 0, LATE, 0)
    assert Flight([], identity=b"\xea\xaa").measure() == ([], 0, WRONG_PART, 0xEAAA)
    part = Flight([])
    part.measure()
    assert part.board.now_ms <= 2600


class Mass:
    """An LIS3DH. mg: what pulls at it. pull_mg: what its self-test adds."""

    def __init__(self, mg, identity=0x33, pull_mg=400, knocked=False, ready=8):
        self.mg = mg
        self.identity = identity
        self.pull_mg = pull_mg
        self.source = 0x40 if knocked else 0
        self.ready = ready
        self.degrees = 21
        self.board = Board()
        self.board.bus = Registers(self.answer, 8)
        self.registers = {}

    def answer(self, register, size):
        assert register & 0x80
        register &= 0x7F
        self.registers = {}
        for where, data in self.board.bus.written:
            for at in range(len(data)):
                self.registers[(where & 0x7F) + at] = data[at]
        if register == 0x0F:
            return bytes([self.identity])
        if register == 0x20:
            return bytes([self.registers.get(0x20 + at, 0) for at in range(size)])
        if register == 0x31:
            source, self.source = self.source, 0
            return bytes([source])
        if register == 0x0C:
            return bytes([0, self.degrees - 25 & 255])
        if register == 0x27:
            return bytes([self.ready])
        assert register == 0x28 and size == 6
        pull = self.pull_mg if self.registers.get(0x23, 0) & 6 else 0
        digits = [max(-128, min(127, (mg + pull) // 16)) & 255 for mg in self.mg]
        return bytes((0, digits[0], 0, digits[1], 0, digits[2]))

    def read(self, prove=False):
        return lis3dh.read(self.board, {"address": 0x19}, prove)


def test_tilt_from_gravity():
    for mg, degrees in (
        ((0, 0, 1000), 0), ((500, 0, 866), 30), ((-500, 0, 866), 30), ((0, 707, 707), 45), ((0, 1000, 0), 90),
        ((600, 600, -529), 122), ((0, 0, -1000), 180),
    ):  # fmt: skip
        tilt_deg, moved, half_c, reason, _ = Mass(mg).read()
        assert abs(tilt_deg - degrees) <= 1 and not moved and reason == 0 and half_c == 42, (mg, tilt_deg)


def test_angles_to_half_a_degree():
    for across, up, degrees in (
        (0, 1000, 0), (9, 1000, 1), (176, 985, 10), (500, 866, 30), (707, 707, 45), (866, 500, 60), (985, 174, 80),
        (1000, 0, 90), (866, -500, 120), (17, -1000, 179), (0, -1000, 180), (0, 0, 0),
    ):  # fmt: skip
        assert abs(lis3dh.angle_deg(across, up) - degrees) <= 1 and 0 <= lis3dh.angle_deg(across, up) <= 180
    for number in (0, 1, 2, 3, 4, 8, 9, 15, 16, 999999, 1000000, 12582912):
        assert lis3dh.root(number) ** 2 <= number < (lis3dh.root(number) + 1) ** 2


def test_the_interrupt_is_set_up_once_and_told_once():
    part = Mass((0, 0, 1000))
    part.read()
    settings = [where for where, _ in part.board.bus.written].count(0x20 | 0x80)
    part.source = 0x40
    assert part.read()[1] is True and part.read()[1] is False
    assert settings == [where for where, _ in part.board.bus.written].count(0x20 | 0x80) == 1
    assert part.registers[0x22] & 0x40 and part.registers[0x24] & 8 and part.registers[0x30] == 0x0A


def test_what_lies_tilted_does_not_interrupt_for_ever():
    part = Mass((900, 0, 400))
    part.read()
    part.answer(0x8F, 1)
    assert part.registers[0x30] == 0x85
    part.mg = (0, 0, 1000)
    part.read()
    part.answer(0x8F, 1)
    assert part.registers[0x30] == 0x0A


def test_faults_of_the_accelerometer():
    assert Mass((0, 0, 1000), identity=0x44).read() == (FAULT, False, FAULT, WRONG_PART, 0x44)
    assert Mass((0, 0, 0)).read()[3:] == (OUT_OF_RANGE, 0)
    assert Mass((2000, 0, 0)).read()[3:] == (OUT_OF_RANGE, 2000)
    assert Mass((0, 0, 1000), ready=0).read()[3:] == (LATE, 0)
    assert Mass((0, 0, 1000)).read(True)[3] == 0
    assert Mass((0, 0, 1000), pull_mg=0).read(True) == (FAULT, False, 42, STUCK, 0)
    part = Mass((0, 0, 1000), pull_mg=0)
    part.read(True)
    part.answer(0x8F, 1)
    assert part.registers[0x30] == 0 and part.registers[0x23] == 0x80  # no interrupts of it, and no self-test goes on


def test_the_dies_temperature_below_zero():
    part = Mass((0, 0, 1000))
    part.degrees = -20
    assert part.read()[2] == -40


class Bus:
    """A ds18x20.DS18X20 with a part that shows `celsius`; fails: the calls that raise. It is its own OneWire bus."""

    def __init__(self, celsius=21.5, roms=1, fails=(), busy=0):
        self._celsius = celsius
        self._roms = roms
        self._fails = fails
        self._busy = busy
        self.ow = self

    def _call(self, name, result):
        if name in self._fails:
            raise Exception("CRC error")
        return result

    def readbyte(self):
        return self._busy

    def convert_temp(self):
        return self._call("convert", None)

    def scan(self):
        return self._call("scan", [bytearray(8)] * self._roms)

    def read_temp(self, rom):
        return self._call("read", self._celsius)


def temperature(bus):
    modules = {"onewire": Modules(bus), "ds18x20": Modules(bus)}
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        return ds18b20.read(ds18b20.start(Board(), {"pin": 7}))
    finally:
        for name in modules:
            del sys.modules[name]
            if before[name] is not None:
                sys.modules[name] = before[name]


class Modules:
    """The modules onewire and ds18x20 of a board's build."""

    def __init__(self, bus):
        self._bus = bus

    def OneWire(self, pin):
        assert pin == 7
        return self._bus

    def DS18X20(self, bus):
        return bus


def test_temperature_in_half_degrees():
    for celsius, half_c in ((21.5, 43), (-10.25, -20), (0.0, 0), (125.0, 250), (-55.0, -110), (20.6875, 41)):
        assert temperature(Bus(celsius))[:2] == (half_c, 0)


def test_every_fault_of_the_thermometer_has_its_name_and_what_the_part_said():
    assert temperature(Bus(roms=0)) == (FAULT, SILENT, 0)
    assert temperature(Bus(fails=("convert",))) == (FAULT, SILENT, 0)
    assert temperature(Bus(fails=("scan",))) == (FAULT, SILENT, 0)
    assert temperature(Bus(fails=("read",)))[:2] == (FAULT, GARBLED)
    assert temperature(Bus(85.0)) == (FAULT, NO_CONVERSION, 1360)
    assert temperature(Bus(-127.0)) == (FAULT, OUT_OF_RANGE, 65536 - 2032)
    assert temperature(Bus(150.0)) == (FAULT, OUT_OF_RANGE, 2400)
    assert temperature(Bus(21.5, busy=255)) == (FAULT, STUCK, 344)  # it did not convert, and shows an older value
    for celsius, half_c in ((84.75, 170), (84.9375, 170), (85.0625, 170), (85.25, 170), (86.0, 172)):
        assert temperature(Bus(celsius))[0] == half_c  # near it is a temperature


def volts(readings, top_ohm=1000000, bottom_ohm=1000000):
    board = Board()
    board.adc_mv = lambda facts: readings
    return divider.millivolts(board, {"divider_top_ohm": top_ohm, "divider_bottom_ohm": bottom_ohm})


def test_battery_behind_a_divider():
    assert volts(lambda: 1800) == 3600
    assert volts(lambda: 0) == 0
    assert volts([1798, 1802, 1801, 1799].pop) == 3600
    assert volts(lambda: 1200, 2000000) == 3600
