"""The pages beside the firmware say what the code does."""

import re
from pathlib import Path

from kerbnode import config, counters, outbox, retained
from kerbwire import flights

FIRMWARE = Path(__file__).parents[2] / "firmware"


def test_every_setting_is_documented_with_its_bounds():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| .+ \|$", (FIRMWARE / "SETTINGS.md").read_text(), re.M)
    assert [(name, int(default), int(low), int(high)) for name, default, low, high in rows] == list(config.SETTINGS)


def test_the_outbox_page_names_the_sizes_in_the_code():
    page = (FIRMWARE / "OUTBOX.md").read_text()
    for number, words in (
        (outbox.SEGMENT_RECORDS, "records"),
        (flights.MAX_IN_FLIGHT, "reports"),
        (outbox.MAX_RANGES, "stretches"),
        (2 * counters.MAX_BLOCK, "numbers"),
        (counters.MAX_GAPS, "gaps"),
        (retained.SIZE, "bytes"),
    ):
        assert f"{number} {words}" in page, (number, words)
