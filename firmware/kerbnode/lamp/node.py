"""A lamp node: from its start to the reset that somebody asks for. Meanwhile the light goes on in kerbnode.lamp.loop.

What has to survive lies on flash before it counts, and flash is written while the light is steady.
"""

import gc

from kerbnode import config, flash, hal, identity
from kerbnode import link as links
from kerbnode.clock import Clock
from kerbnode.counters import HALF, LOST, Counters
from kerbnode.lamp import faults as lampfaults
from kerbnode.lamp import settings as lampsettings
from kerbnode.lamp import street as streets
from kerbnode.lamp.calendar import read as read_calendar
from kerbnode.lamp.changes import Changes
from kerbnode.lamp.evidence import Evidence
from kerbnode.lamp.lamp import Lamp
from kerbnode.lamp.loop import Loop
from kerbnode.lamp.parts import Parts
from kerbnode.lamp.register import QUARTER_S, Register
from kerbnode.lamp.talk import LampOutbox, Pace, Talk
from kerbnode.link.shared import Shared
from kerbwire.channels import BY_FAULT, CAUSE, LEVEL
from kerbwire.commands import EMERGENCY
from kerbwire.messages import COMMAND

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
STEADY_WAIT_MS = 10000  # most ramps are over by then
HELD_MS = 61000  # and the longest, but on a street that never rests: what flash is to get waits no longer
ORDER_WAIT_MS = 1000  # a ramp up is over by then; else an order's flash makes it falter
SOON_S = 5  # a reset that concerns this lamp alone: its hello comes at once
JUST_MS = 30000
HELLO_FRAMES = 2  # and its answer to the challenge
HELLO_ROOM = 4  # a part of the window at most
EVENT_SPREAD = 4  # an event is told within this part of the time over which hello is spread
BURN_MS = 120000  # of the commissioning burn, said again with each look
SEQS_AHEAD = 16  # numbers that waves may use before the flash is needed again, or half a block of fewer
SAFE_MODE, CRITICAL = 34, 2  # of kerbwire.events


