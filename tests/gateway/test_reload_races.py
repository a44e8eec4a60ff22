"""A reload that meets something else: a stop, an asker who leaves, a store that stalls, rows of the same commit."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from forward_harness import until_async
from gateway_harness import START, Rig
from test_store import LIFE, Desk, arrival, hello

from kerbgate import changes, config, pumps
from kerbgate.app import Gateway
from kerbgate.changes import Told
from kerbgate.errors import ControlError
from kerbgate.store import Outcome, Reader
from kerbgate.store.items import Change
from kerbwire.channels import FILL

DEADLINE_S = 15
HEAD = '[gateway]\nsite = "harbour"\n[clock]\nsource = "trusted"\n[service]\nport = 0\n'
OUTLET = '[[outlet]]\nname = "{name}"\nurl = "mqtt://127.0.0.1:9"\nalarms = false\n'
COUNCIL, TOWN = OUTLET.format(name="council"), OUTLET.format(name="town")


class Stalled:
    """A store whose writer waits in a commit until it is let go."""

    def __init__(self, submit: Any):
        self._go = threading.Event()
        self._there = threading.Event()
        assert submit(Change(self._wait, START * 1000), lambda outcome: None)
        assert self._there.wait(DEADLINE_S)

    def _wait(self, db: sqlite3.Connection) -> None:
        self._there.set()
        assert self._go.wait(DEADLINE_S)

    def go(self) -> None:
        self._go.set()


class Site:
    """A running gateway whose council cannot be reached."""

    def __init__(self, folder: Path):
        self.path = folder / "gateway.toml"
        self.write(COUNCIL)
        self.gateway = Gateway(config.load(self.path))
        self.stop = asyncio.Event()
        self.running: asyncio.Task[None] | None = None

    def write(self, *outlets: str) -> None:
        self.path.write_text(HEAD + "".join(outlets))

    @property
    def names(self) -> list[str]:
        return [pump.name for pump in self.gateway.pumps]

    def stall(self) -> Stalled:
        return Stalled(self.gateway.store.submit)


@contextlib.asynccontextmanager
async def a_site(folder: Path) -> AsyncGenerator[Site]:
    site, ready = Site(folder), asyncio.Event()
    site.running = asyncio.create_task(site.gateway.run(site.stop, ready.set))
    async with asyncio.timeout(DEADLINE_S):
        await ready.wait()
    try:
        yield site
    finally:
        site.stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await site.running


def test_a_stop_in_the_midst_of_a_reload_starts_no_outlet(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            stalled = site.stall()
            site.write(COUNCIL, TOWN)
            site.gateway.reload_soon()
            await until_async(lambda: site.gateway.store.queued, "the reload waits for the store")
            began = time.monotonic()
            site.stop.set()
            await asyncio.sleep(0)
            stalled.go()
            assert site.running is not None
            await asyncio.wait({site.running}, timeout=DEADLINE_S)
            assert site.running.done() and time.monotonic() - began < 10 and site.names == ["council"]

    asyncio.run(main())


def test_a_reload_goes_on_when_the_asker_leaves(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            stalled = site.stall()
            site.write(COUNCIL + "window = 8\n")
            asker = asyncio.create_task(site.gateway.reload())
            await until_async(lambda: not site.names, "the outlet has ended")
            asker.cancel()
            await asyncio.wait({asker})
            stalled.go()
            await until_async(lambda: site.names == ["council"], "it runs again")
            assert site.gateway.pumps[0].settings.window == site.gateway.config.outlets[0].window == 8

    asyncio.run(main())


def test_reloads_that_wait_are_bounded(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            stalled = site.stall()
            site.write(COUNCIL, TOWN)
            askers = [asyncio.create_task(site.gateway.reload()) for _ in range(4)]
            await until_async(lambda: site.gateway.store.queued, "the first waits for the store")
            with pytest.raises(ControlError) as caught:
                await site.gateway.reload()
            assert caught.value.hint
            stalled.go()
            assert [bool((await asker)["added"]) for asker in askers] == [True, False, False, False]

    asyncio.run(main())


def test_the_store_and_the_outlets_agree_however_long_the_store_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an outlet would run for which no report waits any more: it would never get what comes from then on."""
    monkeypatch.setattr(pumps, "COMMIT_S", 0.01)

    async def main() -> None:
        async with a_site(tmp_path) as site:
            stalled = site.stall()
            site.write(TOWN)
            asker = asyncio.create_task(site.gateway.reload())
            await until_async(lambda: site.gateway.store.queued, "it waits for the store")
            await asyncio.wait({asker}, timeout=0.2)  # longer than COMMIT_S
            stalled.go()
            with contextlib.suppress(Exception):
                await asker
            await until_async(lambda: not site.gateway.store.queued, "the store goes on")
            assert site.names == ["town"] and site.gateway.store._outlets == ("town",)

    asyncio.run(main())


def test_a_drop_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_site(tmp_path) as site:
            site.write(COUNCIL, TOWN)
            with pytest.raises(ControlError, match="the outlet council is configured and gets reports"):
                await site.gateway.reload("council")
            assert site.names == ["council"]

    asyncio.run(main())


def test_rows_of_the_commit_that_brings_the_first_outlet_are_inherited_by_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "store.sqlite", outlets=[])
    desk.put(hello(0))
    stalled = Stalled(desk.store.submit)
    outcomes: list[Outcome] = []
    assert desk.store.submit(arrival(1, 0, 3), outcomes.append)
    assert desk.store.reroute(["council"], False, lambda db: None, START * 1000, outcomes.append)
    stalled.go()
    assert desk.put(arrival(2, 3, 3))[0].verdict == "committed"
    with desk.reader() as reader:
        assert reader.outbox() == {"council": 2}
    desk.store.stop()


def test_what_was_told_last_is_forgotten_when_an_outlet_is_told_otherwise(tmp_path: Path) -> None:
    """Every record went out meanwhile: to compare with what was told before would leave changes out."""
    told = [((17, LIFE), Told(7, START, {FILL: 20}))]

    def kept(site: Site) -> list[tuple[str]]:
        with contextlib.closing(Reader(site.gateway.store.path)) as reader:
            return reader.connection.execute("SELECT outlet FROM told ORDER BY outlet").fetchall()

    async def main() -> None:
        async with a_site(tmp_path) as site:
            change = 'send = "change"\n'
            site.write(COUNCIL + change, TOWN + change)
            await site.gateway.reload()
            for name in ("council", "town", "gone"):
                work = Change(lambda db, name=name: changes.write(db, name, told), START * 1000)
                assert site.gateway.store.submit(work, lambda outcome: None)
            await until_async(lambda: len(kept(site)) == 3, "it is written")
            site.write(COUNCIL, TOWN + change)
            await site.gateway.reload()
            assert kept(site) == [("gone",), ("town",)]

    asyncio.run(main())


def test_a_restored_store_forgets_what_was_told_last(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as db, db:
        changes.write(db, "council", [((17, LIFE), Told(7, START, {FILL: 20}))])
    rig.open()
    assert rig.query("SELECT node FROM told") == [(17,)]
    rig.close()
    (tmp_path / "store.sqlite.mark").unlink()
    rig.open()
    assert rig.query("SELECT node FROM told") == []
    rig.close()
