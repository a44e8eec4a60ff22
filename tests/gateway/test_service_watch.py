"""The watch over a gateway in this process: what it logs as links come and go, frames are refused and tasks fail."""

import asyncio
import contextlib
import json
import os
import pty
import time
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kerbgate import config
from kerbgate.app import Gateway, TaskState
from kerbgate.service.log import Log
from kerbwire import line


class Watched:
    """A gateway with one serial line, its log, and looks at moments that the test names."""

    def __init__(self, folder: Path):
        self.link = folder / "line"
        self.plug()
        text = f'[gateway]\nsite = "harbour"\nstate = "{folder / "state"}"\n[clock]\nsource = "trusted"\n[service]\nport = 0\n'
        loaded = config.parse(folder / "gateway.toml", f'{text}[[inlet]]\nurl = "serial:{self.link}"\n'.encode())
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self.gateway = Gateway(loaded, log=Log(self.write))
        self.rows: list[dict[str, Any]] = []

    def plug(self) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.link.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        self.link.unlink()
        os.close(self.master)
        os.close(self._slave)

    def look(self, later_s: float = 0.0) -> None:
        self.gateway.service.look(time.monotonic() + later_s)

    def events(self, kind: str) -> list[dict[str, Any]]:
        with contextlib.suppress(BlockingIOError):
            self.rows += [json.loads(text) for text in os.read(self.read, 1 << 20).splitlines()]
        return [row for row in self.rows if row["event"] == kind]

    async def soon(self, condition: Callable[[], Any], what: str) -> Any:
        try:
            async with asyncio.timeout(15):
                while not (value := condition()):  # noqa: ASYNC110  # the condition is a counter
                    await asyncio.sleep(0.005)
        except TimeoutError:
            pytest.fail(f"still not: {what}")
        return value


def watched(tmp_path: Path, work: Callable[[Watched], Awaitable[None]]) -> None:
    async def main() -> None:
        made, stop, ready = Watched(tmp_path), asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(made.gateway.run(stop, ready.set))
        await asyncio.wait({running, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        try:
            await work(made)
        finally:
            stop.set()
            await running
            os.close(made.write)
            made.unplug()
            os.close(made.read)

    asyncio.run(main())


def test_links_that_go_and_come_are_told_once_each(tmp_path: Path) -> None:
    async def work(made: Watched) -> None:
        await made.soon(lambda: made.events("link_up"), "the line is up")
        made.unplug()
        (down,) = await made.soon(lambda: made.events("link_down"), "the line is down")
        assert down["level"] == "warning" and str(made.link) in down["cause"] and down["hint"]
        for later in range(1, 59):
            made.look(later)
        assert len(made.events("link_down")) == 1 and not made.events("problem")
        made.look(61.5)
        (problem,) = made.events("problem")
        assert (problem["code"], problem["name"]) == ("inlet_down", f"serial:{made.link}") and problem["hint"]
        made.look(302)
        assert [row["code"] for row in made.events("problem_grave")] == ["inlet_down"]
        made.plug()
        await made.soon(lambda: len(made.events("link_up")) == 2, "it is up again")
        await made.soon(lambda: made.events("solved"), "the problem is solved")
        assert made.events("link_up")[1]["times"] == 2

    watched(tmp_path, work)


def test_refused_frames_are_counts_a_minute(tmp_path: Path) -> None:
    async def work(made: Watched) -> None:
        counters = made.gateway.inlets[0].counters
        await made.soon(lambda: counters.connected, "the line is up")
        for _ in range(30):
            os.write(made.master, line.encode(bytes(30)) + b"\x07noise\x00")
        await made.soon(lambda: counters.refused["malformed"] == 30 and counters.noise == 30, "all refused")
        made.look(59)
        assert not made.events("refused")
        made.look(61)
        (refused,) = made.events("refused")
        assert refused["counts"] == {"malformed": 30, "noise": 30}
        made.look(122)
        assert len(made.events("refused")) == 1  # nothing new, so nothing said
        os.write(made.master, line.encode(bytes(30)))
        await made.soon(lambda: counters.refused["malformed"] == 31, "one more")
        made.look(183)
        assert made.events("refused")[1]["counts"] == {"malformed": 1}

    watched(tmp_path, work)


def test_tasks_that_fail_are_told_with_their_error(tmp_path: Path) -> None:
    async def work(made: Watched) -> None:
        made.gateway.tasks["outlet x"] = TaskState(2, "ValueError: \x1b[2J no such thing")
        made.look()
        (failed,) = made.events("task_failed")
        assert (failed["task"], failed["times"]) == ("outlet x", 2) and failed[
            "cause"
        ] == "ValueError: ?[2J no such thing"
        made.look(1)
        assert len(made.events("task_failed")) == 1

        async def ends() -> None:
            return

        task = asyncio.get_running_loop().create_task(ends(), name="outlet y")
        made.gateway.running.add(task)
        await task
        made.look(2)
        assert made.events("problem_grave")[-1]["cause"] == "the task outlet y has ended"
        assert not made.gateway.service.health.vital
        made.gateway.running.discard(task)

    watched(tmp_path, work)
