"""Change only: which records an outlet need not be told, because it knows as much already.

Of each life of a node an outlet was told values last. A record goes when a value has moved by more than its deadband
since then, or the heartbeat is over, and it goes whole. Level changes go always, and so do late records, which move
nothing. What was told last is committed together with the deletion of its row: it is what the council has
acknowledged, so a restart neither forgets a change nor tells everything anew.
"""

import json
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kerbgate import shape
from kerbgate.store.items import StoredReport
from kerbwire.channels import CAUSE, CHANNELS, EVENTS, SPECIAL, Channel
from kerbwire.messages import Record, Report

MAX_STATES = 20_000  # lives kept in memory, about 0.6 KB each; the others are read from the store when they speak
DEADBAND_HINT = "use one number of steps, such as 2, or fields with numbers: fill_percent=5, temperature_c=1"

Key = tuple[int, bytes]  # node and life
_EXACT = frozenset(("flags", "code"))  # any difference counts: there is no distance between two of these
_PART = re.compile(r"\s*([a-z0-9_]+)\s*=\s*([0-9]+(?:\.[0-9]+)?)\s*")


@dataclass(frozen=True, slots=True)
class Told:
    """What an outlet was told last of a life. time_s: UTC. suppressed: records since then that did not go."""

    index: int
    time_s: int
    values: Mapping[int, int]
    suppressed: int = 0


def parse_deadband(text: str) -> dict[int, float]:
    """Raw deadbands by channel of a setting: nothing, a number of steps for all, or field=number in the field's unit.

    ValueError says what to write. A step is the resolution of a channel: 1 %, 0.5 degC, 10 mV.
    """
    text = text.strip()
    measured = {i: channel for i, channel in CHANNELS.items() if channel.unit not in _EXACT}
    if not text:
        return {}
    if re.fullmatch(r"[0-9]{1,6}", text):
        return {i: float(text) for i, channel in measured.items() if channel.coder != EVENTS}  # of counts none is lost
    names = {shape.field_name(channel): channel for channel in measured.values()}
    out: dict[int, float] = {}
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(DEADBAND_HINT)
        channel = names.get(found[1])
        if channel is None:
            raise ValueError(f"{found[1]} is no field with a distance; use some of {', '.join(sorted(names))}")
        out[channel.ident] = float(found[2]) * channel.denominator / channel.numerator
    return out


class Changes:
    """What one outlet was told. All of it runs in the event loop; `write` below in the writer's thread."""

    def __init__(
        self, outlet: str, deadbands: Mapping[int, float], heartbeat_s: int, read: Callable[[str, Key], Told | None]
    ):
        """read: what the store has of a life."""
        self._outlet = outlet
        self._deadbands = deadbands
        self._heartbeat_s = heartbeat_s
        self._read = read
        self._now: OrderedDict[Key, Told | None] = OrderedDict()  # as it will be once all under way is acknowledged
        self._firm: dict[Key, Told] = {}  # acknowledged, and not yet committed

    def begin(self) -> None:
        """A connection begins: what was under way is judged again, from what was acknowledged."""
        self._now.clear()

    def judge(self, row: StoredReport, report: Report, records: list[Record]) -> tuple[list[Record], int, Told | None]:
        """(records that go, how many were suppressed since the last document, what is told once it is acknowledged)."""
        key = (row.node, row.life)
        told = self._get(key)
        going: list[Record] = []
        suppressed = 0 if told is None else told.suppressed
        for record in records:
            at_s = shape.seconds(row, report, record)
            if told is not None and record.index < told.index:  # late: it says nothing of how things are now
                going.append(record)
            elif told is None or CAUSE in record.values or self._moved(told, record, at_s):
                going.append(record)
                told = Told(record.index, at_s, {**(told.values if told else {}), **record.values})
            else:
                suppressed += 1
        if told is not None:
            told = Told(told.index, told.time_s, told.values, 0 if going else suppressed)
        return going, suppressed, told

    def tell(self, row: StoredReport, told: Told | None) -> None:
        """A document says so, and is about to go."""
        self._put((row.node, row.life), told)

    def settled(self, told: Iterable[tuple[Key, Told]]) -> None:
        """The council has these, oldest first; `write` is to follow."""
        self._firm.update(told)

    def committed(self, told: Iterable[tuple[Key, Told]]) -> None:
        """The store has them."""
        for key, state in told:
            if self._firm.get(key) is state:
                del self._firm[key]

    def _get(self, key: Key) -> Told | None:
        if key in self._now:
            self._now.move_to_end(key)
            return self._now[key]
        told = self._firm.get(key) or self._read(self._outlet, key)
        self._put(key, told)
        return told

    def _put(self, key: Key, told: Told | None) -> None:
        self._now[key] = told
        if len(self._now) > MAX_STATES:  # far more than can be under way: the oldest is in the store
            self._now.popitem(last=False)

    def _moved(self, told: Told, record: Record, at_s: int) -> bool:
        if not 0 <= at_s - told.time_s < self._heartbeat_s:
            return True
        return any(self._differs(CHANNELS[ident], told.values.get(ident), raw) for ident, raw in record.values.items())

    def _differs(self, channel: Channel, before: int | None, raw: int) -> bool:
        if channel.coder == EVENTS and raw not in SPECIAL:
            before = 0  # a count of its own interval: none is the only one that says nothing
        if before is None or raw in SPECIAL or before in SPECIAL:
            return raw != before
        return abs(raw - before) > self._deadbands.get(channel.ident, 0)


def write(db: sqlite3.Connection, outlet: str, told: Iterable[tuple[Key, Told]]) -> None:
    """Note what an outlet was told. Inside a transaction."""
    db.executemany(
        "INSERT OR REPLACE INTO told VALUES (?,?,?,?,?,?,?)",
        [
            (outlet, node, life, state.index, state.time_s, state.suppressed, json.dumps(state.values))
            for (node, life), state in told
        ],
    )


def forget(db: sqlite3.Connection, outlets: Iterable[str]) -> None:
    """These are told otherwise, so nobody knows what they were told last. Inside a transaction."""
    db.executemany("DELETE FROM told WHERE outlet=?", [(outlet,) for outlet in outlets])


def read(db: sqlite3.Connection, outlet: str, key: Key) -> Told | None:
    """What the store has of it."""
    row = db.execute(
        'SELECT "index", time, suppressed, "values" FROM told WHERE outlet=? AND node=? AND life=?', (outlet, *key)
    ).fetchone()
    if row is None:
        return None
    return Told(row[0], row[1], {int(ident): raw for ident, raw in json.loads(row[3]).items()}, row[2])
