"""What time brings about: silence, timers, maintenance that begins and ends. Looks in the event loop, in short slices.

The book is changed only in the store's writer: here is decided whether there is anything to do, and then one change is
handed over. Where the store cannot take it now, the next look finds it again.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from kerbgate.alarms import rows, windows
from kerbgate.alarms.book import AlarmBook, Conditions
from kerbgate.alarms.hearing import Hearing
from kerbgate.alarms.kinds import silence_of
from kerbgate.alarms.past import Key
from kerbgate.alarms.places import Place
from kerbgate.clock import Clock

TICK_S = 2.0
SILENCE_S = 30.0  # looks for silent nodes
SLICE = 500  # nodes looked at in one go: a millisecond
PRUNE_S = 3600.0
DEAF_S = 86_400.0  # a link that is down for longer excuses nobody: it may be one of several, and given up
DARK_DEG = -4.0  # a cabinet has switched its lamps on
DAWN_DEG = 8.0  # about sunrise, either way

Submit = Callable[[Callable[[sqlite3.Connection, int], None]], bool]


class Watch:
    """mono: the book's steady clock. submit: hands a change to the store."""

    def __init__(self, book: AlarmBook, hearing: Hearing, clock: Clock, mono: Callable[[], float], submit: Submit):
        self._book = book
        self._hearing = hearing
        self._clock = clock
        self._mono = mono
        self._submit = submit
        self._deaf_since: float | None = None
        self._floor = 0.0  # silence counts from here: links were down before
        self._silence_at = 0.0
        self._prune_at = 0.0
        self.looked = 0  # nodes whose silence was judged, ever

    def pause(self, seconds: float) -> float:
        """So long by the clock's pace, but neither forever nor in a spin."""
        return min(max(seconds / max(self._clock.pace(), 0.01), 0.1), seconds)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.pause(TICK_S))
            await self.tick()

    async def tick(self) -> None:
        """One look at everything that is due."""
        now = self._mono()
        if now >= self._silence_at:
            self._silence_at = now + SILENCE_S
            await self._listen()
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_S
            if not self._submit(self._prune):
                self._prune_at = now
        if self._book.wants(self._clock.utc()):
            self._submit(self._book.tick)

    def health(self, found: Conditions, *, deaf: bool) -> None:
        """What is wrong with the gateway now. deaf: a link is down, so that silence says nothing of the nodes."""
        if self._deaf_since is not None and not deaf:
            self._floor = self._mono()
        self._deaf_since = (self._deaf_since or self._mono()) if deaf else None
        if frozenset(found) != self._book.observed:  # also where the last one was not committed
            given: dict[Key, dict[str, Any]] = dict(found)
            self._submit(lambda db, now_ms: self._book.observe(db, given, now_ms))

    async def _listen(self) -> None:
        """Which nodes have been silent for too long, and are not known to be."""
        if self._deaf_since is not None and self._mono() - self._deaf_since < DEAF_S:
            return
        found: list[tuple[Place, int]] = []
        nodes = list(self._book.places.nodes.values())
        for at in range(0, len(nodes), SLICE):
            found += self.silent(nodes[at : at + SLICE])
            await asyncio.sleep(0)
        for at in range(0, len(found), SLICE):
            some = found[at : at + SLICE]
            self._submit(lambda db, now_ms, some=some: self._book.silent(db, some, now_ms))

    def silent(self, nodes: list[Place]) -> list[tuple[Place, int]]:
        """Those of them, and since when (UTC seconds)."""
        now, utc, trusted = self._mono(), self._clock.utc(), self._clock.synchronised()
        last, limit_s, known = self._hearing.last, self._hearing.limit_s, self._book.open
        found: list[tuple[Place, int]] = []
        self.looked += len(nodes)
        for place in nodes:
            heard = last.get(place.node)
            if heard is None:
                continue  # never: the inventory's report lists it
            limit = limit_s(place.node, place.role)
            if now - max(heard, self._floor) <= limit:
                continue
            if (silence_of(place.role), f"node:{place.node}") in known:
                continue
            if place.role == "lamp" and self._expected(place, utc, now - heard, limit, trusted):
                continue
            found.append((place, int(utc - (now - heard))))
        return found

    def _expected(self, place: Place, utc: float, silent_s: float, limit_s: float, trusted: bool) -> bool:
        """Whether a lamp's silence is that of its switched supply: by day, and at night until it had time to speak."""
        if place.supply == "permanent":
            return False
        sun = self._book.causes.sun_deg
        now = sun(utc, place)
        if now is None or not trusted:
            return place.supply == "switched"
        if place.supply is None:  # it may be switched, if it fell silent about sunrise
            then = sun(utc - silent_s, place)
            if then is None or abs(then) > DAWN_DEG:
                return False
        dark_since = sun(utc - limit_s, place)
        return now > DARK_DEG or (dark_since is not None and dark_since > DARK_DEG)

    def _prune(self, db: sqlite3.Connection, now_ms: int) -> None:
        if rows.prune(db, now_ms) == rows.PRUNE:
            self._prune_at = 0.0  # there may be more: at the next look
        windows.prune(db, now_ms)
