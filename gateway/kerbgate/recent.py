"""What was just committed, as rows and decoded: in the usual case nothing is read or decoded again on its way out.

Pumps go from the oldest to the newest. So what no pump has asked for yet is never dropped for something newer: an
outlet that lags behind would then find nothing here at all.
"""

from collections import OrderedDict
from collections.abc import Sequence

from kerbgate import decoding
from kerbgate.store.items import StoredReport
from kerbwire.events import Event
from kerbwire.messages import Report

MAX_WEIGHT = 24_000  # 8,000 single readings or 900 reports of 24: 7 MB


class Recent:
    """Reports and events by report_id; bounded by their weight, a third of a KB each."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[StoredReport, Report | Event]] = OrderedDict()
        self._weight = 0
        self._asked = 0  # the highest report_id that a pump has asked for

    def put(self, row: StoredReport, report: Report | Event) -> None:
        """Keep it, if there is room."""
        kept = self._kept
        weight = row.count + 2
        self._weight += weight
        while self._weight > MAX_WEIGHT and kept and next(iter(kept)) <= self._asked:
            self._weight -= kept.popitem(last=False)[1][0].count + 2
        if self._weight > MAX_WEIGHT:
            self._weight -= weight
        else:
            kept[row.report_id] = row, report

    def rows(self, report_ids: Sequence[int]) -> list[StoredReport] | None:
        """Their rows, or None if one of them is not here."""
        kept = self._kept
        try:
            return [kept[report_id][0] for report_id in report_ids]
        except KeyError:
            return None

    def get(self, row: StoredReport) -> Report | Event | None:
        """What a row holds, from memory or from its bytes; None if this program is older than the one that took it."""
        report_id = row.report_id
        if report_id > self._asked:
            self._asked = report_id
        found = self._kept.get(report_id)
        if found is not None:
            return found[1]
        decoded = decoding.read(row.message, row.near)
        return decoded if isinstance(decoded, Report | Event) else None
