"""Settings: one table of name, default, lowest, highest; integers only. A setting's number on the wire is its row.

    /node/config.json     written at provisioning: what lies over the defaults
    /node/config.0, .1    two slots: what the gateway has patched over that, the newer generation first

A patch is on trial until the gateway has answered a node that runs by it; a failed start before that, or a gateway that
is silent, brings the other slot's patch back. Nothing in these files can stop a node: what is not understood is
complained about, and the default holds.
"""

import hashlib
import json

from kerbnode import flash

MAX_TEXT = 4096  # characters: the whole table written out takes about 900
TRIAL_SILENCES = 3  # exchanges in a row without an answer that end a trial

# interval_s: a day of records fits the reports of a day (kerbnode.pace) of 24, and half as many again for what is lost.
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
    ("fire_rise_c", 15, 5, 60),
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
_GENERATION, _VERSION, _PATCH, _TRIAL = 0, 1, 2, 3


class Slots:
    """What the gateway has patched. version: of the whole configuration. trial: it has not proved itself yet."""

    def __init__(self, folder):
        self._paths = (folder + "/config.0", folder + "/config.1")
        self._newest = self._good = {_GENERATION: -1, _VERSION: 0, _PATCH: {}, _TRIAL: False}
        self._good_at = 0
        for at in range(2):
            slot = flash.load(self._paths[at])
            if isinstance(slot, dict) and sorted(slot) == [0, 1, 2, 3] and isinstance(slot[_PATCH], dict):
                if slot[_GENERATION] > self._newest[_GENERATION]:
                    self._newest = slot
                if not slot[_TRIAL] and slot[_GENERATION] > self._good[_GENERATION]:
                    self._good, self._good_at = slot, at

    @property
    def version(self):
        return self._newest[_VERSION]

    @property
    def trial(self):
        return self._newest[_TRIAL]

    @property
    def patch(self):
        return self._newest[_PATCH]

    def patched(self, patch):
        """All of the patch that a further patch leaves: number -> value, without those that are a default again."""
        whole = dict(self.patch)
        for number in patch:
            if patch[number] is None:
                whole.pop(number, None)
            else:
                whole[number] = patch[number]
        return whole

    def put(self, version, patch):
        """Try a patch; it holds from the next wake on. One on trial is replaced, the last good one stays."""
        self._write(self._good_at ^ 1, version, patch, True)

    def prove(self):
        """The gateway has answered a node that runs by the newest patch."""
        if self.trial:
            self._write(self._good_at, self.version, self.patch, False)

    def give_up(self):
        """Back to the last known good."""
        self._write(self._good_at ^ 1, self._good[_VERSION], self._good[_PATCH], False)

    def _write(self, at, version, patch, trial):
        """Over the slot that the node can do without: a write that tears leaves the other."""
        slot = {_GENERATION: self._newest[_GENERATION] + 1, _VERSION: version, _PATCH: patch, _TRIAL: trial}
        flash.store(self._paths[at], slot)
        self._newest = slot
        if not trial:
            self._good, self._good_at = slot, at


def parse(text, patch=None):
    """(settings by name, complaints): the text of a config.json over the defaults, and a patch over that."""
    settings = {}
    for row in SETTINGS:
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
        given[SETTINGS[number][0] if number < len(SETTINGS) else "number %d" % number] = patch[number]
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


def read(path, patch=None):
    """(settings, complaints) of a file with a patch over it; one that is not there is no complaint."""
    try:
        with open(path) as file:
            text = file.read(MAX_TEXT + 1)
    except OSError:
        return parse("{}", patch)
    except ValueError:  # not UTF-8
        return parse("", patch)
    return parse(text, patch)


def digest(settings):
    """8 bytes that tell two effective configurations apart: hello carries them."""
    lines = ["%s=%d\n" % (row[0], settings[row[0]]) for row in SETTINGS]
    return hashlib.sha256("".join(lines).encode()).digest()[:8]
