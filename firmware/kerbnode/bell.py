"""What a lamp's loop waits on: something on a link of its, a bell that an interrupt rings, or the end of a time."""

import io
import select

_POLL = 3  # the stream request of select


class Bell(io.IOBase):
    """ring() and call() may be called by an interrupt; wait() takes notice of them once."""

    def __init__(self, uart):
        self._uart = uart
        self._rung = self._called = False
        self._poll = select.poll()
        self._poll.register(uart, select.POLLIN)
        self._poll.register(self, select.POLLIN)

    def ring(self, *_):
        self._rung = True  # nothing more: an interrupt cannot allocate

    def call(self, *_):
        """A link that is no stream has something."""
        self._called = True

    def swap(self, old, new):
        """Look for input at another stream of a link beside the UART. None: at none."""
        if old is not None:
            self._poll.unregister(old)
        if new is not None:
            self._poll.register(new, select.POLLIN)

    def wait(self, ms):
        """Wait; returns (a link has something, the bell was rung). Nothing is waited for after a ring or a call."""
        came = False
        if not (self._rung or self._called):
            for thing, _ in self._poll.ipoll(max(0, ms)):
                came = came or thing is not self
        rung, self._rung = self._rung, False
        called, self._called = self._called, False
        return came or called, rung

    def ioctl(self, request, argument):
        return argument & select.POLLIN if request == _POLL and (self._rung or self._called) else 0
