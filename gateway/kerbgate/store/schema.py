"""The store's tables, as numbered steps: PRAGMA user_version is how many were applied. STORE.md explains the tables.

A step is one file of SQL in `migrations/`, called NNNN-noun.sql and numbered from 0001 without a gap. To add tables,
add the next file. A file is never edited once it was released: a test holds the hash of each.
"""

import re
import sqlite3
from functools import cache
from importlib import resources

_NAME = re.compile(r"(\d{4})-[a-z0-9-]+\.sql")


@cache
def steps() -> tuple[str, ...]:
    """The SQL of each step, in order; RuntimeError where the numbers have a gap or one comes twice."""
    folder = resources.files("kerbgate.store").joinpath("migrations")
    found = sorted((match[1], file) for file in folder.iterdir() if (match := _NAME.fullmatch(file.name)))
    if [number for number, _ in found] != [f"{place:04}" for place in range(1, len(found) + 1)]:
        raise RuntimeError("the files in store/migrations are not numbered 0001, 0002, ...")
    return tuple(file.read_text("utf-8") for _, file in found)


def version() -> int:
    """The schema that this program writes."""
    return len(steps())


def migrate(db: sqlite3.Connection) -> None:
    """Bring a store up to `version`, each step in a transaction; sqlite3.Error leaves the last whole step."""
    applied: int = db.execute("PRAGMA user_version").fetchone()[0]
    for number, step in enumerate(steps()[applied:], applied + 1):
        try:
            db.executescript(f"BEGIN IMMEDIATE; {step}; PRAGMA user_version={number}; COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
