"""Every board of this tree: it loads, it says what was never tried, and its wiring fits its chip."""

import json
import re
from pathlib import Path

import pytest

from kerbtools import boards
from kerbtools.boards.parts import GPIO_KEYS

REAL = ["esp32_c3", "esp32_s3", "pico2_w", "pico_w"]
FOLDER = boards.boards_folder()


def test_the_boards_are_these():
    assert boards.names() == sorted(["emulated", *REAL])


def test_the_public_names_are_these():
    assert set(boards.__all__) == {
        "MODEM", "ROLES", "Board", "BoardError", "Geometry", "Identify", "Isolation", "Lora", "Part", "Radio", "Role",
        "boards_folder", "data_folder", "load", "names", "parts", "radios", "read", "rootfs_folder", "shims_folder",
    }  # fmt: skip
    assert all(hasattr(boards, name) for name in boards.__all__)


@pytest.mark.parametrize("name", boards.names())
def test_a_board_loads_and_says_that_it_was_not_tried(name):
    board = boards.load(name)
    assert board.name == name
    assert not board.tried_on_hardware
    assert "tried_on_hardware = false" in board.notes
    assert board.link["baud"] == 115200
    assert set(board.roles) == set(boards.ROLES) == {"bin", "lamp"}
    assert board.currents["deepsleep"] <= board.currents["lightsleep"] < board.currents["active"]
    assert board.micropython == "1.29" and board.identify.micropython == (1, 29)
    assert board.identify.install


@pytest.mark.parametrize("name", boards.names())
def test_a_board_is_told_what_its_role_needs_and_nothing_else(name):
    board = boards.load(name)
    for role in boards.ROLES:
        told = board.on_board(role)
        assert set(told["sensors"]) == set(board.roles[role].parts)
        assert all("driver" in sensor and "part" not in sensor for sensor in told["sensors"].values())
        assert not {"isolation", "currents", "geometry", "notes"} & set(json.dumps(told).replace('"', " ").split())
        json.dumps(told)
    assert board.on_board() == board.on_board("bin")
    assert {"distance", "temperature", "battery"} <= set(board.on_board()["sensors"])
    assert {"presence", "light", "meter", "dimmer"} <= set(board.on_board("lamp")["sensors"])


@pytest.mark.parametrize("name", boards.names())
def test_currents_name_every_part(name):
    board = boards.load(name)
    for slot in board.parts:
        assert board.currents[f"standby:{slot}"] <= board.currents[f"part:{slot}"]


@pytest.mark.parametrize("name", ["pico_w", "pico2_w"])
def test_pins_of_an_rp2_lead_to_the_peripherals_they_are_wired_to(name):
    """RP2040 data sheet, table of GPIO functions (F2, F3): the RP2350 has the same for these."""
    board = boards.load(name)
    users = [board.link, *(sensor for role in board.roles.values() for sensor in role.sensors.values())]
    for user in users:
        if "uart" in user:
            assert user["tx"] in ((0, 12, 16, 28), (4, 8, 20, 24))[user["uart"]]
            assert user["rx"] in ((1, 13, 17, 29), (5, 9, 21, 25))[user["uart"]]
        if "i2c" in user:
            assert (user["sda"] % 4, user["scl"] % 4) == ((0, 1), (2, 3))[user["i2c"]]


@pytest.mark.parametrize(("name", "first", "last"), [("emulated", 0, 5), ("esp32_c3", 0, 5), ("esp32_s3", 0, 21)])
def test_the_pin_of_the_tilt_sensor_can_wake_the_chip(name, first, last):
    assert first <= boards.load(name).sensors["tilt"]["wake_pin"] <= last


@pytest.mark.parametrize("name", ["esp32_c3", "esp32_s3"])
def test_no_uart_of_an_esp32_is_its_console(name):
    """The LOLIN C3 build has its console on USB alone; the generic S3 build keeps UART 0 for it."""
    board = boards.load(name)
    if "Generic" in board.identify.machine:
        users = [board.link, *(sensor for role in board.roles.values() for sensor in role.sensors.values())]
        assert 0 not in [user.get("uart") for user in users]


def test_boards_are_told_apart_by_what_they_say_of_themselves():
    machines = {name: boards.load(name).identify for name in boards.names()}
    for name, identify in machines.items():
        matching = [n for n, other in machines.items() if other.matches(identify.platform, identify.machine)]
        assert matching == [name]
    c3 = machines["esp32_c3"]
    assert not c3.matches("esp32", "Generic ESP32C3 module with ESP32C3")  # its console sits on the link's UART
    s3 = machines["esp32_s3"]
    assert s3.matches("esp32", "Generic ESP32S3 module with Octal-SPIRAM with ESP32S3")
    assert not s3.matches("rp2", s3.machine)
    assert (0x2E8A, 0x0005) in machines["pico_w"].usb


