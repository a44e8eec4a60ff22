"""The one channel table: what a node measures, in which unit, at which resolution, within which range.

A value on the wire is an integer; physical value = raw * numerator / denominator, in `unit`. "No echo", "fault" and
"not fitted" are values of their own, never a zero.
"""

BIN, LAMP = 0, 1
ROLES = ("bin", "lamp")

# Special values: smaller than every range, and still small integers on a 32-bit board.
NOT_FITTED, NO_ECHO, FAULT = -(1 << 29), 1 - (1 << 29), 2 - (1 << 29)
SPECIAL = {NOT_FITTED: "not fitted", NO_ECHO: "no echo", FAULT: "fault"}

FILL, DISTANCE, TEMPERATURE, BATTERY, TILT, QUALITY, TROUBLE, RAW = 0, 1, 2, 3, 4, 5, 8, 9
LEVEL, POWER, ENERGY, LUX, HOURS, PRESENCE, SUPPLY, FAULTS, CAUSE = 16, 17, 18, 19, 20, 21, 22, 23, 24
MAX_CHANNEL = 31  # the column mask is a 32-bit number

# Bits of QUALITY.
FEW_ECHOES, SPREAD_ECHOES, BELOW_RANGE, ABOVE_RANGE, UNCORRECTED = 1, 2, 4, 8, 16
COVERED, OPEN_LID, NOT_UPRIGHT, WEAK_ECHO, WRAPPED_ECHO, ROUGH_TEMPERATURE, FAULTY_PART = (
    32, 64, 128, 256, 512, 1024, 2048,
)  # fmt: skip
QUALITY_FLAGS = {
    FEW_ECHOES: "few echoes",
    SPREAD_ECHOES: "spread echoes",
    BELOW_RANGE: "below range",
    ABOVE_RANGE: "above range",
    UNCORRECTED: "no temperature correction",
    COVERED: "covered sensor",
    OPEN_LID: "open lid",
    NOT_UPRIGHT: "not upright",
    WEAK_ECHO: "weak echo",
    WRAPPED_ECHO: "wrapped echo",
    ROUGH_TEMPERATURE: "rough temperature",
    FAULTY_PART: "faulty part",
}

# Values of TROUBLE: slot << 4 | reason. RAW beside it is what the part said, as the reason tells.
AT_DISTANCE, AT_TEMPERATURE, AT_TILT, AT_BATTERY = 0, 16, 32, 48
AT_PRESENCE, AT_LIGHT, AT_METER, AT_DIMMER, AT_RELAY = 64, 80, 96, 112, 128
SILENT, GARBLED, WRONG_PART, STUCK, LATE, OUT_OF_RANGE, NO_CONVERSION, PASSIVATED = 1, 2, 3, 4, 5, 6, 7, 8
PART_SLOTS = (
    "distance", "temperature", "tilt", "battery", "presence", "light", "meter", "dimmer", "relay",
)  # fmt: skip
PART_REASONS = {
    SILENT: "silent",  # raw: 0, or the bus's error number
    GARBLED: "garbled",  # raw: bytes that were no reading
    WRONG_PART: "another part",  # raw: what it says that it is
    STUCK: "stuck",  # raw: the level or the value that never changes
    LATE: "no result in time",  # raw: its status
    OUT_OF_RANGE: "out of range",  # raw: the value
    NO_CONVERSION: "lost power in between",  # raw: the value
    PASSIVATED: "passivated cells",  # raw: millivolts at the first load
}

# Values of CAUSE: why a lamp changed its level.
BY_SCHEDULE, BY_PRESENCE, HOLD_OVER, BY_COMMAND, BY_PHOTOCELL, BY_WAVE, BY_FAULT = 0, 1, 2, 3, 4, 5, 6
CAUSES = ("schedule", "presence", "hold over", "command", "photocell", "wave", "fault")

