"""The ledger of gaps: which indices of a life are missing, since when, and whether the node has declared them.

A hole is what lies between two committed ranges, or below the first. Nothing is written for it: `since` of a range is
the time at which the hole below it was first known. What a node has not yet delivered, above its newest record, is no
hole; what it declared there is one.
"""

import sqlite3
from collections.abc import Iterable, Iterator

from kerbgate.store import ranges
from kerbgate.store.items import Hole
from kerbwire.controls import STATUSES

WAITING = "waiting"

_HOLES = """
SELECT life_id, lo, hi, since FROM (
    SELECT life_id, lag(last, 1, -1) OVER (PARTITION BY life_id ORDER BY first) + 1 AS lo, first - 1 AS hi, since
    FROM committed WHERE life_id IN (SELECT life_id FROM life WHERE state='confirmed' AND (?1 IS NULL OR node=?1))
) WHERE hi >= lo ORDER BY life_id, lo LIMIT ?2
"""


def ledger(db: sqlite3.Connection, limit: int, node: int | None = None) -> list[Hole]:
    """At most `limit` holes of all confirmed lives, or of one node's, by life and index. Closed lives are history."""
    lives = {
        life_id: (address, life)
        for life_id, address, life in db.execute(
            "SELECT life_id, node, lower(hex(life)) FROM life WHERE state='confirmed' AND (?1 IS NULL OR node=?1)",
            (node,),
        )
    }
    declared: dict[int, list[tuple[int, int, int]]] = {}
    for life_id, first, count, at in db.execute("SELECT * FROM gap ORDER BY life_id, first"):
        if life_id in lives:
            declared.setdefault(life_id, []).append((first, first + count - 1, at))
    asked: dict[int, list[tuple[int, int, str]]] = {}
    for life_id, first, count, status in db.execute("SELECT life_id, first, count, status FROM ask ORDER BY since"):
        asked.setdefault(life_id, []).append((first, first + count - 1, _said(status)))
    open_holes: dict[int, list[tuple[int, int, int]]] = {}
    for life_id, low, high, since in db.execute(_HOLES, (node, limit)):
        open_holes.setdefault(life_id, []).append((low, high, since))
    out: list[Hole] = []
    for life_id in sorted(open_holes.keys() | declared.keys()):
        address, life = lives[life_id]
        newest = db.execute("SELECT max(last) FROM committed WHERE life_id=?", (life_id,)).fetchone()[0]
        holes = open_holes.get(life_id, [])
        for low, high, since, is_declared in split(holes, declared.get(life_id, []), -1 if newest is None else newest):
            said = next((s for lo, hi, s in reversed(asked.get(life_id, [])) if lo <= low and high <= hi), None)
            out.append(Hole(address, life, low, high - low + 1, is_declared, since, said))
            if len(out) >= limit:
                return out
    return out


def _said(status: int | None) -> str:
    if status is None:
        return WAITING
    return STATUSES[status] if status < len(STATUSES) else f"status {status}"


def split(
    holes: Iterable[tuple[int, int, int]], declared: Iterable[tuple[int, int, int]], newest: int
) -> Iterator[tuple[int, int, int, bool]]:
    """(first, last, since, declared) of each hole, cut at what was declared, and of what was declared above `newest`.

    holes, declared: sorted (first, last, since); what was declared may overlap, and may have come all the same.
    """
    merged: list[tuple[int, int, int]] = []
    for first, last, since in declared:
        if merged and first <= merged[-1][1] + 1:
            low, high, known = merged[-1]
            merged[-1] = (low, max(high, last), min(known, since))
        else:
            merged.append((first, last, since))
    for low, high, since in holes:
        inside = [(max(a, low), min(b, high), at) for a, b, at in merged if a <= high and b >= low]
        parts = [(a, b, at, True) for a, b, at in inside]
        parts += [(a, b, since, False) for a, b in ranges.missing([(a, b) for a, b, _ in inside], low, high)]
        yield from sorted(parts)
    yield from ((max(a, newest + 1), b, at, True) for a, b, at in merged if b > newest)


def counts(db: sqlite3.Connection) -> tuple[int, int]:
    """(holes, indices in them) of confirmed lives, declared or not."""
    row = db.execute(
        "SELECT count(*), coalesce(sum(hi - lo + 1), 0) FROM ("
        " SELECT lag(last, 1, -1) OVER (PARTITION BY life_id ORDER BY first) + 1 AS lo, first - 1 AS hi"
        " FROM committed JOIN life USING (life_id) WHERE state='confirmed') WHERE hi >= lo"
    ).fetchone()
    return row[0], row[1]


def to_ask(
    committed: list[ranges.Range], declared: Iterable[ranges.Range], next_index: int, most: int, longest: int
) -> list[tuple[int, int]]:
    """(first, count) of what is neither committed nor declared below next_index: the newest, and of each `longest`.

    At most `most` of them: where there are more holes, the oldest are joined into one.
    """
    known = sorted([*committed, *declared])
    holes = ranges.missing(known, 0, next_index - 1) if next_index > 0 else []
    if len(holes) > most:
        cut = len(holes) - most
        holes = [(holes[0][0], holes[cut][1]), *holes[cut + 1 :]]
    return [(max(low, high - longest + 1), min(high - low + 1, longest)) for low, high in holes]
