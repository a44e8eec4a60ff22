"""`kerb top` in a real terminal, which it leaves as it was, and in a browser, on loopback only."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from field_harness import PATIENCE_S, World, until
from gateway_harness import ENVIRONMENT
from terminal_harness import Terminal

from kerbtools.cli import main as kerb

SIZES = ((80, 24), (200, 60))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("terminal"), bins=(1,), lamps=(801,))
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_it_leaves_a_terminal_as_it_was(world: World, size: tuple[int, int]) -> None:
    terminal = Terminal(["top", "--config", str(world.config)], size)
    try:
        terminal.until("bin-1", "lamp-801", "quit")
        assert termios.tcgetattr(terminal.slave) != terminal.before, "it reads keys one by one"
        terminal.press("\r")
        terminal.until("kerb ping 1")
        if size == SIZES[0]:
            terminal.press("q")
        else:  # also where the gateway is stuck, and with Ctrl-C
            os.kill(world.gateway.pid, signal.SIGSTOP)
            terminal.press("\x03")
        began = time.monotonic()
        assert terminal.ended() == 0
        assert time.monotonic() - began < 5
        assert termios.tcgetattr(terminal.slave) == terminal.before
        assert terminal.said.count(b"\x1b[?1049l") == 1 and b"\x1b[?25h" in terminal.said
        assert b"Traceback" not in terminal.said
    finally:
        os.kill(world.gateway.pid, signal.SIGCONT)
        terminal.close()


def test_without_a_terminal_it_says_what_else_there_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert kerb(["top", "--config", str(world.config)]) == 1
    assert "wants a terminal" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.7", "::", "gateway.example", "127.0.0.1.evil"])
def test_it_is_served_on_loopback_only(world: World, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert kerb(["top", "--serve", "--address", address, "--config", str(world.config)]) == 1
    said = capsys.readouterr().err
    assert "loopback" in said and "ssh -L" in said


def test_a_browser_shows_the_same(world: World) -> None:
    serving = subprocess.Popen(
        [sys.executable, "-m", "kerbtools", "top", "--serve", "--port", "0", "--config", str(world.config)],
        env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert serving.stdout is not None
        url = serving.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        asyncio.run(_browse(url))
        until(lambda: not _children(serving.pid), "a page that is closed leaves no process")
        serving.terminate()
        assert serving.wait(PATIENCE_S) == 0
    finally:
        serving.kill()
        serving.wait()
        assert serving.stdout is not None
        serving.stdout.close()


async def _browse(url: str) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as browser:
        async with browser.get(url) as page:
            text = await page.text()
            assert page.status == 200 and "kerb top" in text
            policy = page.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy and "http" not in policy, "nothing is fetched from elsewhere"
        ours = set(re.findall(r'(?:src|href)="(//[^"]+)"', text))
        assert len(ours) == 2
        for at in ours:
            async with browser.get(f"http:{at}") as part:
                assert part.status == 200
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            async with browser.get(url, headers=headers) as refused:
                assert refused.status == 403, headers
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await browser.ws_connect(f"{url}ws", headers=headers)
        for nothing in ("static/", "download/x"):
            async with browser.get(url + nothing) as refused:
                assert refused.status in (403, 404)
        async with browser.ws_connect(f"{url}ws?width=80&height=24") as session:
            said = b""
            while b"lamp-801" not in said:
                said += (await session.receive(PATIENCE_S)).data


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
