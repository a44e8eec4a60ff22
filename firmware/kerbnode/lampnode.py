"""A lamp node: from its start to the reset that somebody asks for. The light goes on in kerbnode.loop all the while.

What has to survive lies on flash before it counts, and flash is written while the light is steady.
"""

import gc

from kerbnode import config, flash, hal, identity, lampfaults, lampsettings
from kerbnode import street as streets
from kerbnode.calendar import read as read_calendar
from kerbnode.changes import Changes
from kerbnode.clock import Clock
from kerbnode.counters import HALF, LOST, Counters
from kerbnode.lamp import Lamp
from kerbnode.lampparts import Parts
from kerbnode.link.shared import Shared
from kerbnode.loop import Loop
from kerbnode.outbox import EVENT
from kerbnode.register import QUARTER_S, Register
from kerbnode.talk import LampOutbox, Pace, Talk
from kerbwire import controls
from kerbwire.channels import BY_FAULT, CAUSE, LEVEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINK_BUFFER = 1024  # bytes of the link's UART: four frames, should the node be at its flash for 80 ms
USB_WINDOW_MS = 3000  # after a reset: time for kerb and mpremote, before the program speaks
SAFE_FAILURES = 10  # starts in a row that did not come to GOOD_MS
SAFE_TRY = 24  # in safe mode each such start is a usual one again: what was wrong may have passed
SAFE_MS = 3600000  # then safe mode starts anew
GOOD_MS = 300000
SETTLE_MS = 5000  # after a ramp the meter's reading is that of the new level
DARK_MW, LIT_MW = 3000, 5000  # a driver in standby with its DALI supply takes less; one that shines takes more
STEADY_STEP_MS = 200
STEADY_WAIT_MS = 10000  # a ramp is over by then, but on a street that never rests
SOON_S = 5  # a reset that concerns this lamp alone: its hello comes at once
MAX_EVENTS = 16  # that wait in memory until the light is steady
APPENDED = 16  # items in one write: half a segment
JUST_MS = 30000
EVENT_SPREAD = 4  # an event is told within this part of the time over which hello is spread
BURN_MS = 120000  # of the commissioning burn, said again with each look
SEQS_AHEAD = 16  # numbers that waves may use before the flash is needed again
SAFE_MODE, CRITICAL = 34, 2  # of kerbwire.events


