"""Pins, timers, buses and sleep of each port, through the calls that a firmware makes."""

import json

import pytest

from kerbtools import boards
from kerbtools.emulator.parts import Lis3dh


def run(make, name, main, *, role="bin", seconds=10.0, **options):
    """A board that has run `main` for so long, with the wiring of its role in board.json."""
    facts = json.dumps(boards.load(name).on_board(role)).encode()
    board = make(name, role, files={"main.py": main.encode(), "board.json": facts}, **options)
    board.start()
    board.world.advance(seconds)
    return board


IRQ = """
import machine, time
seen = []
pin = machine.Pin(%d, machine.Pin.IN, machine.Pin.PULL_UP)
pin.irq(lambda p: seen.append((p.value(), time.ticks_ms() // 1000)), machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)
print("pulled", pin.value())
time.sleep(6)
print("slept", time.ticks_ms(), seen)
state = machine.disable_irq()
time.sleep(2)
print("masked", len(seen))
machine.enable_irq(state)
print("late", len(seen))
pin.irq(None)
time.sleep(2)
print("off", len(seen))
"""


@pytest.mark.parametrize(("name", "pin"), [("esp32_c3", 20), ("pico_w", 22)])
def test_edges_interrupt_a_sleep_which_then_goes_on(emulated_board, world, name, pin):
    board = run(emulated_board, name, IRQ % pin, seconds=2)
    board.drive_pin(pin, 0)
    world.advance(1)
    board.drive_pin(pin, 1)
    world.advance(4)
    board.drive_pin(pin, 0)  # while interrupts are masked
    world.advance(1.5)
    board.drive_pin(pin, 1)  # with the handler taken off
    world.advance(4)
    pulled, slept, masked, late, off = board.console
    assert pulled == "pulled 1"
    assert 6000 <= int(slept.split()[1]) <= 6003
    assert slept.endswith("[(0, 2), (1, 3)]")
    assert (masked, late, off) == ("masked 2", "late 3", "off 3")


TIMERS = """
import machine, time
ticks, once = [], []
def tick(timer):
    ticks.append(time.ticks_ms() // 10)
    if len(ticks) == 2:
        1 / 0
%s
first.init(period=100, mode=machine.Timer.PERIODIC, callback=tick)
second.init(period=250, mode=machine.Timer.ONE_SHOT, callback=lambda t: once.append(time.ticks_ms() // 10))
while time.ticks_ms() < 555:
    pass
first.deinit()
time.sleep(1)
print(ticks, once)
"""


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("esp32_c3", "first, second = machine.Timer(0), machine.Timer(1)"),
        ("pico_w", "first, second = machine.Timer(), machine.Timer(-1)"),
    ],
)
def test_timers_tick_on_the_boards_clock_also_in_a_loop_that_only_reads_it(emulated_board, name, make):
    board = run(emulated_board, name, TIMERS % make)
    assert board.console[-1] == "[10, 20, 30, 40, 50] [25]"
    assert "ZeroDivisionError: divide by zero" in board.console  # told, and no end of the timer


@pytest.mark.parametrize(
    ("name", "call", "told"),
    [("esp32_c3", "machine.Timer(2)", "invalid Timer number"), ("pico_w", "machine.Timer(0)", "Timer doesn't exist")],
)
def test_a_timer_that_the_port_does_not_have(emulated_board, name, call, told):
    assert run(emulated_board, name, f"import machine\n{call}").console[-1] == f"ValueError: {told}"


def test_an_esp32_c3_wakes_from_deep_sleep_by_a_pin_and_says_so(emulated_board, world):
    main = """
import esp32, machine, time
pin = machine.Pin(3, machine.Pin.IN)
print("start", machine.reset_cause(), machine.wake_reason(), machine.wake_pins(), pin.value())
esp32.wake_on_gpio((pin,), esp32.WAKEUP_ANY_HIGH)
time.sleep_ms(100)
machine.deepsleep(600000)
"""
    board = run(emulated_board, "esp32_c3", main, seconds=100)
    board.drive_pin(3, 1, for_s=0.05)
    world.advance(700)
    assert board.console[0] == "start 1 0 () 0"
    assert board.console[1] == "start 4 7 (3,) 1"
    assert board.console[-1] == "start 4 4 () 0"
    assert board.energy().seconds["deepsleep"] == pytest.approx(800, abs=0.5)


