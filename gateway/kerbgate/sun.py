"""Where the sun stands, well enough to tell day from night: within 0.2 degrees of an ephemeris until 2100.

After the Astronomical Almanac's low-precision formulas (section C, "Low-precision formulas for the Sun").
"""

from math import asin, atan2, cos, degrees, radians, sin

J2000_S = 946_728_000  # 2000-01-01T12:00:00Z, Unix seconds
HORIZON_DEG = -0.833  # the sun's upper edge touches it, refraction counted
MAX_CACHED = 4096
_STEP_S = 120  # the sun moves half a degree in this time
_GRID = 20  # places a degree: a cell is 5 km


def elevation(utc_s: float, latitude: float, longitude: float) -> float:
    """Degrees of the sun's centre above the horizon, without refraction. Degrees north and east; UTC, Unix seconds."""
    days = (utc_s - J2000_S) / 86_400
    mean = radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = radians((280.460 + 0.9856474 * days + 1.915 * sin(mean) + 0.020 * sin(2 * mean)) % 360)
    tilt = radians(23.439 - 0.0000004 * days)
    ascension = atan2(cos(tilt) * sin(ecliptic), cos(ecliptic))
    declination = asin(sin(tilt) * sin(ecliptic))
    sidereal = radians((280.46062 + 360.98564737 * days + longitude) % 360)
    height = sin(radians(latitude)) * sin(declination)
    height += cos(radians(latitude)) * cos(declination) * cos(sidereal - ascension)
    return degrees(asin(max(-1.0, min(1.0, height))))


class Sun:
    """`elevation` from memory, to within a degree: for what is asked with each record of a street."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], float] = {}

    def elevation(self, utc_s: float, latitude: float, longitude: float) -> float:
        key = (int(utc_s) // _STEP_S, round(latitude * _GRID), round(longitude * _GRID))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            found = self._known[key] = elevation((key[0] + 0.5) * _STEP_S, key[1] / _GRID, key[2] / _GRID)
        return found
