"""A bin node's wake cycle: state, sample, exchange, sleep. main() is what a board runs.

What has to survive lies on flash before it counts; what only saves work lies in retained memory. An error at the top
ends in a bounded deep sleep, never in a tight loop; a board without identity, which no wait mends, ends at the REPL.
"""

import gc

from kerbnode import config, flash, hal, identity, retained
from kerbnode.clock import Clock, next_due_ms
from kerbnode.counters import HALF, LOST, Counters
from kerbnode.outbox import Outbox
from kerbnode.pace import Pace

FOLDER = "/node"
CRASH_SLEEP_S = 60  # after the first error in a row; doubled for each further one
LONGEST_CRASH_SLEEP_S = 3600
DAY_S = 86400
USB_WINDOW_MS = 3000  # after a cold boot: USB is there for kerb and mpremote before the board sleeps; wakes have none
LINK_BUFFER = 1024  # bytes of the link's UART: four frames, should the node be at its flash for 80 ms


def main():
    """Run one wake on the board this is imported on, and sleep. Only a board without identity returns, to the REPL."""
    import json
    import os
    import time

    import machine

    from kerbnode.journal import Journal

    journal = Journal()
    try:
        with open("/board.json") as file:
            board = json.load(file)
        board_hal = hal.Hal(machine, time, os.urandom, board)
    except Exception as error:  # a task's edge: without a board there is nothing else to do
        journal.note("crash", type(error).__name__, error, "in board.json: flash the board again: kerb flash")
        journal.save(FOLDER, "-", error)
        machine.deepsleep(LONGEST_CRASH_SLEEP_S * 1000)
    run(board_hal, board, journal)


def run(board_hal, board, journal, folder=FOLDER):
    """One wake, whatever happens in it, and the deep sleep after it. It returns where there is no identity."""
    crashes = 0
    node = None
    try:
        state, crashes = retained.unpack(board_hal.take_retained())
        if not board_hal.may_be_wake():
            state = None
        if state is None and not crashes:
            board_hal.sleep_ms(USB_WINDOW_MS)
        node = Node(board_hal, board, journal, folder)
        sleep_ms = node.cycle(state, crashes)
    except identity.IdentityError as error:  # it waits on USB for `kerb provision`: no watchdog runs yet
        journal.note("IdentityError", error, error.hint)
        journal.save(folder, "-")
        return
    except Exception as error:  # the top edge: nothing above it could act on any error
        crashes += 1
        sleep_ms = min(CRASH_SLEEP_S << min(crashes - 1, 16), LONGEST_CRASH_SLEEP_S) * 1000
        try:
            board_hal.keep_retained(retained.pack_crash(crashes))
        except Exception:  # without memory nothing counts the errors: as if there had been many
            sleep_ms = LONGEST_CRASH_SLEEP_S * 1000
        node = None
        gc.collect()  # to tell of it takes some heap, and heap may be what there was too little of
        try:
            journal.note("crash", crashes, type(error).__name__, error, getattr(error, "hint", ""))
            journal.save(folder, "-", error)
        except Exception as second:  # the sleep comes whatever happens, and with it the next attempt
            print("note crash", crashes, type(second).__name__)
    board_hal.deep_sleep(board_hal.sleep_span_ms(sleep_ms))


