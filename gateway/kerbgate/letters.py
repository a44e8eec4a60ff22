"""Letters: what the council gets beside reports, such as roll-ups and alarms.

A source keeps its own rows of what waits for which outlet; a pump asks for them, publishes them, and says what was
taken. As with reports, a row goes only after the acknowledgement of that very document, so a letter may go out twice
and is never lost; its own `id` makes the second copy harmless.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

RAW, ALARMS = "raw", "alarms"  # kinds that an outlet may want, beside the names of the roll-up levels
LEVELS = ("15min", "hour", "day")
URGENT = frozenset(("alarm",))  # kinds of letters that travel alone and at once, where others wait for a batch
Wants = Mapping[str, frozenset[str]]  # by outlet's name: which of RAW, ALARMS and LEVELS it gets


@dataclass(frozen=True, slots=True)
class Letter:
    """One document that waits for one outlet.

    key: enough for its source to say that it was delivered, with the change number in it, so that a later change of
    the same row is sent again. kind: the second topic level behind the site, such as "rollup". topic: what follows,
    such as "node/417". body: JSON types only, without the envelope; its "id" stays the same when it is sent again.
    """

    key: tuple[int, ...]
    kind: str
    topic: str
    body: dict[str, Any]


class LetterSource(Protocol):
    """Rows of one kind that wait for outlets. `waiting` is asked in the event loop; the others work in the writer."""

    name: str

    def waiting(self, db: sqlite3.Connection, outlet: str, limit: int, now_s: int) -> list[Letter]:
        """At most `limit` letters that are due for an outlet, the oldest first. db: read only; now_s: UTC seconds."""
        ...

    def delivered(self, db: sqlite3.Connection, outlet: str, keys: Sequence[tuple[int, ...]]) -> None:
        """An outlet has these: forget them. Inside the writer's transaction; a key that is unknown is no error."""
        ...

    def outlets(self, db: sqlite3.Connection, wants: Wants) -> None:
        """Which outlets there are and what each wants, at start and reload. Inside a transaction of the writer.

        A new outlet starts with what is open now; what waits for one that is no longer named stays.
        """
        ...

    def backlog(self, db: sqlite3.Connection) -> Mapping[str, int]:
        """How many letters wait, due or not, by outlet, named or not. db: read only; for status."""
        ...

    def drop(self, db: sqlite3.Connection, outlet: str, limit: int) -> int:
        """Forget at most `limit` letters that wait for an outlet; returns how many. Inside the writer's transaction."""
        ...
