"""Periods: quarters of an hour, hours and days in the council's time zone, over clock changes.

Every offset in use is a multiple of 15 minutes, so a local quarter is a UTC quarter, and a day begins with one. A
local hour is what the clock on the wall calls one hour: where the clock is set back there are two of the same name,
told apart by their UTC time. A day has 92, 96 or 100 quarters and 46, 48 or 50 half hours.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

QUARTER_S, HALF_HOUR_S, HOUR_S, DAY_S = 900, 1800, 3600, 86400
QUARTER, HOUR, DAY = 0, 1, 2  # levels, the finest first
LEVELS = ("15min", "hour", "day")
SIZES = (QUARTER_S, HOUR_S, DAY_S)  # seconds; a day may have an hour less or more
BLOCK_HOURS = 6  # quarters in one letter: 24, or 20 or 28 where the clock changes
_MAX_UTC = 253_370_764_800  # year 9999: what datetime can say


@dataclass(frozen=True, slots=True)
class Calendar:
    """Periods of one time zone."""

    zone: ZoneInfo

    def start(self, level: int, at_s: int) -> int:
        """UTC seconds at which the period begins that holds a time."""
        return _start(self.zone, level, at_s - at_s % QUARTER_S)

    def end(self, level: int, start_s: int) -> int:
        """UTC seconds at which the period ends that begins at start_s."""
        if level == QUARTER:
            return start_s + QUARTER_S
        if level == DAY:
            return self.day_bounds(self.day_of(start_s))[1]
        at_s = start_s + QUARTER_S
        while self.start(HOUR, at_s) == start_s:
            at_s += QUARTER_S
        return at_s

    def block(self, level: int, at_s: int) -> int:
        """UTC seconds at which the part of the day begins that goes in one letter."""
        day_s = self.start(DAY, at_s)
        if level != QUARTER:
            return day_s
        local = _local(self.zone, at_s)
        begin = local.replace(hour=local.hour - local.hour % BLOCK_HOURS, minute=0, second=0, fold=0)
        return max(round(begin.timestamp()) if begin.hour else day_s, day_s)

    def block_end(self, level: int, block_s: int) -> int:
        """UTC seconds at which the block ends that begins at block_s."""
        end_s = self.end(DAY, self.start(DAY, block_s))
        if level != QUARTER:
            return end_s
        at_s = block_s + QUARTER_S
        while at_s < end_s and self.block(level, at_s) == block_s:
            at_s += QUARTER_S
        return at_s

    def day_of(self, at_s: int) -> date:
        """The local day of a time."""
        return _local(self.zone, at_s).date()

    def day_bounds(self, day: date) -> tuple[int, int]:
        """UTC seconds at which a local day begins and ends."""
        return _midnight(self.zone, day), _midnight(self.zone, day + timedelta(days=1))

    def slot(self, at_s: int, hours: int) -> int:
        """The part of the week, of `hours` hours each, that a time lies in; Monday at midnight begins part 0."""
        return _slot(self.zone, at_s - at_s % QUARTER_S, hours)


@lru_cache(maxsize=65536)
def _start(zone: ZoneInfo, level: int, quarter_s: int) -> int:
    if level == QUARTER:
        return quarter_s
    local = _local(zone, quarter_s)
    if level == DAY:
        return _midnight(zone, local.date())
    begin = local.minute * 60
    offset = local.utcoffset()
    start_s = quarter_s - begin
    # A clock that changes by half an hour cuts its hour in two.
    while start_s < quarter_s and _local(zone, start_s).utcoffset() != offset:
        start_s += QUARTER_S
    return start_s


@lru_cache(maxsize=65536)
def _slot(zone: ZoneInfo, quarter_s: int, hours: int) -> int:
    local = _local(zone, quarter_s)
    return (local.weekday() * 24 + local.hour) // hours


@lru_cache(maxsize=4096)
def _midnight(zone: ZoneInfo, day: date) -> int:
    """The first second of a local day. Where the clock jumps over midnight, that is when it jumps."""
    begin = round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
    while begin > 0 and _local(zone, begin - QUARTER_S).date() == day:
        begin -= QUARTER_S
    while _local(zone, begin).date() < day:
        begin += QUARTER_S
    return begin


def _local(zone: ZoneInfo, at_s: int) -> datetime:
    return datetime.fromtimestamp(min(at_s, _MAX_UTC), zone)


def utc_text(at_s: int) -> str:
    """A time as documents say it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
