"""`machine.UART` of an emulated board; machine.py hands it out."""

import kerb_rpc
from kerb_rpc import call, fetch


class UART:
    def __init__(self, id, baudrate=115200, **options):
        self._id = id
        self._timeout = 0
        self._timeout_char = 0
        self.init(baudrate, **options)

    def init(self, baudrate=115200, bits=8, parity=None, stop=1, *, timeout=0, timeout_char=0, rxbuf=256, **options):
        self._timeout = timeout
        self._timeout_char = timeout_char
        call(kerb_rpc.UART_OPEN, self._id, rxbuf)

    def deinit(self):
        pass

    def any(self):
        return call(kerb_rpc.UART_ANY, self._id)[0]

    def readinto(self, buffer, count=None):
        view = memoryview(buffer)
        count = len(view) if count is None else min(count, len(view))
        done = 0
        while done < count:
            if not call(kerb_rpc.UART_WAIT, self._id, self._timeout_char if done else self._timeout)[0]:
                break
            data = fetch(kerb_rpc.UART_READ, self._id, count - done)
            view[done : done + len(data)] = data
            done += len(data)
        return done or None

    def read(self, count=None):
        if count is None:
            count = self.any()
            if not count:
                count = call(kerb_rpc.UART_WAIT, self._id, self._timeout)[0]
        buffer = bytearray(count)
        done = self.readinto(buffer)
        return bytes(buffer[:done]) if done else None

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self.read(1)
            if byte is None:
                break
            line += byte
        return line or None

    def write(self, data):
        if isinstance(data, str):
            data = data.encode()
        view = memoryview(data)
        for start in range(0, len(view), 4096):
            call(kerb_rpc.UART_WRITE, self._id, payload=view[start : start + 4096])
        return len(view)

    def txdone(self):
        return True

    def flush(self):
        pass

    def ioctl(self, request, flags):
        """For select.poll: only 3 (poll) means something. Bits 1: can be read, 4: can be written."""
        return flags & (5 if self.any() else 4) if request == 3 else 0

    def poll_key(self):
        return 1, self._id
