"""Is the work done, from end to end? A table of problems, each with its delay, and what may feed the watchdog.

A problem begins when its condition has held for `after_s`, and is grave when it has held for `grave_after_s`. `/health`
answers 503 while a grave one is open. Only what a restart may mend is vital: then the watchdog is not fed.
A disk that is full or a council that is away is not: a restart would mend nothing, and readings are safe meanwhile.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kerbgate.service.facts import INLET, Facts, Link

WRITER_S = 20.0  # a card that stalls for longer than this does not come back by itself
STUCK_S = 120.0  # connected, something waits, and nothing is acknowledged; a publish times out after 10 s
STEPPED_S = 3600.0  # how long a clock step is shown
FAILED_S = 600.0  # how long a task's failure is shown
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table. Delays in seconds since the condition began."""

    meaning: str
    hint: str
    after_s: float = 0.0
    grave_after_s: float = NEVER
    vital: bool = False


PROBLEMS: dict[str, Kind] = {
    "writer_stuck": Kind(
        "the store's writer does not turn", "the disk does not answer: see dmesg; the watchdog restarts the gateway",
        grave_after_s=0.0, vital=True,
    ),
    "task_ended": Kind(
        "a part of the gateway has ended", "the watchdog restarts the gateway; report it with its log",
        grave_after_s=0.0, vital=True,
    ),
    "not_storing": Kind(
        "frames are not stored, so not acknowledged: nodes keep them",
        "free some of the disk, or raise quota_mb; it recovers by itself",
        after_s=2.0, grave_after_s=10.0,
    ),
    "inlet_down": Kind(
        "a link from nodes is down", "check cable, path, address and rights: kerb gateway status",
        after_s=60.0, grave_after_s=300.0,
    ),
    "outlet_down": Kind(
        "a council system is not reached: documents wait",
        "check its address, credentials and the uplink: kerb gateway status",
        after_s=60.0, grave_after_s=900.0,
    ),
    "outlet_stuck": Kind(
        "an outlet is connected, documents wait, and none is acknowledged",
        "look at the log and the disk of its broker",
        after_s=STUCK_S, grave_after_s=STUCK_S,
    ),
    "outlet_warning": Kind("an outlet takes documents, but not as it should", "see gateway/README.md, outlets"),
    "set_aside": Kind("documents that an outlet did not take are set aside", "kerb gateway status names them and why"),
    "task_failing": Kind(
        "a task failed for a reason that nobody foresaw, and was started again",
        "report it with its log",
    ),
    "clock_unsynchronised": Kind(
        "the clock's source is not trusted: nodes get no time",
        "check chrony or timesyncd: timedatectl; or [clock] source",
        after_s=30.0,
    ),
    "clock_stepped": Kind(
        "the host's clock was set while the gateway ran",
        "check its time source; arrivals of that time may be off",
    ),
    "unserved": Kind("metrics and health are not served", "choose another [service] port, or 0 for none"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One open problem. name: of the link or task that it is about, or empty."""

    code: str
    name: str
    cause: str
    hint: str
    grave: bool


@dataclass(frozen=True, slots=True)
class Changes:
    began: tuple[Problem, ...]  # or became grave
    solved: tuple[Problem, ...]


class Health:
    """Follows the facts. watchdog_s: the manager's patience, which bounds how long a writer may be silent."""

    def __init__(self, watchdog_s: float | None = None):
        self.writer_s = max(2.0, min(WRITER_S, watchdog_s / 2)) if watchdog_s else WRITER_S
        self.open: dict[tuple[str, str], Problem] = {}
        self._since: dict[tuple[str, str], float] = {}
        self._moved: dict[tuple[str, str], tuple[int, float]] = {}  # link: what had moved, and when that last changed
        self._failed: dict[str, tuple[int, float]] = {}  # task: failures, and when they last grew

    @property
    def well(self) -> bool:
        """Nothing grave is open."""
        return not any(problem.grave for problem in self.open.values())

    @property
    def vital(self) -> bool:
        """Nothing is open that a restart may mend: the watchdog may be fed."""
        return not any(PROBLEMS[code].vital for code, _ in self.open)

    def look(self, facts: Facts, now: float) -> Changes:
        """Judge; now: monotonic seconds. What began, became grave, or ended since the last look."""
        found = {(code, name): cause for code, name, cause in self._conditions(facts, now)}
        before = self.open
        self._since = {key: self._since.get(key, now) for key in found}
        after: dict[tuple[str, str], Problem] = {}
        for key, cause in found.items():
            kind, held_s = PROBLEMS[key[0]], now - self._since[key]
            if held_s >= kind.after_s:
                after[key] = Problem(*key, cause or kind.meaning, kind.hint, held_s >= kind.grave_after_s)
        self.open = after  # whole, since threads read it too
        return Changes(
            began=tuple(
                problem
                for key, problem in after.items()
                if key not in before or (problem.grave and not before[key].grave)
            ),
            solved=tuple(problem for key, problem in before.items() if key not in after),
        )

    def _conditions(self, facts: Facts, now: float) -> Iterator[tuple[str, str, str]]:
        """What holds now: code, name, cause."""
        if not facts.writer_alive:
            yield "task_ended", "store-writer", "the store's writer has ended"
        elif facts.writer_idle_s > self.writer_s:
            yield "writer_stuck", "", f"the store's writer has not turned for {facts.writer_idle_s:.0f} s"
        for name in facts.ended:
            yield "task_ended", name, f"the task {name} has ended"
        if facts.failing:
            yield "not_storing", "", facts.failing
        for link in facts.links:
            yield from self._link(link, now)
        if not facts.synchronised:
            yield "clock_unsynchronised", "", ""
        if facts.stepped_s_ago is not None and facts.stepped_s_ago < STEPPED_S:
            yield "clock_stepped", "", ""
        yield from self._tasks(facts.failures, now)
        if facts.unserved:
            yield "unserved", "", facts.unserved

    def _link(self, link: Link, now: float) -> Iterator[tuple[str, str, str]]:
        if not link.connected:
            code = "inlet_down" if link.kind == INLET else "outlet_down"
            yield code, link.name, link.error or ""
        if link.kind == INLET:
            return
        key = (link.kind, link.name)
        if key not in self._moved or self._moved[key][0] != link.moved or not link.stuck:
            self._moved[key] = (link.moved, now)
        elif now > self._moved[key][1]:
            yield "outlet_stuck", link.name, f"{link.waiting - link.set_aside} documents wait"
        if link.warning:
            yield "outlet_warning", link.name, link.warning
        if link.set_aside:
            yield "set_aside", link.name, f"{link.set_aside} documents"

    def _tasks(self, failures: Mapping[str, tuple[int, str | None]], now: float) -> Iterator[tuple[str, str, str]]:
        for name, (count, error) in failures.items():
            if count:
                if self._failed.get(name, (0, now))[0] != count:
                    self._failed[name] = (count, now)
                if now - self._failed[name][1] < FAILED_S:
                    yield "task_failing", name, error or ""
