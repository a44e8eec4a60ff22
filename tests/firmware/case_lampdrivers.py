"""The lamp's sensors and outputs against streams and buses as the data sheets say, faults included."""

from kerbnode.drivers import bh1750, bl0942, ld2410, level, pwm, relay, veml7700
from kerbnode.lamp.parts import OFF_MS, REST_MS, Parts
from kerbwire.channels import (
    AT_LIGHT,
    ENERGY,
    FAULT,
    GARBLED,
    NOT_FITTED,
    OUT_OF_RANGE,
    POWER,
    SILENT,
    STUCK,
    SUPPLY,
    WRONG_PART,
)  # fmt: skip

try:
    from gc import mem_alloc
except ImportError:  # CPython counts no bytes

    def mem_alloc():
        return 0


class Serial:
    """A UART: what `say` was given is read, in order; what is written is kept."""

    def __init__(self):
        self.held = b""
        self.asked = []
        self.answer = None

    def say(self, data):
        self.held = (self.held + data)[:256]

    def any(self):
        return len(self.held)

    def readinto(self, buffer):
        count = min(len(buffer), len(self.held))
        buffer[:count] = self.held[:count]
        self.held = self.held[count:]
        return count or None

    def write(self, data):
        self.asked.append(bytes(data))
        if self.answer:
            self.say(self.answer())


class Pin:
    IN, OUT, IRQ_RISING, IRQ_FALLING = 0, 1, 1, 2

    @staticmethod
    def count():
        Pin.called += 1

    def __init__(self, number, mode=0, value=None):
        self.level = value or 0
        self.handler = None

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level

    def irq(self, handler=None, trigger=0):
        self.handler = handler


class Timer:
    ONE_SHOT = 0

    def __init__(self, number):
        if number < 0:
            raise ValueError
        Timer.last = self
        self.period = None

    def init(self, mode, period, callback):
        self.period, self.callback = period, callback


class Pwm:
    def __init__(self, pin, freq, duty_u16):
        Pwm.duty = duty_u16

    def duty_u16(self, duty):
        Pwm.duty = duty


class Bus:
    """An I2C bus with one part on it: registers of two bytes, or the two bytes that any reading gives."""

    def __init__(self, registers):
        self.registers = registers
        self.there = True
        self.written = []

    def _check(self):
        if not self.there:
            raise OSError(19, "no answer")

    def readfrom_mem_into(self, address, register, buffer):
        self._check()
        buffer[:] = self.registers.get(register, b"\x00\x00")

    def writeto_mem(self, address, register, data):
        self._check()
        self.registers[register] = bytes(data)

    def writeto(self, address, data):
        self._check()
        self.written.append(bytes(data))

    def readfrom_into(self, address, buffer):
        self._check()
        buffer[:] = self.registers[0]


class Board:
    """What a driver asks of the hal."""

    def __init__(self, bus=None):
        self.serial = Serial()
        self.bus = bus
        self.machine = self
        self.Pin, self.PWM, self.Timer = Pin, Pwm, Timer

    def uart(self, facts, rxbuf):
        return self.serial

    def i2c(self, facts):
        return self.bus

    def chip_celsius(self):
        return 31


def report(state=3, far_cm=312, kind=2, tail=b"\xf8\xf7\xf6\xf5", mark=b"\x55\x00", more=b""):
    """A report of the radar; the numbers of the protocol's own example are 0x0138 and so on."""
    far = bytes((far_cm & 255, far_cm >> 8))
    body = bytes((kind, 0xAA, state)) + far + b"\x3c" + far + b"\x50" + far + more + mark
    return b"\xf4\xf3\xf2\xf1" + bytes((len(body), 0)) + body + tail


def radar(chunks, step_ms=100):
    board = Board()
    driver = ld2410.Driver(board, {}, {})
    now_ms = 0
    for data in chunks:
        board.serial.say(data)
        driver.poll(now_ms)
        now_ms += step_ms
    return driver


def test_a_radar_report_comes_out_however_it_is_cut():
    data = report()
    for cut in range(1, len(data)):
        driver = radar([data[:cut], data[cut:]])
        assert driver.active is True and driver.distance_cm == 312 and driver.reason == 0, cut
    assert radar([report(0, 0)]).active is False
    assert radar([report(kind=1, more=bytes(22))]).active is True  # engineering
    assert radar([report(), report(0, 0)]).active is False
    assert radar([report() + report(0, 0)]).active is False


