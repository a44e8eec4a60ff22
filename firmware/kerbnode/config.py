"""Settings: one table of name, default, lowest, highest. /node/config.json overrides; integers only.

Nothing in that file can stop a node: what is not understood is complained about, and the default holds.
"""

import hashlib
import json

MAX_TEXT = 4096  # characters: the whole table written out takes about 500

# interval_s: a day of records fits pace.MAX_FRAMES_A_DAY reports of 48, and half as many again for what was lost.
SETTINGS = (  # name, default, lowest, highest; what each is for: firmware/SETTINGS.md
    ("interval_s", 3600, 360, 86400),
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
)


def parse(text):
    """(settings by name, complaints): the text of a config.json over the defaults."""
    settings = {}
    for row in SETTINGS:
        settings[row[0]] = row[1]
    complaints = []
    try:
        given = json.loads(text) if len(text) <= MAX_TEXT else None
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return settings, ["config.json is no JSON object of at most %d characters: defaults hold" % MAX_TEXT]
    for row in SETTINGS:
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
    if settings["full_mm"] >= settings["empty_mm"]:
        for row in SETTINGS:
            if row[0] in ("empty_mm", "full_mm"):
                settings[row[0]] = row[1]
        complaints.append("full_mm is not less than empty_mm: defaults hold")
    return settings, complaints


def read(path):
    """(settings, complaints) of a file; one that is not there is no complaint."""
    try:
        with open(path) as file:
            text = file.read(MAX_TEXT + 1)
    except OSError:
        return parse("{}")
    except ValueError:  # not UTF-8
        return parse("")
    return parse(text)


def digest(settings):
    """8 bytes that tell two effective configurations apart: hello carries them."""
    lines = ["%s=%d\n" % (row[0], settings[row[0]]) for row in SETTINGS]
    return hashlib.sha256("".join(lines).encode()).digest()[:8]
