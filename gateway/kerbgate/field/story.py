"""One node's whole story: who it is, how it is heard, what it said last, what went wrong, what it was told to do."""

import itertools
import json
import statistics
from contextlib import closing
from typing import Any
from zoneinfo import ZoneInfo

from kerbgate import event_document
from kerbgate.aggregate.periods import Calendar
from kerbgate.aggregate.reader import RollupReader
from kerbgate.aggregate.sheets import DAY_S, segments, sheet_of
from kerbgate.errors import ControlError
from kerbgate.field.nodes import FRAMES
from kerbgate.field.sight import Sight
from kerbgate.store import gaps, logs
from kerbgate.store.reader import Reader
from kerbwire import frame, messages
from kerbwire.channels import CAUSE, CHANNELS, FILL, LEVEL
from kerbwire.controls import STATUSES
from kerbwire.errors import WireError
from kerbwire.messages import RESET_CAUSES, Hello

MAX_GAPS, MAX_ALARMS, MAX_COMMANDS, MAX_BINDINGS = 20, 20, 10, 10
SCAN = 50_000  # reports that are looked through for a node's newest: 50 ms
RECENT = 9  # of them: eight pauses
BURST_S = 60.0  # reports of a backlog come faster: no pause of anything
LOOK_BACK_DAYS = 40  # for the newest values of a node that is silent
WEEK_DAYS = 7

_CARD = (
    "SELECT address, site, role, board, state, asset, feeder, supply, wattage_w, latitude, longitude, unique_id,"
    " provisions, changed_ms, since_ms FROM known WHERE address=?"
)
_CARD_FIELDS = (
    "node", "site", "role", "board", "registered", "asset", "feeder", "supply", "wattage_w", "latitude", "longitude",
    "unique_id", "provisions", "changed_ms", "bound_ms",
)  # fmt: skip
_LIFE = (
    "SELECT life_id, lower(hex(life)), site, role, confirmed_at, newest_index, newest_time FROM life"
    " WHERE node=? AND state='confirmed'"
)
_WINDOW = "SELECT top, bits, floor, seen FROM window WHERE life_id=? ORDER BY epoch DESC LIMIT 1"
_HELD = "SELECT coalesce(sum(last - first + 1), 0), max(last) FROM committed WHERE life_id=?"
_ARRIVED = "SELECT received FROM report WHERE life_id=?1 AND report_id > ?2 AND keep=0 ORDER BY report_id DESC LIMIT ?3"
_ALARMS = (
    "SELECT kind, severity, state, since, ended, evidence, occurrences, ident FROM alarm WHERE subject=? AND"
    " (ended IS NULL) = ? ORDER BY coalesce(ended, 1 << 62) DESC, severity DESC, since LIMIT ?"
)
_COMMANDS = (
    "SELECT command_id, operation, command_order.state, status, changed, accepted, expiry FROM command_order"
    " JOIN command USING (command_id) WHERE node=? ORDER BY changed DESC LIMIT ?"
)


def story(sight: Sight, node: int, now_s: float, timezone: str) -> dict[str, Any]:
    """All that is known of a node, as one document. now_s: UTC. ControlError where nothing is known of it."""
    db = sight.db
    card = db.execute(_CARD, (node,)).fetchone()
    life = db.execute(_LIFE, (node,)).fetchone()
    if card is None and life is None:
        why = f" ({sight.registry_error})" if sight.registry_error else ""
        raise ControlError(f"node {node} is neither in the registry nor in the store{why}", "list them: kerb nodes")
    out: dict[str, Any] = {"node": node, "street": sight.streets.get(node)}
    out["card"] = None if card is None else dict(zip(_CARD_FIELDS, card, strict=True))
    out |= {"life": None, "hello": None, "link": None, "gaps": [], "values": None}
    out["role"] = card[2] if card is not None else life[3]
    if life is not None:
        out |= _heard(sight, node, life, now_s)
    with closing(_reader(sight)) as reader:
        rollups = RollupReader(reader, Calendar(ZoneInfo(timezone)))
        battery, full = rollups.battery(node, int(now_s)), rollups.full(node)
        out["battery"] = None if battery is None else _fields(battery)
        out["full"] = None if full is None else _fields(full)
        channel = LEVEL if out["role"] == "lamp" else FILL
        out["week"] = {"channel": CHANNELS[channel].name, "hours": rollups.spark(node, channel, int(now_s), WEEK_DAYS)}
    out["open"] = _alarms(sight, node, still_open=True)
    out["past"] = _alarms(sight, node, still_open=False)
    out["commands"] = [_command(row) for row in db.execute(_COMMANDS, (node, MAX_COMMANDS))]
    out["log_pieces"] = len(logs.of_node(db, node))
    return out


