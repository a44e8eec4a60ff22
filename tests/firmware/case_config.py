"""Settings: nothing in config.json can stop a node."""

from rig import folder, read, write

from kerbnode import config
from kerbnode.bin.pace import FOR_EVENTS, MAX_FRAMES_A_DAY
from kerbnode.exchange import MAX_RUN

DEFAULTS = {row[0]: row[1] for row in config.SETTINGS}


def one(name, value):
    """A config.json of one setting; value as it stands in the text."""
    return '{"' + name + '": ' + str(value) + "}"


def test_the_table_is_sound():
    assert len(DEFAULTS) == len(config.SETTINGS)
    for _, default, low, high in config.SETTINGS:
        assert low <= default <= high


def test_a_day_of_the_shortest_interval_fits_the_days_reports_with_room_to_catch_up():
    lowest = next(low for name, _, low, _ in config.SETTINGS if name == "interval_s")
    assert 86400 / lowest <= (MAX_FRAMES_A_DAY - FOR_EVENTS) * MAX_RUN / 1.5


def test_no_file_and_an_empty_object_are_the_defaults():
    assert config.read(folder() + "/config.json") == (DEFAULTS, [])
    assert config.parse("{}") == (DEFAULTS, [])


def test_every_setting_takes_its_bounds_and_refuses_what_lies_beyond():
    for name, default, low, high in config.SETTINGS:
        for value in (low, high):
            settings, complaints = config.parse(one(name, value))
            if name not in ("empty_mm", "full_mm"):  # whose bounds overlap
                assert settings[name] == value and complaints == []
        for bad in (low - 1, high + 1, "true", "null", '"5"', "1.5", "[1]", "{}"):
            settings, complaints = config.parse(one(name, bad))
            assert settings[name] == default and len(complaints) == 1 and name in complaints[0]


def test_an_unknown_key_is_told_and_harms_nothing():
    settings, complaints = config.parse('{"interval_s": 900, "intervall": 5}')
    assert settings["interval_s"] == 900
    assert complaints == ["unknown setting intervall"]


def test_a_bin_that_is_full_below_its_floor_gets_the_default_geometry():
    settings, complaints = config.parse('{"empty_mm": 500, "full_mm": 500}')
    assert settings == DEFAULTS and len(complaints) == 1


def test_what_is_no_object_leaves_the_defaults():
    for text in ("", "{", "[]", "7", "null", '"a"', "\x00", "{}" + " " * 5000, '{"a":1}}'):
        settings, complaints = config.parse(text)
        assert settings == DEFAULTS and len(complaints) == 1
    write(folder() + "/config.json", b"\xff\xfe{}")
    assert config.read(folder() + "/config.json")[0] == DEFAULTS


def test_the_digest_tells_effective_settings_apart():
    digest = config.digest(DEFAULTS)
    assert len(digest) == 8
    assert config.digest(config.parse('{"unknown": 1}')[0]) == digest
    assert config.digest(config.parse('{"echoes": 5}')[0]) != digest


def slots():
    return config.Slots(folder())


def test_a_patch_is_tried_proven_and_kept_over_a_restart():
    one = slots()
    assert (one.version, one.patch, one.trial) == (0, {}, False)
    one.put(1, one.patched({0: 900, 13: 300}))
    assert (slots().version, slots().patch, slots().trial) == (1, {0: 900, 13: 300}, True)
    one.prove()
    assert (slots().version, slots().patch, slots().trial) == (1, {0: 900, 13: 300}, False)
    assert slots().patched({0: None, 14: 60}) == {13: 300, 14: 60}
    settings, complaints = config.parse('{"tries": 4}', slots().patch)
    assert (settings["interval_s"], settings["heat_s"], settings["tries"], complaints) == (900, 300, 4, [])


def test_a_patch_that_is_given_up_leaves_the_last_good_one_and_its_version():
    one = slots()
    one.give_up()
    assert slots().patch == {}
    one.put(1, {0: 900})
    one.prove()
    for version in (2, 3):  # a second trial does not touch the good one either
        one.put(version, {0: 1800})
    assert slots().version == 3
    one.give_up()
    assert (slots().version, slots().patch, slots().trial) == (1, {0: 900}, False)
    slots().put(2, {0: 1800})
    slots().prove()
    assert (slots().version, slots().patch) == (2, {0: 1800})


def test_a_write_that_tears_costs_the_new_patch_and_never_the_good_one():
    paths = [folder() + "/config." + str(at) for at in range(2)]
    for act in ("put", "prove", "give_up"):
        one = slots()
        one.put(one.version + 1, {0: 900})
        one.prove()
        one.put(one.version + 1, {0: 1800})
        if act == "put":
            one.prove()
        good = [1800] if act == "put" else [900, 1800]  # while one is on trial, either is the gateway's will
        before = {path: read(path) for path in paths}
        if act == "put":
            one.put(one.version + 1, {0: 600})
        elif act == "prove":
            one.prove()
        else:
            one.give_up()
        (torn,) = [path for path in paths if read(path) != before[path]]
        whole = read(torn)
        for size in range(len(whole)):
            write(torn, whole[:size])
            assert slots().patch[0] in good
        write(torn, whole)


def test_a_patch_of_an_unknown_number_or_beyond_the_bounds_is_a_complaint():
    for patch in ({200: 5}, {0: 1}, {0: 10**6}):
        assert len(config.parse("{}", patch)[1]) == 1
