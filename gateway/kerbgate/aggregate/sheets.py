"""Sheets: what one node sampled on one UTC day, as packed samples in the order in which they came.

A sheet is made of segments, one for the records of a report that have the same channels and lie on the same day:

    life_id 4, channel mask 4, samples 2, flags 1     then for each sample: second of the day 4, index 4, values 4 each

All little-endian, values signed and raw as on the wire, by ascending channel. Appending is all that a commit does, so
it costs the same whatever the order of arrival, and nothing has to be undone when late records come.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

from kerbgate import shape
from kerbgate.store.bulk import Bulk
from kerbgate.store.items import NewReport
from kerbwire.channels import CAUSE

DAY_S = 86400
MAX_SHEET = 1 << 18  # bytes: a day of level changes every ten seconds; of what comes beyond, only reports are kept
DERIVED = 1  # flag of a segment: the node's clock was unset, and the times were counted back from the arrival
BEYOND = "beyond full sheets"  # a name in rollup_meta: how often records came for a sheet that was full
_HEAD = Struct("<IIHB")
_APPEND = Bulk(
    "INSERT INTO sheet (sheet_id, samples)",
    2,
    # || of two blobs makes a text of the same bytes
    "ON CONFLICT DO UPDATE SET samples=CAST(samples || excluded.samples AS BLOB) WHERE length(samples) < ?",
)
_STALE = Bulk("INSERT OR IGNORE INTO sheet_stale (sheet_id)", 1)

_REFUSE = "INSERT INTO rollup_meta VALUES (?,?) ON CONFLICT DO UPDATE SET value = value + excluded.value"


@dataclass(frozen=True, slots=True)
class Segment:
    """Samples of one report: (second of the day, index, values by ascending channel)."""

    life_id: int
    channels: tuple[int, ...]
    derived: bool
    rows: list[tuple[int, ...]]

    @property
    def is_changes(self) -> bool:
        """Level changes: a trace of movement on an adaptive street, of which roll-ups keep counts only."""
        return CAUSE in self.channels


def sheet_of(day: int, node: int) -> int:
    """The id of a sheet; ids of a day lie together. day: since 1970, UTC."""
    return day << 16 | node


def append(db: sqlite3.Connection, new: Iterable[NewReport]) -> None:
    """Put new records on their nodes' sheets. Inside a transaction."""
    parts: dict[int, bytes] = {}
    for item in new:
        for sheet, data in _segments(item):
            parts[sheet] = parts[sheet] + data if sheet in parts else data
    written = _APPEND.run(db, list(parts.items()), MAX_SHEET)
    _STALE.run(db, [(sheet,) for sheet in parts])
    if written < len(parts):
        db.execute(_REFUSE, (BEYOND, len(parts) - written))


def _segments(item: NewReport) -> Iterator[tuple[int, bytes]]:
    row, report = item.row, item.report
    records = report.records
    if row.fresh is not None:
        records = [record for offset, record in enumerate(records) if row.fresh >> offset & 1]
    derived = report.boot is not None
    runs: dict[tuple[int, ...], list[int]] = {}
    for record in records:
        time = max(shape.seconds(row, report, record), 0) if derived else record.time
        values = record.values
        key = (time // DAY_S, *values)
        run = runs.get(key)
        if run is None:
            run = runs[key] = []
        run += (time % DAY_S, record.index, *values.values())
    for (day, *channels), run in runs.items():
        width = len(channels)
        mask, ascending = _mask(tuple(channels))
        count = len(run) // (width + 2)
        head = _HEAD.pack(item.life_id, mask, count, DERIVED if derived else 0)
        body = _rows(count, width).pack(*(run if ascending else _sorted(run, channels)))
        yield sheet_of(day, row.node), head + body


@lru_cache(maxsize=1024)
def _mask(channels: tuple[int, ...]) -> tuple[int, bool]:
    return sum(1 << channel for channel in channels), channels == tuple(sorted(channels))


@lru_cache(maxsize=1024)
def _rows(count: int, width: int) -> Struct:
    return Struct("<" + ("II" + "i" * width) * count)


@lru_cache(maxsize=64)
def _row(width: int) -> Struct:
    return Struct("<II" + "i" * width)


@lru_cache(maxsize=256)
def _channels(mask: int) -> tuple[int, ...]:
    return tuple(channel for channel in range(32) if mask >> channel & 1)


def _sorted(run: list[int], channels: list[int]) -> list[int]:
    """The samples of a run with their values by ascending channel."""
    order = sorted(range(len(channels)), key=channels.__getitem__)
    width = len(channels) + 2
    out: list[int] = []
    for start in range(0, len(run), width):
        out += run[start : start + 2]
        out += [run[start + 2 + place] for place in order]
    return out


def segments(samples: bytes, start: int = 0) -> Iterator[Segment]:
    """The segments of a sheet from byte `start`, which is the beginning of one."""
    view = memoryview(samples)
    while start < len(samples):
        life_id, mask, count, flags = _HEAD.unpack_from(samples, start)
        channels = _channels(mask)
        row = _row(len(channels))
        start += _HEAD.size
        end = start + count * row.size
        yield Segment(life_id, channels, bool(flags & DERIVED), list(row.iter_unpack(view[start:end])))
        start = end
