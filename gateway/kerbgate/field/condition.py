"""What the store tells about a site's nodes, as evidence: facts only. What is made of them is `kerb doctor`'s business.

Every question here is bounded: by an index, by the newest rows, or by a count that is named.
"""

import json
from collections import Counter
from typing import Any

from kerbgate.aggregate.sheets import DAY_S, segments, sheet_of
from kerbgate.alarms.kinds import LAMP_SILENT, POWER_CUT
from kerbgate.field import nodes, story
from kerbgate.field.sight import Sight
from kerbwire.channels import CAUSE, LEVEL, POWER, SPECIAL

MAX_ALARMS = 500
NEWEST = 300  # reports whose times are held against the time of their arrival
FRESH_S = 6 * 3600  # and how young they must be
MAX_NAMED = 20  # nodes that are named of any kind
MAX_LAMPS = 400  # whose power is held against their luminaire's
FULL_PERCENT = 90  # a level at which a lamp takes its full power, near enough
POWER_DAYS, POWER_SAMPLES = 3, 12
DARK_DAYS = 3  # nights and days before now in which a switched feeder shows itself
MAX_MEMBERS = 8  # lamps of a feeder that are looked at
MIN_BOOTS = 3  # in an hour

_OPEN = (
    "SELECT kind, subject, node, role, state, since, severity, evidence, parent IS NOT NULL, alarm_id FROM alarm"
    " WHERE ended IS NULL ORDER BY severity DESC, since LIMIT ?"
)
_OPEN_FIELDS = (
    "kind", "subject", "node", "role", "state", "since_s", "severity", "evidence", "grouped", "alarm_id",
)  # fmt: skip
_TIMES = (
    "SELECT node, received, newest_time FROM (SELECT life_id, received, first, count FROM report"
    " WHERE state='decoded' AND synchronised ORDER BY report_id DESC LIMIT ?) JOIN life USING (life_id)"
    " WHERE life.state='confirmed' AND newest_index = first + count - 1 AND newest_time IS NOT NULL"
)
_LAMPS = (
    "SELECT address, asset, wattage_w, feeder FROM known WHERE role='lamp' AND wattage_w IS NOT NULL AND asset IS NOT"
    " NULL ORDER BY address LIMIT ?"
)
_MEMBERS = "SELECT DISTINCT node FROM alarm WHERE parent=? AND node IS NOT NULL ORDER BY node LIMIT ?"
_LOSSES = (
    "SELECT node, max(last) + 1 - sum(last - first + 1) AS missing, max(last) + 1 AS taken FROM committed"
    " JOIN life USING (life_id) WHERE life.state='confirmed' GROUP BY life_id HAVING missing > 0"
    " ORDER BY missing DESC LIMIT ?"
)


def condition(sight: Sight, now_s: float) -> dict[str, Any]:
    """Facts about the nodes of a site. now_s: UTC."""
    db = sight.db
    listed = nodes.nodes(sight, now_s, nodes.Wanted())
    rows: list[dict[str, Any]] = listed["nodes"]
    alarms = _alarms(sight)
    newest: int | None = sight.one("SELECT received FROM report ORDER BY report_id DESC LIMIT 1")
    return {
        "registry_error": sight.registry_error,
        "registered": sum(row["registered"] is not None for row in rows),
        "heard": sum(row["seen_ms"] is not None for row in rows),
        "states": listed["states"],
        "strangers": _named(rows, nodes.STRANGER),
        "new": _named(rows, nodes.NEW),
        "alarms": alarms,
        "newest_received_ms": newest,
        "lags": _lags(sight, now_s),
        "programs": _programs(sight),
        "lamps": _lamps(sight, now_s),
        "switched": _switched(sight, alarms, now_s),
        "lossy": [
            {"node": node, "missing": missing, "taken": taken}
            for node, missing, taken in db.execute(_LOSSES, (MAX_NAMED,))
        ],
        "restored": sight.one("SELECT value FROM meta WHERE name='restored_why'"),
    }


def known(sight: Sight, refused: list[dict[str, Any]], now_s: float) -> list[dict[str, Any]]:
    """Refusals, with what the registry calls each node, and how long ago a frame of it was accepted."""
    seen = "SELECT max(seen) FROM window JOIN life USING (life_id) WHERE node=? AND state='confirmed'"
    out: list[dict[str, Any]] = []
    for row in refused:
        at_ms = sight.one(seen, row["node"])
        out.append(
            row
            | {
                "registered": sight.one("SELECT state FROM known WHERE address=?", row["node"]),
                "heard_s_ago": None if at_ms is None else max(round(now_s - at_ms / 1000), 0),
            }
        )
    return out


def _named(rows: list[dict[str, Any]], state: str) -> dict[str, Any]:
    found = [row["node"] for row in rows if row["state"] == state]
    return {"count": len(found), "nodes": found[:MAX_NAMED]}


def _alarms(sight: Sight) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for row in sight.db.execute(_OPEN, (MAX_ALARMS,)):
        alarm: dict[str, Any] = dict(zip(_OPEN_FIELDS, row, strict=True))
        alarm["evidence"] = json.loads(alarm["evidence"])
        if alarm["node"] is None:
            alarm["members"] = [node for (node,) in sight.db.execute(_MEMBERS, (alarm["alarm_id"], MAX_MEMBERS))]
        del alarm["alarm_id"]
        out.append(alarm)
    return out


