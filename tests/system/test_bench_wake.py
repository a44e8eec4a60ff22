"""`kerb bench node`, what a wake costs: a wake that samples loads little, reads little flash, and ends in a sleep."""

import pytest

from kerbnode import retained
from kerbtools.bench import wake
from kerbwire import controls

BOARD = "esp32_c3"


@pytest.fixture(scope="module")
def noon(tmp_path_factory):
    place = tmp_path_factory.mktemp("wake")
    return wake.moments(BOARD, place, to_report=False)[0], place


def test_a_wake_loads_only_what_it_runs(noon):
    moment, place = noon
    sample = wake.run(moment, moment.flags(retained.SAMPLE), place, 1 << 20, on_flash=True)
    heat = wake.run(moment, moment.flags(0), place, 1 << 20, on_flash=True)
    files = {name for name in sample["files"] if "drivers" not in name}
    assert files == {"kerbnode", "kerbnode.app", "kerbnode.chunks", "kerbnode.sampling"}
    assert {name for name in heat["files"] if "drivers" not in name} == {"kerbnode", "kerbnode.app"}
    assert heat["flash_reads"] < 1500 and sample["flash_reads"] < 4200
    assert "taken " in sample["printed"] and sample["slept_ms"] > 0 and heat["slept_ms"] > 0
    assert 0 < sample["import_us"] < sample["us"]


def test_a_wake_that_looks_again_and_finds_nothing_loads_no_more_than_a_sample(noon):
    moment, place = noon
    look = wake.run(moment, moment.flags(retained.CHECK), place, 1 << 20, on_flash=True)
    files = {name for name in look["files"] if "drivers" not in name}
    assert files == {"kerbnode", "kerbnode.app", "kerbnode.chunks", "kerbnode.sampling"}
    assert look["flash_reads"] < 2550 and "taken " not in look["printed"]


def test_a_commanded_wake_obeys_or_is_no_figure(noon):
    moment, place = noon
    asked = moment.asked(wake.command(moment, controls.SAMPLE))
    assert "obeyed 1 0" in wake.run(asked, b"", place, 1 << 20)["printed"]
    with pytest.raises(RuntimeError, match="did not obey"):
        wake.run(asked, moment.flags(retained.CHECK), place, 1 << 20)


def test_a_wake_that_ends_in_an_error_is_no_figure(noon):
    moment, place = noon
    with pytest.raises(RuntimeError, match="did not end well"):
        wake.run(moment, moment.flags(retained.SAMPLE), place, 48 << 10, on_flash=True)
