"""A bin's level from its echoes: pure arithmetic on integers. firmware/LEVEL.md says why each limit is what it is."""

from kerbnode.bin.geometry import volume_percent
from kerbwire.channels import (
    ABOVE_RANGE,
    BELOW_RANGE,
    COVERED,
    FAULT,
    FEW_ECHOES,
    NO_ECHO,
    NOT_FITTED,
    NOT_UPRIGHT,
    OPEN_LID,
    SPREAD_ECHOES,
    UNCORRECTED,
)  # fmt: skip

OUTLIER_MM = 100  # from the median: beyond it an echo is another thing's, a swinging bag's or the rim's
MAX_SPREAD_MM = 50  # of the middle half of the echoes: a calm surface gives 10, an uneven one or a swinging bag more
TOLERANCE_PERCENT = 5  # of the span, beyond either end of it: waste on the rim and a dented floor are no range error
ELSEWHERE_PERCENT = 15  # below the floor by so much it is not the bin that is seen
NEAR_PERCENT = 40  # of full_mm: nearer than that hangs a bag or water, not waste
NOT_UPRIGHT_DEG = 25
LEAST_ALIKE = 3
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


def posture(tilt_deg, lid_deg):
    """Quality flags of how the accelerometer lies. lid_deg: beyond it the lid that it sits in is open; 0: no lid."""
    if tilt_deg in SPECIALS or tilt_deg < min(lid_deg or 180, NOT_UPRIGHT_DEG):
        return 0
    return OPEN_LID if lid_deg and tilt_deg >= lid_deg else NOT_UPRIGHT


def alike(readings):
    """What each of a sample's readings is to the millimetre; None where they differ, as in the air, or are too few."""
    if len(readings) < LEAST_ALIKE or min(readings) != max(readings) or readings[0] in SPECIALS:
        return None
    return readings[0]


def agreed(readings, wanted, near_mm):
    """(mm, quality flags) of one sample's readings; NO_ECHO where they hold none of the waste, FAULT without any.

    readings: mm, or NO_ECHO for a reading without one. wanted: how many were asked for. near_mm: nearer is no waste.
    """
    if not readings:
        return FAULT, 0
    echoes = [reading for reading in readings if reading != NO_ECHO]
    waste = [echo for echo in echoes if echo >= near_mm]
    flags = 0
    if 4 * (len(echoes) - len(waste)) > len(readings):
        flags = COVERED
    if waste:
        middle = median(waste)
        waste = [echo for echo in waste if abs(echo - middle) <= OUTLIER_MM]
    if 2 * len(waste) <= wanted:
        flags |= FEW_ECHOES
        if not waste or len(waste) < 2 <= wanted or flags & COVERED:
            return NO_ECHO, flags
    waste.sort()
    quarter = len(waste) // 4
    if waste[-1 - quarter] - waste[quarter] > MAX_SPREAD_MM:
        flags |= SPREAD_ECHOES
    return median(waste), flags


def fill_of(distance_mm, empty_mm, full_mm, profile):
    """(per cent of the volume, quality flags); NO_ECHO where it is not the bin that is seen. full_mm < empty_mm."""
    span_mm = empty_mm - full_mm
    flags = 0
    if (full_mm - distance_mm) * 100 > span_mm * TOLERANCE_PERCENT:
        flags = BELOW_RANGE
    beyond = (distance_mm - empty_mm) * 100
    if beyond > span_mm * TOLERANCE_PERCENT:
        flags = ABOVE_RANGE
        if beyond > span_mm * ELSEWHERE_PERCENT:
            return NO_ECHO, flags
    return volume_percent(distance_mm, empty_mm, full_mm, profile), flags


def level(readings, air_half_c, reference_c, nearest_mm, flags, settings):
    """(fill, distance, quality flags) of one sample; a special value where there is none.

    air_half_c: half degrees, or a special value. reference_c: the air that the ranger assumes, or None. nearest_mm: of
    the ranger. flags: of `posture` and of the ranger. settings: echoes, empty_mm, full_mm, heap_mm, profile.
    """
    full_mm = settings["full_mm"]
    near_mm = max(nearest_mm, full_mm * NEAR_PERCENT // 100)
    distance_mm, more = agreed(readings, settings["echoes"], near_mm)
    flags |= more
    if distance_mm in SPECIALS:
        return distance_mm, distance_mm, flags
    if reference_c is not None:
        if air_half_c in SPECIALS:
            flags |= UNCORRECTED
        else:
            distance_mm = corrected_mm(distance_mm, air_half_c, reference_c)
    if flags & (OPEN_LID | NOT_UPRIGHT):
        return NO_ECHO, distance_mm, flags
    empty_mm = settings["empty_mm"]
    heap_mm = min(settings["heap_mm"], max(0, empty_mm - distance_mm) // 4)  # an empty floor is even
    fill, more = fill_of(distance_mm + heap_mm, empty_mm, full_mm, settings["profile"])
    return fill, distance_mm, flags | more
