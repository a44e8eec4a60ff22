"""Commands in the store: what was asked, each order's state, the audit entry of each change; in one transaction.

Only the writer's thread calls this, inside a transaction of the store. Nothing is cached: the file is the only truth.
An entry of kind "state" is the document that the council gets (`commands-1.json`), in the order of the log.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kerbgate import audit
from kerbgate.commands import table
from kerbgate.commands.operations import OPERATIONS, PRIORITY_NAMES
from kerbgate.commands.reasons import Refusal
from kerbgate.commands.request import Cancel, Request, write_time
from kerbgate.store.items import Arrival
from kerbwire import frame, messages
from kerbwire.controls import Result, failed_checks
from kerbwire.errors import WireError

STATE_SCHEMA = "kerbstone/command-state/1"
SELF_TEST = "self_test"  # the operation whose answers are said in words too
STATE, NOTE = "state", "note"  # kinds of entries; only states are published
MAX_OPEN = 1000  # commands at once; a site's is one of them
MAX_ORDERS = 100_000  # open orders: ten commands to each node of a full district
MAX_CHANGES = 500  # nodes in one document, about 20 KB; more of them are told in the next
MAX_UNANSWERED = 1000  # nodes listed when a command ends; the counts have them all
KEPT_S = 30 * 86400  # a command that has ended is known for so long: its id cannot be used again before
PRUNE = 20  # commands a transaction

RESTORED = "restored"  # rows of command_meta: the restore that was taken note of (Unix ms)
_WAITING = ",".join(f"'{state}'" for state in table.WAITING)
_NOT_ANSWERED = ",".join(
    f"'{state}'" for state in (table.UNANSWERED, table.EXPIRED, table.LOST)
)  # expired also where the node says so: then it has answered, and `status` is set


@dataclass(frozen=True, slots=True)
class Move:
    """A change of one order. event None: only what it is bound to changes."""

    ident: int
    event: str | None
    life: bytes | None = None
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order as it was found at the start."""

    ident: int
    command_id: str
    node: int
    life: bytes | None
    turn: int | None
    state: str


@dataclass(slots=True)
class Found:
    """What a start finds: open commands as (document, role, accepted ms), their orders, each node's newest turn."""

    commands: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    orders: list[OpenOrder] = field(default_factory=list[OpenOrder])
    turns: dict[int, int] = field(default_factory=dict[int, int])


