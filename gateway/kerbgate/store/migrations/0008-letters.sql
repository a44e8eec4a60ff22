-- What an outlet with changes only was told last of a life, and the council has acknowledged. index: of the record. time:
-- UTC seconds. suppressed: records since then that did not go. values: JSON, raw values by number of channel.
CREATE TABLE told (
    outlet TEXT NOT NULL,
    node INTEGER NOT NULL,
    life BLOB NOT NULL,
    "index" INTEGER NOT NULL,
    time INTEGER NOT NULL,
    suppressed INTEGER NOT NULL,
    "values" TEXT NOT NULL,
    PRIMARY KEY (outlet, node, life)
) WITHOUT ROWID;
