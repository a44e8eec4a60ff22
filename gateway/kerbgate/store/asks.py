"""What nodes are asked to send again after a restore: kept until each has answered."""

import os
import sqlite3

from kerbgate.store import gaps, spans
from kerbgate.store.items import Ask
from kerbwire.controls import OPERATIONS, RESEND
from kerbwire.messages import INT_HIGH

MAX_ASKS = 4  # ranges that a node is asked for: it keeps 16 commands, and others want a place
_LONGEST = OPERATIONS[RESEND][1][1]


def begin(db: sqlite3.Connection, life_id: int, next_index: int, now_ms: int) -> tuple[Ask, ...]:
    """Of what the store lacks below next_index, as much as one may ask for. What was asked before is replaced."""
    db.execute("DELETE FROM ask WHERE life_id=? AND status IS NULL", (life_id,))
    declared = db.execute("SELECT first, first + count - 1 FROM gap WHERE life_id=?", (life_id,)).fetchall()
    asks: list[Ask] = []
    for first, count in gaps.to_ask(spans.all_of(db, life_id), declared, next_index, MAX_ASKS, _LONGEST):
        if first <= INT_HIGH:
            ident = int.from_bytes(os.urandom(4), "big")
            row = (ident, life_id, first, count, now_ms)
            if db.execute("INSERT OR IGNORE INTO ask VALUES (?,?,?,?,?,NULL)", row).rowcount:
                asks.append(Ask(ident, first, count))
    return tuple(asks)


def answered(db: sqlite3.Connection, life_id: int, ident: int, status: int) -> bool:
    """A node's result: whether it answers one of these, which then has its status."""
    done = db.execute("UPDATE ask SET status=? WHERE ident=? AND life_id=?", (status, ident, life_id))
    return done.rowcount > 0


def pending(db: sqlite3.Connection) -> dict[tuple[int, bytes], tuple[Ask, ...]]:
    """What was asked and not answered, by (node, life)."""
    out: dict[tuple[int, bytes], tuple[Ask, ...]] = {}
    rows = "SELECT node, life, ident, first, count FROM ask JOIN life USING (life_id) WHERE status IS NULL"
    for node, life, *ask in db.execute(rows):
        out[node, life] = (*out.get((node, life), ()), Ask(*ask))
    return out
