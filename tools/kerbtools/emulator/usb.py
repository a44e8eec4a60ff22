"""The USB serial port of an emulated board: a host pty, as mpremote opens it."""

import errno
import os
import select
import threading
import time
import tty
from collections.abc import Callable

_READ = 4096
# While someone talks to a board over USB, time runs at real pace: until so long after the last input, or after the port
# was closed (`mpremote reset` closes it 100 ms before the reset).
TALK_S = 10.0
CLOSED_S = 0.5
_WRITE_S = 0.5  # output that an open port does not take for so long is lost, as on an rp2 board
_WRITE_LOOK_S = 0.01  # a pty does not always tell that it has room again


class UsbPort:
    """The board's end, with a thread of its own that takes input.

    on_input: called from that thread with what came; returns how long from then on the talk may last without more.
    on_quiet: called when the talk is over.
    """

    def __init__(self, on_input: Callable[[bytes], float], on_quiet: Callable[[], None]) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)  # its settings stay; with it closed, the master sees whether a program has the port open
        os.set_blocking(self._master, False)
        self._on_input = on_input
        self._on_quiet = on_quiet
        self._clogged = False
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._asked = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._answer_at = 0.0
        self._thread = threading.Thread(target=self._listen, name=f"kerb-usb {self.path}", daemon=True)
        self._thread.start()

    def is_open(self) -> bool:
        """Whether a program has the port open."""
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def write(self, data: bytes) -> None:
        """Send to the program that has the port open; without one it is lost."""
        poll = select.poll()
        poll.register(self._master, select.POLLOUT)
        taken_at = time.monotonic()
        while data:
            events = poll.poll(0 if self._clogged else _WRITE_LOOK_S * 1000)
            if any(event & select.POLLHUP for _, event in events):
                return
            taken = self._write_now(data)
            if taken:
                taken_at = time.monotonic()
            self._clogged = not taken and (self._clogged or time.monotonic() - taken_at >= _WRITE_S)
            if self._clogged:
                return
            data = data[taken:]

    def expect(self, seconds: float) -> None:
        """A talk has begun by what the board said, and lasts so long if nobody answers. The board's thread."""
        self._answer_at = time.monotonic() + seconds
        os.eventfd_write(self._asked, 1)

    def close(self) -> None:
        """Take the port away: who has it open reads an end."""
        os.eventfd_write(self._stop, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        os.close(self._master)
        os.close(self._stop)
        os.close(self._asked)

    def _listen(self) -> None:
        quiet_at: float | None = None
        with select.epoll() as poll:
            # By edges: a port that nobody has open reports that once, not for ever.
            poll.register(self._master, select.EPOLLIN | select.EPOLLET)
            poll.register(self._stop, select.EPOLLIN)
            poll.register(self._asked, select.EPOLLIN)
            while True:
                events = dict(poll.poll(None if quiet_at is None else max(0.0, quiet_at - time.monotonic())))
                if self._stop in events:
                    return
                if self._asked in events:
                    os.eventfd_read(self._asked)
                    quiet_at = self._answer_at
                while data := self._read():
                    talk_s = self._on_input(data)
                    quiet_at = time.monotonic() + talk_s
                if data is None and quiet_at is not None:
                    quiet_at = min(quiet_at, time.monotonic() + CLOSED_S)
                if quiet_at is not None and time.monotonic() >= quiet_at:
                    quiet_at = None
                    self._on_quiet()

    def _write_now(self, data: bytes) -> int:
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno == errno.EIO:  # the port was closed just now
                return len(data)
            raise

    def _read(self) -> bytes | None:
        """The next piece of what came, b"" if there is none yet, None if nobody has the port open."""
        try:
            return os.read(self._master, _READ)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno == errno.EIO:
                return None
            raise
