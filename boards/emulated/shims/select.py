"""`select` of an emulated board: waits in the board's time, and lets interrupts come meanwhile."""

import sys

from kerb_irq import blocked, sleep_us
from kerb_rpc import POLL, fetch, uptime_us
from uselect import POLLERR, POLLHUP, POLLIN, POLLOUT  # noqa: F401
from uselect import poll as _poll

_STEP_US = 10000  # between two looks at a thing that only the interpreter knows
_CONSOLE = sys.stdin
_CONSOLE_KEY = b"\x03\x00"


class poll:
    def __init__(self):
        self._asked = {}  # id(object): [object, flags]

    def register(self, thing, flags=POLLIN | POLLOUT):
        self._asked[id(thing)] = [thing, flags]

    def unregister(self, thing):
        del self._asked[id(thing)]

    def modify(self, thing, flags):
        self._asked[id(thing)][1] = flags

    def poll(self, timeout=-1):
        return list(self.ipoll(timeout))

    def ipoll(self, timeout=-1, flags=0):
        asked = self._asked
        if not asked:
            if timeout > 0:
                sleep_us(timeout * 1000)
            return iter(())
        until = None if timeout is None or timeout < 0 else uptime_us() + timeout * 1000
        request = bytearray()
        asks = []  # what the host knows of, in the order of the request
        step = False
        for thing, wanted in asked.values():
            if hasattr(thing, "poll_key"):
                request += bytes(thing.poll_key()) + bytes([wanted])
                asks.append(thing)
            elif thing is _CONSOLE:
                request += _CONSOLE_KEY + bytes([wanted])
                asks.append(thing)
            elif not hasattr(thing, "__dict__"):
                step = True
        while True:
            ready = self._ready()
            left = -1 if until is None else max(0, until - uptime_us())
            if ready:
                left = 0
            elif step:
                left = _STEP_US if left < 0 else min(left, _STEP_US)
            states = fetch(POLL, blocked(), left, request)
            ready += [(asks[i], states[i]) for i in range(len(asks)) if states[i]]
            if ready or (until is not None and left <= 0):
                if flags & 1:
                    for thing, _ in ready:
                        asked[id(thing)][1] = 0
                return iter(ready)

    def _ready(self):
        """Of the things that only the interpreter knows."""
        found = []
        for thing, wanted in self._asked.values():
            if hasattr(thing, "poll_key") or thing is _CONSOLE:
                continue
            if hasattr(thing, "__dict__"):
                state = thing.ioctl(3, wanted)
            else:
                own = _poll()
                own.register(thing, wanted)
                state = own.poll(0)
                state = state[0][1] if state else 0
            if state:
                found.append((thing, state))
        return found