@pytest.mark.parametrize(
    ("name", "pins", "told"),
    [
        ("esp32_c3", "20", "ValueError: wake-up pin not supported"),
        ("esp32_s3", "3", "ValueError: DEEPSLEEP with gpio pins not supported on this chip"),
    ],
)
def test_a_chip_refuses_a_wake_pin_that_it_cannot_use(emulated_board, name, pins, told):
    main = f"import esp32, machine\nesp32.wake_on_gpio([machine.Pin({pins})], True)\nmachine.deepsleep(1000)"
    assert run(emulated_board, name, main).console[-1] == told


def test_an_esp32_s3_wakes_by_ext0(emulated_board, world):
    main = """
import esp32, machine, time
print("start", machine.wake_reason())
esp32.wake_on_ext0(machine.Pin(3), False)
machine.Pin(3, machine.Pin.IN, machine.Pin.PULL_UP)
time.sleep_ms(100)
machine.deepsleep()
"""
    board = run(emulated_board, "esp32_s3", main, seconds=100)
    assert list(board.console) == ["start 0"]
    board.drive_pin(3, 0, for_s=0.05)
    world.advance(1000)
    assert list(board.console) == ["start 0", "start 2"]


LIGHT = """
import machine, time
hits = []
pin = machine.Pin(%d, machine.Pin.IN, machine.Pin.PULL_UP)
pin.irq(lambda p: hits.append(1), machine.Pin.IRQ_FALLING)
before = time.ticks_ms()
machine.lightsleep(10000)
print("light", time.ticks_diff(time.ticks_ms(), before) // 1000, hits)
"""


@pytest.mark.parametrize(("name", "pin", "told"), [("esp32_c3", 20, "light 10 []"), ("pico_w", 22, "light 3 [1]")])
def test_a_pin_with_a_handler_ends_the_light_sleep_of_an_rp2_only(emulated_board, world, name, pin, told):
    board = run(emulated_board, name, LIGHT % pin, seconds=3)
    board.drive_pin(pin, 0)
    world.advance(10)
    assert list(board.console) == [told]
    asleep = board.energy().seconds["lightsleep"]
    assert asleep == pytest.approx(10 if name == "esp32_c3" else 3, abs=0.1)


I2C = """
import json, machine, time
facts = json.load(open("/board.json"))["sensors"]["light"]
bus = machine.SoftI2C(scl=machine.Pin(facts["scl"]), sda=machine.Pin(facts["sda"]))
hard = machine.I2C(facts["i2c"], scl=machine.Pin(facts["scl"]), sda=machine.Pin(facts["sda"]), freq=400000)
print("scan", bus.scan() == hard.scan() == [facts["address"]])
for one in (bus, hard):
    try:
        one.writeto(0x55, b"x")
    except OSError as error:
        print("absent", error.errno)
"""

VEML = """
bus.writeto_mem(0x10, 0, (0x1800).to_bytes(2, "little"))  # gain 1/4, 100 ms, on
time.sleep_ms(110)
counts = int.from_bytes(bus.readfrom_mem(0x10, 4, 2), "little")
print("lux", counts * 0.2688)
print("id", int.from_bytes(hard.readfrom_mem(0x10, 7, 2), "little") & 0xFF)
"""

BH = """
bus.writeto(0x23, b"\\x01")
bus.writeto(0x23, b"\\x10")
time.sleep_ms(180)
print("lux", int.from_bytes(bus.readfrom(0x23, 2), "big") / 1.2)
"""