def _heard(sight: Sight, node: int, life: tuple[Any, ...], now_s: float) -> dict[str, Any]:
    """What the store holds of the node's confirmed life."""
    db = sight.db
    life_id, text, _, _, confirmed_ms, newest_index, newest_s = life
    window = db.execute(_WINDOW, (life_id,)).fetchone()
    held, last = db.execute(_HELD, (life_id,)).fetchone()
    top, bits, floor, seen_ms = window or (-1, 0, 0, confirmed_ms)
    frames = min(FRAMES, top - floor + 1)
    pause_s = pause(sight, life_id)
    return {
        "life": text,
        "confirmed_ms": confirmed_ms,
        "hello": hello_of(sight, node),
        "link": {
            "seen_ms": seen_ms, "frames": frames, "arrived": (bits & ((1 << frames) - 1)).bit_count(), "number": top,
            "records": held, "missing": 0 if last is None else last + 1 - held, "pause_s": pause_s,
            "expected_s": None if pause_s is None else round(seen_ms / 1000 + pause_s),
        },
        "gaps": [
            {"first": hole.first, "count": hole.count, "declared": hole.declared, "since_ms": hole.since_ms,
             "asked": hole.asked}
            for hole in gaps.ledger(db, MAX_GAPS, node)
        ],
        "newest": {"index": newest_index, "time_s": newest_s},
        "values": newest_values(sight, node, int(newest_s if newest_s is not None else now_s)),
    }  # fmt: skip


def pause(sight: Sight, life_id: int) -> int | None:
    """The usual seconds between two reports, from the newest of them; None where there are too few."""
    newest: int = sight.one("SELECT max(report_id) FROM report") or 0
    times = [row[0] for row in sight.db.execute(_ARRIVED, (life_id, max(newest - SCAN, 0), RECENT))]
    found = [(after - before) / 1000 for after, before in itertools.pairwise(times)]
    found = [span for span in found if span > BURST_S]
    return round(statistics.median(found)) if found else None


def hello_of(sight: Sight, node: int) -> dict[str, Any] | None:
    """A node's latest hello."""
    row = sight.db.execute("SELECT received, message FROM hello WHERE node=?", (node,)).fetchone()
    return None if row is None else read_hello(row[0], row[1])


def read_hello(received_ms: int, message: bytes) -> dict[str, Any] | None:
    """A stored hello as a document; None for one that this version cannot read."""
    try:
        hello = messages.decode(message, frame.UP)
    except WireError:
        return None
    if not isinstance(hello, Hello):
        return None
    cause = hello.reset_cause
    return {
        "received_ms": received_ms, "firmware": hello.firmware, "bundle": hello.bundle.hex(), "board": hello.board,
        "protocol": hello.protocol, "boots": hello.boot_count, "configuration": hello.config_hash.hex(),
        "reset": RESET_CAUSES[cause] if cause < len(RESET_CAUSES) else f"cause {cause}",
    }  # fmt: skip


def newest_values(sight: Sight, node: int, at_s: int) -> dict[str, Any] | None:
    """What the newest record of a node says, channel by channel: of each the newest value, and when."""
    for day in range(at_s // DAY_S, at_s // DAY_S - LOOK_BACK_DAYS, -1):
        samples = sight.one("SELECT samples FROM sheet WHERE sheet_id=?", sheet_of(day, node))
        if samples is None:
            continue
        found: dict[int, tuple[int, int]] = {}
        for segment in segments(samples):
            if CAUSE in segment.channels:
                continue
            for row in segment.rows:
                for channel, value in zip(segment.channels, row[2:], strict=True):
                    if channel not in found or row[0] >= found[channel][0]:
                        found[channel] = (row[0], value)
        if found:
            values, _, missing = event_document.evidence({ident: raw for ident, (_, raw) in found.items()})
            return {"time_s": day * DAY_S + max(second for second, _ in found.values()), "values": values | missing}
    return None


def _alarms(sight: Sight, node: int, *, still_open: bool) -> list[dict[str, Any]]:
    rows = sight.db.execute(_ALARMS, (f"node:{node}", still_open, MAX_ALARMS))
    return [
        {
            "kind": kind, "severity": severity, "state": state, "since_s": since, "ended_ms": ended,
            "evidence": json.loads(evidence), "occurrences": times, "id": ident,
        }
        for kind, severity, state, since, ended, evidence, times, ident in rows
    ]  # fmt: skip


def _command(row: tuple[Any, ...]) -> dict[str, Any]:
    command_id, operation, state, status, changed, accepted, expiry = row
    return {
        "id": command_id, "operation": operation, "state": state, "changed_ms": changed, "accepted_ms": accepted,
        "expires_s": expiry, "status": STATUSES[status] if status is not None and status < len(STATUSES) else status,
    }  # fmt: skip


def _reader(sight: Sight) -> Reader:
    """For queries that want one."""
    return Reader(sight.store)


def _fields(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__slots__}
