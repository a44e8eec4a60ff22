"""Roll-ups as tools read them: of a running gateway or of none, from the store's file, without a word to its writer.

Everything about a node is made from its sheets and is as new as the last commit; groups and sites follow within a
sweep (fold.SWEEP_S). Times are UTC seconds.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from kerbgate.aggregate import documents, evidence, nodes
from kerbgate.aggregate.evidence import HalfHour
from kerbgate.aggregate.nodes import NodePeriod
from kerbgate.aggregate.periods import DAY, DAY_S, HOUR, HOUR_S, LEVELS, SIZES, Calendar
from kerbgate.aggregate.sheets import BEYOND, sheet_of
from kerbgate.aggregate.thinning import thinned_to
from kerbgate.store.reader import Reader
from kerbwire.channels import BATTERY, CHANNELS

MAX_PERIODS = 3000  # a month of quarters: what one question may cost
STEP_DAYS = 7  # back to which a node's usual interval is looked for
BATTERY_DAYS = 90
BATTERY_ENOUGH = 14  # days with a battery value that a trend needs: weather moves it more than a week's use
BATTERY_EMPTY_MV10 = 300  # 3.00 V: where the regulators of the boards give up, as boards/*/board.toml has it
LINK_FRAMES = 64  # what a replay window remembers


@dataclass(frozen=True, slots=True)
class Full:
    """When a bin will be full. low_s, middle_s, high_s: None where it is not in sight, which is 45 days."""

    node: int
    at_s: int
    fill_percent: int
    percent_a_day: float
    low_s: int | None
    middle_s: int | None
    high_s: int | None
    cycles: int  # fillings of its own that the band rests on; few: it rests on the fleet's
    emptied_s: int | None


@dataclass(frozen=True, slots=True)
class Availability:
    """Records that came, of those that a node took by its own usual interval. step_s: None where it is not known."""

    records: int
    expected: int
    step_s: int | None

    @property
    def share(self) -> float | None:
        """0 to 1."""
        return min(self.records / self.expected, 1.0) if self.expected else None


@dataclass(frozen=True, slots=True)
class Link:
    """How a node is heard. arrived: of the last `frames` numbers that it used. missing: records, for ever or yet."""

    arrived: int
    frames: int
    heard_ms: int
    missing: int


@dataclass(frozen=True, slots=True)
class Battery:
    """millivolts: of the newest day. a_year_mv: its trend. days_left: None where no fall is to be seen."""

    millivolts: int
    days: int
    a_year_mv: float | None
    days_left: int | None


class RollupReader:
    """Queries of roll-ups. `reader` is of the store, and is closed by its owner."""

    def __init__(self, reader: Reader, calendar: Calendar):
        self._db: sqlite3.Connection = reader.connection
        self.calendar = calendar

    def node(self, node: int, level: int, start_s: int, end_s: int) -> list[dict[str, Any]]:
        """A node's periods that begin from start_s on and before end_s, as documents; at most MAX_PERIODS."""
        return [
            documents.of_node(self.calendar, level, period) for period in self.node_periods(node, level, start_s, end_s)
        ]

    def node_periods(self, node: int, level: int, start_s: int, end_s: int) -> list[NodePeriod]:
        """The same as cells."""
        end_s = min(end_s, start_s + MAX_PERIODS * SIZES[level])
        return nodes.periods(self._db, self.calendar, node, level, start_s, end_s)

    def scope(self, kind: str, name: str, level: int, start_s: int, end_s: int) -> list[dict[str, Any]]:
        """The same of a group or a site; empty where there is none of that name."""
        row = self._db.execute("SELECT scope_id FROM scope WHERE kind=? AND name=?", (kind, name)).fetchone()
        if row is None:
            return []
        first_s = max(start_s, thinned_to(self._db, level) * DAY_S)
        base = row[0] << 32
        found = self._db.execute(
            "SELECT min(rollup_id) & 4294967295 FROM rollup WHERE rollup_id >= ? AND rollup_id < ?",
            (base | max(first_s, 0) // HOUR_S, base + (1 << 32)),
        ).fetchone()[0]
        if found is None:
            return []
        first_s = max(first_s, self.calendar.start(level, found * HOUR_S))
        end_s = min(end_s, first_s + MAX_PERIODS * SIZES[level])
        return list(documents.of_scope(self._db, self.calendar, row[0], level, first_s, end_s).values())

    def scopes(self) -> list[tuple[str, str]]:
        """(kind, name) of groups and sites."""
        return self._db.execute("SELECT kind, name FROM scope ORDER BY kind, name").fetchall()

    def settlement(self, node: int, day: date) -> list[dict[str, Any]]:
        """The 46, 48 or 50 half hours of a local day."""
        return documents.half_hours(self._db, self.calendar, node, self.calendar.day_bounds(day)[0])

    def evidence(self, node: int, day: date) -> list[HalfHour]:
        """The same half hours from the lamp's level-change log alone: for the settlement, and nobody else."""
        return evidence.of_node(self._db, node, *self.calendar.day_bounds(day))

    def spark(self, node: int, channel: int, now_s: int, days: int = 7) -> list[int | None]:
        """The last raw value of each hour of the last days, oldest first; None where there was none."""
        begin = now_s - now_s % 3600 - (days * 24 - 1) * 3600
        found = {
            period.start_s: period.cells[channel].last
            for period in nodes.periods(self._db, self.calendar, node, HOUR, begin, now_s + 1)
            if channel in period.cells
        }
        lasts = [found.get(at_s) for at_s in range(begin, now_s + 1, 3600)]
        return [last[3] if last is not None else None for last in lasts]

    def full(self, node: int) -> Full | None:
        """A bin's forecast, as of its newest record."""
        return next(iter(self._full("WHERE node=?", (node,))), None)

    def full_by(self, until_s: int) -> list[Full]:
        """Bins that will be full by then, by the middle of their band; the soonest first."""
        return list(self._full("WHERE middle <= ? ORDER BY middle, node", (until_s,)))

    def _full(self, where: str, values: tuple[int, ...]) -> Iterable[Full]:
        query = f"SELECT node, at, fill, rate, low, middle, high, cycles, emptied FROM forecast {where}"  # noqa: S608
        return (Full(*row) for row in self._db.execute(query, values))

    def availability(self, node: int, start_s: int, end_s: int) -> Availability:
        """Of a node over whole UTC days from start_s to end_s. Its interval is looked for in the week before, too."""
        first, last = start_s // DAY_S, (end_s - 1) // DAY_S
        step: int | None = None
        records = 0
        for day in range(last, first - STEP_DAYS - 1, -1):
            row = self._db.execute(
                "SELECT records, step FROM sheet_state WHERE sheet_id=?", (sheet_of(day, node),)
            ).fetchone()
            if row is not None:
                records += row[0] if day >= first else 0
                step = step or row[1]
            if step and day <= first:
                break
        return Availability(records, (last - first + 1) * DAY_S // step if step else 0, step)

    def availability_of_all(self, day: int) -> Availability:
        """Of all nodes that were heard on a UTC day or in the week before it, together. day: since 1970."""
        rows = self._db.execute(
            "SELECT sheet_id & 65535 AS node, sum(CASE WHEN sheet_id >> 16 = ?1 THEN records ELSE 0 END), max(step)"
            " FROM sheet_state WHERE sheet_id >= (?1 - ?2) << 16 AND sheet_id < (?1 + 1) << 16 AND step IS NOT NULL"
            " GROUP BY node",
            (day, STEP_DAYS),
        )
        records = expected = 0
        for _, count, step in rows:
            records += min(count, DAY_S // step)
            expected += DAY_S // step
        return Availability(records, expected, None)

    def link(self, node: int) -> Link | None:
        """Frames of the node's confirmed life that arrived, from its replay window; None before the first."""
        row = self._db.execute(
            "SELECT life_id, top, bits, floor, seen FROM window JOIN life USING (life_id)"
            " WHERE node=? AND state='confirmed' ORDER BY epoch DESC LIMIT 1",
            (node,),
        ).fetchone()
        if row is None:
            return None
        life_id, top, bits, floor, seen = row
        frames = min(LINK_FRAMES, top - floor + 1)
        arrived = (bits & ((1 << 64) - 1) & ((1 << frames) - 1)).bit_count()
        held = self._db.execute(
            "SELECT max(last) + 1 - sum(last - first + 1) FROM committed WHERE life_id=?", (life_id,)
        ).fetchone()[0]
        return Link(arrived, frames, seen, held or 0)

    def battery(self, node: int, now_s: int) -> Battery | None:
        """From the daily means of the last weeks: the median of the slopes between days (Theil and Sen)."""
        today = self.calendar.start(DAY, now_s)
        channel = CHANNELS[BATTERY]
        points = [
            (period.start_s / DAY_S, cell.total / cell.count)
            for period in nodes.periods(self._db, self.calendar, node, DAY, today - BATTERY_DAYS * DAY_S, now_s + 1)
            if (cell := period.cells.get(BATTERY)) is not None and cell.count
        ]
        if not points:
            return None
        newest = points[-1][1]
        to_mv = 1000 * channel.numerator / channel.denominator
        if len(points) < BATTERY_ENOUGH:
            return Battery(round(newest * to_mv), len(points), None, None)
        slopes = sorted(
            (after[1] - before[1]) / (after[0] - before[0])
            for place, before in enumerate(points)
            for after in points[place + 1 :]
        )
        slope = slopes[len(slopes) // 2]
        recent = sorted(value for _, value in points[-7:])
        level = recent[len(recent) // 2]
        left = max(level - BATTERY_EMPTY_MV10, 0) / -slope if slope < 0 else None
        return Battery(round(newest * to_mv), len(points), slope * to_mv * 365, None if left is None else int(left))

    def status(self) -> dict[str, Any]:
        """For `status`: how much there is, what is stale, how far each level was thinned."""
        db = self._db

        def one(query: str, *values: str) -> int:
            return db.execute(query, values).fetchone()[0]

        return {
            "timezone": self.calendar.zone.key,
            "days": one("SELECT count(*) FROM sheet"),
            "stale": one("SELECT count(*) FROM sheet_stale"),
            "groups": one("SELECT count(*) FROM scope WHERE kind='group'"),
            "forecasts": one("SELECT count(*) FROM forecast"),
            "beyond_full_sheets": one("SELECT coalesce(max(value), 0) FROM rollup_meta WHERE name=?", BEYOND),
            "waiting": dict(db.execute("SELECT outlet, count(*) FROM rollup_outbox GROUP BY outlet").fetchall()),
            "thinned_to": {
                name: date.fromordinal(date(1970, 1, 1).toordinal() + day).isoformat()
                for level, name in enumerate(LEVELS)
                if (day := thinned_to(db, level))
            },
        }
