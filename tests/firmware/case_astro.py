"""The sun's height by integers: against heights published for a few places, and its own bounds."""

from kerbnode.lamp import astro

# (UTC, latitude and longitude in 1e-4 degrees, height in 1e-2 degrees, computed with astral 3.2 without refraction)
KNOWN = (
    (1781956800, 0, 0, 6656),  # 2026-06-20 12:00, equator at Greenwich
    (1766145600, 515000, 0, 1508),  # 2025-12-19 12:00, London
    (1772366400, -368500, 1747600, -4500),  # 2026-03-01 12:00, Auckland's night
    (1782000000, 620000, 60000, -445),  # 2026-06-21 00:00, Norway's summer
)


def test_sines_are_exact_to_four_parts_in_32768():
    from math import pi, sin

    for angle in range(0, astro.TURN, 7654321):
        assert abs(astro.sine(angle) - sin(2 * pi * angle / astro.TURN) * astro.ONE) < 4
    assert astro.sine(astro.TURN >> 2) == astro.cosine(0) == astro.ONE
    assert astro.sine(0) == astro.sine(astro.TURN >> 1) == 0
    assert astro.sine(-(astro.TURN >> 2)) == -astro.ONE
    assert astro.angle_of(3600) == astro.TURN


def test_roots_are_rounded_down():
    for number in (1, 2, 99, 181, 32767, 32768):
        assert astro.root(number * number) == number
        assert astro.root(number * number + 1) == number
        assert number == 1 or astro.root(number * number - 1) == number - 1
    assert astro.root(0) == 0


def test_heights_at_known_places():
    for utc_s, latitude, longitude, hundredths in KNOWN:
        expected = astro.sine(hundredths * astro.TURN // 36000)
        assert abs(astro.sun_height(utc_s, latitude, longitude) - expected) <= 12, (utc_s, latitude)


def test_every_place_and_time_has_a_height():
    for latitude in (-900000, -450000, 0, 450000, 900000):
        for longitude in (-1800000, 0, 1799999):
            for utc_s in (0, 946728000, 1767225600, 2147483647, 4102444800):
                assert -astro.ONE - 8 <= astro.sun_height(utc_s, latitude, longitude) <= astro.ONE + 8
