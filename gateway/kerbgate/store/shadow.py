"""Whose store it is: a shadow's holds lives that nobody has challenged, so no gateway takes it, nor the other way."""

import sqlite3
from pathlib import Path

from kerbgate.errors import StoreError
from kerbgate.store.opening import COPIED_AT

MARK = "shadow"  # row of `meta`


def claim(db: sqlite3.Connection, path: Path, shadow: bool) -> None:
    """Make a new store, or a copy that a backup made, a shadow's. StoreError where it is of the other kind."""
    names = {name for (name,) in db.execute("SELECT name FROM meta")}
    if not shadow:
        if MARK in names:
            raise StoreError(
                f"the store {path} is of a shadow: it trusted lives that nobody has challenged",
                "give the gateway a state folder of its own; what the shadow heard, the nodes still have",
            )
        return
    if MARK in names:
        return
    if COPIED_AT not in names and db.execute("SELECT 1 FROM life LIMIT 1").fetchone() is not None:
        raise StoreError(
            f"the store {path} is of a gateway that is no shadow",
            "give the shadow a state folder of its own; kerb restore puts a backup of the gateway's store into it",
        )
    db.execute("INSERT INTO meta VALUES (?, 1)", (MARK,))
