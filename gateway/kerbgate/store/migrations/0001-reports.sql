-- Lives, windows, committed ranges, declared gaps, reports, the outbox.
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE life (
    life_id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL,
    life BLOB NOT NULL,
    site TEXT NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('confirmed', 'closed')),
    confirmed_at INTEGER NOT NULL,
    UNIQUE (node, life)
);
CREATE TABLE window (
    life_id INTEGER NOT NULL REFERENCES life,
    epoch INTEGER NOT NULL,
    top INTEGER NOT NULL,
    bits INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (life_id, epoch)
) WITHOUT ROWID;
CREATE TABLE committed (
    life_id INTEGER NOT NULL REFERENCES life,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (last >= first),
    PRIMARY KEY (life_id, first)
) WITHOUT ROWID;
CREATE TABLE gap (
    life_id INTEGER NOT NULL REFERENCES life,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    declared_at INTEGER NOT NULL,
    PRIMARY KEY (life_id, first, count)
) WITHOUT ROWID;
CREATE TABLE report (
    report_id INTEGER PRIMARY KEY AUTOINCREMENT,
    life_id INTEGER NOT NULL REFERENCES life,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    received INTEGER NOT NULL,
    synchronised INTEGER NOT NULL,
    first INTEGER,
    count INTEGER,
    message BLOB NOT NULL,
    fresh INTEGER,
    state TEXT NOT NULL CHECK (state IN ('decoded', 'undecoded')),
    reason TEXT
);
CREATE INDEX report_undecoded ON report (report_id) WHERE state = 'undecoded';
CREATE TABLE hello (
    node INTEGER PRIMARY KEY,
    life_id INTEGER NOT NULL REFERENCES life,
    seq INTEGER NOT NULL,
    received INTEGER NOT NULL,
    next_index INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE TABLE outbox (
    outlet TEXT NOT NULL,
    report_id INTEGER NOT NULL REFERENCES report,
    attempts INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (outlet, report_id)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('store_id', lower(hex(randomblob(8))));
