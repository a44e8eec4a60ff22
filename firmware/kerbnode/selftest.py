"""The self-test: each thing that a node needs, tried once, on the board, with its program stopped.

    mpremote exec "import kerbnode.selftest; kerbnode.selftest.main()"      prints the rows as one line of JSON

A row is {"check", "verdict": "pass", "fail" or "skip", "value", "limit", "cause"}, all texts. A check that raises has
failed, and its error is the value: one broken part hides no other. Loaded by tools only, never by the program.
"""

import os

from kerbnode import flash
from kerbwire.channels import FAULT, NO_ECHO

LEAST_ECHOES = 3  # of a ranger that points at something solid
BATTERY_10MV = (300, 550)  # a lithium pair or USB behind a diode; below it an ESP32's or a Pico's regulator gives out
TEMPERATURE_HALF_C = (-80, 170)  # -40 to +85 degC: what the boards bear
CLOCK_STEP_MS = 2100  # two ticks of a clock that counts whole seconds
CLOCK_SLACK_MS = 1100  # its granularity, and what the test itself takes
PROOF = bytes(range(256)) * 2
LISTEN_MS = 1200  # a radar speaks ten times a second
METER_ASKS = b"\x58\xaa"  # BL0942: read all, address 0
METER_SAYS = 23

PASS, FAIL, SKIP = "pass", "fail", "skip"


def main():
    """Test this board and print the rows."""
    import json
    import time

    import machine

    from kerbnode import config, hal

    with open("/board.json") as file:
        board = json.load(file)
    settings = config.read("/node/config.json")[0]
    print(json.dumps(run(machine, time, hal.Hal(machine, time, os.urandom, board), board, settings)))


def run(machine, time, board_hal, board, settings, root=""):
    """The rows of a board. machine, time: the modules. root: what stands before each path."""
    rows = []

    def check(name, test, *arguments):
        try:
            verdict, value, limit, cause = test(*arguments)
        except Exception as error:  # a broken part may raise anything, and the next one is to be tried too
            verdict, value, limit = FAIL, "%s: %s" % (type(error).__name__, error), "no error"
            cause = "the part does not answer as it should, or board.json names the wrong pins"
        rows.append({"check": name, "verdict": verdict, "value": value, "limit": limit, "cause": cause})

    check("firmware", _firmware, root)
    check("flash", _flash, root, settings)
    check("identity", _identity, root)
    check("clock", _clock, time, board_hal)
    for name in sorted(board["sensors"]):
        facts = board["sensors"][name]
        check(name, _TESTS.get(facts.get("driver", "divider"), _no_driver), machine, board_hal, facts, settings)
    check("link", _link, board_hal, board["link"])
    check("radio", _radio)
    return rows


def _firmware(root):
    import json

    with open(root + "/bundle.json") as file:
        files = json.load(file)["files"]
    limit = "as in bundle.json"
    for path in sorted(files):
        if "".join(["%02x" % byte for byte in flash.digest(root + "/" + path)]) != files[path]:
            return FAIL, path + " differs", limit, "an update was cut or a file changed by hand: run kerb flash"
    return PASS, "%d files" % len(files), limit, ""


def _flash(root, settings):
    folder = root + "/node"
    flash.make_folder(folder)
    path = folder + "/selftest.tmp"
    try:
        with open(path, "wb") as file:
            file.write(PROOF)
        with open(path, "rb") as file:
            same = file.read(len(PROOF)) == PROOF
    finally:
        try:
            os.remove(path)
        except OSError:
            pass
    room = os.statvfs(root or "/")
    held = sum([len(flash.names(folder + "/outbox/" + life)) for life in flash.names(folder + "/outbox")])
    blocks = room[3] if room[3] <= room[2] else 0  # littlefs counts shared blocks twice: full, it wraps below zero
    free, needed = room[0] * blocks, room[0] * max(0, settings["outbox_segments"] - held)
    value, limit = "%d KB free" % (free >> 10), "%d KB for records" % (needed >> 10)
    if not same:
        return FAIL, "read back differently", limit, "the flash is worn: replace the board"
    if free < needed:
        return FAIL, value, limit, "files that are not the firmware's: remove them, or kerb erase"
    return PASS, value, limit, ""


