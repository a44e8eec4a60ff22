"""Settings: one table of name, default, lowest, highest; integers only. A setting's number on the wire is its row.

    /node/config.json     written at provisioning: what lies over the defaults; over that, the patch of kerbnode.slots

Nothing in these files can stop a node: what is not understood is complained about, and the default holds.
"""

import hashlib
import json

from kerbnode import flash
from kerbnode.slots import TRIAL_SILENCES, Slots  # noqa: F401  a part of the configuration, by a file of its own

MAX_TEXT = 4096  # characters: the whole table written out takes about 900

# interval_s: a day of records fits the reports of a day (kerbnode.bin.pace) of 24, and half as many again for what
# is lost.
SETTINGS = (  # name, default, lowest, highest; what each is for: firmware/SETTINGS.md. A row keeps its place for ever.
    ("interval_s", 3600, 450, 86400),
    ("report_records", 24, 1, 48),
    ("reports_per_wake", 8, 1, 16),
    ("tries", 2, 1, 4),
    ("ack_timeout_ms", 3000, 100, 10000),
    ("outbox_segments", 64, 4, 256),
    ("index_block", 32, 8, 64),
    ("seq_block", 16, 8, 64),
    ("echoes", 7, 1, 15),
    ("echo_timeout_ms", 2500, 200, 10000),
    ("empty_mm", 1200, 100, 12000),
    ("full_mm", 250, 0, 11900),
    ("record_distance", 0, 0, 1),
    ("heat_s", 120, 0, 3600),
    ("check_s", 120, 30, 300),
    ("fire_c", 75, 40, 120),
    ("fire_rise_c", 12, 5, 60),
    ("full_percent", 90, 50, 100),
    ("nearly_percent", 75, 20, 100),
    ("tilt_degrees", 45, 20, 90),
    ("battery_low_mv", 3300, 1000, 20000),
    ("cells_mah", 34000, 100, 500000),
    ("draw_uah_day", 5000, 10, 1000000),
    ("soon_records", 6, 1, 48),
    ("forecast_h", 24, 0, 168),
    ("profile", 0, 0, 5),
    ("lid_deg", 60, 0, 150),
    ("heap_mm", 20, 0, 500),
)


def parse(text, patch=None, rows=SETTINGS):
    """(settings by name, complaints): the text of a config.json over the defaults, and a patch over that."""
    settings = {}
    for row in rows:
        settings[row[0]] = row[1]
    complaints = []
    try:
        given = json.loads(text) if len(text) <= MAX_TEXT else None
    except ValueError:
        given = None
    if not isinstance(given, dict):
        complaints.append("config.json is no JSON object of at most %d characters: defaults hold" % MAX_TEXT)
        given = {}
    patch = patch or {}
    for number in patch:
        given[rows[number][0] if number < len(rows) else "number %d" % number] = patch[number]
    for row in rows:
        name, default, low, high = row
        if name not in given:
            continue
        value = given.pop(name)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            settings[name] = value
        else:
            complaints.append("%s is no integer in %d..%d: default %d holds" % (name, low, high, default))
    for name in sorted(given):
        complaints.append("unknown setting %s" % name)
    if rows is SETTINGS and settings["full_mm"] >= settings["empty_mm"]:
        for row in SETTINGS:
            if row[0] in ("empty_mm", "full_mm"):
                settings[row[0]] = row[1]
        complaints.append("full_mm is not less than empty_mm: defaults hold")
    return settings, complaints


def read(path, patch=None, rows=SETTINGS):
    """(settings, complaints) of a file with a patch over it; one that is not there is no complaint."""
    data = flash.read(path)
    try:
        text = "{}" if data is None else data.decode()
    except ValueError:  # not UTF-8
        text = ""
    return parse(text, patch, rows)


def digest(settings, rows=SETTINGS):
    """8 bytes that tell two effective configurations apart: hello carries them."""
    lines = ["%s=%d\n" % (row[0], settings[row[0]]) for row in rows]
    return hashlib.sha256("".join(lines).encode()).digest()[:8]
