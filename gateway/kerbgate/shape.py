"""The council's document, made from a committed report. COUNCIL.md documents it; schemas/readings-1.json validates it.

Everything here is a pure function of a stored row and its records, so a document that is sent twice is the same twice.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any

from kerbgate.store.items import StoredReport
from kerbwire.channels import CAUSE, CAUSES, CHANNELS, FAULTS, QUALITY, QUALITY_FLAGS, SPECIAL, Channel
from kerbwire.messages import Record, Report

SCHEMA = "kerbstone/readings/1"
QUARTER_S = 900  # level changes are a trace of movement: others than a settlement outlet get their count in so long
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Units as they end a field's name. A unit that is missing here adds nothing to the name.
_SUFFIXES = {
    **{"%": "_percent", "degC": "_c", "mm": "_mm", "V": "_v", "W": "_w", "Wh": "_wh", "deg": "_deg", "h": "_h"},
    **{"count": "_count", "1/8 octave": "_eighth_octaves"},
}


def field_name(channel: Channel) -> str:
    """The name of a channel in a document: channel and unit, such as fill_percent."""
    return channel.name + _SUFFIXES.get(channel.unit, "")


_FIELDS = {ident: field_name(channel) for ident, channel in CHANNELS.items()}
_UNITS = {
    ident: f'"{field_name(channel)}":"{"1" if channel.unit in ("count", "flags", "code") else channel.unit}"'
    for ident, channel in CHANNELS.items()
}
_DECIMALS = {1: 0, 2: 1, 10: 1, 100: 2}


def schema() -> dict[str, Any]:
    """The JSON Schema of a document."""
    return json.loads(resources.files("kerbgate").joinpath("schemas/readings-1.json").read_text("utf-8"))


def topic(prefix: str, row: StoredReport) -> str:
    """Where the document of a report is published."""
    return f"{prefix}/{row.site}/{row.node}/readings"


def fresh(row: StoredReport, report: Report) -> list[Record]:
    """The records of a report that were new when it was committed."""
    if row.fresh is None:
        return report.records
    return [record for offset, record in enumerate(report.records) if row.fresh >> offset & 1]


def seconds(row: StoredReport, report: Report, record: Record) -> int:
    """When a record was taken, UTC seconds: by the node's clock, or counted back from when it was received.

    A report of a clock that was unset was written when it was received, and its records that much earlier (uptimes).
    """
    if report.boot is None:
        return record.time
    latest_s = row.received_ms / 1000
    return round(min(latest_s - (report.uptime_now or 0) + record.time, latest_s))


def payload(
    row: StoredReport,
    report: Report,
    records: list[Record] | None = None,
    *,
    level_changes: Mapping[int, int] | None = None,
    suppressed: int | None = None,
) -> bytes:
    """The document of the new records of a committed report, as it is published: compact JSON in UTF-8.

    records: those that go, None for all that are new. level_changes: counts of those that do not, by the UTC second of
    their quarter hour; the time of reception is then no finer. suppressed: of an outlet that gets changes only.

    Written piece by piece, since this is most of what a report costs on its way out. No piece needs escaping: names
    are checked where they enter (settings.NAME), and the rest are numbers, dates and words of our own tables.
    """
    base = f"{row.site}/{row.node}/{row.life.hex()}"
    if records is None:
        records = fresh(row, report)
    used: set[int] = set()
    texts: list[str] = []
    derived = report.boot is not None
    for record in records:
        used.update(record.values)
        if derived:
            texts.append(_record(record, base, seconds(row, report, record), "derived"))
        else:
            texts.append(_record(record, base, record.time, "clock"))
    units = ",".join([_UNITS[ident] for ident in sorted(used)])
    ends, received_ms, more = records, row.received_ms, ""
    if suppressed is not None:
        more = f',"suppressed":{suppressed}'
    if level_changes:
        ends = records or fresh(row, report)
        received_ms -= received_ms % (QUARTER_S * 1000)
        counts = [f'{{"from":"{_utc(at_s)}","count":{count}}}' for at_s, count in sorted(level_changes.items())]
        more += f',"level_changes":[{",".join(counts)}]'
    return (
        f'{{"schema":"{SCHEMA}","id":"{base}/{ends[0].index}-{ends[-1].index}","site":"{row.site}",'
        f'"node":{row.node},"role":"{row.role}","life":"{row.life.hex()}","received":"{_utc_ms(received_ms)}",'
        f'"received_synchronised":{"true" if row.synchronised else "false"},"units":{{{units}}},'
        f'"records":[{",".join(texts)}]{more}}}'
    ).encode()


def document(row: StoredReport, report: Report) -> dict[str, Any]:
    """The same document as a dictionary."""
    return json.loads(payload(row, report))


def _record(record: Record, base: str, at_s: int, quality: str) -> str:
    index = record.index
    parts = [f'{{"id":"{base}/{index}","index":{index},"time":"{_utc(at_s)}","time_quality":"{quality}"']
    missing: list[str] = []
    for ident, raw in record.values.items():
        parts.append(_member(ident, raw))
        if raw in SPECIAL:
            missing.append(f'"{_FIELDS[ident]}":"{SPECIAL[raw]}"')
    if missing:
        parts.append(f'"missing":{{{",".join(missing)}}}')
    return ",".join(parts) + "}"


@lru_cache(maxsize=16384)
def _member(ident: int, raw: int) -> str:
    """A channel's name and value as JSON. Most values come again and again: fill has 101, temperature a few dozen."""
    if raw in SPECIAL:
        value: object = None
    elif ident == QUALITY:
        value = flags(raw, QUALITY_FLAGS)
    elif ident == CAUSE:
        value = CAUSES[raw] if raw < len(CAUSES) else f"cause {raw}"
    elif ident == FAULTS:
        value = flags(raw, {})
    else:
        value = physical(CHANNELS[ident], raw)
    return f'"{_FIELDS[ident]}":{json.dumps(value, separators=(",", ":"))}'


def physical(channel: Channel, raw: int) -> int | float:
    """A raw value in the channel's unit, rounded to the digits that its resolution has."""
    if channel.denominator == 1:
        return raw * channel.numerator
    return round(raw * channel.numerator / channel.denominator, _DECIMALS[channel.denominator])


def flags(raw: int, names: dict[int, str]) -> list[str]:
    """The names of the flags that are set; a bit without a name is called by its number."""
    return [names.get(1 << bit, f"bit {bit}") for bit in range(raw.bit_length()) if raw >> bit & 1]


@lru_cache(maxsize=4096)  # nodes of a street sample at the same full hours
def _utc(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19] + "Z"


def _utc_ms(milliseconds: int) -> str:
    return f"{_utc(milliseconds // 1000)[:19]}.{milliseconds % 1000:03d}Z"
