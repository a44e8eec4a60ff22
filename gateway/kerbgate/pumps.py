"""The outlets of a running gateway: one pump each, and how they change while it runs.

A reload reads the configuration again and checks it whole before anything is touched. Then the pumps that change take
nothing more and wait for their acknowledgements, the writer is told between two commits where reports go from now on,
and the new pumps begin. What waits for an outlet stays under its name, whatever becomes of the outlet.
"""

import asyncio
import dataclasses
import hashlib
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerbgate import changes as told_before
from kerbgate import config as configuration
from kerbgate.clock import Clock
from kerbgate.config import Config, OutletSettings
from kerbgate.errors import BrokerError, ControlError, StoreError
from kerbgate.forward import Pump
from kerbgate.letters import ALARMS, RAW, LetterSource
from kerbgate.outlets import Outlet, open_outlet
from kerbgate.recent import Recent
from kerbgate.store.items import COMMITTED, Change, Outcome, StoredReport
from kerbgate.store.reader import Reader
from kerbgate.store.store import Settled, Store
from kerbwire.events import Event
from kerbwire.messages import Report

DRAIN_S = 2.0  # for acknowledgements under way; after it they are sent again, which the ids make harmless
COMMIT_S = 10.0  # a commit on a slow card
DROP_S = 15.0  # of one request; a larger backlog takes several
RELOAD_S = DRAIN_S + COMMIT_S + DROP_S + 2  # that a tool waits for the answer
DROP_STEP = 2000  # rows a transaction
SHADOW = "shadow"  # first level of what is published in shadow mode

