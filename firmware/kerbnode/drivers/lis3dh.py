"""LIS3DH accelerometer on I2C: tilt, an interrupt that stands once it was knocked or tipped, a rough temperature.

At rest its z axis points up. Low power at 10 Hz, 16 mg a digit, INT1 latched by half a g on x or y: a tilt beyond 30
degrees, or a knock. Registers: data sheet DocID17530, chapter 8; self-test: its table 4 and section 3.2.
"""

from kerbwire.channels import FAULT, LATE, OUT_OF_RANGE, STUCK, WRONG_PART

IDENTITY = 0x33
_MG = 16  # a digit
THRESHOLD_MG = 31 * _MG
GRAVITY_MG = (600, 1400)  # at rest; further off it moves, or measures nothing
SELF_TEST_MG = 64  # data sheet: the least change of an axis that works is 17 digits of 4 mg
TRIES = 3
PERIOD_MS = 110  # of a measurement at 10 Hz
TURN_ON_MS = 800  # seven of them, data sheet table 16
_SETTINGS = b"\x2f\x00\x40\x80\x08"  # CTRL_REG1 to CTRL_REG5
_NEVER, _AWAY, _BACK = b"\x00", b"\x0a", b"\x85"  # of INT1_CFG: x or y high; x and y low
_OUT_ADC3, _WHO, _TEMP_CFG, _CTRL1, _CTRL4, _STATUS, _OUT, _INT1_CFG, _INT1_SRC, _INT1_THS = (
    0x0C, 0x0F, 0x1F, 0x20, 0x23, 0x27, 0x28, 0x30, 0x31, 0x32,
)  # fmt: skip
_MANY = 0x80  # in the register's number: count up


def read(hal, facts, prove):
    """(degrees from upright or FAULT, moved since the last time, half degrees Celsius or FAULT, reason, raw).

    prove: pull at its mass with its own self-test: of a part that is stuck the values do not change. The temperature is
    the die's, good to some degrees: the data sheet promises its changes only.
    """
    bus = hal.i2c(facts)
    address = facts["address"]

    def fetch(register, size):
        return bus.readfrom_mem(address, register | _MANY, size)

    def store(register, data):
        bus.writeto_mem(address, register | _MANY, data)

    def axes():
        for _ in range(TRIES):
            if fetch(_STATUS, 1)[0] & 8:
                break
            hal.sleep_ms(PERIOD_MS)
        else:
            return None
        data = fetch(_OUT, 6)
        return [(data[at] - (data[at] << 1 & 256)) * _MG for at in (1, 3, 5)]

    identity = fetch(_WHO, 1)[0]
    if identity != IDENTITY:
        return FAULT, False, FAULT, WRONG_PART, identity
    moved = bool(fetch(_INT1_SRC, 1)[0] & 0x40)
    if fetch(_CTRL1, 5) != _SETTINGS:  # it lost power, or was never told
        moved = False
        store(_CTRL1, _SETTINGS)
        store(_TEMP_CFG, b"\xc0")
        store(_INT1_THS, b"\x1f\x00")
        hal.sleep_ms(TURN_ON_MS)
    half_c = fetch(_OUT_ADC3, 2)[1]
    half_c = 2 * (half_c - (half_c << 1 & 256) + 25)
    tilt_deg = FAULT
    reason, raw, wakes_on = LATE, 0, _NEVER
    for _ in range(TRIES):
        mg = axes()
        if mg is None:
            break
        raw = root(sum([axis * axis for axis in mg]))
        if GRAVITY_MG[0] <= raw <= GRAVITY_MG[1]:
            across_mg = root(mg[0] * mg[0] + mg[1] * mg[1])
            tilt_deg, reason = angle_deg(across_mg, mg[2]), 0
            # What stands tilted would interrupt for ever: then both axes have to come back first.
            wakes_on = _BACK if across_mg > THRESHOLD_MG else _AWAY
            break
        reason = OUT_OF_RANGE
        hal.sleep_ms(PERIOD_MS)
    if prove and mg and not reason:
        store(_CTRL4, b"\x82")
        hal.sleep_ms(TRIES * PERIOD_MS)
        pulled = axes() or mg
        store(_CTRL4, _SETTINGS[3:4])
        hal.sleep_ms(TRIES * PERIOD_MS)
        raw = max([abs(pulled[axis] - mg[axis]) for axis in range(3)])
        if raw < SELF_TEST_MG:
            tilt_deg, reason, wakes_on = FAULT, STUCK, _NEVER
    store(_INT1_CFG, wakes_on)
    fetch(_INT1_SRC, 1)
    return tilt_deg, moved, half_c, reason, raw


def root(square):
    """The integer square root of at most 2^30."""
    found = 0
    bit = 1 << 15
    while bit:
        if (found | bit) * (found | bit) <= square:
            found |= bit
        bit >>= 1
    return found


def angle_deg(across, up):
    """Degrees 0..180 between the z axis and the vertical: atan2(across, up), good to 0.3 degrees; across >= 0."""
    small, large = min(across, abs(up)), max(across, abs(up), 1)
    share = small * 1024 // large
    deg_10 = (450 * 1024 * share + 156 * share * (1024 - share) + (1 << 19)) >> 20
    if across > abs(up):
        deg_10 = 900 - deg_10
    return ((1800 - deg_10 if up < 0 else deg_10) + 5) // 10
