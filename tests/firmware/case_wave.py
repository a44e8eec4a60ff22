"""Waves along a chain of columns."""

from kerbnode.lamp import wave
from kerbnode.lamp.wave import Waves
from kerbwire.waves import BOTH, DOWNWARDS, UPWARDS, Wave

SPACING_DM = 350  # 35 m


def column(place, hops=0):
    """The lamp of a member number, which is its place here."""
    return Waves([place - 1, place - 2], [place + 1, place + 2], SPACING_DM, 60, 20, hops)


def test_the_two_columns_on_either_side_light_up_and_no_third():
    told = column(10).seen(0)
    lit = [place for place in range(5, 16) if place != 10 and column(place).heard(10, told, 0)[0]]
    assert (told.direction, told.hop, told.level) == (BOTH, 0, 60)
    assert lit == [8, 9, 11, 12]


def test_direction_and_speed_come_from_the_column_before():
    walker = column(10)
    walker.heard(9, column(9).seen(0), 0)
    told = walker.seen(25000)  # 35 m in 25 s
    assert (told.direction, told.speed) == (UPWARDS, 14)
    assert column(11).heard(10, told, 25000)[0] and not column(9).heard(10, told, 25000)[0]
    cyclist = column(10)
    cyclist.heard(11, column(11).seen(0), 0)
    told = cyclist.seen(7000)
    assert (told.direction, told.speed) == (DOWNWARDS, 50)


def test_somebody_from_either_side_is_told_both_ways():
    walker = column(10)
    walker.heard(9, column(9).seen(0), 0)
    walker.heard(11, column(11).seen(5000), 5000)
    assert walker.seen(25000).direction == BOTH


def test_a_walker_who_goes_away_is_not_taken_for_one_who_comes():
    behind = column(10)
    assert behind.heard(11, Wave(60, 0, UPWARDS, 14, 20), 0) == (False, None)
    assert behind.seen(5000).direction == BOTH


def test_a_wave_that_still_holds_is_not_told_again_but_one_for_another_level_or_way_is():
    street = column(10)
    street.heard(9, column(9).seen(0), 0)
    assert street.seen(5000).direction == UPWARDS
    assert street.seen(9000) is None  # the next walker the same way
    street.level = 100
    assert street.seen(12000).level == 100
    street.heard(11, column(11).seen(13000), 13000)
    assert street.seen(15000).direction == BOTH
    assert street.again_ms() == 15000 + wave.AGAIN_MS


def test_a_wave_holds_until_it_may_be_told_again_however_fast_somebody_seems():
    street = Waves([9, 8], [11, 12], SPACING_DM, 60, 40)
    street.heard(9, column(9).seen(0), 0)
    told = street.seen(500)
    assert told.speed == 600 and told.lifetime * 1000 > wave.AGAIN_MS


def test_one_column_ahead_is_one():
    told = Wave(60, 0, BOTH, 0, 20)
    near, far = (Waves([place - 1, place - 2], [place + 1], SPACING_DM, 60, 20, 0, 1) for place in (11, 12))
    assert near.heard(10, told, 0)[0] and not far.heard(10, told, 0)[0]


def test_a_lasting_presence_is_told_again_and_not_at_every_tick():
    sensor = column(10)
    told = [now_ms for now_ms in range(0, 30000, 100) if sensor.seen(now_ms)]
    assert told == list(range(0, 30000, wave.AGAIN_MS))
    assert sensor.seen(30000 + wave.EVERY_MS)  # the next walker, after a pause


def test_a_stranger_lights_nothing():
    assert column(10).heard(99, Wave(100, 0, BOTH, 0, 20), 0) == (False, None)


def test_a_relay_goes_on_in_one_direction_and_ends_by_its_hops():
    told = column(10).seen(0)
    lit, onward = column(11, hops=1).heard(10, told, 100)
    assert lit and (onward.hop, onward.direction) == (1, UPWARDS)
    lit, onward = column(12, hops=1).heard(11, onward, 200)
    assert lit and onward is None
    assert column(10, hops=1).heard(11, Wave(60, 1, UPWARDS, 0, 20), 200) == (False, None)  # not back to where it began


def test_a_storm_of_waves_is_relayed_slowly():
    relay = column(11, hops=1)
    sent = [now_ms for now_ms in range(0, 10000, 50) if relay.heard(10, Wave(60, 0, BOTH, 0, 20), now_ms)[1]]
    assert sent == list(range(0, 10000, wave.EVERY_MS))
