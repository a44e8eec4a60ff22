"""The serial link: every wait ends, and a frame gets through a UART that takes it in parts."""

from rig import Time

from kerbnode.link import serial
from kerbnode.link.serial import Serial
from kerbwire import line


class Babble:
    """A UART on which something always waits; each look takes 1 ms. late: what follows after that many looks."""

    def __init__(self, time, noise=b"U" * 8, late=None, data=b""):
        self._time = time
        self._noise = noise
        self._late = late
        self._data = data
        self.looks = 0

    def any(self):
        return 8

    def read(self, count):
        self.looks += 1
        assert self.looks < 20000, "it never ends"
        self._time.sleep_ms(1)
        return self._data if self.looks == self._late else self._noise


def test_a_line_that_babbles_ends_with_the_time():
    for noise in (b"U" * 8, b"\x00" * 8, b"\x03U\x00\x03UU\x00"):
        time = Time()
        link = Serial(Babble(time, noise), time)
        assert link.receive(3000) is None
        assert 3000 <= time.now_ms <= 3001


def test_a_frame_in_the_midst_of_babble_is_found():
    time = Time()
    link = Serial(Babble(time, late=500, data=b"\x00" + line.encode(b"a frame") + line.encode(b"another")), time)
    assert link.receive(3000) == b"a frame" and time.now_ms == 500
    assert link.receive(0) == b"another"
    assert link.noise == 1


class Narrow:
    """A UART that takes a few bytes at a time, or none for a while."""

    def __init__(self, takes):
        self._takes = list(takes)
        self.written = b""

    def write(self, data):
        count = self._takes.pop(0) if self._takes else 0
        self.written += data[:count]
        return count or None


def test_a_frame_is_handed_over_in_as_many_parts_as_the_line_takes():
    time = Time()
    frame = bytes(range(1, 201))
    uart = Narrow([0, 50, 0, 50, 50, 90])
    Serial(uart, time).send(frame)
    assert uart.written == line.encode(frame)


def test_a_uart_that_takes_nothing_is_given_up():
    time = Time()
    Serial(Narrow([]), time).send(b"frame")
    assert time.now_ms == serial.MAX_WRITES * serial.POLL_MS