def _lags(sight: Sight, now_s: float) -> list[list[int]]:
    """[node, seconds from a node's newest record to its arrival], of what arrived not long ago; one row a node."""
    found: dict[int, int] = {}
    for node, received, time_s in sight.db.execute(_TIMES, (NEWEST,)):
        if received / 1000 > now_s - FRESH_S:
            found.setdefault(node, round(received / 1000 - time_s))
    return [[node, lag] for node, lag in sorted(found.items())]


def _programs(sight: Sight) -> list[dict[str, Any]]:
    """Which firmware runs on how many nodes, the most first; bundles of one version are told apart by their hash."""
    counts: Counter[tuple[str, str, str, str, int]] = Counter()
    examples: dict[tuple[str, str, str, str, int], list[int]] = {}
    query = (
        "SELECT hello.node, life.role, hello.received, hello.message FROM hello JOIN life USING (life_id)"
        " JOIN known ON known.address = hello.node WHERE life.state='confirmed'"
    )
    for node, role, received, message in sight.db.execute(query):
        hello = story.read_hello(received, message)
        if hello is None:
            continue
        key = (role, hello["board"], hello["firmware"], hello["bundle"], hello["protocol"])
        counts[key] += 1
        named = examples.setdefault(key, [])
        if len(named) < MAX_NAMED:
            named.append(node)
    return [
        {"role": key[0], "board": key[1], "firmware": key[2], "bundle": key[3], "protocol": key[4], "count": count,
         "nodes": examples[key]}
        for key, count in counts.most_common(MAX_NAMED)
    ]  # fmt: skip


def _lamps(sight: Sight, now_s: float) -> list[dict[str, Any]]:
    """Lamps whose asset says how many watts its luminaire takes, with what was measured at full level."""
    out: list[dict[str, Any]] = []
    for node, asset, watts, feeder in sight.db.execute(_LAMPS, (MAX_LAMPS,)).fetchall():
        measured = full_power_w(sight, node, now_s)
        if measured is not None:
            out.append({"node": node, "asset": asset, "wattage_w": watts, "measured_w": measured, "feeder": feeder})
    return out


def full_power_w(sight: Sight, node: int, now_s: float) -> float | None:
    """What a lamp took at full level the last times, in W: the median."""
    found: list[tuple[int, int]] = []
    today = int(now_s) // DAY_S
    for day in range(today, today - POWER_DAYS, -1):
        samples = sight.one("SELECT samples FROM sheet WHERE sheet_id=?", sheet_of(day, node))
        for segment in segments(samples or b""):
            if CAUSE in segment.channels or LEVEL not in segment.channels or POWER not in segment.channels:
                continue
            level, power = segment.channels.index(LEVEL) + 2, segment.channels.index(POWER) + 2
            found += [
                (day * DAY_S + row[0], row[power])
                for row in segment.rows
                if row[level] >= FULL_PERCENT and row[power] not in SPECIAL
            ]
        if len(found) >= POWER_SAMPLES:
            break
    newest = sorted(power for _, power in sorted(found)[-POWER_SAMPLES:])
    return newest[len(newest) // 2] / 10 if newest else None


def _switched(sight: Sight, alarms: list[dict[str, Any]], now_s: float) -> list[dict[str, Any]]:
    """Open silences of lamps, with the hours of day in which they spoke on the days before: a cabinet that switches."""
    out: list[dict[str, Any]] = []
    for alarm in alarms:
        if alarm["kind"] not in (LAMP_SILENT, POWER_CUT) or alarm["grouped"]:
            continue
        members = alarm["members"] if alarm["node"] is None else [alarm["node"]]
        supplies = {sight.one("SELECT supply FROM known WHERE address=?", node) for node in members}
        pauses = [_pauses(sight, node, alarm["since_s"]) for node in members]
        known = [found for found in pauses if found]
        out.append(
            {
                "subject": alarm["subject"], "kind": alarm["kind"], "members": members,
                "supplies": sorted(str(supply) for supply in supplies if supply), "looked_at": len(pauses),
                "same_pause": sum(found["same"] for found in known), "days": max((f["days"] for f in known), default=0),
            }
        )  # fmt: skip
        if len(out) >= MAX_NAMED:
            break
    return out


def _pauses(sight: Sight, node: int, since_s: int) -> dict[str, int] | None:
    """Whether a lamp fell silent at this time of day on the days before, too, and came back.

    days: on how many of them it spoke. same: 1 if on each of those it said nothing in the four hours after this time of
    day, and spoke in the two before it.
    """
    days = same = 0
    for back in range(1, DARK_DAYS + 1):
        at_s = since_s - back * DAY_S
        before = _spoke(sight, node, at_s - 2 * 3600, at_s + 1800)
        after = _spoke(sight, node, at_s + 1800, at_s + 4 * 3600)
        if before or after:
            days += 1
            same += bool(before and not after)
    return {"days": days, "same": int(days >= 2 and same == days)} if days else None


def _spoke(sight: Sight, node: int, begin_s: int, end_s: int) -> bool:
    for day in range(begin_s // DAY_S, end_s // DAY_S + 1):
        samples = sight.one("SELECT samples FROM sheet WHERE sheet_id=?", sheet_of(day, node))
        for segment in segments(samples or b""):
            if CAUSE not in segment.channels and any(begin_s <= day * DAY_S + row[0] < end_s for row in segment.rows):
                return True
    return False
