"""The gateway's log: one line an event, JSON for a journal, words for a terminal. SERVICE.md lists the events.

A log is handed in, and nothing happens at import. What may stand in a line is bounded by its form: text is stripped of
control characters and cut, bytes are never shown, each kind of event is limited in a minute, and a reader that takes
nothing costs lines, never a wait: the store and the links go on.
"""

import contextlib
import json
import math
import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

MAX_TEXT = 300  # characters of one value: a cause and a path; an MQTT broker may send 64 KB of reason
MAX_ITEMS = 32  # of a list or a table: each reason of refusal, with room
MAX_LINE = 4000  # bytes: below PIPE_BUF, so that a line goes whole or not at all
PER_MINUTE = 20  # events of one kind; a link that flaps must not wear the card that holds the journal
_WINDOW_S = 60.0

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6  # syslog(3)
_NAMES = {ERROR: "error", WARNING: "warning", NOTICE: "notice", INFO: "info"}

# kind: (level, meaning). There are no others.
EVENTS: dict[str, tuple[int, str]] = {
    "start": (NOTICE, "the process begins: versions, instance, configuration, state folder"),
    "ready": (NOTICE, "frames are taken from now on"),
    "link_up": (INFO, "an inlet or outlet is connected"),
    "link_down": (WARNING, "an inlet or outlet is not connected: cause and hint"),
    "link_warning": (WARNING, "an outlet takes documents, but not as it should"),
    "refused": (NOTICE, "frames that were refused in the last minute, by reason"),
    "reload": (NOTICE, "the configuration was read again: outlets added, removed, changed, and what needs a restart"),
    "reload_refused": (WARNING, "the configuration was read again, and nothing was changed: cause and hint"),
    "alarms": (NOTICE, "open alarms by state, when that changed"),
    "problem": (WARNING, "something of /health began: cause and hint"),
    "problem_grave": (ERROR, "the same, and it needs somebody"),
    "solved": (NOTICE, "a problem ended"),
    "task_failed": (ERROR, "a task failed for a reason that nobody foresaw, and is started again"),
    "clock_step": (WARNING, "the host's clock was set while the gateway ran"),
    "stopping": (NOTICE, "told to stop"),
    "stuck": (ERROR, "a stop that does not come to its end: what is waited for"),
    "stop": (NOTICE, "the process ends: figures of its run"),
    "log_lost": (WARNING, "lines that nobody took"),
}


@dataclass(slots=True)
class _Kind:
    since: float
    count: int = 0
    more: int = 0


class Log:
    """Writes events to a descriptor. descriptor None: nowhere; form: json, text, or None to choose by what it is."""

    def __init__(
        self,
        descriptor: int | None = None,
        *,
        form: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ):
        self._descriptor = descriptor
        terminal = descriptor is not None and os.isatty(descriptor)
        self._text = form == "text" or (form is None and terminal)
        self._journal = descriptor is not None and _is_journal(descriptor)
        self._monotonic = monotonic
        self._utc = utc
        self._kinds: dict[str, _Kind] = {}
        self.written = 0
        self.lost = 0  # lines that the reader did not take
        self._lost_said = 0
        self._poll = select.poll()
        if descriptor is not None:
            self._poll.register(descriptor, select.POLLOUT)

    def event(self, kind: str, **fields: Any) -> None:
        """Write one event of the table. Never raises for what the fields hold, and never waits."""
        level, _ = EVENTS[kind]
        now = self._monotonic()
        seen = self._kinds.get(kind)
        if seen is None or now - seen.since >= _WINDOW_S:
            self._say_more(kind, seen)
            seen = self._kinds[kind] = _Kind(now)
        seen.count += 1
        if seen.count > PER_MINUTE:
            seen.more += 1
            return
        self._write(level, kind, {name: clean(value) for name, value in fields.items()})

    def tick(self) -> None:
        """Say what was held back in minutes that are over. Called now and then, and at the end."""
        now = self._monotonic()
        for kind, seen in list(self._kinds.items()):
            if now - seen.since >= _WINDOW_S:
                self._say_more(kind, seen)
                del self._kinds[kind]

    def close(self) -> None:
        """Say what was held back, whether its minute is over or not."""
        for kind, seen in self._kinds.items():
            self._say_more(kind, seen)
        self._kinds.clear()

    def _say_more(self, kind: str, seen: _Kind | None) -> None:
        if seen is not None and seen.more:
            self._write(EVENTS[kind][0], kind, {"more": seen.more})
            seen.more = 0

    def _write(self, level: int, kind: str, fields: dict[str, Any]) -> None:
        if self._lost_said < self.lost:
            missing = self.lost - self._lost_said
            if self._put(WARNING, "log_lost", {"lines": missing}):
                self._lost_said += missing
        if not self._put(level, kind, fields):
            self.lost += 1

    def _put(self, level: int, kind: str, fields: dict[str, Any]) -> bool:
        if self._descriptor is None:
            return True
        line = self._line(level, kind, fields)
        with contextlib.suppress(OSError):
            if self._poll.poll(0) and os.write(self._descriptor, line) == len(line):
                self.written += 1
                return True
        return False

    def _line(self, level: int, kind: str, fields: dict[str, Any]) -> bytes:
        at = datetime.fromtimestamp(self._utc(), UTC)
        if self._text:
            told = "  ".join(f"{name}={_plain(value)}" for name, value in fields.items())
            line = f"{at:%H:%M:%S} {_NAMES[level]:7} {kind.replace('_', ' ')}  {told}".rstrip().encode()
        else:
            row = {"time": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", "level": _NAMES[level], "event": kind} | fields
            line = json.dumps(row, ensure_ascii=False).encode()
            if len(line) > MAX_LINE:
                line = json.dumps({name: row[name] for name in ("time", "level", "event")} | {"cut": True}).encode()
        return (f"<{level}>".encode() if self._journal else b"") + line[:MAX_LINE] + b"\n"


def clean(value: Any) -> Any:
    """A value as it may stand in a log: text printable and cut, no bytes, bounded and flat."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(cast(bytes, value))} bytes)"
    if isinstance(value, Mapping):
        rows = list(cast(Mapping[Any, Any], value).items())
        return {clean_text(str(name)): _flat(item) for name, item in rows[:MAX_ITEMS]}
    if isinstance(value, list | tuple):
        return [_flat(item) for item in cast(list[Any], value)[:MAX_ITEMS]]
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """One line of printable text of at most MAX_TEXT characters."""
    cut = text[: MAX_TEXT + 1]
    kept = "".join(character if character.isprintable() else "?" for character in cut)
    return kept if len(kept) <= MAX_TEXT else kept[: MAX_TEXT - 1] + "…"


def standard_error() -> Log:
    """The log of a process."""
    return Log(sys.stderr.fileno())


def _flat(value: Any) -> Any:
    return clean(value) if not isinstance(value, Mapping | list | tuple) else "(more)"


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text and " " not in text else f'"{text}"' if isinstance(value, str) else text


def _is_journal(descriptor: int) -> bool:
    """Whether the descriptor is the journal's: then a line begins with its level (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
