"""A registry as readers of the field see it: nodes and assets beside a store's rows, without its key and its secrets.

The file is attached read-only to a connection that is already read-only, and shown through one view that leaves the
secrets out. Nothing here needs the key file, so it also works where that is lost.
"""

import sqlite3
from pathlib import Path

from kerbgate.registry import schema

VIEW = "known"
_COLUMNS = (
    "address", "site", "role", "board", "state", "asset", "feeder", "supply", "wattage_w", "latitude", "longitude",
    "usrn", "unique_id", "provisions", "changed_ms", "since_ms",
)  # fmt: skip
_SELECT = (
    "SELECT address, node.site, node.role, board, state,"
    " binding.asset, feeder, supply, wattage_w, latitude, longitude, usrn, unique_id, provisions, changed_ms, since_ms"
    " FROM registry.node LEFT JOIN registry.binding ON binding.node = address AND until_ms IS NULL"
    " LEFT JOIN registry.asset ON asset.asset = binding.asset"
)
_EMPTY = f"CREATE TEMP TABLE {VIEW} ({', '.join(_COLUMNS)})"
_SHOWN = f"CREATE TEMP VIEW {VIEW} ({', '.join(_COLUMNS)}) AS {_SELECT}"


def attach(db: sqlite3.Connection, path: Path) -> str | None:
    """Show the registry at `path` as the view `known` of this connection; why not, and then an empty one, if it fails.

    The connection must have been opened with a URI.
    """
    try:
        db.execute("ATTACH ? AS registry", (f"{path.absolute().as_uri()}?mode=ro",))
        found = db.execute("PRAGMA registry.user_version").fetchone()[0]
        if found != schema.VERSION:
            raise sqlite3.DatabaseError(f"it has schema {found}, and this program reads {schema.VERSION}")
        db.execute(_SHOWN)
        db.execute(f"SELECT 1 FROM {VIEW} LIMIT 1").fetchone()  # noqa: S608  # a name of this module
    except sqlite3.Error as error:
        db.execute(f"DROP VIEW IF EXISTS temp.{VIEW}")
        db.execute(_EMPTY)
        return str(error)
    return None
