"""From how deep the waste stands to per cent of the bin's volume: for each shape of bin a row of nine points."""

STRAIGHT, TAPERED, WHEELED_240, WHEELED_1100, IGLOO, UNDERGROUND = 0, 1, 2, 3, 4, 5

# Half per cents of the volume below each eighth of the depth, from the floor up: firmware/LEVEL.md has the shapes.
_POINTS = 9
_TABLE = (
    b"\x00\x19\x32\x4b\x64\x7d\x96\xaf\xc8"
    b"\x00\x13\x28\x3e\x56\x70\x8b\xa9\xc8"
    b"\x00\x10\x26\x3d\x56\x70\x8c\xa9\xc8"
    b"\x00\x15\x2c\x44\x5d\x76\x91\xac\xc8"
    b"\x00\x22\x43\x63\x80\x99\xae\xbe\xc8"
    b"\x00\x08\x1c\x39\x55\x72\x8f\xab\xc8\xc8"
)


def volume_percent(distance_mm, empty_mm, full_mm, profile):
    """Of the volume between full_mm and empty_mm (the greater), how much is filled: 0..100."""
    span_mm = empty_mm - full_mm
    eighths = min(span_mm, max(0, empty_mm - distance_mm)) * 8
    at = profile * _POINTS + eighths // span_mm
    low = _TABLE[at]
    return (low * span_mm + (_TABLE[at + 1] - low) * (eighths % span_mm) + span_mm) // (2 * span_mm)
