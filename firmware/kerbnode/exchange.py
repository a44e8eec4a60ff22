"""One exchange with the gateway: hello where it is due, then reports, one at a time, each with its listen window.

Loaded only in a wake that speaks: most wakes of a bin do not.
"""

from kerbwire import messages
from kerbwire import session as sessions
from kerbwire.node_end import MAX_BAD_FRAMES
from kerbwire.session import Session

MAX_RUN = 24  # records of one report, in memory at once: a day of hours, which is all that 112 KB of heap bears


class Exchange:
    """Everything is handed in. make_hello(challenge) builds the Hello of this moment; feed() tells the watchdog.

    settings: report_records, reports_per_wake, tries, ack_timeout_ms. end: the NodeEnd that seals and judges.
    """

    def __init__(self, *, end, link, hal, clock, counters, outbox, pace, settings, journal, make_hello):
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
        self._sent_ticks = 0
        self._boot_ends = {}  # newest time by earlier boot

    def hello(self, is_boot):
        """Say hello until it is committed. False: no answer. is_boot: beyond the day's budget, once a boot."""
        session = self._session
        action = session.on(sessions.HELLO_DUE)
        while action == sessions.SEND_HELLO:
            if not self._pace.may_send(is_boot):
                action = session.on(sessions.SPENT)
                break
            hello = self._make_hello(session.challenge)
            session.sent(self._send("hello", messages.encode(hello), True))
            action = self._listen()
        if action != sessions.CONFIRM:
            self._pace.silent()
            return False
        self._counters.confirm(hello.gaps)
        self._pace.answered()
        if is_boot:
            self._outbox.take_back()
        self._journal.line("confirmed", self._end.last_seq)
        return True

    def reports(self):
        """Send what waits, down to less than a full report. False: an answer stayed out."""
        wanted = self._settings["report_records"]
        for sent in range(self._settings["reports_per_wake"]):
            if self._outbox.pending(wanted) < (wanted if sent else 1) or not self._pace.may_send():
                break
            if not self._report():
                self._pace.silent()
                return False
        return True

    def tell(self, ranger_noise=0):
        """One console line of what was refused and what was noise in this wake, if anything was."""
        counts = ["%s %d" % (reason, self._end.refused[reason]) for reason in sorted(self._end.refused)]
        for name, count in (("skipped", self._end.skipped), ("noise", self._link.noise), ("ranger", ranger_noise)):
            if count:
                counts.append("%s %d" % (name, count))
        if counts:
            self._journal.note("refused", *counts)

    def _report(self):
        """One report: at most `tries` frames; between them what is in flight may still be acknowledged."""
        session = self._session
        run = self._outbox.next_run(MAX_RUN)
        if not run:
            return True
        action = session.on(sessions.REPORT_DUE)
        while action == sessions.SEND_REPORT:
            body, count = self._encode(run)
            if not count:
                session.on(sessions.UNSENDABLE)
                self._outbox.give_up(run[0][0])
                self._journal.note("unsendable record", run[0][0])
                return True
            if not self._pace.may_send():
                session.on(sessions.SPENT)
                return True
            seq = self._send("report", body, False)
            self._outbox.sent(seq, run[0][0], count)
            session.sent(seq)
            action = self._listen()
            if action == sessions.SETTLE:
                self._pace.answered()
                return True
            run = self._outbox.next_run(MAX_RUN)
            if action == sessions.SEND_REPORT and not run:
                session.on(sessions.SETTLED)
                return True
        return False

    def _encode(self, run):
        """(message, how many records of the run it holds); (b"", 0) if not even the first can be sent."""
        boot = run[0][2]
        records = [messages.Record(index, time, values) for index, time, _, values in run]
        count, body = messages.fit(
            records, messages.MAX_MESSAGE, boot or None, self._uptime_of(boot, records), self._outbox.near
        )
        return body, count

    def _uptime_of(self, boot, records):
        """Uptime now, for times that are uptimes; for an earlier boot, whose end nobody timed, its newest time."""
        if not boot:
            return None
        if boot == self._counters.boot_count:
            return self._clock.uptime()
        if boot not in self._boot_ends:
            self._boot_ends[boot] = self._outbox.newest_time(boot, records[0].index)
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
        hal, end, session = self._hal, self._end, self._session
        timeout_ms = self._settings["ack_timeout_ms"]
        waits = session.state
        end.listen()
        while end.bad_frames < MAX_BAD_FRAMES:
            age_ms = hal.ticks_diff(hal.ticks_ms(), self._sent_ticks)
            frame = self._link.receive(timeout_ms - age_ms) if age_ms < timeout_ms else None
            if frame is None:
                break
            message = end.receive(frame)
            action = sessions.NOTHING
            if isinstance(message, messages.Challenge):
                if message.echo == end.last_seq:
                    action = session.challenged(message.challenge)
                    if action == sessions.SEND_HELLO:  # before the answer leaves: its ack may be lost, and so may we
                        self._outbox.forget_near()
                        self._outbox.save()
            elif isinstance(message, messages.Ack):
                action = session.answered(message.committed)
                self._take_ack(message)
            if session.state != waits or action in (sessions.SEND_HELLO, sessions.BACK_OFF):
                return action
        return session.unanswered()

    def _take_ack(self, ack):
        if ack.time is not None and ack.echo == self._end.last_seq:
            self._clock.offer(ack.time, self._hal.ticks_diff(self._hal.ticks_ms(), self._sent_ticks))
        outbox = self._outbox
        known = len(outbox.aside)
        for seq in outbox.settle(ack.committed, ack.echo):
            self._journal.line("committed", seq)
        for first, count in outbox.aside[known:]:
            self._session.on(sessions.REFUSED)
            self._journal.note("set aside", count, "records from", first)
