"""Calendar rules: dates, zones, weekdays, seasons, midnight."""

from kerbnode.lamp import schedule

BERLIN = [60, 120, [3, 5, 6, 60], [10, 5, 6, 60]]
UTC = [0]
MONDAY = 1772409600  # 2026-03-02 00:00 UTC
HOUR = 3600


def test_dates_go_both_ways():
    for days, date in ((0, (1970, 1, 1)), (11016, (2000, 2, 29)), (20513, (2026, 3, 1)), (47540, (2100, 2, 28))):
        assert schedule.date_of(days) == date
        assert schedule.days_of(*date) == days
    assert schedule.date_of(47541) == (2100, 3, 1)  # no leap year


def test_summer_time_begins_and_ends_to_the_second():
    for utc_s, before, after in ((1774746000, 60, 120), (1792890000, 120, 60)):  # 2026-03-29 and 10-25, 01:00 UTC
        assert schedule.offset(BERLIN, utc_s - 1) == before
        assert schedule.offset(BERLIN, utc_s) == after


def test_without_a_rule_the_settings_hold():
    assert schedule.levels([], UTC, MONDAY, 100, 20) == (100, 20)


def test_a_span_over_midnight_belongs_to_the_evening():
    rules = [[1 << 0, 101, 1231, 22 * 60, 5 * 60, 60, 10]]  # the night from Monday to Tuesday
    for hour, fits in ((1, False), (21, False), (22, True), (28, True), (29, False), (46, False), (52, False)):
        assert (schedule.levels(rules, UTC, MONDAY + hour * HOUR, 100, 20) == (60, 10)) == fits, hour


def test_a_season_over_new_year():
    rules = [[127, 1101, 228, 0, 0, 80, 30]]
    for days, fits in ((20483, True), (20513, False), (20745, False), (20758, True), (20819, True)):
        noon = days * 86400 + 12 * HOUR
        assert (schedule.levels(rules, UTC, noon, 100, 20) == (80, 30)) == fits, schedule.date_of(days)


def test_the_last_rule_that_fits_holds():
    rules = [[127, 101, 1231, 0, 300, 50, 10], [1 << 5, 101, 1231, 0, 300, 0, 0]]  # dark in the night of a Saturday
    assert schedule.levels(rules, UTC, MONDAY + 25 * HOUR, 100, 20) == (50, 10)
    assert schedule.levels(rules, UTC, MONDAY + 5 * 86400 + 25 * HOUR, 100, 20) == (0, 0)


def test_rules_are_local():
    rules = [[127, 101, 1231, 0, 300, 50, 10]]  # 00:00 to 05:00
    assert schedule.levels(rules, BERLIN, 1782856800 - 1, 100, 20) == (100, 20)  # 2026-06-30 23:59:59 in Berlin
    assert schedule.levels(rules, BERLIN, 1782856800, 100, 20) == (50, 10)
