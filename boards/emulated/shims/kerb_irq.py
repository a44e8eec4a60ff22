"""Interrupts of an emulated board: handlers run between calls to the host, as scheduled handlers run between bytecodes.

The host says in a reply that something interrupts; the handlers then run before the call that brought it returns. So a
handler runs at each wait, at each call of a pin, bus or sensor, and at a reading of the clock each millisecond at
the latest, but never inside another handler, a flash operation or `disable_irq`.
"""

import sys

import kerb_rpc
from kerb_rpc import EVENTS, FLASH_ERASE, FLASH_PROGRAM, SLEEP, call, fetch, uptime_us

TIMER = 1
PIN = 2

_handlers = {}  # (kind, number): function without arguments
_masked = 0
_busy = False


def set_handler(kind, number, run):
    """What to run when (kind, number) interrupts; None: nothing."""
    if run is None:
        _handlers.pop((kind, number), None)
    else:
        _handlers[kind, number] = run


def mask():
    """No handler runs until `unmask`; returns what it takes."""
    global _masked
    before, _masked = _masked, 1
    return before


def unmask(before):
    global _masked
    _masked = before
    if not before:
        _attend(EVENTS)


def blocked():
    """1 where no handler could run now: then a sleep goes on to its end."""
    return 1 if _busy or _masked else 0


def sleep_us(us, operation=SLEEP):
    """Sleep; handlers run meanwhile. An endless sleep (negative) ends after the first."""
    left, until = call(operation, us, blocked())
    while left > 0:
        left, until = call(operation, max(0, until - uptime_us()), blocked())


def _attend(operation):
    global _busy
    if _busy or _masked or operation in (FLASH_PROGRAM, FLASH_ERASE):
        return
    _busy = True
    try:
        while True:
            due = fetch(EVENTS)
            if not due:
                return
            for at in range(0, len(due), 2):
                run = _handlers.get((due[at], due[at + 1]))
                if run:
                    try:
                        run()
                    except Exception as error:
                        sys.print_exception(error)
    finally:
        _busy = False


kerb_rpc.attend = _attend
