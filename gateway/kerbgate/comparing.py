"""`kerb gateway compare`: our readings beside those of another system, node by node.

The other system's readings come from a file: a CSV with the columns node and time and our names of the fields, or
documents of COUNCIL.md, one a line, as a subscriber of another gateway's topics writes them down. Readings of one node
are paired by time, each at most once, the nearest first; what is left over is only ours, or only theirs.
"""

import argparse
import csv
import io
import itertools
import json
import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from kerbgate import changes, config, decoding, shape
from kerbgate.errors import ComparisonError
from kerbgate.store.reader import Reader
from kerbwire.channels import CAUSE, CHANNELS, SPECIAL
from kerbwire.messages import Report

ABOUT = "Show our readings beside those of another system: what both have, what only one has, what differs."
MAX_READINGS = 1_000_000  # of either side: 400 MB; a week of a district's hourly levels
MAX_LINE = 4_000_000  # characters of one line: a batch of documents
WINDOW_S = 60
MAX_WINDOW_S = 3600
MAX_NEAR = 5_000_000  # pairs of one node that are near enough to choose from: 500 MB
MAX_TIME_S = 1 << 32  # what a node can say
MAX_NODES = 50  # that the plain text lists; --json has them all

_FIELDS = {shape.field_name(channel): channel for channel in CHANNELS.values()}
_EXACT = ("flags", "code")  # nothing to measure a difference by; systems name them each in its own way
_CAUSE = shape.field_name(CHANNELS[CAUSE])  # which a level change has, and no other record
_COMPARED = {name: channel for name, channel in _FIELDS.items() if channel.unit not in _EXACT}

Values = dict[str, float | None]  # by field; None: the channel has no value, such as no echo
Readings = dict[int, list[tuple[int, Values]]]  # by node: UTC seconds and values


@dataclass(slots=True)
class Difference:
    """Of one field: how many pairs differ by more than the tolerance, the largest difference, and where the first is.

    missing: of these, pairs in which one side has no value.
    """

    count: int = 0
    most: float = 0.0
    missing: int = 0
    first: str = ""


@dataclass(slots=True)
class Compared:
    """One node."""

    node: int
    both: int = 0
    only_ours: int = 0
    only_theirs: int = 0
    differ: dict[str, Difference] = field(default_factory=dict[str, Difference])


def arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add what the verb takes."""
    parser.add_argument("--with", dest="other", type=Path, required=True, metavar="FILE", help="CSV, or documents")
    parser.add_argument("--column", action="append", default=[], metavar="THEIRS=OURS", help="rename a column")
    parser.add_argument("--zone", help="time zone of times without one, such as Europe/London")
    parser.add_argument("--from", dest="begin", metavar="TIME", help="first time (default: theirs)")
    parser.add_argument("--to", dest="end", metavar="TIME", help="last time (default: theirs)")
    parser.add_argument("--window", type=_window, default=WINDOW_S, help=f"seconds between two of a pair ({WINDOW_S})")
    parser.add_argument("--tolerance", default="1", help='as deadband: steps, or field=number, ... (default: "1")')
    parser.add_argument("--node", type=int, help="only this one")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return parser


def command(given: argparse.Namespace) -> None:
    """Compare, and print. ComparisonError, StoreError."""
    loaded = config.load(given.config)
    zone = _zone(given.zone)
    try:
        raw = changes.parse_deadband(given.tolerance)
    except ValueError as error:
        raise ComparisonError(f"--tolerance {given.tolerance!r} cannot be used", str(error)) from error
    tolerance = {
        name: raw.get(channel.ident, 0.0) * channel.numerator / channel.denominator
        for name, channel in _COMPARED.items()
    }
    theirs = read_theirs(given.other, _columns(given.column), zone)
    times = [at_s for readings in theirs.values() for at_s, _ in readings]
    if not times:
        raise ComparisonError(f"{given.other} has no readings", "export some from the other system")
    begin = min(times) if given.begin is None else parse_time(given.begin, zone)
    end = max(times) if given.end is None else parse_time(given.end, zone)
    reader = Reader(loaded.gateway.state / "store.sqlite")
    try:
        ours = read_ours(reader, begin, end)
    finally:
        reader.close()
    found = compare(ours, within(theirs, begin, end), given.window, tolerance, given.node)
    if given.json:
        nodes = [asdict(one) for one in found]
        print(json.dumps({"v": 1, "from": _utc(begin), "to": _utc(end), "window_s": given.window, "nodes": nodes}))
    else:
        print(plain(found, begin, end))


def compare(
    ours: Readings, theirs: Readings, window_s: int, tolerance: Mapping[str, float], node: int | None = None
) -> list[Compared]:
    """Each node that either side has. tolerance: by field, in its unit."""
    nodes = sorted({*ours, *theirs}) if node is None else [node]
    return [_one(number, ours.get(number, []), theirs.get(number, []), window_s, tolerance) for number in nodes]


def _one(
    node: int,
    ours: list[tuple[int, Values]],
    theirs: list[tuple[int, Values]],
    window_s: int,
    tolerance: Mapping[str, float],
) -> Compared:
    ours, theirs = sorted(ours, key=_when), sorted(theirs, key=_when)
    out = Compared(node)
    pairs = pair([at_s for at_s, _ in ours], [at_s for at_s, _ in theirs], window_s)
    for mine, other in pairs:
        at_s, values = ours[mine]
        for name, value in theirs[other][1].items():
            if name in values:
                _difference(out, name, values[name], value, tolerance.get(name, 0.0), at_s)
    out.both = len(pairs)
    out.only_ours, out.only_theirs = len(ours) - len(pairs), len(theirs) - len(pairs)
    return out


def pair(ours: list[int], theirs: list[int], window_s: int) -> list[tuple[int, int]]:
    """Positions of pairs at most so far apart, each reading in at most one, the nearest first. Both lists ascend.

    ComparisonError if there are too many to choose from.
    """
    spans = [range(bisect_left(theirs, at_s - window_s), bisect_right(theirs, at_s + window_s)) for at_s in ours]
    if sum(map(len, spans)) > MAX_NEAR:
        raise ComparisonError(
            f"a node has more than {MAX_NEAR} pairs of readings within {window_s} s", "give a shorter --window, or time"
        )
    near = [
        (abs(at_s - theirs[other]), mine, other)
        for mine, (at_s, span) in enumerate(zip(ours, spans, strict=True))
        for other in span
    ]
    near.sort()
    taken_ours: set[int] = set()
    taken_theirs: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for _, mine, other in near:
        if mine not in taken_ours and other not in taken_theirs:
            taken_ours.add(mine)
            taken_theirs.add(other)
            pairs.append((mine, other))
    return sorted(pairs)


def _difference(out: Compared, name: str, mine: float | None, other: float | None, most: float, at_s: int) -> None:
    if mine is None and other is None:
        return
    missing = mine is None or other is None
    apart = 0.0 if mine is None or other is None else abs(mine - other)
    if not missing and apart <= most + 1e-9:
        return
    found = out.differ.setdefault(name, Difference(first=_utc(at_s)))
    found.count += 1
    found.missing += missing
    found.most = round(max(found.most, apart), 6)


def read_ours(reader: Reader, begin: int, end: int) -> Readings:
    """The records that the store has of a time, both ends included. No level changes: others have counts of them."""
    out: Readings = defaultdict(list)
    count = itertools.count(1)
    for row in reader.forwards():
        report = decoding.read(row.message, row.near)
        if not isinstance(report, Report):
            continue
        for record in shape.fresh(row, report):
            at_s = shape.seconds(row, report, record)
            if begin <= at_s <= end and CAUSE not in record.values:
                _bounded(next(count), "the store")
                out[row.node].append((at_s, _values(record.values)))
    return out


def _values(raw: Mapping[int, int]) -> Values:
    return {
        name: None if raw[channel.ident] in SPECIAL else float(shape.physical(channel, raw[channel.ident]))
        for name, channel in _COMPARED.items()
        if channel.ident in raw
    }


def within(readings: Readings, begin: int, end: int) -> Readings:
    """Those of a time."""
    return {node: [reading for reading in found if begin <= reading[0] <= end] for node, found in readings.items()}


def read_theirs(path: Path, columns: Mapping[str, str], zone: tzinfo | None) -> Readings:
    """The other system's readings. columns: our names by theirs. ComparisonError says file, line and what is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.read(1)
            text: Iterable[str] = itertools.chain((start + file.readline(MAX_LINE),), _lines(file))
            rows = _documents(text, path) if start == "{" else _csv(text, path, columns, zone)
            out: Readings = defaultdict(list)
            for number, (node, at_s, values) in enumerate(rows, 1):
                _bounded(number, str(path))
                out[node].append((at_s, values))
            return out
    except (OSError, UnicodeDecodeError) as error:
        raise ComparisonError(f"{path} cannot be read: {error}", "give a CSV in UTF-8, or documents") from error


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        yield line


def _csv(
    lines: Iterable[str], path: Path, columns: Mapping[str, str], zone: tzinfo | None
) -> Iterator[tuple[int, int, Values]]:
    table = csv.reader(lines)
    try:
        names = [columns.get(name.strip(), name.strip()) for name in next(table, list[str]())]
        twice = [name for name, count in Counter(names).items() if count > 1 and name in (*_COMPARED, "node", "time")]
        if "node" not in names or "time" not in names or twice or not set(names) & set(_COMPARED):
            raise ComparisonError(
                f"{path}:1: the columns {', '.join(names)[:200]} are not node, time and a field of ours, once each",
                "rename columns: --column bin_id=node --column level=fill_percent; fields: " + ", ".join(_COMPARED),
            )
        node, at = names.index("node"), names.index("time")
        fields = [(position, name) for position, name in enumerate(names) if name in _COMPARED]
        for row in table:
            if not row:
                continue
            try:
                if len(row) <= max(node, at):
                    raise ValueError("the line is too short")
                values: Values = {
                    name: _number(float(row[position])) if row[position].strip() else None
                    for position, name in fields
                    if position < len(row)
                }
                yield int(row[node]), parse_time(row[at], zone), values
            except ComparisonError as error:
                raise ComparisonError(f"{path}:{table.line_num}: {error.cause}", error.hint) from error
            except ValueError as error:
                raise ComparisonError(
                    f"{path}:{table.line_num}: {error}", "correct that line, or leave it out"
                ) from error
    except csv.Error as error:
        raise ComparisonError(f"{path}:{table.line_num}: {error}", "give a CSV with commas") from error


