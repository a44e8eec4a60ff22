"""A bin's level: arithmetic on integers, the same on single-precision boards."""

from kerbnode import config
from kerbnode.bin import level
from kerbwire.channels import (
    ABOVE_RANGE,
    BELOW_RANGE,
    CHANNELS,
    COVERED,
    FAULT,
    FEW_ECHOES,
    FILL,
    NO_ECHO,
    NOT_FITTED,
    NOT_UPRIGHT,
    OPEN_LID,
    SPREAD_ECHOES,
    UNCORRECTED,
)  # fmt: skip


def test_median_of_odd_and_even():
    assert level.median([7]) == 7
    assert level.median([9, 1, 5]) == 5
    assert level.median([4, 1, 9, 6]) == 5
    assert level.median([1, 2]) == 1


def test_the_speed_of_sound_follows_the_temperature():
    assert level.corrected_mm(1000, 40, 20) == 1000
    assert level.corrected_mm(1000, 0, 20) == 965  # 331.3 / 343.4
    assert level.corrected_mm(4500, -40, 20) == 4182
    assert level.corrected_mm(1000, 100, 20) == 1053
    assert level.corrected_mm(0, 40, 0) == 0


def test_beyond_either_end_it_is_clamped_and_flagged_past_a_tolerance():
    for distance_mm, found in (
        (1200, (0, 0)), (200, (100, 0)), (700, (50, 0)), (1250, (0, 0)), (1251, (0, ABOVE_RANGE)),
        (150, (100, 0)), (149, (100, BELOW_RANGE)), (0, (100, BELOW_RANGE)),
    ):  # fmt: skip
        assert level.fill_of(distance_mm, 1200, 200, 0) == found, distance_mm


def test_far_below_the_floor_it_is_not_the_bin_that_is_seen():
    """An open lid points the ranger elsewhere: that is no emptying."""
    assert level.fill_of(1350, 1200, 200, 0) == (0, ABOVE_RANGE)
    assert level.fill_of(1351, 1200, 200, 0) == (NO_ECHO, ABOVE_RANGE)


def test_fill_never_leaves_its_channel():
    channel = CHANNELS[FILL]
    for empty_mm, full_mm in ((100, 99), (12000, 0), (1200, 250)):
        for profile in range(6):
            for distance_mm in range(0, 13000, 37):
                fill = level.fill_of(distance_mm, empty_mm, full_mm, profile)[0]
                assert fill == NO_ECHO or channel.low <= fill <= channel.high


def found(readings, air=40, reference_c=20, nearest_mm=30, flags=0, **changed):
    settings = config.parse("{}")[0]
    settings.update({"empty_mm": 1200, "full_mm": 200, "heap_mm": 0})
    settings.update(changed)
    return level.level(readings, air, reference_c, nearest_mm, flags, settings)


def test_an_outlier_does_not_move_the_level():
    assert found([700, 702, 698, 701, 699, 4400, 31]) == (50, 700, 0)


def test_outliers_to_one_side_do_not_pull_the_median():
    assert found([700, 702, 704, 706, 1100, 1150, 1190])[1] == 703  # without them: of four


def test_no_echo_and_fault_are_values_of_their_own():
    assert found([NO_ECHO] * 7) == (NO_ECHO, NO_ECHO, FEW_ECHOES)
    assert found([]) == (FAULT, FAULT, 0)


def test_echoes_among_silence_count_and_are_flagged_when_few():
    assert found([700, NO_ECHO, 700, NO_ECHO, 700, 700, NO_ECHO]) == (50, 700, 0)
    assert found([700, NO_ECHO, 700, NO_ECHO, 700]) == (50, 700, FEW_ECHOES)
    assert found([NO_ECHO] * 6 + [700]) == (NO_ECHO, NO_ECHO, FEW_ECHOES)  # one alone may be a stray
    assert found([700], echoes=1) == (50, 700, 0)
    assert found([60], echoes=1) == (NO_ECHO, NO_ECHO, COVERED | FEW_ECHOES)


def test_spread_echoes_are_flagged():
    assert found([700, 660, 740, 640, 780, 700, 700])[2] == SPREAD_ECHOES
    assert found([700, 690, 710, 700, 720, 680, 4000])[2] == 0


def test_a_bag_on_the_sensor_is_no_full_bin():
    assert found([40, 55, 38, 61, 47, 52, 44]) == (NO_ECHO, NO_ECHO, COVERED | FEW_ECHOES)


def test_a_wet_membrane_rings_or_hears_nothing():
    assert found([35, NO_ECHO, 33, NO_ECHO, 31, 36, NO_ECHO]) == (NO_ECHO, NO_ECHO, COVERED | FEW_ECHOES)


def test_a_bag_that_swings_before_the_waste_is_flagged_and_not_averaged_in():
    assert found([700, 45, 701, 50, 699, 702, 700]) == (50, 700, COVERED)
    assert found([700, 45, 701, 703, 699, 702, 700]) == (50, 700, 0)


def test_what_is_too_near_follows_the_mounting_and_the_ranger():
    assert found([90] * 7)[0] == 100  # 90 mm before a sensor whose full bin ends at 200 mm: waste
    assert found([79] * 7)[0] == NO_ECHO
    assert found([240] * 7, nearest_mm=250)[0] == NO_ECHO  # in the blind zone


def test_without_a_temperature_the_level_stands_uncorrected():
    for air in (FAULT, NOT_FITTED):
        assert found([700] * 7, air) == (50, 700, UNCORRECTED)
    assert found([700] * 7, FAULT, None) == (50, 700, 0)  # light does not mind
    assert found([700] * 7, 0)[:2] == (53, 675)


def test_of_a_tilted_bin_and_an_open_lid_there_is_a_distance_but_no_level():
    for flag in (OPEN_LID, NOT_UPRIGHT):
        assert found([700] * 7, flags=flag) == (NO_ECHO, 700, flag)


def test_the_mean_of_a_heap_lies_below_its_top():
    assert found([700] * 7, heap_mm=50) == (45, 700, 0)  # the distance stays what was measured
    assert found([1180] * 7, heap_mm=50)[0] == 2  # on the floor lies no heap
    assert found([1200] * 7, heap_mm=50)[0] == found([1240] * 7, heap_mm=50)[0] == 0
    assert found([200] * 7, heap_mm=50)[0] == 95


def test_posture():
    for tilt_deg, lid_deg, flags in (
        (0, 60, 0), (24, 60, 0), (25, 60, NOT_UPRIGHT), (59, 60, NOT_UPRIGHT), (60, 60, OPEN_LID), (180, 60, OPEN_LID),
        (24, 0, 0), (25, 0, NOT_UPRIGHT), (180, 0, NOT_UPRIGHT), (14, 15, 0), (15, 15, OPEN_LID),
        (NOT_FITTED, 60, 0), (FAULT, 60, 0),
    ):  # fmt: skip
        assert level.posture(tilt_deg, lid_deg) == flags, (tilt_deg, lid_deg)
