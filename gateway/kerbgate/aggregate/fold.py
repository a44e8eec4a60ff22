"""The fold of roll-ups: what a commit adds to sheets, and the work between commits: rolling up, and thinning."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from kerbgate.aggregate import sheets
from kerbgate.aggregate.letters import RollupLetters
from kerbgate.aggregate.outbox import Outbox
from kerbgate.aggregate.periods import DAY_S, LEVELS, Calendar
from kerbgate.aggregate.roller import Roller
from kerbgate.aggregate.scopes import Scopes
from kerbgate.aggregate.thinning import RollupLayer
from kerbgate.config import AggregateSettings
from kerbgate.store import tally
from kerbgate.store.items import NewReport
from kerbgate.store.quota import Layer, RawReports

SWEEP_S = 60.0  # from the end of one sweep over stale sheets to the next: frames of a node in between cost one rolling
THIN_S = 3600.0  # looks for what has become too old


class Aggregate:
    """A store.folds.Fold and Worker. `layers` go to the store's quota, `letters` to the pumps."""

    name = "rollups"

    def __init__(
        self, settings: AggregateSettings, groups: Mapping[str, Iterable[int]] | None = None, sweep_s: float = SWEEP_S
    ):
        """groups: nodes by the name of their group."""
        self.calendar = Calendar(ZoneInfo(settings.timezone))
        rows = Outbox(self.calendar, settings.grace_s)
        self.letters = RollupLetters(self.calendar, rows, settings.grace_s)
        self._roller = Roller(self.calendar, Scopes(groups or {}), rows, settings.full_percent)
        self._rollups = [RollupLayer(level, self.calendar) for level in range(len(LEVELS))]
        self._raw = RawReports()
        self._days = (settings.raw_days, settings.quarter_days, settings.hour_days, settings.day_days)
        self._sweep_s = sweep_s
        self._next_s = 0.0
        self._thin_s = 0.0
        self._thinning: int | None = None  # which of the four is being thinned by age

    @property
    def layers(self) -> list[Layer]:
        """For the quota, the finest first."""
        return list(self._rollups)

    @property
    def rolled(self) -> int:
        """Sheets rolled up since the start."""
        return self._roller.rolled

    def apply(self, connection: sqlite3.Connection, new: Sequence[NewReport]) -> None:
        """See Fold."""
        sheets.append(connection, new)

    def forget(self) -> None:
        """See Fold."""
        self._roller.forget()
        for layer in self._rollups:
            layer.forget()

    def due(self, now: float) -> bool:
        """See Worker."""
        return now >= self._next_s

    def work(self, connection: sqlite3.Connection, now: float, newest_ms: int) -> bool:
        """See Worker."""
        now_s = newest_ms // 1000
        if self._roller.step(connection, now_s):
            return True
        if self._thinning is None and now >= self._thin_s:
            self._thin_s = now + THIN_S
            self._thinning = 0 if _clock_is_trusted(connection) else None
        if self._thinning is not None:
            return self._thin(connection, now_s)
        self._next_s = now + self._sweep_s
        return False

    def _thin(self, db: sqlite3.Connection, now_s: int) -> bool:
        """One step of thinning by age, level by level."""
        at = self._thinning
        if at is None or at == len(self._days):
            self._thinning = None
            return True
        days = self._days[at]
        if not days:
            self._thinning = at + 1
            return True
        end_day = now_s // DAY_S - days
        if at:
            done = self._rollups[at - 1].thin_before(db, end_day)
        else:
            done = self._raw.thin(db, end_day * DAY_S * 1000)
            counts = {tally.THINNED_REPORTS: done.reports, tally.THINNED_RECORDS: done.records}
            tally.add(db, now_s // DAY_S, counts)
        if done.ended:
            self._thinning = at + 1
        return True


def _clock_is_trusted(db: sqlite3.Connection) -> bool:
    """Whether it was when the newest report came: a clock that is wrong by years must not make all that is kept old."""
    newest = db.execute("SELECT synchronised FROM report ORDER BY report_id DESC LIMIT 1").fetchone()
    return newest is not None and bool(newest[0])
