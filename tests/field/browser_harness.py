"""A real browser without a window, driven over its DevTools protocol. Every wait has a deadline and a condition."""

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from field_harness import PATIENCE_S, until

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
_FOREIGN = ("fonts.googleapis.com",)  # which the page's template names and its policy forbids


def command() -> str | None:
    """The browser of this machine, or None."""
    return next(filter(None, map(shutil.which, COMMANDS)), None)


class Page:
    """One page. said: what came over its web sockets. errors: what the browser's log and console hold against it."""

    def __init__(self, devtools: aiohttp.ClientWebSocketResponse):
        self._devtools = devtools
        self._asked = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self.said = b""
        self.errors: list[str] = []
        self.requested: set[str] = set()

    async def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """A command of the protocol and its result."""
        self._asked += 1
        number = self._asked
        await self._devtools.send_json({"id": number, "method": method, "params": parameters})
        await self.until(lambda: number in self._answers, method)
        return self._answers.pop(number)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Read events until it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._take(json.loads((await self._devtools.receive()).data))
        assert condition(), what

    async def click(self, x: int, y: int) -> None:
        """At a place of the page, in pixels."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str, code: int) -> None:
        """A key that a person presses, with its number on keyboards of old."""
        text = "\r" if key == "Enter" else key
        await self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])

    def _take(self, message: dict[str, Any]) -> None:
        method, found = message.get("method"), message.get("params", {})
        if "id" in message:
            self._answers[message["id"]] = message.get("result", message)
        elif method == "Network.webSocketFrameReceived":
            frame = found["response"]
            payload: str = frame["payloadData"]
            self.said += base64.b64decode(payload) if frame["opcode"] == 2 else payload.encode()
        elif method == "Network.responseReceived":
            self.requested.add(found["response"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(found)[:300])
        elif method == "Log.entryAdded":
            entry = found["entry"]
            if entry["level"] == "error" and not any(name in entry["text"] for name in _FOREIGN):
                self.errors.append(f"{entry['text']} {entry.get('url')}")


@contextmanager
def browser(folder: Path) -> Generator[str]:
    """A browser of its own; the address of its DevTools."""
    named = command()
    assert named is not None
    process = subprocess.Popen(
        [named, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
         f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told = folder / "DevToolsActivePort"
        until(lambda: told.exists() and told.read_text().count("\n"), "a browser that answers")
        yield f"http://127.0.0.1:{told.read_text().split()[0]}"
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def page(devtools: str, url: str) -> AsyncGenerator[Page]:
    """The page at a URL, open in a browser."""
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{devtools}/json") as answer:
            tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
        async with client.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as link:
            made = Page(link)
            for domain in ("Page", "Network", "Log", "Runtime"):
                await made.ask(f"{domain}.enable")
            await made.ask("Page.navigate", url=url)
            yield made
