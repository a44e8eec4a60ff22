"""The end of a long wake: what the short wakes that follow have to know, and the sleep. Loaded when all is said."""

from kerbnode import brief, retained
from kerbnode.bin import heat
from kerbnode.bin.events import FAST
from kerbnode.bin.heat import MAX_CHECKS
from kerbnode.clock import next_due_ms, next_wake_s, sleep_ms

DAY_S = 86400
SAFE_SLEEP_S = 3600


def plan(node, folder, safe):
    """Tell the short wakes that follow what they have to know. node: a kerbnode.bin.node.Node at its end."""
    counters, outbox, settings = node.counters, node.outbox, node.settings
    index = counters.next_index
    plain = counters.confirmed and not counters.gaps and not node.on_trial() and not safe
    tail = outbox.tail() if plain else None
    due = [index + settings[name] - outbox.pending(settings[name]) for name in ("report_records", "soon_records")]
    since_s, fill = outbox.oldest()
    brief.keep(
        folder, settings, counters.life, counters.generation & 0xFFFF,
        counters.seq_limit, counters.index_limit, counters.boot_count, brief.NONE if tail is None else tail, due[0],
        due[1], since_s, fill,
    )  # fmt: skip


def sleep(node, hal, board, before, sampled_ms, safe):
    """Write the retained memory; return ms to sleep. before: the State that this wake began with. sampled_ms: when it
    took a record, or None. A sleep longer than the port's longest is made of hops."""
    clock, pace, judge, settings = node.clock, node.pace, node.judge, node.settings
    now_ms, uptime_ms = clock.local_ms(), clock.uptime_ms()
    check_ms = None
    checks = 0 if before.flags & retained.SAMPLE else before.checks
    if safe:
        due_ms = now_ms + SAFE_SLEEP_S * 1000
    else:
        if sampled_ms is not None:
            sampled_ms += now_ms - uptime_ms
        due_ms = next_due_ms(now_ms, settings["interval_s"] * 1000, sampled_ms)
        again = node.event_waits and pace.hurries(True)
        if (judge.hurry or again or (node.hello_due and node.on_trial())) and checks < MAX_CHECKS:
            check_ms = now_ms + min(settings["check_s"], judge.heat_s or DAY_S) * 1000
    if check_ms is not None or before.flags & retained.CHECK:
        checks = min(checks + 1, MAX_CHECKS)
    heat_s = judge.heat_s if board["sensors"].get("temperature") and not safe else 0
    if check_ms is not None:  # which takes the temperature too, and comes as soon
        heat_s = 0
    wake_s, flag = next_wake_s(hal.sleep_span_ms, now_ms, due_ms, heat_s, check_ms)
    span_ms = wake_s * 1000 - now_ms
    state = retained.State()
    state.flags = flag | (retained.HELLO if node.hello_due else 0) | (retained.EVENT if node.event_waits else 0)
    state.unanswered, state.level, state.wait_intervals = pace.unanswered, pace.level, pace.wait_intervals
    state.spent, state.day, state.silences = pace.spent, pace.day, pace.silences
    state.uptime_s = (uptime_ms + span_ms) // 1000
    state.utc_s = wake_s if clock.is_set() else 0
    span_ms = sleep_ms(span_ms, clock.ppm)
    if checks < MAX_CHECKS:  # a knock a minute is no reason to wake for each
        hal.wake_on(heat.wake_pins(board))
    state.checks, state.ppm, state.heat = checks, clock.ppm, judge.pack()[:FAST]
    node.counters.save_to(state)
    hal.keep_retained(state.pack(), span_ms)
    return span_ms