class Ledger:
    """The commands of one site."""

    def __init__(self, site: str, key: audit.Key):
        self._site = site
        self._key = key
        self.strange = 0  # answers that no order waits for

    def accept(
        self,
        db: sqlite3.Connection,
        request: Request,
        nodes: Sequence[int],
        facts: dict[str, Any],
        now_ms: int,
    ) -> tuple[list[int], dict[str, Any]]:
        """Write a command down: (the wire ids of its orders, the answer); Refusal changes nothing.

        A document that was accepted before, under its id, changes nothing: there are no new orders, and the answer says
        how it stands.
        """
        row = db.execute("SELECT digest FROM command WHERE command_id=?", (request.ident,)).fetchone()
        if row is not None:
            if row[0] != request.digest:
                raise Refusal("id used")
            return [], self._document(db, request.ident, "known", now_ms)
        open_commands, open_orders = self.open_counts(db)
        if open_commands >= MAX_OPEN or open_orders + len(nodes) > MAX_ORDERS:
            raise Refusal("too many", f"{open_commands} commands, {open_orders} orders")
        now = now_ms // 1000
        state = table.QUEUED if request.not_before <= now else table.ACCEPTED
        db.execute(
            "INSERT INTO command VALUES (?,?,?,?,?,?,?,?,?,NULL)",
            (request.ident, request.digest, request.role, request.operation.name, request.priority, request.text,
             request.not_before, request.expiry, now_ms),
        )  # fmt: skip
        idents: list[int] = []
        for node in nodes:
            ident = _draw(db)
            db.execute(
                "INSERT INTO command_order VALUES (?,?,?,NULL,NULL,?,NULL,NULL,?)",
                (ident, request.ident, node, state, now_ms),
            )
            idents.append(ident)
        self.note(db, {"asked": request.ident, "role": request.role, "document": json.loads(request.text)}, now_ms)
        document = self._document(db, request.ident, "accepted", now_ms) | facts
        audit.append(db, self._key, STATE, document)
        return idents, document

    def head(self, now_ms: int) -> dict[str, Any]:
        """What every document begins with."""
        return {"schema": STATE_SCHEMA, "site": self._site, "time": _stamp(now_ms)}

    def note(self, db: sqlite3.Connection, entry: dict[str, Any], now_ms: int) -> None:
        """Log something that is not published."""
        audit.append(db, self._key, NOTE, {"site": self._site, "time": _stamp(now_ms)} | entry)

    def cancel(self, db: sqlite3.Connection, request: Cancel, now_ms: int) -> list[int]:
        """Withdraw a command: the wire ids of the orders that this has moved. Refusal."""
        row = db.execute(
            "SELECT priority FROM command WHERE command_id=? AND closed IS NULL", (request.cancels,)
        ).fetchone()
        if row is None:
            raise Refusal("nothing to cancel", request.cancels)
        if row[0] < request.highest:
            raise Refusal("not allowed", f"{request.cancels} is of class {PRIORITY_NAMES[row[0]]}")
        idents = [
            ident
            for (ident,) in db.execute(
                f"SELECT ident FROM command_order WHERE command_id=? AND state IN ({_WAITING})",  # noqa: S608
                (request.cancels,),
            )
        ]
        self.note(db, {"cancels": request.cancels, "by": request.ident, "role": request.role}, now_ms)
        self.move(db, [Move(ident, table.CANCEL) for ident in idents], now_ms)
        return idents

    def move(self, db: sqlite3.Connection, moves: Iterable[Move], now_ms: int) -> None:
        """Bring orders to their next states; what the table does not have is passed over."""
        changed: dict[str, list[list[Any]]] = {}
        for item in moves:
            row = db.execute(
                "SELECT command_id, node, state FROM command_order WHERE ident=?", (item.ident,)
            ).fetchone()
            if row is None:
                continue
            command_id, node, state = row
            after = state if item.event is None else table.step(state, item.event)
            if after is None:
                continue
            db.execute(
                "UPDATE command_order SET state=?, life=coalesce(?, life), turn=coalesce(?, turn), changed=?"
                " WHERE ident=?",
                (after, item.life, item.turn, now_ms, item.ident),
            )
            if after != state:
                changed.setdefault(command_id, []).append([node, after])
        for command_id, nodes in changed.items():
            self._tell(db, command_id, nodes, now_ms)

    def answered(self, db: sqlite3.Connection, arrival: Arrival) -> bool:
        """A node's result, in the transaction of its frame: whether it answers an order of this node and life."""
        if arrival.answer is None:
            return False
        ident, status = arrival.answer
        row = db.execute(
            "SELECT command_id, state, life FROM command_order WHERE ident=? AND node=?", (ident, arrival.node)
        ).fetchone()
        if row is None or row[2] != arrival.life:
            return False
        command_id, state, _ = row
        after = table.step(state, table.answer(status))
        if after is None:
            self.strange += state not in table.ANSWERED
            return True  # the same again, since its ack was lost
        detail = _detail(arrival.message)
        db.execute(
            "UPDATE command_order SET state=?, status=?, detail=?, changed=? WHERE ident=?",
            (after, status, detail, arrival.received_ms, ident),
        )
        change = [arrival.node, after] if detail is None else [arrival.node, after, detail]
        self._tell(db, command_id, [change], arrival.received_ms)
        return True

    def settle_restore(self, db: sqlite3.Connection, now_ms: int) -> bool:
        """Once after each restore: what a copy says was not yet sent may have been. True if that was now."""
        row = db.execute("SELECT value FROM meta WHERE name='restored_at'").fetchone()
        known = db.execute("SELECT value FROM command_meta WHERE name=?", (RESTORED,)).fetchone()
        if row is None or row == known:
            return False
        idents = db.execute(
            f"SELECT ident FROM command_order WHERE state IN ({_WAITING}, '{table.UNANSWERED}')"  # noqa: S608
        ).fetchall()
        self.move(db, [Move(ident, table.RESTORE) for (ident,) in idents], now_ms)
        db.execute("INSERT OR REPLACE INTO command_meta VALUES (?,?)", (RESTORED, row[0]))
        self.note(db, {"restored": "orders that were open are lost: send again what is still wanted"}, now_ms)
        return True

    def open_counts(self, db: sqlite3.Connection) -> tuple[int, int]:
        """(commands, orders) that are not at their end."""
        return db.execute(
            "SELECT count(DISTINCT command_id), count(*) FROM command JOIN command_order USING (command_id)"  # noqa: S608
            f" WHERE closed IS NULL AND state IN ({_WAITING})"
        ).fetchone()

    def prune(self, db: sqlite3.Connection, now_ms: int) -> None:
        """Forget commands that ended long ago, and what the council has of the log beyond its length."""
        old = db.execute(
            "SELECT command_id FROM command WHERE closed IS NOT NULL AND closed < ? LIMIT ?",
            (now_ms - KEPT_S * 1000, PRUNE),
        ).fetchall()
        db.executemany("DELETE FROM command_order WHERE command_id=?", old)
        db.executemany("DELETE FROM command WHERE command_id=?", old)
        audit.prune(db, self._key)

    def _tell(self, db: sqlite3.Connection, command_id: str, nodes: list[list[Any]], now_ms: int) -> None:
        """The entries of one command's changes; and of its end, once."""
        for at in range(0, len(nodes), MAX_CHANGES):
            changes: list[dict[str, Any]] = [
                dict(zip(("node", "state", "detail"), row, strict=False)) for row in nodes[at : at + MAX_CHANGES]
            ]
            document = self._document(db, command_id, "changed", now_ms) | {"changes": changes}
            if document["operation"] == SELF_TEST:
                for change in changes:
                    if "detail" in change:
                        change["failed_checks"] = failed_checks(change["detail"])
            audit.append(db, self._key, STATE, document)
        ended = db.execute(
            "UPDATE command SET closed=? WHERE command_id=? AND closed IS NULL AND NOT EXISTS"  # noqa: S608
            f" (SELECT 1 FROM command_order WHERE command_id=? AND state IN ({_WAITING}))",
            (now_ms, command_id, command_id),
        )
        if ended.rowcount:
            document = self._document(db, command_id, "ended", now_ms)
            audit.append(db, self._key, STATE, document | {"unanswered": unanswered(db, command_id)})

    def _document(self, db: sqlite3.Connection, command_id: str, event: str, now_ms: int) -> dict[str, Any]:
        role, name, priority = db.execute(
            "SELECT role, operation, priority FROM command WHERE command_id=?", (command_id,)
        ).fetchone()
        out = self.head(now_ms) | {"id": command_id, "event": event, "role": role, "operation": name}
        out |= {"priority": PRIORITY_NAMES[priority], "counts": counts(db, command_id)}
        notice = OPERATIONS[name].notice if name in OPERATIONS else None
        return out | ({"notice": notice} if notice else {})


