"""The faults of photocell, presence sensor and other parts."""

from faulty_lamp import Lamp, check

from kerbnode.lamp import faults as lampfaults
from kerbnode.lamp.faults import CELL, CLEARED, EYE, PART, RAISED
from kerbwire.channels import AT_LIGHT, AT_PRESENCE, RAW, SILENT, STUCK, TROUBLE


def test_a_photocell_that_is_wrong_on_three_mornings_is_told():
    lamp = Lamp().learnt()
    lamp.lamp.night.faults = 1
    for night in range(3):
        assert not lamp.judge.is_raised(CELL), night
        lamp.night()
    assert lamp.codes() == [(lampfaults.PHOTOCELL_FAULT, 0, RAISED)]
    lamp.lamp.night.faults = 0
    lamp.night()
    assert lamp.codes()[1][2] == CLEARED


def test_and_on_fifteen_where_clock_and_sun_decide():
    lamp = Lamp().learnt()
    lamp.lamp.night.faults, lamp.lamp.night.source = 1, 0
    for night in range(15):
        assert not lamp.judge.is_raised(CELL), night
        lamp.night(hours=4, step_s=300)
    assert lamp.judge.is_raised(CELL)


def test_a_presence_sensor_that_is_stuck_for_most_of_seven_nights_is_told_and_one_that_is_blind_at_once():
    lamp = Lamp().learnt()
    lamp.lamp.presence.verdict = 1
    for night in range(7):
        assert not lamp.judge.is_raised(EYE), night
        lamp.night()
    assert lamp.told[0][3][TROUBLE] == AT_PRESENCE | STUCK
    lamp.lamp.presence.verdict = 0
    lamp.night()
    lamp.lamp.presence.verdict = 2
    lamp.night()
    assert [event[2] for event in lamp.told] == [RAISED, CLEARED, RAISED]


def test_a_part_that_says_nothing_is_told_after_an_hour_and_a_gust_of_noise_is_not():
    lamp = Lamp().learnt().lit()
    lamp.troubles = [(AT_LIGHT | SILENT, 19)]
    lamp.run(3000)
    lamp.troubles = []
    lamp.run(60)
    assert lamp.told == []
    lamp.troubles = [(AT_LIGHT | SILENT, 19)]
    evidence = check(lamp, PART, 3620, lambda: setattr(lamp, "troubles", []))
    assert evidence[TROUBLE] == AT_LIGHT | SILENT and evidence[RAW] == 19
