-- `since`: when the hole below a range was first known (Unix ms). Times at both ends of a range, UTC seconds, NULL where
-- the clock of the node was unset: a short report that comes late is resolved from the ranges beside it.
ALTER TABLE committed ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE committed ADD COLUMN first_time INTEGER;
ALTER TABLE committed ADD COLUMN last_time INTEGER;
UPDATE committed SET since = (SELECT confirmed_at FROM life WHERE life.life_id = committed.life_id);
UPDATE committed SET last_time = (
    SELECT newest_time FROM life WHERE life.life_id = committed.life_id AND newest_index = committed.last
);
-- Level changes and alarms are never thinned. A report of level changes begins with the byte 1 behind its heads.
ALTER TABLE report ADD COLUMN keep INTEGER NOT NULL DEFAULT 0;
UPDATE report SET keep = 1 WHERE substr(message, 1, 2) = x'8201'
    AND substr(message, CASE WHEN substr(message, 3, 1) < x'58' THEN 4 ELSE 5 END, 1) = x'01';
-- Counts by UTC day (days since 1970): bytes written, reports thinned, and what else is to be seen over weeks.
CREATE TABLE tally (
    day INTEGER NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (day, name)
) WITHOUT ROWID;
-- Reports that a fold has not yet taken up, and why.
CREATE TABLE debt (
    fold TEXT NOT NULL,
    report_id INTEGER NOT NULL REFERENCES report,
    cause TEXT,
    PRIMARY KEY (fold, report_id)
) WITHOUT ROWID;
-- Ranges that a node of a restored store is asked to send again. status: NULL until the node has answered.
CREATE TABLE ask (
    ident INTEGER PRIMARY KEY,
    life_id INTEGER NOT NULL REFERENCES life,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    since INTEGER NOT NULL,
    status INTEGER
);
CREATE INDEX ask_life ON ask (life_id);
