"""The serial inlet: frames with COBS and CRC-16 on a port or pty, reopened whenever it vanishes."""

from kerbgate.errors import InletError
from kerbgate.inlets.base import LinkUrl, Take
from kerbgate.inlets.port import Lost, PortInlet, PortLine

DEFAULT_BAUD = 115200


class SerialInlet(PortInlet):
    """One port, and the way back to its nodes. `name` is its path."""

    signal = None  # a wire

    def __init__(self, path: str, baud: int = DEFAULT_BAUD):
        super().__init__("serial", path, baud, "check cable, path and group (dialout)")

    @classmethod
    def from_url(cls, url: LinkUrl) -> "SerialInlet":
        url.only(baud=baud_of)
        if not url.rest.startswith("/"):
            raise InletError(f"the inlet {url.text!r} names no device", "use a path, such as serial:/dev/ttyACM0")
        return cls(url.rest, baud_of(url.options.get("baud", str(DEFAULT_BAUD))))

    def line(self, intake: Take, lost: Lost) -> PortLine:
        return _Frames(self, intake, lost)

    async def watch(self, lost: Lost) -> None:
        self.counters.connected = True
        error = await lost
        self.counters.last_error = f"{self.path} was lost" + (f": {error}" if error else "")

    def send(self, frame: bytes) -> bool:
        if self._silent:
            return False
        if not self.write(frame):
            self.counters.unsent += 1
            return False
        self.counters.sent += 1
        return True

    def settle(self, kept: bool) -> None:
        """A serial line acknowledges nothing by itself: a node sends again what no ack names."""


class _Frames(PortLine):
    def __init__(self, inlet: SerialInlet, intake: Take, lost: Lost):
        super().__init__(inlet, intake, lost)
        self._route = inlet

    def take(self, frame: bytes) -> None:
        self._route.counters.frames += 1
        self._intake.take(frame, self._route)


def baud_of(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1200 <= int(text) <= 4_000_000:
        raise ValueError("use a baud rate from 1200 to 4000000")
    return int(text)
