"""A listening socket with a bounded number of callers. The others wait in the kernel's queue, or are refused by it.

asyncio's own server accepts whoever comes: a thousand idle callers would take a thousand descriptors, and the store and
the links would find none. Here a place is taken before a caller is accepted, and given back when its socket is closed.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

BACKLOG = 32  # callers that the kernel keeps for us
CLOSE_S = 2.0  # for the last bytes to a caller that may not read them
_AGAIN_S = 0.5  # after an accept that failed, such as for want of descriptors

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door:
    """Serves the callers of one bound stream socket, `places` at once, each for `timeout_s` at most.

    limit: bytes that are kept of what a caller sends before it is read. The socket is closed at the end of `run`.
    """

    def __init__(self, listener: socket.socket, serve: Serve, *, places: int, limit: int, timeout_s: float):
        self._listener = listener
        self._serve = serve
        self._places = asyncio.Semaphore(places)
        self._limit = limit
        self._timeout_s = timeout_s
        self._callers: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """Callers may come from now on."""
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)

    async def run(self) -> None:
        """Accept until cancelled; then every caller is let go."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._places.acquire()
                try:
                    caller, _ = await loop.sock_accept(self._listener)
                except OSError:
                    self._places.release()
                    await asyncio.sleep(_AGAIN_S)
                    continue
                task = loop.create_task(self._receive(caller), name="caller")
                self._callers.add(task)
                task.add_done_callback(self._left)
        finally:
            self._listener.close()
            waiting = set(self._callers)
            for task in waiting:
                task.cancel()
            if waiting:
                await asyncio.wait(waiting, timeout=CLOSE_S)

    def _left(self, task: "asyncio.Task[None]") -> None:
        self._callers.discard(task)
        self._places.release()

    async def _receive(self, caller: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self._limit)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, caller)
        except OSError:  # gone already
            caller.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._serve(reader, writer)
        except (TimeoutError, ConnectionError):
            pass
        except Exception as error:  # the edge of one caller: the others are served
            loop.call_exception_handler({"message": "a caller could not be served", "exception": error})
        finally:
            try:
                writer.close()
                async with asyncio.timeout(CLOSE_S):
                    await writer.wait_closed()
            except (TimeoutError, ConnectionError):
                pass
            finally:
                transport.abort()
