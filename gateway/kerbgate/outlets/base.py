"""What every outlet is: something that can be connected to, and that says of each document when it has it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kerbgate.errors import OutletError

Done = Callable[[OutletError | None], None]  # what became of a message: None, it was acknowledged


class Link(Protocol):
    """A connection to a council system."""

    warning: str | None
    """Why a document that was acknowledged may still not reach anyone, in words for status."""

    most_bytes: int
    """Of a message with its topic, as the council's side has announced; 0: it has not."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the council's side acknowledged this very message; else OutletError, in bounded time.

        DocumentRefused where it is this message that it does not take, and the connection is as good as before.
        Messages leave in the order of the calls.
        """
        ...

    def send(self, topic: str, payload: bytes, done: Done) -> None:
        """The same for many messages: `done` is called once for each, in the loop and never from within this call."""
        ...

    async def ended(self) -> None:
        """Wait until the connection is gone, then raise OutletError; never returns."""
        ...


class Outlet(Protocol):
    """A council system. `connect` takes bounded time and raises OutletError."""

    name: str

    def connect(self) -> AbstractAsyncContextManager[Link]: ...
