"""A lamp's start, and what becomes of its errors: light by the photocell alone for a while, then a new start."""

from kerbnode import flash
from kerbnode.lamp.photocell import Photocell
from kerbwire.channels import BY_FAULT

FIRST_HOLD_S = 10
LONGEST_HOLD_S = 600
STEP_MS = 200
FIRST_STEPS = 3


def run(board_hal, board, journal, folder):
    """Run until a restart is due. It returns where there is no identity: then the lamp shines as its driver does."""
    node = None
    try:
        from kerbnode.lamp.node import LampNode

        node = LampNode(board_hal, board, journal, folder)
        node.run()
    except Exception as error:  # the top edge: nothing above it could act on any error
        if type(error).__name__ == "IdentityError":  # it waits on USB for `kerb provision`
            journal.note("IdentityError", error, error.hint)  # pyright: ignore[reportAttributeAccessIssue]
            journal.save(folder, "-")
            return
        log = (node.changes, node.clock, node.boot, node.counters.life) if node else None
        node = None
        _tell(journal, folder, error)
        _hold(board_hal, board, log, folder)
    board_hal.reset()


def _tell(journal, folder, error):
    try:
        journal.note("crash", type(error).__name__, error, getattr(error, "hint", ""))
        journal.save(folder, "-", error)
    except Exception as second:  # the light comes whatever happens, and after it the next attempt
        print("note crash", type(second).__name__)


def _hold(board_hal, board, log, folder):
    """Light by the photocell alone, for as long as the board has run already, within bounds: a start that fails at once
    is tried again soon, and one that fails for ever stays by its light. log: (changes, clock, boot, life) of the node
    that failed: the next start takes its level changes on, with those of this light; None where it did not come so
    far."""
    span_s = min(LONGEST_HOLD_S, FIRST_HOLD_S + board_hal.ticks_ms() // 1000)
    try:
        from kerbnode.lamp.parts import Parts

        board_hal.start_watchdog()
        parts = Parts(board_hal, board["sensors"])
        cell = Photocell(70, 35)
        level = 100
        for step in range(span_s * 1000 // STEP_MS):
            parts.poll(board_hal.ticks_ms())
            if step >= FIRST_STEPS:  # by then the light sensor has said something
                cell.sample(parts.lux(), level, step * STEP_MS // 1000)
                level = 0 if cell.is_dark is False else 100
                parts.show(level, board_hal.ticks_ms())
                if log:
                    log[0].jump(level, BY_FAULT, log[1].uptime_ms(), step == FIRST_STEPS)
            board_hal.feed()
            board_hal.sleep_ms(STEP_MS)
        if log and log[2] is not None:
            flash.replace(folder + "/held", [log[3], log[0].take(log[1], log[2])])
    except Exception as error:  # not even that: the driver shines by itself, and the next start may do better
        print("note crash", type(error).__name__)
        board_hal.sleep_ms(FIRST_HOLD_S * 1000)
