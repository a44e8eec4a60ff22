"""A wake for the temperature alone: a fire is not to wait for the next sample. It loads little and writes no flash.

It is also what a hop of a sleep longer than the port's longest is made of. What it needs of the settings lies in a file
of its own, which the other wakes keep in step: to read them all takes as long as all the rest of such a wake.
"""

import json

from kerbnode.clock import next_due_ms, next_wake_s, sleep_ms
from kerbnode.events import FAST, FIRE, Judge
from kerbnode.retained import EVENT, HELLO

NAME = "/heat"
SETTINGS = ("interval_s", "heat_s", "fire_c", "fire_rise_c")


def cycle(hal, board, state, folder):
    """From wake to sleep; returns ms to sleep with the state retained, or None: this is a wake to act in."""
    settings = read(folder)
    if not settings:
        return None
    start_ms = (state.utc_s or state.uptime_s) * 1000
    facts = board["sensors"].get("temperature")
    heat_s = settings["heat_s"] if facts else 0
    if heat_s:
        judge = Judge(settings)
        judge.unpack(state.heat)
        before = judge.pack()[FIRE]
        half_c = temperature(hal, facts)
        judge.sample((start_ms + hal.ticks_ms()) // 1000, None, None, half_c, None, 0, None)
        if judge.pack()[FIRE] != before:  # it begins, or ends: the other wake looks again, and tells
            return None
        state.heat = judge.pack()[:FAST]
    awake_ms = hal.ticks_ms()
    now_ms = start_ms + awake_ms
    due_ms = next_due_ms(start_ms, settings["interval_s"] * 1000)
    wake_s, flag = next_wake_s(hal.sleep_span_ms, now_ms, due_ms, heat_s)
    span_ms = wake_s * 1000 - now_ms
    state.flags = state.flags & (HELLO | EVENT) | flag
    state.uptime_s += (awake_ms + span_ms) // 1000
    state.utc_s = wake_s if state.utc_s else 0
    span_ms = sleep_ms(span_ms, state.ppm)
    hal.wake_on(wake_pins(board))
    hal.keep_retained(state.pack(), span_ms)
    return span_ms


def read(folder):
    """The settings of such a wake; None where the file is absent or damaged."""
    try:
        with open(folder + NAME) as file:
            settings = json.load(file)
        return settings if len(settings) == len(SETTINGS) else None
    except (OSError, ValueError, TypeError):
        return None


def write(folder, settings):
    """Keep the file in step; it is written only if it is not."""
    wanted = {}
    for name in SETTINGS:
        wanted[name] = settings[name]
    if read(folder) != wanted:
        with open(folder + NAME, "w") as file:
            json.dump(wanted, file)


def wake_pins(board):
    """What is to end a sleep early: an accelerometer's interrupt, a thermal switch's contact."""
    return [facts["wake_pin"] for facts in board["sensors"].values() if "wake_pin" in facts]


def temperature(hal, facts):
    """Half degrees Celsius, or a special value. The board sleeps lightly while the part converts."""
    name = "kerbnode.drivers." + facts["driver"]
    driver = __import__(name, None, None, ("start",))
    started = driver.start(hal, facts)
    hal.light_sleep_ms(driver.CONVERSION_MS)
    return driver.read(started)[0]
