"""From depth to per cent of the volume."""

from kerbnode.bin.geometry import (
    IGLOO,
    STRAIGHT,
    TAPERED,
    UNDERGROUND,
    WHEELED_240,
    WHEELED_1100,
    volume_percent,
)

PROFILES = (STRAIGHT, TAPERED, WHEELED_240, WHEELED_1100, IGLOO, UNDERGROUND)
SPANS = ((1200, 200), (100, 99), (101, 99), (3000, 250), (12000, 0), (950, 187))


def test_a_straight_bin_is_linear():
    for distance_mm, percent in ((1200, 0), (1196, 0), (1195, 1), (700, 50), (450, 75), (200, 100)):
        assert volume_percent(distance_mm, 1200, 200, STRAIGHT) == percent


def test_every_profile_goes_from_nothing_to_all_and_never_back():
    for profile in PROFILES:
        for empty_mm, full_mm in SPANS:
            before = 100
            for distance_mm in range(0, empty_mm + 500, max(1, empty_mm // 997)):
                percent = volume_percent(distance_mm, empty_mm, full_mm, profile)
                assert 0 <= percent <= before, (profile, distance_mm)
                before = percent
            assert volume_percent(full_mm, empty_mm, full_mm, profile) == 100
            assert volume_percent(empty_mm, empty_mm, full_mm, profile) == 0


def test_half_the_depth_is_not_half_the_volume():
    assert [volume_percent(700, 1200, 200, profile) for profile in PROFILES] == [50, 43, 43, 47, 64, 43]
