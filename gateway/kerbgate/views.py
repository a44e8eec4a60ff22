"""What one outlet gets of a committed report: all of it, or what moved; level changes, or their counts.

Level changes of a lamp tell, by the second, who passed it. They go to an outlet that settles the electricity bill, and
to no other: those get how many there were in each quarter hour.
"""

from collections import Counter
from dataclasses import dataclass, replace

from kerbgate import event_document, shape
from kerbgate.changes import Changes, Told
from kerbgate.store.items import StoredReport
from kerbwire.channels import CAUSE
from kerbwire.events import Event
from kerbwire.messages import Record, Report


@dataclass(slots=True)
class Seen:
    """The document of a report for one outlet. payload: None where there is nothing to say.

    told: what the outlet knows once it has acknowledged that. suppressed, withheld: records and level changes that did
    not go.
    """

    topic: str
    payload: bytes | None
    told: Told | None = None
    suppressed: int = 0
    withheld: int = 0


class View:
    """One outlet's view. prefix: the first levels of its topics. changes: None where every record goes."""

    def __init__(self, prefix: str, settlement: bool, changes: Changes | None = None):
        self._prefix = prefix
        self._settlement = settlement
        self._changes = changes

    def see(self, row: StoredReport, report: Report | Event) -> Seen:
        """The document of a report or an event. In change-only, reports of a node are seen in their order."""
        if isinstance(report, Event):
            return Seen(event_document.topic(self._prefix, row), event_document.payload(row, report))
        topic = shape.topic(self._prefix, row)
        counts = None if self._settlement else _level_changes(row, report)
        changes = self._changes
        if changes is None and not counts:
            return Seen(topic, shape.payload(row, report))
        records = shape.fresh(row, report)
        withheld = 0
        if counts:
            withheld = counts.total()
            records = [record for record in records if CAUSE not in record.values]
        if changes is None:
            return Seen(topic, shape.payload(row, report, records, level_changes=counts), withheld=withheld)
        going, before, told = changes.judge(row, report, records)
        payload = None
        if going or counts:
            payload = shape.payload(row, report, going, level_changes=counts, suppressed=before)
            if told is not None and told.suppressed:  # it says so: the next document counts from here
                told = replace(told, suppressed=0)
        changes.tell(row, told)
        return Seen(topic, payload, told, len(records) - len(going), withheld)


def _level_changes(row: StoredReport, report: Report) -> "Counter[int] | None":
    """How many there are by quarter hour, or None."""
    for record in report.records:
        if CAUSE in record.values:
            break
    else:
        return None
    return Counter(
        at_s - at_s % shape.QUARTER_S
        for at_s in (shape.seconds(row, report, record) for record in shape.fresh(row, report) if _is_change(record))
    )


def _is_change(record: Record) -> bool:
    return CAUSE in record.values