@pytest.mark.parametrize(("name", "absent", "read"), [("esp32_c3", 19, VEML), ("pico_w", 5, BH)])
def test_light_sensors_tell_the_light_and_an_absent_address_is_the_ports_error(
    emulated_board, world, name, absent, read
):
    world.advance(6.3 * 3600)  # dawn
    board = run(emulated_board, name, I2C + read, role="lamp")
    scan, soft, hard, lux, *rest = board.console
    assert scan == "scan True"
    assert (soft, hard) == ("absent 19", f"absent {absent}")
    truth = board.truth()
    own = 4.0 * board.hardware.wired.luminaire.light(world.now_us())
    assert truth.daylight_lux > 300
    shown = float(lux.split()[1])
    if name == "esp32_c3":  # a VEML7700 reads low in bright light: the polynomial of its application note
        shown = 6.0135e-13 * shown**4 - 9.3924e-9 * shown**3 + 8.1488e-5 * shown**2 + 1.0023 * shown
    assert shown == pytest.approx(truth.daylight_lux + own, rel=0.01)
    assert rest in ([], ["id 129"])


LAMP = """
import json, machine, time
facts = json.load(open("/board.json"))["sensors"]
relay = None
if "relay" in facts:
    relay = machine.Pin(facts["relay"]["pin"], machine.Pin.OUT, value=facts["relay"]["lit_level"])
dim = facts["dimmer"]
pwm = machine.PWM(machine.Pin(dim["pin"]), freq=dim["frequency_hz"], duty_u16=0)
meter = facts["meter"]
uart = machine.UART(meter["uart"], meter["baud"], timeout=200)

def measure():
    uart.read()
    uart.write(b"\\x58\\xaa")
    frame = uart.read(23)
    assert frame[0] == 0x55 and (~(0x58 + sum(frame[:22]))) & 0xFF == frame[22], frame
    field = lambda at: int.from_bytes(frame[at : at + 3], "little")
    volts = field(4) * 1.218 * (meter["divider_top_ohm"] + meter["divider_bottom_ohm"]) / (
        73989 * meter["divider_bottom_ohm"] * 1000)
    watts = field(10) * 1.218 ** 2 * (meter["divider_top_ohm"] + meter["divider_bottom_ohm"]) / (
        3537 * meter["shunt_uohm"] / 1000 * meter["divider_bottom_ohm"] * 1000)
    return round(volts), round(watts, 1), field(13)

for percent in (100, 50, 0):
    duty = 65535 * percent // 100
    pwm.duty_u16(65535 - duty if dim["full_light_duty"] == 0 else duty)
    time.sleep(3600)
    print(percent, *measure())
if relay:
    relay.value(not facts["relay"]["lit_level"])
    print("off", *measure())
pwm.deinit()
"""


@pytest.mark.parametrize("name", ["esp32_c3", "pico_w"])  # the others dim over DALI, which is not emulated
def test_a_lamps_wiring_reaches_mains_power_and_light(emulated_board, world, name):
    board = run(emulated_board, name, LAMP, role="lamp", seconds=3 * 3600 + 60)
    full, half, floor, *off = [line.split() for line in board.console]
    volts = board.truth().mains_v
    assert int(full[1]) == pytest.approx(volts, abs=6)
    assert [float(row[2]) for row in (full, half, floor)] == [60.0, pytest.approx(33.2, abs=0.1), 11.8]
    has_relay = "relay" in boards.load(name).roles["lamp"].sensors
    assert [float(row[2]) for row in off] == [0.0] * has_relay
    lamp = board.hardware.wired.luminaire
    assert lamp.energy_wh(world.now_us()) == pytest.approx(60 + 33.2 + 11.8 + (not has_relay), abs=0.3)
    assert int(floor[3]) > int(half[3]) > int(full[3]) > 0
    # The dimming output is let go: the pin is low. So the lamp is lit where an open input is full light.
    assert lamp.light(world.now_us()) == (0.0 if has_relay else 1.0)


PRESENCE = """
import json, machine, time
facts = json.load(open("/board.json"))["sensors"]["presence"]
pin = machine.Pin(facts["pin"], machine.Pin.IN)
edges = []
pin.irq(lambda p: edges.append((p.value() == facts["active"], time.ticks_ms())), machine.Pin.IRQ_RISING | machine.Pin.IRQ_FALLING)
began = time.ticks_ms()
time.sleep(7200)
print(len(edges))
for is_there, at in edges:
    print(is_there, at)
"""


