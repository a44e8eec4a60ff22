"""What a wrong board.toml or parts.toml is told: the file, the key, and what to do."""

import tomllib
from dataclasses import replace

import pytest

from kerbtools import boards
from kerbtools.boards.parts import read_parts
from kerbtools.boards.roles import Pins, read_role
from kerbtools.boards.table import Table

PICO = (boards.boards_folder() / "pico_w" / "board.toml").read_text()
PARTS = (boards.boards_folder() / "parts.toml").read_text()


def board_file(folder, text):
    path = folder / "pico_w" / "board.toml"
    path.parent.mkdir()
    path.write_text(text)
    return path


def refused(folder, text):
    path = board_file(folder, text)
    with pytest.raises(boards.BoardError) as caught:
        boards.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint and caught.value.hint in str(caught.value)
    return str(caught.value)


def leaves(table, prefix=()):
    """The path of every key that is no table."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key)


def without(text, key_path):
    """The file without one key, and its line."""
    *tables, key = key_path
    head = f"[{'.'.join(tables)}]\n" if tables else ""
    start = text.index(head) + len(head)
    at = start if text.startswith(f"{key} =", start) else text.index(f"\n{key} =", start) + 1
    value_at = text.index("=", at) + 1
    end = text.index("\n", at)
    for opening, closing in (('"""', '"""\n'), ("[\n", "]\n")):
        if text[value_at:].lstrip().startswith(opening):
            end = text.index(closing, text.index(opening, at) + 3) + len(closing) - 1
    return text[:at] + text[end + 1 :]


OPTIONAL = {("roles", "bin", "sensors", "distance", "power_pin"), ("roles", "bin", "sensors", "tilt", "wake_pin")}


@pytest.mark.parametrize("key_path", sorted(leaves(tomllib.loads(PICO))), ids=".".join)
def test_every_key_is_needed_apart_from_the_optional_ones(tmp_path, key_path):
    text = without(PICO, key_path)
    assert len(list(leaves(tomllib.loads(text)))) == len(list(leaves(tomllib.loads(PICO)))) - 1
    if key_path in OPTIONAL:
        boards.read(board_file(tmp_path, text))
        return
    told = refused(tmp_path, text)
    assert f"{'.'.join(key_path)} is missing" in told


@pytest.mark.parametrize("table", ["", *sorted({".".join(path[:-1]) for path in leaves(tomllib.loads(PICO))} - {""})])
def test_a_key_that_nobody_knows_is_an_error_in_every_table(tmp_path, table):
    head = f"[{table}]\n" if table else ""
    told = refused(tmp_path, PICO.replace(head, f"{head}kettle = 1\n", 1) if head else "kettle = 1\n" + PICO)
    assert f"{table}.kettle".lstrip(".") + " is not a key" in told
    assert "its keys: " in told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('port = "rp2"', 'port = "stm32"', "port must be one of: esp32, rp2"),
        ('name = "pico_w"', 'name = "pico"', "name is 'pico', its folder is 'pico_w'"),
        ("bytes = 180_000", 'bytes = "180"', "heap.bytes must be a whole number"),
        ("bytes = 180_000", "bytes = true", "heap.bytes must be a whole number"),
        ("bytes = 180_000", "bytes = -1", "heap.bytes must not be negative"),
        ("bytes = 180_000", "bytes = 1.5", "heap.bytes must be a whole number"),
        ("tried_on_hardware = false\nnotes", "tried_on_hardware = 0\nnotes", "tried_on_hardware must be a true or"),
        ("tried_on_hardware = false: no", "no", "notes must say: tried_on_hardware = false"),
        ('title = "Raspberry Pi Pico W (RP2040)"', 'title = " "', "title must not be empty"),
        ("filesystem_bytes = 868_352", "filesystem_bytes = 868_353", "whole blocks within the flash"),
        ("filesystem_bytes = 868_352", "filesystem_bytes = 8_683_520", "whole blocks within the flash"),
        ("block_bytes = 4096", "block_bytes = 0", "flash.block_bytes must be at least 1"),
        ('["deepsleep", "software", "watchdog"]', '["power"]', "retained.survives may hold only"),
        ('["deepsleep", "software", "watchdog"]', "[3]", "retained.survives must hold texts only"),
        ('kinds = ["wifi", "ble"]', 'kinds = ["wifi", "lora"]', "radio.kinds may hold only: wifi, ble"),
        ('usb = ["2e8a:0005"]', 'usb = ["2E8A:5"]', "identify.usb must hold vendor:product in hexadecimal"),
        ('machine_pattern = "Rasp', 'machine_pattern = "(Rasp', "identify.machine_pattern is no regular expression"),
        ('machine_pattern = "Rasp', 'machine_pattern = "Cherry', "machine_pattern does not match machine"),
        ('micropython = "1.29"', 'micropython = "new"', "identify.micropython must be a version"),
        ("adc = [26, 27, 28]", "adc = [-1]", "pins.adc must hold whole numbers from 0 only"),
        ("[flash]", "[flash", "board.toml: "),
        # wiring
        ("tx = 0\nrx = 1", "tx = 23\nrx = 1", "link.tx is GPIO 23, which is not free on this board"),
        ("pin = 15", "pin = 1.5", "roles.bin.sensors.temperature.pin must be a whole number"),
        ("pin = 15", "pin = 25", "temperature.pin is GPIO 25, which is not free on this board"),
        ("pin = 15", "pin = 4", "temperature.pin is GPIO 4, which distance.tx has already"),
        ("pin = 15", "pin = 1", "temperature.pin is GPIO 1, which link.rx has already"),
        ("pin = 15", "pin = 8", "tilt.sda is GPIO 8, which temperature.pin has already"),
        ("pin = 26 ", "pin = 22 ", "battery.pin is GPIO 22, which has no ADC"),
        ("uart = 1\ntx = 4", "uart = 0\ntx = 4", "distance.uart is UART 0, which link has already"),
        ('part = "ds18b20"', 'part = "ds18b21"', "temperature.part must be one of: "),
        ('part = "ds18b20"', 'part = "a02yyuw"', "temperature.part must be a part for temperature"),
        ("[roles.bin.sensors.tilt]", "[roles.bin.sensors.kettle]", "kettle is nothing that a bin has"),
        ("[roles.bin.sensors.tilt]", "[roles.bin.sensors.dimmer]", "dimmer is nothing that a bin has"),
        ("[roles.lamp.sensors.light]", "[roles.lamp.sensors.tilt]", "tilt is nothing that a lamp has"),
        ('grade = "pilot"', 'grade = "gold"', "roles.bin.grade must be one of: pilot, field"),
        ("[roles.bin]", "[roles.kettle]\n[roles.bin]", "roles.kettle is not a key"),
        # mains
        ("[roles.lamp.isolation.supply]", "[roles.lamp.isolation.kettle]", "isolation.supply is missing"),
        ("[roles.lamp.isolation.meter]", "[roles.lamp.isolation.kettle]", "isolation.meter is missing"),
        ("[roles.lamp.isolation.dimmer]", "[roles.lamp.isolation.light]", "isolation.dimmer is missing"),
        ("[roles.lamp.isolation.relay]", "[roles.lamp.isolation.light]", "isolation.relay is missing"),
        ("lit_level = 0 ", "zero_cross = 19\nlit_level = 0 ", "isolation.zero_cross is missing"),
        ("[roles.lamp.sensors.relay]\npart = \"relay_nc\"", "[roles.lamp.sensors.radio]\npart = \"relay_nc\"", "radio is nothing"),
        ("rated_v = 3000", "rated_v = 2999", "isolation.supply.rated_v must be at least 3000"),
        ("creepage_um = 8000", "creepage_um = 2500", "isolation.supply.creepage_um must be at least 8000"),
        ('[roles.lamp]\ngrade = "pilot"', '[roles.lamp]\ngrade = "field"', "roles.lamp.grade cannot be field: pir_12m"),
    ],
)  # fmt: skip
def test_a_wrong_board_file_is_told_with_its_key(tmp_path, old, new, told):
    assert old in PICO
    assert told in refused(tmp_path, PICO.replace(old, new, 1))


def test_a_lamp_without_an_isolation_entry_is_refused(tmp_path):
    text = PICO[: PICO.index("[roles.lamp.isolation.supply]")]
    assert "roles.lamp.isolation is missing" in refused(tmp_path, text)


def test_two_parts_may_share_a_bus_but_no_address(tmp_path):
    shared = {"parts": boards.parts(), "pins": Pins(free=range(30), adc=()), "link": {"uart": 0, "tx": 28, "rx": 29}}
    bus = "i2c = 0\nsda = 8\nscl = 9\nfrequency_hz = 400_000\naddress = {}\n"
    sensors = PICO[PICO.index("[roles.lamp]") :].replace("[roles.lamp.", "[").replace("[roles.lamp]\n", "")
    presence = sensors[sensors.index("[sensors.presence]") : sensors.index("[sensors.light]")]
    both = sensors.replace(presence, "[sensors.presence]\n" + 'part = "seat"\n' + bus)
    shared["parts"] = shared["parts"] | {"seat": replace(boards.parts()["pir_12m"], name="seat", driver="bh1750")}
    for address, told in (("0x24", None), ("0x23", "light.address is the address of presence on the same bus")):
        table = Table(tomllib.loads(both.format(address)), tmp_path / "board.toml")
        if told is None:
            assert read_role(table, "lamp", **shared).sensors["presence"]["sda"] == 8
        else:
            with pytest.raises(boards.BoardError, match=told):
                read_role(table, "lamp", **shared)


def parts_refused(folder, text):
    path = folder / "parts.toml"
    path.write_text(text)
    with pytest.raises(boards.BoardError) as caught:
        read_parts(path)
    assert str(path) in str(caught.value) and caught.value.hint
    return str(caught.value)


LD2410 = PARTS[PARTS.index("[ld2410]") : PARTS.index("[c4001_25m]")]


@pytest.mark.parametrize("key_path", sorted(leaves(tomllib.loads(LD2410))), ids=".".join)
def test_every_key_of_a_part_is_needed(tmp_path, key_path):
    assert f"{'.'.join(key_path)} is missing" in parts_refused(tmp_path, without(LD2410, key_path))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "bench_only = true ",
            "bench_only = false ",
            "ld2410.bench_only must be true: it cannot see the ground from 12 m",
        ),
        ("farthest_mm = 6000", "farthest_mm = 4000", None),
        ("nearest_mm = 750", "nearest_mm = 6000", "ld2410.geometry.nearest_mm must be less than farthest_mm"),
        ("cone_degrees = 120", "cone_degrees = 361", "ld2410.geometry.cone_degrees must be at most 360"),
        ("cone_degrees = 120", "cone_degrees = 0", "ld2410.geometry.cone_degrees must be at least 1"),
        ("mounting_lowest_mm = 1500", "mounting_lowest_mm = 3001", "must not be more than mounting_highest_mm"),
        ('slot = "presence"', 'slot = "kettle"', "ld2410.slot must be one of: distance"),
        ('driver = "ld2410"', 'driver = "kettle"', "ld2410.driver must be one of: a02yyuw"),
        ("active_ua = 80000", "active_ua = 8e4", "ld2410.active_ua must be a whole number"),
        ("mains = false", "mains = false\nkettle = 1", "ld2410.kettle is not a key"),
        ("rain = ", "snow = ", "ld2410.geometry.rain is missing"),
    ],
)
def test_a_wrong_part_is_told_with_its_key(tmp_path, old, new, told):
    assert old in LD2410
    text = LD2410.replace(old, new, 1)
    if told is None:
        (tmp_path / "parts.toml").write_text(text)
        assert read_parts(tmp_path / "parts.toml")["ld2410"].bench_only
    else:
        assert told in parts_refused(tmp_path, text)


def test_a_presence_sensor_that_is_blind_near_by_is_for_the_bench_too(tmp_path):
    text = LD2410.replace("bench_only = true ", "bench_only = false ").replace(
        "farthest_mm = 6000", "farthest_mm = 25000"
    )
    (tmp_path / "parts.toml").write_text(text)
    assert not read_parts(tmp_path / "parts.toml")["ld2410"].bench_only
    told = parts_refused(tmp_path, text.replace("nearest_mm = 750", "nearest_mm = 5500"))
    assert "cannot see the ground from 5 m" in told


def test_a_ranging_part_needs_its_geometry_and_every_part_its_sources(tmp_path):
    assert "ld2410.geometry is missing" in parts_refused(tmp_path, LD2410[: LD2410.index("[ld2410.geometry]")])
    start = LD2410.index("sources = [")
    empty = LD2410[:start] + "sources = []" + LD2410[LD2410.index("]\n", start) + 1 :]
    assert "ld2410.sources must not be empty" in parts_refused(tmp_path, empty)
