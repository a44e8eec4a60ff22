"""What is true around a lamp: daylight, people on the way, mains. A function of seed and time, and of a test's hand."""

import math
import random
from dataclasses import dataclass

_HOUR_US = 3_600_000_000
_SEARCH_HOURS = 48  # with nobody on the way for so long, nobody comes
# Passages an hour by the hour of the day (UTC) on a street with little traffic.
_PASSAGES = (2, 1, 1, 1, 1, 3, 8, 14, 16, 10, 9, 11, 14, 12, 10, 11, 14, 18, 18, 14, 11, 9, 6, 4)


@dataclass(frozen=True, slots=True)
class LampTruth:
    """The state of the world at one lamp, as no sensor sees it."""

    daylight_lux: float
    is_occupied: bool
    mains_v: float
    temperature_c: float


class LampScene:
    """One lamp. cloud: 0 clear to 1 overcast; cover: share of the light that something before the light sensor takes;
    outage: the street's supply is off; sag_v: how far its volts are down. All may be set at any time."""

    def __init__(self, seed: str, start_us: int) -> None:
        self.extra_c = 0.0
        self.outage = False
        self.sag_v = 0.0
        self.cover = 0.0
        self._seed = seed
        self._start_us = start_us
        own = random.Random(seed)  # noqa: S311  a scene, not a secret
        self.cloud = own.uniform(0.2, 0.8)
        self._volts = own.uniform(226.0, 238.0)
        self._hours: dict[int, list[tuple[int, int]]] = {}

    def truth(self, now_us: int) -> LampTruth:
        hours = now_us / _HOUR_US
        return LampTruth(
            daylight_lux=self.daylight_lux(now_us),
            is_occupied=self.is_occupied(now_us),
            mains_v=self.mains_v(now_us),
            temperature_c=8.0 + 5.0 * math.sin((hours - 9) / 24 * 2 * math.pi) + self.extra_c,
        )

    def daylight_lux(self, now_us: int) -> float:
        """An equinox: the sun up from 6 to 18 UTC, twilight by a factor of ten a quarter of an hour."""
        height = math.sin((now_us / _HOUR_US % 24 - 6) / 12 * math.pi)
        if height > 0:
            return (400 + 90_000 * height) * (1 - 0.85 * self.cloud)
        return 400 * (1 - 0.85 * self.cloud) * 10 ** (height / 0.065) + 0.02

    def is_occupied(self, now_us: int) -> bool:
        hour = now_us // _HOUR_US
        return any(start <= now_us < end for h in (hour - 1, hour) for start, end in self._passages(h))

    def next_presence_us(self, after_us: int) -> int:
        """The next moment after which somebody is there or is gone."""
        first = after_us // _HOUR_US - 1
        for hour in range(first, first + _SEARCH_HOURS):
            for moment in sorted(edge for passage in self._passages(hour) for edge in passage):
                if moment > after_us:
                    return moment
        return 1 << 62

    def mains_v(self, now_us: int) -> float:
        return 0.0 if self.outage else self._volts - self.sag_v + 2.0 * math.sin(now_us / _HOUR_US * 2.7)

    def _passages(self, hour: int) -> list[tuple[int, int]]:
        found = self._hours.get(hour)
        if found is None:
            own = random.Random(f"{self._seed}/passages/{hour}")  # noqa: S311
            found = list[tuple[int, int]]()
            at_s = own.expovariate(_PASSAGES[hour % 24] / 3600)
            while at_s < 3600:
                length_s = own.uniform(4.0, 12.0)
                found.append((int((hour * 3600 + at_s) * 1e6), int((hour * 3600 + at_s + length_s) * 1e6)))
                at_s += length_s + own.expovariate(_PASSAGES[hour % 24] / 3600)
            self._hours[hour] = found
            if len(self._hours) > 200:  # a week: what lies behind is asked for no more
                del self._hours[min(self._hours)]
        return found