Start = Callable[[str, Callable[[], Awaitable[None]]], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class _Opened:
    """An outlet, and what it was opened from: settings and the bytes of its files."""

    settings: OutletSettings
    outlet: Outlet
    files: bytes


def active(config: Config) -> tuple[OutletSettings, ...]:
    """The outlets that publish: in shadow mode those alone that are meant to."""
    return tuple(settings for settings in config.outlets if settings.shadow or not config.gateway.shadow)


def report_names(outlets: Sequence[OutletSettings]) -> list[str]:
    """Under which names reports wait."""
    return [settings.name for settings in outlets if settings.reports]


def letters_only(config: Config) -> bool:
    """Whether no report waits for anyone: there are outlets, and none gets reports; or a shadow has none at all."""
    outlets = active(config)
    return not report_names(outlets) and (bool(outlets) or config.gateway.shadow)


def wants(outlets: Sequence[OutletSettings]) -> Mapping[str, frozenset[str]]:
    """What the sources of letters are told of the outlets."""
    return {
        settings.name: frozenset(
            (*settings.level_names, *((RAW,) if settings.reports else ()), *((ALARMS,) if settings.alarms else ()))
        )
        for settings in outlets
    }


class Pumps:
    """All of it runs in the event loop."""

    def __init__(
        self,
        config: Config,
        store: Store,
        reader: Reader,
        clock: Clock,
        sources: Sequence[LetterSource],
        start: Start,
    ):
        """start: runs a task until it is cancelled. BrokerError for an outlet's files that cannot be used."""
        self.config = config
        self.pumps: list[Pump] = []
        self.reloads = 0
        self.last_error: str | None = None  # of a reload
        self._store = store
        self._reader = reader
        self._clock = clock
        self._sources = tuple(sources)
        self._start = start
        self._recent = Recent()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._opened: dict[str, _Opened] = {settings.name: self._open(settings) for settings in active(config)}
        self._one_at_a_time = asyncio.Lock()

    async def begin(self) -> None:
        """The store's writer runs: tell it and the sources who there is, and start pumping.

        A disk that is full now does not keep the outlets that there are from emptying the store.
        """
        for settings in active(self.config):
            self._pump(self._opened[settings.name])
        if self._sources and not await self._reroute(self.config, COMMIT_S):
            self.last_error = "the sources of letters could not be told of the outlets: kerb gateway reload"

    def stop(self) -> None:
        """Cancel the pumps' tasks."""
        for task in self._tasks.values():
            task.cancel()

    def wake(self) -> None:
        """Something was committed."""
        for pump in self.pumps:
            pump.wake()

    def settled(self, settled: Settled) -> None:
        """The store committed what outlets have."""
        for note in settled.notes:
            note.committed()
        for pump in self.pumps:
            pump.deleted(settled)

    def committed(self, row: StoredReport, report: Report | Event) -> None:
        """A report was committed, and will be asked for."""
        if self.pumps:
            self._recent.put(row, report)

    def backlog(self, reader: Reader) -> dict[str, int]:
        """How many letters wait, by outlet."""
        found: dict[str, int] = {}
        for source in self._sources:
            for name, count in source.backlog(reader.connection).items():
                found[name] = found.get(name, 0) + count
        return found

    async def reload(self, drop: str | None = None) -> dict[str, Any]:
        """Read the configuration again and change the outlets to it. GatewayError, and nothing changed, if it is bad.

        drop: forget what waits for this outlet, which must no longer get reports.
        """
        async with self._one_at_a_time:
            try:
                new = configuration.load(self.config.path)
                if drop is not None:
                    _check_drop(new, drop)
                answer = await self._reload(new)
                if drop is not None:
                    answer["dropped"] = await self._drop(drop)
            except Exception as error:
                self.last_error = str(error)
                raise
            self.reloads += 1
            self.last_error = None
            return answer

    async def _reload(self, new: Config) -> dict[str, Any]:
        former = {settings.name: settings for settings in active(self.config)}
        after = dataclasses.replace(self.config, outlets=new.outlets)
        opened = {settings.name: self._open(settings) for settings in active(after)}
        again = {pump.name for pump in self.pumps if pump.state.set_aside}
        same = {
            name
            for name, made in opened.items()
            if name in former
            and (made.settings, made.files) == (former[name], self._opened[name].files)
            and name not in again
        }
        leaving = [pump for pump in self.pumps if pump.name not in same]
        await self._finish(leaving)
        if not await self._reroute(after, None):
            for pump in leaving:
                self._pump(self._opened[pump.name])
            raise StoreError("the store cannot write now, so no outlet was changed", "look at kerb gateway status")
        unchanged = {name: made for name, made in self._opened.items() if name in same}
        needs = restarts(self.config, new)
        self.config = after
        self._opened = opened | unchanged
        for name in opened:
            if name not in same:
                self._pump(opened[name])
        return {
            "added": sorted(set(opened) - set(former)),
            "removed": sorted(set(former) - set(opened)),
            "changed": sorted(name for name in opened if name in former and name not in same),
            "restart": needs,
        }

    def _open(self, settings: OutletSettings) -> _Opened:
        shadow = self.config.gateway.shadow
        # A shadow's store may be a copy of the live one's: under the same name at the broker each would end the other.
        identifier = f"kerb-{self.config.gateway.site}-{settings.name}-{self._store.store_id}" + (
            "-shadow" if shadow else ""
        )
        files = (settings.credentials, settings.authority, settings.certificate, settings.key)
        return _Opened(settings, open_outlet(settings, identifier), _digest([path for path in files if path]))

    def _pump(self, opened: _Opened) -> None:
        settings = opened.settings
        pump = Pump(
            opened.outlet,
            settings,
            self._store,
            self._reader,
            self._recent,
            site=self.config.gateway.site,
            prefix=f"{SHADOW}/{settings.prefix}" if self.config.gateway.shadow else settings.prefix,
            sources=self._sources,
            utc=self._clock.utc,
        )
        self.pumps.append(pump)
        self._tasks[pump.name] = self._start(pump.name, pump.run)

    async def _finish(self, leaving: Sequence[Pump]) -> None:
        """End pumps, if it can be when all that they have under way is acknowledged."""
        if not leaving:
            return
        await asyncio.gather(*(pump.drain(DRAIN_S) for pump in leaving))
        tasks = [self._tasks.pop(pump.name) for pump in leaving]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self.pumps = [pump for pump in self.pumps if pump not in leaving]

    async def _reroute(self, config: Config, timeout_s: float | None) -> bool:
        """Whether the store and the sources know of these outlets. timeout_s: as of `_commits`."""
        outlets = active(config)
        told = wants(outlets)
        others = [settings.name for settings in outlets if settings.send != "change"]

        def tell(db: sqlite3.Connection) -> None:
            told_before.forget(db, others)
            for source in self._sources:
                source.outlets(db, told)

        return await self._commits(
            lambda now_ms, done: self._store.reroute(report_names(outlets), letters_only(config), tell, now_ms, done),
            timeout_s,
        )

    async def _commits(
        self, submit: Callable[[int, Callable[[Outcome], None]], bool], timeout_s: float | None = COMMIT_S
    ) -> bool:
        """Have something committed; whether it was.

        After timeout_s it may still be. None where it must be known: each commit has an outcome, and without its
        writer the gateway ends.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not answer.done():
                answer.set_result(outcome)

        if not submit(round(self._clock.utc() * 1000), done):
            return False
        try:
            async with asyncio.timeout(timeout_s):
                return (await answer).verdict == COMMITTED
        except TimeoutError:
            return False

    async def _drop(self, name: str) -> dict[str, Any]:
        """Forget what waits for an outlet: all of it, or what the time and the disk allow."""
        gone = 0
        end = time.monotonic() + DROP_S
        while time.monotonic() < end:
            step = [0]

            def drop(db: sqlite3.Connection, step: list[int] = step) -> None:
                cursor = db.execute(
                    "DELETE FROM outbox WHERE outlet=? AND report_id IN"
                    " (SELECT report_id FROM outbox WHERE outlet=? ORDER BY report_id LIMIT ?)",
                    (name, name, DROP_STEP),
                )
                step[0] = max(cursor.rowcount, 0)
                for source in self._sources:
                    if not any(settings.name == name for settings in self.config.outlets):
                        step[0] += source.drop(db, name, DROP_STEP)
                if not step[0]:
                    db.execute("DELETE FROM told WHERE outlet=?", (name,))

            if not await self._commits(lambda now_ms, done, drop=drop: self._store.submit(Change(drop, now_ms), done)):
                break
            gone += step[0]
            if not step[0]:
                return {"outlet": name, "rows": gone, "all": True}
        return {"outlet": name, "rows": gone, "all": False}


def _check_drop(config: Config, name: str) -> None:
    """ControlError where reports go on waiting for this outlet."""
    if any(settings.name == name for settings in config.outlets if settings.reports):
        raise ControlError(
            f"the outlet {name} is configured and gets reports", "take it out of the configuration first"
        )


def plain(answer: Mapping[str, Any]) -> str:
    """What became of a reload, for a terminal."""
    lines = [f"{what}: {', '.join(answer[what])}" for what in ("added", "removed", "changed") if answer[what]]
    lines = lines or ["no outlet has changed"]
    dropped = answer.get("dropped")
    if dropped is not None:
        more = "" if dropped["all"] else "; more wait: run it again"
        if dropped["rows"] or more:
            lines.append(f"dropped: {dropped['rows']} documents that waited for {dropped['outlet']}{more}")
        else:
            lines.append(f"dropped: nothing waited for {dropped['outlet']}; `kerb gateway status` names what waits")
    lines += [f"needs a restart: {name}" for name in answer["restart"]]
    return "\n".join(lines)


def restarts(old: Config, new: Config) -> list[str]:
    """The settings that differ and count only from the next start, as a person writes them."""
    found: list[str] = []
    for part in dataclasses.fields(Config):
        before, now = getattr(old, part.name), getattr(new, part.name)
        if part.name in ("path", "outlets") or before == now:
            continue
        if dataclasses.is_dataclass(before):
            names = (one.name for one in dataclasses.fields(before))
            found += [f"[{part.name}] {name}" for name in names if getattr(before, name) != getattr(now, name)]
        else:
            found.append(f"[[{part.name.removesuffix('s')}]]")
    name = old.command.outlet
    if name and name == new.command.outlet:
        pair = [next((one for one in config.outlets if one.name == name), None) for config in (old, new)]
        if pair[0] is not None and pair[1] is not None and _reached(pair[0]) != _reached(pair[1]):
            found.append(f"[[outlet]] {name}, for the commands that come from it")
    return found


def _reached(settings: OutletSettings) -> tuple[object, ...]:
    """What of an outlet the commands that come from its broker use."""
    files = (settings.credentials, settings.authority, settings.certificate, settings.key)
    return (settings.url, settings.prefix, settings.timeout_s, *files)


def _digest(paths: Sequence[Path]) -> bytes:
    """Tells whether files have changed: a password or a certificate that was renewed."""
    found = hashlib.sha256()
    for path in paths:
        try:
            found.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise BrokerError(f"{path} cannot be read: {error}", "check its path and owner") from error
    return found.digest()
