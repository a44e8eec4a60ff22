"""DALI frames as what a line does: half bits of 416.67 us, active or idle, and back. Pure: no pin, no clock.

A frame is a start bit 1 and its bits, the highest first; a 1 is a half bit active and one idle, a 0 the other way
round, and idle of four half bits at least ends it. IEC 62386-101, sections 7 and 8: bit timing, frames.
"""

from kerbwire.compat import const

HALF_US = const(417)
FORWARD = const(34)  # half bits of a start bit and 16
BACKWARD = const(18)
SILENT, GARBLED = const(-1), const(-2)
_LEAST_US, _MIDDLE_US, _MOST_US = const(300), const(600), const(1100)  # of one half bit, one or two, two
STOP_US = const(2000)


def halves(frame, out):
    """Write the half bits of a forward frame of 16 bits into `out`, 1 is active; as many as FORWARD."""
    frame |= 1 << 16
    for bit in range(17):
        one = frame >> 16 - bit & 1
        out[2 * bit], out[2 * bit + 1] = one, 1 - one


def answer(spans, count):
    """The byte of a backward frame, SILENT or GARBLED. spans: microseconds, active and idle in turn, from its start."""
    if not count:
        return SILENT
    value = bits = 0
    first = None  # half of the bit that is being read
    for at in range(count):
        span_us = spans[at]
        active = 1 - (at & 1)
        if not active and span_us >= STOP_US:
            halves = 1 if first is not None else 0
        elif span_us < _LEAST_US or span_us > _MOST_US:
            return GARBLED
        else:
            halves = 1 if span_us < _MIDDLE_US else 2
        for _ in range(halves):
            if first is None:
                first = active
            elif first == active or bits > 8:
                return GARBLED
            else:
                value = value << 1 | first
                bits += 1
                first = None
        if not active and span_us >= STOP_US:
            break
    if first == 1:  # the last half is idle, and idle goes on
        value = value << 1 | 1
        bits += 1
    elif first is not None:
        return GARBLED
    return value & 0xFF if bits == 9 and value >> 8 == 1 else GARBLED
