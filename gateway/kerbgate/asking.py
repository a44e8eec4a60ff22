"""The control socket's other end: a tool asks the gateway that runs on a state folder. Loads fast: no event loop."""

import contextlib
import json
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

from kerbgate.errors import ControlError, NoAnswer

VERSION = 1
SOCKET = "control.sock"
MAX_RESPONSE = 64 * 1024 * 1024  # bytes that a tool reads: 10,000 nodes at 250 bytes, and room
ASK_TIMEOUT_S = 20.0  # a status counts what is stored: seconds on a slow card; who says nothing for longer is not well


def ask(state: Path, op: str, /, *, timeout_s: float | None = None, **fields: Any) -> dict[str, Any]:
    """Send one request to the gateway that runs on a state folder. NoAnswer when none answers, ControlError otherwise.

    timeout_s: None for ASK_TIMEOUT_S.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(ASK_TIMEOUT_S if timeout_s is None else timeout_s)
    try:
        with client, short_path(state) as short:
            client.connect(short)
            client.sendall(json.dumps({"v": VERSION, "op": op} | fields).encode() + b"\n")
            with client.makefile("rb") as answers:
                answer = json.loads(answers.readline(MAX_RESPONSE))
    except (OSError, ValueError) as error:
        raise NoAnswer(
            f"no gateway answers on {state / SOCKET}: {error}", "start it: kerb gateway run; or run this as its user"
        ) from error
    if not answer.get("ok"):
        wrong = answer.get("error", {})
        raise ControlError(str(wrong.get("cause", "the gateway refused")), str(wrong.get("hint", "check the versions")))
    return answer


@contextlib.contextmanager
def short_path(state: Path) -> Generator[str]:
    """The socket's address, which must fit into 107 bytes: through the folder's descriptor where the path does not."""
    path = str(state / SOCKET)
    if len(os.fsencode(path)) <= 107:
        yield path
        return
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
