"""Nodes as a list: who they are, where, when they were heard last, and in one word how they are.

well       heard, and nothing is open
alarm      an alarm is open, the worst one first
silent     it has not been heard for longer than its own pace allows
works      people work there: its alarms are kept and not told
new        in the registry, and never heard
stranger   heard once, and not in the registry any more
pending, quarantined, returned, retired, stolen     its state in the registry, in which its frames are refused
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kerbgate.alarms.kinds import LAMP_SILENT, SILENT
from kerbgate.errors import ControlError
from kerbgate.field.sight import Sight
from kerbgate.registry.states import HEARD

WELL, ALARM, NOT_HEARD, WORKS, NEW, STRANGER = "well", "alarm", "silent", "works", "new", "stranger"
WORDS = (NOT_HEARD, ALARM, STRANGER, NEW, WORKS, WELL, "pending", "quarantined", "returned", "retired", "stolen")
MAX_ROWS = 70_000  # addresses end at 65,535, and strangers have some too
MAX_ALARMS = 5000  # open ones that are looked at
MAX_WORDS = 8  # of a text to look for
FRAMES = 64  # that a replay window remembers

_KNOWN = (
    "SELECT address, site, role, board, state, asset, feeder, life_id, newest_index, newest_time, confirmed_at"
    " FROM known LEFT JOIN (SELECT node, life_id, newest_index, newest_time, confirmed_at FROM life"
    " WHERE state='confirmed') ON node = address"
)
_STRANGERS = (
    "SELECT node, site, role, NULL, NULL, NULL, NULL, life_id, newest_index, newest_time, confirmed_at FROM life"
    " WHERE state='confirmed' AND node NOT IN (SELECT address FROM known)"
)
_WINDOWS = "SELECT life_id, epoch, top, bits, floor, seen FROM window ORDER BY life_id, epoch"
_OPEN = (
    "SELECT node, kind, state, since FROM alarm WHERE ended IS NULL AND node IS NOT NULL AND state != 'pending'"
    " ORDER BY severity DESC, since LIMIT ?"
)
_QUIET = ("suppressed", "quiet")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which nodes, in which order. place: part of an asset's or a street's name. silent_s: not heard for so long.

    text: words, each of which is in a node's number, role, state, place or alarms.
    """

    site: str | None = None
    role: str | None = None
    state: str | None = None
    place: str | None = None
    text: str | None = None
    silent_s: int | None = None
    sort: str = "node"
    reverse: bool = False
    limit: int = MAX_ROWS

    @classmethod
    def of(cls, request: dict[str, Any]) -> "Wanted":
        """From a request's fields. ControlError."""
        given = {name: request[name] for name in cls.__slots__ if request.get(name) is not None}
        for name in ("site", "role", "state", "place", "text", "sort"):
            if name in given and not isinstance(given[name], str):
                raise ControlError(f"{name} is no text", "give it as text")
        for name in ("silent_s", "limit"):
            if name in given and (type(given[name]) is not int or given[name] < 0):
                raise ControlError(f"{name} is no number", "give a whole number")
        wanted = cls(**given)
        if wanted.sort not in SORTS:
            raise ControlError(f"{wanted.sort[:40]!r} is no column to sort by", "use one of " + ", ".join(SORTS))
        if wanted.state is not None and wanted.state not in WORDS:
            raise ControlError(f"{wanted.state[:40]!r} is no state", "use one of " + ", ".join(WORDS))
        return wanted


def nodes(sight: Sight, now_s: float, wanted: Wanted) -> dict[str, Any]:
    """Rows that are wanted, how many there are of them, and of each state at all. now_s: UTC."""
    rows = _rows(sight, now_s)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    words = () if wanted.text is None else tuple(wanted.text.lower().split()[:MAX_WORDS])
    chosen = [row for row in rows if _fits(row, wanted) and (not words or _says(row, words))]
    chosen.sort(key=SORTS[wanted.sort], reverse=wanted.reverse)
    return {
        "nodes": chosen[: wanted.limit or MAX_ROWS],
        "total": len(chosen),
        "states": {word: counts[word] for word in WORDS if word in counts},
        "registry_error": sight.registry_error,
    }


