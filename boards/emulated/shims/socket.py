"""`socket` of an emulated board: TCP and UDP over its Wi-Fi, which reaches the host's own machine and nothing else."""

import io

import kerb_rpc
from kerb_irq import blocked, sleep_us
from kerb_rpc import call, fetch, uptime_us

AF_INET = 2
SOCK_STREAM = 1
SOCK_DGRAM = 2
IPPROTO_TCP = 6
SOL_SOCKET = 1
SO_REUSEADDR = 4
TCP_NODELAY = 1
_EAGAIN = 11
_ETIMEDOUT = 110
_EOPNOTSUPP = 95
_EINPROGRESS = 115
_CONNECT_US = 18000000  # for so long lwIP asks again before it gives up
_READABLE, _WRITABLE = 1, 4


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    """OSError(-2) for a name that nobody knows, as lwIP says it."""
    try:
        address = fetch(kerb_rpc.NET_RESOLVE, payload=host.encode()).decode()
    except OSError:
        raise OSError(-2)
    return [(AF_INET, type or SOCK_STREAM, proto, "", (address, port))]


class socket(io.IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0):
        if af != AF_INET or type not in (SOCK_STREAM, SOCK_DGRAM):
            raise OSError(_EOPNOTSUPP)  # servers are not emulated
        self._number = call(kerb_rpc.SOCKET_OPEN, 1 if type == SOCK_DGRAM else 0)[0]
        self._timeout_us = -1

    def bind(self, address):
        call(kerb_rpc.SOCKET_BIND, self._number, address[1])

    def connect(self, address):
        host, port = address[:2]
        try:
            call(kerb_rpc.SOCKET_CONNECT, self._number, 0, ("%s:%d" % (host, port)).encode())
        except OSError as error:
            if error.errno != _ETIMEDOUT:
                raise
            if not self._timeout_us:
                raise OSError(_EINPROGRESS)  # and it will never be ready
            sleep_us(self._timeout_us if self._timeout_us > 0 else _CONNECT_US)
            raise

    def settimeout(self, seconds):
        self._timeout_us = -1 if seconds is None else int(seconds * 1000000)

    def setblocking(self, flag):
        self._timeout_us = -1 if flag else 0

    def setsockopt(self, level, option, value):
        pass

    def poll_key(self):
        return 2, self._number

    def ioctl(self, request, argument):
        if request == 3:
            return fetch(kerb_rpc.POLL, 1, 0, bytes((2, self._number, argument)))[0]
        if request == 4:
            call(kerb_rpc.SOCKET_CLOSE, self._number)
        return 0

    def close(self):
        call(kerb_rpc.SOCKET_CLOSE, self._number)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def recv(self, count, flags=0):
        self._wait(_READABLE)
        return fetch(kerb_rpc.SOCKET_RECEIVE, self._number, count)

    def send(self, data, flags=0):
        self._wait(_WRITABLE)
        return call(kerb_rpc.SOCKET_SEND, self._number, 0, bytes(memoryview(data)[:4096]))[0]

    def sendall(self, data):
        view = memoryview(data)
        at = 0
        while at < len(view):
            at += self.send(view[at:])

    def write(self, data, count=None):
        """All of it, as streams write; in non-blocking mode what goes, or None."""
        view = memoryview(data)[: count if count is not None else len(data)]
        at = 0
        while at < len(view):
            try:
                at += self.send(view[at:])
            except OSError as error:
                if error.errno != _EAGAIN or self._timeout_us:
                    raise
                return at or None
        return at

    def readinto(self, buffer, count=None):
        view = memoryview(buffer)
        count = len(view) if count is None else min(count, len(view))
        at = 0
        while at < count:
            try:
                data = self.recv(count - at)
            except OSError as error:
                if error.errno != _EAGAIN or self._timeout_us:
                    raise
                return at or None
            if not data:
                break
            view[at : at + len(data)] = data
            at += len(data)
            if not self._timeout_us:
                break
        return at

    def read(self, count=-1):
        if count < 0:
            found = b""
            while True:
                data = self.read(256)
                if data is None:
                    return found or None
                if not data:
                    return found
                found += data
        buffer = bytearray(count)
        done = self.readinto(buffer)
        return None if done is None else bytes(buffer[:done])

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                return line if byte is not None or line else None
            line += byte
        return line

    def makefile(self, *options):
        return self

    def _wait(self, flag):
        """Until it can be read or written, or has failed; OSError when the timeout is over."""
        if not self._timeout_us:
            return
        until = None if self._timeout_us < 0 else uptime_us() + self._timeout_us
        request = bytes((2, self._number, flag))
        while True:
            left = -1 if until is None else max(0, until - uptime_us())
            if fetch(kerb_rpc.POLL, blocked(), left, request)[0]:
                return
            if left == 0:
                raise OSError(_ETIMEDOUT)
