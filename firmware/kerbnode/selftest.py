"""The self-test: each thing that a node needs, tried once, on the board, with its program stopped or at its command.

    mpremote exec "import kerbnode.selftest; kerbnode.selftest.main()"      prints the rows as one line of JSON

A row is {"check", "verdict": "pass", "fail" or "skip", "value", "limit", "cause"}, all texts. A check that raises has
failed, and its error is the value: one broken part hides no other. Loaded for this alone.
"""

import os

from kerbnode import flash
from kerbnode.bin.level import MAX_SPREAD_MM
from kerbwire.channels import (
    AT_BATTERY,
    AT_DISTANCE,
    AT_TEMPERATURE,
    AT_TILT,
    COVERED,
    GARBLED,
    LATE,
    NO_CONVERSION,
    NO_ECHO,
    OUT_OF_RANGE,
    PART_REASONS,
    PASSIVATED,
    QUALITY,
    SILENT,
    STUCK,
    TEMPERATURE,
    WEAK_ECHO,
    WRAPPED_ECHO,
    WRONG_PART,
)  # fmt: skip

LEAST_ECHOES = 3  # of a ranger that points at something solid
BATTERY_10MV = (300, 550)  # a lithium pair or USB behind a diode; below it an ESP32's or a Pico's regulator gives out
TEMPERATURE_HALF_C = (-80, 170)  # -40 to +85 degC: what the boards bear
CLOCK_STEP_MS = 2100  # two ticks of a clock that counts whole seconds
CLOCK_SLACK_MS = 1100  # its granularity, and what the test itself takes
LOAD_MS = 500  # how long the ranger draws from the cells
PROOF = bytes(range(256)) * 2


_STILL = "not one millimetre varied in two tries, as of a part that is stuck: hold a hand before it and test again"
PASS, FAIL, SKIP = "pass", "fail", "skip"

_ADVICE = {
    SILENT: "no power, a broken wire, TX and RX swapped, or no pull-up: see boards/WIRING.md",
    GARBLED: "noise on the line, TX and RX swapped, or a weak pull-up: see boards/WIRING.md",
    WRONG_PART: "another part is fitted than board.json names",
    STUCK: "the part is damaged, or its line lies at a supply: replace it",
    LATE: "its supply breaks down while it measures: measure it at the part",
    OUT_OF_RANGE: "the part is damaged, or moved: let it lie still and test again",
    NO_CONVERSION: "its supply breaks down while it measures: measure it at the part",
    PASSIVATED: "cells that lay long: load them with 33 ohm for some minutes and test again",
}


def main(whole=True):
    """Test this board and print the rows. whole: if not, its links alone."""
    import json
    import time

    import machine

    from kerbnode import config, hal
    from kerbnode.app import collect_often

    collect_often()
    with open("/board.json") as file:
        board = json.load(file)
    board_hal = hal.Hal(machine, time, os.urandom, board)
    settings = config.read("/node/config.json")[0]
    print(json.dumps(run(time, board_hal, board, settings) if whole else links(board_hal, board, "")))


def run(time, board_hal, board, settings, root="", speaks=False):
    """The rows of a board. time: the module. root: what stands before each path. speaks: its link is in use, and left
    alone."""
    rows = []
    _check(rows, board_hal, "firmware", _firmware, root)
    _check(rows, board_hal, "flash", _flash, root, settings)
    _check(rows, board_hal, "identity", _identity, root)
    _check(rows, board_hal, "clock", _clock, time, board_hal)
    if board.get("role") == "lamp":
        from kerbnode.lamp import selftest as selftest_lamp

        rows += selftest_lamp.parts(board_hal, board["sensors"])
    else:
        rows += parts(board_hal, board["sensors"], settings)
    if not speaks:
        _check(rows, board_hal, "link", _link, board_hal, board["link"])
    if not (speaks and board_hal.radio_off):  # it carries what is being said
        _check(rows, board_hal, "radio", _radio)
    if not speaks:
        rows += links(board_hal, board, root)
    return rows


