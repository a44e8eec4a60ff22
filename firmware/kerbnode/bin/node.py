"""A wake of a bin node that samples: state, sample, judgement, exchange, and when to wake next.

What has to survive lies on flash before it counts; what only saves work lies in retained memory.
"""

import gc

from kerbnode import brief, flash, hal, identity, retained
from kerbnode.bin.events import FAST, Judge
from kerbnode.bin.pace import Pace
from kerbnode.chunks import shown
from kerbnode.clock import Clock
from kerbnode.counters import Counters
from kerbnode.modules import let_go, let_go_of_sampling
from kerbnode.outbox import Outbox
from kerbnode.slots import TRIAL_SILENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DAY_S = 86400
SAFE_FAILURES = 10  # starts in a row that did not get as far as a sleep
SAFE_TRY = 24  # in safe mode each such start is a usual one again: what was wrong may have passed
SAFE_MODE, CRITICAL = 34, 2  # of kerbwire.events
APART = ("kerbnode.apart", "kerbnode.bin.apart")  # as a file and as a source
CONFIG = ("kerbnode.config", "kerbnode.slots", "kerbnode.gaps", "kerbnode.upkeep", "kerbnode.opening")  # of a start
MAKING = ("kerbnode.encoding", "kerbnode.eventmsg", "kerbnode.channels")
TELLING = ("kerbnode.saying", "kerbnode.telling", "kerbnode.log")
SPEAKING = ("kerbnode.report", "kerbnode.sealing", "kerbnode.giving", "kerbnode.orders", "kerbnode.link") + TELLING


