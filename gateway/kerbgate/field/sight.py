"""Store and registry side by side, read-only: what every question of the field is answered from."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerbgate.errors import StoreError
from kerbgate.registry import sight as registries
from kerbgate.store import schema

BUSY_S = 5.0


class Sight:
    """A look at one gateway's files. streets: by node, from the groups file. registry_error: why no node is known."""

    def __init__(self, store: Path, registry: Path, streets: Mapping[int, str] | None = None):
        """StoreError when the store cannot be read; a registry that cannot is an empty one, and says why."""
        self.store = store
        self.streets: Mapping[int, str] = streets or {}
        try:
            self.db = sqlite3.connect(
                f"{store.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=BUSY_S,
                check_same_thread=False,
            )  # fmt: skip
            found: int = self.db.execute("PRAGMA user_version").fetchone()[0]
            self.db.execute("SELECT 1 FROM meta").fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"the store {store} cannot be read: {error}", "run: kerb doctor") from error
        if found != schema.version():
            self.db.close()
            raise StoreError(
                f"the store {store} has schema {found}, and this program reads {schema.version()}",
                "use the kerb of the version that wrote it, or start this gateway once: kerb gateway run",
            )
        self.registry_error = registries.attach(self.db, registry)

    def close(self) -> None:
        self.db.close()

    def one(self, query: str, *values: Any) -> Any:
        """The first value of a query, or None."""
        row = self.db.execute(query, values).fetchone()
        return None if row is None else row[0]


def tables(path: Path) -> int:
    """The schema of a store's file without opening it as one; 0 where that cannot be told. No lock is taken."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return 0
    return int.from_bytes(head[60:64], "big") if head[:16] == b"SQLite format 3\x00" else 0
