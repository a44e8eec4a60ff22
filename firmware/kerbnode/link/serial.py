"""A serial link: a UART, framed by kerbwire.line."""

from kerbnode.link.tally import Tally
from kerbwire import line

BUFFER = 1024  # bytes of the UART: four frames, should the node be at its flash for 80 ms
POLL_MS = 5  # between looks at the UART: its BUFFER fills in 89 ms at 115,200 baud
RECEIVE_BUFFER = 512  # bytes read at a time: two frames of the largest size
MAX_WRITES = 16  # attempts to hand a frame to a UART that takes it in parts


def opened(hal, board, address, options, identity):
    """The UART of board.json's "link"."""
    return Serial(hal.uart(board["link"], BUFFER), hal)


class Serial:
    """uart has any, read and write; hal has ticks_ms, ticks_diff and sleep_ms. Nothing here waits without an end."""

    def __init__(self, uart, hal):
        self._uart = uart
        self._hal = hal
        self._reader = line.Reader()
        self._frames = []
        self.tally = Tally()

    @property
    def noise(self):
        return self._reader.noise

    def send(self, frame):
        """Hand a frame to the UART. Parts that it does not take are lost, as on any line."""
        data = line.encode(frame)
        self.tally.sent(data)
        for _ in range(MAX_WRITES):
            data = data[self._uart.write(data) or 0 :]
            if not data:
                return
            self._hal.sleep_ms(POLL_MS)
        self.tally.lost += 1

    def close(self):
        """A UART needs none."""

    def receive(self, timeout_ms):
        """The next frame, or None when timeout_ms are over."""
        hal = self._hal
        start = hal.ticks_ms()
        while not self._frames:
            waiting = self._uart.any()
            if waiting:
                self._frames = self._reader.feed(self._uart.read(min(waiting, RECEIVE_BUFFER)) or b"")
                if self._frames:
                    break
            left_ms = timeout_ms - hal.ticks_diff(hal.ticks_ms(), start)
            if left_ms <= 0:
                return None
            if not waiting:
                hal.sleep_ms(min(POLL_MS, left_ms))
        return self._frames.pop(0)
