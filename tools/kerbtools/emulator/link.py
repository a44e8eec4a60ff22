"""The node's serial link: a host pty, raw both ways, that a gateway opens by its path."""

import errno
import os
import select
import tty
from typing import Protocol

_READ = 4096


class Link(Protocol):
    """What a board's link is to the hardware: a LinkPty of its own, or a place on an Ether."""

    @property
    def path(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    def has_peer(self) -> bool: ...
    def write(self, data: bytes) -> int: ...
    def read(self) -> bytes: ...
    def next_us(self) -> int | None: ...
    def drop_input(self) -> None: ...
    def wait(self, seconds: float, *others: int) -> None: ...
    def close(self) -> None: ...


class LinkPty:
    """The board's end. Where nothing has the pty open, what the board writes is lost, as on a loose cable."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)  # its settings stay; with it closed, the master sees whether a peer has it open
        os.set_blocking(self._master, False)

    def has_peer(self) -> bool:
        """Whether a process has the pty open."""
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def write(self, data: bytes) -> int:
        """Send without blocking; return the bytes taken. A peer that does not read leaves less room, none at all 0."""
        if not self.has_peer():
            return 0
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def read(self) -> bytes:
        """What has arrived, at most 4 KiB."""
        try:
            return os.read(self._master, _READ)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno == errno.EIO:  # no peer, and nothing left of it
                return b""
            raise

    def next_us(self) -> int | None:
        """None: nobody knows when something arrives, so the board has to look."""
        return None

    def drop_input(self) -> None:
        """Forget what arrived while the board's UART was off."""
        while self.read():
            pass

    def wait(self, seconds: float, *others: int) -> None:
        """Block until something arrives, the peer goes, or one of the files `others` can be read; at most `seconds`."""
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        for other in others:
            poll.register(other, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)

    @property
    def closed(self) -> bool:
        return self._master < 0

    def close(self) -> None:
        if self._master >= 0:
            os.close(self._master)
            self._master = -1
