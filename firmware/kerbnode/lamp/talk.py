"""A lamp's conversation: kerbnode.exchange on a link that listens all the time, in slices that nobody sees."""

from kerbnode.exchange import Exchange
from kerbnode.outbox import Outbox
from kerbwire import cbor, columns, messages
from kerbwire import session as sessions
from kerbwire.channels import CAUSE
from kerbwire.commands import EMERGENCY
from kerbwire.errors import WireError

MAX_RUN = 32  # items of one report, in memory at once: what an hour of a street with 15 passages changes
_HEAD = 4  # bytes of a report around its columns
FIRST_S, LONGEST_S = 10, 900  # waits between two tries while the gateway is silent
UNANSWERED_BEFORE_HELLO = 3  # frames in a row; the gateway may have lost the node's life, and only hello carries it


class Pace:
    """How often a lamp speaks: as often as it has something to say, and rarely while nobody answers.

    level: silent exchanges in a row. unanswered: frames in a row. heard: answers, ever.
    """

    def __init__(self):
        self.level = self.unanswered = self.heard = 0

    def may_send(self, is_boot_hello=False, urgent=False):
        return True

    def sent(self):
        self.unanswered = min(self.unanswered + 1, UNANSWERED_BEFORE_HELLO)

    def answered(self):
        self.level = self.unanswered = 0
        self.heard += 1

    def silent(self):
        self.level += 1

    def needs_hello(self):
        return self.unanswered >= UNANSWERED_BEFORE_HELLO

    def wait_s(self, random):
        """Until the next try: doubled each time, and spread over as much again, for a street falls silent together."""
        if not self.level:
            return 0
        wait_s = min(FIRST_S << min(self.level - 1, 10), LONGEST_S)
        return wait_s + int.from_bytes(random(2), "big") * wait_s // 65536


class LampOutbox(Outbox):
    """breathe() is called with each record that is read: there may be thousands."""

    def __init__(self, folder, capacity_segments, declare_gap, breathe):
        super().__init__(folder, capacity_segments, declare_gap)
        self._breathe = breathe

    def _record(self, segment, place):
        self._breathe()
        return super()._record(segment, place)


class Talk(Exchange):
    """loop: kerbnode.lamp.loop, which is the hal of this exchange too."""

    longest_run = MAX_RUN

    def __init__(self, loop, **handed):
        super().__init__(hal=loop, **handed)
        self._breathe = loop.breathe

    def _transact(self, event=None):
        """An emergency waits for no more than the frame under way."""
        if any(_is_emergency(order[0]) for order in self._orders):
            state = self._session.state
            self.orders()
            if self._session.state != state:  # an order spoke, and nobody answered
                return False
        return super()._transact(event)

    def orders(self):
        """As Exchange's, emergencies first."""
        urgent = [order for order in self._orders if _is_emergency(order[0])]
        self._orders[:] = urgent + [order for order in self._orders if not _is_emergency(order[0])]
        super().orders()

    def waited(self):
        """The time after a silent exchange is over."""
        if self._session.state in (sessions.SILENT, sessions.BACKOFF):
            self._session.on(sessions.WAITED)

    def _encode(self, run):
        """Of level changes and of quarters of an hour a report each: the first of them that the run holds."""
        boot = run[0][2]
        of_changes = CAUSE in run[0][3]
        records = []
        for index, time, _, values in run:
            if (CAUSE in values) != of_changes:
                break
            records.append(messages.Record(index, time, values))
        count = len(records)
        while count:
            try:
                body = self._body(records[:count], boot, self._uptime_of(boot, run))
            except WireError:
                count >>= 1
                continue
            if len(body) + _HEAD <= messages.MAX_MESSAGE:
                return cbor.encode([messages.REPORT, body]), count
            count = min(count - 1, count * messages.MAX_MESSAGE // len(body))
        return b"", 0

    def _body(self, records, boot, uptime):
        body = b""
        for step in columns.steps(records, boot or None, uptime, self._outbox.near):
            body = step
            self._breathe()
        return body


def _is_emergency(message):
    return message.KIND == messages.COMMAND and message.priority == EMERGENCY
