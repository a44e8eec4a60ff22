"""Rolling up: what was added to sheets, made into the roll-ups of groups and sites, flows, forecasts and letters' rows.

A step takes up some stale sheets in one transaction: the cells of groups and sites, and how far each sheet was rolled,
are committed together, so each sample counts once, whatever ends the process in between.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from kerbgate.aggregate import cells, flows, forecast, scopes, thinning
from kerbgate.aggregate.cells import ScopeCell
from kerbgate.aggregate.flows import Readings
from kerbgate.aggregate.forecast import SLOT_HOURS, Errors, Fleet
from kerbgate.aggregate.outbox import Outbox
from kerbgate.aggregate.periods import DAY, HOUR, QUARTER, Calendar
from kerbgate.aggregate.scopes import FIRST_SCOPE, Scopes
from kerbgate.aggregate.sheets import DAY_S, Segment, segments, sheet_of
from kerbwire.channels import ENERGY, FILL, LEVEL, POWER

STEP_S = 0.01  # of the writer's thread: frames wait no longer for a step
STEP_SHEETS = 200
MERGE_S = 5e-6  # what writing a cell takes, about: the more cells, the more sheets it should be worth
FLEET_S = 3600.0  # the fleet is looked at anew
FLEET_BINS = 500  # of it, spread evenly
_STALE = (
    "SELECT sheet_id, samples, rolled, resolution, flows FROM"
    " (SELECT sheet_id FROM sheet_stale WHERE sheet_id > ? ORDER BY sheet_id LIMIT ?)"
    " JOIN sheet USING (sheet_id) LEFT JOIN sheet_state USING (sheet_id)"
)
_STATE = (
    "INSERT INTO sheet_state (sheet_id, rolled, records, step) VALUES (?,?,?,?) ON CONFLICT DO UPDATE"
    " SET rolled=excluded.rolled, records=excluded.records, step=excluded.step"
)
_LATE = (  # of a sheet that was thinned: its samples are only what has come since
    "UPDATE sheet_state SET rolled=?2, records=records+?3, step=coalesce(step, ?4) WHERE sheet_id=?1"
)
_FLOWS = (
    "INSERT INTO sheet_state (sheet_id, rolled, records, flows) VALUES (?,0,0,?)"
    " ON CONFLICT DO UPDATE SET flows=excluded.flows"
)
_EMPTY = "INSERT OR IGNORE INTO sheet VALUES (?, x'')"  # a day with energy and no record is thinned as others are
_FORECAST = "INSERT OR REPLACE INTO forecast VALUES (?,?,?,?,?,?,?,?,?,?)"
_LAMPS = frozenset((ENERGY, POWER, LEVEL))


@dataclass(slots=True)
class _Step:
    """What one step gathers before it is written."""

    found: dict[tuple[int, ...], dict[int, ScopeCell]] = field(
        default_factory=dict[tuple[int, ...], dict[int, ScopeCell]]
    )
    touched: dict[tuple[int, ...], set[int]] = field(default_factory=dict[tuple[int, ...], set[int]])
    states: list[tuple[int, int, int, int | None]] = field(default_factory=list[tuple[int, int, int, int | None]])
    added: list[tuple[int, int, int, int | None]] = field(default_factory=list[tuple[int, int, int, int | None]])
    flows: dict[int, bytes | None] = field(default_factory=dict[int, "bytes | None"])  # of sheets where they are new
    done: list[tuple[int]] = field(default_factory=list[tuple[int]])
    late: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # sheets of days that were thinned


class Roller:
    """The roller of one store. Only the writer's thread uses it, each method inside a transaction."""

    def __init__(self, calendar: Calendar, members: Scopes, letters: Outbox, full_percent: int):
        self._calendar = calendar
        self._scopes = members
        self._letters = letters
        self._full = full_percent
        self._fleet = Fleet()
        self._fleet_at = 0.0
        self._after = -1
        self.rolled = 0

    def forget(self) -> None:
        self._scopes.forget()
        self._letters.forget()
        self._after = -1

    def step(self, db: sqlite3.Connection, now_s: int, limit_s: float = STEP_S) -> bool:
        """Roll up some stale sheets; True: there may be more. now_s: UTC seconds of the newest arrival."""
        began = time.perf_counter()
        end = began + limit_s
        self._scopes.open(db)
        if self._letters.move(db):
            return True
        gone = [thinning.thinned_to(db, level) for level in (QUARTER, HOUR, DAY)]
        rows = db.execute(_STALE, (self._after, STEP_SHEETS)).fetchall()
        if not rows:
            self._after = -1
            changed = self._scopes.rebuild(db)
            return bool(changed)
        step = _Step()
        for row in rows:
            day = row[0] >> 16
            if day >= gone[DAY]:
                self._sheet(db, step, now_s, *row)
            step.done.append((row[0],))
            if day < gone[QUARTER]:
                step.late.append((row[0], DAY if day < gone[DAY] else HOUR if day < gone[HOUR] else QUARTER))
            self._after = row[0]
            now = time.perf_counter()
            if now > end and now - began > MERGE_S * sum(map(len, step.found.values())):
                break
        scopes.merge_into(db, step.found)
        db.executemany(_STATE, step.states)
        db.executemany(_LATE, step.added)
        db.executemany(_FLOWS, step.flows.items())
        db.executemany(_EMPTY, [(ident,) for ident in step.flows])
        db.executemany("DELETE FROM sheet_stale WHERE sheet_id=?", step.done)
        for sheet_id, level in step.late:
            thinning.thin_again(db, self._calendar, level, sheet_id)
        self._letters.touch(db, step.touched, now_s, gone)
        self.rolled += len(step.done)
        return True

    def _sheet(
        self,
        db: sqlite3.Connection,
        step: _Step,
        now_s: int,
        sheet_id: int,
        samples: bytes,
        rolled: int | None,
        resolution: int | None,
        old_flows: bytes | None,
    ) -> None:
        day, node = sheet_id >> 16, sheet_id & 0xFFFF
        new = list(segments(samples, rolled or 0))
        former = list(segments(samples[:rolled])) if rolled else []
        all_of_it = former + new
        of = self._scopes.of(db, node)
        scopes.take(step.found.setdefault(of, {}), day, new)
        quarters = {day * DAY_S + row[0] // 900 * 900 for segment in new for row in segment.rows}
        if resolution not in (None, 900):
            step.added.append((sheet_id, len(samples), *usual_step(new)))
        else:
            if any(_LAMPS.intersection(segment.channels) for segment in new):
                self._flows(db, step, of, quarters, sheet_id, (all_of_it, len(former)), old_flows)
            step.states.append((sheet_id, len(samples), *usual_step(all_of_it)))
        step.touched.setdefault((node, *(FIRST_SCOPE + ident for ident in of)), set()).update(quarters)
        if any(FILL in segment.channels for segment in new):
            self._forecast(db, node, day, now_s)

    def _flows(
        self,
        db: sqlite3.Connection,
        step: _Step,
        of: tuple[int, ...],
        quarters: set[int],
        sheet_id: int,
        found: tuple[list[Segment], int],
        old: bytes | None,
    ) -> None:
        """Energy and light of a sheet's day, and of the days beside it that see its first or last readings.

        found: the segments of the sheet, and how many of them were rolled up before. old: its flows as committed.
        """
        day, node = sheet_id >> 16, sheet_id & 0xFFFF
        sheets = _Neighbours(db, node)
        now, before = flows.readings(day, found[0]), flows.readings(day, found[0][: found[1]])
        sheets.put(day, now)
        days = [day]
        if now.head() != before.head():
            days += range(sheets.near(day, -1), day)
        if now.tail() != before.tail():
            days += range(day + 1, sheets.near(day, 1) + 1)
        for each in days:
            ident = sheet_of(each, node)
            was = old
            if ident in step.flows:
                was = step.flows[ident]
            elif each != day:
                row = db.execute("SELECT flows, resolution FROM sheet_state WHERE sheet_id=?", (ident,)).fetchone()
                if row is not None and row[1] != 900:
                    continue  # thinned: its readings are no more
                was = row[0] if row is not None else None
            span = range(sheets.near(each, -1), sheets.near(each, 1) + 1)
            fresh = flows.by_quarter(each, [sheets.of(d) for d in span])
            packed = flows.pack(fresh)
            if packed == was:
                continue
            known = flows.unpack(was)
            scopes.take_flows(step.found.setdefault(of, {}), each, known, fresh)
            changed = (q for q in fresh.keys() | known.keys() if fresh.get(q) != known.get(q))
            quarters.update(each * DAY_S + q * 900 for q in changed)
            step.flows[ident] = packed

    def _forecast(self, db: sqlite3.Connection, node: int, day: int, now_s: int) -> None:
        row = db.execute("SELECT at FROM forecast WHERE node=?", (node,)).fetchone()
        newest = day if row is None else max(day, row[0] // DAY_S)
        series = history(db, node, min(newest, now_s // DAY_S + 1))  # a clock that is wrong by years tells no future
        slot = self._calendar.slot
        made = forecast.forecast(series, self._full, lambda at_s: slot(at_s, SLOT_HOURS), self._fleet_now(db))
        if made is not None:
            row = (made.at_s, made.fill, made.percent_a_day, made.low_s, made.middle_s, made.high_s)
            errors = json.dumps([[round(error, 3) for error in kind] for kind in made.errors])
            db.execute(_FORECAST, (node, *row, made.cycles, made.emptied_s, errors))

    def _fleet_now(self, db: sqlite3.Connection) -> Fleet:
        now = time.monotonic()
        if now >= self._fleet_at:
            self._fleet_at = now + FLEET_S
            total = db.execute("SELECT count(*) FROM forecast WHERE cycles > 0").fetchone()[0]
            every = max(total // FLEET_BINS, 1)
            rows = db.execute(
                "SELECT rate, errors FROM (SELECT rate, errors, row_number() OVER (ORDER BY node) AS place"
                " FROM forecast WHERE cycles > 0) WHERE place % ? = 0 LIMIT ?",
                (every, FLEET_BINS),
            ).fetchall()
            self._fleet = forecast.fleet_of([rate for rate, _ in rows], [read_errors(text) for _, text in rows])
        return self._fleet


class _Neighbours:
    """The readings of a node's days, each read once."""

    def __init__(self, db: sqlite3.Connection, node: int):
        self._db = db
        self._node = node
        self._days: dict[int, Readings] = {}

    def put(self, day: int, readings: Readings) -> None:
        self._days[day] = readings

    def of(self, day: int) -> Readings:
        found = self._days.get(day)
        if found is None:
            row = self._db.execute(
                "SELECT samples FROM sheet WHERE sheet_id=?", (sheet_of(day, self._node),)
            ).fetchone()
            found = self._days[day] = flows.readings(day, segments(row[0])) if row is not None else Readings()
        return found

    def near(self, day: int, way: int) -> int:
        """The nearest day with a reading of the register, if a gap may reach so far; else the day beside."""
        for distance in range(1, flows.MAX_GAP_DAYS + 2):
            if self.of(day + way * distance).energy:
                return day + way * distance
        return day + way


def usual_step(found: Iterable[Segment]) -> tuple[int, int | None]:
    """(records of a sheet, the usual seconds from one to the next; None: not to be seen)."""
    records = 0
    at: dict[tuple[int, int], int] = {}
    for segment in found:
        if not segment.is_changes:
            records += len(segment.rows)
            at.update({(segment.life_id, row[1]): row[0] for row in segment.rows})
    steps = sorted(at[life, index + 1] - second for (life, index), second in at.items() if (life, index + 1) in at)
    usual = steps[len(steps) // 2] if steps else 0
    return records, usual if usual > 0 else None


def history(db: sqlite3.Connection, node: int, last_day: int) -> list[tuple[int, int]]:
    """(UTC seconds, percent) of a bin over the last weeks, by time. last_day: since 1970, UTC."""
    series: list[tuple[int, int, int, int]] = []
    for day in range(last_day, max(last_day - forecast.HISTORY_DAYS, -1), -1):
        row = db.execute(
            "SELECT samples, cells FROM sheet LEFT JOIN sheet_state USING (sheet_id) WHERE sheet_id=?",
            (sheet_of(day, node),),
        ).fetchone()
        if row is None:
            continue
        for segment in segments(row[0]):
            if FILL in segment.channels:
                place = segment.channels.index(FILL) + 2
                rows = segment.rows
                series += [
                    (day * DAY_S + row[0], segment.life_id, row[1], row[place]) for row in rows if row[place] >= 0
                ]
        if row[1] is not None:
            kept = cells.unpack_node(row[1])
            series += [cell.last for (_, channel), cell in kept.items() if channel == FILL and cell.last is not None]
    series.sort()
    return [(time_s, value) for time_s, _, _, value in series]


def read_errors(text: str) -> Errors:
    return tuple(tuple(kind) for kind in json.loads(text))