# Coders of a packed column (kerbwire.packed): what a channel's values are predicted from.
HOLD, SLOPE, RANK, EVENTS, LIGHT, WATTS, WATT_HOURS, LIT_HOURS = 0, 1, 2, 3, 4, 5, 6, 7


class Channel:
    """One row. `low` and `high` bound the raw value; `roles` are the kinds of node that measure it.

    coder: of a packed column. width: bits of a packed value, the three special values included.
    """

    __slots__ = ("coder", "denominator", "high", "ident", "low", "name", "numerator", "roles", "unit", "width")

    def __init__(
        self,
        ident: int,
        name: str,
        unit: str,
        numerator: int,
        denominator: int,
        low: int,
        high: int,
        roles: "tuple[int, ...]",
        coder: int,
    ):
        self.ident = ident
        self.name = name
        self.unit = unit
        self.numerator = numerator
        self.denominator = denominator
        self.low = low
        self.high = high
        self.roles = roles
        self.coder = coder
        self.width = 1
        while high - low + len(SPECIAL) >> self.width:
            self.width += 1


FURTHEST_MM, COLDEST, HOTTEST, MAX_CELLS, MAX_FLAGS = 12000, -110, 250, 2000, 65535
# Lowest and highest of what a bin samples: by this its values are judged where they are taken.
BOUNDS = {
    FILL: (0, 100), DISTANCE: (0, FURTHEST_MM), TEMPERATURE: (COLDEST, HOTTEST), BATTERY: (0, MAX_CELLS),
    QUALITY: (0, MAX_FLAGS),
}  # fmt: skip

CHANNELS = {
    row[0]: Channel(*row)
    for row in (
        # id, name, unit, numerator, denominator, low, high, roles, coder
        (FILL, "fill", "%", 1, 1, 0, 100, (BIN,), HOLD),
        (DISTANCE, "distance", "mm", 1, 1, 0, FURTHEST_MM, (BIN,), HOLD),
        (
            TEMPERATURE,
            "temperature",
            "degC",
            1,
            2,
            COLDEST,
            HOTTEST,
            (BIN, LAMP),
            SLOPE,
        ),  # a DS18B20's -55 to +125 degC
        (BATTERY, "battery", "V", 1, 100, 0, MAX_CELLS, (BIN,), HOLD),
        (TILT, "tilt", "deg", 1, 1, 0, 180, (BIN, LAMP), HOLD),
        (QUALITY, "quality", "flags", 1, 1, 0, MAX_FLAGS, (BIN, LAMP), RANK),
        (TROUBLE, "trouble", "code", 1, 1, 0, 255, (BIN, LAMP), HOLD),  # of events only, as the next
        (RAW, "raw", "code", 1, 1, 0, 65535, (BIN, LAMP), HOLD),
        (LEVEL, "level", "%", 1, 1, 0, 100, (LAMP,), RANK),
        (POWER, "power", "W", 1, 10, 0, 20000, (LAMP,), WATTS),
        (ENERGY, "energy", "Wh", 1, 1, 0, (1 << 31) - 8, (LAMP,), WATT_HOURS),
        (LUX, "lux", "1/8 octave", 1, 1, 0, 160, (LAMP,), LIGHT),
        (HOURS, "hours", "h", 1, 1, 0, 1 << 20, (LAMP,), LIT_HOURS),
        (PRESENCE, "presence", "count", 1, 1, 0, 65535, (LAMP,), EVENTS),
        (SUPPLY, "supply", "V", 1, 1, 0, 500, (LAMP,), HOLD),
        (FAULTS, "faults", "flags", 1, 1, 0, 65535, (LAMP,), RANK),
        (CAUSE, "cause", "code", 1, 1, 0, 15, (LAMP,), RANK),
    )
}


def trouble(code: int) -> str:
    """A value of TROUBLE in words."""
    slot, reason = code >> 4, code & 15
    of = PART_SLOTS[slot] if slot < len(PART_SLOTS) else "slot %d" % slot
    return of + ": " + PART_REASONS.get(reason, "reason %d" % reason)
