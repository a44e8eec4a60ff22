"""A bin's level: arithmetic on integers, the same on single-precision boards."""

from kerbnode import bin
from kerbwire.channels import (
    ABOVE_RANGE,
    BELOW_RANGE,
    CHANNELS,
    FAULT,
    FEW_ECHOES,
    FILL,
    NO_ECHO,
    NOT_FITTED,
    SPREAD_ECHOES,
    UNCORRECTED,
)  # fmt: skip


def test_median_of_odd_and_even():
    assert bin.median([7]) == 7
    assert bin.median([9, 1, 5]) == 5
    assert bin.median([4, 1, 9, 6]) == 5
    assert bin.median([1, 2]) == 1


def test_the_speed_of_sound_follows_the_temperature():
    assert bin.corrected_mm(1000, 40, 20) == 1000
    assert bin.corrected_mm(1000, 0, 20) == 965  # 331.3 / 343.4
    assert bin.corrected_mm(4500, -40, 20) == 4182
    assert bin.corrected_mm(1000, 100, 20) == 1053
    assert bin.corrected_mm(0, 40, 0) == 0


def test_fill_is_linear_between_empty_and_full():
    assert bin.fill_percent(1200, 1200, 200) == (0, 0)
    assert bin.fill_percent(200, 1200, 200) == (100, 0)
    assert bin.fill_percent(700, 1200, 200) == (50, 0)
    assert bin.fill_percent(1195, 1200, 200) == (1, 0)
    assert bin.fill_percent(1196, 1200, 200) == (0, 0)


def test_beyond_either_end_it_is_clamped_and_flagged_past_a_tolerance():
    assert bin.fill_percent(1250, 1200, 200) == (0, 0)
    assert bin.fill_percent(1251, 1200, 200) == (0, ABOVE_RANGE)
    assert bin.fill_percent(150, 1200, 200) == (100, 0)
    assert bin.fill_percent(149, 1200, 200) == (100, BELOW_RANGE)


def test_fill_never_leaves_its_channel():
    channel = CHANNELS[FILL]
    for empty_mm, full_mm in ((100, 99), (12000, 0), (1200, 250)):
        for distance_mm in range(0, 13000, 37):
            assert channel.low <= bin.fill_percent(distance_mm, empty_mm, full_mm)[0] <= channel.high


def level(readings, temperature=40, reference_c=20, wanted=7):
    return bin.level(readings, wanted, temperature, reference_c, 1200, 200)


def test_an_outlier_does_not_move_the_level():
    assert level([700, 702, 698, 701, 699, 4400, 31]) == (50, 700, 0)


def test_no_echo_and_fault_are_values_of_their_own():
    assert level([NO_ECHO] * 7) == (NO_ECHO, NO_ECHO, 0)
    assert level([]) == (FAULT, FAULT, 0)


def test_echoes_among_silence_count_and_are_flagged_when_few():
    assert level([700, NO_ECHO, 700, NO_ECHO, 700, 700, NO_ECHO]) == (50, 700, 0)
    assert level([700, NO_ECHO, 700, NO_ECHO, 700]) == (50, 700, FEW_ECHOES)


def test_spread_echoes_are_flagged():
    assert level([700, 660, 740, 620, 780, 700, 700])[2] == SPREAD_ECHOES
    assert level([700, 690, 710, 700, 720, 680, 4000])[2] == 0


def test_without_a_temperature_the_level_stands_uncorrected():
    for temperature in (FAULT, NOT_FITTED):
        assert level([700] * 7, temperature) == (50, 700, UNCORRECTED)
    assert level([700] * 7, FAULT, None) == (50, 700, 0)  # a ranger that corrects by itself
    assert level([700] * 7, 0)[:2] == (53, 675)
