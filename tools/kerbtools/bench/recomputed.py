"""Roll-ups recomputed from the raw records of a store in the straightforward way: one pass, one list for each period.

It shares no code with the making of roll-ups: only the names and units of channels, and the documents to compare.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kerbgate import decoding
from kerbgate.aggregate import Calendar, documents
from kerbgate.aggregate import nodes as node_periods
from kerbgate.shape import field_name, physical
from kerbgate.store import Reader
from kerbgate.store.books import from_column
from kerbwire.channels import (
    CAUSE,
    CHANNELS,
    ENERGY,
    FAULT,
    FAULTS,
    HOURS,
    LEVEL,
    NO_ECHO,
    NOT_FITTED,
    POWER,
    PRESENCE,
    QUALITY,
    QUALITY_FLAGS,
)
from kerbwire.council import FAULT_FLAGS
from kerbwire.messages import Report

SPECIALS = {NO_ECHO: "no echo", FAULT: "fault", NOT_FITTED: "not fitted"}
LEVELS = ("15min", "hour", "day")
_FLAG_NAMES = {QUALITY: QUALITY_FLAGS, FAULTS: {bit: flag.name for bit, flag in FAULT_FLAGS.items()}}
Flows = dict[int, list[int]]  # by quarter, UTC seconds: Wh, s measured, s estimated, s lit, s of which that is known


@dataclass(frozen=True, order=True, slots=True)
class Raw:
    """One committed record. life: the store's number of it."""

    time: int
    life: int
    index: int
    node: int
    site: str
    derived: bool
    values: dict[int, int]


def raw_records(path: Path) -> list[Raw]:
    """Every committed record, from the raw rows, with times as the documents have them."""
    out: list[Raw] = []
    with contextlib.closing(Reader(path)) as reader:
        rows = reader.connection.execute(
            "SELECT node, site, life_id, received, first, time, fresh, message FROM report JOIN life USING (life_id)"
            " WHERE report.state='decoded'"
        )
        for node, site, life, received, first, first_time, fresh, message in rows:
            report = decoding.read(message, None if first_time is None else (first, first_time))
            if not isinstance(report, Report):
                continue
            mask = from_column(fresh)
            derived = report.boot is not None
            for offset, record in enumerate(report.records):
                if mask is not None and not mask >> offset & 1:
                    continue
                at_s = record.time
                if derived:
                    latest = received / 1000
                    at_s = max(round(min(latest - (report.uptime_now or 0) + at_s, latest)), 0)
                out.append(Raw(at_s, life, record.index, node, site, derived, record.values))
    return out


def start_of(zone: ZoneInfo, level: str, at_s: int) -> int:
    """The period's first second, by the wall clock of the council."""
    if level == "15min":
        return at_s - at_s % 900
    local = datetime.fromtimestamp(at_s, zone)
    if level == "hour":
        return int((local.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second)).timestamp())
    return int(datetime(local.year, local.month, local.day, tzinfo=zone).timestamp())


def end_of(zone: ZoneInfo, level: str, start_s: int) -> int:
    """The second after its last."""
    if level != "day":
        return start_s + (900 if level == "15min" else 3600)
    following = datetime.fromtimestamp(start_s, zone).date() + timedelta(days=1)
    return int(datetime(following.year, following.month, following.day, tzinfo=zone).timestamp())


def recompute(
    records: Iterable[Raw], flows: Iterable[Flows], zone: ZoneInfo, level: str, *, ends: bool
) -> dict[str, dict[str, Any]]:
    """All periods of some nodes' records as documents, by their start. ends: with first and last, of a single node."""
    periods: dict[int, list[Raw]] = defaultdict(list)
    for raw in records:
        periods[start_of(zone, level, raw.time)].append(raw)
    energy: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for found in flows:
        for quarter, flow in found.items():
            into = energy[start_of(zone, level, quarter)]
            for place in range(5):
                into[place] += flow[place]
    out: dict[str, dict[str, Any]] = {}
    for start_s in sorted(periods.keys() | {at_s for at_s, flow in energy.items() if any(flow)}):
        body: dict[str, Any] = {"start": _text(start_s), "end": _text(end_of(zone, level, start_s))}
        if level == "day":
            body["day"] = datetime.fromtimestamp(start_s, zone).date().isoformat()
        samples = [raw for raw in sorted(periods[start_s], key=_order) if CAUSE not in raw.values]
        body["records"] = len(samples)
        if any(raw.derived for raw in samples):
            body["derived_times"] = sum(raw.derived for raw in samples)
        if len(periods[start_s]) > len(samples):
            body["level_changes"] = len(periods[start_s]) - len(samples)
        channels = dict(_channels(samples, ends=ends))
        if channels:
            body["channels"] = channels
        used, measured, estimated, lit, known = energy[start_s]
        if measured or estimated:
            body["energy"] = {"wh": used, "measured_s": measured, "estimated_s": estimated}
        if known:
            body["burning"] = {"lit_s": lit, "known_s": known}
        out[body["start"]] = body
    return out


