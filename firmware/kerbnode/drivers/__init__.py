"""Drivers: one part a file, named as board.json names it. What they measure is integers: firmware/DRIVERS.md.

    distance     measure(hal, facts, count, timeout_ms) -> readings, quality flags, reason, raw; NEAREST_MM, REFERENCE_C
    temperature  start(hal, facts) -> what read() takes CONVERSION_MS later -> half degrees or FAULT, reason, raw
    tilt         read(hal, facts, prove) -> degrees or FAULT, moved, half degrees or FAULT, reason, raw
    battery      millivolts(hal, facts)

reason: 0, or one of kerbwire.channels. A bus that raises OSError is left to the caller, for whom it is SILENT.
"""

import sys


def find(name):
    """The module of a driver. ImportError for one that this firmware does not have. What is at hand costs no look at
    the flash."""
    name = "kerbnode.drivers." + name
    return sys.modules.get(name) or __import__(name, None, None, ("find",))
