"""The committed ranges of a life as the store keeps them: with the times at both ends, and when the hole below came up.

The usual report continues the highest range, which `Books` does without reading anything. Everything else is here.
"""

import sqlite3
from typing import NamedTuple

from kerbgate.store import ranges

STEP_BACK_S = 86_400  # a node's clock may be set back by less; a short time resolved wrongly is off by 45 days
NEAR_RECORDS = 1 << 14  # what a node may call near: PROTOCOL.md, near form
NEAR_S = 60 << 14
MAX_NEAR = 64  # ranges that a short report set aside is tried from: those that changed last are the highest

_COLUMNS = "first, last, since, first_time, last_time"
_INSERT = "INSERT INTO committed (life_id, first, last, since, first_time, last_time) VALUES (?,?,?,?,?,?)"


class Span(NamedTuple):
    """A closed range of committed indices. Times are UTC seconds, None where the node's clock was unset."""

    first: int
    last: int
    since: int
    first_time: int | None
    last_time: int | None


def top(db: sqlite3.Connection, life_id: int) -> Span | None:
    """The highest range of a life."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM committed WHERE life_id=? ORDER BY first DESC LIMIT 1",  # noqa: S608
        (life_id,),
    ).fetchone()
    return None if row is None else Span(*row)


def all_of(db: sqlite3.Connection, life_id: int) -> list[ranges.Range]:
    """Every range of a life, in order."""
    return db.execute("SELECT first, last FROM committed WHERE life_id=? ORDER BY first", (life_id,)).fetchall()


def add(db: sqlite3.Connection, life_id: int, new: Span) -> list[ranges.Range]:
    """Add a range; returns the parts of it that were missing. `new.since` counts where no range lies above it."""
    near = [
        Span(*row)
        for row in db.execute(
            f"SELECT {_COLUMNS} FROM committed WHERE life_id=?1 AND first <= ?3 + 1 AND first >= coalesce("  # noqa: S608
            "(SELECT max(first) FROM committed WHERE life_id=?1 AND first <= ?2), ?2) ORDER BY first",
            (life_id, new.first, new.last),
        )
    ]
    fresh = ranges.missing([(span.first, span.last) for span in near], new.first, new.last)
    if not fresh:
        return []
    touching = [span for span in near if span.last >= new.first - 1]
    lowest, highest = (touching[0], touching[-1]) if touching else (new, new)
    since = lowest.since if touching else _since_above(db, life_id, new)
    begins, ends = (lowest if lowest.first < new.first else new), (highest if highest.last > new.last else new)
    db.executemany("DELETE FROM committed WHERE life_id=? AND first=?", [(life_id, span.first) for span in touching])
    db.execute(_INSERT, (life_id, begins.first, ends.last, since, begins.first_time, ends.last_time))
    return fresh


def _since_above(db: sqlite3.Connection, life_id: int, new: Span) -> int:
    """A range that falls into a hole leaves two, both known as long as that one was."""
    row = db.execute(
        "SELECT since FROM committed WHERE life_id=? AND first > ? ORDER BY first LIMIT 1", (life_id, new.last)
    ).fetchone()
    return new.since if row is None else row[0]


def missing(db: sqlite3.Connection, life_id: int, first: int, last: int) -> bool:
    """Whether anything of first..last is not committed."""
    near = [(span.first, span.last) for span in _around(db, life_id, first, last)]
    return bool(ranges.missing(near, first, last))


def in_order(db: sqlite3.Connection, life_id: int, first: int, time: int, newest: tuple[int, int]) -> bool:
    """Whether a report's times agree with those of the ranges around it, the clock's own corrections allowed.

    newest: (index, time) of its last record. A range whose times are not known says nothing.
    """
    last, last_time = newest
    for span in _around(db, life_id, first, last):
        for index, at in ((span.first, span.first_time), (span.last, span.last_time)):
            if at is None:
                continue
            if (index <= first and time <= at - STEP_BACK_S) or (index <= last and last_time <= at - STEP_BACK_S):
                return False
            if (index >= last and last_time >= at + STEP_BACK_S) or (index >= first and time >= at + STEP_BACK_S):
                return False
    return True


def _around(db: sqlite3.Connection, life_id: int, first: int, last: int) -> list[Span]:
    """The ranges that overlap first..last, the one below and the one above."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM committed WHERE life_id=?1 AND first >= coalesce("  # noqa: S608
        "(SELECT max(first) FROM committed WHERE life_id=?1 AND first < ?2), ?2) AND first <= coalesce("
        "(SELECT min(first) FROM committed WHERE life_id=?1 AND first > ?3), ?3) ORDER BY first",
        (life_id, first, last),
    )
    return [Span(*row) for row in rows]


def neighbours(db: sqlite3.Connection, life_id: int) -> list[tuple[int, int]]:
    """(index, UTC seconds) at the ends of the highest ranges of a life: what a short report may be resolved from."""
    out: list[tuple[int, int]] = []
    for first, last, first_time, last_time in db.execute(
        "SELECT first, last, first_time, last_time FROM committed WHERE life_id=? ORDER BY first DESC LIMIT ?",
        (life_id, MAX_NEAR),
    ):
        if last_time is not None:
            out.append((last, last_time))
        if first_time is not None and first != last:
            out.append((first, first_time))
    return out


def is_near(index: int, time: int, near: tuple[int, int]) -> bool:
    """Whether a node may have written a record in the near form of another (PROTOCOL.md)."""
    return abs(index - near[0]) < NEAR_RECORDS and abs(time - near[1]) < NEAR_S
