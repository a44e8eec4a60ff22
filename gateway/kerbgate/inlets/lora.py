"""The LoRa inlet: nodes on a street's radio channel, through a radio modem on USB.

    lora:/dev/ttyACM0?mhz=868.1&sf=9&down=869.525&power=14

The modem is a board with an SX126x radio and our firmware (`kerb flash --role modem`). It hands on what it hears, with
how loud it was, and sends what it is given, within the duty cycle of its band. What the inlet tells it is said again
each minute, and the answer says how it fares. The port is opened again for ever, as that of a serial inlet is.
"""

import asyncio
import time
from collections.abc import Iterable

from kerbgate.errors import InletError
from kerbgate.inlets.base import LinkUrl, Signal, Take
from kerbgate.inlets.port import Lost, PortInlet, PortLine
from kerbwire import lora, modem

BAUD = 115200  # USB ignores it; a bridge does not
ASK_EVERY_S = 60.0
AGAIN_S = 1.0  # a modem that says that it was told nothing is told again so soon, at most
ANSWER_S = 5.0  # a board that has just been plugged in takes 2 to start
FLASH = "kerb flash --role modem"


class LoraInlet(PortInlet):
    """One modem. `name` is its port. state: what it said of itself last; None: nothing since the port was opened."""

    def __init__(self, path: str, settings: lora.Settings):
        super().__init__("lora", path, BAUD, "is the modem plugged in? check path and group (dialout)")
        self.state: modem.State | None = None
        self.answered = asyncio.Event()
        self._asked_s = 0.0
        self.other_version: int | None = None  # of a modem that speaks another
        self._settings = settings
        self._budget = lora.Budget(lora.band(settings.down_khz)[0])

    @classmethod
    def from_url(cls, url: LinkUrl) -> "LoraInlet":
        """InletError for a link string that is not understood."""
        names = {"mhz": str, "down": str, "sf": str, "power": str}
        url.only(**names)
        if not url.rest.startswith("/"):
            raise InletError(f"the inlet {url.text!r} names no device", "use a path, such as lora:/dev/ttyACM0")
        try:
            settings = lora.settings(url.options.get("mhz", ""), url.options)
            most_dbm = lora.band(settings.down_khz)[1]
        except ValueError as error:
            raise InletError(f"the inlet {url.text!r} cannot be used: {error}", "see gateway/LINKS.md") from error
        if settings.power_dbm > most_dbm:
            raise InletError(f"the inlet {url.text!r} is too loud", f"at most {most_dbm} dBm may be sent on its band")
        return cls(url.rest, settings)

    def told(self, error: InletError) -> str:
        return f"{error.cause}; {error.hint}"

    def line(self, intake: Take, lost: Lost) -> PortLine:
        self.state = self.other_version = None
        return _ModemLine(self, intake, lost)

    def send(self, frame: bytes) -> bool:
        """Hand a frame to the modem; False, and counted, if it cannot go."""
        if self._silent:
            return False
        if not self.counters.connected or not self.write(frame):
            self.counters.unsent += 1
            return False
        self.counters.sent += 1
        return True

    def broadcast(self, frame: bytes, _nodes: Iterable[int]) -> bool:
        """One packet is heard by every node that listens."""
        return self.send(frame)

    async def watch(self, lost: Lost) -> None:
        """Ask the modem, now and every minute, until the port is lost."""
        while True:
            self.answered.clear()
            if not self._ask():
                raise InletError(f"{self.path} takes nothing", "unplug the modem and plug it in again")
            answered = asyncio.create_task(self.answered.wait())
            try:
                await asyncio.wait({answered, lost}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                answered.cancel()
            if not lost.done():
                self._judge()
                await asyncio.wait({lost}, timeout=ASK_EVERY_S if self.counters.connected else ANSWER_S)
            if lost.done():
                error = lost.result()
                raise InletError(
                    f"{self.path} was lost" + (f": {error}" if error else ""), "is the modem still plugged in?"
                )

    def _judge(self) -> None:
        """Whether what answered, or did not, is a modem that works. InletError if it is none."""
        if not self.answered.is_set():
            if self.other_version is not None:
                raise InletError(
                    f"the modem on {self.path} speaks version {self.other_version}, not {modem.VERSION}",
                    f"put this release's firmware on it: {FLASH}",
                )
            raise InletError(
                f"no radio modem answers on {self.path}",
                f"if the board there has another firmware: {FLASH} --port {self.path}",
            )

    def heard_state(self, state: modem.State) -> None:
        """The modem has said what it is."""
        self.state = state
        self.answered.set()
        self.counters.connected = state.trouble == modem.FINE
        if state.trouble == modem.FINE:
            self.counters.last_error = None
            return
        if state.trouble == modem.UNSET and time.monotonic() - self._asked_s >= AGAIN_S:  # it has just started
            self._ask()
        self.counters.last_error = (
            f"the modem on {self.path} answers, but {modem.TROUBLES[state.trouble]}; check its radio's wires and "
            f"supply (boards/WIRING.md), then {FLASH}, whose self-test tries it"
        )

    def done(self, what: modem.Done) -> None:
        """The modem has sent a frame, or has not."""
        if what.result == modem.SENT:
            self._budget.spend(what.air_ms, int(time.monotonic()))
            return
        self.counters.unsent += 1
        if what.result == modem.REFUSED:
            self.counters.last_error = (
                f"{self.name} has used up its duty cycle of this hour; nodes send again, and slower spreading factors "
                "or more nodes than a modem bears are the usual cause (gateway/LINKS.md, capacity)"
            )

    def _ask(self) -> bool:
        s = self._settings
        self._asked_s = time.monotonic()
        spent_ms = self._budget.spent_ms(int(time.monotonic()))
        return self.write(modem.Ask(s.up_khz, s.down_khz, s.factor, s.power_dbm, spent_ms).encode())


class _Way:
    """The way that one frame came, and back to its node."""

    __slots__ = ("_inlet", "counters", "signal")

    def __init__(self, inlet: LoraInlet, signal: Signal | None):
        self.counters = inlet.counters
        self.signal = signal
        self._inlet = inlet

    def send(self, frame: bytes) -> bool:
        return self._inlet.send(frame)

    def settle(self, kept: bool) -> None:
        """The air acknowledges nothing by itself: a node sends again what no ack names."""


class _ModemLine(PortLine):
    """Frames, each behind how it was heard, and what the modem says of itself."""

    def __init__(self, inlet: LoraInlet, intake: Take, lost: Lost):
        super().__init__(inlet, intake, lost)
        self._modem = inlet
        self._strange = 0  # messages that are none
        self._spoilt = 0  # packets since the port was opened
        self._told: int | None = None  # what the modem has counted since it started, as it said last
        self._heard: modem.Heard | None = None

    def noise(self) -> int:
        return self.reader.noise + self._strange + self._spoilt

    def take(self, frame: bytes) -> None:
        if not modem.is_frame(frame):
            self._note(frame)
            return
        heard, self._heard = self._heard, None
        signal = None
        if heard is not None and heard.is_of(frame):
            signal = Signal(heard.rssi_dbm, heard.snr_quarters / 4, heard.air_ms)
        self._modem.counters.frames += 1
        self._intake.take(frame, _Way(self._modem, signal))

    def _count(self, spoilt: int) -> None:
        """What was spoilt before the port was opened is not this opening's; a modem that started anew counts from 0."""
        if self._told is not None:
            self._spoilt += spoilt - self._told if spoilt >= self._told else spoilt
        self._told = spoilt

    def _note(self, data: bytes) -> None:
        found = modem.parse(data)
        if isinstance(found, modem.Heard):
            self._heard = found
        elif isinstance(found, modem.Done):
            self._modem.done(found)
        elif isinstance(found, modem.State):
            self._count(found.spoilt)
            self._modem.heard_state(found)
        else:
            self._strange += 1
            if len(data) > 1 and data[0] == modem.STATE and data[1] != modem.VERSION:
                self._modem.other_version = data[1]
