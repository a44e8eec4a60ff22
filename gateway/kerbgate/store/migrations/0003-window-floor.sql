-- The number that a window began with: lower ones are replays.
ALTER TABLE window ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
