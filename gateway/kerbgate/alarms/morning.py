"""The morning list: what is out, burns by day, is without supply or not heard, and which bins are due, as one CSV.

One row a node and kind, for those who plan the day's rounds. Written whole under a temporary name, synced, renamed.
"""

import contextlib
import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kerbgate.alarms import listing, rows, table
from kerbgate.alarms.kinds import BINS, LISTED, Kind
from kerbgate.alarms.places import Places
from kerbgate.errors import ControlError

COLUMNS = (
    "site", "node", "place", "kind", "since", "route", "severity", "state", "alarm", "evidence",
    "latitude", "longitude", "maintenance", "id",
)  # fmt: skip
MAX_ROWS = 50_000  # five kinds of each node of a full district
MAX_FILES = 1000
_NAME = re.compile(r"morning-\d{4}-\d\d-\d\d\.csv")
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for a formula, or for its begin


@dataclass(frozen=True, slots=True)
class DueBin:
    """A bin that will be full. since: UTC seconds of the forecast; evidence: such as hours to full, by name."""

    node: int
    since: int
    evidence: dict[str, Any]


DueBins = Callable[[], Iterable[DueBin]]


def no_bins() -> Iterable[DueBin]:
    """The DueBins of a gateway that forecasts none."""
    return ()


def rows_of(path: Path, kinds: Mapping[str, Kind], places: Places, due: Iterable[DueBin] = ()) -> list[dict[str, Any]]:
    """The rows, by kind in the order of LISTED, then place and node. Opens the store to read it: for a thread."""
    found: dict[tuple[str, int, str], dict[str, Any]] = {}
    with contextlib.closing(listing.reading(path)) as db:
        parents: dict[int, rows.Alarm] = {}
        alarms = [rows.of_row(row) for row in db.execute(f"{rows.SELECT} WHERE ended IS NULL ORDER BY alarm_id")]
        parents = {alarm.alarm_id: alarm for alarm in alarms if alarm.node is None}
        for alarm in alarms:
            shown = parents.get(alarm.parent, alarm) if alarm.parent is not None else alarm
            kind = kinds.get(shown.kind)
            if alarm.node is None or kind is None or not kind.listed or alarm.state == table.PENDING:
                continue
            if alarm.state in table.PRESENT:
                place = places.get(alarm.node, alarm.role)
                covering = alarm.suppressed if alarm.state in table.COVERED else None
                found[kind.listed, alarm.node, shown.kind] = _row(
                    places, place.node, kind.listed, alarm.since, kind.route, listing.SEVERITIES[shown.severity],
                    shown.state, shown.kind, alarm.evidence, covering, shown.ident,
                )  # fmt: skip
    for one in due:
        if not any(key[:2] == (BINS, one.node) for key in found):
            found[BINS, one.node, "forecast"] = _row(
                places, one.node, BINS, one.since, "contractor", "notice", "forecast", "hours to full", one.evidence,
                None, "",
            )  # fmt: skip
    ordered = sorted(found.values(), key=lambda row: (LISTED.index(row["kind"]), row["place"], row["node"]))
    return ordered[:MAX_ROWS]


def _row(
    places: Places, node: int, listed: str, since: int, route: str, severity: str, state: str, kind: str,
    evidence: dict[str, Any], maintenance: int | None, ident: str,
) -> dict[str, Any]:  # fmt: skip
    place = places.get(node)
    said = "; ".join(f"{name}={value}" for name, value in evidence.items())
    return {
        "site": place.site, "node": node, "place": place.where, "kind": listed, "since": rows.stamp(since),
        "route": route, "severity": severity, "state": state, "alarm": kind, "evidence": said,
        "latitude": "" if place.latitude is None else place.latitude,
        "longitude": "" if place.longitude is None else place.longitude,
        "maintenance": "" if maintenance is None else maintenance, "id": ident,
    }  # fmt: skip


def text(found: Iterable[Mapping[str, Any]]) -> str:
    """The CSV (RFC 4180) of such rows. A text that a spreadsheet would take for a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in found:
        writer.writerow([harmless(row[column]) for column in COLUMNS])
    return out.getvalue()


def harmless(value: Any) -> Any:
    """A cell that a spreadsheet shows as it is. Numbers stay numbers."""
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.startswith(_STARTS) else value


def write(folder: Path, day: str, found: Iterable[Mapping[str, Any]], keep_days: int) -> Path:
    """Write the list of a day (YYYY-MM-DD) and take away those beyond `keep_days`. ControlError if it cannot be."""
    path = folder / f"morning-{day}.csv"
    draft = path.with_name(f".{path.name}.new")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text(found))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for old in files(folder)[: -min(keep_days, MAX_FILES)]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise ControlError(
            f"the morning list cannot be written to {folder}: {error.strerror}", "correct folder = in [morning]"
        ) from error
    return path


def files(folder: Path) -> list[Path]:
    """The lists that are there, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def due_day(folder: Path, utc_s: float, zone: ZoneInfo, hour: int) -> str | None:
    """The day whose list is to be written now; None while it is there, or its hour has not come."""
    local = datetime.fromtimestamp(utc_s, zone)
    day = f"{local:%Y-%m-%d}"
    return day if local.hour >= hour and not (folder / f"morning-{day}.csv").exists() else None