class Node:
    """One wake of a bin node. folder: where identity, configuration, counters and outbox lie."""

    def __init__(self, board_hal, board, journal, folder):
        self._hal = board_hal
        self._board = board
        self._journal = journal
        self._folder = folder
        self.settings, self._complaints = config.read(folder + "/config.json")
        self.identity = identity.read(folder + "/identity.cbor")
        self.counters = Counters(folder, self.settings["seq_block"], self.settings["index_block"])
        self.outbox = Outbox(folder + "/outbox", self.settings["outbox_segments"], self.counters.declare_gap)
        self._exchange = None
        self._node_end = None
        self._cause = hal.POWER_ON
        self._ranger_noise = 0

    def cycle(self, state, crashes=0):
        """From wake to sleep. state: what was retained, or None. Returns ms to sleep, with the new state retained."""
        self._hal.start_watchdog()
        state, is_boot = self._begin(state, crashes)
        self.clock = Clock(self._hal.ticks_ms, self._hal.ticks_diff, state.uptime_s, state.utc_s or None)
        self.pace = Pace(state.spent, state.day, state.level, state.wait_intervals, state.unanswered)
        self.pace.begin(self.clock.local_ms() // 1000 // DAY_S, state.flags & retained.SAMPLE)
        self._hello_due = bool(state.flags & retained.HELLO)
        self._instance = state.instance
        if is_boot:  # hello comes before the first sample: its answer dates that sample
            self._say_hello(True)
        sampled_ms = None
        if state.flags & retained.SAMPLE:
            sampled_ms = self.clock.uptime_ms()
            self._hal.feed()
            self._take(is_boot)
            self._hal.feed()
            self._report()
        if self._exchange:
            self._exchange.tell(self._ranger_noise)
        self.outbox.save()
        self._journal.save(self._folder, self._when())
        return self._end(sampled_ms)

    def _begin(self, state, crashes) -> "tuple[retained.State, bool]":
        """(state, whether this is a reboot): open counters and outbox, and say so on the console."""
        counters = self.counters
        counters.open(crashes)
        is_boot = state is None or not counters.resume(state)
        if is_boot:
            for complaint in self._complaints:
                self._journal.note(complaint)
            if counters.state in (LOST, HALF):
                self._journal.note("counters:", "new life" if counters.state == LOST else "one slot lost")
            counters.reboot(self._hal.random, self.outbox.open)
            state = retained.State()
            state.flags = retained.HELLO | retained.SAMPLE
        else:
            self.outbox.open(counters.life)
        if self.outbox.stale:
            self._journal.note("removed", self.outbox.stale, "records of an earlier life")
        cause = self._hal.reset_cause()
        if not is_boot:
            cause = hal.DEEP_SLEEP
        elif crashes:
            cause = hal.SOFT
        self._cause = cause
        say = self._journal.keep if is_boot else self._journal.line
        say("boot", self._life(), counters.next_seq, counters.next_index, hal.CAUSES[cause])
        return state, is_boot  # pyright: ignore[reportReturnType]  # without one it is a reboot

    def _take(self, is_boot):
        """Take one record."""
        from kerbnode.sensors import Sensors

        utc_s = self.clock.utc()
        # To the nearest minute, which is what samples are aligned to: so a report says its times in few bits.
        time_s = self.clock.uptime() if utc_s is None else (utc_s + 30) // 60 * 60
        new_day = time_s // DAY_S != (time_s - self.settings["interval_s"]) // DAY_S
        sensors = Sensors(self._hal, self._board["sensors"])
        values = sensors.sample(self.settings, is_boot or new_day)
        self._ranger_noise = sensors.noise
        dropped = self.outbox.dropped
        index = self.counters.take_index()
        self.outbox.append(index, time_s, self.counters.boot_count if utc_s is None else 0, values)
        self._journal.line("taken", self._life(), index, time_s)
        if self.outbox.dropped > dropped:
            self._journal.note("outbox full: dropped", self.outbox.dropped - dropped, "records")

    def _report(self):
        """Talk to the gateway if it is time to."""
        wanted = self.settings["report_records"]
        hello_due = self._hello_due or self.counters.gaps or not self.counters.confirmed or self.pace.needs_hello()
        if not self.pace.may_exchange() or not (hello_due or self.outbox.pending(wanted) >= wanted):
            return
        if hello_due and not self._say_hello(False):
            return
        if self.outbox.pending(wanted) >= wanted:
            self._open_exchange().reports()

    def _say_hello(self, is_boot):
        self._hello_due = not self._open_exchange().hello(is_boot)
        return not self._hello_due

    def _open_exchange(self):
        if not self._exchange:
            gc.collect()  # what comes is the other half of the code: let it find the heap in one piece
            from kerbnode.exchange import Exchange
            from kerbnode.link.serial import Serial
            from kerbwire.node_end import NodeEnd

            counters = self.counters
            me = self.identity
            self._node_end = NodeEnd(me.node, me, counters.life, counters.take_seq, self._instance)
            self._exchange = Exchange(
                end=self._node_end,
                link=Serial(self._hal.uart(self._board["link"], LINK_BUFFER), self._hal),
                hal=self._hal,
                clock=self.clock,
                counters=counters,
                outbox=self.outbox,
                pace=self.pace,
                settings=self.settings,
                journal=self._journal,
                make_hello=self._make_hello,
            )
        return self._exchange

    def _make_hello(self, challenge):
        from kerbnode import __version__
        from kerbwire.channels import BIN
        from kerbwire.messages import Hello

        return Hello(
            role=BIN,
            board=self._board["name"],
            firmware=__version__,
            bundle=flash.digest("/bundle.json")[:8],
            reset_cause=self._cause,
            boot_count=self.counters.boot_count,
            config_hash=config.digest(self.settings),
            next_index=self.counters.next_index,
            gaps=list(self.counters.gaps),
            challenge=challenge,
        )

    def _end(self, sampled_ms):
        """Write the retained memory; return ms to sleep. A sleep longer than the port's longest is made of hops."""
        now_ms, uptime_ms = self.clock.local_ms(), self.clock.uptime_ms()
        if sampled_ms is not None:
            sampled_ms += now_ms - uptime_ms
        due_ms = next_due_ms(now_ms, self.settings["interval_s"] * 1000, sampled_ms)
        span_ms = self._hal.sleep_span_ms(due_ms - now_ms)
        wake_s = max((now_ms + span_ms) // 1000, now_ms // 1000 + 1)  # a whole second: that is what is retained
        span_ms = wake_s * 1000 - now_ms
        state = retained.State()
        state.flags = (retained.HELLO if self._hello_due else 0) | (retained.SAMPLE if wake_s * 1000 >= due_ms else 0)
        state.unanswered, state.level, state.wait_intervals = (
            self.pace.unanswered, self.pace.level, self.pace.wait_intervals,
        )  # fmt: skip
        state.spent, state.day = self.pace.spent, self.pace.day
        state.uptime_s = (uptime_ms + span_ms) // 1000
        state.utc_s = wake_s if self.clock.is_set() else 0
        state.instance = self._node_end.instance if self._node_end else self._instance
        self.counters.save_to(state)
        self._hal.keep_retained(state.pack())
        return span_ms

    def _when(self):
        utc_s = self.clock.utc()
        return "+%d" % self.clock.uptime() if utc_s is None else utc_s

    def _life(self):
        return "".join(["%02x" % byte for byte in self.counters.life])
