"""`kerb top` on a running street: what it shows in 80x24 and 200x60, keys, a gateway that goes away and comes back."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from field_harness import PATIENCE_S, World, until
from gateway_harness import add_node
from textual.pilot import Pilot

from kerbgate import asking
from kerbtools.field.top.app import Top
from kerbtools.field.top.looks import Looker, of_socket
from kerbwire import events

SMALL, LARGE = (80, 24), (200, 60)
SNAPSHOTS = Path(__file__).parent / "snapshots"
OUTLET = '[[outlet]]\nname = "council"\nurl = "mqtt://127.0.0.1:9"\n'
Drive = Callable[[Pilot[None]], Awaitable[None]]

# What differs from run to run, and what stands for it.
_CHANGING = (
    (r" {2,}|[─━]{2,}", "  "),  # widths follow what is in a column
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z", "DATE"),
    (r"(\d+(\.\d+)?|-)/s", "RATE"),
    (r"\b\d+ (s|min|h|d)\b", "SPAN"),
    (r"[▁▂▃▄▅▆▇█]+", "BARS"),
    (r"(?<=delivered RATE)  BARS|(?<=commit N ms)  BARS", ""),
    (r"commit \d+ ms(, \d+ wait)?(  BARS)?", "commit N ms"),
    (r"serial:/tmp/\S+", "serial:PORT"),
    (r"kerbstone \S+", "kerbstone VERSION"),
    (r"\b[0-9a-f]{16}\b", "LIFE"),
    (r"\d+(?= of its last)|(?<=; frame )\d+", "N"),  # a frame may be sent again
    (r"\d+/\d+(?=  (bin|lamp)-)", "N/N"),
    (r"/\d{10}-\d+", "/NUMBER"),
    (r"no connection to the broker 127.*|no connection.*…", "no connection"),
    (r"(?<=RATE  )\d+(?=  )|\d+(?= frames)|\d+(?= kept)|\d+(?= since the gateway)", "N"),
    (r" +$", ""),
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("top"), bins=(1, 2), lamps=(801, 802, 804), more=OUTLET)
    with made.registry() as registry:
        add_node(registry, 77)  # never heard
    made.start()
    made.tell(2, events.FIRE, events.EMERGENCY)
    made.tell(1, events.TILTED, events.WARNING)
    until(lambda: len(asking.ask(made.gateway.state, "alarms")["alarms"]) == 2, "both alarms are told")
    made.set_clock(made.clock.utc(), 1.0)  # from here on nothing becomes silent or late
    yield made
    made.close()


def screen(app: Top) -> str:
    """What a terminal shows, as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def drive(world: World, size: tuple[int, int], how: Drive, ask: Any = None) -> None:
    async def run() -> None:
        app = Top("harbour", Looker(ask or of_socket(world.gateway.state)))
        async with app.run_test(size=size) as pilot:
            await how(pilot)

    asyncio.run(run())


async def shows(pilot: Pilot[None], *words: str, without: str = "\0") -> str:
    """The screen, once it has all these words and nothing of it moves any more."""
    app = pilot.app
    assert isinstance(app, Top)
    end = asyncio.get_running_loop().time() + PATIENCE_S
    before = ""
    while True:
        said = screen(app)
        if said == before and all(word in said for word in words) and without not in said:
            return said
        before = said
        if asyncio.get_running_loop().time() > end:
            pytest.fail(f"not shown: {words}\n{said}")
        await pilot.pause(0.05)


def matches(name: str, said: str, size: tuple[int, int]) -> None:
    """A screen is as it was kept. KERB_SNAPSHOTS=1 keeps it anew."""
    assert len(said.splitlines()) == size[1] and max(map(len, said.splitlines())) <= size[0]
    lines: list[str] = []
    for line in said.splitlines():
        for pattern, word in _CHANGING:
            line = re.sub(pattern, word, line)
        lines.append(line)
    kept = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("KERB_SNAPSHOTS"):
        kept.write_text("\n".join(lines) + "\n")
    assert kept.read_text().splitlines() == lines, f"{name}:\n{said}"


def test_all_of_it_is_on_a_large_screen(world: World) -> None:
    async def look(pilot: Pilot[None]) -> None:
        matches("large", await shows(pilot, "bin-1", "fire", "council", "open"), LARGE)
        await pilot.press("4", "enter")
        matches("large_alarm", await shows(pilot, "kerb alarms ack"), LARGE)
        await pilot.press("enter")  # and on to the node that it is of
        matches("large_story", await shows(pilot, "kerb ping 2"), LARGE)
        await pilot.press("escape", "escape")
        await shows(pilot, "kerb top")

    drive(world, LARGE, look)


def test_a_small_screen_shows_one_table_and_each_row_in_full(world: World) -> None:
    async def look(pilot: Pilot[None]) -> None:
        matches("small", await shows(pilot, "bin-1", "alarms 2"), SMALL)
        await pilot.press("2")
        matches("small_links", await shows(pilot, "FRAMES"), SMALL)
        await pilot.press("enter")
        matches("small_link", await shows(pilot, "kerb capture"), SMALL)
        await pilot.press("escape", "3")
        matches("small_queues", await shows(pilot, "OLDEST"), SMALL)
        await pilot.press("enter")
        matches("small_queue", await shows(pilot, "no connection"), SMALL)
        await pilot.press("escape", "tab")
        matches("small_alarms", await shows(pilot, "SEVERITY"), SMALL)
        await pilot.press("tab", "down", "down", "up", "enter")
        matches("small_story", await shows(pilot, "kerb ping 2"), SMALL)
        await pilot.press("question_mark")
        matches("small_help", await shows(pilot, "this help"), SMALL)
        await pilot.press("escape", "escape")
        await shows(pilot, "kerb top")

    drive(world, SMALL, look)


def test_a_filter_is_asked_of_the_gateway_and_the_order_too(world: World) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "bin-1", "by state")
        await pilot.press("slash", *"lamp f2")
        said = await shows(pilot, "lamp-804", "nodes 1 of 6", without="lamp-801")
        assert "with 'lamp f2'" in said
        await pilot.press("enter", "enter")
        await shows(pilot, "kerb show 804")
        await pilot.press("escape", "escape")
        await shows(pilot, "lamp-801", "nodes 6")
        await pilot.press("slash", *"quit?", "enter")
        await shows(pilot, "no node has 'quit?' in its")
        await pilot.press("escape", "s")
        said = await shows(pilot, "by node", "lamp-801")
        assert said.index("bin-1") < said.index(" 77 ") < said.index("lamp-801")

    drive(world, SMALL, look)


def test_a_gateway_that_goes_away_is_said_and_asked_until_it_is_back(world: World) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "bin-1")
        world.gateway.kill()
        said = await shows(pilot, "THE GATEWAY DOES NOT ANSWER", "kerb gateway run", "kerb doctor")
        matches("small_away", said, SMALL)
        await pilot.press("enter")
        await shows(pilot, "THE GATEWAY DOES NOT ANSWER")
        await pilot.press("escape")
        await asyncio.to_thread(world.gateway.start)
        await shows(pilot, "bin-1", "up ", without="DOES NOT ANSWER")
        await pilot.press("q")

    drive(world, SMALL, look)
