"""How the store's writer fares: its counters, and what an error of SQLite means to who reads it."""

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

_SCARCE = 4 * 1024 * 1024  # bytes: a full disk may still show a few free blocks
# Errors of the disk, not of what was written: the whole batch waits for a better time.
_DISK_ERRORS = frozenset(
    getattr(sqlite3, "SQLITE_" + name)
    for name in (
        *("FULL", "IOERR", "BUSY", "LOCKED", "READONLY", "CANTOPEN"),
        *("NOMEM", "CORRUPT", "NOTADB", "PERM", "PROTOCOL"),
    )
)


@dataclass(slots=True)
class Health:
    """Counters of the writer, read by status."""

    turned: float = 0.0  # monotonic seconds: when the writer last came round; it does so each second, busy or idle
    commits: int = 0
    frames: int = 0
    failed_commits: int = 0
    failing: str | None = None  # why frames are not stored, until one is
    unstorable: int = 0  # frames that failed alone, for a reason of their own
    last_unstorable: str | None = None
    last_commit_ms: float = 0.0
    checked: bool = False  # at start the whole file was looked at; else the time was up before
    written_bytes: int = 0  # since the start: log, checkpoints and mark
    failed_chores: int = 0
    last_failed_chore: str | None = None
    failed_notes: int = 0  # acknowledgements that could not be noted: those letters go again after the next start
    last_failed_note: str | None = None


def told(error: Exception, store: Path, quota_mb: int) -> str:
    """The error and, where room is the matter, how much there is."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
        return str(error)
    try:
        free = shutil.disk_usage(store.parent).free
    except OSError:
        return str(error)
    if quota_mb and free > _SCARCE:
        return f"{error}: quota_mb = {quota_mb} of {store} is used up; raise it in the configuration"
    return f"{error}: {free} bytes are free in {store.parent}; free some"


def is_disk_error(error: Exception) -> bool:
    """Whether it is the disk's, so that trying the same again may help."""
    return isinstance(error, sqlite3.Error) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DISK_ERRORS