def _identity(root):
    from kerbnode import identity

    try:
        found = identity.read(root + "/node/identity.cbor")
    except identity.IdentityError as error:
        return SKIP, str(error), "an address and a site", error.hint
    return PASS, "node %d at %s" % (found.node, found.site), "an address and a site", ""


def _clock(time, board_hal):
    began_s, began_ms = time.time(), time.ticks_ms()
    time.sleep_ms(CLOCK_STEP_MS)
    ticked_ms = time.ticks_diff(time.ticks_ms(), began_ms)
    counted_ms = (time.time() - began_s) * 1000
    value = "%d ms against %d ms" % (counted_ms, ticked_ms)
    limit = "both clocks within %d ms" % CLOCK_SLACK_MS
    if abs(counted_ms - ticked_ms) > CLOCK_SLACK_MS or ticked_ms < CLOCK_STEP_MS:
        return FAIL, value, limit, "the crystal does not run as it should: replace the board"
    return PASS, value, limit, ""


def _distance(machine, board_hal, facts, settings):
    from kerbnode import bin
    from kerbnode.drivers import a02yyuw

    switch = board_hal.power(facts)
    uart = board_hal.uart(facts, a02yyuw.RECEIVE_BUFFER)
    parser = a02yyuw.Parser()
    try:
        switch(True)
        board_hal.sleep_ms(facts.get("warm_up_ms", 0))
        for _ in range(2):  # two stray echoes on one side are chance, and would not come twice
            readings = a02yyuw.measure(uart, board_hal, settings["echoes"], settings["echo_timeout_ms"], parser)
            echoes = sorted([reading for reading in readings if reading != NO_ECHO])
            spread_mm = echoes[-1 - len(echoes) // 4] - echoes[len(echoes) // 4] if echoes else 0
            if len(echoes) >= LEAST_ECHOES and spread_mm <= bin.MAX_SPREAD_MM:
                break
    finally:
        switch(False)
    limit = "%d echoes, spread %d mm" % (LEAST_ECHOES, bin.MAX_SPREAD_MM)
    if not readings:
        return FAIL, "silent, %d bytes of noise" % parser.noise, limit, "no power, or TX and RX swapped"
    if len(echoes) < LEAST_ECHOES:
        return FAIL, "%d echoes" % len(echoes), limit, "nothing in 30 mm to 4.5 m: point it at a wall"
    value = "%d mm, spread %d mm" % (echoes[len(echoes) // 2], spread_mm)
    if spread_mm > bin.MAX_SPREAD_MM:
        return FAIL, value, limit, "it moves, or sees an edge: fix it, and point it at a flat wall"
    return PASS, value, limit, ""


def _temperature(machine, board_hal, facts, settings):
    import ds18x20
    import onewire

    from kerbnode.drivers.ds18b20 import CONVERSION_MS, Ds18b20

    part = Ds18b20(ds18x20.DS18X20(onewire.OneWire(board_hal.pin(facts["pin"]))))
    part.start()
    board_hal.sleep_ms(CONVERSION_MS)
    half_c = part.read()
    low, high = TEMPERATURE_HALF_C
    limit = "%d to %d degC" % (low // 2, high // 2)
    if half_c is FAULT:
        return FAIL, "no answer", limit, "not wired to GPIO %d, or its 4.7 kohm pull-up is missing" % facts["pin"]
    value = "%s%d.%d degC" % ("-" if half_c < 0 else "", abs(half_c) // 2, abs(half_c) % 2 * 5)
    return (PASS, value, limit, "") if low <= half_c <= high else (FAIL, value, limit, "the part is damaged")


def _battery(machine, board_hal, facts, settings):
    from kerbnode.drivers.battery import volts_10mv

    volts = volts_10mv(board_hal.adc_mv(facts), facts["divider_top_ohm"], facts["divider_bottom_ohm"])
    low, high = BATTERY_10MV
    value, limit = "%d.%02d V" % (volts // 100, volts % 100), "%d.%02d to %d.%02d V" % (
        low // 100, low % 100, high // 100, high % 100,
    )  # fmt: skip
    if volts < low:
        return FAIL, value, limit, "cells empty or not fitted, or the divider at GPIO %d is open" % facts["pin"]
    return (PASS, value, limit, "") if volts <= high else (FAIL, value, limit, "the divider has other resistors")


def _on_i2c(machine, board_hal, facts, settings):
    bus = machine.I2C(
        facts["i2c"], sda=machine.Pin(facts["sda"]), scl=machine.Pin(facts["scl"]), freq=facts["frequency_hz"]
    )
    found = bus.scan()
    limit = "0x%02x answers" % facts["address"]
    if facts["address"] in found:
        return PASS, limit, limit, ""
    others = ", ".join(["0x%02x" % address for address in found]) or "nothing"
    return FAIL, others + " answers", limit, "not wired, no pull-ups, or its address pin is set the other way"


def _level(machine, board_hal, facts, settings):
    level = machine.Pin(facts["pin"], machine.Pin.IN).value()
    seen = "someone" if level == facts["active"] else "nobody"
    return PASS, seen, "a level at GPIO %d" % facts["pin"], ""


def _radar(machine, board_hal, facts, settings):
    uart = board_hal.uart(facts, 256)
    board_hal.sleep_ms(LISTEN_MS)
    heard = uart.any()
    if heard:
        return PASS, "%d bytes" % heard, "it speaks", ""
    return FAIL, "silent", "it speaks", "no power, or TX and RX swapped"


def _meter(machine, board_hal, facts, settings):
    uart = board_hal.uart(facts, 64)
    uart.write(METER_ASKS)
    board_hal.sleep_ms(LISTEN_MS)
    heard, limit = uart.any(), "%d bytes" % METER_SAYS
    if heard >= METER_SAYS:
        return PASS, "%d bytes" % heard, limit, ""
    return FAIL, "%d bytes" % heard, limit, "no mains at the meter, or its isolated line is not wired"


def _dimmer(machine, board_hal, facts, settings):
    """Half light, then full light, which it is left at: nobody is left in the dark."""
    output = machine.PWM(machine.Pin(facts["pin"]), freq=facts["frequency_hz"], duty_u16=32768)
    board_hal.sleep_ms(500)
    half = output.duty_u16()
    output.duty_u16(65535 if facts["full_light_duty"] else 0)
    limit = "%d Hz, half duty" % facts["frequency_hz"]
    value = "%d Hz, duty %d %%" % (output.freq(), (half * 100 + 32768) // 65536)
    off_hz = abs(output.freq() - facts["frequency_hz"])
    if abs(half - 32768) > 656 or off_hz * 100 > facts["frequency_hz"]:
        return FAIL, value, limit, "the pin cannot make this signal: see boards/WIRING.md"
    return PASS, value, limit, ""


def _no_driver(machine, board_hal, facts, settings):
    return SKIP, facts.get("driver", "no driver"), "", "this firmware does not test it: look at it by hand"


def _link(board_hal, facts):
    board_hal.uart(facts, 256)
    value = "UART %d, %d baud" % (facts["uart"], facts["baud"])
    return PASS, value, "it opens", ""


def _radio():
    try:
        import network
    except ImportError:
        return SKIP, "none in this MicroPython", "", "the link is the wired one"
    station = network.WLAN(network.STA_IF)
    try:
        station.active(True)
        mac = station.config("mac")
    finally:
        station.active(False)
    return PASS, "".join(["%02x" % byte for byte in mac]), "the radio tells its address", ""


_TESTS = {
    "a02yyuw": _distance, "ds18b20": _temperature, "divider": _battery, "lis3dh": _on_i2c, "veml7700": _on_i2c,
    "bh1750": _on_i2c, "level": _level, "ld2410": _radar, "bl0942": _meter, "pwm": _dimmer,
}  # fmt: skip
