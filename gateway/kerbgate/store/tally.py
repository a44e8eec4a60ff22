"""Counts by UTC day, kept in the store, and the bytes that the writer writes: what wears a card."""

import sqlite3
from pathlib import Path

WRITTEN = "written_bytes"
THINNED_REPORTS = "thinned_reports"
THINNED_RECORDS = "thinned_records"
MAX_DAYS = 400  # kept: a year, and the same day of the year before

_DAY_MS = 86_400_000
_IO = Path("/proc/thread-self/io")


def day_of(utc_ms: int) -> int:
    """Days since 1970-01-01, UTC."""
    return utc_ms // _DAY_MS


def add(db: sqlite3.Connection, day: int, counts: dict[str, int]) -> None:
    """Add to a day's counts. Inside a transaction."""
    db.executemany(
        "INSERT INTO tally VALUES (?,?,?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(day, name, value) for name, value in counts.items() if value],
    )
    db.execute("DELETE FROM tally WHERE day < ?", (day - MAX_DAYS,))


def recent(db: sqlite3.Connection, name: str, days: int) -> list[tuple[int, int]]:
    """(day, value) of the newest days that have a value, the newest first."""
    return db.execute("SELECT day, value FROM tally WHERE name=? ORDER BY day DESC LIMIT ?", (name, days)).fetchall()


class Wear:
    """Bytes that the calling thread has handed to write calls: the log, its checkpoints, and the mark.

    The kernel counts them (proc(5), /proc/PID/io, wchar), so what SQLite writes for its own reasons is in it. A card
    writes more: whole erase blocks.
    """

    def __init__(self) -> None:
        self._before = self._read()

    def since_last(self) -> int:
        """Bytes written since the last call; 0 where the kernel does not count them."""
        now = self._read()
        written, self._before = max(now - self._before, 0), now
        return written

    def _read(self) -> int:
        try:
            for line in _IO.read_text("ascii").splitlines():
                if line.startswith("wchar:"):
                    return int(line[6:])
        except (OSError, ValueError):
            pass
        return 0
