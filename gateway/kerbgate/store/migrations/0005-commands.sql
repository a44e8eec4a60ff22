-- What was asked for, by the id that its sender gave it. role: whose topic it came by. expiry, not_before: UTC seconds.
-- closed: Unix ms when the last of its orders had ended.
CREATE TABLE command (
    command_id TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    role TEXT NOT NULL,
    operation TEXT NOT NULL,
    priority INTEGER NOT NULL,
    document TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    closed INTEGER
);
CREATE INDEX command_open ON command (accepted) WHERE closed IS NULL;
CREATE INDEX command_closed ON command (closed) WHERE closed IS NOT NULL;
-- A command to one node. ident: on the wire, drawn at random, never given twice. life: the one that it may have been
-- sent to, and no other. turn: the how-manieth to this node it was when it was first sent.
CREATE TABLE command_order (
    ident INTEGER PRIMARY KEY,
    command_id TEXT NOT NULL REFERENCES command,
    node INTEGER NOT NULL,
    life BLOB,
    turn INTEGER,
    state TEXT NOT NULL,
    status INTEGER,
    detail INTEGER,
    changed INTEGER NOT NULL
);
CREATE INDEX command_order_command ON command_order (command_id, state);
CREATE INDEX command_order_node ON command_order (node, turn);
-- The audit log. mac: HMAC-SHA256 over the one before it, the number, the kind and the entry.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    entry TEXT NOT NULL,
    mac BLOB NOT NULL
);
-- Single values: how far the log was published, which restore was taken note of, numbers reserved for group messages.
CREATE TABLE command_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