def test_every_real_board_is_checked_against_the_stubs_of_its_own_micropython():
    makefile = (FOLDER.parent / "Makefile").read_text()
    version = re.search(r"^STUBS_VERSION := (\d+)\.(\d+)\.", makefile, re.MULTILINE)
    for name in REAL:
        board = boards.load(name)
        assert board.stubs.startswith(f"micropython-{board.port}-")
        assert (int(version[1]), int(version[2])) == board.identify.micropython
    assert len({boards.load(name).stubs for name in REAL}) == len(REAL)


def test_a_lamp_is_isolated_from_the_mains_and_says_how():
    for name in boards.names():
        role = boards.load(name).roles["lamp"]
        mains = {slot for slot, part in role.parts.items() if part.mains}
        zero_cross = {"zero_cross"} & set(role.sensors.get("relay", {}))
        assert mains and set(role.isolation) == {"supply", *mains, *zero_cross}
        assert all(entry.rated_v >= 3000 and entry.creepage_um >= 8000 for entry in role.isolation.values())


def test_presence_from_5_to_12_metres_or_for_the_bench_only():
    seen = [part for part in boards.parts().values() if part.slot == "presence"]
    assert {part.bench_only for part in seen} == {True, False}
    for part in seen:
        assert part.bench_only or (part.geometry.sees_from(5000) and part.geometry.sees_from(12000))
    for name in boards.names():
        for role in boards.load(name).roles.values():
            if role.bench_only:
                assert role.grade != "field"
                assert name == "emulated" or "bench" in role.why


def test_an_unknown_board_names_the_known_ones():
    with pytest.raises(boards.BoardError, match="esp32_c3, esp32_s3"):
        boards.load("esp8266")
    with pytest.raises(boards.BoardError):
        boards.load("../boards/pico_w")


def test_a_part_that_no_board_wires_is_still_a_choice():
    wired = {part.name for name in boards.names() for part in boards.load(name).parts.values()}
    assert set(boards.parts()) - wired == {"jsn_sr04t", "vl53l1x"}


# The pages beside the boards


def test_the_readme_lists_every_board_and_every_key():
    readme = (FOLDER / "README.md").read_text()
    for name in boards.names():
        assert f"({name}/board.toml)" in readme
    for part in [*boards.parts(), *boards.radios()]:
        assert f"`{part}`" in readme, part
    written: set[str] = set()
    for path in [*FOLDER.glob("*/board.toml"), FOLDER / "parts.toml", FOLDER / "radios.toml"]:
        written |= set(re.findall(r"^(\w+) =", path.read_text(), re.MULTILINE))
    for key in sorted(written):
        assert f"`{key}`" in readme, key


@pytest.mark.parametrize("name", REAL)
def test_the_wiring_page_shows_every_wire_of_a_board(name):
    page = (FOLDER / "WIRING.md").read_text()
    board = boards.load(name)
    section = page.split(f"## {board.title}\n")[1].split("\n## ")[0]
    for role in board.roles.values():
        half = section.split(f"### {role.name}")[1].split("\n### ")[0]
        for slot, wiring in role.sensors.items():
            rows = [line for line in half.splitlines() if line.startswith(f"| {slot} ")]
            assert len(rows) == 1, (name, slot)
            assert role.parts[slot].name in rows[0]
            for key in GPIO_KEYS:
                if key in wiring:
                    assert f"{key} {wiring[key]}" in rows[0], (name, slot, key)
        link = next(line for line in half.splitlines() if line.startswith("| link "))
        assert f"tx {board.link['tx']}" in link and f"rx {board.link['rx']}" in link


def test_the_wiring_page_never_leads_usb_to_the_mains():
    page = (FOLDER / "WIRING.md").read_text()
    assert "Never connect USB to a board that is referenced to the mains" in page
    for name in REAL:
        for entry in boards.load(name).roles["lamp"].isolation.values():
            assert entry.barrier in page, entry.barrier
    drawings = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert any("USB" in drawing for drawing in drawings) and any("MAINS SIDE" in drawing for drawing in drawings)
    for drawing in drawings:
        assert not ("USB" in drawing and "MAINS" in drawing), drawing
        if "MAINS SIDE" in drawing:
            assert "BARRIER" in drawing and "SAFE SIDE" in drawing


def test_the_folder_holds_nothing_else():
    extra = {path.name for path in Path(FOLDER).iterdir() if path.name != "__pycache__"}
    assert extra == {"README.md", "WIRING.md", "parts.toml", "radios.toml", *boards.names()}