def found(db: sqlite3.Connection) -> Found:
    """The open commands and orders of a store, by the order in which they were accepted."""
    return Found(
        db.execute(
            "SELECT document, role, accepted FROM command WHERE closed IS NULL ORDER BY accepted, rowid"
        ).fetchall(),
        [
            OpenOrder(*row)
            for row in db.execute(
                "SELECT ident, command_id, node, command_order.life, turn, state FROM command_order"  # noqa: S608
                f" JOIN command USING (command_id) WHERE closed IS NULL AND state IN ({_WAITING})"
            )
        ],
        dict(db.execute("SELECT node, max(turn) FROM command_order WHERE turn IS NOT NULL GROUP BY node")),
    )


def counts(db: sqlite3.Connection, command_id: str) -> dict[str, int]:
    """How many of a command's orders are in each state."""
    return dict(
        db.execute("SELECT state, count(*) FROM command_order WHERE command_id=? GROUP BY state", (command_id,))
    )


def unanswered(db: sqlite3.Connection, command_id: str) -> list[int]:
    """The nodes that did not answer a command, by address; the first MAX_UNANSWERED of them."""
    rows = db.execute(
        f"SELECT node FROM command_order WHERE command_id=? AND state IN ({_NOT_ANSWERED}) AND status IS NULL"  # noqa: S608
        " ORDER BY node LIMIT ?",
        (command_id, MAX_UNANSWERED),
    )
    return [node for (node,) in rows]


def waiting(db: sqlite3.Connection, command_id: str) -> list[int]:
    """The nodes of a command that may still answer, by address; the first MAX_UNANSWERED of them."""
    rows = db.execute(
        f"SELECT node FROM command_order WHERE command_id=? AND state IN ({_WAITING}) ORDER BY node LIMIT ?",  # noqa: S608
        (command_id, MAX_UNANSWERED),
    )
    return [node for (node,) in rows]


def listing(path: Path, limit: int) -> list[dict[str, Any]]:
    """The newest commands of a store, for people: open ones first. Opens the file to read it; for a thread."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
        return _listing(db, limit)


def _listing(db: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    rows = db.execute(
        "SELECT command_id, role, operation, priority, not_before, expiry, accepted, closed FROM command"
        " ORDER BY closed IS NOT NULL, accepted DESC LIMIT ?",
        (limit,),
    ).fetchall()
    return [
        {
            "id": command_id, "role": role, "operation": name, "priority": PRIORITY_NAMES[priority],
            "not_before": write_time(not_before), "expires": write_time(expiry), "accepted": _stamp(accepted),
            "ended": None if closed is None else _stamp(closed), "counts": counts(db, command_id),
            "waiting": waiting(db, command_id), "unanswered": unanswered(db, command_id),
        }
        for command_id, role, name, priority, not_before, expiry, accepted, closed in rows
    ]  # fmt: skip


def unpublished(db: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """(number, document) of the states behind an entry that the council does not have."""
    rows = db.execute(
        "SELECT seq, entry FROM audit WHERE seq > ? AND kind=? ORDER BY seq LIMIT ?", (after, STATE, limit)
    ).fetchall()
    return [(seq, json.loads(entry)) for seq, entry in rows]


def _draw(db: sqlite3.Connection) -> int:
    """A wire id that neither a command nor an ask of this store ever had."""
    while True:
        ident = int.from_bytes(os.urandom(4), "big")
        taken = "SELECT 1 FROM command_order WHERE ident=? UNION ALL SELECT 1 FROM ask WHERE ident=?"
        if db.execute(taken, (ident, ident)).fetchone() is None:
            return ident


def _detail(message: bytes) -> int | None:
    try:
        result = messages.decode(message, frame.UP)
    except WireError:
        return None
    return result.detail if isinstance(result, Result) else None


def _stamp(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"
