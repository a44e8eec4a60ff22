"""A board becomes a gateway's radio modem, and something else again, by the same `kerb flash`."""

import json

import pytest
import serial

from kerbtools.emulator.lora_air import LoraAir
from kerbwire import line, modem

ASK = modem.Ask(868_100, 869_525, 9, 14, 0)


@pytest.fixture
def flashed(kerb):
    """`kerb flash --json`: (status, what it printed of the board)."""

    def run(board, *words):
        status, out, _ = kerb("flash", "--json", "--port", board.usb_path, *words)
        return status, json.loads(out)

    return run


def answer(board):
    """What the board's program says to a gateway that asks."""
    with serial.Serial(board.usb_path, timeout=0.05) as port:
        reader = line.Reader()
        for _ in range(100):
            port.write(line.encode(ASK.encode()))
            for found in reader.feed(port.read(4096)):
                if isinstance(state := modem.parse(found), modem.State):
                    return state
    return None


def test_a_board_becomes_a_modem_and_can_be_flashed_again_while_it_works(bench, flashed):
    other = bench("pico_w")
    board = bench("pico_w", role="modem", lora=LoraAir(other.world))
    status, told = flashed(board, "--role", "modem")
    assert (status, told["status"], told["role"]) == (0, "flashed", "modem")
    assert [(row["check"], row["verdict"]) for row in told["self_test"]] == [("radio", "pass")]
    board.world.advance(5)
    state = answer(board)
    assert state is not None and (state.trouble, state.factor, state.name.split()[1]) == (modem.FINE, 9, "pico_w")
    status, told = flashed(board)  # its line is no REPL now, and the role is the board's own
    assert (status, told["status"], told["role"], told["files"]) == (0, "unchanged", "modem", [])
    status, told = flashed(board, "--role", "bin", "--dry-run")  # or another
    assert (status, told["status"], told["removed"]) == (0, "planned", ["/lib/kerbnode/modem.mpy"])


def test_the_self_test_of_a_modem_without_a_radio_says_what_to_check(bench, flashed):
    board = bench("pico_w", role="modem")
    status, told = flashed(board, "--role", "modem")
    assert status == 1 and told["status"] == "flashed"
    [row] = told["self_test"]
    assert row["verdict"] == "fail" and "wires" in row["cause"]


def test_a_board_without_pins_for_a_radio_is_no_modem(bench, flashed):
    board = bench("esp32_c3")
    status, told = flashed(board, "--role", "modem")
    assert status == 1 and told["error"]["kind"] == "BundleError" and "esp32_s3" in told["error"]["hint"]
