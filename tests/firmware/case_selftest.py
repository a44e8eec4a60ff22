"""The self-test against parts that work, are silent, or answer nonsense; on boards it runs in tests/device."""

import hashlib
import json
import os
import sys
from binascii import hexlify

from rig import BOARD, Time, Uart, folder, write

from kerbnode import config, hal, selftest
from kerbwire import cbor

BIN = {
    "distance": BOARD["sensors"]["distance"],
    "temperature": {"driver": "ds18b20", "pin": 7},
    "tilt": {"driver": "lis3dh", "i2c": 0, "sda": 10, "scl": 1, "frequency_hz": 400000, "address": 0x19},
    "battery": {"pin": 3, "full_scale_mv": 2500, "divider_top_ohm": 1000000, "divider_bottom_ohm": 1000000},
}


class Clock(Time):
    """The board's time, whose whole seconds may run at another rate than its ticks."""

    rate = 1.0

    def time(self):
        return int(self.now_ms * self.rate) // 1000


class Parts:
    """A board's `machine` and what is wired to it. The attributes are what a fault changes."""

    PWRON_RESET = 1

    def __init__(self, time):
        self._time = time
        self.ranges = [800, 801, 800, 799]  # of the ranger, in turn; None: silent
        self.celsius = 21.5  # None: nothing on the one-wire bus
        self.busy = 0  # what it says while it should convert
        self.pin_mv = 1800
        self.addresses = [0x19, 0x10]
        self.mass = 0x33  # what the accelerometer says that it is
        self.pull = 25  # digits that its self-test pulls
        self.powered = []
        self.said = 0
        self.settings = bytes(5)
        self.pulls = 0
        parts = self

        class Pin:
            OUT, IN = 1, 0

            def __init__(self, number, mode=-1, value=None):
                self._number = number

            def value(self, level=None):
                if level is None:
                    return parts.level
                parts.powered.append((self._number, level))

        class ADC:
            ATTN_11DB = 3

            def __init__(self, pin):
                pass

            def atten(self, attenuation):
                pass

            def read_uv(self):
                return parts.pin_mv * 1000

        class I2C:
            def __init__(self, number, sda, scl, freq):
                pass

            def scan(self):
                return parts.addresses

            def writeto_mem(self, address, register, data):
                self._check(address)
                if register & 0x7F == 0x20:
                    parts.settings = bytes(data)
                if register & 0x7F == 0x23:
                    parts.pulls = data[0] & 6

            def readfrom_mem(self, address, register, size):
                self._check(address)
                register &= 0x7F
                if register == 0x20:
                    return parts.settings
                if register == 0x28:
                    pull = parts.pull if parts.pulls else 0
                    return bytes((0, pull, 0, pull, 0, 62 + pull))
                shown = {0x0F: parts.mass, 0x27: 8}.get(register, 0)
                return bytes([0] * (size - 1) + [shown])

            def _check(self, address):
                if address not in parts.addresses:
                    raise OSError(19)

        self.Pin, self.ADC, self.I2C = Pin, ADC, I2C

    def UART(self, number, baud, **options):
        return Uart(self._echo)

    def _echo(self):
        mm = self.ranges[self.said % len(self.ranges)]
        self.said += 1
        if mm is None:
            return b""
        high, low = mm >> 8, mm & 255
        return bytes((0xFF, high, low, (0xFF + high + low) & 255))


class OneWire:
    """The modules onewire and ds18x20 of a board's build."""

    def __init__(self, parts):
        self._parts = parts

    def OneWire(self, pin):
        return pin

    def DS18X20(self, bus):
        self.ow = self
        return self

    def readbyte(self):
        return self._parts.busy

    def convert_temp(self):
        if self._parts.celsius is None:
            raise OSError(5)

    def scan(self):
        return [b"12345678"]

    def read_temp(self, rom):
        return self._parts.celsius


class Radio:
    STA_IF = 0
    is_on = False

    def WLAN(self, interface):
        return self

    def active(self, on):
        self.is_on = on

    def config(self, name):
        assert self.is_on
        return b"\x02\x00\x00\x00\x00\x07"


