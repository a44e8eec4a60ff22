"""What is true around a bin: how full it is, how warm, how strong its cells are. A pure function of seed and time."""

import bisect
import math
import random
from dataclasses import dataclass

_HOUR_US = 3_600_000_000
# Share of a mean hour's waste by the hour of the day (UTC): quiet nights, a lunch and an evening peak.
_DAY = (
    0.2,
    0.1,
    0.1,
    0.1,
    0.1,
    0.2,
    0.5,
    0.8,
    1.0,
    1.1,
    1.2,
    1.6,
    2.0,
    1.8,
    1.4,
    1.3,
    1.4,
    1.7,
    2.0,
    1.8,
    1.4,
    1.0,
    0.7,
    0.4,
)
_ROUND_HOUR = 6  # the lorry comes between six and seven
_WORTH_THE_STOP = 55.0  # percent; fuller bins are emptied on each round, others on Mondays


@dataclass(frozen=True, slots=True)
class Truth:
    """The state of the world at one bin, as no sensor sees it."""

    fill_percent: float
    distance_mm: float  # sensor to waste
    temperature_c: float  # of the air in the bin
    battery_v: float
    emptied: int  # times since the start of the world


class BinScene:
    """One bin. empty_mm, full_mm: sensor to floor, and to the waste of a full bin. start_us: Unix microseconds."""

    def __init__(self, seed: str, start_us: int, *, empty_mm: int = 1200, full_mm: int = 250) -> None:
        self.empty_mm = empty_mm
        self.full_mm = full_mm
        self.extra_c = 0.0  # a test's fire or frost, added to the air
        self.lost_v = 0.0  # by which a test drains the cells
        self.tilt_degrees = 0.0  # of the bin, from upright
        self._seed = seed
        own = random.Random(seed)  # noqa: S311  a scene, not a secret
        self._percent_an_hour = own.uniform(0.9, 2.2)
        self._mean_c = own.uniform(7.0, 11.0)
        self._cells_v = own.uniform(3.60, 3.67)
        self._start_us = start_us
        self._hours = 0  # hours that the curve covers
        self._times: list[int] = [start_us]
        self._levels: list[float] = [own.uniform(5.0, 45.0)]
        self._emptied_us: list[int] = []

    def truth(self, now_us: int) -> Truth:
        """The state at a moment; before the start of the world it is that of the start."""
        fill = self._fill(max(now_us, self._start_us))
        temperature = self._temperature(now_us)
        days = max(0, now_us - self._start_us) / (24 * _HOUR_US)
        return Truth(
            fill_percent=fill,
            distance_mm=self.empty_mm - (self.empty_mm - self.full_mm) * fill / 100,
            temperature_c=temperature,
            battery_v=max(0.0, self._cells_v - self.lost_v - 0.0003 * days - 0.002 * max(0.0, 20.0 - temperature)),
            emptied=bisect.bisect_right(self._emptied_us, now_us),
        )

    def _fill(self, now_us: int) -> float:
        while self._times[-1] < now_us:
            self._add_hour()
        after = bisect.bisect_right(self._times, now_us)
        if after == len(self._times):
            return self._levels[-1]
        before_us, after_us = self._times[after - 1], self._times[after]
        share = (now_us - before_us) / (after_us - before_us)
        return self._levels[after - 1] + (self._levels[after] - self._levels[after - 1]) * share

    def _add_hour(self) -> None:
        own = random.Random(f"{self._seed}/{self._hours}")  # noqa: S311
        begin_us = self._start_us + self._hours * _HOUR_US
        level = self._levels[-1]
        hour = begin_us // _HOUR_US % 24
        weekday = (begin_us // (24 * _HOUR_US) + 3) % 7
        if hour == _ROUND_HOUR and (level > _WORTH_THE_STOP or weekday == 0):
            stop_us = begin_us + int(own.uniform(0.1, 0.9) * _HOUR_US)
            self._times += [stop_us, stop_us + 1]
            self._levels += [level, level := own.uniform(0.0, 3.0)]
            self._emptied_us.append(stop_us + 1)
        level += self._percent_an_hour * _DAY[hour] * own.gammavariate(2.0, 0.5)
        self._times.append(begin_us + _HOUR_US)
        self._levels.append(min(level, 100.0))
        self._hours += 1

    def _temperature(self, now_us: int) -> float:
        hours = now_us / _HOUR_US
        slow = 2.0 * math.sin(hours / 40 + self._mean_c)
        return self._mean_c + slow + 5.0 * math.sin((hours - 9) / 24 * 2 * math.pi) + self.extra_c
