"""A lamp's counters and its quarters of an hour, over resets and power cuts; the calendar file; the settings' rows."""

import os

from kerbnode import config
from kerbnode.lamp import calendar
from kerbnode.lamp import settings as lampsettings
from kerbnode.lamp.register import Register, eighth_octaves
from kerbwire.channels import CHANNELS, ENERGY, FAULT, FAULTS, HOURS, LEVEL, LUX, NOT_FITTED, POWER, PRESENCE, SUPPLY


class Thing:
    pass


class Parts:
    def __init__(self):
        self.power, self.energy = 305, 120

    def values(self):
        return {POWER: self.power, ENERGY: self.energy, SUPPLY: 230}


class Faults:
    flags = 4

    def __init__(self):
        self.energy = Thing()
        self.energy.total_wh = 5120
        self.kept = None

    def pack(self):
        return b"state"

    def unpack(self, data):
        self.kept = data


def make(path):
    lamp = Thing()
    lamp.ramp, lamp.presence = Thing(), Thing()
    lamp.ramp.level = 60
    lamp.presence.usual, lamp.presence.quiet_nights, lamp.presence.passages = 7, 2, 5
    return Register(path, Parts(), lamp, Faults()), lamp


def test_a_quarter_holds_counts_and_no_moments():
    register, lamp = make(os.getenv("KERB_TMP") + "/lamp")
    for second in range(0, 7300, 100):
        register.look(second * 1000, 18)
    register.take(1800000900, 0)
    ((second, boot, values, _),) = register.waiting
    assert (second, boot) == (1800000900, 0) and lamp.presence.passages == 0
    assert values == {LEVEL: 60, POWER: 305, ENERGY: 5120, LUX: 34, HOURS: 2, PRESENCE: 5, FAULTS: 4}


def test_what_is_not_measured_is_no_zero():
    register, _ = make(os.getenv("KERB_TMP") + "/lamp")
    register._parts.power, register._parts.energy = FAULT, NOT_FITTED
    register.look(0, NOT_FITTED)
    register.take(900, 3)
    values = register.waiting[0][2]
    assert (values[POWER], values[ENERGY], values[LUX]) == (FAULT, NOT_FITTED, NOT_FITTED)


def test_a_new_life_tells_nothing_of_the_one_before_and_counts_on():
    path = os.getenv("KERB_TMP") + "/lamp"
    register, _ = make(path)
    register.take(900, 3)
    register.take(1800000900, 0)
    register.keep()
    again, _ = make(path)
    assert again.open(b"", True) == 1800000900
    assert again.waiting == [] and again._faults.kept == b"state"
    same, _ = make(path)
    same.open(b"")
    assert same.waiting == [] and same._serial == 2


def test_what_the_faults_have_counted_is_kept_between_two_records():
    path = os.getenv("KERB_TMP") + "/lamp"
    register, _ = make(path)
    register.take(1800000900, 0)
    register._faults.pack = lambda: b"later"
    register.keep()
    again, _ = make(path)
    assert again.open(b"") == 1800000900 and again._faults.kept == b"later" and len(again.waiting) == 1


def test_counters_and_what_waits_survive():
    path = os.getenv("KERB_TMP") + "/lamp"
    register, _ = make(path)
    register.look(0, 5)
    register.look(7200 * 1000, 5)
    register.take(1800000000, 0)
    assert register.is_unkept
    register.take(1800000900, 0)
    register.keep()
    assert not register.is_unkept
    again, lamp = make(path)
    lamp.presence.usual = lamp.presence.quiet_nights = 0
    assert again.open(b"") == 1800000900
    assert again.waiting == register.waiting and again.hours == 2
    assert (lamp.presence.usual, lamp.presence.quiet_nights) == (7, 2) and again._faults.kept == b"state"
    again.moved()
    third, _ = make(path)
    assert third.open(b"") == 1800000900 and third.waiting == []


def test_a_power_cut_between_outbox_and_file_doubles_nothing():
    path = os.getenv("KERB_TMP") + "/lamp"
    register, _ = make(path)
    register.take(1800000000, 0)
    register.keep()
    other, _ = make(path)
    other.open(b"other")
    assert len(other.waiting) == 1
    newest = register.waiting[-1][-1]  # it is in the outbox now, and the power goes before `moved`
    again, _ = make(path)
    assert again.open(newest) == 1800000000 and again.waiting == []
    other, _ = make(path)  # and once more, when something else is the newest there
    assert other.open(b"other") == 1800000000 and other.waiting == []


def test_a_damaged_file_starts_anew():
    path = os.getenv("KERB_TMP") + "/lamp"
    with open(path, "wb") as file:
        file.write(b"\x00" * 40)
    register, _ = make(path)
    assert register.open(b"") == 0 and register.waiting == []


def test_octaves():
    for lux, code in ((0, 0), (1, 8), (18, 34), (70, 49), (1000, 80), (100000, 133)):
        assert eighth_octaves(lux) == code, (lux, eighth_octaves(lux))
    assert eighth_octaves(120000) <= CHANNELS[LUX].high


def test_a_calendar_is_checked_whole():
    path = os.getenv("KERB_TMP") + "/calendar.json"
    said = []
    assert calendar.read(path, said.append) == ([], [0]) and not said
    rule = [127, 101, 1231, 0, 300, 0, 0]
    for text, wanted, complains in (
        ('{"zone": [0, 60, [3, 5, 6, 60], [10, 5, 6, 60]], "rules": [[127, 101, 1231, 0, 300, 0, 0]]}', 1, False),
        ('{"rules": [[127, 101, 1231, 0, 300, 0, 0]]}', 1, False),
        ('{"rules": [[127, 101, 1231, 0, 300, 0, 101]]}', 0, True),
        ('{"rules": [[127, 101, 1231, 0, 300, 0]]}', 0, True),
        ('{"zone": [0, 60], "rules": []}', 0, True),
        ('{"zone": [true]}', 0, True),
        ("no JSON", 0, True),
        ("[]", 0, True),
        ('{"rules": [' + "[127, 101, 1231, 0, 300, 0, 0]," * 17 + "[1]]}", 0, True),
    ):
        with open(path, "w") as file:
            file.write(text)
        rules, zone = calendar.read(path, said.append)
        assert rules == [rule] * wanted and bool(said) is complains, text
        assert len(zone) in (1, 4)
        said = []


def test_settings_of_a_lamp_have_rows_of_their_own():
    settings, complaints = config.parse('{"floor": 30, "echoes": 3}', {17: 80}, lampsettings.ROWS)
    assert settings["floor"] == 30 and complaints == ["unknown setting echoes"]
    assert lampsettings.ROWS[17][0] == "middle" and settings["middle"] == 80
    other = dict(settings)
    other["floor"] = 31
    assert config.digest(settings, lampsettings.ROWS) != config.digest(other, lampsettings.ROWS)
