"""Board facts, and what a wrong board.toml is told."""

import ast

import pytest

from kerbtools import boards
from kerbtools.emulator.rpc import MAX_SPENT_US, Op


def test_every_board_loads_and_says_that_it_was_not_tried():
    assert boards.names() == ["esp32_c3", "pico_w"]
    for name in boards.names():
        board = boards.load(name)
        assert board.name == name
        assert not board.tried_on_hardware
        assert "tried_on_hardware = false" in board.notes
        assert board.link["baud"] == 115200
        assert set(board.sensors) == {"distance", "temperature", "battery"}


def test_no_pin_is_used_twice():
    for name in boards.names():
        board = boards.load(name)
        sensors = board.sensors.values()
        pins = [board.link["tx"], board.link["rx"]]
        pins += [
            value for sensor in sensors for key, value in sensor.items() if key in ("tx", "rx", "pin", "power_pin")
        ]
        assert len(pins) == len(set(pins)), name


def test_an_unknown_board_names_the_known_ones():
    with pytest.raises(boards.BoardError, match="esp32_c3, pico_w"):
        boards.load("esp8266")
    with pytest.raises(boards.BoardError):
        boards.load("../boards/pico_w")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('port = "rp2"', 'port = "stm32"', "port must be one of: esp32, rp2"),
        ('name = "pico_w"', 'name = "pico"', "name is 'pico', its folder is 'pico_w'"),
        ("bytes = 180_000", "", r"heap.bytes is missing"),
        ("bytes = 180_000", 'bytes = "180"', r"heap.bytes must be a TOML int"),
        ("bytes = 180_000", "bytes = 180_000\nkilobytes = 180", r"heap.kilobytes is not a key"),
        ("bytes = 180_000", "bytes = -1", r"heap.bytes must not be negative"),
        ("filesystem_bytes = 868_352", "filesystem_bytes = 868_353", "whole blocks within the flash"),
        ("filesystem_bytes = 868_352", "filesystem_bytes = 8_683_520", "whole blocks within the flash"),
        ('["deepsleep", "software", "watchdog"]', '["power"]', r"retained.survives may hold only"),
        ("pin = 15", "pin = 1.5", r"sensors.temperature.pin must be a whole number or a text"),
        ("[flash]", "[flash", "board.toml: "),
    ],
)
def test_a_wrong_board_file_is_told_with_its_key(tmp_path, old, new, told):
    text = (boards.boards_folder() / "pico_w" / "board.toml").read_text()
    assert old in text
    path = tmp_path / "pico_w" / "board.toml"
    path.parent.mkdir()
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(boards.BoardError, match=told) as caught:
        boards.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_both_halves_of_the_emulator_count_the_calls_alike():
    tree = ast.parse((boards.shims_folder() / "kerb_rpc.py").read_text())
    numbers = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, int)
    }
    own = {"READING_US", "_sequence", "_uptime_us", "_spent_us"}
    assert numbers.pop("MAX_SPENT_US") == MAX_SPENT_US
    assert {name: value for name, value in numbers.items() if name not in own} == {op.name: op.value for op in Op}
