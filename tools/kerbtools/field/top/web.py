"""`kerb top --serve`: the same app in a browser, on loopback only. Each page is a process of its own, as a terminal is.

Loopback alone does not keep out a page of another site that is open in the same browser: a request has to name
loopback as its host, and what opens a session has to come from our own page. Nothing is fetched from elsewhere.
"""

import asyncio
import ipaddress
import shlex
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp_jinja2
import jinja2
from aiohttp import web
from textual_serve.server import Server

from kerbgate.errors import ControlError

MAX_SESSIONS = 4  # pages at once: each asks the gateway
STOP_S = 1.0  # for open pages; their processes end with us in any case
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self' ws:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(config: Path, address: str, port: int) -> int:
    """Until Ctrl-C or SIGTERM; returns 0. ControlError: an address that is not loopback, a port that is taken."""
    listener = listen(address, port)
    command = shlex.join([sys.executable, "-m", "kerbtools", "top", "--config", str(config)])
    asyncio.run(_run(Pages(f"exec {command}"), listener))
    return 0


def listen(address: str, port: int) -> socket.socket:
    """A bound socket. ControlError."""
    try:
        found = ipaddress.ip_address("127.0.0.1" if address == "localhost" else address)
    except ValueError:
        found = None
    if found is None or not found.is_loopback:
        raise ControlError(
            f"{address[:80]} is not this machine's loopback, and kerb top is served nowhere else",
            "use 127.0.0.1, and from elsewhere: ssh -L 8000:127.0.0.1:8000 GATEWAY",
        )
    if not 0 <= port <= 65535:
        raise ControlError(f"{port} is no port", "use 1024 to 65535, or 0 for any that is free")
    listener = socket.socket(socket.AF_INET6 if found.version == 6 else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(found), port))
    except OSError as error:
        listener.close()
        raise ControlError(f"cannot listen on {found} port {port}: {error.strerror}", "use another --port") from error
    return listener


async def _run(pages: "Pages", listener: socket.socket) -> None:
    runner = web.AppRunner(pages.application(), access_log=None, shutdown_timeout=STOP_S)
    await runner.setup()
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    try:
        await web.SockSite(runner, listener).start()
        host, port = listener.getsockname()[:2]
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}/  (Ctrl-C ends it)", flush=True)
        await over.wait()
    finally:
        pages.hang_up()
        await runner.cleanup()


class Pages(Server):
    """Textual's own server of an app, behind a guard."""

    def __init__(self, command: str):
        super().__init__(command, title="kerb top")  # pyright: ignore[reportUnknownMemberType]
        self._sessions: set[asyncio.Transport] = set()

    def application(self) -> web.Application:
        """Page, session and what the page loads; no listing, no downloads."""
        made = web.Application(middlewares=[_guard])
        aiohttp_jinja2.setup(made, loader=jinja2.FileSystemLoader(self.templates_path))
        made.add_routes(
            [
                web.get("/", self._page),
                web.get("/ws", self._session),
                web.get("/favicon.ico", _nothing),
                web.static("/static", self.statics_path),
            ]
        )
        return made

    async def _page(self, request: web.Request) -> web.StreamResponse:
        """By the name that the browser knows us by: behind a tunnel the port is another."""
        at = f"//{request.host}"
        context: dict[str, Any] = {
            "font_size": 14, "app_websocket_url": f"ws:{at}/ws", "config": {"static": {"url": f"{at}/static/"}},
            "application": {"name": self.title},
        }  # fmt: skip
        return aiohttp_jinja2.render_template("app_index.html", request, context)

    async def _session(self, request: web.Request) -> web.StreamResponse:
        if len(self._sessions) >= MAX_SESSIONS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_SESSIONS} pages are open: close one")
        transport = request.transport
        if transport is None:
            raise web.HTTPBadRequest
        self._sessions.add(transport)
        try:
            return await self.handle_websocket(request)
        finally:
            self._sessions.discard(transport)

    def hang_up(self) -> None:
        """End all sessions, also of pages that do not read: their farewell would wait for 10 s."""
        for transport in self._sessions:
            transport.abort()


async def _nothing(_: web.Request) -> web.StreamResponse:
    """The picture that a browser asks for by itself."""
    return web.Response(status=204)


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Our own page on loopback, and nobody else's."""
    if not _is_loopback(urlsplit(f"//{request.host}").hostname):
        raise web.HTTPForbidden(text="open it by 127.0.0.1 or localhost")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="another site's page may not look at this")
    answer = await handler(request)
    if not answer.prepared:
        answer.headers["Content-Security-Policy"] = _POLICY
        answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
