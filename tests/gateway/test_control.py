"""The control socket as a table of operations: versioned lines, bounded, private."""

import asyncio
import json
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kerbgate import control
from kerbgate.errors import ControlError, StoreError


@pytest.fixture
def state() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kerb") as folder:  # short: a socket's address is
        yield Path(folder)


async def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"echo": request}


async def fail(request: dict[str, Any]) -> dict[str, Any]:
    raise StoreError("the store is away", "look for it")


async def break_down(request: dict[str, Any]) -> dict[str, Any]:
    return {"x": int("x")}


def served(state: Path, *lines: bytes) -> list[dict[str, Any]]:
    """What the server answers to lines of one connection."""

    async def main() -> list[dict[str, Any]]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context["exception"]))
        async with control.Server(state, {"echo": echo, "fail": fail, "break": break_down}):
            assert stat.S_IMODE((state / control.SOCKET).stat().st_mode) == 0o600
            reader, writer = await asyncio.open_unix_connection(str(state / control.SOCKET), limit=1 << 20)
            writer.write(b"".join(lines))
            answers = [json.loads(await asyncio.wait_for(reader.readline(), 20)) for _ in lines]
            writer.close()
            return answers

    return asyncio.run(main())


caught: list[BaseException] = []


def test_an_operation_that_breaks_down_is_counted_and_the_asker_told(state: Path) -> None:
    caught.clear()
    broken, after = served(state, b'{"v":1,"op":"break"}\n', b'{"v":1,"op":"echo"}\n')
    assert broken["ok"] is False and "ValueError" in broken["error"]["cause"] and broken["error"]["hint"]
    assert after["ok"] and [type(error) for error in caught] == [ValueError]


def test_operations_are_a_table() -> None:
    with tempfile.TemporaryDirectory(prefix="kerb") as folder:
        done, failed, unknown, listed, other = served(
            Path(folder),
            b'{"v":1,"op":"echo","x":[1]}\n', b'{"v":1,"op":"fail"}\n', b'{"v":1,"op":"reboot"}\n', b'{"v":1,"op":["echo"]}\n',
            b'{"v":2,"op":"echo"}\n',
        )  # fmt: skip
    assert done == {"v": 1, "ok": True, "echo": {"v": 1, "op": "echo", "x": [1]}}
    assert failed == {"v": 1, "ok": False, "error": {"cause": "the store is away", "hint": "look for it"}}
    assert unknown["error"]["hint"] == listed["error"]["hint"] == "operations: break, echo, fail"
    assert other["ok"] is False and "version" in other["error"]["cause"]


def test_a_line_has_a_bound_and_a_command_fits_it(state: Path) -> None:
    from kerbgate.commands.request import MAX_DOCUMENT

    assert control.MAX_REQUEST > MAX_DOCUMENT
    fits = json.dumps({"v": 1, "op": "echo", "x": "x" * MAX_DOCUMENT}).encode() + b"\n"
    assert served(state, fits)[0]["ok"]
    (refused,) = served(state, b'{"v":1,"op":"echo","x":"' + b"x" * control.MAX_REQUEST + b'"}\n')
    assert refused["error"]["cause"] == "the request is too long"


def test_ask_sends_its_fields_and_raises_what_is_refused(state: Path) -> None:
    async def main() -> None:
        async with control.Server(state, {"echo": echo, "fail": fail}):
            answer = await asyncio.to_thread(control.ask, state, "echo", limit=3)
            assert answer["echo"] == {"v": 1, "op": "echo", "limit": 3}
            with pytest.raises(ControlError) as caught:
                await asyncio.to_thread(control.ask, state, "fail")
            assert (caught.value.cause, caught.value.hint) == ("the store is away", "look for it")

    asyncio.run(main())
    with pytest.raises(ControlError, match="no gateway answers"):
        control.ask(state, "echo")


def test_a_socket_that_a_killed_process_left_is_replaced(state: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(state / control.SOCKET))
    left.close()
    assert served(state, b'{"v":1,"op":"echo"}\n')[0]["ok"]
    assert not (state / control.SOCKET).exists()
