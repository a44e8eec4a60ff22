"""The world of emulated boards: one virtual clock, and who may run when.

A discrete-event scheduler. Each board's thread is an `Actor`, which runs, or waits for a moment. The clock stands still
while an actor runs, and jumps to the earliest awaited moment when all of them wait. While an actor is in a *hold*
(it has sent something to a real gateway and an answer may come) the clock runs at real pace instead, for everyone.
So a run is exact and repeatable as long as nothing real talks to a board.
"""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from kerbtools.emulator.clock import VirtualClock
from kerbtools.emulator.radio import Air

START_UTC = 1_767_571_200  # 2026-01-05 00:00:00, a Monday
FOREVER = 1 << 62
_SLICE_S = 0.1  # while the world is paced, the clock moves in steps of so much real time
_UNPACED_BELOW_S = 0.001  # pauses that would be shorter than this are not worth a thread switch


class Interrupted(Exception):
    """The wait of an actor was ended from outside."""


class Stoppable(Protocol):
    """What a world stops when it ends: boards."""

    def stop(self) -> None: ...


class Actor:
    """One thread of the world. Made by `World.join`; fields belong to the world's lock."""

    def __init__(self, lock: threading.RLock) -> None:
        self.turn = threading.Condition(lock)
        self.until_us: int | None = None  # None: it runs
        self.interrupted = False
        self.nudged = False


