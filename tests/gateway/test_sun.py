"""Where the sun stands, against an ephemeris: the astral package."""

from datetime import UTC, date, datetime, timedelta

import pytest
from astral import Observer
from astral.sun import elevation as ephemeris
from astral.sun import sunrise, sunset

from kerbgate.sun import HORIZON_DEG, MAX_CACHED, Sun, elevation

PLACES = [(51.45, -2.59), (-36.85, 174.76), (62.0, 6.0), (0.0, 0.0), (69.6, 18.9)]


@pytest.mark.parametrize(("latitude", "longitude"), PLACES)
def test_the_sun_stands_where_an_ephemeris_says_for_a_century(latitude: float, longitude: float) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    worst = 0.0
    while at.year < 2100:
        found = elevation(at.timestamp(), latitude, longitude)
        worst = max(worst, abs(found - ephemeris(Observer(latitude, longitude), at, with_refraction=False)))
        at += timedelta(days=11, hours=5, minutes=7)
    assert worst < 0.2


@pytest.mark.parametrize(("latitude", "longitude"), PLACES[:3])
def test_sunrise_and_sunset_are_right_to_two_minutes_over_a_year(latitude: float, longitude: float) -> None:
    for number in range(0, 365, 3):
        day = date(2026, 1, 1) + timedelta(days=number)
        for moment in (sunrise, sunset):
            at = moment(Observer(latitude, longitude), day).timestamp()
            around = [elevation(at + minutes * 60, latitude, longitude) - HORIZON_DEG for minutes in (-2, 2)]
            assert around[0] * around[1] < 0, (day, moment.__name__, around)


def test_what_is_remembered_is_within_a_degree_and_bounded() -> None:
    sun = Sun()
    for number in range(3 * MAX_CACHED):
        at, latitude = 1_772_323_200 + number * 61, 51.45 + (number % 7) * 0.01
        assert abs(sun.elevation(at, latitude, -2.59) - elevation(at, latitude, -2.59)) < 1
    assert len(sun._known) <= MAX_CACHED
