"""Opening a store's file: is it ours, is it whole, is it the one that was here before?"""

import sqlite3
import time
from pathlib import Path

from kerbgate.config import StoreSettings
from kerbgate.errors import StoreDamaged, StoreError, StoreTooNew
from kerbgate.store import schema
from kerbgate.store.mark import Mark

CHECK_S = 0.5  # of integrity check at start, some 400 MB on a small board's disk: the first reading waits for it
_CHECK_STEPS = 10_000  # of SQLite's machine between two looks at the time
_LOG_LIMIT = (
    16 * 1024 * 1024
)  # bytes of log file kept after a checkpoint; room that is there even when the disk is full

# Rows of `meta`.
COPIED_AT = "copied_at"  # in a backup: this file is a copy
MARKED = "marked"  # a mark lies beside this store
RESTORED_AT = "restored_at"  # Unix ms: this store is a copy that was put back, or follows one that was lost
RESTORED_WHY = "restored_why"


def connect(path: Path, settings: StoreSettings, limit_pages: int) -> sqlite3.Connection:
    """The writer's connection; StoreError says why there is none."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        path.chmod(0o600)
        refuse_too_new(db, path)
        if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            raise StoreError(f"the store {path} cannot have a write-ahead log", "put it on a local file system")
        db.execute(f"PRAGMA synchronous={settings.synchronous}")
        db.execute(f"PRAGMA wal_autocheckpoint={settings.checkpoint_pages}")
        db.execute(f"PRAGMA journal_size_limit={_LOG_LIMIT}")
        db.execute("PRAGMA foreign_keys=OFF")  # rows are only ever written whole, by one thread
        if limit_pages:
            db.execute(f"PRAGMA max_page_count={limit_pages}")
    except BaseException:
        db.close()
        raise
    return db


def refuse_too_new(db: sqlite3.Connection, path: Path) -> None:
    """StoreTooNew for a file that a later version wrote."""
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    if found > schema.version():
        raise StoreTooNew(
            f"the store {path} has schema {found}; this gateway knows {schema.version()}",
            "install the version that wrote it, or restore a backup: kerb restore FILE",
        )


def check(db: sqlite3.Connection, path: Path, limit_s: float | None) -> bool:
    """Look for damage (PRAGMA quick_check) for at most so long, None: to the end. StoreDamaged if there is any.

    True: the whole file was looked at. False: the time was up, and what was seen until then is sound.
    """
    end = None if limit_s is None else time.monotonic() + limit_s
    db.set_progress_handler(lambda: int(end is not None and time.monotonic() > end), _CHECK_STEPS)
    try:
        found: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    finally:
        db.set_progress_handler(None, 0)
    if found != "ok":
        raise damaged(path, found)
    return True


def damaged(path: Path, what: object) -> StoreDamaged:
    """The way out of a damaged store, for a person."""
    return StoreDamaged(
        f"the store {path} is damaged: {what}",
        "put a backup in its place: kerb restore FILE; without one move store.sqlite and store.sqlite-wal aside, leave"
        " store.sqlite.mark, and start: the nodes are asked for what they still hold",
    )


def explain(path: Path, error: sqlite3.Error) -> StoreError:
    """An error of SQLite at the opening, for a person."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, error)
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"the store {path} cannot be opened: {error}", "free some of the disk, or raise quota_mb")
    return StoreError(f"the store {path} cannot be opened: {error}", "check owner, mode and free space of its folder")


def settle_past(db: sqlite3.Connection, mark: Mark, was_there: bool) -> bool:
    """Compare the store with its mark. True if its windows cannot be believed: now, or since an earlier start.

    A store that is behind its mark, or a copy, or follows one that was lost, forgets its windows: every node is
    challenged before anything of it is committed (law 4). Closed lives stay closed: a life that ended never comes back.
    """
    meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
    marked = mark.read()
    store_id: str = meta["store_id"]
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name='report'").fetchone()
    newest: int = row[0] if row else 0
    why = None
    if COPIED_AT in meta:
        why = "it is a backup"
    elif marked is None:
        why = "its mark is gone" if MARKED in meta else None
    elif not was_there:
        why = "the store before it is gone"
    elif marked[0] != store_id:
        why = "another store was here before"
    elif marked[1] > newest:
        why = "it is older than it was"
    db.execute("BEGIN IMMEDIATE")
    if why is not None:
        db.execute("DELETE FROM window")
        db.execute("DELETE FROM told")  # outlets were told more since
        db.execute("DELETE FROM ask WHERE status IS NULL")
        db.execute("DELETE FROM meta WHERE name=?", (COPIED_AT,))
        db.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?,?)", [(RESTORED_AT, round(time.time() * 1000)), (RESTORED_WHY, why)]
        )
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, 1)", (MARKED,))
    db.execute("COMMIT")
    mark.write(store_id, newest)
    if marked is None:
        mark.keep()
    return why is not None or RESTORED_AT in meta
