"""A way to a broker that can be long or closed: a relay on loopback that holds each piece back, or refuses."""

import asyncio
import contextlib
from typing import Self

MAX_HELD = 256  # pieces of at most 64 KB; the sender waits beyond


class Way:
    """Relays connections to a loopback port, each way late by `delay_s`. Usable while entered."""

    port: int

    def __init__(self, target: int, delay_s: float):
        self._target = target
        self._delay_s = delay_s
        self._closed = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    def refuse(self) -> None:
        """Drop every connection, and each new one at once, until `admit`."""
        self._closed = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def admit(self) -> None:
        self._closed = False

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._way(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _way(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_HELD)

        async def hand_on() -> None:
            while True:
                due, data = await held.get()
                if not data:
                    return
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                target.write(data)
                await target.drain()

        handing = asyncio.create_task(hand_on())
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    await held.put((asyncio.get_running_loop().time() + self._delay_s, data))
                await held.put((0.0, b""))
                await handing
        finally:
            handing.cancel()
            target.close()