def _rows(sight: Sight, now_s: float) -> list[dict[str, Any]]:
    db, streets = sight.db, sight.streets
    windows: dict[int, tuple[int, int, int]] = {}
    for life_id, _, top, bits, floor, seen in db.execute(_WINDOWS):
        before = windows.get(life_id, (0, 0, 0))[0]
        frames = min(FRAMES, top - floor + 1)
        windows[life_id] = (max(before, seen), (bits & ((1 << frames) - 1)).bit_count(), frames)
    alarms: dict[int, list[tuple[str, str, int]]] = {}
    for node, kind, state, since in db.execute(_OPEN, (MAX_ALARMS,)):
        alarms.setdefault(node, []).append((kind, state, since))
    out: list[dict[str, Any]] = []
    for query in (_KNOWN, _STRANGERS):
        for node, site, role, board, registered, asset, feeder, life_id, index, time_s, confirmed in db.execute(query):
            window = windows.get(life_id)
            heard: int | None = confirmed if window is None else window[0]
            arrived, frames = (0, 0) if window is None else window[1:]
            open_now = alarms.get(node, [])
            state, since = _word(registered, life_id is not None, open_now)
            out.append(
                {
                    "node": node, "site": site, "role": role, "board": board, "registered": registered,
                    "asset": asset, "street": streets.get(node), "feeder": feeder, "state": state, "since_s": since,
                    "alarms": [kind for kind, _, _ in open_now],
                    "seen_ms": heard, "age_s": None if heard is None else max(round(now_s - heard / 1000), 0),
                    "newest_index": index, "newest_time_s": time_s, "arrived": arrived, "frames": frames,
                }
            )  # fmt: skip
    return out


def _word(registered: str | None, heard: bool, alarms: list[tuple[str, str, int]]) -> tuple[str, int | None]:
    """How a node is, and since when (UTC seconds) where an alarm says so."""
    if registered is None:
        return STRANGER, None
    if registered not in HEARD:
        return registered, None
    if not heard:
        return NEW, None
    if not alarms:
        return WELL, None
    told = [(kind, since) for kind, state, since in alarms if state not in _QUIET]
    for kind, since in told:
        if kind in (SILENT, LAMP_SILENT):
            return NOT_HEARD, since
    return (ALARM, told[0][1]) if told else (WORKS, alarms[0][2])


def _fits(row: dict[str, Any], wanted: Wanted) -> bool:
    return (
        (wanted.site is None or row["site"] == wanted.site)
        and (wanted.role is None or row["role"] == wanted.role)
        and (wanted.state is None or row["state"] == wanted.state)
        and (wanted.place is None or wanted.place.lower() in _place(row))
        and (wanted.silent_s is None or row["age_s"] is None or row["age_s"] >= wanted.silent_s)
    )


def _says(row: dict[str, Any], words: tuple[str, ...]) -> bool:
    said = f"{row['node']} {row['role']} {row['state']} {_place(row)} {' '.join(row['alarms'])}"
    return all(word in said for word in words)


def _place(row: dict[str, Any]) -> str:
    return f"{row['asset'] or ''} {row['street'] or ''} {row['feeder'] or ''}".lower()


_RANK = {word: place for place, word in enumerate(WORDS)}
SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "node": lambda row: row["node"],
    "age": lambda row: (row["age_s"] is not None, -(row["age_s"] or 0), row["node"]),
    "state": lambda row: (_RANK.get(row["state"], len(WORDS)), row["node"]),
    "place": lambda row: (row["street"] or "~", row["asset"] or "~", row["node"]),
    "site": lambda row: (row["site"], row["node"]),
    "role": lambda row: (row["role"], row["node"]),
    "link": lambda row: (row["arrived"] / row["frames"] if row["frames"] else 2.0, row["node"]),
}
