"""What waits for each outlet, since when, and why: `kerb queue`."""

from typing import Any

from kerbgate.field.sight import Sight
from kerbgate.store.items import NO_OUTLET

MAX_COUNT = 1_000_000  # a count ends there

_NAMES = "SELECT min(outlet) FROM {table} WHERE outlet > ?"
_REPORTS = "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE outlet=? LIMIT ?)"
_OLDEST = (
    "SELECT report_id, received FROM outbox JOIN report USING (report_id) WHERE outlet=? ORDER BY report_id LIMIT 1"
)
_NEWEST = "SELECT max(report_id) FROM outbox WHERE outlet=?"
_ALARMS = "SELECT count(*) FROM (SELECT 1 FROM alarm_outbox WHERE outlet=? LIMIT ?)"
_ROLLUPS = "SELECT count(*), coalesce(sum(due <= ?), 0) FROM (SELECT due FROM rollup_outbox WHERE outlet=? LIMIT ?)"


def queues(sight: Sight, now_s: float) -> list[dict[str, Any]]:
    """One row for each outlet that something waits for, by name. Ages in seconds."""
    names = sorted({name for table in ("outbox", "alarm_outbox", "rollup_outbox") for name in _names(sight, table)})
    return [_queue(sight, name, now_s) for name in names]


def _queue(sight: Sight, name: str, now_s: float) -> dict[str, Any]:
    db = sight.db
    oldest = db.execute(_OLDEST, (name,)).fetchone()
    rollups, due = db.execute(_ROLLUPS, (int(now_s), name, MAX_COUNT)).fetchone()
    return {
        "outlet": name,
        "inherits": name == NO_OUTLET,
        "reports": sight.one(_REPORTS, name, MAX_COUNT),
        "oldest_report": None if oldest is None else oldest[0],
        "newest_report": sight.one(_NEWEST, name),
        "oldest_age_s": None if oldest is None else max(round(now_s - oldest[1] / 1000), 0),
        "alarms": sight.one(_ALARMS, name, MAX_COUNT),
        "rollups": rollups,
        "rollups_due": due,
    }


def _names(sight: Sight, table: str) -> list[str]:
    """The different outlets of a table, without reading all of it."""
    found: list[str] = []
    after = ""
    while (after := sight.one(_NAMES.format(table=table), after)) is not None:
        found.append(after)
    return found