def test_people_on_the_way_interrupt_a_lamp_when_they_come_and_go(emulated_board, world):
    world.advance(7 * 3600)
    start_us = world.now_us()
    board = run(emulated_board, "esp32_c3", PRESENCE, role="lamp", seconds=7300)
    count = int(board.console[0])
    assert count >= 2
    for line in list(board.console)[1:]:
        is_there, at_ms = line.split()
        at_us = start_us + int(at_ms) * 1000
        assert board.scene.is_occupied(at_us + 200_000) == (is_there == "True")
        assert board.scene.is_occupied(at_us - 200_000) != (is_there == "True")


TILT = """
import json, machine, time
facts = json.load(open("/board.json"))["sensors"]["tilt"]
bus = machine.I2C(facts["i2c"], scl=machine.Pin(facts["scl"]), sda=machine.Pin(facts["sda"]), freq=facts["frequency_hz"])
at = facts["address"]
print("who", hex(bus.readfrom_mem(at, 0x0F, 1)[0]))
bus.writeto_mem(at, 0x20, b"\\x57")
bus.writeto_mem(at, 0x23, b"\\x08")
def mg():
    data = bus.readfrom_mem(at, 0x28 | 0x80, 6)
    values = [data[i] | data[i + 1] << 8 for i in (0, 2, 4)]
    return [(v - 65536 if v > 32767 else v) >> 4 for v in values]
print("upright", *mg())
bus.writeto_mem(at, 0x22, b"\\x40")
bus.writeto_mem(at, 0x24, b"\\x08")
bus.writeto_mem(at, 0x32, bytes([32]))
bus.writeto_mem(at, 0x30, b"\\x02")
wake = machine.Pin(facts["wake_pin"], machine.Pin.IN)
hits = []
wake.irq(lambda p: hits.append(time.ticks_ms() // 1000), machine.Pin.IRQ_RISING)
time.sleep(20)
print("tilted", *mg())
print("woken", hits, wake.value(), hex(bus.readfrom_mem(at, 0x31, 1)[0]), wake.value())
"""


def test_an_accelerometer_measures_a_tilt_and_interrupts(emulated_board, world):
    board = run(emulated_board, "pico_w", TILT, seconds=5)
    board.tilt(60)
    world.advance(1)
    board.tilt(90)
    world.advance(20)
    who, upright, tilted, woken = board.console
    assert who == "who 0x33"
    assert upright == "upright 0 0 1000"
    assert tilted == "tilted 1000 0 0"
    assert woken == "woken [5] 1 0x40 1"


SPI = """
import machine
select = machine.Pin(17, machine.Pin.OUT, value=1)
buses = machine.SPI(0, 1000000, sck=machine.Pin(18), mosi=machine.Pin(19), miso=machine.Pin(16)), machine.SoftSPI(
    sck=machine.Pin(18), mosi=machine.Pin(19), miso=machine.Pin(16))

def transfer(bus, out, count):
    select(0)
    bus.write(out)
    data = bus.read(count)
    select(1)
    return data

for bus in buses:
    print("who", transfer(bus, b"\\x8f", 1), bus.read(2))
transfer(buses[0], b"\\x20\\x57", 0)
both = bytearray(3)
select(0)
buses[0].write_readinto(b"\\xa0\\x00\\x00", both)
select(1)
print("set", both)
"""


def test_spi_reaches_the_part_whose_select_pin_is_low(emulated_board, world):
    board = emulated_board("pico_w", files={"main.py": SPI.encode()})
    board.hardware.wired.spi[18] = [(17, Lis3dh(lambda now_us: 0.0)), (20, Lis3dh(lambda now_us: 0.0))]
    board.start()
    world.advance(1)
    assert list(board.console) == [r"who b'3' b'\xff\xff'"] * 2 + [r"set bytearray(b'\xffWW')"]


def test_the_clock_can_be_set_and_runs_on(emulated_board, world):
    main = """
import machine, time
rtc = machine.RTC()
rtc.datetime((2026, 6, 1, 0, 12, 30, 0, 0))
time.sleep(3600)
print(rtc.datetime()[:7], time.localtime()[:6])
"""
    for name in ("esp32_c3", "pico_w"):
        board = run(emulated_board, name, main, seconds=3700)
        assert board.console[-1] == "(2026, 6, 1, 0, 13, 30, 0) (2026, 6, 1, 13, 30, 0)"
    board.shift_clock(-90)
