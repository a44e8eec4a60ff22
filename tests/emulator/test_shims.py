"""Names of each port: what a board has is there, what it does not have is not. From the ports' own module tables, 1.29."""

import pytest

ASK = """
import sys, machine, network, time, select, socket
def have(thing, names):
    return [name for name in names.split() if hasattr(thing, name)]
def has_module(name):
    try:
        __import__(name)
        return True
    except ImportError:
        return False
asked = eval(open("/asked").read())
found = {}
for path, names in asked.items():
    thing = sys.modules[path.split(".")[0]]
    for part in path.split(".")[1:]:
        thing = getattr(thing, part)
    found[path] = have(thing, names)
print(found)
print([name for name in ("esp32", "rp2", "bluetooth", "kerb_rpc", "asyncio") if has_module(name)])
"""

BOTH = {
    "machine": "ADC I2C PWM Pin RTC SPI Signal SoftI2C SoftSPI Timer UART WDT deepsleep disable_irq enable_irq freq idle"
    " lightsleep reset reset_cause soft_reset unique_id PWRON_RESET WDT_RESET",
    "machine.Pin": "IN OUT OPEN_DRAIN PULL_UP PULL_DOWN IRQ_RISING IRQ_FALLING init irq off on toggle value",
    "machine.PWM": "deinit duty_ns duty_u16 freq init",
    "machine.I2C": "readfrom readfrom_into readfrom_mem readfrom_mem_into scan writeto writeto_mem writevto",
    "machine.SPI": "LSB MSB init read readinto write write_readinto",
    "machine.Timer": "ONE_SHOT PERIODIC deinit init",
    "machine.UART": "any flush init read readinto readline txdone write",
    "machine.RTC": "datetime",
    "network": "AP_IF STA_IF STAT_CONNECTING STAT_GOT_IP STAT_IDLE STAT_NO_AP_FOUND STAT_WRONG_PASSWORD WLAN country hostname",
    "network.WLAN": "IF_STA PM_NONE active config connect disconnect ifconfig ipconfig isconnected scan status",
    "time": "gmtime localtime mktime sleep sleep_ms sleep_us ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns",
    "select": "POLLERR POLLHUP POLLIN POLLOUT poll",
    "socket": "AF_INET SOCK_STREAM getaddrinfo socket",
}
ONLY = {
    "esp32": {
        "machine": "DEEPSLEEP DEEPSLEEP_RESET EXT0_WAKE EXT1_WAKE HARD_RESET PIN_WAKE SLEEP SOFT_RESET TIMER_WAKE"
        " TOUCHPAD_WAKE ULP_WAKE sleep wake_pins wake_reason",
        "machine.Pin": "DRIVE_0 WAKE_HIGH WAKE_LOW",
        "machine.ADC": "ATTN_11DB WIDTH_12BIT atten read read_uv width",
        "machine.PWM": "duty",
        "machine.RTC": "init memory",
        "network": "STAT_BEACON_TIMEOUT STAT_HANDSHAKE_TIMEOUT AUTH_OPEN",
    },
    "rp2": {
        "machine": "mem_backup",
        "machine.Pin": "ALT ALT_PWM high low",
        "machine.ADC": "CORE_TEMP",
    },
}


@pytest.mark.parametrize("name", ["esp32_c3", "esp32_s3", "pico2_w", "pico_w"])
def test_each_port_has_its_names_and_not_the_others(emulated_board, world, name):
    board = emulated_board(name)
    port, other = board.facts.port, "rp2" if board.facts.port == "esp32" else "esp32"
    asked = dict(BOTH)
    for only in ONLY.values():
        for path, names in only.items():
            asked[path] = asked.get(path, "") + " " + names
    board = emulated_board(name, files={"main.py": ASK.encode(), "asked": repr(asked).encode()}, role="lamp")
    board.start()
    world.advance(2)
    found, modules = [eval(line) for line in board.console]
    for path, names in BOTH.items():
        assert set(names.split()) <= set(found[path]), path
    for path, names in ONLY[port].items():
        assert set(names.split()) <= set(found[path]), path
    for path, names in ONLY[other].items():
        assert not set(names.split()) & set(found[path]), path
    assert ("esp32" in modules) == (port == "esp32")
    assert "asyncio" in modules
    assert ("rp2" in modules) == (port == "rp2")
    assert "bluetooth" in modules


LIMITS = """
import machine
for ms in (8388, 8389, 16777, 16778):
    try:
        machine.WDT(timeout=ms)
        print(ms, "taken")
    except ValueError as error:
        print(ms, error)
"""


@pytest.mark.parametrize("name", ["pico_w", "pico2_w"])
def test_a_watchdog_is_as_long_as_its_port_allows(emulated_board, world, name):
    board = emulated_board(name, files={"main.py": LIMITS.encode()})
    most = board.facts.watchdog_longest_ms
    board.start()
    world.advance(1)
    assert list(board.console) == [
        f"{ms} taken" if ms <= most else f"{ms} timeout exceeds {most}" for ms in (8388, 8389, 16777, 16778)
    ]
