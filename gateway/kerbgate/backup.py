"""`kerb backup` and `kerb restore`: a copy of the store while the gateway runs, and a copy put back.

A backup is one file, made by SQLite's online backup from one snapshot, so that it holds whole commits only. It says of
itself that it is a copy. A store that was put back forgets its replay windows: every node is challenged before anything
of it is committed, and is asked for what the copy lacks (STORE.md). No secret is in it: nodes and their secrets are in
the registry, and the keys of the audit log and of group messages are files of their own in the state folder.
"""

import argparse
import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kerbgate import audit, config
from kerbgate.commands import brighten
from kerbgate.errors import GatewayError, StoreDamaged, StoreError
from kerbgate.store import opening
from kerbgate.store.lock import StoreLock

STORE = "store.sqlite"
KEYS = f"{audit.KEY_FILE} and {brighten.KEY_FILE}"
_BUSY_S = 5.0
_SIDE_FILES = ("", "-wal", "-shm", "-journal")  # the log first, see _put_aside


def backup(store: Path, target: Path) -> dict[str, Any]:
    """Copy a store to a file that is not there yet; returns what the copy holds. StoreError says what to do next.

    The gateway may run meanwhile. The copy is written to a temporary name, checked to the end, synced and renamed.
    """
    if not store.exists():
        raise StoreError(f"there is no store at {store}", "name the gateway's configuration with --config")
    if target.exists():
        raise StoreError(f"{target} exists already", "choose another name: a backup never replaces one")
    try:
        with _draft(target) as draft:
            found = _copy(store, draft, "stop the gateway and put an earlier backup in its place: kerb restore FILE")
            draft.rename(target)
            _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"no backup can be written to {target}: {error}", "check free space and rights there, and of the store"
        ) from error
    return found | {"path": str(target), "bytes": target.stat().st_size}


def restore(source: Path, store: Path) -> dict[str, Any]:
    """Put a backup in the place of a store, or where there is none; the old one is kept beside it. StoreError.

    The gateway must not run: it holds the lock. The copy is checked to the end before anything is moved.
    """
    if not source.exists():
        raise StoreError(f"there is no file {source}", "name a backup that `kerb backup` has made")
    lock = StoreLock(store)
    try:
        with _draft(store) as draft:
            found = _copy(source, draft, "name an earlier backup; nothing was changed")
            kept = _put_aside(store)
            draft.rename(store)
            _sync(store.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{source} cannot be put back: {error}", "check the file, and free space at the store"
        ) from error
    finally:
        lock.release()
    return found | {"path": str(store), "kept": kept}


@contextlib.contextmanager
def _draft(final: Path) -> Generator[Path]:
    """A new file of mode 0600 beside `final`, under a temporary name; gone at the end unless it was renamed."""
    draft = final.with_name(f"{final.name}.{os.getpid()}.part")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield draft
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(draft.name + "-journal").unlink(missing_ok=True)


def _copy(source: Path, draft: Path, hint: str) -> dict[str, Any]:
    """Copy a store or a backup, check the copy to its end, sync it; returns what is in it. hint: if it is damaged."""
    given = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
    with contextlib.closing(given), contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as copy:
        _refuse_foreign(given, source)
        given.backup(copy)  # in one step: a snapshot that a running gateway neither changes nor waits for
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
        copy.execute("INSERT OR IGNORE INTO meta VALUES (?,?)", (opening.COPIED_AT, round(time.time() * 1000)))
        found = _examine(copy, source, hint)
    _sync(draft)
    return found


def _refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    """StoreError for a file that is no store of ours, or of a later version."""
    try:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is no store and no backup: {error}", "name a file that `kerb backup` has made"
        ) from error
    if not {"meta", "life", "window", "committed", "report", "outbox"} <= tables:
        raise StoreError(f"{path} is no store and no backup", "name a file that `kerb backup` has made")
    opening.refuse_too_new(db, path)


def _examine(db: sqlite3.Connection, path: Path, hint: str) -> dict[str, Any]:
    """Check a copy to its end and say what is in it. StoreDamaged, with this hint, for what it was copied from."""
    try:
        opening.check(db, path, None)
    except (StoreDamaged, sqlite3.DatabaseError) as error:
        raise StoreDamaged(f"{path} is damaged: {error}", hint) from error
    one = "SELECT count(*), coalesce(max(received), 0) FROM report"
    reports, newest_ms = db.execute(one).fetchone()
    waiting = db.execute("SELECT count(DISTINCT report_id) FROM outbox").fetchone()[0]
    records = db.execute("SELECT coalesce(sum(last - first + 1), 0) FROM committed").fetchone()[0]
    return {"records": records, "reports": reports, "waiting": waiting, "newest_ms": newest_ms}


def _put_aside(store: Path) -> str | None:
    """Rename an old store and what belongs to it, so that nothing of it can be taken for the new one's.

    The log goes first: a store without its log is older than its mark, which the gateway notices.
    """
    if not store.exists():
        store.with_name(store.name + "-wal").unlink(missing_ok=True)
        return None
    aside = f"{store.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for suffix in reversed(_SIDE_FILES):
        file = store.with_name(store.name + suffix)
        if file.exists():
            file.rename(store.with_name(aside + suffix))
    _sync(store.parent)
    return str(store.with_name(aside))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def backup_main(argv: list[str] | None = None) -> int:
    """`kerb backup FILE`."""
    parser = _parser("backup", "Copy the store to a file, while the gateway runs or not.", "file to write")
    return _run(parser, argv, _backup)


def restore_main(argv: list[str] | None = None) -> int:
    """`kerb restore FILE`."""
    parser = _parser("restore", "Put a backup in the place of the store. Stop the gateway first.", "a backup")
    return _run(parser, argv, _restore)


def _parser(verb: str, text: str, file: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"kerb {verb}", description=text)
    parser.add_argument("file", type=Path, help=file)
    parser.add_argument("--config", type=Path, default=Path("gateway.toml"), help="default: gateway.toml")
    return parser


def _run(parser: argparse.ArgumentParser, argv: list[str] | None, work: Callable[[Path, Path], None]) -> int:
    arguments = parser.parse_args(argv)
    os.umask(0o077)
    try:
        work(arguments.file, config.load(arguments.config).gateway.state / STORE)
    except GatewayError as error:
        print(f"kerb: {error.cause}\n      {error.hint}", file=sys.stderr)
        return 1
    return 0


def _backup(file: Path, store: Path) -> None:
    found = backup(store, file)
    print(
        f"wrote {file}: {found['records']} records committed, {found['waiting']} reports not forwarded, "
        f"{found['bytes']} bytes, checked\n"
        f"next: keep it off this machine, and apart from it what it lacks: the registry and its key, "
        f"{KEYS} of {store.parent}"
    )


def _restore(file: Path, store: Path) -> None:
    found = restore(file, store)
    newest = f", up to {datetime.fromtimestamp(found['newest_ms'] / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    print(
        f"put {file} in the place of {store}: {found['records']} records committed"
        + (newest if found["records"] else "")
        + (f"\nthe former store is kept as {found['kept']}" if found["kept"] else "")
        + "\nnext: start the gateway; it challenges each node and asks for what the node still holds"
    )
