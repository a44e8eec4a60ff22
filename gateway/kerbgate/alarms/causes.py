"""What a record says about the kinds of alarms: which causes are there, and which it shows to be absent."""

from collections.abc import Mapping, Sequence
from typing import Any

from kerbgate import event_document
from kerbgate.alarms import kinds
from kerbgate.alarms.places import Place
from kerbgate.sun import Sun
from kerbwire.channels import BATTERY, BY_COMMAND, CAUSE, FAULT, FAULTS, LEVEL, POWER, QUALITY, SPECIAL
from kerbwire.messages import Record, Report

LIT_POWER = 50  # tenths of a watt: above what a driver takes in standby
SUN_UP_DEG = 3.0  # a lamp that burns with the sun so high burns by day, whatever hill or cloud is about
DOUBTS = 24  # records in a row with a quality flag: a day of a bin; single ones are the weather's
BATTERY_STEP = 5  # raw, 50 mV: above the limit before it counts as well again

Found = dict[str, Mapping[int, int] | None]  # by kind: its evidence, raw, or None where it is shown to be absent


class Causes:
    """Reads records. battery_low: raw (10 mV). middle: the site's position, for nodes without one."""

    def __init__(self, battery_low: int):
        self.battery_low = battery_low
        self.middle: tuple[float, float] | None = None
        self.commanded: set[int] = set()  # nodes whose last level change was by a command
        self._sun = Sun()
        self._doubts: dict[int, int] = {}  # by node, of those whose newest record has a quality flag: how many in a row

    def learn(self, node: int, records: Sequence[Record]) -> None:
        """Why a lamp burns: only its level changes say it, the records after them do not."""
        if CAUSE in records[-1].values:
            (self.commanded.add if records[-1].values[CAUSE] == BY_COMMAND else self.commanded.discard)(node)

    def doubt(self, node: int, records: Sequence[Record]) -> bool:
        """Whether a node's sensor has been in doubt for long. Asked once for the records of each report."""
        if records[-1].values.get(QUALITY, 0) <= 0:
            if node in self._doubts:
                del self._doubts[node]
            return False
        run = 0
        for record in reversed(records):
            if record.values.get(QUALITY, 0) <= 0:
                break
            run += 1
        run = min(run + (self._doubts.get(node, 0) if run == len(records) else 0), DOUBTS)
        self._doubts[node] = run
        return run == DOUBTS

    def notable(self, node: int, values: Mapping[int, int], time_s: int | None, place: Place | None) -> bool:
        """Whether a record has a cause of anything in it. Asked for each report: most have none.

        time_s: None where the node's clock was unset.
        """
        if values.get(FAULTS, 0) > 0:
            return True
        battery = values.get(BATTERY)
        if battery is not None and 0 <= battery < self.battery_low:
            return True
        for raw in values.values():
            if raw == FAULT:
                return True
        if time_s is None or node in self.commanded:
            return False
        return self._burns_by_day(values, time_s, place)

    def read(self, values: Mapping[int, int], time_s: int | None, place: Place | None, doubtful: bool = False) -> Found:
        """Of each kind that this record speaks about."""
        found: Found = {}
        if doubtful:
            found[kinds.DOUBTFUL] = _some(values, QUALITY)
        elif values.get(QUALITY) == 0:
            found[kinds.DOUBTFUL] = None
        faults = values.get(FAULTS)
        if faults is not None and faults >= 0:
            for bit, name in kinds.OF_BIT.items():
                found[name] = _some(values, FAULTS, LEVEL, POWER) if faults & bit else None
        battery = values.get(BATTERY)
        if battery is not None and battery >= 0:
            if battery < self.battery_low:
                found[kinds.BATTERY_LOW] = {BATTERY: battery}
            elif battery >= self.battery_low + BATTERY_STEP:
                found[kinds.BATTERY_LOW] = None
        found[kinds.SENSOR_FAULT] = {ident: raw for ident, raw in values.items() if raw == FAULT} or None
        if LEVEL in values and time_s is not None:
            burns = self._burns_by_day(values, time_s, place)
            found[kinds.DAY_BURNER] = _some(values, LEVEL, POWER) if burns else None
        return found

    def since(self, report: Report, received_ms: int, kind: str, place: Place | None) -> int:
        """UTC seconds of the first of the last records of a report that all have a cause."""
        since = report.records[-1].time
        for record in reversed(report.records):
            known = record.time if report.boot is None else None
            if self.read(record.values, known, place, record.values.get(QUALITY, 0) > 0).get(kind) is None:
                break
            since = record.time
        return since if report.boot is None else round(received_ms / 1000) - max((report.uptime_now or 0) - since, 0)

    def sun_deg(self, time_s: float, place: Place | None) -> float | None:
        """The sun's elevation where a node is; None where nobody knows where that is."""
        if place is not None and place.latitude is not None and place.longitude is not None:
            return self._sun.elevation(time_s, place.latitude, place.longitude)
        return None if self.middle is None else self._sun.elevation(time_s, *self.middle)

    def _burns_by_day(self, values: Mapping[int, int], time_s: int, place: Place | None) -> bool:
        power = values.get(POWER)
        if values.get(LEVEL, 0) <= 0:
            return False
        if power is not None and power not in SPECIAL and power <= LIT_POWER:
            return False
        sun = self.sun_deg(time_s, place)
        return sun is not None and sun > SUN_UP_DEG


def _some(values: Mapping[int, int], *idents: int) -> dict[int, int]:
    return {ident: values[ident] for ident in idents if ident in values}


def named(evidence: Mapping[int, int]) -> dict[str, Any]:
    """Raw evidence as the council gets it: channel names with units."""
    values, _, missing = event_document.evidence(dict(evidence))
    return values | missing
