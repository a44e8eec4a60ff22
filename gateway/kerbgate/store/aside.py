"""Reports set aside because their short index and time could not be resolved, or contradicted their neighbours.

They are tried again when the life has got new ranges, which may be the neighbours that were missing. A reading counts
if the node may have written it so (spans.is_near), if its times lie between its neighbours', and if no other reading
does too.
"""

import sqlite3
from collections.abc import Callable

from kerbgate.store import spans
from kerbgate.store.items import OUT_OF_ORDER, HelloFacts, Reading
from kerbwire.controls import Log
from kerbwire.errors import UNRESOLVED

MAX_ROWS = 8  # reports of one life that are tried at a time: each costs a decoding for every range
REASONS = (UNRESOLVED, OUT_OF_ORDER)

# Reads a message: something to book, or a stable reason why it is not. near: what a short report is resolved from.
Decode = Callable[[bytes, tuple[int, int] | None], Reading | HelloFacts | Log | str]


class Aside:
    """Which lives have such reports, and when each is to be tried next: after 1, 2, 4, 8, ... further reports."""

    def __init__(self, db: sqlite3.Connection):
        self._db = db
        self._waits: dict[int, list[int]] = {
            row[0]: [1, 1]
            for row in db.execute(
                "SELECT DISTINCT life_id FROM report WHERE state='undecoded' AND reason IN (?,?)", REASONS
            )
        }

    def add(self, life_id: int) -> None:
        """One more was set aside: try it at once."""
        self._waits[life_id] = [0, 1]

    def due(self, life_id: int) -> bool:
        """A report of this life is at hand: whether those set aside shall be tried now."""
        wait = self._waits.get(life_id)
        if wait is None:
            return False
        wait[0] -= 1
        if wait[0] > 0:
            return False
        wait[0] = wait[1]
        wait[1] *= 2
        return True

    def rows(self, life_id: int) -> list[tuple[int, bytes]]:
        """(report id, message) of some of this life that wait, the oldest first."""
        rows = self._db.execute(
            "SELECT report_id, message FROM report WHERE state='undecoded' AND life_id=? AND reason IN (?,?)"
            " ORDER BY report_id LIMIT ?",
            (life_id, *REASONS, MAX_ROWS),
        ).fetchall()
        if not rows:
            del self._waits[life_id]
        return rows


def read(
    db: sqlite3.Connection, life_id: int, message: bytes, decode: Decode, from_all: bool = True
) -> Reading | HelloFacts | Log | None:
    """What a message that was set aside has become; None where it is as unreadable, or as ambiguous, as before.

    from_all: a short one is resolved from all ranges of its life, which costs a decoding for each.
    """
    reading = decode(message, None)
    if not isinstance(reading, str):
        return reading
    found: dict[tuple[int, int], Reading] = {}
    if reading == UNRESOLVED and from_all:
        for near in spans.neighbours(db, life_id):
            reading = decode(message, near)
            if isinstance(reading, Reading) and reading.newest is not None:
                fits = spans.is_near(reading.first, reading.time, near)
                if fits and spans.in_order(db, life_id, reading.first, reading.time, reading.newest):
                    found[reading.first, reading.time] = reading
    return next(iter(found.values())) if len(found) == 1 else None