class Node:
    """One long wake of a bin node. folder: where identity, configuration, counters and outbox lie. settings: if a short
    wake has begun, and they are known and not on trial."""

    def __init__(self, board_hal, board, journal, folder, settings: "Any" = None):
        self._hal = board_hal
        self._board = board
        self._journal = journal
        self._folder = folder
        self.identity = identity.read(folder + "/identity.cbor")
        self._slots: "Any" = None  # of a configuration that has proved itself they are read when one comes
        self.settings, self._complaints = settings, []
        if not settings:
            self._slots = self._open_slots()
            self.settings, self._complaints = self.settings_of(self._slots.patch)
            if not self._slots.trial:
                self._slots = None
        self.counters = Counters(folder, self.settings["seq_block"], self.settings["index_block"])
        self.outbox = Outbox(folder + "/outbox", self.settings["outbox_segments"], self.counters.declare_gap)
        self._exchange: "Any" = None
        self._link: "Any" = None
        self._made = {}
        self._made_event: "Any" = None
        self._made_hello: "Any" = None
        self._hashes = ()
        self._cause = hal.POWER_ON
        self._ranger_noise = 0
        self.restarts = False
        self.apart: "Any" = None  # an order that is obeyed once the link is closed

    def cycle(self, state, crashes=0, sample=None):
        """From wake to sleep. state: what was retained, or None. sample: one that this wake has taken already. Returns
        ms to sleep, with the state retained; or 0, where the board is to be reset."""
        self._hal.start_watchdog()
        state, is_boot, failures = self._begin(state, crashes, sample)
        let_go(CONFIG)
        safe = failures >= SAFE_FAILURES and failures % SAFE_TRY
        self.clock = Clock(self._hal.ticks_ms, self._hal.ticks_diff, state.uptime_s, state.utc_s or None, state.ppm)
        if self.outbox.told:
            self.clock.synced_s, self.clock.ppm = self.outbox.told[1:]
        self.pace = Pace(
            state.spent, state.day, state.level, state.wait_intervals, state.unanswered,
            self.settings["ack_timeout_ms"], state.silences,
        )  # fmt: skip
        self.pace.begin(self.clock.local_ms() // 1000 // DAY_S, state.flags & retained.SAMPLE)
        if sample:
            self.judge = sample.judge
        else:
            self.judge = Judge(self.settings)
            self.judge.unpack(self.outbox.judge())
            self.judge.unpack(state.heat if not is_boot else b"")
        self.hello_due = bool(state.flags & retained.HELLO)
        self.event_waits = bool(state.flags & retained.EVENT)
        if is_boot:
            self.event_waits = self.outbox.next_event() is not None
        if is_boot:  # hello comes before the first sample: its answer dates that sample
            self._say_hello(True)
            self.open_exchange()
            self._end_exchange(0)
        sampled_ms = None
        if safe:
            if failures == SAFE_FAILURES:
                self._keep([(SAFE_MODE, CRITICAL, 0, {})], None)
            self._journal.note("safe mode: no samples, after", failures, "failed starts")
            self._report()
        else:
            is_record = state.flags & retained.SAMPLE
            if is_record:  # a look in between does not take the place of the next one
                sampled_ms = sample.uptime_ms if sample else self.clock.uptime_ms()
            if sample:
                self._have(sample, is_record)
            else:
                self._hal.feed()
                self.take(is_boot, is_record)
                self._hal.feed()
            self._report()
        if self._exchange:
            self._end_exchange(self._ranger_noise)
        if self.on_trial() and self.pace.silences >= TRIAL_SILENCES:
            self._roll_back()
        self.counters.save()
        self.outbox.save()
        self._journal.save(self._folder, self._when())
        from kerbnode.bin import closing

        closing.plan(self, self._folder, safe)
        if is_boot and not safe:
            flash.replace(self._folder + "/good", self.counters.boot_count)
        if self.restarts:
            return 0
        return closing.sleep(self, self._hal, self._board, state, sampled_ms, safe)

    def _begin(self, state, crashes, sample):
        from kerbnode import opening

        return opening.begin(self, state, crashes, sample)

    def _roll_back(self):
        self._journal.note("settings on trial given up: version", self._slots.version)
        self._slots.give_up()
        self.settings = self.settings_of(self._slots.patch)[0]

    def _open_slots(self):
        from kerbnode.slots import Slots

        return Slots(self._folder)

    def settings_of(self, patch):
        from kerbnode import config

        return config.read(self._folder + "/config.json", patch)

    def on_trial(self):
        return self._slots is not None and self._slots.trial

    def take(self, is_boot, is_record):
        """Sample and judge; keep what happened, and the record where one is due."""
        from kerbnode.bin.sampling import take

        now_s = self._now_s()
        taken = take(
            self._hal, self._board, self._journal, self.judge, self.settings, self.clock.local_ms, now_s, is_boot,
            is_record,
        )  # fmt: skip
        self._have(brief.Sample(now_s, self.judge, taken), is_record)

    def _have(self, sample, is_record):
        self._ranger_noise = sample.noise
        if not sample.is_kept:
            self._keep(sample.events, sample.values if is_record else None, sample.now_s)

    def _keep(self, events, values, now_s=0):
        """Keep events, and the record of these values, on flash: all of it or nothing."""
        utc_s = self.clock.utc()
        boot = self.counters.boot_count if utc_s is None else 0
        exact_s = self.clock.uptime() if utc_s is None else utc_s
        judge = self.judge.pack()[FAST:]
        items = [] if values is None else [[now_s, boot, values, judge]]
        items += [[exact_s, boot, evidence, code, severity, state, judge] for code, severity, state, evidence in events]
        if not items:
            return
        dropped = self.outbox.dropped
        index = self.counters.take_index(len(items))
        self.outbox.append(index, *items)
        if values is not None:
            self._journal.line("taken", shown(self.counters.life), index, items[0][0])
            index += 1
        for code, _, state, _ in events:
            self._journal.keep("event", shown(self.counters.life), index, code, state)
            self.event_waits = True
            index += 1
        if self.outbox.dropped > dropped:
            self._journal.note("outbox full: dropped", self.outbox.dropped - dropped, "records")

    def _now_s(self):
        """To the nearest minute of UTC, to which samples are aligned: so a report says its times in few bits."""
        utc_s = self.clock.utc()
        return self.clock.uptime() if utc_s is None else (utc_s + 30) // 60 * 60

    def _report(self):
        """Talk to the gateway if it is time to."""
        pace, outbox = self.pace, self.outbox
        urgent = self.event_waits
        wanted = self.settings["report_records"]
        if not urgent and self._fills_up():
            wanted = min(wanted, self.settings["soon_records"])
        hello_due = self.hello_due or self.counters.gaps or not self.counters.confirmed or pace.needs_hello()
        if not pace.may_exchange(urgent) or not (hello_due or urgent or outbox.pending(wanted) >= wanted):
            return
        ready = 1 if urgent else wanted
        if outbox.pending(ready) >= ready:
            self.make_ahead()
        if not hello_due and self.open_exchange().give():
            return
        if hello_due and not self._say_hello(False):
            return
        if urgent:
            if not self.open_exchange().events():
                return
            self.event_waits = outbox.next_event() is not None
            wanted = 1  # the radio is on: what waits goes along
        if outbox.pending(wanted) >= wanted and not self.open_exchange().reports(wanted):
            return
        if self.on_trial() and self._exchange:
            self._slots.prove()

    def make_ahead(self):
        """Reports are made before what speaks is loaded: the heap need not bear both."""
        self.let_go_of_sampling()
        from kerbnode import encoding
        from kerbnode.exchange import MAX_RUN

        self._made = encoding.ahead(self.outbox, MAX_RUN, self.settings["reports_per_wake"])
        let_go(MAKING)
        found = self.outbox.next_event() if self.event_waits else None
        if found and not found[1][1]:  # one in UTC: the others say what time it is when they are sent
            self._made_event = found[0], self._make_event(found)
            let_go(MAKING)

    def _make_event(self, found):
        from kerbnode import eventmsg

        return eventmsg.event(found[0], found[1], None, None)

    def _fills_up(self):
        """Whether the level, by its rise since the oldest record that waits, reaches full within the forecast."""
        settings = self.settings
        if not settings["forecast_h"] or self.outbox.pending(settings["soon_records"]) < settings["soon_records"]:
            return False
        since_s, fill = self.outbox.oldest()
        return brief.rises(settings, self.judge.level, fill, self._now_s() - since_s)

    def _say_hello(self, is_boot):
        self._hashes = flash.digest("/bundle.json")[:8], digest(self.settings)
        let_go(CONFIG)
        self.let_go_of_sampling()
        self.outbox.forget_bytes()
        pieces = self._make_hello_ahead(is_boot)
        let_go(TELLING)
        if self.open_exchange().give():
            return False
        self.hello_due = not self._exchange.hello(is_boot, self.event_waits)
        for piece in [] if self.hello_due else pieces:
            self._exchange.tell_once("log", piece)
        return not self.hello_due

    def _make_hello_ahead(self, is_boot):
        """What the boot before this one left behind travels with its hello: its last lines, a crash among them; as
        bytes, made before there is a link."""
        from kerbnode import saying

        hello = self._make_hello(None)
        self._made_hello = saying.message(hello), hello.gaps
        if not is_boot:
            return []
        from kerbnode import telling

        found = telling.messages(self._folder, self.counters.boot_count - 1, 0)[-2:]
        return [saying.message(each) for each in found]

    def open_exchange(self):
        if not self._exchange:
            self.let_go_of_sampling()
            self.counters.reserve_ahead(self.settings["tries"])  # while there is room for a file's buffer
            links = flash.read(self._folder + "/links.json") or b""
            from kerbwire.node_end import NodeEnd

            gc.collect()  # before each next file, so that it need not lie between crumbs of the last
            from kerbnode.exchange import Exchange
            from kerbnode.link import opened

            gc.collect()
            counters = self.counters
            me = self.identity
            instance = self.outbox.told[0] if self.outbox.told else bytes(8)
            self._hal.uptime_s = self.clock.uptime  # sleeps counted: a radio's duty cycle goes by it
            self._hal.utc_s = self.clock.utc
            self._link = opened(self._hal, self._board, me, self._journal, self._folder, self.pace, links)
            self._exchange = Exchange(
                end=NodeEnd(me.node, me, counters.life, counters.take_seq, instance),
                link=self._link,
                hal=self._hal,
                clock=self.clock,
                counters=counters,
                outbox=self.outbox,
                pace=self.pace,
                settings=self.settings,
                journal=self._journal,
                make_hello=self._make_hello,
                obey=self._obey,
            )
            self._exchange.made, self._made = self._made, {}
            self._exchange.made_event, self._made_event = self._made_event, None
            self._exchange.made_hello, self._made_hello = self._made_hello, None
        return self._exchange

    def _end_exchange(self, noise):
        """Obey what has come, and leave the air; then obey what takes too much to do it beside a link, and say so."""
        while self._exchange:
            self._exchange.orders()
            self._exchange.tell(noise)
            self._link.close()
            self._exchange = self._link = None
            let_go(SPEAKING)
            if self.apart:
                noise = 0
                done = self._obey_apart()
                let_go(APART)
                if self.pace.may_send(False, True):
                    result = self._result(done)
                    let_go("kerbnode.orders")
                    if self.open_exchange().tell_once("result", result) and self._exchange.made:
                        self._exchange.reports(1)

    def let_go_of_sampling(self):
        let_go_of_sampling(self._board)

    def _make_hello(self, challenge):
        from kerbnode import saying

        return saying.hello(self._board["name"], self._cause, self.counters, self._hashes, challenge)

    def _obey(self, message, waited_s, _):
        from kerbnode.bin import orders as binorders

        slots = self._slots = self._slots or self._open_slots()
        version = slots.version
        result = binorders.obey(self, message, waited_s, slots, self._hal, self._board, self._journal, self._folder)
        if slots.version != version:
            self.hello_due = True  # at the next wake: it says which configuration holds, and its answer proves that
        return result

    def _obey_apart(self):
        from kerbnode.bin import apart

        return apart.obey(self, self._hal, self._board, self._journal, self._folder)

    def _result(self, done):
        """As bytes, made before there is a link."""
        from kerbnode.bin import orders as binorders

        return binorders.result(done)

    def _when(self):
        utc_s = self.clock.utc()
        return "+%d" % self.clock.uptime() if utc_s is None else utc_s


def digest(settings):
    from kerbnode import config

    return config.digest(settings)
