"""Zones and rules of the lamp's calendar against the standard library's."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbnode.lamp import schedule

ZONES = {
    "Europe/Berlin": [60, 120, [3, 5, 6, 60], [10, 5, 6, 60]],
    "Europe/London": [0, 60, [3, 5, 6, 60], [10, 5, 6, 60]],
    "Pacific/Auckland": [720, 780, [9, 5, 6, -600], [4, 1, 6, -600]],
    "America/New_York": [-300, -240, [3, 2, 6, 420], [11, 1, 6, 360]],
    "Asia/Kolkata": [330],
}
SECONDS = st.integers(1735689600, 1735689600 + 12 * 365 * 86400)


@pytest.mark.parametrize("name", ZONES)
@given(utc_s=SECONDS)
def test_offsets_are_those_of_the_zone(name: str, utc_s: int) -> None:
    expected = datetime.fromtimestamp(utc_s, ZoneInfo(name)).utcoffset()
    assert expected == timedelta(minutes=schedule.offset(ZONES[name], utc_s))


@given(st.integers(-500_000, 500_000))
def test_dates_are_those_of_the_calendar(days: int) -> None:
    year, month, day = schedule.date_of(days)
    assert schedule.days_of(year, month, day) == days
    if days >= 0:
        date = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)).date()
        assert (year, month, day) == (date.year, date.month, date.day)


DATE = st.integers(1, 12).flatmap(lambda month: st.integers(1, 31).map(lambda day: month * 100 + day))
MINUTE = st.integers(0, 1439)
RULE = st.tuples(st.integers(0, 127), DATE, DATE, MINUTE, MINUTE, st.integers(0, 100), st.integers(0, 100)).map(list)


@given(st.lists(RULE, max_size=schedule.MAX_RULES), SECONDS)
def test_levels_are_those_of_a_plain_reading_of_the_rules(rules: list[list[int]], utc_s: int) -> None:
    local = datetime.fromtimestamp(utc_s, ZoneInfo("Europe/Berlin")).replace(tzinfo=None)
    evening = local - timedelta(hours=12)
    levels = (100, 20)
    for weekdays, first, last, start, end, high, low in rules:
        date, minute = evening.month * 100 + evening.day, local.hour * 60 + local.minute
        in_season = first <= date <= last if first <= last else date >= first or date <= last
        in_hours = start <= minute < end if start < end else minute >= start or minute < end
        if weekdays >> evening.weekday() & 1 and in_season and in_hours:
            levels = high, low
    assert schedule.levels(rules, ZONES["Europe/Berlin"], utc_s, 100, 20) == levels
