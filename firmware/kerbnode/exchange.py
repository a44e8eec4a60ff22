"""One exchange with the gateway: hello where it is due, then reports, one at a time, each with its listen window.

Loaded only in a wake that speaks: most wakes of a bin do not.
"""

from kerbnode.session import MAX_BAD_FRAMES
from kerbwire import messages
from kerbwire.columns import MAX_RECORDS
from kerbwire.errors import WireError

MAX_CHALLENGES = 2  # answered in one hello: a gateway that restarts in between asks twice


class Exchange:
    """Everything is handed in. make_hello(challenge) builds the Hello of this moment; feed() tells the watchdog.

    settings: report_records, reports_per_wake, tries, ack_timeout_ms.
    """

    def __init__(self, *, session, link, hal, clock, counters, outbox, pace, settings, journal, make_hello):
        self._session = session
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
        challenge = None
        challenges = 0
        tries = self._settings["tries"]
        sent = []
        while tries and self._pace.may_send(is_boot):
            hello = self._make_hello(challenge)
            sent.append(self._send("hello", messages.encode(hello), True))
            answer = self._listen(sent)
            if isinstance(answer, messages.Challenge):
                challenge = answer.challenge
                challenges += 1
                if challenges <= MAX_CHALLENGES:
                    continue
            elif answer:
                self._counters.confirm(hello.gaps)
                self._pace.answered()
                self._journal.line("confirmed", sent[-1])
                return True
            tries -= 1
        self._pace.silent()
        return False

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
        counts = ["%s %d" % (reason, self._session.refused[reason]) for reason in sorted(self._session.refused)]
        for name, count in (("skipped", self._session.skipped), ("noise", self._link.noise), ("ranger", ranger_noise)):
            if count:
                counts.append("%s %d" % (name, count))
        if counts:
            self._journal.note("refused", *counts)

    def _report(self):
        """One report: at most `tries` frames; between them what is in flight may still be acknowledged."""
        for _ in range(self._settings["tries"]):
            run = self._outbox.next_run(MAX_RECORDS)
            if not run:
                return True
            body, count = self._encode(run)
            if not count:
                self._outbox.give_up(run[0][0])
                self._journal.note("unsendable record", run[0][0])
                return True
            if not self._pace.may_send():
                return True  # the day's numbers are spent, which is no fault of the gateway
            seq = self._send("report", body, False)
            self._outbox.sent(seq, run[0][0], count)
            if self._listen([seq]) is True:  # a Challenge is no answer to a report: hello is due soon
                self._pace.answered()
                return True
        return False

    def _encode(self, run):
        """(message, how many records of the run it holds); (None, 0) if not even the first can be sent."""
        boot = run[0][2]
        count = len(run)
        while count:
            records = [messages.Record(index, time, values) for index, time, _, values in run[:count]]
            try:
                return messages.encode(messages.Report(records, boot or None, self._uptime_of(boot, records))), count
            except WireError:  # too long for a frame, or a value out of range: half as many, down to the one to blame
                count //= 2
        return None, 0

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
        seq, frame = self._session.seal(body, with_life)
        self._hal.feed()
        self._link.send(frame)
        self._sent_ticks = self._hal.ticks_ms()
        self._pace.sent()
        self._journal.line("sent", kind, seq)
        return seq

    def _listen(self, seqs):
        """Take what comes in this window. True: an ack lists one of seqs. A Challenge to the last frame is returned."""
        hal, session = self._hal, self._session
        timeout_ms = self._settings["ack_timeout_ms"]
        session.listen()
        while session.bad_frames < MAX_BAD_FRAMES:
            age_ms = hal.ticks_diff(hal.ticks_ms(), self._sent_ticks)
            frame = self._link.receive(timeout_ms - age_ms) if age_ms < timeout_ms else None
            if frame is None:
                return None
            message = session.receive(frame)
            if isinstance(message, messages.Challenge):
                if message.echo == session.last_seq:
                    return message
            elif message:
                self._take_ack(message)
                if any(seq in message.committed for seq in seqs):
                    return True
        return None

    def _take_ack(self, ack):
        if ack.time is not None and ack.echo == self._session.last_seq:
            self._clock.offer(ack.time, self._hal.ticks_diff(self._hal.ticks_ms(), self._sent_ticks))
        for seq in self._outbox.settle(ack.committed, ack.echo):
            self._journal.line("committed", seq)
