"""gateway/LINKS.md quotes what the firmware says, and names what every link counts."""

import re
from pathlib import Path

import kerbnode
from kerbnode.link import fallback
from kerbtools.provision.links import SCHEMES

FIRMWARE = Path(kerbnode.__file__).parent
TEXT = (FIRMWARE.parents[1] / "gateway" / "LINKS.md").read_text()


def test_each_line_that_an_engineer_reads_is_one_that_the_firmware_writes() -> None:
    source = (FIRMWARE / "link" / "mqtt.py").read_text()
    part = TEXT.split("\n## Wi-Fi and MQTT\n")[1].split("\n## ")[0]
    quoted = [text for row in part.splitlines() if row.startswith("|") for text in row.split("`")[1::2] if " " in text]
    others = ("the broker's certificate", "Denied", "note refused", "link mqtt", "kerb ", "use_")
    ours = [text for text in quoted if not text.startswith(others)]
    assert len(ours) >= 6
    for text in ours:
        said = text.removeprefix("note link mqtt ").replace("street", "%s")
        assert said in source, text


def test_every_count_and_every_scheme_is_named() -> None:
    table = TEXT.split("\n## What every link tells\n")[1].split("\n## ")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == set(fallback.COUNTS)
    strings = TEXT.split("\n## ")[0]
    assert [scheme for scheme in SCHEMES if f"`{scheme}:" not in strings] == []
