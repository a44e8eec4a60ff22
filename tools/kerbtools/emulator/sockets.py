"""The sockets of a board, TCP and UDP: the host holds them, and they reach this machine only."""

import contextlib
import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from kerbtools.emulator.radio import State, Station

MAX_SOCKETS = 8  # of lwIP in the builds of both ports, roughly
_UNSENT = 5_744  # bytes that a deaf radio keeps back before it takes no more: lwIP's send buffer
READABLE, WRITABLE, FAILED = 1, 4, 8  # as select.POLLIN, POLLOUT, POLLERR on boards


@dataclass
class _Connection:
    end: socket.socket
    unsent: bytearray = field(default_factory=bytearray)
    connected: bool = False
    is_datagram: bool = False


class Sockets:
    """Numbers are the board's. OSError carries the errno that the board sees."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._open: dict[int, _Connection] = {}
        self.received = 0  # bytes taken from the network since the board was made
        self._watch: _Watch | None = None

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)
        if self._watch is not None:
            self._watch.end()
            self._watch = None

    def watch(self, tell: Callable[[], None]) -> None:
        """Call `tell`, from another thread, once something arrives on a connection that holds nothing unread."""
        if self._watch is None:
            self._watch = _Watch()
        self._watch.arm(self.files(), tell)

    def open(self, *, is_datagram: bool = False) -> int:
        number = next((n for n in range(MAX_SOCKETS) if n not in self._open), None)
        if number is None:
            raise OSError(errno.ENOMEM, "no socket is left")
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM)
        end.setblocking(False)
        if not is_datagram:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open[number] = _Connection(end, is_datagram=is_datagram)
        return number

    def bind(self, number: int, port: int) -> None:
        """The board's own port, on every address of this machine."""
        self._get(number).end.bind(("", port))

    def connect(self, number: int, host: str, port: int, now_us: int) -> None:
        """ETIMEDOUT where nobody answers: the time that this takes is the caller's to let pass."""
        connection = self._get(number)
        if self._station.state(now_us) != State.GOT_ADDRESS:
            raise OSError(errno.EHOSTUNREACH, "no network")
        place = self._station.air.place(host, port)
        if connection.is_datagram:  # nobody is asked; what goes to somewhere else is lost on the way
            connection.connected = place is not None
            if place is not None:
                connection.end.connect(place)
            return
        if place is None:
            raise OSError(errno.EHOSTUNREACH, f"{host} is not on this machine")
        if not self._station.is_linked(now_us):
            raise TimeoutError(errno.ETIMEDOUT, "nobody answers")
        connection.end.setblocking(True)
        connection.end.settimeout(2.0)  # loopback answers at once or never
        try:
            connection.end.connect(place)
        except TimeoutError as error:
            raise TimeoutError(errno.ETIMEDOUT, "nobody answers") from error
        finally:
            connection.end.setblocking(False)
        connection.connected = True

    def send(self, number: int, data: bytes, now_us: int) -> int:
        connection = self._get(number)
        self._refuse_lost(connection, now_us)
        if connection.is_datagram:
            if connection.connected and self._station.is_linked(now_us):
                with contextlib.suppress(ConnectionRefusedError):  # what lwIP tells nobody
                    connection.end.send(data)
            return len(data)
        if not self._station.is_linked(now_us):
            room = _UNSENT - len(connection.unsent)
            if room <= 0:
                raise BlockingIOError(errno.EAGAIN, "the send buffer is full")
            connection.unsent += data[:room]
            return min(room, len(data))
        self._flush(connection)
        return connection.end.send(data)

    def receive(self, number: int, count: int, now_us: int) -> bytes:
        """b"": the peer has closed. BlockingIOError (EAGAIN): nothing is there yet."""
        connection = self._get(number)
        self._refuse_lost(connection, now_us)
        if not self._station.is_linked(now_us):
            raise BlockingIOError(errno.EAGAIN, "nothing is heard")
        self._flush(connection)
        try:
            data = connection.end.recv(min(count, 4096))
        except ConnectionRefusedError as error:
            if connection.is_datagram:
                raise BlockingIOError(errno.EAGAIN, "nothing is heard") from error
            raise
        self.received += len(data)
        return data

    def close(self, number: int) -> None:
        connection = self._open.pop(number, None)
        if connection is not None:
            connection.end.close()

    def ready(self, number: int, flags: int, now_us: int) -> int:
        """Which of `flags` hold now; FAILED is always among what is asked."""
        connection = self._open.get(number)
        if connection is None:
            return FAILED
        try:
            self._refuse_lost(connection, now_us)
        except OSError:
            return FAILED | flags & READABLE
        if not connection.connected:
            return 0
        if not self._station.is_linked(now_us):
            return flags & WRITABLE if len(connection.unsent) < _UNSENT else 0
        poll = select.poll()
        poll.register(connection.end, select.POLLIN | select.POLLOUT)
        seen = sum(events for _, events in poll.poll(0))
        ready = (READABLE if seen & (select.POLLIN | select.POLLHUP) else 0) | (
            WRITABLE if seen & select.POLLOUT else 0
        )
        return ready & flags | (FAILED if seen & select.POLLERR else 0)

    @property
    def is_open(self) -> bool:
        """Whether a real peer may send something."""
        return any(connection.connected for connection in self._open.values())

    def files(self) -> list[int]:
        """What a host may wait on for something to arrive: the connections on which nothing waits already."""
        return [c.end.fileno() for c in self._open.values() if c.connected and not _has_input(c.end)]

    def waiting(self) -> int:
        """How many connections hold something that the board has not read yet."""
        return sum(1 for c in self._open.values() if c.connected and _has_input(c.end))

    def _get(self, number: int) -> _Connection:
        connection = self._open.get(number)
        if connection is None:
            raise OSError(errno.EBADF, f"socket {number} is closed")
        return connection

    def _refuse_lost(self, connection: _Connection, now_us: int) -> None:
        if connection.connected and self._station.state(now_us) != State.GOT_ADDRESS:
            raise OSError(errno.ECONNABORTED, "the network is gone")

    def _flush(self, connection: _Connection) -> None:
        """What a deaf radio kept back goes out once it hears again, as TCP sends it again."""
        while connection.unsent:
            sent = connection.end.send(connection.unsent)
            del connection.unsent[:sent]


class _Watch:
    """A thread that waits for what comes from outside, while the board and its clock stand at a wait of their own."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._end = os.eventfd(0)
        self._epoll.register(self._end, select.EPOLLIN)
        self._tell: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="sockets", daemon=True)
        self._thread.start()

    def arm(self, files: list[int], tell: Callable[[], None]) -> None:
        self._tell = tell
        for file in files:
            try:
                self._epoll.modify(file, select.EPOLLIN | select.EPOLLONESHOT)
            except FileNotFoundError:  # a connection that is new here; one that was closed is forgotten by itself
                self._epoll.register(file, select.EPOLLIN | select.EPOLLONESHOT)

    def end(self) -> None:
        os.eventfd_write(self._end, 1)
        self._thread.join()
        self._epoll.close()
        os.close(self._end)

    def _run(self) -> None:
        while self._end not in (file for file, _ in self._epoll.poll()):
            self._tell()


def _has_input(end: socket.socket) -> bool:
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(0))
