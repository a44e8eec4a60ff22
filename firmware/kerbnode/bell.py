"""What a lamp's loop waits on: bytes on its link, a bell that an interrupt rings, or the end of a time."""

import io
import select

_POLL = 3  # the stream request of select


class Bell(io.IOBase):
    """ring() may be called by an interrupt; wait() takes notice of it once."""

    def __init__(self, uart):
        self._uart = uart
        self._rung = False
        self._poll = select.poll()
        self._poll.register(uart, select.POLLIN)
        self._poll.register(self, select.POLLIN)

    def ring(self, *_):
        self._rung = True  # nothing more: an interrupt cannot allocate

    def wait(self, ms):
        """Wait; returns (bytes have come, the bell was rung). Nothing is waited for after a ring."""
        came = False
        if not self._rung:
            for thing, _ in self._poll.ipoll(max(0, ms)):
                came = came or thing is self._uart
        rung, self._rung = self._rung, False
        return came, rung

    def ioctl(self, request, argument):
        return argument & select.POLLIN if request == _POLL and self._rung else 0