def _documents(lines: Iterable[str], path: Path) -> Iterator[tuple[int, int, Values]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document: Any = json.loads(line)
            for one in document.get("documents", [document]):
                if one.get("schema") == shape.SCHEMA:
                    yield from _document(cast(dict[str, Any], one))
        except ComparisonError as error:
            raise ComparisonError(f"{path}:{number}: {error.cause}", error.hint) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ComparisonError(
                f"{path}:{number}: this is no document: {type(error).__name__}: {error}",
                "write one document a line: mosquitto_sub -t 'kerbstone/1/+/+/readings'",
            ) from error


def _document(document: dict[str, Any]) -> Iterator[tuple[int, int, Values]]:
    for record in document["records"]:
        if _CAUSE in record:
            continue
        values = {name: _number(record[name]) for name in _COMPARED if name in record}
        yield int(document["node"]), parse_time(record["time"], None), values


def _number(value: object) -> float | None:
    """ValueError for what is no number that can be compared."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value} is no value")
    return float(value)


def parse_time(text: str, zone: tzinfo | None) -> int:
    """UTC seconds of an ISO 8601 time or a number of Unix seconds. ComparisonError."""
    text = text.strip()
    try:
        if text.replace(".", "", 1).isdecimal() and len(text.partition(".")[0]) >= 9:
            return _within_time(float(text))
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            if zone is None:
                raise ComparisonError(
                    f"the time {text!r} says no zone", "add Z or an offset, or say --zone Europe/London"
                )
            found = found.replace(tzinfo=zone)
        return _within_time(found.timestamp())
    except (ValueError, OverflowError) as error:
        raise ComparisonError(
            f"{text[:40]!r} is no time", "write it as 2026-03-01T12:00:00Z, or as Unix seconds, not milliseconds"
        ) from error


def _within_time(seconds: float) -> int:
    if not 0 <= seconds < MAX_TIME_S:
        raise ValueError("no time of a node")
    return round(seconds)


def plain(found: list[Compared], begin: int, end: int) -> str:
    """For a terminal: the nodes with most to look at first."""
    total = Compared(0)
    for one in found:
        total.both += one.both
        total.only_ours += one.only_ours
        total.only_theirs += one.only_theirs
    lines = [
        f"compared  {_utc(begin)} to {_utc(end)}, {len(found)} nodes: {total.both} readings of both, "
        f"{total.only_ours} only ours, {total.only_theirs} only theirs"
    ]
    for one in sorted(found, key=_weight)[:MAX_NODES]:
        counts = f"{one.both} of both, {one.only_ours} only ours, {one.only_theirs} only theirs"
        lines.append(f"node      {one.node}: {counts}")
        for name, difference in sorted(one.differ.items()):
            missing = f", {difference.missing} without a value on one side" if difference.missing else ""
            lines.append(
                f"            {name}: {difference.count} differ, by {difference.most:g} at most{missing}; "
                f"the first at {difference.first}"
            )
    if len(found) > MAX_NODES:
        lines.append(f"          and {len(found) - MAX_NODES} more: --json lists them all")
    return "\n".join(lines)


def _weight(one: Compared) -> tuple[int, int]:
    return (-(one.only_ours + one.only_theirs + sum(found.count for found in one.differ.values())), one.node)


def _window(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > MAX_WINDOW_S:
        raise argparse.ArgumentTypeError(f"use seconds from 0 to {MAX_WINDOW_S}")
    return int(text)


def _columns(given: list[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for text in given:
        theirs, equals, ours = text.rpartition("=")
        if not equals or ours not in (*_COMPARED, "node", "time"):
            raise ComparisonError(
                f"--column {text!r} names no field of ours",
                "write THEIRS=OURS; ours: node, time, " + ", ".join(_COMPARED),
            )
        out[theirs] = ours
    return out


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ComparisonError(
            f"--zone {name!r} is not known here", "write UTC, or a name such as Europe/London"
        ) from error


def _bounded(count: int, what: str) -> None:
    if count > MAX_READINGS:
        raise ComparisonError(
            f"{what} has more than {MAX_READINGS} readings of that time", "compare a shorter time: --from, --to"
        )


def _when(reading: tuple[int, Values]) -> int:
    return reading[0]


def _utc(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()[:19] + "Z"
