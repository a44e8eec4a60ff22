"""A wake for the temperature alone: a fire is not to wait for the next sample. It loads little and writes no flash.

It is also what a hop of a sleep longer than the port's longest is made of. What it needs of the settings lies in a file
that the long wakes keep in step (kerbnode.brief).
"""

from kerbnode import drivers
from kerbnode.bin.events import FAST, FIRE, Judge
from kerbnode.clock import next_due_ms, next_wake_s, sleep_ms
from kerbnode.retained import EVENT, HELLO

MAX_CHECKS = 3  # in a row; then the next sample decides


def cycle(hal, board, state, settings):
    """From wake to sleep; returns ms to sleep with the state retained, or None: this is a wake to act in."""
    start_ms = (state.utc_s or state.uptime_s) * 1000
    facts = board["sensors"].get("temperature")
    heat_s = settings["heat_s"] if facts else 0
    if heat_s:
        hal.start_watchdog()
        judge = Judge(settings)
        judge.unpack(state.heat)
        before = judge.pack()[FIRE]
        half_c = temperature(hal, facts)
        happened = judge.sample((start_ms + hal.ticks_ms()) // 1000, None, None, half_c, None, 0, None)
        if not happened:
            state.heat = judge.pack()[:FAST]
        if judge.pack()[FIRE] != before:  # it begins, or ends: the other wake looks again, and tells
            return None
        heat_s = judge.heat_s
    due_ms = next_due_ms(start_ms, settings["interval_s"] * 1000)
    return sleep_on(hal, board, state, start_ms, heat_s, due_ms)


def sleep_on(hal, board, state, start_ms, heat_s, due_ms, check_ms=None):
    """Retain the state for a sleep until the next sample, check, or look at the temperature; return its ms.

    start_ms: when ticks were 0, by the clock to which samples are aligned.
    """
    awake_ms = hal.ticks_ms()
    now_ms = start_ms + awake_ms
    if check_ms is not None or not board["sensors"].get("temperature"):  # a check takes the temperature too
        heat_s = 0
    wake_s, flag = next_wake_s(hal.sleep_span_ms, now_ms, due_ms, heat_s, check_ms)
    span_ms = wake_s * 1000 - now_ms
    state.flags = state.flags & (HELLO | EVENT) | flag
    state.uptime_s += (awake_ms + span_ms) // 1000
    state.utc_s = wake_s if state.utc_s else 0
    span_ms = sleep_ms(span_ms, state.ppm)
    if state.checks < MAX_CHECKS:  # a knock a minute is no reason to wake for each
        hal.wake_on(wake_pins(board))
    hal.keep_retained(state.pack(), span_ms)
    return span_ms


def wake_pins(board):
    """What is to end a sleep early: an accelerometer's interrupt, a thermal switch's contact."""
    return [facts["wake_pin"] for facts in board["sensors"].values() if "wake_pin" in facts]


def temperature(hal, facts):
    """Half degrees Celsius, or a special value. The board sleeps lightly while the part converts."""
    driver = drivers.find(facts["driver"])
    started = driver.start(hal, facts)
    hal.light_sleep_ms(driver.CONVERSION_MS)
    return driver.read(started)[0]
