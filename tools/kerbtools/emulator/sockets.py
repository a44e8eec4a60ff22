"""The sockets of a board: TCP connections that the host holds, to this machine only."""

import errno
import select
import socket
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


class Sockets:
    """Numbers are the board's. OSError carries the errno that the board sees."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._open: dict[int, _Connection] = {}
        self.received = 0  # bytes taken from the network since the board was made

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)

    def open(self) -> int:
        number = next((n for n in range(MAX_SOCKETS) if n not in self._open), None)
        if number is None:
            raise OSError(errno.ENOMEM, "no socket is left")
        end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open[number] = _Connection(end)
        return number

    def connect(self, number: int, host: str, port: int, now_us: int) -> None:
        """ETIMEDOUT where nobody answers: the time that this takes is the caller's to let pass."""
        connection = self._get(number)
        if self._station.state(now_us) != State.GOT_ADDRESS:
            raise OSError(errno.EHOSTUNREACH, "no network")
        place = self._station.air.place(host, port)
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
        data = connection.end.recv(min(count, 4096))
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


def _has_input(end: socket.socket) -> bool:
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(0))
