-- What a node sampled on a UTC day, in the order in which it came. sheet_id: UTC day << 16 | node. AGGREGATE.md.
CREATE TABLE sheet (sheet_id INTEGER PRIMARY KEY, samples BLOB NOT NULL);
-- Sheets that something was added to since they were rolled up.
CREATE TABLE sheet_stale (sheet_id INTEGER PRIMARY KEY);
-- What was made of a sheet. rolled: bytes of its samples that groups and sites have. resolution: seconds of the periods
-- that are left. records, step: of the day's records, and the usual seconds between two. flows: energy and light by
-- quarter. cells: what is left of samples that were thinned.
CREATE TABLE sheet_state (
    sheet_id INTEGER PRIMARY KEY,
    rolled INTEGER NOT NULL,
    resolution INTEGER NOT NULL DEFAULT 900,
    records INTEGER NOT NULL,
    step INTEGER,
    flows BLOB,
    cells BLOB
);
-- What is rolled up beside nodes. kind: "group" or "site". nodes: of a group, as it was rolled up last.
CREATE TABLE scope (
    scope_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    nodes TEXT,
    UNIQUE (kind, name)
);
-- The quarters of a UTC hour of a group or a site. rollup_id: scope_id << 32 | UTC hour.
CREATE TABLE rollup (rollup_id INTEGER PRIMARY KEY, cells BLOB NOT NULL);
-- When a bin will be full, as of its newest record. rate: percent a day. low, middle, high, emptied: UTC seconds; NULL: not
-- in sight, or not seen. errors: of past forecasts, by their length.
CREATE TABLE forecast (
    node INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    fill INTEGER NOT NULL,
    rate REAL NOT NULL,
    low INTEGER,
    middle INTEGER,
    high INTEGER,
    cycles INTEGER NOT NULL,
    emptied INTEGER,
    errors TEXT NOT NULL
);
-- Roll-ups that an outlet has not acknowledged. scope: a node, or 65536 + scope_id. block: UTC seconds at which the part
-- of the day begins that goes in one letter. due, latest: UTC seconds when it may go, and the end of its latest period.
CREATE TABLE rollup_outbox (
    outlet TEXT NOT NULL,
    level INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    block INTEGER NOT NULL,
    change INTEGER NOT NULL,
    due INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    PRIMARY KEY (outlet, level, scope, block)
) WITHOUT ROWID;
CREATE INDEX rollup_due ON rollup_outbox (outlet, due);
CREATE INDEX rollup_block ON rollup_outbox (block);
-- Single values: the number of the last change; how far each level was thinned; groups that are rolled up anew.
CREATE TABLE rollup_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
-- A store from before there were roll-ups: they take up all that it holds.
INSERT OR IGNORE INTO debt SELECT 'rollups', report_id, NULL FROM report WHERE state = 'decoded';
