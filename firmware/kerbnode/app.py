"""A node's start: its role; and of a bin which wake this is, its sleep, and its errors. main() is what a board runs.

Most wakes only take the temperature (kerbnode.bin.heat), most others only sample (kerbnode.bin.wake), and load little;
what is left is kerbnode.bin.node's. An error at the top ends in a bounded deep sleep, never in a tight loop; a board
without identity, which no wait mends, ends at the REPL.
"""

import gc

from kerbnode import hal, retained
from kerbnode.modules import let_go_of_sampling

FOLDER = "/node"
CRASH_SLEEP_S = 60  # after the first error in a row; doubled for each further one
LONGEST_CRASH_SLEEP_S = 3600
EARLY_S = 2  # a wake so much before its moment is a pin's, not the oscillator's
COLLECT_BYTES = 16384
USB_WINDOW_MS = 3000  # after a cold boot: USB is there for kerb and mpremote before the board sleeps; wakes have none


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
    if board.get("role") == "lamp":
        collect_often()
        from kerbnode.lamp import app as lampapp

        lampapp.run(board_hal, board, journal, FOLDER)
        return
    if board.get("role") == "modem":
        from kerbnode import modem

        modem.run(board_hal, board)
        return
    run(board_hal, board, journal)


def collect_often():
    """Before much is loaded: else the heap is in crumbs when the exchange comes. A short wake is over before its heap
    is full, and need not collect at all."""
    gc.collect()
    if hasattr(gc, "threshold"):  # MicroPython's
        gc.threshold(COLLECT_BYTES)  # pyright: ignore[reportArgumentType, reportCallIssue]


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
        if state is not None and board_hal.early_s > EARLY_S:  # a pin: something happened
            state.utc_s -= min(state.utc_s, board_hal.early_s)
            state.uptime_s -= min(state.uptime_s, board_hal.early_s)
            state.flags = state.flags & ~retained.SAMPLE | retained.CHECK
        sleep_ms, sample, settings = _short(board_hal, board, journal, state, folder)
        if sleep_ms is None:
            collect_often()
            let_go_of_sampling(board)  # what stays is loaded in its place
            from kerbnode.bin.node import Node

            node = Node(board_hal, board, journal, folder, settings if sample else None)
            sleep_ms = node.cycle(state, crashes, sample)
    except Exception as error:  # the top edge: nothing above it could act on any error
        if type(error).__name__ == "IdentityError":  # it waits on USB for `kerb provision`: no watchdog runs yet
            journal.note("IdentityError", error, error.hint)  # pyright: ignore[reportAttributeAccessIssue]
            journal.save(folder, "-")
            return
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
    if sleep_ms == 0:  # a command asked for it
        board_hal.reset()
    board_hal.deep_sleep(board_hal.sleep_span_ms(sleep_ms))


def _short(board_hal, board, journal, state, folder):
    """(ms to sleep or None, the sample if it took one, settings if they are known): what does not take a long wake.
    Nothing that it has loaded is held here, so that a long wake can let go of it."""
    if state is None:
        return None, None, None
    from kerbnode import brief
    from kerbnode.bin import heat

    settings = brief.settings(folder)
    if not settings:
        return None, None, None
    if not state.flags & (retained.SAMPLE | retained.CHECK):
        return heat.cycle(board_hal, board, state, settings), None, settings
    from kerbnode.bin import wake

    return wake.cycle(board_hal, board, journal, state, settings, folder) + (settings,)
