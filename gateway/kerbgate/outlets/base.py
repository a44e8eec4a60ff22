"""What every outlet is: something that can be connected to, and that says of each document when it has it."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Link(Protocol):
    """A connection to a council system."""

    warning: str | None
    """Why a document that was acknowledged may still not reach anyone, in words for status."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the council's side acknowledged this very document; else OutletError, in bounded time."""
        ...

    async def ended(self) -> None:
        """Wait until the connection is gone, then raise OutletError; never returns."""
        ...


class Outlet(Protocol):
    """A council system. `connect` takes bounded time and raises OutletError."""

    name: str

    def connect(self) -> AbstractAsyncContextManager[Link]: ...
