"""The council's document of an event. COUNCIL.md documents it; schemas/event-1.json validates it.

Made only from the stored row and what its bytes say, so a document that is sent twice is the same twice.
"""

import json
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from kerbgate import shape
from kerbgate.store.items import StoredReport
from kerbwire import council, events
from kerbwire.channels import CAUSE, CAUSES, CHANNELS, FAULTS, QUALITY, QUALITY_FLAGS, SPECIAL
from kerbwire.events import Event

SCHEMA = "kerbstone/event/1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def schema() -> dict[str, Any]:
    """The JSON Schema of a document."""
    return json.loads(resources.files("kerbgate").joinpath("schemas/event-1.json").read_text("utf-8"))


def name_of(code: int) -> str:
    """What an event is called; a code that is not known here by its number."""
    known = council.EVENTS.get(code)
    return known.name if known is not None else f"event {code}"


def happened(event: Event, received_ms: int) -> int:
    """When, UTC seconds: by the node's clock, or counted back from when it was received."""
    if event.boot is None or event.uptime_now is None:
        return event.time
    return round(received_ms / 1000) - (event.uptime_now - event.time)


def topic(prefix: str, row: StoredReport) -> str:
    """Where it is published."""
    return f"{prefix}/{row.site}/{row.node}/event"


def payload(row: StoredReport, event: Event) -> bytes:
    """The document as it is published: compact JSON in UTF-8."""
    return json.dumps(document(row, event), separators=(",", ":")).encode()


def document(row: StoredReport, event: Event) -> dict[str, Any]:
    """The same document as a dictionary."""
    values, units, missing = evidence(event.values)
    out: dict[str, Any] = {
        "schema": SCHEMA,
        "id": f"{row.site}/{row.node}/{row.life.hex()}/{event.index}",
        "site": row.site,
        "node": row.node,
        "role": row.role,
        "life": row.life.hex(),
        "received": _utc(row.received_ms, "milliseconds", 23),
        "received_synchronised": bool(row.synchronised),
        "index": event.index,
        "time": _utc(happened(event, row.received_ms) * 1000, "seconds", 19),
        "time_quality": "clock" if event.boot is None else "derived",
        "event": name_of(event.code),
        "code": event.code,
        "severity": events.SEVERITIES[event.severity],
        "state": events.STATES[event.state],
        "units": units,
        "values": values,
    }
    if missing:
        out["missing"] = missing
    return out


def evidence(values: dict[int, int]) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """(values, units, why values are missing) of raw values by channel, under the names that records have."""
    out: dict[str, Any] = {}
    units: dict[str, str] = {}
    missing: dict[str, str] = {}
    for ident in sorted(values):
        channel, raw = CHANNELS[ident], values[ident]
        name = shape.field_name(channel)
        units[name] = "1" if channel.unit in ("count", "flags", "code") else channel.unit
        if raw in SPECIAL:
            out[name], missing[name] = None, SPECIAL[raw]
        elif ident == QUALITY:
            out[name] = shape.flags(raw, QUALITY_FLAGS)
        elif ident == FAULTS:
            out[name] = shape.flags(raw, {bit: flag.name for bit, flag in council.FAULT_FLAGS.items()})
        elif ident == CAUSE:
            out[name] = CAUSES[raw] if raw < len(CAUSES) else f"cause {raw}"
        else:
            out[name] = shape.physical(channel, raw)
    return out, units, missing


def _utc(milliseconds: int, precision: str, length: int) -> str:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec=precision)[:length] + "Z"