class Bench:
    """A board with its flash in a folder. run() gives its rows by name."""

    def __init__(self, sensors):
        self.root = folder()
        self.time = Clock()
        self.parts = Parts(self.time)
        self.board = dict(BOARD)
        self.board["sensors"] = dict(sensors)
        self.settings = config.read(self.root + "/node/config.json")[0]
        self.radio = Radio()
        os.mkdir(self.root + "/node")
        write(self.root + "/main.py", b"program")
        self.identity(cbor.encode({1: 7, 2: bytes(16), 3: 0, 4: "depot"}))
        files = {"main.py": hexlify(hashlib.sha256(b"program").digest()).decode()}
        write(self.root + "/bundle.json", json.dumps({"files": files}).encode())

    def identity(self, data):
        write(self.root + "/node/identity.cbor", data)

    def run(self):
        one_wire = OneWire(self.parts)
        modules = {"onewire": one_wire, "ds18x20": one_wire, "network": self.radio}
        before = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        try:
            board_hal = hal.Hal(self.parts, self.time, os.urandom, self.board)
            rows = selftest.run(self.time, board_hal, self.board, self.settings, self.root)
        finally:
            for name in modules:
                del sys.modules[name]
                if before[name] is not None:
                    sys.modules[name] = before[name]
        for row in rows:
            assert sorted(row) == ["cause", "check", "limit", "value", "verdict"]
            assert {type(text) for text in row.values()} == {str}
            assert (row["verdict"] == "pass") == (row["cause"] == "")
        assert not self.radio.is_on
        return {row["check"]: row for row in rows}


def verdicts(rows):
    return {name: rows[name]["verdict"] for name in rows if rows[name]["verdict"] != "pass"}


def fails(rows, name, value, cause):
    """This check and no other has failed, with such a value and such a cause."""
    assert verdicts(rows) == {name: "fail"}, rows
    assert value in rows[name]["value"], rows[name]
    assert cause in rows[name]["cause"], rows[name]
    assert rows[name]["limit"]


def test_a_sound_bin_passes():
    bench = Bench(BIN)
    rows = bench.run()
    assert verdicts(rows) == {}, rows
    assert sorted(rows) == [
        "battery", "clock", "distance", "firmware", "flash", "identity", "link", "radio", "temperature", "tilt",
    ]  # fmt: skip
    assert rows["identity"]["value"] == "node 7 at depot"
    assert rows["distance"]["value"] in ("800 mm, spread 1 mm", "800 mm, spread 2 mm")
    assert rows["tilt"]["value"] == "0 degrees from upright"
    assert rows["temperature"]["value"] == "21.5 degC"
    assert rows["battery"]["value"] == "3.60 V"
    assert rows["radio"]["value"] == "020000000007"
    # The ranger's load switch, once as the cells' load, and off again each time.
    assert [each for each in bench.parts.powered if each[0] == 6] == [(6, 1), (6, 0)] * 2


class Air:
    """kerbnode.link.air: a link that opens, or an error."""

    error = None
    rssi = -61

    def opened(self, hal, board, address, options, identity):
        if self.error:
            raise self.error
        assert (address, options["folder"][-5:], identity.node) == ("here", "/node", 7)
        self.tally = self
        return self

    def close(self):
        self.rssi = 0


def test_each_link_is_opened_once():
    bench = Bench(BIN)
    write(bench.root + "/node/links.json", b'["air:here", "serial:", "ble:", "gone:"]')
    air = sys.modules["kerbnode.link.air"] = Air()
    try:
        rows = bench.run()
        assert verdicts(rows) == {"link:ble": "skip", "link:gone": "fail"}, rows
        assert rows["link:air"]["value"] == "-61 dBm" and air.rssi == 0
        assert "kerb flash" in rows["link:gone"]["cause"]
        write(bench.root + "/node/links.json", b'["air:here"]')
        air.error = OSError("nobody is there: wave")
        fails(bench.run(), "link:air", "not to be had", "nobody is there: wave")
        bench.identity(b"")
        assert verdicts(bench.run()) == {"link:air": "skip", "identity": "skip"}
    finally:
        del sys.modules["kerbnode.link.air"]


def test_the_ranger():
    bench = Bench(BIN)
    bench.parts.ranges = [None]
    fails(bench.run(), "distance", "silent, raw 0", "TX and RX swapped")
    assert bench.parts.powered[-1] == (6, 0)
    bench.parts.ranges = [0]
    fails(bench.run(), "distance", "0 echoes", "point it at a wall")
    bench.parts.ranges = [300, 4000]
    fails(bench.run(), "distance", "spread 3700 mm", "flat wall")
    bench.parts.ranges = [45, 46, 45, 44]
    fails(bench.run(), "distance", "covered, 45 mm", "a bag, water or frost")


def test_a_ranger_that_never_varies_may_be_stuck():
    bench = Bench(BIN)
    bench.parts.ranges = [777]
    rows = bench.run()
    assert verdicts(rows) == {"distance": "skip"} and rows["distance"]["value"] == "stuck, or very still, raw 777"
    assert "hold a hand before it" in rows["distance"]["cause"]


