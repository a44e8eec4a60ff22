"""Where the sun stands, in integers alone: every board and the host decide alike, to the second.

The low-precision formulas of the Astronomical Almanac (section C): 0.01 degrees of longitude between 1950 and 2050. The
equation of time is their series to the second order, after Meeus, Astronomical Algorithms, chapter 28. Angles are in
1 / 2^30 of a turn, sines in 1 / 2^15.
"""

from kerbwire.compat import const

ONE = const(1 << 15)
TURN = const(1 << 30)
J2000 = 946728000  # 2000-01-01 12:00 UTC, Unix seconds
DAY_S = const(86400)

_SIN_OBLIQUITY = const(13034)  # of 23.439 degrees


def sine(angle):
    """Sine of an angle: at most 4 / 2^15 off."""
    angle &= TURN - 1
    sign = 1
    if angle >= TURN >> 1:
        angle -= TURN >> 1
        sign = -1
    if angle > (TURN >> 2):
        angle = (TURN >> 1) - angle
    z = angle >> 13  # the quarter in 2^15
    square = z * z >> 15
    # The polynomial of pi/2 z with the least error on 0..1, so that sine(quarter) is ONE.
    return sign * (z * (51472 - (square * (21166 - (square * (2605 - (square * 143 >> 15)) >> 15)) >> 15)) >> 15)


def cosine(angle):
    return sine(angle + (TURN >> 2))


def root(square):
    """Integer square root, rounded down."""
    guess = ONE
    while True:
        better = (guess + square // guess) >> 1
        if -1 <= better - guess <= 1:
            break
        guess = better
    while better * better > square:
        better -= 1
    return better


def angle_of(tenths):
    """An angle from tenths of a degree."""
    return tenths * TURN // 3600


def sun_height(utc_s, latitude, longitude):
    """Sine of the height of the sun's centre above the horizon, without refraction.

    latitude: north, longitude: east, both in 1e-4 degrees.
    """
    days, seconds = divmod(utc_s - J2000, DAY_S)
    mean = 836504533 + days * 2939808 + seconds * 2939808 // DAY_S  # 280.460 and 0.9856474 degrees a day
    anomaly = 1066368797 + days * 2939667 + seconds * 2939667 // DAY_S  # 357.528 and 0.9856003 degrees a day
    of_anomaly = sine(anomaly)
    true = mean + (5711710 * of_anomaly + 59652 * sine(2 * anomaly)) // ONE  # 1.915 and 0.020 degrees
    late = (
        7354040 * sine(2 * mean)
        - 5710846 * of_anomaly
        + 491515 * of_anomaly * cosine(2 * mean) // ONE
        - 158235 * sine(4 * mean)
        - 59639 * sine(2 * anomaly)
    ) // ONE  # the equation of time: sun dial less clock
    # The day of J2000 began at noon: seconds are the time since the mean sun was in the south at Greenwich.
    hour = seconds * TURN // DAY_S + longitude * TURN // 3600000 + late
    declination = _SIN_OBLIQUITY * sine(true) // ONE
    latitude_angle = latitude * TURN // 3600000
    across = root(ONE * ONE - declination * declination)
    return (sine(latitude_angle) * declination + (cosine(latitude_angle) * across // ONE) * cosine(hour)) // ONE
