"""What is compared: a gateway between its nodes and the council's broker, as the scenarios see it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from kerbtools.bench.gateways.process import Process

NODES = 1000
SITE = "bench"

Message = tuple[str, bytes]


class Sends(Protocol):
    """The way of a gateway's nodes: at least once, as real nodes do."""

    acknowledged: int
    """Messages that the other side has said to have, so far."""

    async def publish(self, messages: Sequence[Message], per_second: float | None = None) -> None:
        """Send all, in order, and wait until each is acknowledged. per_second: a steady rate; None: full speed."""
        ...


class Subject(Protocol):
    """One gateway: what it is fed, how it acknowledges, and which readings a document at the council carries."""

    @property
    def name(self) -> str: ...
    @property
    def acknowledges(self) -> str:
        """When it tells the sender that a reading is safe."""
        ...

    @property
    def commits(self) -> str:
        """What it stores of a message, and how."""
        ...

    @property
    def records(self) -> int:
        """Readings a message."""
        ...

    @property
    def field_port(self) -> int:
        """Where its nodes' broker listens."""
        ...

    def prepare(self) -> Process:
        """Write its configuration. Absent if it is not installed."""
        ...

    def sender(self) -> Sends: ...

    async def introduce(self, sender: Sends, deadline_s: float) -> None:
        """What its nodes say before their first reading. TimeoutError."""
        ...

    def hearing(self) -> AbstractAsyncContextManager[None]:
        """Meanwhile its nodes hear what the gateway sends down."""
        ...

    async def settle(self, sender: Sends, deadline_s: float) -> None:
        """Let its nodes send again what was not acknowledged. TimeoutError."""
        ...

    def messages(self, count: int) -> list[Message]:
        """The next `count` messages of its nodes: no reading comes twice from one subject."""
        ...

    def forget(self) -> None:
        """What was made so far is not expected any more: memory for a million readings is for the gateway to show."""
        ...

    def expected(self) -> set[str]:
        """The ids of all readings that `messages` has made since `forget`."""
        ...

    def order(self, ident: str) -> tuple[int, ...]:
        """Sorts ids into the order in which `messages` made them."""
        ...

    def ids(self, document: bytes) -> list[str]:
        """The readings in one document at the council, by id."""
        ...

    def answer(self, topic: str, payload: bytes) -> Message | None:
        """What the council's server says to a message of the gateway that is no reading."""
        ...

    def close(self) -> None:
        """Let go of what it holds itself; its process is the scenario's."""
        ...


class Make(Protocol):
    """Makes a subject in a folder that is not there yet, between two ports."""

    def __call__(self, folder: Path, field_port: int, council_port: int) -> Subject: ...
