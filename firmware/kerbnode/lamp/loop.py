"""A lamp's loop: sensors, control, output and meter, run inside every wait of the program (firmware/RUNTIME.md).

The program talks, records and writes, one thing after the other, and whatever it waits for it waits here: `rest` for an
answer, `idle` until there is something to do. What computes for long calls `breathe` on its way. All of them run what
is due: a tick of the control each 100 ms while anything moves, and else when something may change next; light and meter
each `look_s`; night or day each minute.
"""

from kerbnode.lamp.lamp import MINUTE_S, TICK_MS
from kerbwire.channels import BY_FAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POLLS_OF_A_LOOK = 3  # light and meter answer within so many polls; memory banks of a DALI driver take some seconds
POLL_MS = 100
AFTER_STEP_MS = 400  # after a ramp: the light sensor has integrated, and the step in the light teaches the lamp's own
FADE_STEP_MS = 60000  # of a long fade the log has a step a minute
BLINK_MS = 500
BLINK_LEVEL = 30  # never dark: people are below
FEEDS = 2  # so often the watchdog is fed in the time that it waits
SAFE_TICK_MS = 1000
NEVER_MS = 1 << 62
MAX_PROGRAM_MS = 120000  # the program comes back to `rest`, `idle` or `checks_in` by then, or the watchdog bites


