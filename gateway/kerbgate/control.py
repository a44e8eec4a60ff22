"""The control socket: how local tools ask the running gateway. One JSON object a line, both ways; mode 0600.

    {"v": 1, "op": "status"}                    ->  {"v": 1, "ok": true, "status": {...}}
    {"v": 1, "op": "send", "document": {...}}   ->  {"v": 1, "ok": true, "answer": {...}}
    {"v": 1, "op": "commands", "limit": 20}     ->  {"v": 1, "ok": true, "commands": [...]}
    {"v": 1, "op": "alarms", "filter": {...}}   ->  {"v": 1, "ok": true, "alarms": [...]}
    {"v": 1, "op": "reload", "drop": "town"}    ->  {"v": 1, "ok": true, "reload": {...}}
    anything else                               ->  {"v": 1, "ok": false, "error": {"cause": "...", "hint": "..."}}

Who may open the socket may ask: that is the owner of the state folder. Operations are a table, name to function, that
the gateway hands in: each takes the request and returns what is added to the answer, or raises a GatewayError.
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self, cast

from kerbgate.asking import SOCKET, VERSION, ask, short_path
from kerbgate.door import Door
from kerbgate.errors import ControlError, GatewayError

__all__ = ["SOCKET", "VERSION", "Operation", "Server", "ask"]

MAX_REQUEST = 20 * 1024  # bytes of a line: a command's document, and room
MAX_CONNECTIONS = 16  # tools at once; more wait in the socket's backlog
REQUEST_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0

Operation = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Server:
    """Answers on the control socket of a state folder while it is entered."""

    def __init__(self, state: Path, operations: Mapping[str, Operation]):
        self._state = state
        self._operations = operations

    async def __aenter__(self) -> Self:
        path = self._state / SOCKET
        try:
            path.unlink(missing_ok=True)  # left by a process that was killed: this one holds the store's lock
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            with short_path(self._state) as short:
                before = os.umask(0o177)
                try:
                    listener.bind(short)
                finally:
                    os.umask(before)
            door = Door(
                listener,
                self._serve,
                places=MAX_CONNECTIONS,
                limit=MAX_REQUEST,
                timeout_s=REQUEST_TIMEOUT_S + ANSWER_TIMEOUT_S,
            )
            door.listen()
        except OSError as error:
            raise ControlError(f"no control socket can be made at {path}: {error}", "check the folder") from error
        self._task = asyncio.create_task(door.run(), name="control socket")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        (self._state / SOCKET).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    line = await reader.readline()
                if not line:
                    return
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except ValueError:  # a line over MAX_REQUEST
            refusal = _refusal("the request is too long", "send one short JSON object a line")
            writer.write(json.dumps(refusal).encode() + b"\n")

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _refusal("the request is not JSON", "send one JSON object a line")
        if not isinstance(request, dict) or cast(dict[str, Any], request).get("v") != VERSION:
            return _refusal("the request has another version", f'send "v": {VERSION}; use the kerb of this gateway')
        op = cast(dict[str, Any], request).get("op")
        operation = self._operations.get(op) if isinstance(op, str) else None
        if operation is None:
            return _refusal("the operation is not known", "operations: " + ", ".join(sorted(self._operations)))
        try:
            return {"v": VERSION, "ok": True} | await operation(cast(dict[str, Any], request))
        except GatewayError as error:
            return _refusal(error.cause, error.hint)
        except Exception as error:  # the edge of one request: the asker is told, and the others are answered
            asyncio.get_running_loop().call_exception_handler({"message": f"the operation {op}", "exception": error})
            return _refusal(f"the gateway failed on {op}: {type(error).__name__}", "report it with the gateway's log")


def _refusal(cause: str, hint: str) -> dict[str, Any]:
    return {"v": VERSION, "ok": False, "error": {"cause": cause, "hint": hint}}
