"""Settlement: the energy of a month by half hour from the level-change log alone, beside what the luminaire took.

The control and the log are the node's own source; the meter is a model that counts each level for as long as it is shown.
"""

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kerbgate.aggregate.evidence import HALF_HOUR_S, PowerTable, half_hours
from kerbgate.aggregate.periods import Calendar
from kerbnode.lamp import settings as lampsettings
from kerbnode.lamp.changes import Changes
from kerbnode.lamp.lamp import TICK_MS, Lamp
from kerbtools.bench.native import power_mw

PLACE = {"latitude": 514500, "longitude": -25900}
LONDON = ZoneInfo("Europe/London")
PASSAGES = 12  # of a day, at any hour
STAY_MS = (4_000, 40_000)
QUARTER_MS = 900_000
DAY_MS = 86_400_000


class Month:
    """A lamp from begin on, for so many days. meter_mj: what it took, by half hour; log: (UTC second, level)."""

    def __init__(self, begin_s: int, days: int) -> None:
        settings: dict[str, Any] = {row[0]: row[1] for row in lampsettings.ROWS} | PLACE
        self.lamp: Any = Lamp(settings, [], [0], True)
        self.changes: Any = Changes()
        self.begin_s = begin_s
        self.meter_mj = [0] * (days * 48)
        self.readings: list[tuple[int, int]] = []
        self.log: list[tuple[int, int]] = []
        self._run(days * DAY_MS, self._edges(days * DAY_MS))

    def _edges(self, end_ms: int) -> list[tuple[int, bool]]:
        own = random.Random(self.begin_s)
        edges: list[tuple[int, bool]] = []
        at_ms = 0
        while at_ms < end_ms - DAY_MS // 2:
            at_ms += int(own.expovariate(PASSAGES / DAY_MS)) // TICK_MS * TICK_MS + STAY_MS[1]
            edges += [(at_ms, True), (at_ms + own.randrange(*STAY_MS, TICK_MS), False)]
        return [*edges, (end_ms, False)]

    def _run(self, end_ms: int, edges: list[tuple[int, bool]]) -> None:
        lamp, changes, ramp = self.lamp, self.changes, self.lamp.ramp
        active, at, now_ms, due_ms = False, 0, 0, 0
        while now_ms < end_ms:
            if now_ms % 60_000 == 0:
                lamp.sense(1000 if 8 <= now_ms / 3_600_000 % 24 < 17 else 0, now_ms // 1000)
                lamp.judge(now_ms // 1000, self.begin_s + now_ms // 1000)
                due_ms = now_ms
            if edges[at][0] == now_ms:
                if active:
                    lamp.presence.tick(True, now_ms - TICK_MS)
                active, at, due_ms = edges[at][1], at + 1, now_ms
            if due_ms <= now_ms:
                before, shown, cause = ramp.target, ramp.level, lamp.cause
                level = lamp.tick(active, now_ms)
                if changes.level is None:
                    changes.start(level, lamp.cause, now_ms)
                if ramp.target != before and shown != before:
                    changes.settle(before, cause, now_ms)
                changes.show(level, now_ms)
                if level == ramp.target:
                    changes.settle(level, lamp.cause, now_ms)
                due_ms = now_ms + TICK_MS if level != ramp.target else -(-lamp.next_ms(now_ms) // TICK_MS) * TICK_MS
                self.log += [(self.begin_s + second, percent) for second, percent, _ in changes.waiting]
                changes.waiting.clear()
            if now_ms % QUARTER_MS == 0:
                self.readings.append((ramp.level, power_mw(ramp.level) // 100))
            next_ms = min(due_ms, edges[at][0], now_ms - now_ms % 60_000 + 60_000)
            self._meter(power_mw(ramp.level), now_ms, min(next_ms, end_ms))
            now_ms = next_ms

    def _meter(self, milliwatts: int, begin_ms: int, end_ms: int) -> None:
        while begin_ms < end_ms:
            place = begin_ms // (1000 * HALF_HOUR_S)
            until_ms = min(end_ms, (place + 1) * 1000 * HALF_HOUR_S)
            self.meter_mj[place] += milliwatts * (until_ms - begin_ms) // 1000
            begin_ms = until_ms


@pytest.mark.parametrize(("first", "days", "odd", "halves"), [
    (date(2026, 3, 1), 31, date(2026, 3, 29), 46),
    (date(2026, 10, 1), 31, date(2026, 10, 25), 50),
])  # fmt: skip
def test_the_log_settles_a_month_with_its_change_of_the_clock(first: date, days: int, odd: date, halves: int) -> None:
    calendar = Calendar(LONDON)
    begin_s = int(datetime.combine(first - timedelta(days=1), datetime.min.time(), UTC).timestamp())
    month = Month(begin_s, days + 2)
    power = PowerTable(month.readings)
    used = true = 0.0
    counted: dict[date, int] = {}
    for number in range(days):
        day = first + timedelta(days=number)
        start_s, end_s = calendar.day_bounds(day)
        before = [change for change in month.log if change[0] <= start_s][-1:]
        found = half_hours(
            before + [change for change in month.log if start_s < change[0] < end_s], power, start_s, end_s
        )
        counted[day] = len(found)
        for half in found:
            meter_wh = month.meter_mj[(half.start_s - begin_s) // HALF_HOUR_S] / 3_600_000
            assert half.known_s == HALF_HOUR_S
            assert abs(half.wh - meter_wh) < 0.02, (half, meter_wh)  # a second of full light is 0.008 Wh
            used += half.wh
            true += meter_wh
    assert abs(used - true) < 0.001 * true and true > 1000, (used, true)
    assert counted.pop(odd) == halves and set(counted.values()) == {48}
    assert all(one[0] <= other[0] for one, other in pairwise(month.log)) and len(month.log) > 30 * PASSAGES


def test_what_the_log_does_not_know_is_not_made_up() -> None:
    power = PowerTable([(100, 300), (20, 72), (0, 10), (20, 76)])
    assert (power.watts(20), power.watts(100), power.watts(0)) == (7.4, 30.0, 1.0)
    assert power.watts(60) == pytest.approx(18.7) and power.watts(10) is None
    assert PowerTable([]).watts(50) is None
    start_s = 1_800_000_000
    (first, second) = half_hours([(start_s + 900, 100), (start_s + 2700, 10)], power, start_s, start_s + 3600)
    assert (first.wh, first.known_s) == (7.5, 900)  # nothing is known before the first change
    assert (second.wh, second.known_s) == (7.5, 900)  # nor what the level at its end takes
