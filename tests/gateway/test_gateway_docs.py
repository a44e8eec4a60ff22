"""gateway/README.md and SETTINGS.md say what the code does: each setting with its default, each scheme and option of an inlet."""

import re
from pathlib import Path

import pytest

from kerbgate.config import MAX_LINKS
from kerbgate.errors import InletError
from kerbgate.inlets import open_inlet
from kerbgate.inlets.mqtt import DEFAULT_WINDOW, MqttInlet
from kerbgate.inlets.serial import DEFAULT_BAUD
from kerbgate.service import settings
from kerbgate.settings import SETTINGS

PAGE = Path(__file__).parents[2] / "gateway" / "README.md"
TEXT = PAGE.read_text()


def test_the_reference_of_the_settings_is_what_the_program_prints() -> None:
    text = (PAGE.parent / "SETTINGS.md").read_text()
    assert text == settings.markdown(), "run: kerb gateway settings > gateway/SETTINGS.md"
    for setting in SETTINGS:
        assert re.search(
            rf"^\| `\[+{setting.section}\]+ {setting.name}` \| .+ \| {re.escape(setting.help)} \|$", text, re.M
        )


def test_inlets_are_what_the_page_says() -> None:
    urls = re.findall(r"^\| `(\w+:[^`]+)` \|", TEXT, re.M)
    assert [url.split(":")[0] for url in urls] == ["serial", "mqtt", "mqtts", "lns", "ble", "udp", "lora", "replay"]
    found = [open_inlet(url) for url in urls]
    names = ["serial:/dev/ttyACM0", "mqtt:host:1883/site", "mqtt:host:8883/site"]
    names += ["lns:host:1883/APPLICATION", "ble:hci0", "udp:0.0.0.0:5690", "lora:/dev/ttyACM0"]
    names += ["replay:/srv/bench/street.kcap"]
    assert [inlet.name for inlet in found] == names
    with pytest.raises(InletError) as failed:
        open_inlet("carrier:x")
    assert all(f"{url.split(':')[0]}:" in failed.value.hint for url in urls)
    assert f"baud={DEFAULT_BAUD}`" in TEXT and f"up to {MAX_LINKS};" in TEXT
    assert isinstance(found[1], MqttInlet) and found[1].window == DEFAULT_WINDOW
    assert f"{DEFAULT_WINDOW} without it" in TEXT


def test_options_of_mqtt_are_the_ones_that_it_takes() -> None:
    table = TEXT.split("| option of mqtt and mqtts |")[1].split("\n\n")[0]
    options = {name for row in re.findall(r"^\| (`.+?`) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}
    with pytest.raises(InletError) as failed:
        open_inlet("mqtt://host/site?unheard_of=1")
    known = set(re.findall(r"\w+", failed.value.hint))
    assert options <= known, failed.value.hint
    assert {"credentials", "authority", "certificate", "key", "client", "window"} == options
