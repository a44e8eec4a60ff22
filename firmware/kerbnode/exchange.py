"""One exchange with the gateway: hello where it is due, events, reports, one at a time, each with its listen window;
then what the gateway asks, as long as its acks say that more waits.

Loaded only in a wake that speaks: most wakes of a bin do not.
"""

from kerbnode.modules import is_loaded, let_go
from kerbwire import messages
from kerbwire import session as sessions
from kerbwire.messages import COMMAND, CONFIG
from kerbwire.node_end import MAX_BAD_FRAMES
from kerbwire.session import Session

MAKING = ("kerbnode.encoding", "kerbnode.saying", "kerbnode.eventmsg", "kerbnode.channels")
MAX_ORDERS = 16  # of one wake: as many as a gateway has under way to a node
MAX_RUN = 24  # records of one report, in memory at once: a day of hours, which is all that 112 KB of heap bears


class Exchange:
    """Everything is handed in. make_hello(challenge) builds the Hello of this moment. obey(message, waited_s, order)
    acts on a command or a configuration, and returns its Result or None; order: NodeEnd.order when it came.

    settings: report_records, reports_per_wake, tries, ack_timeout_ms. end: the NodeEnd that seals and judges. made:
    reports that are made already, by the number of their first record (kerbnode.encoding.ahead); made_event: (number,
    what kerbnode.eventmsg made of it); made_hello: (the first hello as bytes, its gaps); the owner gives all three.
    """

    longest_run = MAX_RUN

    def __init__(self, *, end, link, hal, clock, counters, outbox, pace, settings, journal, make_hello, obey):
        self._end = end
        self._session = Session(settings["tries"], counters.confirmed)
        self._link = link
        self._hal = hal
        self._clock = clock
        self._counters = counters
        self._outbox = outbox
        self._pace = pace
        self._settings = settings
        self._journal = journal
        self._make_hello = make_hello
        self._obey = obey
        self._orders = []
        self._under_way = []  # ids of commands that have come and are not answered yet
        self._more = False
        self._sent_ticks = 0
        self._boot_ends = {}  # newest time by earlier boot
        self.made = {}
        self.made_event = None
        self.made_hello = None

    def hello(self, is_boot, urgent=False):
        """Say hello until it is committed. False: no answer. is_boot: beyond the day's budget, once a boot. urgent: an
        event waits behind it, and it goes by the frames that are kept for events."""
        session = self._session
        gaps = []
        action = session.on(sessions.HELLO_DUE)
        while action == sessions.SEND_HELLO:
            if not self._pace.may_send(is_boot, urgent):
                action = session.on(sessions.SPENT)
                break
            hello, gaps = self._hello(session.challenge)
            session.sent(self._send("hello", hello, True))
            action = self._listen()
        if action != sessions.CONFIRM:
            self._pace.silent()
            return False
        self._counters.confirm(gaps)
        self._pace.answered()
        if is_boot:
            self._outbox.take_back()
        self._journal.line("confirmed", self._end.last_seq)
        return True

    def events(self):
        """Send the events that wait, in a crowded outbox behind the records that are older. False: an answer stayed
        out, now or before."""
        if self._session.state != sessions.REST:
            return False
        for _ in range(self._settings["reports_per_wake"]):
            found = self._outbox.next_event()
            if not found or not self._pace.may_send(False, True):
                break
            if self._outbox.is_crowded:
                run = self._outbox.next_run(1)
                if run and run[0][0] < found[0] and self._pace.may_send():
                    found = None
            if not self._transact(found):
                self._pace.silent()
                return False
        return True

    def reports(self, wanted):
        """Send what waits, down to less than `wanted` records. False: an answer stayed out, now or before."""
        if self._session.state != sessions.REST:
            return False
        for sent in range(self._settings["reports_per_wake"]):
            if self._outbox.pending(wanted) < (wanted if sent else 1) or not self._pace.may_send():
                break
            if not self._transact():
                self._pace.silent()
                return False
        return True

    def give(self):
        """Where a technician's round listens, which answers nothing: say what waits, once, as far as the day's numbers
        for it go. All of it goes on waiting for the gateway's ack. False: it is no round."""
        if not getattr(self._link, "collects", False):
            return False
        from kerbnode import giving

        if self._session.state == sessions.REST:
            giving.give(self._pace, self._outbox, self._event, self._encode, self._send, self.longest_run)
        elif self._pace.to_give():  # nothing but hello may leave
            self._send("hello", self._hello(None)[0], True)
        self._pace.gave()
        return True

    def tell(self, ranger_noise=0):
        """One console line of what was refused and what was noise in this wake, if anything was."""
        counts = ["%s %d" % (reason, self._end.refused[reason]) for reason in sorted(self._end.refused)]
        for name, count in (("skipped", self._end.skipped), ("noise", self._link.noise), ("ranger", ranger_noise)):
            if count:
                counts.append("%s %d" % (name, count))
        if counts:
            self._journal.note("refused", *counts)

    def orders(self):
        """Obey what has come, and what the acks said is still to come."""
        for _ in range(MAX_ORDERS):
            if not self._orders:
                if not self._more:
                    break
                self._more = False
                self._hear(lambda message: bool(self._orders), self._hal.ticks_ms())
            if self._orders:
                message, ticks, order = self._orders.pop(0)
                hal = self._hal
                result = self._obey(message, hal.ticks_diff(hal.ticks_ms(), ticks) // 1000, order)
                if result:
                    self._journal.line("obeyed", result.ident, result.status)
                    self.tell_once("result", result)
                self._under_way.remove(message.ident)

    def attend(self):
        """Something has come unasked: take it, and obey it."""
        self._more = True
        self.orders()

    def tell_once(self, kind, message):
        """Send what the gateway asks for again if it does not come, and take what it answers. False: nothing left.
        message: or its bytes."""
        if not self._pace.may_send(False, True):
            return False
        body = message if isinstance(message, bytes) else _encoded("message", message)
        seq = self._send(kind, body, False)
        return self._hear(lambda answer: isinstance(answer, messages.Ack) and seq in answer.committed, self._sent_ticks)

    def _transact(self, event=None):
        """One report, or one event (number, item): at most `tries` frames; between them what is in flight may still be
        acknowledged."""
        session = self._session
        urgent = event is not None
        run = event or self._next_run()
        if not run:
            return True
        action = session.on(sessions.REPORT_DUE)
        while action == sessions.SEND_REPORT:
            first = event[0] if event else run[0][0]
            body, count = self._event(event) if event else self._encode(run)
            run = None  # a day of records: the heap is the answer's now
            if not count:
                session.on(sessions.UNSENDABLE)
                self._outbox.give_up(first)
                self._journal.note("unsendable record", first)
                return True
            if not self._pace.may_send(False, urgent):
                session.on(sessions.SPENT)
                return True
            seq = self._send("event" if event else "report", body, False)
            self._outbox.sent(seq, first, count)
            session.sent(seq)
            action = self._listen()
            if action == sessions.SETTLE:
                self._pace.answered()
                return True
            run = event or self._next_run()
            if action == sessions.SEND_REPORT and not run:
                session.on(sessions.SETTLED)
                return True
        return False

    def _hello(self, challenge):
        """(message, gaps that it declares)"""
        made, self.made_hello = self.made_hello, None
        if made and not challenge:
            return made
        hello = self._make_hello(challenge)
        return _encoded("message", hello), hello.gaps

    def _event(self, event):
        """(message, 1); (b"", 0) if it cannot be said."""
        index, item = event
        if self.made_event and self.made_event[0] == index:
            return self.made_event[1]
        time, boot = item[:2]
        uptime = None
        if boot:
            uptime = max(time, self._clock.uptime() if boot == self._counters.boot_count else time)
        return _encoded("event", index, item, boot or None, uptime)

    def _next_run(self):
        """The records of the next report; of one that is made already its first number is enough."""
        first = self._outbox.fresh_of(sorted(self.made))
        return self._outbox.next_run(self.longest_run) if first is None else [(first, 0, 0, {})]

    def _encode(self, run):
        """(message, how many records of the run it holds); (b"", 0) if not even the first can be sent."""
        if run[0][0] in self.made:
            return self.made[run[0][0]]
        boot = run[0][2]
        return _encoded("report", run, boot or None, self._uptime_of(boot, run), self._outbox.near)

    def _uptime_of(self, boot, run):
        """Uptime now, for times that are uptimes; for an earlier boot, whose end nobody timed, its newest time."""
        if not boot:
            return None
        if boot == self._counters.boot_count:
            return self._clock.uptime()
        if boot not in self._boot_ends:
            self._boot_ends[boot] = self._outbox.newest_time(boot, run[0][0])
        return self._boot_ends[boot]

    def _send(self, kind, body, with_life):
        seq, frame = self._end.seal(body, with_life)
        self._hal.feed()
        self._link.send(frame)
        self._sent_ticks = self._hal.ticks_ms()
        self._pace.sent()
        self._journal.line("sent", kind, seq)
        return seq

    def _listen(self):
        """Take what comes in this window. Returns what to do when the answer has come, or the window has ended."""
        session = self._session
        waits = session.state
        done = []

        def take(message):
            action = sessions.NOTHING
            if isinstance(message, messages.Challenge):
                if message.echo == self._end.last_seq:
                    action = session.challenged(message.challenge)
                    if action == sessions.SEND_HELLO:  # before the answer leaves: its ack may be lost, and so may we
                        self._outbox.forget_near()
                        self.made = {}
                        self._outbox.save()
            elif isinstance(message, messages.Ack):
                action = session.answered(message.committed)
            if session.state != waits or action in (sessions.SEND_HELLO, sessions.BACK_OFF):
                done.append(action)
            return done

        return done[0] if self._hear(take, self._sent_ticks) else session.unanswered()

    def _hear(self, take, begin):
        """Listen until take(message) is true, and return True; or until the window that began at `begin` ends, or 8 bad
        frames have come."""
        hal, end = self._hal, self._end
        timeout_ms = self._settings["ack_timeout_ms"]
        end.listen()
        while end.bad_frames < MAX_BAD_FRAMES:
            age_ms = hal.ticks_diff(hal.ticks_ms(), begin)
            frame = self._link.receive(timeout_ms - age_ms) if age_ms < timeout_ms else None
            if frame is None:
                break
            message = end.receive(frame)
            if message is None:
                continue
            self._pace.heard += 1
            if isinstance(message, messages.Ack):
                self._more = message.more
            elif message.KIND in (COMMAND, CONFIG):
                self._more = False
                if message.ident not in self._under_way and len(self._orders) < MAX_ORDERS:
                    self._under_way.append(message.ident)
                    self._orders.append((message, hal.ticks_ms(), end.order))
            done = take(message)
            if isinstance(message, messages.Ack):
                self._take_ack(message)
            if done:
                return True
        return False

    def _take_ack(self, ack):
        if ack.time is not None and ack.echo == self._end.last_seq:
            self._clock.offer(ack.time, self._hal.ticks_diff(self._hal.ticks_ms(), self._sent_ticks))
        self._outbox.keep([self._end.instance, self._clock.synced_s, self._clock.ppm])
        outbox = self._outbox
        known = len(outbox.aside)
        for seq in outbox.settle(ack.committed, ack.echo):
            self._journal.line("committed", seq)
        for first, count in outbox.aside[known:]:
            self._session.on(sessions.REFUSED)
            self._journal.note("set aside", count, "records from", first)


def _encoded(what, *arguments):
    """What kerbnode.encoding, eventmsg or saying makes; each is let go of at once where it is a file of its own."""
    made = _made(what, arguments)
    for name in MAKING:
        if is_loaded(name):
            let_go(name)
    return made


def _made(what, arguments):
    if what == "report":
        from kerbnode import encoding

        return encoding.report(*arguments)
    if what == "event":
        from kerbnode import eventmsg

        return eventmsg.event(*arguments)
    from kerbnode import saying

    return saying.message(*arguments)