class LampNode:
    """folder: where identity, configuration, counters and outbox lie. parts: in the place of those of board.json."""

    def __init__(self, board_hal, board, journal, folder, parts=None):
        self._hal = board_hal
        self._board = board
        self._journal = journal
        self._folder = folder
        self.identity = identity.read(folder + "/identity.cbor")
        self._slots = config.Slots(folder)
        self.settings, self._complaints = self._settings_of(self._slots.patch)
        settings = dict(self.settings)
        if settings["latitude"] == lampsettings.UNKNOWN_PLACE or settings["longitude"] == lampsettings.UNKNOWN_PLACE:
            settings["latitude"] = settings["longitude"] = None
        self.clock = Clock(board_hal.ticks_ms, board_hal.ticks_diff)
        self.parts = parts or Parts(board_hal, board["sensors"])
        rules, zone = read_calendar(folder + "/calendar.json", journal.note)
        self.lamp = Lamp(settings, rules, zone, self.parts.has_sensor)
        self.changes = Changes()
        self.faults = lampfaults.Judge(settings)
        self.register = Register(folder + "/lamp", self.parts, self.lamp, self.faults)
        self.loop = Loop(board_hal, self.clock, self.parts, self.lamp, self.changes, settings["look_s"])
        uart = board_hal.uart(board["link"], LINK_BUFFER)
        self.loop.listen(board_hal.bell(uart))
        self.counters = Counters(folder, settings["seq_block"], settings["index_block"])
        self.outbox = LampOutbox(
            folder + "/outbox", settings["outbox_segments"], self.counters.declare_gap, self.loop.breathe
        )
        self.pace = Pace()
        self.link = Shared(
            uart, self.loop, self.identity.node, board_hal.random, board["link"]["baud"], self._hear_group
        )
        self._street = None
        self._exchange: "Any" = None
        self._events = []
        self._restarts = False
        self._hello_due = True
        self._event_waits = False
        self._try_ms = 0  # nothing is said before
        self._report_ms = 0
        self._quarter_ms = 0
        self._is_good = False
        self._measured = None
        self._cause = hal.POWER_ON

    def run(self):
        """Shine, talk and keep, until a command asks for a restart."""
        loop, hal_ = self.loop, self._hal
        hal_.start_watchdog()
        loop.breathe()
        loop.sleep_ms(USB_WINDOW_MS)
        failures = self._begin()
        safe = failures >= SAFE_FAILURES and failures % SAFE_TRY
        if failures and self._slots.trial:
            self._roll_back()
            self._restarts = True  # what this start has read are the settings on trial
        if safe:
            self._journal.note("safe mode: light by the photocell alone, after", failures, "failed starts")
            loop.is_safe = True
            loop.changed()
            if failures == SAFE_FAILURES:
                self._events.append((SAFE_MODE, CRITICAL, 0, {}))
        else:
            self._join_street()
        loop.link = self.link
        spread_s = self.settings["spread_s"] if self._cause == hal.POWER_ON else SOON_S
        self._try_ms = self.clock.uptime_ms() + self._random(spread_s * 1000)
        self._report_ms = self._next_report_ms()
        self._quarter_ms = self._next_quarter_ms()
        while not self._restarts:
            self._serve(safe)
            loop.idle(max(1, self._next_ms(safe) - self.clock.uptime_ms()))
            if safe and self.clock.uptime_ms() > SAFE_MS:
                break
        self._keep()
        self.outbox.save()
        if not safe:
            self._note_good()  # whoever asks for a restart has been answered
        self._journal.save(self._folder, self._when())

    # The program: what is due, one thing after the other.

    def _serve(self, safe):
        now_ms = self.clock.uptime_ms()
        if self.link.waiting:
            if self._exchange:
                self._exchange.attend()
            else:
                self.link.receive(0)  # nothing is obeyed before the hello
        self._keep_all()
        if now_ms >= self._quarter_ms and not safe:
            self._take_quarter()
        if now_ms >= self._try_ms:
            self._speak(now_ms)
        if now_ms >= GOOD_MS and not safe:
            self._note_good()
        if self.loop.is_steady:
            self.counters.reserve_ahead(SEQS_AHEAD)
            self._journal.save(self._folder, self._when())
            gc.collect()

    def _note_good(self):
        """This start has not failed."""
        if not self._is_good:
            flash.replace(self._folder + "/good", self.counters.boot_count)
            self._is_good = True

    def _speak(self, now_ms):
        """Talk to the gateway if there is anything to say."""
        wants_hello = self._wants_hello()
        report_due = now_ms >= self._report_ms
        if not (wants_hello or self._event_waits or report_due):
            return
        exchange = self._open_exchange()
        exchange.waited()
        answered = True
        if wants_hello:
            is_boot = self._hello_due
            answered = exchange.hello(is_boot)
            if answered:
                self._hello_due = False
                self._quarter_ms = self._next_quarter_ms()  # the clock may be set now
                if is_boot:
                    self._tell_log()
        if answered and self._event_waits:
            answered = exchange.events()
            self._event_waits = self.outbox.next_event() is not None
        if answered and report_due:
            self._move_quarters()
            answered = exchange.reports(1)
            if answered and not self.outbox.pending(1):
                self._report_ms = self._next_report_ms()
        exchange.orders()
        if self._slots.trial:
            if answered:
                self._slots.prove()
            elif self.pace.level >= config.TRIAL_SILENCES:
                self._roll_back()
                self._restarts = True
        self._wait_steady()
        self.outbox.save()
        self._try_ms = self.clock.uptime_ms() + 1000 * self.pace.wait_s(self._hal.random)

    def _wants_hello(self):
        return self._hello_due or self.counters.gaps or not self.counters.confirmed or self.pace.needs_hello()

    def _next_ms(self, safe):
        """When the program has something to do by itself."""
        soonest = SAFE_MS + 1 if safe else self._quarter_ms
        if self.changes.waiting or self._events:
            soonest = min(soonest, self.clock.uptime_ms() + 1000)
        if self._event_waits or self._wants_hello():
            soonest = min(soonest, self._try_ms)
        if not self._is_good and not safe:
            soonest = min(soonest, GOOD_MS)
        return min(soonest, max(self._report_ms, self._try_ms))

    # What is kept.

    def _begin(self):
        """Open counters and outbox, and say so on the console. Returns the failed starts before this one."""
        counters, journal = self.counters, self._journal
        counters.open()
        for complaint in self._complaints:
            journal.note(complaint)
        if counters.state in (LOST, HALF):
            journal.note("counters:", "new life" if counters.state == LOST else "one slot lost")
        good = flash.load(self._folder + "/good")
        is_new_life = counters.state == LOST
        counters.reboot(self._hal.random, self.outbox.open)
        if self.outbox.stale:
            journal.note("removed", self.outbox.stale, "records of an earlier life")
        journal.boot = counters.boot_count
        self._cause = self._hal.reset_cause()
        journal.keep("boot", self._life(), counters.next_seq, counters.next_index, hal.CAUSES[self._cause])
        self._event_waits = self.outbox.next_event() is not None
        newest = self.outbox.newest()
        last_s = self.register.open(newest[-1] if newest else b"", is_new_life)
        if newest and not newest[1]:
            last_s = max(last_s, newest[0])
        self.loop.on_look = self._look  # what it judges and counts goes on from what was kept
        self._events += self.faults.start(self.clock.uptime(), self._cause == hal.POWER_ON, None)
        if last_s and self._cause == hal.POWER_ON:  # what it has shown since the last that is known was nobody's light
            self._append([[last_s, 0, {LEVEL: 0, CAUSE: BY_FAULT}, b""]])
        return max(0, counters.boot_count - 1 - (good if isinstance(good, int) else 0))

    def _keep_all(self):
        """Put level changes and events on flash, and what the faults have counted, if the light is steady."""
        if self.loop.is_steady:
            self._keep()
            if self.faults.dirty:  # after the events that tell of it: rather told twice than never
                self.register.keep()

    def _keep(self):
        """Level changes and events, now: a reset may come."""
        if not (self.changes.waiting or self._events):
            return
        if self.changes.dropped:
            self._journal.note("level changes lost:", self.changes.dropped)
            self.changes.dropped = 0
        items = self.changes.take(self.clock, self.counters.boot_count)
        utc_s = self.clock.utc()
        boot = self.counters.boot_count if utc_s is None else 0
        for code, severity, state, evidence in self._events:
            now_s = self.clock.uptime() if utc_s is None else utc_s
            items.append([now_s, boot, evidence, code, severity, state, b""])
        if self._events and not self._event_waits:  # what befalls one lamp may have befallen its street
            self._event_waits = True
            spread_ms = 1000 * self.settings["spread_s"] // EVENT_SPREAD
            self._try_ms = max(self._try_ms, self.clock.uptime_ms() + self._random(spread_ms))
        self._events = []
        self._append(items)

    def _take_quarter(self):
        """The record of a quarter of an hour, among those that wait for the next report."""
        self._wait_steady()
        utc_s = self.clock.utc()
        if utc_s is None:
            self.register.take(self.clock.uptime(), self.counters.boot_count)
        else:
            self.register.take((utc_s + 30) // 60 * 60, 0)
        if self.register.is_full:
            self._move_quarters()
        self._quarter_ms = self._next_quarter_ms()

    def _move_quarters(self):
        """The records of quarters of an hour get their numbers, in a row, and go into the outbox."""
        if self.register.waiting:
            self._wait_steady()
            self._append(self.register.waiting)
            self.register.moved()

    def _append(self, items):
        """Keep items: on flash, in runs that a segment holds, each whole or not at all."""
        for at in range(0, len(items), APPENDED):
            some = items[at : at + APPENDED]
            dropped = self.outbox.dropped
            index = self.counters.take_index(len(some))
            self.outbox.append(index, *some)
            for item in some:
                if len(item) == EVENT:
                    self._journal.keep("event", self._life(), index, item[3], item[5])
                elif CAUSE in item[2]:
                    self._journal.line("changed", self._life(), index)
                else:
                    self._journal.line("taken", self._life(), index, item[0])
                index += 1
            if self.outbox.dropped > dropped:
                self._journal.note("outbox full: dropped", self.outbox.dropped - dropped, "records")
            self.loop.breathe()

    def _wait_steady(self):
        """Until the light is steady: a write stalls the loop for as long as the flash takes to erase."""
        end_ms = self.clock.uptime_ms() + STEADY_WAIT_MS
        while not self.loop.is_steady and self.clock.uptime_ms() < end_ms:
            self.loop.sleep_ms(STEADY_STEP_MS)

    # What the loop tells.

    def _look(self, now_ms):
        """After each look at light and meter."""
        lamp, faults = self.lamp, self.faults
        self.register.look(now_ms, self.loop.lux)
        self._events += faults.look(now_ms // 1000, self.parts, lamp)
        del self._events[MAX_EVENTS:]
        self.loop.wants_program = bool(self._events)
        self._measure(now_ms)
        lamp.heat_cap = faults.heat_cap
        if self.settings["burn_h"] > self.register.hours:
            lamp.burn_until_s = (now_ms + BURN_MS) // 1000

    def _measure(self, now_ms):
        """Does the meter agree with the level? Twice in a row it has to say otherwise."""
        power_mw, ramp = self.parts.power_mw, self.lamp.ramp
        if power_mw < 0 or not self.loop.is_steady or now_ms - ramp.ends_ms() < SETTLE_MS:
            return
        measured = None
        if ramp.level and power_mw < DARK_MW:
            measured = 0
        elif not ramp.level and power_mw >= LIT_MW:
            measured = 100
        if measured == self._measured:
            self.changes.measure(measured, self.lamp.cause if measured is None else BY_FAULT, now_ms)
        self._measured = measured

    def _hear_group(self, frame, header):
        if self._street and self._street.hear(frame, header, self.clock.uptime_ms()):
            self.loop.changed()

    # The gateway.

    def _join_street(self):
        path = self._folder + "/street.cbor"
        fields = streets.read(path)
        if fields is None:
            return
        self._street = streets.Street(
            fields, self.settings, self.lamp, self.counters.take_seq, lambda frame: self.link.send(frame, True)
        )
        self._street.may_speak = streets.join(path, fields, self.counters.life)
        if not self._street.may_speak:
            self._journal.note("street: its member number is of an earlier life: provision the lamp again")
        self.loop.street = self._street

    def _open_exchange(self):
        if not self._exchange:
            from kerbwire.node_end import NodeEnd

            counters, me = self.counters, self.identity
            instance = self.outbox.told[0] if self.outbox.told else bytes(8)
            self._end = NodeEnd(me.node, me, counters.life, counters.take_seq, instance)
            self._exchange = Talk(
                self.loop,
                end=self._end,
                link=self.link,
                clock=self.clock,
                counters=counters,
                outbox=self.outbox,
                pace=self.pace,
                settings=self.settings,
                journal=self._journal,
                make_hello=self._make_hello,
                obey=self._obey,
            )
        return self._exchange

    def _make_hello(self, challenge):
        from kerbnode import __version__
        from kerbwire.channels import LAMP
        from kerbwire.messages import Hello

        return Hello(
            role=LAMP,
            board=self._board["name"],
            firmware=__version__,
            bundle=flash.digest("/bundle.json")[:8],
            reset_cause=self._cause,
            boot_count=self.counters.boot_count,
            config_hash=_digest(self.settings),
            next_index=self.counters.next_index,
            gaps=list(self.counters.gaps),
            challenge=challenge,
        )

    def _tell_log(self):
        """What the boot before this one left behind travels with its hello: its last lines, a crash among them."""
        from kerbnode import log

        boot = self.counters.boot_count - 1
        for number, data in log.pieces(self._folder, boot, 0, controls.MAX_LOG)[-2:]:
            self._exchange.tell_once("log", controls.Log(boot, number, data))

    def _obey(self, message, waited_s, order):
        from kerbnode import orders

        lamp = self.lamp
        now_s = self.clock.uptime()

        def dim(level, fade_s, hold_s):
            if not lamp.command(message.priority, order, message.ident, level, now_s + hold_s):
                return controls.SUPERSEDED, None
            self.loop.changed()
            return controls.APPLIED, None

        def release():
            if not lamp.holders.release(message.priority, order):
                return controls.SUPERSEDED, None
            self.loop.changed()
            return controls.APPLIED, None

        def restart():
            self._restarts = True
            return controls.APPLIED, None

        def identify(seconds):
            self.loop.blink_until_ms = self.clock.uptime_ms() + 1000 * seconds
            self.loop.changed()
            return controls.APPLIED, None

        def sample():
            self._take_quarter()
            self._move_quarters()
            index = self.counters.next_index - 1
            self._exchange.reports(1)
            return controls.APPLIED, index

        def resend(first, count):
            held = self.outbox.resend(first, count)
            self.outbox.save()
            self._exchange.reports(1)
            return controls.APPLIED, held

        do = {
            controls.DIM: dim,
            controls.RELEASE: release,
            controls.RESTART: restart,
            controls.IDENTIFY: identify,
            controls.SAMPLE: sample,
            controls.RESEND: resend,
            controls.SEND_LOG: lambda *what: orders.send_log(self._folder, self._exchange.tell_once, *what),
        }
        version = self._slots.version
        self._wait_steady()
        result = orders.Orders(self._folder, self._slots, self._settings_of, do, _digest).take(
            message, self.clock.utc(), waited_s
        )
        if self._slots.version != version:  # the new settings are tried by the start that comes now
            self._restarts = True
        return result

    def _roll_back(self):
        self._journal.note("settings on trial given up: version", self._slots.version)
        self._slots.give_up()

    # Small things.

    def _settings_of(self, patch):
        return config.read(self._folder + "/config.json", patch, lampsettings.ROWS)

    def _next_quarter_ms(self):
        """At the next whole quarter of an hour; of one that is just beginning the record was taken."""
        early_ms = self.clock.local_ms() + JUST_MS
        return self.clock.uptime_ms() + JUST_MS + 1000 * QUARTER_S - early_ms % (1000 * QUARTER_S)

    def _next_report_ms(self):
        """After the next multiple of report_s, spread over a quarter of it at most: a street does not speak at once."""
        period_ms = 1000 * self.settings["report_s"]
        spread_ms = min(period_ms // 4, 1000 * self.settings["spread_s"])
        return self.clock.uptime_ms() + period_ms - self.clock.local_ms() % period_ms + self._random(spread_ms)

    def _random(self, below):
        return int.from_bytes(self._hal.random(4), "big") * below >> 32

    def _when(self):
        utc_s = self.clock.utc()
        return "+%d" % self.clock.uptime() if utc_s is None else utc_s

    def _life(self):
        return "".join(["%02x" % byte for byte in self.counters.life])


def _digest(settings):
    return config.digest(settings, lampsettings.ROWS)