class LampNode:
    """folder: where identity, configuration, counters and outbox lie."""

    def __init__(self, board_hal, board, journal, folder):
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
        self.parts = Parts(board_hal, board["sensors"])
        rules, zone = read_calendar(folder + "/calendar.json", journal.note)
        self.lamp = Lamp(settings, rules, zone, self.parts.has_sensor)
        self.changes = Changes()
        self.faults = lampfaults.Judge(settings)
        self.register = Register(folder + "/lamp", self.parts, self.lamp, self.faults)
        self.loop = Loop(board_hal, self.clock, self.parts, self.lamp, self.changes, settings["look_s"])
        uart = board_hal.uart(board["link"], LINK_BUFFER)
        bell = board_hal.bell(uart)
        self.loop.listen(bell)
        self.counters = Counters(folder, settings["seq_block"], settings["index_block"])
        self.outbox = LampOutbox(
            folder + "/outbox", settings["outbox_segments"], self.counters.declare_gap, self.loop.breathe
        )
        self.evidence = Evidence(
            self.clock, self.counters, self.outbox, self.changes, self.register, journal, self.loop.breathe
        )
        self.pace = Pace()
        node, baud = self.identity.node, board["link"]["baud"]
        line = Shared(uart, self.loop, node, board_hal.random, baud, self._hear_group)
        self.link = links.of_lamp(
            board_hal, board, self.identity, journal, folder, self.pace, self.loop, self.clock, bell, line
        )
        self._street = None
        self.talk: "Any" = None  # kerbnode.lamp.talk, once there was something to say
        self.boot = None  # the number of this one, once it is counted
        self._saves = False  # what the gateway has acknowledged is to be noted on flash
        self._restarts = False
        self._hello_due = True
        self._event_waits = False
        self._try_ms = 0  # nothing is said before
        self._report_ms = 0
        self._quarter_ms = 0
        self._taken_ms = 0  # when the record of a quarter of an hour was taken that is not on flash yet
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
                self.evidence.tell([(SAFE_MODE, CRITICAL, 0, {})])
        else:
            self._join_street()
        self._wait_steady()
        self.link.begin()
        loop.link = self.link
        spread_s = self.settings["spread_s"] if self._cause == hal.POWER_ON else SOON_S
        now_ms = self.clock.uptime_ms()
        self._try_ms = now_ms + self._random(max(1000, self._last_hello_ms(spread_s) - now_ms))
        self._report_ms = self._next_report_ms()
        self._quarter_ms = self._next_quarter_ms()
        while not self._restarts:
            self._serve(safe)
            loop.idle(max(1, self._next_ms(safe) - self.clock.uptime_ms()))
            if safe and self.clock.uptime_ms() > SAFE_MS:
                break
        self._keep()
        if self.register.is_unkept:
            self.evidence.keep_quarter()
        self._save()
        self.link.close()
        if not safe:
            self._note_good()  # whoever asks for a restart has been answered
        self._journal.save(self._folder, self._when())

    # The program: what is due, one thing after the other.

    def _serve(self, safe):
        now_ms = self.clock.uptime_ms()
        if self.link.waiting:
            if self.talk:
                self.talk.attend()
            else:
                self.link.receive(0)  # nothing is obeyed before the hello
        if self.link.came_back:
            self.link.came_back = False
            if self.pace.level:  # as after a power cut: the others have it back, too
                self._try_ms = min(self._try_ms, now_ms + self._random(1000 * self.settings["spread_s"]))
        if now_ms >= self._quarter_ms and not safe:
            self._take_quarter()
        self._keep_all()
        if self._saves and self.loop.is_steady:
            self._save()
        if now_ms >= self._try_ms:
            self._speak(now_ms)
        if now_ms >= GOOD_MS and not safe:
            self._note_good()
        if self.loop.is_steady:
            self.counters.reserve_ahead(min(SEQS_AHEAD, self.settings["seq_block"] // 2))
            self._journal.save(self._folder, self._when())
            gc.collect()

    def _save(self):
        self.counters.save()
        self.outbox.save()
        self.link.save()
        self._saves = False

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
        wait_ms = self.link.reach()
        if wait_ms:
            self._try_ms = now_ms + wait_ms
            return
        if wait_ms is None:
            self.pace.silent()
            answered = False
        else:
            answered = self._converse(wants_hello, report_due)
            self.link.done()
        if self._slots.trial:
            if answered:
                self._slots.prove()
            elif self.pace.level >= config.TRIAL_SILENCES:
                self._roll_back()
                self._restarts = True
        self._saves = True
        if self._wait_steady():
            self._save()
        self._try_ms = self.clock.uptime_ms() + 1000 * self.pace.wait_s(self._hal.random)

    def _converse(self, wants_hello, report_due):
        """An exchange. False: an answer stayed out."""
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
        if answered and report_due and self._move_quarters():
            answered = exchange.reports(1)
            if answered and not self.outbox.next_run(1):
                self._report_ms = self._next_report_ms()
                self._event_waits = self.outbox.next_event() is not None  # one that was to be sent again is no report's
        exchange.orders()
        return answered

    def _wants_hello(self):
        return self._hello_due or self.counters.gaps or not self.counters.confirmed or self.pace.needs_hello()

    def _last_hello_ms(self, spread_s):
        """Until when a hello begins, so that it can be said again and confirmed within its window."""
        room_ms = HELLO_FRAMES * self.settings["tries"] * self.settings["ack_timeout_ms"]
        return USB_WINDOW_MS + 1000 * spread_s - min(room_ms, 1000 * spread_s // HELLO_ROOM)

    def _next_ms(self, safe):
        """When the program has something to do by itself."""
        soonest = SAFE_MS + 1 if safe else self._quarter_ms
        if self.evidence.waits or self.register.is_unkept:
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
        journal.keep("boot", self.evidence.life(), counters.next_seq, counters.next_index, hal.CAUSES[self._cause])
        self._event_waits = self.outbox.next_event() is not None
        newest = self.outbox.newest()
        last_s = self.register.open(newest[-1] if newest else b"", is_new_life)
        if newest and not newest[1]:
            last_s = max(last_s, newest[0])
        self.loop.on_look = self._look  # what it judges and counts goes on from what was kept
        last_s = max(last_s, self.evidence.take_held(self._folder + "/held", newest[-1] if newest else b""))
        self.boot = counters.boot_count  # from here on an error may write what is held anew
        self.evidence.tell(self.faults.start(self.clock.uptime(), self._cause == hal.POWER_ON, None))
        if last_s and self._cause == hal.POWER_ON:  # what it has shown since the last that is known was nobody's light
            self.evidence.append([[last_s, 0, {LEVEL: 0, CAUSE: BY_FAULT}, b""]])
        return max(0, counters.boot_count - 1 - (good if isinstance(good, int) else 0))

    def _keep_all(self):
        """Put level changes, events and records on flash, and what the faults have counted, if the light is steady."""
        is_steady = self.loop.is_steady
        if is_steady:
            self._keep()
        if self.register.is_unkept and (is_steady or self.clock.uptime_ms() - self._taken_ms >= HELD_MS):
            self.evidence.keep_quarter()
        if is_steady:
            if self.faults.dirty:  # after the events that tell of it: rather told twice than never
                self.register.keep()
            self.register.keep_burnt()

    def _keep(self):
        """Level changes and events, now: a reset may come."""
        if self.evidence.keep() and not self._event_waits:  # what befalls one lamp may have befallen its street
            self._event_waits = True
            spread_ms = 1000 * self.settings["spread_s"] // EVENT_SPREAD
            self._try_ms = max(self._try_ms, self.clock.uptime_ms() + self._random(spread_ms))

    def _take_quarter(self):
        self.evidence.take_quarter()
        self._taken_ms = self.clock.uptime_ms()
        self._quarter_ms = self._next_quarter_ms()

    def _move_quarters(self):
        """False: the light is not steady, or a frame goes first."""
        if self.register.waiting:
            if not self._wait_steady() and self.clock.uptime_ms() < self._report_ms + HELD_MS:
                return False
            self.evidence.move_quarters()
        return True

    def _wait_steady(self, most_ms=STEADY_WAIT_MS):
        """Until the light is steady: a write stalls the loop for as long as the flash takes to erase. False: it is not;
        or a frame for this node has come meanwhile, which may be an emergency."""
        end_ms = self.clock.uptime_ms() + most_ms
        while not self.loop.is_steady and self.clock.uptime_ms() < end_ms:
            if self.link.waiting:
                return False
            self.loop.rest(STEADY_STEP_MS)
        return self.loop.is_steady

    # What the loop tells.

    def _look(self, now_ms):
        """After each look at light and meter."""
        lamp, faults = self.lamp, self.faults
        self.register.look(now_ms, self.loop.lux)
        self.evidence.tell(faults.look(now_ms // 1000, self.parts, lamp))
        if self.evidence.events:
            self.loop.wants_program = True
        self._measure(now_ms)
        lamp.heat_cap = faults.heat_cap
        if self._burns():
            lamp.burn_until_s = (now_ms + BURN_MS) // 1000

    def _burns(self):
        """Whether the commissioning burn goes on. That it is over is kept apart from what the register may lose."""
        wanted_h, register = self.settings["burn_h"], self.register
        if wanted_h <= register.burnt_h:
            return False
        if wanted_h > register.hours:
            return True
        register.burnt_h = wanted_h
        return False

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
        if not self.talk:
            from kerbwire.node_end import NodeEnd

            counters, me = self.counters, self.identity
            instance = self.outbox.told[0] if self.outbox.told else bytes(8)
            self._end = NodeEnd(me.node, me, counters.life, counters.take_seq, instance)
            self.talk = Talk(
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
        return self.talk

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
            config_hash=lampsettings.digest(self.settings),
            next_index=self.counters.next_index,
            gaps=list(self.counters.gaps),
            challenge=challenge,
        )

    def _tell_log(self):
        """What the boot before this one left behind travels with its hello: its last lines, a crash among them."""
        from kerbnode import telling

        for message in telling.messages(self._folder, self.counters.boot_count - 1, 0)[-2:]:
            self.talk.tell_once("log", message)

    def _obey(self, message, waited_s, order):
        """Act on what was asked. Its number is on flash before: that waits for a ramp, but not for long, and an
        emergency for nothing."""
        from kerbnode.lamp.orders import LampOrders

        if message.KIND != COMMAND or message.priority != EMERGENCY:
            self._wait_steady(ORDER_WAIT_MS)
        version = self._slots.version
        result = LampOrders(self, message, order).take(self._folder, self._slots, self._settings_of, waited_s)
        if self._slots.version != version:  # the new settings are tried by the start that comes now
            self._restarts = True
        return result

    def restart(self):
        """Reset as soon as what is under way is done."""
        self._restarts = True

    def record(self):
        """Take a record now and report it. Returns its number."""
        self._take_quarter()
        self.evidence.move_quarters()
        index = self.counters.next_index - 1
        self.talk.reports(1)
        return index

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
