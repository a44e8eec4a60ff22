"""The sun's position against the astral package, over a year: within a minute to 62 N, the same verdict beyond."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from kerbnode.lamp import astro

astral = pytest.importorskip("astral")
from astral import Observer, sun  # noqa: E402

Height = Callable[[datetime, float, float], float]
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
THRESHOLDS = (-8, -20, -30)  # tenths of a degree: sunset without refraction, and what switches lamps


def ours(moment: datetime, latitude: float, longitude: float) -> float:
    height = astro.sun_height(int(moment.timestamp()), round(latitude * 1e4), round(longitude * 1e4))
    return math.degrees(math.asin(max(-1.0, min(1.0, height / astro.ONE))))


def theirs(moment: datetime, latitude: float, longitude: float) -> float:
    return sun.elevation(Observer(latitude, longitude, 0.0), moment, with_refraction=False)


def crossings(height: Height, latitude: float, longitude: float, threshold: float, day: datetime) -> list[float]:
    """Seconds of the day at which the sun goes through a height, to the second."""
    found: list[float] = []
    step = 600
    before = height(day, latitude, longitude) - threshold
    for second in range(step, 86401, step):
        now = height(day + timedelta(seconds=second), latitude, longitude) - threshold
        if (before < 0) != (now < 0):
            low, high = second - step, second
            while high - low > 1:
                middle = (low + high) // 2
                value = height(day + timedelta(seconds=middle), latitude, longitude) - threshold
                low, high = (low, middle) if (value < 0) == (now < 0) else (middle, high)
            found.append(high)
        before = now
    return found


@pytest.mark.parametrize("latitude", [-45.9, 0.0, 38.0, 51.5, 62.0])
def test_dusk_and_dawn_are_within_a_minute(latitude: float) -> None:
    worst = 0.0
    for day in range(0, 366, 15):
        start = YEAR + timedelta(days=day)
        for tenths in THRESHOLDS:
            expected = crossings(theirs, latitude, 10.0, tenths / 10, start)
            found = crossings(ours, latitude, 10.0, tenths / 10, start)
            assert len(found) == len(expected), (start, tenths)
            worst = max([worst, *(abs(a - b) for a, b in zip(found, expected, strict=True))])
    print(f"latitude {latitude}: at most {worst:.0f} s")
    assert worst <= 60


@pytest.mark.parametrize("latitude", [65.0, 69.6, 78.2])
def test_beyond_62_north_the_verdict_is_the_same_but_for_20_minutes(latitude: float) -> None:
    for hour in range(0, 366 * 24, 5):
        moment = YEAR + timedelta(hours=hour)
        if (theirs(moment, latitude, 18.0) < -2) != (ours(moment, latitude, 18.0) < -2):
            near = [theirs(moment + timedelta(minutes=minutes), latitude, 18.0) < -2 for minutes in (-20, 20)]
            assert near[0] != near[1] or abs(theirs(moment, latitude, 18.0) + 2) < 0.02
