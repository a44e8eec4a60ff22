"""The energy ledger: charge by cause from the board's own currents."""

import json

import pytest

from kerbtools import boards
from kerbtools.emulator import Board, Identity, World

SLEEPER = """
import machine, time
power = machine.Pin(6, machine.Pin.OUT, value=1)
time.sleep(36)
power.off()
machine.lightsleep(360000)
machine.deepsleep(3600000)
"""


@pytest.mark.parametrize("name", ["esp32_c3", "pico_w"])
def test_each_state_and_part_is_charged_at_its_current(emulated_board, world, name):
    board = emulated_board(name, files={"main.py": SLEEPER.encode()})
    board.start()
    world.advance(36 + 360 + 3600)
    energy = board.energy()
    currents = boards.load(name).currents
    assert energy.seconds["active"] == pytest.approx(36, abs=0.2)
    assert energy.seconds["lightsleep"] == pytest.approx(360, abs=0.1)
    assert energy.seconds["deepsleep"] == pytest.approx(3600, abs=0.3)
    assert energy.charge_uah["active"] == pytest.approx(currents["active"] / 100, rel=0.01)
    assert energy.charge_uah["lightsleep"] == pytest.approx(currents["lightsleep"] / 10, rel=0.01)
    assert energy.charge_uah["deepsleep"] == pytest.approx(currents["deepsleep"], rel=0.01)
    assert energy.charge_uah["part:distance"] == pytest.approx(currents["part:distance"] / 100, rel=0.01)
    assert energy.total_uah == pytest.approx(sum(energy.charge_uah.values()) + energy.computing_uah)
    board.cut_power()
    world.advance(3600)
    after = board.energy()
    assert after.seconds["off"] == pytest.approx(3600, abs=0.5)
    assert after.charge_uah["deepsleep"] == pytest.approx(energy.charge_uah["deepsleep"], rel=0.001)
    assert after.charge_uah["part:battery"] == pytest.approx(energy.charge_uah["part:battery"], rel=0.001)


def test_computing_is_estimated_from_the_interpreters_cpu_time(emulated_board, world):
    lazy = emulated_board("esp32_c3", files={"main.py": b"import machine\nmachine.deepsleep(10000)"})
    busy = emulated_board(
        "esp32_c3", files={"main.py": b"import machine\nfor i in range(200000):\n    i * 3\nmachine.deepsleep(10000)"}
    )
    for board in (lazy, busy):
        board.start()
    world.advance(30)
    assert busy.energy().computing_s > 5 * lazy.energy().computing_s > 0
    assert busy.energy().computing_uah == pytest.approx(busy.energy().computing_s * 28_000 / 3600, rel=0.01)


def test_a_day_of_a_bin_is_the_same_in_each_run():
    ledgers = []
    for _ in range(2):
        with World(seed=3, paused=True) as world:
            config = {"heat_s": 0}
            board = Board(world, "esp32_c3", name="bin", identity=Identity(node=1, secret=bytes(16)), config=config)
            board.start()
            world.advance(24 * 3600)
            ledgers.append(board.energy().charge_uah)
    # The node's life is drawn at random, and so are a few microseconds of its first wake.
    assert ledgers[0] == pytest.approx(ledgers[1], rel=1e-3)
    assert ledgers[0]["part:distance"] > 10
    assert ledgers[0]["deepsleep"] == pytest.approx(24 * 5, rel=0.01)


def test_the_radio_is_charged_while_it_is_on(emulated_board, world):
    main = """
import machine, network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
time.sleep(36)
wlan.active(False)
time.sleep(36)
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    board.start()
    world.advance(72)
    assert board.energy().charge_uah["radio_rx"] == pytest.approx(board.facts.currents["radio_rx"] / 100, rel=0.01)


SHARED_CHIP = """
import bluetooth, machine, network, time
if machine.reset_cause() == machine.PWRON_RESET:
    ble, wlan = bluetooth.BLE(), network.WLAN(network.STA_IF)
    wlan.active(True)
    ble.active(True)
    time.sleep(36)
    wlan.active(False)
    time.sleep(36)
    ble.active(False)
    time.sleep(36)
    machine.lightsleep(36000)
    %s
machine.deepsleep(360000)
"""


@pytest.mark.parametrize("end", ["", "wlan.deinit()"])
def test_a_radio_with_a_supply_of_its_own_draws_until_it_loses_it(emulated_board, world, end):
    """By whichever side it was used, and asleep too, as the CYW43 does; a reset cuts its supply."""
    board = emulated_board("pico_w", files={"main.py": (SHARED_CHIP % end).encode()})
    board.start()
    world.advance(4 * 36 + 2 * 360)
    energy, currents = board.energy().charge_uah, board.facts.currents
    assert energy["radio_rx"] == pytest.approx(72 * currents["radio_rx"] / 3600, rel=0.01)
    idle_s = 72 if end else 72 + 360
    assert energy["radio_idle"] == pytest.approx(idle_s * currents["radio_idle"] / 3600, rel=0.01)


@pytest.mark.parametrize("links", [["mqtt://10.0.0.9/site", "ble:?window_s=2"], ["ble:?window_s=2"]])
def test_no_radio_that_a_node_tried_draws_through_its_sleep(emulated_board, world, links):
    """Neither the first of two nor the one that it fell back to; nobody answers on either."""
    world.air.add_access_point("street", "secret")
    board = emulated_board("pico_w", identity=Identity(node=1, secret=bytes(16)), config={"heat_s": 0})
    board.write_file("/node/links.json", json.dumps(links).encode())
    board.write_file("/node/wifi.json", json.dumps({"ssid": "street", "password": "secret"}).encode())
    board.start()
    world.advance(1800)
    energy = board.energy()
    assert len([line for line in board.console if line.startswith("note link")]) == len(links), list(board.console)
    assert energy.seconds["lightsleep"] + energy.seconds.get("deepsleep", 0) > 1700
    on_s = energy.charge_uah["radio_rx"] * 3600 / board.facts.currents["radio_rx"]
    idle_s = energy.charge_uah.get("radio_idle", 0) * 3600 / board.facts.currents["radio_idle"]
    assert 2 <= on_s < 60 and idle_s < 20