def links(board_hal, board, root):
    """The rows of the links that links.json names, the UART apart: each is opened once."""
    text = flash.read(root + "/node/links.json")
    if not text:
        return []
    from kerbnode.link.fallback import names, parts

    rows = []
    for name in names(text):
        scheme = parts(name)[0]
        if scheme != "serial":
            _check(rows, board_hal, "link:" + scheme, _air_link, name, board_hal, board, root)
    return rows


def parts(board_hal, fitted, settings):
    """The rows of what is wired to a board: "sensors" of board.json."""
    rows = []
    for name in sorted(fitted):
        facts = fitted[name]
        test = _TESTS.get(facts.get("driver", "divider"), _no_driver)
        _check(rows, board_hal, name, test, board_hal, facts, fitted, settings)
    return rows


def _check(rows, board_hal, name, test, *arguments):
    board_hal.feed()
    try:
        verdict, value, limit, cause = test(*arguments)
    except Exception as error:  # a broken part may raise anything, and the next one is to be tried too
        verdict, value, limit = FAIL, "%s: %s" % (type(error).__name__, error), "no error"
        cause = "the part does not answer as it should, or board.json names the wrong pins"
    rows.append({"check": name, "verdict": verdict, "value": value, "limit": limit, "cause": cause})


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


def _distance(board_hal, facts, fitted, settings):
    still_mm = None
    for _ in range(2):  # two stray echoes on one side are chance, and would not come twice
        sensors, values, named = _sample(board_hal, {"distance": facts}, settings, AT_DISTANCE)
        echoes = sorted([reading for reading in sensors.readings if reading != NO_ECHO])
        quarter = len(echoes) // 4
        spread_mm = echoes[-1 - quarter] - echoes[quarter] if echoes else 0
        if sensors.still_mm is not None and sensors.still_mm == still_mm:
            return SKIP, "stuck, or very still, raw %d" % still_mm, "echoes that vary", _STILL
        still_mm = sensors.still_mm
        if named or (len(echoes) >= LEAST_ECHOES and spread_mm <= MAX_SPREAD_MM and still_mm is None):
            break
    limit = "%d echoes, spread %d mm" % (LEAST_ECHOES, MAX_SPREAD_MM)
    if named:
        return FAIL, named[0], limit, named[1]
    value = "%d mm, spread %d mm" % (echoes[len(echoes) // 2], spread_mm) if echoes else "no echo"
    if values[QUALITY] & COVERED:
        return FAIL, "covered, " + value, limit, "a bag, water or frost before it, or the target is too near"
    if values[QUALITY] & WRAPPED_ECHO:
        return FAIL, "wrapped echo", limit, "what it sees is beyond its range: point it at a wall"
    if len(echoes) < LEAST_ECHOES:
        words = "weak echo, %d echoes" if values[QUALITY] & WEAK_ECHO else "%d echoes"
        return FAIL, words % len(echoes), limit, "nothing in its range, or a dirty face: point it at a wall"
    if spread_mm > MAX_SPREAD_MM:
        return FAIL, value, limit, "it moves, or sees an edge: fix it, and point it at a flat wall"
    return PASS, value, limit, ""


def _temperature(board_hal, facts, fitted, settings):
    for _ in range(2):  # a conversion that a slow program missed to see looks as if there was none
        _, values, named = _sample(board_hal, {"temperature": facts}, settings, AT_TEMPERATURE)
        if not named:
            break
    low, high = TEMPERATURE_HALF_C
    limit = "%d to %d degC" % (low // 2, high // 2)
    if named:
        return FAIL, named[0], limit, named[1]
    half_c = values[TEMPERATURE]
    value = "%s%d.%d degC" % ("-" if half_c < 0 else "", abs(half_c) // 2, abs(half_c) % 2 * 5)
    return (PASS, value, limit, "") if low <= half_c <= high else (FAIL, value, limit, "the part is damaged")


def _tilt(board_hal, facts, fitted, settings):
    sensors, _, named = _sample(board_hal, {"tilt": facts}, settings, AT_TILT)
    if not named:
        return PASS, "%d degrees from upright" % sensors.tilt_deg, "it tells how it lies", ""
    if sensors.troubles[0][0] == AT_TILT | SILENT:
        _, value, limit, cause = _on_i2c(board_hal, facts, fitted, settings)
        return FAIL, value, limit, cause or named[1]
    return FAIL, named[0], "it tells how it lies", named[1]


def _battery(board_hal, facts, fitted, settings):
    """Under the load of the ranger, where one is fitted."""
    tried = {"battery": facts}
    if "distance" in fitted:
        tried["distance"] = fitted["distance"]
    short = dict(settings)
    short["echo_timeout_ms"] = LOAD_MS
    sensors, _, named = _sample(board_hal, tried, short, AT_BATTERY)
    low, high = BATTERY_10MV
    limit = "%d.%02d to %d.%02d V" % (low // 100, low % 100, high // 100, high % 100)
    volts = (sensors.battery_mv[2] + 5) // 10
    value = "%d.%02d V" % (volts // 100, volts % 100)
    if named:
        verdict = SKIP if (AT_BATTERY | PASSIVATED) in [code for code, _ in sensors.troubles] else FAIL
        return verdict, value + ", " + named[0], limit, named[1]
    if volts < low:
        return FAIL, value, limit, "cells empty, or the divider at GPIO %d has other resistors" % facts["pin"]
    return (PASS, value, limit, "") if volts <= high else (FAIL, value, limit, "the divider has other resistors")


def _sample(board_hal, facts, settings, at):
    """(sensors, values of a sample, None or (what is wrong in words, what to do) of the part at `at`)."""
    from kerbnode.bin.sensors import Sensors

    sensors = Sensors(board_hal, facts)
    values = sensors.sample(settings, True)
    for code, raw in sensors.troubles:
        if code & 0xF0 == at:
            return sensors, values, ("%s, raw %d" % (PART_REASONS[code & 15], raw), _ADVICE[code & 15])
    return sensors, values, None


def _on_i2c(board_hal, facts, fitted, settings):
    found = board_hal.i2c(facts).scan()
    limit = "0x%02x answers" % facts["address"]
    if facts["address"] in found:
        return PASS, limit, limit, ""
    others = ", ".join(["0x%02x" % address for address in found]) or "nothing"
    return FAIL, others + " answers", limit, "not wired, no pull-ups, or its address pin is set the other way"


def _no_driver(board_hal, facts, fitted, settings):
    return SKIP, facts.get("driver", "no driver"), "", "this firmware does not test it: look at it by hand"


def _link(board_hal, facts):
    board_hal.uart(facts, 256)
    value = "UART %d, %d baud" % (facts["uart"], facts["baud"])
    return PASS, value, "it opens", ""


def _air_link(name, board_hal, board, root):
    from kerbnode import identity
    from kerbnode.link.fallback import open_one, told

    limit = "it opens"
    if name[:4] == "ble:":
        return SKIP, "not tried", limit, "it needs its gateway in range: see there whether it is heard"
    try:
        me = identity.read(root + "/node/identity.cbor")
    except identity.IdentityError as error:
        return SKIP, str(error), limit, error.hint
    try:
        link = open_one(name, board_hal, board, me, root + "/node")
    except (OSError, ImportError, ValueError, KeyError) as error:
        return FAIL, "not to be had", limit, told(error)
    rssi = link.tally.rssi
    link.close()
    return PASS, "%d dBm" % rssi if rssi else "open", limit, ""


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
        getattr(station, "deinit", int)()  # without it the chip draws on: kerbnode.link.radios
    return PASS, "".join(["%02x" % byte for byte in mac]), "the radio tells its address", ""


_TESTS = {
    "a02yyuw": _distance, "jsn_sr04t": _distance, "vl53l1x": _distance, "ds18b20": _temperature, "divider": _battery,
    "lis3dh": _tilt,
}  # fmt: skip
