"""The pins of a board's chip: levels, pulls, who drives them, which edges interrupt and which levels wake."""

import threading
from collections.abc import Mapping

from kerbtools.emulator.parts.bus import LevelSink, LevelSource
from kerbtools.emulator.world import FOREVER

RISING, FALLING = 1, 2
_OUT, _OPEN_DRAIN = 1, 2
_PULL_UP = 1
_MAX_STEPS = 256  # changes of a source that are looked at when an edge or a level is searched for


class Pins:
    """Numbers are GPIOs. `drive` may come from any thread, all else from the board's."""

    def __init__(self, sources: Mapping[int, LevelSource], sinks: Mapping[int, LevelSink]) -> None:
        self._sources = sources
        self._sinks = sinks
        self._modes: dict[int, int] = {}
        self._pulls: dict[int, int] = {}
        self._out: dict[int, int] = {}
        self._driven: dict[int, tuple[int, int]] = {}  # by a test's hand, whatever is wired there: level, until when
        self._watched: dict[int, int] = {}  # edges that interrupt
        self._looked_us: dict[int, int] = {}
        self._next_us: int | None = None  # the next watched edge; None: not looked for yet
        self._pending: list[int] = []
        self._wakes: dict[int, tuple[int, int]] = {}  # source -> mask, level
        self._lock = threading.Lock()

    def reset(self, now_us: int) -> None:
        """All inputs without a pull, nothing watched, nothing wakes; what a hand drives it goes on driving."""
        with self._lock:
            for number in [*self._modes, *self._out]:
                self._modes.pop(number, None)
                self._out.pop(number, None)
            self._pulls.clear()
            self.forget()
        for number in self._sinks:
            self._tell(number, now_us)

    def forget(self) -> None:
        """The VM starts anew: no interrupts and no wake pins; levels stay."""
        self._watched.clear()
        self._next_us = None
        self._pending.clear()
        self._wakes.clear()

    def set_mode(self, number: int, mode: int, pull: int, now_us: int) -> None:
        self._modes[number] = mode
        self._pulls[number] = pull
        self._tell(number, now_us)

    def write(self, number: int, level: int, now_us: int) -> None:
        self._out[number] = level
        self._tell(number, now_us)

    def read(self, number: int, now_us: int) -> int:
        mode = self._modes.get(number, 0)
        if mode == _OUT or (mode == _OPEN_DRAIN and not self._out.get(number, 1)):
            return self._out.get(number, 0)
        return self._outside(number, now_us)

    def pulse(self, number: int, level: int, now_us: int) -> tuple[int, int]:
        """(microseconds until a pin has a level, how long it keeps it); -1 for what the parts do not know of."""
        begin_us = self._becomes(number, level, now_us)
        end_us = FOREVER if begin_us >= FOREVER else self._becomes(number, 1 - level, begin_us)
        return -1 if begin_us >= FOREVER else begin_us - now_us, -1 if end_us >= FOREVER else end_us - begin_us

    def _becomes(self, number: int, level: int, after_us: int) -> int:
        at_us = after_us
        for _ in range(_MAX_STEPS):
            if at_us >= FOREVER or self.read(number, at_us) == level:
                return at_us
            at_us = self._next_change(number, at_us)
        return FOREVER

    def is_low(self, number: int) -> bool:
        """Whether the board drives this pin low: a chip select."""
        return self._modes.get(number, 0) == _OUT and not self._out.get(number, 0)

    def drive(self, number: int, level: int | None, now_us: int, until_us: int = FOREVER) -> None:
        """A hand drives a pin from outside; None lets go."""
        with self._lock:
            before = self._outside(number, now_us)
            self._driven.pop(number, None)
            if level is not None:
                self._driven[number] = level, until_us
            self._note(number, before, self._outside(number, now_us))

    def changed(self, source: LevelSource, before: int, now_us: int) -> None:
        """A part changed the level of its pin by itself, outside its schedule."""
        with self._lock:
            for number, found in self._sources.items():
                if found is source and not self._is_driven(number, now_us):
                    self._note(number, before, self._outside(number, now_us))

    # Interrupts.

    def watch(self, number: int, edges: int, now_us: int) -> None:
        """Which edges interrupt: RISING, FALLING, both, or 0."""
        with self._lock:
            self._watched.pop(number, None)
            self._next_us = None
            self._looked_us[number] = now_us
            if edges:
                self._watched[number] = edges

    def next_edge_us(self, now_us: int) -> int:
        """When the next watched edge comes that the parts know of already; now, where one is pending."""
        if self._pending:
            return now_us
        if not self._watched:
            return FOREVER
        if self._next_us is None:
            looked = self._looked_us
            self._next_us = min(self._edge(number, edges, looked[number]) for number, edges in self._watched.items())
        return self._next_us

    def refresh(self) -> None:
        """A part has changed its ways: what was known of its next edges counts no more."""
        self._next_us = None

    def take_edges(self, now_us: int, *, lost: bool = False) -> list[int]:
        """The pins with a watched edge since the last time, each once. lost: they happened while the chip was deaf."""
        with self._lock:
            found, self._pending, self._next_us = self._pending, [], None
            for number, edges in self._watched.items():
                if number not in found and self._edge(number, edges, self._looked_us[number]) <= now_us:
                    found.append(number)
                self._looked_us[number] = now_us
            return [] if lost else found

    # Waking.

    def wake_on(self, source: int, mask: int, level: int) -> None:
        """These pins at this level end a sleep; mask 0: none."""
        self._wakes.pop(source, None)
        if mask:
            self._wakes[source] = mask, level

    def woken_by(self, now_us: int) -> tuple[int, int]:
        """(source, mask of pins) that would wake the chip now; (0, 0) for none."""
        for source, (mask, level) in self._wakes.items():
            pins = [n for n in range(64) if mask >> n & 1 and self._outside(n, now_us) == level]
            if pins:
                return source, sum(1 << n for n in pins)
        return 0, 0

    def next_wake_us(self, now_us: int, until_us: int) -> int:
        """When a wake pin gets to its level, as far as the parts know already; at most until_us."""
        if self.woken_by(now_us)[0]:
            return now_us
        at_us = now_us
        for _ in range(_MAX_STEPS):
            at_us = min(
                (self._next_change(n, at_us) for mask, _ in self._wakes.values() for n in range(64) if mask >> n & 1),
                default=FOREVER,
            )
            if at_us >= until_us or self.woken_by(at_us)[0]:
                break
        return min(at_us, until_us)

    def _outside(self, number: int, now_us: int) -> int:
        if self._is_driven(number, now_us):
            return self._driven[number][0]
        source = self._sources.get(number)
        if source is not None and source.present:
            return source.level(now_us)
        return int(self._pulls.get(number) == _PULL_UP)

    def _next_change(self, number: int, after_us: int) -> int:
        if self._is_driven(number, after_us):
            return self._driven[number][1]
        source = self._sources.get(number)
        return FOREVER if source is None else source.next_change_us(after_us)

    def _is_driven(self, number: int, now_us: int) -> bool:
        return number in self._driven and now_us < self._driven[number][1]

    def _edge(self, number: int, edges: int, after_us: int) -> int:
        level, at_us = self._outside(number, after_us), after_us
        for _ in range(_MAX_STEPS):
            at_us = self._next_change(number, at_us)
            if at_us >= FOREVER:
                break
            before, level = level, self._outside(number, at_us)
            if level != before and edges & (RISING if level else FALLING):
                return at_us
        return FOREVER

    def _note(self, number: int, before: int, level: int) -> None:
        self._next_us = None
        edge = 0 if level == before else RISING if level else FALLING
        if self._watched.get(number, 0) & edge and number not in self._pending:
            self._pending.append(number)

    def _tell(self, number: int, now_us: int) -> None:
        sink = self._sinks.get(number)
        if sink is not None:
            sink.drive(self.read(number, now_us), now_us)
