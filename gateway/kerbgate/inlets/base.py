"""What every inlet is: a task that hands frames on, a way back to the nodes, and counters."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from kerbgate.errors import InletError

QUEUE_FULL = "queue full"  # a reason of refusal: a frame that cannot wait for room


@dataclass(slots=True)
class Counters:
    """What happened on one inlet since the start. `refused` counts frames by the reason of their refusal."""

    connected: bool = False
    opened: int = 0
    frames: int = 0
    noise: int = 0
    committed: int = 0
    challenged: int = 0
    sent: int = 0
    unsent: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """How a radio heard a frame; None where a link does not say. Of several receivers, the one that heard it best."""

    rssi_dbm: int | None = None
    snr_db: float | None = None
    airtime_ms: int | None = None


class Route(Protocol):
    """The way back to the node that a frame came from."""

    @property
    def counters(self) -> Counters: ...

    @property
    def signal(self) -> Signal | None:
        """How the frame was heard; None on a wire, and where the link does not know."""
        ...

    def send(self, frame: bytes) -> bool:
        """Queue a frame; False, and counted, when the link is down or its buffer is full. Never waits."""
        ...

    def settle(self, kept: bool) -> None:
        """The frame that came this way was committed, known or refused (kept), or could not be taken for now.

        Called once for each frame, after the commit. A link that acknowledges by itself, as MQTT does, does it here.
        """
        ...


class Gathered:
    """A Route that leads nowhere: its frame was heard at heard_ms (UTC, Unix milliseconds) and is handed on now."""

    heard_ms: int


class Take(Protocol):
    """Where an inlet hands its frames: the intake."""

    def take(self, data: bytes, route: Route, /) -> None:
        """Judge one frame. Never raises and never waits."""
        ...

    @property
    def full(self) -> bool: ...

    async def room(self) -> None:
        """Wait until a frame can be taken again."""
        ...


class Inlet(Protocol):
    """A link from nodes. `run` reads until it is cancelled and reopens the link by itself."""

    name: str
    counters: Counters

    def silence(self) -> None:
        """Before `run`: only listen, so that who else listens notices nothing. Nothing leaves by this link."""
        ...

    async def run(self, intake: Take) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkUrl:
    """A link string in its parts: scheme:rest?option=value&..."""

    text: str
    scheme: str
    rest: str
    options: dict[str, str]

    def only(self, **allowed: Callable[[str], object]) -> None:
        """InletError for an option that is not in `allowed`, or whose value its check refuses with ValueError."""
        for name, value in self.options.items():
            if name not in allowed:
                raise InletError(
                    f"the inlet {self.text!r} has an option {name!r} that is not understood",
                    "options here: " + ", ".join(sorted(allowed)),
                )
            try:
                allowed[name](value)
            except ValueError as error:
                raise InletError(f"the inlet {self.text!r} has {name}={value!r}", str(error)) from error


def parse_url(text: str) -> LinkUrl:
    """Split a link string; a path alone is a serial port's. InletError when it is not scheme:rest?option=value."""
    address, question, query = (f"serial:{text}" if text.startswith("/") else text).partition("?")
    scheme, colon, rest = address.partition(":")
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if question else []
    except ValueError as error:
        raise InletError(f"the inlet {text!r} has malformed options", "write ?name=value&name=value") from error
    if not colon or not (rest or scheme == "ble") or len(dict(options)) != len(options):
        raise InletError(f"the inlet {text!r} cannot be read", "write it as scheme:rest?option=value, each option once")
    return LinkUrl(text, scheme, rest, dict(options))