class World:
    """A seeded world. start_utc: Unix seconds. speed: virtual seconds per real second while all boards sleep.

    speed None: sleeps take no real time. paused: the clock does not pass the moments that `advance` allows.
    Use as a context manager, or call `stop`. A `with` that ends well raises what ended a board's own thread.
    """

    def __init__(
        self, seed: int = 1, start_utc: int = START_UTC, speed: float | None = None, *, paused: bool = False
    ) -> None:
        self.seed = seed
        self.start_utc = start_utc
        self.speed = speed
        self._scratch = tempfile.TemporaryDirectory(prefix="kerb-world-")
        self.directory = Path(self._scratch.name)
        self.air = Air()
        self.clock_path = self.directory / "clock"
        self._clock = VirtualClock(self.clock_path, start_utc * 1_000_000)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._actors: list[Actor] = []
        self._holds: set[object] = set()
        self._horizon_us = start_utc * 1_000_000 if paused else FOREVER
        self._stopped = False
        self._failure: BaseException | None = None
        self._things: list[Stoppable] = []
        self._driver = threading.Thread(target=self._drive, name="kerb-world", daemon=True)
        self._driver.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self._failure is not None:
            raise self._failure

    def now(self) -> float:
        """UTC seconds."""
        return self.now_us() / 1_000_000

    def now_us(self) -> int:
        with self._lock:
            return self._clock.now_us

    def set_synchronised(self, synchronised: bool) -> None:
        """Whether the gateways that read the shared clock may trust it (true at the start)."""
        with self._lock:
            self._clock.set_synchronised(synchronised)

    def advance(self, seconds: float, timeout_s: float = 60.0) -> None:
        """Of a paused world: let so much virtual time pass, until every board waits for later. TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            if self._horizon_us == FOREVER:
                raise ValueError("advance() needs a world that was made with paused=True")
            self._horizon_us = max(self._horizon_us, self._clock.now_us) + int(seconds * 1_000_000)
            self._changed.notify_all()
            while self._clock.now_us < self._horizon_us or self._holds or self._is_running():
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._stopped:
                    raise TimeoutError(f"the world got to {self.now() - self.start_utc:.3f} s in {timeout_s} s")
                self._changed.wait(left_s)

    def resume(self) -> None:
        """End the pause: the clock runs as far as the boards let it."""
        with self._lock:
            self._horizon_us = FOREVER
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop every board and the clock, and remove the world's files. May be called twice."""
        for thing in list(self._things):
            thing.stop()
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self._changed.notify_all()
        self._driver.join(5)
        self._clock.close()
        self._scratch.cleanup()

    # What boards call.

    @property
    def attached(self) -> int:
        """How many things were attached so far."""
        return len(self._things)

    def attach(self, thing: Stoppable) -> None:
        """Stop `thing` when the world stops."""
        self._things.append(thing)

    def join(self) -> Actor:
        """A new actor; it runs."""
        with self._lock:
            actor = Actor(self._lock)
            self._actors.append(actor)
            if not self._holds:
                self._clock.stop()
            return actor

    def leave(self, actor: Actor) -> None:
        """The actor is gone: the clock waits for it no longer."""
        with self._lock:
            self.release(actor)
            self._actors.remove(actor)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """The emulator itself failed in a board's thread; the first such error counts."""
        with self._lock:
            self._failure = self._failure or error

    def charge(self, us: int) -> int:
        """Let time pass for a running actor's own doing; return the time. In a hold it passes by itself."""
        with self._lock:
            if not self._holds:
                self._clock.advance_to(self._clock.now_us + us)
            return self._clock.now_us

    def wait(self, actor: Actor, until_us: int) -> None:
        """Block until the clock shows `until_us`, or until a nudge. Interrupted."""
        with self._lock:
            self._refuse_interrupted(actor)
            if actor.nudged:
                actor.nudged = False
                return
            if self._may_jump_at_once(actor, until_us):
                self._clock.advance_to(until_us)
                return
            actor.until_us = until_us
            self._changed.notify_all()
            while not actor.interrupted and self._is_waiting(actor):
                actor.turn.wait()
            actor.until_us = None
            actor.nudged = False
            self._refuse_interrupted(actor)

    def nudge(self, actor: Actor) -> None:
        """End the actor's wait, or its next one where it runs: something came that it has to look at."""
        with self._lock:
            actor.nudged = True
            if actor.until_us is not None:
                actor.until_us = None
                actor.turn.notify_all()

    def interrupt(self, actor: Actor) -> None:
        """End the actor's wait, and each later one until `clear`."""
        with self._lock:
            actor.interrupted = True
            actor.turn.notify_all()

    def clear(self, actor: Actor) -> None:
        with self._lock:
            actor.interrupted = actor.nudged = False

    def hold(self, holder: object) -> None:
        """From now on, until `release`, the clock runs at real pace for everyone."""
        with self._lock:
            if not self._holds:
                self._clock.run()
            self._holds.add(holder)
            self._changed.notify_all()

    def release(self, holder: object) -> None:
        with self._lock:
            if holder in self._holds:
                self._holds.remove(holder)
                if not self._holds:
                    self._clock.stop()
                self._changed.notify_all()

    def park(self, actor: Actor, until_us: int, wait_real: Callable[[float], None]) -> None:
        """In a hold: block in `wait_real(seconds)`, at most until the clock shows `until_us`. Interrupted."""
        with self._lock:
            self._refuse_interrupted(actor)
            left_s = (until_us - self._clock.now_us) / 1_000_000
        if left_s > 0:
            wait_real(left_s)
        with self._lock:
            self._refuse_interrupted(actor)

    # The clock's own thread.

    @staticmethod
    def _is_waiting(actor: Actor) -> bool:
        return actor.until_us is not None

    @staticmethod
    def _refuse_interrupted(actor: Actor) -> None:
        if actor.interrupted:
            raise Interrupted

    def _is_running(self) -> bool:
        return any(actor.until_us is None for actor in self._actors)

    def _may_jump_at_once(self, actor: Actor, until_us: int) -> bool:
        """Nobody else could do anything before `until_us`: then the jump needs no other thread."""
        if self._holds or until_us > self._horizon_us or until_us >= FOREVER:
            return False
        if self.speed is not None and (until_us - self._clock.now_us) / 1_000_000 / self.speed > _UNPACED_BELOW_S:
            return False
        return all(
            other is actor or (other.until_us is not None and other.until_us >= until_us) for other in self._actors
        )

    def _drive(self) -> None:
        with self._lock:
            while not self._stopped:
                self._changed.wait(self._step())

    def _step(self) -> float | None:
        """Do what is due; return the real seconds until something else may be, or None: only a change can bring it."""
        if self._wake_due():
            return None
        awaited_us = min((a.until_us for a in self._actors if a.until_us is not None), default=FOREVER)
        if self._holds:
            return max(0.0, (awaited_us - self._clock.now_us) / 1_000_000) if awaited_us < FOREVER else None
        if self._is_running():
            return None
        target_us = min(awaited_us, self._horizon_us)
        if target_us >= FOREVER:
            return None
        left_us = target_us - self._clock.now_us
        if self.speed is not None and left_us / 1_000_000 / self.speed > _UNPACED_BELOW_S:
            return self._pace(left_us, self.speed)
        self._clock.advance_to(target_us)
        self._wake_due()
        self._changed.notify_all()
        return None

    def _pace(self, left_us: int, speed: float) -> float | None:
        """Wait one slice of real time, then move the clock by what it is worth."""
        slice_s = min(_SLICE_S, left_us / 1_000_000 / speed)
        before_us = self._clock.now_us
        deadline = time.monotonic() + slice_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._changed.wait(left_s)
            if self._stopped or self._is_running() or self._holds:
                return 0
        self._clock.advance_to(min(before_us + left_us, before_us + round(slice_s * speed * 1_000_000)))
        return 0

    def _wake_due(self) -> bool:
        now_us = self._clock.now_us
        woken = False
        for actor in self._actors:
            if actor.until_us is not None and actor.until_us <= now_us:
                actor.until_us = None
                actor.turn.notify_all()
                woken = True
        return woken