def test_the_thermometer():
    bench = Bench(BIN)
    bench.parts.celsius = None
    fails(bench.run(), "temperature", "silent", "no pull-up")
    bench.parts.celsius = 85
    fails(bench.run(), "temperature", "lost power in between, raw 1360", "its supply breaks down")
    bench.parts.celsius = -70.5
    fails(bench.run(), "temperature", "out of range, raw 64408", "damaged")
    bench.parts.celsius = 99.0
    fails(bench.run(), "temperature", "99.0 degC", "damaged")
    bench.parts.celsius = -50.5
    fails(bench.run(), "temperature", "-50.5 degC", "damaged")
    bench.parts.celsius = -0.5
    assert bench.run()["temperature"]["value"] == "-0.5 degC"
    bench.parts.busy = 255
    fails(bench.run(), "temperature", "stuck, raw 65528", "replace it")


def test_the_battery():
    bench = Bench(BIN)
    bench.parts.pin_mv = 1496
    fails(bench.run(), "battery", "2.99 V", "cells empty")
    bench.parts.pin_mv = 0
    fails(bench.run(), "battery", "0.00 V, silent, raw 0", "a broken wire")
    bench.parts.pin_mv = 2500
    fails(bench.run(), "battery", "out of range, raw 5000", "damaged")
    bench.board["sensors"]["battery"] = dict(BIN["battery"], full_scale_mv=3300)
    bench.parts.pin_mv = 2760
    fails(bench.run(), "battery", "5.52 V", "other resistors")
    for edge in (1500, 2750):
        bench.parts.pin_mv = edge
        assert verdicts(bench.run()) == {}


def test_cells_that_lay_long_are_no_failure():
    bench = Bench(BIN)
    readings = [1200] * 4 + [1500] * 4
    bench.parts.ADC.read_uv = lambda adc: 1000 * (readings.pop(0) if readings else 1800)
    rows = bench.run()
    assert verdicts(rows) == {"battery": "skip"}, rows
    assert rows["battery"]["value"] == "3.60 V, passivated cells, raw 2400" and "33 ohm" in rows["battery"]["cause"]


def test_the_accelerometer():
    bench = Bench(BIN)
    bench.parts.mass = 0x44
    fails(bench.run(), "tilt", "another part, raw 68", "than board.json names")
    bench.parts.mass = 0x33
    bench.parts.pull = 0
    fails(bench.run(), "tilt", "stuck, raw 0", "replace it")


def test_parts_on_i2c():
    bench = Bench(BIN)
    bench.parts.addresses = []
    fails(bench.run(), "tilt", "nothing answers", "no pull-ups")
    bench.parts.addresses = [0x18, 0x10]
    fails(bench.run(), "tilt", "0x18, 0x10 answers", "address pin")


def test_the_clock():
    bench = Bench(BIN)
    for rate in (0, 2.0, 3.0):
        bench.time.rate = rate
        fails(bench.run(), "clock", "against 2100 ms", "crystal")


def test_the_firmwares_files():
    bench = Bench(BIN)
    write(bench.root + "/main.py", b"progran")
    fails(bench.run(), "firmware", "main.py differs", "run kerb flash")
    os.remove(bench.root + "/main.py")
    fails(bench.run(), "firmware", "main.py differs", "run kerb flash")
    os.remove(bench.root + "/bundle.json")
    assert verdicts(bench.run()) == {"firmware": "fail"}


def test_a_board_without_an_identity_is_no_failure():
    bench = Bench(BIN)
    os.remove(bench.root + "/node/identity.cbor")
    rows = bench.run()
    assert verdicts(rows) == {"identity": "skip"} and "kerb provision" in rows["identity"]["cause"]
    bench.identity(b"\x01")
    assert verdicts(bench.run()) == {"identity": "skip"}


def test_a_part_that_raises_hides_no_other():
    bench = Bench(BIN)

    def broken(*arguments, **options):
        raise ValueError("no such pin")

    bench.parts.I2C = broken
    fails(bench.run(), "tilt", "ValueError: no such pin", "board.json names the wrong pins")
    bench.radio.config = broken
    assert verdicts(bench.run()) == {"tilt": "fail", "radio": "fail"}
    bench.parts.ADC = broken
    rows = bench.run()
    assert verdicts(rows) == {"tilt": "fail", "radio": "fail", "battery": "fail"}


def test_the_flash_is_left_as_it_was():
    bench = Bench(BIN)
    before = sorted(os.listdir(bench.root + "/node"))
    rows = bench.run()
    assert sorted(os.listdir(bench.root + "/node")) == before
    assert rows["flash"]["value"].endswith(" KB free")
    bench.settings["outbox_segments"] = 1 << 60
    fails(bench.run(), "flash", " KB free", "kerb erase")
