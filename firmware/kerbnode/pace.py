"""How often a node may speak: a day's sequence numbers, and the backoff while the gateway is silent. Pure."""

MAX_FRAMES_A_DAY = 16  # law 1: so many sequence numbers a day between two boots, a boot's own hello apart
MAX_LEVEL = 6
WAITS = (0, 1, 2, 4, 8, 16, 24)  # sample intervals, by silent exchanges in a row: a day of hourly samples at most
UNANSWERED_BEFORE_HELLO = 3  # frames in a row; the gateway may have lost the node's life, and only hello carries it


class Pace:
    """spent: frames sent on `day`. level, wait_intervals: the backoff. unanswered: frames in a row without answer."""

    def __init__(self, spent=0, day=0, level=0, wait_intervals=0, unanswered=0):
        self.spent = spent
        self.day = day & 0xFF
        self.level = min(level, MAX_LEVEL)
        self.wait_intervals = wait_intervals
        self.unanswered = unanswered

    def begin(self, day, is_interval):
        """Start of a wake. day: any count of days; is_interval: this wake is a sample's."""
        if day & 0xFF != self.day:
            self.day = day & 0xFF
            self.spent = 0
        if is_interval and self.wait_intervals:
            self.wait_intervals -= 1

    def may_exchange(self):
        return not self.wait_intervals and self.spent < MAX_FRAMES_A_DAY

    def may_send(self, is_boot_hello=False):
        return is_boot_hello or self.spent < MAX_FRAMES_A_DAY

    def sent(self):
        self.spent = min(self.spent + 1, 255)
        self.unanswered = min(self.unanswered + 1, UNANSWERED_BEFORE_HELLO)

    def answered(self):
        self.level = self.wait_intervals = self.unanswered = 0

    def silent(self):
        """An exchange ended without the answer it asked for."""
        self.level = min(self.level + 1, MAX_LEVEL)
        self.wait_intervals = WAITS[self.level]

    def needs_hello(self):
        return self.unanswered >= UNANSWERED_BEFORE_HELLO
