"""Calendar rules of a lamp: which levels hold at a local time of a weekday, a date, a season. Pure, integers.

A rule is a list: [weekdays, from month * 100 + day, to month * 100 + day, from minute, to minute, high, low]. weekdays:
bit 0 Monday to bit 6 Sunday, of the day on which the evening began. Dates and minutes are local, both ends of a span of
dates belong to it, and spans may run over the end of the year and over midnight. high: percent while somebody is there,
low: while nobody is; both 0 is dark by policy. The last rule that fits holds, and where none does, the settings do.

A zone is [standard, summer, start, end]: minutes east of UTC, and the two changes, each [month, week, weekday, minute]:
the first to fourth such weekday of the month, 5 for the last, 0 Monday to 6 Sunday; minutes from that day's 00:00 UTC,
less than 0 for the day before. [minutes] alone has no summer time.
"""

from kerbwire.compat import const

DAY_S = const(86400)
MAX_RULES = const(16)  # a season's weekdays and weekends, some holidays: more is a calendar's work, not a lamp's
EVERY_DAY = const(127)
_NOON = const(720)


def date_of(days):
    """(year, month, day) of days since 1970, in the Gregorian calendar."""
    # The year begins in March, so that the leap day is its last; 719468 days lie between that epoch and 1970.
    days += 719468
    era, day = divmod(days, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    return era * 400 + year + (month <= 2), month, day + 1


def days_of(year, month, day):
    """Days since 1970 of a date."""
    year -= month <= 2
    era, year = divmod(year, 400)
    day += (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 - 1
    return era * 146097 + year * 365 + year // 4 - year // 100 + day - 719468


def offset(zone, utc_s):
    """Minutes east of UTC at this second."""
    if len(zone) == 1:
        return zone[0]
    year = date_of(utc_s // DAY_S)[0]
    start, end = _change(year, zone[2]), _change(year, zone[3])
    summer = start <= utc_s < end if start < end else not end <= utc_s < start
    return zone[1] if summer else zone[0]


def _change(year, change):
    """The second of a change of the clock."""
    month, week, weekday, minute = change
    first = days_of(year, month, 1)
    day = first + (weekday - (first + 3) % 7) % 7 + 7 * (week - 1)  # 1970-01-01 was a Thursday
    if week == 5 and date_of(day)[1] != month:
        day -= 7
    return day * DAY_S + minute * 60


def levels(rules, zone, utc_s, high, low):
    """(high, low) that hold now; the given ones where no rule fits."""
    minute = utc_s // 60 + offset(zone, utc_s)
    evening = date_of((minute - _NOON) // 1440)  # until noon it is still the night that began the day before
    weekday = ((minute - _NOON) // 1440 + 3) % 7
    of_year, of_day = evening[1] * 100 + evening[2], minute % 1440
    for rule in rules:
        if rule[0] >> weekday & 1 and _within(of_year, rule[1], rule[2] + 1) and _within(of_day, rule[3], rule[4]):
            high, low = rule[5], rule[6]
    return high, low


def _within(value, first, end):
    """Whether first <= value < end, around the end of the year or the day where first >= end."""
    return first <= value < end if first < end else value >= first or value < end
