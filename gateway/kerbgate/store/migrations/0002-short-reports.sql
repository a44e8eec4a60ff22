-- A short report says only the low bits of index and time: they are resolved from the life's newest record, and
-- later, with the row's own first index and time, to the same again.
ALTER TABLE report ADD COLUMN time INTEGER;
ALTER TABLE life ADD COLUMN newest_index INTEGER;
ALTER TABLE life ADD COLUMN newest_time INTEGER;