def test_a_radar_is_as_new_as_its_last_report_however_seldom_it_is_polled():
    board = Board()
    driver = ld2410.Driver(board, {}, {})
    driver.poll(0)
    for now_ms in range(100, 10000, 100):
        board.serial.say(report(3 if now_ms // 1000 % 2 else 0))
        assert driver.read() == (now_ms // 1000 % 2 == 1)
        if now_ms % 2000 == 0:
            driver.poll(now_ms)
            assert driver.reason == 0


def test_a_radar_that_says_nothing_or_nonsense_is_named_and_comes_back():
    driver = radar([b""] * 25)
    assert driver.active is None and driver.reason == SILENT and driver.read() is None
    for bad in (
        report(tail=b"\xf8\xf7\xf6\x05"), report(mark=b"\x54\x00"), report(state=9), report(far_cm=3000),
        report(kind=7), b"\xf4\xf3\xf2\xf1\xff\xff", b"\xf4" * 60, bytes(range(64)),
    ):  # fmt: skip
        driver = radar([bad] * 25)
        assert driver.active is None and driver.reason == GARBLED and driver.raw > 0, bad
        driver = radar([bad] * 25 + [b"", report()])
        assert driver.active is True and driver.reason == 0 and driver.raw == 0, bad


def meter_answer(volts=231000, milliwatts=60000, count=1000):
    """An answer of 23 bytes for a shunt of 1 mohm and 1,950,510 ohm over 510."""
    divider = 510 / 1950510
    voltage = round(73989 * volts * divider / 1.218)
    power = round(3537 * milliwatts * divider / 1.218 / 1.218)
    body = b"\x55" + bytes(3) + voltage.to_bytes(3, "little") + bytes(3)
    body += (power & 0xFFFFFF).to_bytes(3, "little") + count.to_bytes(3, "little") + b"\x20\x4e\x00\x00\x00\x00"
    return body + bytes((~(0x58 + sum(body)) & 0xFF,))


METER = {"shunt_uohm": 1000, "divider_top_ohm": 1950000, "divider_bottom_ohm": 510}


def metered(answers, seconds=5):
    board = Board()
    driver = bl0942.Driver(board, METER, {})
    answers = list(answers)
    board.serial.answer = lambda: answers.pop(0) if len(answers) > 1 else answers[0]
    for step in range(10 * seconds):
        driver.poll(100 * step)
    return driver, board


def test_a_meter_measures_volts_and_watts():
    driver, board = metered([meter_answer()])
    assert abs(driver.supply_mv - 231000) < 30 and abs(driver.power_mw - 60000) < 60
    assert driver.reason == 0 and set(board.serial.asked) == {b"\x58\xaa"} and len(board.serial.asked) == 5
    driver, _ = metered([meter_answer(milliwatts=-800)])
    assert driver.power_mw == 0  # it feeds nothing back


def test_a_meters_energy_adds_up_over_its_wraps_and_restarts():
    count_mwh = 1638.4 * 256 / 3600 * 1.218 * 1.218 * 1950510 / 510 / 3537  # of a count, here 186.9 mWh
    driver, _ = metered([meter_answer(count=count) for count in (1000, 2070, 2070, 2070)])
    assert driver.energy_wh == int(1070 * count_mwh / 1000)
    driver, _ = metered([meter_answer(count=count) for count in (0xFFFFFF, 999, 999)])
    assert driver.energy_wh == int(1000 * count_mwh / 1000)
    driver, _ = metered([meter_answer(count=count) for count in (5000, 100, 100)])
    assert driver.energy_wh == int(100 * count_mwh / 1000)
    driver, _ = metered([meter_answer(count=count) for count in (5000, 900000, 900000)])
    assert driver.energy_wh == 0


def test_a_meter_that_is_silent_garbled_wild_or_stuck_is_named():
    wrong = bytearray(meter_answer())
    wrong[5] ^= 1
    for answers, reason in (
        ([b""], SILENT), ([bytes(wrong)], GARBLED), ([meter_answer()[:20]], GARBLED), ([b"\x00" * 60], GARBLED),
        ([meter_answer(volts=693000)], OUT_OF_RANGE),
    ):  # fmt: skip
        driver, _ = metered(answers, 8)
        assert driver.reason == reason and driver.power_mw == driver.supply_mv == FAULT, (reason, driver.raw)
    driver, _ = metered([meter_answer()], bl0942.SAME + 3)
    assert driver.reason == STUCK
    driver, board = metered([b""], 8)
    board.serial.answer = meter_answer
    for step in range(80, 110):
        driver.poll(100 * step)
    assert driver.reason == 0 and driver.power_mw > 0


def lit(driver, bus, seconds=3):
    for step in range(10 * seconds):
        driver.poll(100 * step)
    return driver


def test_a_veml7700_is_set_up_read_and_set_up_again():
    bus = Bus({7: b"\x81\xc4", 4: (1000).to_bytes(2, "little")})
    driver = lit(veml7700.Driver(Board(bus), {"address": 16}, {}), bus)
    assert driver.lux == 537 and bus.registers[0] == b"\x00\x10"
    bus.registers[0] = b"\x01\x00"  # it lost its supply
    for step in range(30, 60):
        driver.poll(100 * step)
    assert bus.registers[0] == b"\x00\x10" and driver.lux == 537
    bus.there = False
    driver.poll(6100)
    assert driver.lux == FAULT and (driver.reason, driver.raw) == (SILENT, 19)
    driver = lit(veml7700.Driver(Board(Bus({7: b"\x26\x00"})), {"address": 16}, {}), bus)
    assert driver.lux == FAULT and (driver.reason, driver.raw) == (WRONG_PART, 0x26)


def test_bright_light_is_straightened_as_the_application_note_says():
    for counts in range(0, 65536, 97):
        x = counts * 0.5376
        true = x if x < 1000 else 6.0135e-13 * x**4 - 9.3924e-9 * x**3 + 8.1488e-5 * x**2 + 1.0023 * x
        if x <= veml7700.HIGHEST:
            assert abs(veml7700.lux_of(counts) - true) <= max(2, true * 0.012), counts
    values = [veml7700.lux_of(counts) for counts in range(0, 65536, 50)]
    assert values == sorted(values) and values[-1] > 130000


def test_a_bh1750_is_told_its_mode_read_and_reminded():
    bus = Bus({0: (1200).to_bytes(2, "big")})
    driver = lit(bh1750.Driver(Board(bus), {"address": 35}, {}), bus)
    assert driver.lux == 1000 and bus.written == [b"\x01", b"\x10"]
    for step in range(30, 700):
        driver.poll(100 * step)
    assert len(bus.written) == 4
    bus.there = False
    driver.poll(71000)
    assert driver.lux == FAULT and (driver.reason, driver.raw) == (SILENT, 19)
    bus.there = True
    driver.poll(72000)
    driver.poll(73000)
    assert driver.lux == 1000 and driver.reason == 0


def test_presence_as_a_level():
    for active in (0, 1):
        driver = level.Driver(Board(), {"pin": 4, "active": active}, {})
        for seen in (0, 1):
            driver._pin.level = seen
            assert driver.read() == (seen == active)
        Pin.called = 0
        assert driver.watch(Pin.count)
        driver._pin.handler(driver._pin)
        assert Pin.called == 1


def test_pwm_is_full_light_until_told_and_the_right_way_round():
    for full, dark in ((0, 65535), (65535, 0)):
        driver = pwm.Driver(Board(), {"pin": 6, "frequency_hz": 500, "full_light_duty": int(full > 0)}, {})
        assert Pwm.duty == full
        driver.set(0)
        assert Pwm.duty == dark
        driver.set(50)
        assert abs(Pwm.duty - 32767) <= 1
        driver.set(100)
        assert Pwm.duty == full


RELAY = {"pin": 7, "lit_level": 0, "operate_ms": 8, "release_ms": 4}


def test_a_relay_without_a_detector_switches_at_once():
    driver = relay.Driver(Board(), RELAY, {})
    assert driver.is_closed and driver._pin.level == 0
    driver.close(False)
    assert driver._pin.level == 1
    driver.close(True)
    assert driver._pin.level == 0 and driver.reason == 0


def test_a_relay_with_one_waits_for_the_zero_after_next_and_gives_up_in_time():
    facts = dict(RELAY)
    facts["zero_cross"] = 3
    driver = relay.Driver(Board(), facts, {})
    for closed, level_after, wait_ms in ((False, 1, 2), (True, 0, 6)):  # contacts take 8 and 4 of 10 ms
        driver.close(closed)
        assert driver._pin.level != level_after
        driver._zero.handler(driver._zero)
        assert Timer.last.period == wait_ms and driver._zero.handler is None
        Timer.last.callback(Timer.last)
        assert driver._pin.level == level_after and driver.reason == 0
    driver.close(False)
    driver.poll(1000)
    driver.poll(1000 + relay.EDGES_MS)
    assert driver._pin.level == 0
    driver.poll(1100)
    assert driver._pin.level == 1 and driver.reason == SILENT


FITTED = {
    "presence": {"driver": "level", "pin": 0, "active": 1},
    "light": {"driver": "bh1750", "i2c": 0, "address": 35},
    "meter": dict(METER),
    "dimmer": {"driver": "pwm", "pin": 6, "frequency_hz": 500, "full_light_duty": 0},
    "relay": dict(RELAY),
}
FITTED["meter"]["driver"] = "bl0942"
FITTED["relay"]["driver"] = "relay"


def test_all_parts_together_put_out_by_the_relay_and_light_at_once():
    board = Board(Bus({0: (120).to_bytes(2, "big")}))
    board.serial.answer = meter_answer
    parts = Parts(board, FITTED)
    now_ms = 0
    for percent, closed_after in ((60, True), (0, False), (30, True)):
        parts.show(percent, now_ms)
        parts.poll(now_ms)
        assert parts.is_closed  # it lights at once, and goes out by its driver first
        for _ in range(20):
            parts.poll(now_ms)
            now_ms += 100
        assert parts.is_closed == closed_after
    assert parts.lux() == 100 and parts.active() is False and parts.has_sensor and parts.has_relay
    assert parts.values() == {POWER: 600, ENERGY: 0, SUPPLY: 231}
    assert parts.troubles == [] and parts.celsius == 31 and parts.gear == parts.status == 0
    meter = parts._meter
    power_mw, meter.power_mw = meter.power_mw, 13000000
    assert parts.values()[POWER] == FAULT  # more than its channel holds
    meter.power_mw = power_mw
    board.bus.there = False
    for _ in range(20):
        parts.poll(now_ms)
        now_ms += 100
    assert parts.troubles == [(AT_LIGHT | SILENT, 19)] and parts.lux() == FAULT
    assert OFF_MS < REST_MS


def test_a_dali_driver_without_a_meter_tells_of_itself_by_its_memory_banks():
    board = Board()
    board.dali = lambda facts: None  # a line that nothing is sent on here
    parts = Parts(board, {"dimmer": {"driver": "dali"}})
    assert parts._bank is not None and parts.power_mw == NOT_FITTED and parts.celsius == 31


def test_a_part_that_is_not_there_is_not_fitted_and_an_unknown_driver_an_error():
    parts = Parts(Board(), {"dimmer": FITTED["dimmer"]})
    parts.show(100, 0)
    parts.poll(0)
    assert parts.lux() == parts.power_mw == parts.supply_mv == parts.energy_wh == NOT_FITTED
    assert parts.active() is None and not parts.has_sensor and not parts.watch(None) and parts.is_closed
    try:
        Parts(Board(), {"dimmer": {"driver": "candle"}})
    except ValueError as error:
        assert "candle" in str(error)
    else:
        raise AssertionError("an unknown driver")


class Quiet:
    """A UART and a bus that take no heap themselves: the same bytes whenever they are asked."""

    def __init__(self, data):
        self.data = data

    def any(self):
        return len(self.data)

    def readinto(self, buffer):
        data = self.data
        self.data = b""
        for at in range(len(data)):
            buffer[at] = data[at]
        return len(data)

    def write(self, data):
        pass

    def readfrom_mem_into(self, address, register, buffer):
        data = self.data[register]
        buffer[0], buffer[1] = data[0], data[1]


def test_polling_takes_no_heap():
    """A loop that allocates is stopped by its own garbage collections."""
    board = Board()
    board.serial = uart = Quiet(b"")
    sound = report()
    radar_driver = ld2410.Driver(board, {}, {})
    answer = meter_answer()
    meter_driver = bl0942.Driver(board, METER, {})
    board.bus = Quiet({0: b"\x00\x10", 4: b"\xe8\x03", 7: b"\x81\xc4"})
    light_driver = veml7700.Driver(board, {"address": 16}, {})
    outputs = (
        pwm.Driver(board, {"pin": 6, "frequency_hz": 500, "full_light_duty": 0}, {}),
        relay.Driver(board, RELAY, {}),
    )
    used = 0
    for now_ms in range(0, 60000, 100):
        before = mem_alloc()
        uart.data = sound
        radar_driver.poll(now_ms)
        uart.data = b""
        meter_driver.poll(now_ms)
        uart.data = answer
        meter_driver.poll(now_ms)
        light_driver.poll(now_ms)
        for driver in outputs:
            driver.poll(now_ms)
        if now_ms >= 1000:  # once all have begun
            used += mem_alloc() - before
    assert radar_driver.active and meter_driver.power_mw > 0 and light_driver.lux == 537
    assert used == 0, used
