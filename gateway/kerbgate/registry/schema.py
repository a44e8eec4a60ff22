"""The registry's tables, as numbered migrations: PRAGMA user_version is how many were applied.

A migration is never edited once it was released; a new one is appended.
"""

import sqlite3

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE node (
            address INTEGER PRIMARY KEY CHECK (address BETWEEN 1 AND 65535),
            site TEXT NOT NULL,
            role TEXT NOT NULL,
            board TEXT NOT NULL,
            state TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            secret BLOB NOT NULL
        )""",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    ),
    # Node states, assets and their history. An empty secret is none. What schema 1 called revoked may have had any
    # cause, so it becomes the state that refuses frames and can be undone.
    (
        "ALTER TABLE node ADD COLUMN unique_id TEXT",
        "ALTER TABLE node ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE node ADD COLUMN provisions INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE node ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE node ADD COLUMN rekey_since_ms INTEGER",
        "ALTER TABLE node ADD COLUMN reservation BLOB",
        "UPDATE node SET state='stock' WHERE state='active'",
        "UPDATE node SET state='quarantined' WHERE state='revoked'",
        "CREATE UNIQUE INDEX node_board ON node (unique_id) WHERE state NOT IN ('pending', 'retired')",
        """CREATE TABLE asset (
            asset TEXT PRIMARY KEY,
            site TEXT NOT NULL,
            role TEXT NOT NULL,
            latitude REAL CHECK (latitude BETWEEN -90 AND 90),
            longitude REAL CHECK (longitude BETWEEN -180 AND 180),
            usrn TEXT,
            supply TEXT CHECK (supply IN ('permanent', 'switched')),
            wattage_w REAL CHECK (wattage_w > 0),
            luminaire TEXT,
            inventory INTEGER NOT NULL CHECK (inventory IN (0, 1)),
            CHECK ((latitude IS NULL) = (longitude IS NULL))
        ) WITHOUT ROWID""",
        """CREATE TABLE binding (
            asset TEXT NOT NULL REFERENCES asset,
            node INTEGER NOT NULL,
            since_ms INTEGER NOT NULL,
            until_ms INTEGER,
            start_hours INTEGER NOT NULL DEFAULT 0 CHECK (start_hours >= 0),
            PRIMARY KEY (asset, since_ms, node)
        ) WITHOUT ROWID""",
        "CREATE UNIQUE INDEX binding_asset ON binding (asset) WHERE until_ms IS NULL",
        "CREATE UNIQUE INDEX binding_node ON binding (node) WHERE until_ms IS NULL",
    ),
    # The circuit that feeds a lamp: those of one go dark together.
    ("ALTER TABLE asset ADD COLUMN feeder TEXT",),
)
VERSION = len(MIGRATIONS)


def version_of(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def migrate(db: sqlite3.Connection) -> None:
    """Bring a registry up to VERSION. To be called in a transaction, which is then whole or not at all."""
    for number in range(version_of(db), VERSION):
        for statement in MIGRATIONS[number]:
            db.execute(statement)
        db.execute(f"PRAGMA user_version={number + 1}")
