"""What was just committed, decoded: so that in the usual case nothing is decoded twice on its way out.

Pumps go from the oldest to the newest. So what no pump has asked for yet is never dropped for something newer: an
outlet that lags behind would then find nothing here at all.
"""

from collections import OrderedDict

from kerbgate import decoding
from kerbgate.store.items import StoredReport
from kerbwire.events import Event
from kerbwire.messages import Report

MAX_RECORDS = 8_000  # some seconds of a full district: 8 MB


class Recent:
    """Reports and events by report_id; bounded by the records in them."""

    def __init__(self) -> None:
        self._reports: OrderedDict[int, Report | Event] = OrderedDict()
        self._records = 0
        self._asked = 0  # the highest report_id that a pump has asked for

    def put(self, report_id: int, report: Report | Event) -> None:
        """Keep it, if there is room."""
        reports = self._reports
        self._records += _size(report)
        while self._records > MAX_RECORDS and reports and next(iter(reports)) <= self._asked:
            self._records -= _size(reports.popitem(last=False)[1])
        if self._records > MAX_RECORDS:
            self._records -= _size(report)
        else:
            reports[report_id] = report

    def get(self, row: StoredReport) -> Report | Event | None:
        """What a row holds, from memory or from its bytes; None if this program is older than the one that took it."""
        report_id = row.report_id
        if report_id > self._asked:
            self._asked = report_id
        report = self._reports.get(report_id)
        if report is not None:
            return report
        decoded = decoding.read(row.message, row.near)
        return decoded if isinstance(decoded, Report | Event) else None


def _size(report: Report | Event) -> int:
    return 1 + len(report.records) if isinstance(report, Report) else 1
