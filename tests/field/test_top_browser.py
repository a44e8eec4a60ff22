"""`kerb top --serve` in a real browser, and how it ends while pages are open."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import browser_harness
import pytest
from field_harness import PATIENCE_S, World
from gateway_harness import ENVIRONMENT

UPGRADE = (
    "GET /ws?width=80&height=24 HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2VyYnN0b25lLWlzLW9rIQ==\r\n\r\n"
)
ENDS_S = 8.0  # less than a server waits for the farewell of a page that does not read


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("browser"), bins=(1,), lamps=(801,))
    made.start()
    yield made
    made.close()


@pytest.fixture
def serving(world: World) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and where it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kerbtools", "top", "--serve", "--port", "0", "--config", str(world.config)],
        env=ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(browser_harness.command() is None, reason="no browser here: apt-get install chromium")
def test_a_browser_shows_the_street_takes_keys_and_loads_nothing_from_elsewhere(
    serving: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    with browser_harness.browser(tmp_path) as devtools:
        asyncio.run(_look(serving[1], devtools))


async def _look(url: str, devtools: str) -> None:
    async with browser_harness.page(devtools, url) as page:
        await page.until(lambda: b"bin-1" in page.said and b"lamp-801" in page.said, "the table of nodes")
        blank = await page.picture()
        await page.click(200, 8)
        await page.press("Enter", 13)
        await page.until(lambda: b"kerb ping 1" in page.said, "one node's story")
        assert len(await page.picture()) != len(blank) > 1000
        assert {urlsplit(at).netloc for at in page.requested} == {urlsplit(url).netloc}
        assert not page.errors


def test_it_ends_at_once_though_pages_are_open_that_do_not_read(serving: tuple[subprocess.Popen[str], str]) -> None:
    process, url = serving
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), PATIENCE_S) as session:
        session.sendall(UPGRADE.format(host=where.netloc).encode())
        assert b"101 Switching" in session.recv(65_536)
        process.terminate()
        assert process.wait(ENDS_S) == 0
