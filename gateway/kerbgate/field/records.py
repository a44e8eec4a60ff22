"""Records and events in the order in which they were committed: what `kerb tail` shows.

Level changes tell by the second who passed a lamp: here they are a count, whoever asks.
"""

from collections.abc import Iterable
from typing import Any

from kerbgate import decoding, event_document, shape
from kerbgate.errors import ControlError
from kerbgate.field.sight import Sight
from kerbgate.store.books import from_column
from kerbgate.store.items import StoredReport
from kerbwire.channels import CAUSE, CHANNELS
from kerbwire.events import Event
from kerbwire.messages import Report

MAX_ROWS = 500  # reports of one answer
MAX_RECORDS = 2000  # and records of them, but for those of the last report
SCAN = 100_000  # rows that are looked through for one node's newest: a tenth of a second

_SELECT = (
    "SELECT report_id, node, site, role, life, received, synchronised, first, count, fresh, message, time"
    " FROM report JOIN life USING (life_id) WHERE report.state='decoded' AND report_id > ?1"
)
_OF_NODE = " AND report.life_id IN (SELECT life_id FROM life WHERE node=?3)"


def tail(sight: Sight, request: dict[str, Any]) -> dict[str, Any]:
    """Rows after the report `after`, oldest first; without it the newest `limit`. `after` of the answer: go on there.

    node: only of this one. ControlError.
    """
    after, limit, node = request.get("after"), request.get("limit", 20), request.get("node")
    for name, value, high in (("after", after, 1 << 62), ("limit", limit, MAX_ROWS), ("node", node, 65535)):
        if value is not None and (type(value) is not int or not 0 <= value <= high):
            raise ControlError(f"{name} is no such number", f"use 0 to {high}")
    newest: int = sight.one("SELECT max(report_id) FROM report") or 0
    floor = after if after is not None else max(newest - SCAN, 0) if node is not None else 0
    order = "" if after is not None else " DESC"
    query = f"{_SELECT}{_OF_NODE if node is not None else ''} ORDER BY report_id{order} LIMIT ?2"
    rows = sight.db.execute(query, (floor, limit, node) if node is not None else (floor, limit)).fetchall()
    if after is None:
        rows.reverse()
    lines: list[dict[str, Any]] = []
    reached = after or 0
    for row in rows:
        if after is not None and len(lines) >= MAX_RECORDS:
            return {"rows": lines, "after": reached}
        lines += _lines(_report(row))
        reached = row[0]
    if len(rows) < limit or after is None:  # no more were there; of those that came meanwhile some may be among them
        reached = max(reached, newest)
    return {"rows": lines if after is not None else lines[-MAX_RECORDS:], "after": reached}


def _lines(row: StoredReport) -> Iterable[dict[str, Any]]:
    decoded = decoding.read(row.message, row.near)
    about = {"node": row.node, "site": row.site, "role": row.role, "received_ms": row.received_ms}
    if isinstance(decoded, Event):
        values, _, missing = event_document.evidence(decoded.values)
        found = event_document.document(row, decoded)
        told = {name: found[name] for name in ("index", "time", "time_quality", "event", "severity", "state")}
        yield about | told | {"values": values | missing}
    elif isinstance(decoded, Report):
        yield from ({**about, **line} for line in _of_report(row, decoded))


def _report(row: tuple[Any, ...]) -> StoredReport:
    fields = list(row)
    fields[9] = from_column(row[9])  # fresh
    return StoredReport(*fields)


def _of_report(row: StoredReport, report: Report) -> Iterable[dict[str, Any]]:
    records = shape.fresh(row, report)
    quality = "clock" if report.boot is None else "derived"
    changes = sum(1 for record in records if CAUSE in record.values)
    if changes:
        quarter_s = row.received_ms // 900_000 * 900
        yield {
            "level_changes": changes, "time_s": quarter_s, "time_quality": "quarter hour",
            "received_ms": quarter_s * 1000,
        }  # fmt: skip
    for record in records:
        if CAUSE not in record.values:
            yield {
                "index": record.index,
                "time_s": shape.seconds(row, report, record),
                "time_quality": quality,
                "values": values_of(record.values),
            }


def values_of(raw: dict[int, int]) -> dict[str, Any]:
    """Values by the names of the documents; what a record said instead of a value stands in its place."""
    values, _, missing = event_document.evidence({ident: raw[ident] for ident in raw if ident in CHANNELS})
    return values | missing
