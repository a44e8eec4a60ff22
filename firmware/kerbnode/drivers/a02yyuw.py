"""A02YYUW ultrasonic ranger: it sends a frame of FF, high, low, checksum every 100 to 300 ms at 9600 8N1.

Distance in mm is high * 256 + low; the checksum is the low byte of the sum of the other three. (DFRobot SEN0311 wiki.)
"""

from kerbwire.channels import GARBLED, NO_ECHO, SILENT

NEAREST_MM = 30  # data sheet: nearer is its blind zone; what it says there is kept, and counts as a covered sensor
HIGHEST_MM = 4500  # 0 and beyond is how it says "nothing there"
REFERENCE_C = 20
POLL_MS = 20  # a frame lasts 4 ms and the UART keeps it
RECEIVE_BUFFER = 64  # bytes
_HEAD = 0xFF


class Parser:
    """Readings out of a stream of bytes, however it is cut; noise is skipped byte by byte and counted."""

    def __init__(self):
        self._held = b""
        self.noise = 0

    def feed(self, data):
        """The readings that these bytes complete: mm, or NO_ECHO for a frame whose distance is none."""
        held = self._held + data
        at = 0
        readings = []
        while len(held) - at >= 4:
            if held[at] == _HEAD and held[at + 3] == (_HEAD + held[at + 1] + held[at + 2]) & 0xFF:
                range_mm = held[at + 1] << 8 | held[at + 2]
                readings.append(range_mm if 0 < range_mm <= HIGHEST_MM else NO_ECHO)
                at += 4
            else:
                self.noise += 1
                at += 1
        self._held = held[at:]
        return readings


def measure(hal, facts, count, timeout_ms):
    """Up to `count` readings within timeout_ms; raw: bytes that were none. It speaks even where it sees nothing."""
    uart = hal.uart(facts, RECEIVE_BUFFER)
    parser = Parser()
    readings = []
    start = hal.ticks_ms()
    uart.read(RECEIVE_BUFFER)  # what came before power was steady
    while len(readings) < count and hal.ticks_diff(hal.ticks_ms(), start) < timeout_ms:
        hal.sleep_ms(POLL_MS)
        if uart.any():
            readings += parser.feed(uart.read(RECEIVE_BUFFER) or b"")
    reason = 0 if readings else GARBLED if parser.noise else SILENT
    return readings[:count], 0, reason, parser.noise
