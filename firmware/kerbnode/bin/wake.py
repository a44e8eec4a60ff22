"""A wake that only samples: most samples of a day are nothing but one more record, and most that look again at what
was seen, in between, are not even that. It loads no more than that takes.

It needs the plan that the last long wake has left (kerbnode.brief); where that says no more, where something happened,
and where it is time to speak, kerbnode.bin.node takes over with the sample.
"""

from kerbnode import brief, flash
from kerbnode.bin.events import FAST, SIZE, Judge
from kerbnode.bin.heat import MAX_CHECKS, sleep_on
from kerbnode.bin.pace import UNANSWERED_BEFORE_HELLO, URGENT_LEVEL
from kerbnode.chunks import SEGMENT_RECORDS, chunk, place, scan, shown
from kerbnode.clock import next_due_ms
from kerbnode.hal import CAUSES, DEEP_SLEEP
from kerbnode.retained import EVENT, HELLO, SAMPLE

DAY_MS = 86400000
_SLOW = FAST - SIZE  # where the judge's state begins, seen from the end of a chunk, whose last item it is
_HEAD = bytes([0x40 - _SLOW])


def cycle(hal, board, journal, state, settings, folder):
    """(ms to sleep with the state retained, None), or (None, the Sample or None) where a long wake is due."""
    is_record = state.flags & SAMPLE
    plan = brief.plan(folder)
    if not plan or not plan.fits(state) or (state.flags & EVENT and state.level < URGENT_LEVEL):
        return None, None
    index = plan.index_limit - state.index_left
    if plan.tail == brief.NONE or not state.index_left or index >= plan.tail + SEGMENT_RECORDS:
        return None, None
    path = place(folder + "/outbox", plan.life, plan.tail)
    held = flash.read(path) or b""
    count, size = scan(held)
    if not count or size != len(held) or plan.tail + count != index or held[_SLOW - 1 : _SLOW] != _HEAD:
        return None, None
    hal.start_watchdog()
    journal.boot = plan.boot_count
    life = shown(plan.life)
    journal.line("boot", life, plan.seq_limit - state.seq_left, index, CAUSES[DEEP_SLEEP])
    judge = Judge(settings)
    judge.unpack(held[_SLOW:])
    judge.unpack(state.heat)
    from kerbnode.bin.sampling import take

    begun_ms = hal.ticks_ms()
    start_ms = (state.utc_s or state.uptime_s) * 1000

    def local_ms():
        return start_ms + hal.ticks_ms()

    now_s = (start_ms + begun_ms) // 1000
    if state.utc_s:
        now_s = (now_s + 30) // 60 * 60
    hal.feed()
    sample = brief.Sample(now_s, judge, take(hal, board, journal, judge, settings, local_ms, now_s, False, is_record))
    hal.feed()
    sample.uptime_ms = state.uptime_s * 1000 + begun_ms
    if sample.events or judge.days_left is not None:
        return None, sample
    waits = state.wait_intervals
    if is_record:
        flash.append(path, chunk([now_s, 0 if state.utc_s else plan.boot_count, sample.values, judge.pack()[FAST:]]))
        sample.is_kept = True
        journal.line("taken", life, index, now_s)
        state.index_left -= 1
        index += 1
        waits -= waits > 0
    state.heat = judge.pack()[:FAST]
    if not waits and _has_to_speak(plan, state, settings, judge, index, now_s):
        return None, sample
    state.wait_intervals = waits
    day = (start_ms + begun_ms) // DAY_MS & 0xFF
    if day != state.day:
        state.day, state.spent = day, 0
    check_ms = None
    if is_record:
        state.checks = 0
    if judge.hurry and state.checks < MAX_CHECKS:
        check_ms = local_ms() + min(settings["check_s"], judge.heat_s or DAY_MS) * 1000
    if check_ms is not None or not is_record:
        state.checks = min(state.checks + 1, MAX_CHECKS)
    due_ms = next_due_ms(local_ms(), settings["interval_s"] * 1000, start_ms + begun_ms if is_record else None)
    return sleep_on(hal, board, state, start_ms, judge.heat_s, due_ms, check_ms), None


def _has_to_speak(plan, state, settings, judge, index, now_s):
    """Whether something waits to be said, as far as a short wake can tell: kerbnode.bin.node looks closer."""
    if state.flags & (HELLO | EVENT) or state.unanswered >= UNANSWERED_BEFORE_HELLO or index >= plan.due:
        return True
    if not settings["forecast_h"] or index < plan.soon:
        return False
    return plan.since_s == brief.NONE or brief.rises(settings, judge.level, plan.fill, now_s - plan.since_s)
