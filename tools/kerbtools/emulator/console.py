"""The console of an emulated board: what it prints, line by line, and the input and the USB port of its REPL."""

import mmap
import os
import re
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable

from kerbtools.emulator.usb import UsbPort

LINES = 5000  # kept; a day of hourly wakes prints a few hundred
_NONE = 0xFF  # in the page: no character interrupts
_FEED_S = 1.0  # what a board does not read in that time, and the buffer does not hold, is lost
# A read with a timeout is broken off by a signal, others go on: so Ctrl-C ends input(), and no call to the host.
_READ_TIMEOUT_S = 30 * 86400


class Console:
    """Lives as long as the board. on_line: called from the board's thread with each line.

    The board's process takes `input_file` as its standard input, and tells in `page_file` (`interpreter`) which
    character interrupts it and whether its REPL is raw.
    """

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        self.lines: deque[str] = deque(maxlen=LINES)
        self.count = 0  # lines printed so far
        self.usb: UsbPort | None = None
        self.binary = False  # what is printed is a protocol: mpremote's mount
        self.on_print: Callable[[bytes], None] | None = None  # before it goes to USB; the board's thread
        self._on_line = on_line
        self._printed = threading.Condition()
        self._partial = b""
        self._after_return = False
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _READ_TIMEOUT_S, 0))
        self.input_file = self._theirs.fileno()
        self.page_file = os.memfd_create("kerb-console", os.MFD_CLOEXEC)
        os.ftruncate(self.page_file, mmap.PAGESIZE)
        self._page = mmap.mmap(self.page_file, mmap.PAGESIZE)
        self.begin(cold=True)

    @property
    def raw_repl(self) -> bool:
        """Whether the REPL speaks to a program; a soft reset keeps that."""
        return self._page[1] == 1

    @property
    def interrupt_character(self) -> int | None:
        """What breaks off the running program; None: it is input like any other."""
        return None if self._page[0] == _NONE else self._page[0]

    def begin(self, *, cold: bool) -> None:
        """A process is about to start. cold: the chip starts, input of its earlier life is gone."""
        self._page[0] = _NONE
        self.binary = False
        if cold:
            self._page[1] = 0
            if self._partial:
                self._keep(b"\n")  # what the earlier life left unfinished is a line of its own
            while self.has_unread():
                self._theirs.recv(65536, socket.MSG_DONTWAIT)

    def feed(self, data: bytes) -> None:
        """Input for the board."""
        deadline = time.monotonic() + _FEED_S
        poll = select.poll()
        poll.register(self._ours, select.POLLOUT)
        while data and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            data = data[self._ours.send(data) :]

    def print(self, data: bytes) -> None:
        """The board has printed this."""
        if self.usb is not None:
            if self.on_print is not None:
                self.on_print(data)
            self.usb.write(self._for_terminal(data))
        self._keep(data)

    def wait_line(self, pattern: str, *, after: int = 0, timeout_s: float = 20.0) -> re.Match[str]:
        """The first line that matches, from the `after`-th printed on. TimeoutError shows the last lines."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout_s
        with self._printed:
            while True:
                skipped = self.count - len(self.lines)
                for line in list(self.lines)[max(0, after - skipped) :]:
                    if match := expression.search(line):
                        return match
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    last = "\n".join(list(self.lines)[-20:])
                    raise TimeoutError(f"no line matched {pattern!r} in {timeout_s} s; last lines:\n{last}")
                self._printed.wait(left_s)

    def close(self) -> None:
        if self.usb is not None:
            self.usb.close()
        self._ours.close()
        self._theirs.close()
        self._page.close()
        os.close(self.page_file)

    def _keep(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            text = line.rstrip(b"\r").decode(errors="replace")
            with self._printed:
                self.lines.append(text)
                self.count += 1
                self._printed.notify_all()
            if self._on_line:
                self._on_line(text)

    def _for_terminal(self, data: bytes) -> bytes:
        r"""As a board's print does it: \n as \r\n. A raw REPL's output is for programs and stays as it is."""
        if self.raw_repl or self.binary:
            return data
        first = b"\r" if self._after_return else b""  # the \r of a \r\n may have come in the piece before
        self._after_return = data.endswith(b"\r")
        return re.sub(rb"(?<!\r)\n", b"\r\n", first + data)[len(first) :]

    def has_unread(self) -> bool:
        """Whether there is input that the board has not read."""
        poll = select.poll()
        poll.register(self._theirs, select.POLLIN)
        return bool(poll.poll(0))
