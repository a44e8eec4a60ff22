"""Alarms as letters to the council: each change that is told, once for each outlet, in order."""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from kerbgate.alarms.book import AlarmBook
from kerbgate.letters import ALARMS, Letter, Wants

KIND = "alarm"  # the second topic level behind the site


class AlarmLetters:
    """A LetterSource (kerbgate.letters). Keys are (change,)."""

    name = "alarms"

    def __init__(self, book: AlarmBook):
        self._book = book

    def waiting(self, db: sqlite3.Connection, outlet: str, limit: int, now_s: int) -> list[Letter]:
        rows = db.execute(
            "SELECT change_id, topic, document FROM alarm_outbox JOIN alarm_change USING (change_id)"
            " WHERE outlet=? ORDER BY change_id LIMIT ?",
            (outlet, limit),
        )
        return [Letter((change_id,), KIND, topic, json.loads(document)) for change_id, topic, document in rows]

    def delivered(self, db: sqlite3.Connection, outlet: str, keys: Sequence[tuple[int, ...]]) -> None:
        db.executemany(
            "DELETE FROM alarm_outbox WHERE outlet=? AND change_id=?", [(outlet, change_id) for (change_id,) in keys]
        )

    def backlog(self, db: sqlite3.Connection) -> Mapping[str, int]:
        return dict(db.execute("SELECT outlet, count(*) FROM alarm_outbox GROUP BY outlet").fetchall())

    def drop(self, db: sqlite3.Connection, outlet: str, limit: int) -> int:
        return db.execute(
            "DELETE FROM alarm_outbox WHERE outlet=?1 AND change_id IN"
            " (SELECT change_id FROM alarm_outbox WHERE outlet=?1 ORDER BY change_id LIMIT ?2)",
            (outlet, limit),
        ).rowcount

    def outlets(self, db: sqlite3.Connection, wants: Wants) -> None:
        self._book.subscribe(db, frozenset(outlet for outlet, kinds in wants.items() if ALARMS in kinds))
