"""How often a node may speak: a day's sequence numbers, and the backoff while the gateway is silent. Pure."""

MAX_FRAMES_A_DAY = 16  # law 1: so many sequence numbers a day between two boots, a boot's own hello apart
FOR_EVENTS = 4  # of them, which no report spends
FOR_GATEWAY = 8  # of them, which no round spends: anybody can say that he is one
LISTEN_MS_A_DAY = 48000  # what silence may cost: firmware/POWER.md says which share of the cells that is
URGENT_LEVEL = 3  # silent exchanges in a row that an event still tries at once; then it waits as reports do
MAX_LEVEL = 6
MAX_SILENCES = 3  # as many as end a trial of settings
WAITS = (0, 1, 2, 4, 8, 16, 24)  # sample intervals, by silent exchanges in a row: a day of hourly samples at most
UNANSWERED_BEFORE_HELLO = 3  # frames in a row; the gateway may have lost the node's life, and only hello carries it


class Pace:
    """spent: frames sent on `day`. level, wait_intervals: the backoff. unanswered: frames in a row without answer.
    timeout_ms: how long a frame without answer is listened for. silences: exchanges in a row in which the gateway did
    not answer, at most MAX_SILENCES; `level` counts rounds too. heard, unheard: of this wake, downlinks that counted,
    and exchanges without the answer that they asked for: by them a link is judged."""

    def __init__(self, spent=0, day=0, level=0, wait_intervals=0, unanswered=0, timeout_ms=3000, silences=0):
        self._most = max(FOR_EVENTS + 1, min(MAX_FRAMES_A_DAY, LISTEN_MS_A_DAY // timeout_ms))
        self.spent = spent
        self.day = day & 0xFF
        self.level = min(level, MAX_LEVEL)
        self.wait_intervals = wait_intervals
        self.unanswered = unanswered
        self.silences = silences
        self.heard = self.unheard = 0

    def begin(self, day, is_interval):
        """Start of a wake. day: any count of days; is_interval: this wake is a sample's."""
        if day & 0xFF != self.day:
            self.day = day & 0xFF
            self.spent = 0
        if is_interval and self.wait_intervals:
            self.wait_intervals -= 1

    def may_exchange(self, urgent=False):
        return self.may_send(False, urgent) and (not self.wait_intervals or self.hurries(urgent))

    def hurries(self, urgent):
        """Whether an event that waits is tried at the next occasion."""
        return urgent and self.level < URGENT_LEVEL

    def may_send(self, is_boot_hello=False, urgent=False):
        return is_boot_hello or self.spent < (self._most if urgent else self._most - FOR_EVENTS)

    def to_give(self):
        """How many frames more a technician's round, which answers nothing, gets today."""
        return max(0, self._most - min(FOR_GATEWAY, self._most // 2) - self.spent)

    def sent(self):
        self.spent = min(self.spent + 1, 255)
        self.unanswered = min(self.unanswered + 1, UNANSWERED_BEFORE_HELLO)

    def answered(self):
        self.level = self.wait_intervals = self.unanswered = self.silences = 0

    def silent(self):
        """An exchange ended without the answer it asked for."""
        self.silences = min(self.silences + 1, MAX_SILENCES)
        self.gave()

    def gave(self):
        """A round has listened, or nobody: the next try waits, the longer the more often."""
        self.unheard += 1
        self.level = min(self.level + 1, MAX_LEVEL)
        self.wait_intervals = WAITS[self.level]

    def needs_hello(self):
        return self.unanswered >= UNANSWERED_BEFORE_HELLO
