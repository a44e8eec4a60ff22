"""A bin's level from its echoes: pure arithmetic on integers."""

from kerbwire.channels import (
    ABOVE_RANGE,
    BELOW_RANGE,
    FAULT,
    FEW_ECHOES,
    NO_ECHO,
    NOT_FITTED,
    SPREAD_ECHOES,
    UNCORRECTED,
)  # fmt: skip

MAX_SPREAD_MM = 50  # of the middle half of the echoes: a calm surface gives 10, an uneven one or a swinging bag more
TOLERANCE_PERCENT = 5  # of the span, beyond either end of it: waste on the rim and a dented floor are no range error
SPECIALS = (NOT_FITTED, NO_ECHO, FAULT)

_SOUND_MM_S = 331300  # speed of sound in dry air at 0 degC
_SOUND_MM_S_HALF_C = 303  # its rise with half a degree (linear to 0.2 % between -20 and +60 degC)


def median(values):
    """The middle of at least one value; of an even count the mean of the two in the middle, rounded down."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) & 1 else (ordered[half - 1] + ordered[half]) // 2


def corrected_mm(range_mm, temperature_half_c, reference_c):
    """A range that was computed with the speed of sound at reference_c, at the air's true temperature."""
    true_speed = _SOUND_MM_S + _SOUND_MM_S_HALF_C * temperature_half_c
    assumed_speed = _SOUND_MM_S + 2 * _SOUND_MM_S_HALF_C * reference_c
    return (range_mm * true_speed + assumed_speed // 2) // assumed_speed


def fill_percent(distance_mm, empty_mm, full_mm):
    """(percent 0..100, quality flags) of a bin with straight walls; full_mm < empty_mm."""
    span_mm = empty_mm - full_mm
    tolerance_mm = span_mm * TOLERANCE_PERCENT // 100
    flags = 0
    if distance_mm < full_mm - tolerance_mm:
        flags = BELOW_RANGE
    elif distance_mm > empty_mm + tolerance_mm:
        flags = ABOVE_RANGE
    percent = ((empty_mm - distance_mm) * 100 + span_mm // 2) // span_mm
    return min(100, max(0, percent)), flags


def level(readings, wanted, temperature, reference_c, empty_mm, full_mm):
    """(fill, distance, quality flags) of one sample; fill and distance are NO_ECHO or FAULT where there is none.

    readings: mm, or NO_ECHO for a reading without one; none at all is a fault of the sensor. wanted: how many were
    asked for. temperature: half degrees, or a special value. reference_c: the air that the sensor assumes, or None.
    """
    flags = 0
    uncorrected = reference_c is not None and temperature in SPECIALS
    if uncorrected:
        flags = UNCORRECTED
    echoes = sorted([reading for reading in readings if reading != NO_ECHO])
    if not echoes:
        special = NO_ECHO if readings else FAULT
        return special, special, flags
    if 2 * len(echoes) <= wanted:
        flags |= FEW_ECHOES
    quarter = len(echoes) // 4
    if echoes[-1 - quarter] - echoes[quarter] > MAX_SPREAD_MM:
        flags |= SPREAD_ECHOES
    distance_mm = median(echoes)
    if reference_c is not None and not uncorrected:
        distance_mm = corrected_mm(distance_mm, temperature, reference_c)
    percent, range_flags = fill_percent(distance_mm, empty_mm, full_mm)
    return percent, distance_mm, flags | range_flags
