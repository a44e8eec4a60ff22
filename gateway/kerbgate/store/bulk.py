"""Many rows by few statements.

Python's sqlite3 lets go of the interpreter's lock for each row of an `executemany`. While the event loop works, each
row then waits for its turn again, up to a switch interval (5 ms). A statement that takes many rows lets go once, so the
loop and the disk work side by side.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain

SIZES = (64, 8, 1)  # rows a statement; few sizes, so that each is prepared once (sqlite3 keeps 128 statements)


class Bulk:
    """A statement around VALUES: what comes before it, so many values a row, and what follows."""

    def __init__(self, head: str, columns: int, tail: str = ""):
        row = f"({','.join('?' * columns)})"
        self._statements = [(size, f"{head} VALUES {','.join([row] * size)} {tail}") for size in SIZES]

    def run(self, db: sqlite3.Connection, rows: Sequence[Sequence[object]], *more: object) -> int:
        """All rows, in their order; how many rows of the table that has written. more: values of the tail."""
        at, left, written = 0, len(rows), 0
        for size, statement in self._statements:
            while left >= size:
                written += db.execute(statement, [*chain.from_iterable(rows[at : at + size]), *more]).rowcount
                at += size
                left -= size
        return written


def runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """(first, last) of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    first = last = -2
    for number in sorted(numbers):
        if number > last + 1:
            if first >= 0:
                found.append((first, last))
            first = number
        last = number
    if first >= 0:
        found.append((first, last))
    return found