def _channels(samples: Sequence[Raw], *, ends: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for ident in sorted({ident for raw in samples for ident in raw.values}):
        channel = CHANNELS[ident]
        values = [raw.values[ident] for raw in samples if ident in raw.values]
        good = [value for value in values if value not in SPECIALS]
        missing = {
            what: values.count(special)
            for special, what in ((NO_ECHO, "no echo"), (FAULT, "fault"), (NOT_FITTED, "not fitted"))
            if special in values
        }
        found: dict[str, Any] = {"count": len(good)}
        if ident in _FLAG_NAMES:
            flags = {bit: sum(value >> bit & 1 for value in good) for bit in range(16)}
            flags_set = {_FLAG_NAMES[ident].get(1 << bit, f"bit {bit}"): count for bit, count in flags.items() if count}
            if not ends and not flags_set and not missing:
                continue
            found = {"count": len(good), "flags": flags_set} if ends else {"flags": flags_set}
        elif ident in (ENERGY, HOURS):
            if not ends:
                continue
        elif good:
            found["min"], found["max"] = physical(channel, min(good)), physical(channel, max(good))
            found["mean"] = round(sum(good) * channel.numerator / channel.denominator / len(good), 3)
            if ident == PRESENCE:
                found["sum"] = sum(good)
        if ends and good and ident not in _FLAG_NAMES:
            found["first"], found["last"] = physical(channel, good[0]), physical(channel, good[-1])
        if missing:
            found["missing"] = missing
        yield field_name(channel), found


def flows_by_quarter(records: Iterable[Raw]) -> Flows:
    """Of one lamp, over all its records at once."""
    ordered = sorted(records, key=_order)
    out: Flows = defaultdict(lambda: [0, 0, 0, 0, 0])
    power, levels, energy = (_of(ordered, channel) for channel in (POWER, LEVEL, ENERGY))
    by_power: dict[int, int] = defaultdict(int)
    for (start, _, low), (end, _, high) in pairwise(power):
        if 0 < end - start <= 1800:
            for a, b in _pieces(start, end):
                by_power[a - a % 900] += (low + high) * (b - a)
                out[a - a % 900][2] += b - a
    for quarter, total in by_power.items():
        out[quarter][0] = (total + 36_000) // 72_000  # 0.05 W s in a Wh, rounded
    laid: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (start, life, before), (end, life_after, after) in pairwise(energy):
        span, used = end - start, after - before
        kind = 1 if span <= 1800 and used >= 0 and life == life_after else 2
        if used < 0:
            used = after
        if not 0 < span <= 7 * 86400 or used * 3600 > 2000 * span:
            continue
        held = [(time, level) for time, _, level in levels if start <= time < end] if levels else []
        by_level = len(held) > 1 and held[0][0] == start and _weight(held, end, end) > 0
        for a, b in _pieces(start, end):
            if by_level:
                whole = _weight(held, end, end)
                share = used * _weight(held, end, b) // whole - used * _weight(held, end, a) // whole
            else:
                share = used * (b - start) // span - used * (a - start) // span
            quarter = laid[a - a % 900]
            quarter[0] += share
            quarter[kind] += b - a
    for quarter, flow in laid.items():
        out[quarter][:3] = flow
    for (start, _, level), (end, _, _) in pairwise(levels):
        if 0 < end - start <= 3600:
            for a, b in _pieces(start, end):
                out[a - a % 900][3] += (b - a) * (level > 0)
                out[a - a % 900][4] += b - a
    return out


def mismatches(
    path: Path, zone: ZoneInfo, groups: Mapping[str, Iterable[int]], records: Sequence[Raw]
) -> Iterator[str]:
    """Every roll-up of every node, group and site beside its recomputation: in words, what differs."""
    by_node: dict[int, list[Raw]] = defaultdict(list)
    sites: dict[str, set[int]] = defaultdict(set)
    for raw in records:
        by_node[raw.node].append(raw)
        sites[raw.site].add(raw.node)
    flows = {node: flows_by_quarter(found) for node, found in by_node.items()}
    scopes: dict[tuple[str, str], set[int]] = {("site", name): nodes for name, nodes in sites.items()}
    scopes |= {("group", name): set(nodes) & by_node.keys() for name, nodes in groups.items()}
    low = max(min((raw.time for raw in records), default=0) - 9 * 86400, 0)
    high = max((raw.time for raw in records), default=0) + 9 * 86400
    calendar = Calendar(zone)
    with contextlib.closing(Reader(path)) as reader:
        db = reader.connection
        for place, level in enumerate(LEVELS):
            for node, own in sorted(by_node.items()):
                expected = recompute(own, [flows[node]], zone, level, ends=True)
                found = node_periods.periods(db, calendar, node, place, low, high)
                bodies = [documents.of_node(calendar, place, period) for period in found]
                yield from _differ(f"node {node} {level}", expected, bodies)
            for (kind, name), nodes in scopes.items():
                own = (raw for node in nodes for raw in by_node[node])
                expected = recompute(own, [flows[node] for node in nodes], zone, level, ends=False)
                row = db.execute("SELECT scope_id FROM scope WHERE kind=? AND name=?", (kind, name)).fetchone()
                found = documents.of_scope(db, calendar, row[0] if row else 0, place, low, high)
                yield from _differ(f"{kind} {name} {level}", expected, found.values())


def _differ(what: str, expected: Mapping[str, Any], bodies: Iterable[dict[str, Any]]) -> Iterator[str]:
    found = {body["start"]: body for body in bodies}
    for start in sorted(expected.keys() | found.keys()):
        if expected.get(start) != found.get(start):
            yield f"{what} {start}: expected {expected.get(start)}, found {found.get(start)}"


def _order(raw: Raw) -> tuple[int, int, int]:
    return raw.time, raw.life, raw.index


def _of(ordered: Iterable[Raw], channel: int) -> list[tuple[int, int, int]]:
    return [(raw.time, raw.life, raw.values[channel]) for raw in ordered if raw.values.get(channel, -1) >= 0]


def _pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(start - start % 900 + 900, end)
        yield start, stop
        start = stop


def _weight(held: Sequence[tuple[int, int]], end: int, until: int) -> int:
    """Level times seconds from the first of `held` to `until`; each level holds until the next, or until `end`."""
    stops = [time for time, _ in held[1:]] + [end]
    return sum(max(min(stop, until) - time, 0) * level for (time, level), stop in zip(held, stops, strict=True))


def _text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
