"""Metrics and health over HTTP/1: GET of a few fixed paths, one request a connection, on loopback by default.

Our own, since all of it is one request line: a web framework would be most of what a gateway installs. Nothing that a
caller sends is more than compared: a path is a key of a table, headers are read to their end and dropped.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from kerbgate.door import Door

MAX_HEAD = 8 * 1024  # bytes of request line and headers
HEAD_S = 5.0  # for a caller to send them
ANSWER_S = 10.0  # for a caller to be done
PLACES = 8  # callers at once: a scraper, a probe, a person, and room
BIND_AGAIN_S = 30.0

_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,255}) HTTP/1\.[01]\r\n")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    kind: str
    body: bytes


Make = Callable[[], Awaitable[Page]]


class Pages:
    """Serves a table of paths at an address and port. `unserved` says why it does not, while it does not."""

    def __init__(self, address: str, port: int, pages: Mapping[str, Make]):
        self.unserved: str | None = None
        self.port = port  # 0: any; then the one that it got
        self._address = address
        self._pages = pages

    async def run(self) -> None:
        """Serve until cancelled; an address that is taken is tried again."""
        while True:
            try:
                listener = self._bind()
            except OSError as error:
                self.unserved = f"port {self.port} of {self._address} cannot be used: {error.strerror}"
                await asyncio.sleep(BIND_AGAIN_S)
                continue
            self.unserved = None
            await Door(listener, self._serve, places=PLACES, limit=MAX_HEAD, timeout_s=HEAD_S + ANSWER_S).run()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._address, self.port))
            listener.listen(PLACES)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, page = b"GET", Page(400, TEXT, b"")
        try:
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            page = _say(431, f"at most {MAX_HEAD} bytes of headers are read")
        except TimeoutError:
            page = _say(408, f"a request is awaited for {HEAD_S:.0f} s")
        else:
            method, page = await self._answer(head)
        writer.write(_render(page, body=method != b"HEAD"))
        await writer.drain()

    async def _answer(self, head: bytes) -> tuple[bytes, Page]:
        found = _REQUEST.match(head)
        if found is None:
            return b"GET", _say(400, "this is no HTTP/1 request for a path")
        method, target = found.groups()
        make = self._pages.get(target.partition(b"?")[0].decode())
        if method not in (b"GET", b"HEAD"):
            return b"GET", _say(405, "only GET is answered")
        if make is None:
            return method, _say(404, "there is: " + " ".join(sorted(self._pages)))
        return method, await make()


def _say(status: int, text: str) -> Page:
    return Page(status, TEXT, text.encode() + b"\n")


def _render(page: Page, *, body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}\r\n"
        f"Content-Type: {page.kind}\r\nContent-Length: {len(page.body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
        + ("Allow: GET, HEAD\r\n" if page.status == 405 else "")
        + "\r\n"
    )
    return head.encode() + (page.body if body else b"")
