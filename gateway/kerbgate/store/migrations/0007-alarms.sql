-- What nodes sent of their ring logs, the newest pieces (store/logs.py).
CREATE TABLE node_log (
    piece INTEGER PRIMARY KEY AUTOINCREMENT,
    node INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    line INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    data BLOB NOT NULL,
    received INTEGER NOT NULL,
    UNIQUE (node, boot, line)
);
-- Alarms, open ones and past ones (alarms/table.py). ident: for ever, in each letter. since: of its cause, UTC seconds.
-- changed, ended: Unix ms. turn: how new its newest evidence is, life_id * 2^33 + index; 0 where that says nothing.
-- parent: the larger alarm that it is part of. suppressed: the maintenance that it fell into. revision: of its newest letter, 0 before the first.
CREATE TABLE alarm (
    alarm_id INTEGER PRIMARY KEY AUTOINCREMENT,
    ident TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    node INTEGER,
    role TEXT NOT NULL,
    severity INTEGER NOT NULL,
    state TEXT NOT NULL,
    since INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    ended INTEGER,
    turn INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    occurrences INTEGER NOT NULL,
    parent INTEGER REFERENCES alarm,
    suppressed INTEGER,
    acknowledged TEXT,
    revision INTEGER NOT NULL
);
CREATE UNIQUE INDEX alarm_open ON alarm (kind, subject) WHERE ended IS NULL;
CREATE INDEX alarm_subject ON alarm (subject, kind, turn);
CREATE INDEX alarm_parent ON alarm (parent) WHERE parent IS NOT NULL;
CREATE INDEX alarm_ended ON alarm (ended) WHERE ended IS NOT NULL;
CREATE INDEX alarm_suppressed ON alarm (suppressed) WHERE suppressed IS NOT NULL;
-- What is told of alarms and of maintenance, in order; alarm_id NULL: of a maintenance. document: the letter's body.
CREATE TABLE alarm_change (
    change_id INTEGER PRIMARY KEY AUTOINCREMENT,
    alarm_id INTEGER REFERENCES alarm,
    topic TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX alarm_change_alarm ON alarm_change (alarm_id, change_id);
CREATE INDEX alarm_change_topic ON alarm_change (topic) WHERE alarm_id IS NULL;
-- Changes that an outlet has not acknowledged, and the outlets that get any.
CREATE TABLE alarm_outbox (
    outlet TEXT NOT NULL,
    change_id INTEGER NOT NULL REFERENCES alarm_change,
    PRIMARY KEY (outlet, change_id)
) WITHOUT ROWID;
CREATE INDEX alarm_outbox_change ON alarm_outbox (change_id);
CREATE TABLE alarm_outlet (outlet TEXT PRIMARY KEY) WITHOUT ROWID;
-- Maintenance: where, from when until when (UTC seconds), who and why. ended: Unix ms.
CREATE TABLE maintenance (
    maintenance_id INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    begins INTEGER NOT NULL,
    until INTEGER NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    begun INTEGER,
    ended INTEGER
);
CREATE INDEX maintenance_open ON maintenance (until) WHERE ended IS NULL;