class Loop:
    """Everything is handed in. parts: kerbnode.lamp.parts. lamp: kerbnode.lamp.lamp. changes: kerbnode.lamp.changes.

    on_look(now_ms) is called after each look at light and meter. link and street are set once they are there.
    slowest_ms: the longest that a due tick was late.
    """

    def __init__(self, hal, clock, parts, lamp, changes, look_s):
        self.ticks_ms, self.ticks_add, self.ticks_diff = hal.ticks_ms, hal.ticks_add, hal.ticks_diff
        self._hal = hal
        self._clock = clock
        self._parts = parts
        self._lamp = lamp
        self._changes = changes
        self._look_ms = 1000 * look_s
        self.link: "Any" = None
        self.street: "Any" = None
        self.on_look: "Any" = None
        self.wants_program = False  # set by what is called here
        self.lux = None  # of the last look
        self.slowest_ms = 0
        self.is_safe = False  # light by the photocell alone, and nothing else of the control
        self.blink_until_ms = 0
        self._bell: "Any" = None
        self._edges = False
        self._was_active = False
        self._rung = False
        self._came = True
        self._next_look_ms = self._next_poll_ms = 0
        self._next_tick_ms = self._next_minute_ms = NEVER_MS  # before the first look
        self._polls = 0
        self._feed_ms = 0
        self._program_ms = 0
        self._cause = 0
        self._logged_ms = 0  # of a fade

    def listen(self, bell):
        """Wait on this bell from now on; the presence sensor rings it, where it can."""
        self._bell = bell
        self._edges = self._parts.watch(bell.ring)

    # What Exchange and Shared ask of the hal.

    def feed(self):
        self.checks_in()

    def sleep_ms(self, ms):
        """Wait, whatever comes."""
        end_ms = self._clock.uptime_ms() + ms
        while self._clock.uptime_ms() < end_ms:
            self._wait(end_ms)

    def rest(self, ms):
        """Wait, or until a frame for this node has come. What is to be kept waits: its owner is in a conversation."""
        end_ms = self._clock.uptime_ms() + ms
        while self._clock.uptime_ms() < end_ms:
            self.checks_in()
            if self._wait(end_ms, True):
                return

    def idle(self, ms):
        """As `rest`, or until the light is steady and something is to be kept."""
        end_ms = self._clock.uptime_ms() + ms
        while self._clock.uptime_ms() < end_ms:
            self.checks_in()
            if self.is_steady and (self._changes.waiting or self.wants_program):
                self.wants_program = False
                return
            if self._wait(end_ms, True):
                return

    def checks_in(self):
        """The program goes on: the watchdog is fed for so long."""
        self._program_ms = self._clock.uptime_ms()

    def breathe(self):
        """Between two pieces of a computation: do what is due."""
        now_ms = self._clock.uptime_ms()
        if now_ms >= self._due_ms():
            self._beat(now_ms)

    @property
    def is_steady(self):
        """No ramp is under way that anybody sees: the flash may stall the loop."""
        ramp = self._lamp.ramp
        return ramp.level == ramp.target or ramp.is_slow

    def changed(self):
        """Something was heard: let the control look at it at once."""
        self._next_tick_ms = min(self._next_tick_ms, self._clock.uptime_ms())

    def _wait(self, end_ms, for_frames=False):
        """One wait and what is due after it. True: a frame for this node is there."""
        now_ms = self._clock.uptime_ms()
        turn_ms = None
        if self.link:
            turn_ms = self.link.turn() if self._came or self.link.speaks else None
            self._came = False
            if for_frames and self.link.waiting:
                self.breathe()  # however many frames there are
                return True
        due_ms = min(end_ms, self._due_ms())
        if turn_ms is not None:
            due_ms = min(due_ms, now_ms + turn_ms)
        if due_ms > now_ms:
            self._came, rung = self._bell.wait(due_ms - now_ms)
            self._rung = self._rung or rung
            now_ms = self._clock.uptime_ms()
        if self._rung or now_ms >= self._due_ms():
            self._beat(now_ms)
        return False

    def _due_ms(self):
        due_ms = min(self._next_tick_ms, self._next_look_ms, self._next_minute_ms, self._feed_ms)
        return min(due_ms, self._next_poll_ms) if self._polls or self._parts.is_busy else due_ms

    def _beat(self, now_ms):
        """What is due, in the order in which one feeds the next."""
        if self._rung:
            self._rung = False
            self._next_tick_ms = min(self._next_tick_ms, -(-now_ms // TICK_MS) * TICK_MS)
        if now_ms >= self._next_look_ms:
            self._next_look_ms = now_ms + self._look_ms
            self._polls, self._next_poll_ms = POLLS_OF_A_LOOK, now_ms
        if (self._polls or self._parts.is_busy) and now_ms >= self._next_poll_ms:
            self._next_poll_ms = now_ms + POLL_MS
            self._parts.poll(now_ms)
            if self._polls:
                self._polls -= 1
                if not self._polls:
                    self._look(now_ms)
        if now_ms >= self._next_minute_ms:
            self._judge(now_ms)
        if now_ms >= self._next_tick_ms:
            self.slowest_ms = max(self.slowest_ms, now_ms - self._next_tick_ms)
            self._tick(now_ms)
        if now_ms >= self._feed_ms:
            self._feed_ms = now_ms + self._hal.watchdog_ms // FEEDS
            if now_ms - self._program_ms < MAX_PROGRAM_MS:
                self._hal.feed()

    def _look(self, now_ms):
        cell = self._lamp.cell
        was_dark = cell.is_dark
        self._lamp.sense(self._parts.lux(), now_ms // 1000)
        if self.lux is None:  # what is not seen yet cannot be judged
            self._next_minute_ms = self._next_tick_ms = now_ms
        elif cell.is_dark != was_dark:
            self._next_minute_ms = now_ms
        self.lux = self._parts.lux()
        if self.on_look:
            self.on_look(now_ms)

    def _judge(self, now_ms):
        local_ms = self._clock.local_ms()
        self._next_minute_ms = now_ms + 1000 * MINUTE_S - local_ms % (1000 * MINUTE_S)
        self._next_tick_ms = min(self._next_tick_ms, now_ms)
        self._lamp.judge(now_ms // 1000, self._clock.utc())

    def _tick(self, now_ms):
        if self.is_safe:
            return self._shine(now_ms)
        lamp, parts, changes = self._lamp, self._parts, self._changes
        ramp = lamp.ramp
        active = parts.active()
        seen_ms = None
        if self._was_active and self._edges:  # no edge has come: there was somebody all the time
            seen_ms = now_ms - TICK_MS
            lamp.presence.tick(True, seen_ms)
        self._was_active = active
        before = ramp.target
        shown = ramp.level
        level = lamp.tick(active, now_ms)
        if changes.level is None:
            changes.start(level, lamp.cause, now_ms)
        if ramp.target != before:
            if shown != before:  # a ramp that ends on its way
                changes.settle(before, self._cause, now_ms)
            self._next_look_ms = min(self._next_look_ms, max(now_ms, ramp.ends_ms()) + AFTER_STEP_MS)
        self._cause = lamp.cause
        if now_ms < self.blink_until_ms:
            level = BLINK_LEVEL if now_ms // BLINK_MS & 1 else 100
        parts.show(level, now_ms)
        changes.show(level, now_ms)
        if level == ramp.target:
            changes.settle(level, lamp.cause, now_ms)
        elif ramp.target != before or not ramp.fade_ms:
            self._logged_ms = now_ms
        elif now_ms - self._logged_ms >= FADE_STEP_MS:  # a step for an hour's fade would be in the wrong half hour
            self._logged_ms = now_ms
            changes.settle(level, lamp.cause, now_ms)
        if active and self.street:
            self.street.seen(now_ms, seen_ms)
        due_ms = lamp.next_ms(now_ms)
        if ramp.level != ramp.target or not self._edges or now_ms < self.blink_until_ms:
            due_ms = now_ms + TICK_MS
        elif active and self.street:
            due_ms = min(due_ms, max(now_ms + TICK_MS, self.street.again_ms() or 0))
        self._next_tick_ms = -(-due_ms // TICK_MS) * TICK_MS

    def _shine(self, now_ms):
        """Safe mode: full light unless the photocell sees day. It is evidence as any other light."""
        level = self._lamp.ramp.jump(0 if self._lamp.cell.is_dark is False else 100)
        self._parts.show(level, now_ms)  # as the ramp's: what the photocell sees of its own lamp is taken off
        self._changes.jump(level, BY_FAULT, now_ms, self._cause != BY_FAULT)
        self._cause = BY_FAULT
        self._next_tick_ms = now_ms + SAFE_TICK_MS
