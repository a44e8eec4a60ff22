"""A year of one lamp's verdict on the night: what burns by day and what is dark by night, by what fails."""

# pyright: basic
# The control is MicroPython's, which carries no types.

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from kerbnode.lamp import astro
from kerbnode.lamp.lamp import Lamp
from kerbtools.bench.lighting.nights import Place, Settings, lamp_settings
from kerbtools.bench.lighting.street import lux_at
from kerbwire.channels import FAULT

BRISTOL, AUCKLAND, TROMSO = (514500, -25900), (-368480, 1747650), (696490, 189560)
YEAR_S = 1767225600, 1798761600  # 2026
STEP_S = 300
SETTLE_S = 2 * 86400  # a lamp learns its night first
DAY_DEGREES, NIGHT_DEGREES = 2.0, -5.0  # above: day; below: night, also by a clock ten minutes off and a step late


@dataclass(frozen=True, slots=True)
class Trouble:
    """From `fails_s` of the year on. lux: what the cell says instead of the truth; None: the truth. share: of the light
    that comes to it, from a start of the lamp on: one that has borne its clock out before would be too easy."""

    name: str
    clock: int | None = 0  # seconds off; None: lost
    lux: int | None = None
    fails_s: int = 0
    mends_s: int = YEAR_S[1] - YEAR_S[0]
    share: float = 1.0


MONTH_S = 30 * 86400
SHARES = (0.1, 0.02, 0.005)
TROUBLES = (
    Trouble("none"),
    Trouble("clock ten minutes slow", clock=-600),
    Trouble("clock ten minutes fast", clock=600),
    Trouble("clock ten minutes slow, no photocell", clock=-600, lux=FAULT),
    Trouble("clock five hours slow for ten days in March", -5 * 3600, None, 2 * MONTH_S, 2 * MONTH_S + 10 * 86400),
    Trouble("clock half a day off for ten days in March", 12 * 3600, None, 2 * MONTH_S, 2 * MONTH_S + 10 * 86400),
    Trouble("photocell covered", lux=0),
    *(Trouble(f"photocell sees {100 * share:g} % of the light", fails_s=SETTLE_S, share=share) for share in SHARES),
    Trouble("photocell sees a lamp beside it", lux=500),
    Trouble("clock lost for all the year", clock=None),
    Trouble("clock lost and photocell covered for ten days in March", None, 0, 2 * MONTH_S, 2 * MONTH_S + 10 * 86400),
    Trouble("clock lost and photocell dead for ten days in March", None, FAULT, 2 * MONTH_S, 2 * MONTH_S + 10 * 86400),
)


@cache
def degrees_at(utc_s: int, place: Place) -> float:
    return math.degrees(math.asin(max(-1.0, min(1.0, astro.sun_height(utc_s, *place) / astro.ONE))))


def rows(days: int = 365) -> Iterator[dict[str, object]]:
    for name, place in (("Bristol", BRISTOL), ("Auckland", AUCKLAND), ("Tromso", TROMSO)):
        for trouble in TROUBLES if place == BRISTOL else TROUBLES[:1]:
            day_lit_s, night_dark_s, lit_s = year(place, trouble, STEP_S, days)
            yield {
                "place": name,
                "what_fails": trouble.name,
                "days": days,
                "lit_hours": round(lit_s / 3600),
                "lit_by_day_hours": round(day_lit_s / 3600, 1),
                "dark_by_night_hours": round(night_dark_s / 3600, 1),
            }


def year(place: Place, trouble: Trouble, step_s: int, days: int = 365) -> tuple[int, int, int]:
    """Seconds lit by day, dark by night, and lit, in the first days of the year."""
    lamp = Lamp(lamp_settings(place, Settings()), [], [0], False)
    day_lit_s = night_dark_s = lit_s = 0
    for now_s in range(0, min(86400 * days, YEAR_S[1] - YEAR_S[0]), step_s):
        utc_s = YEAR_S[0] + now_s
        fails = trouble.fails_s <= now_s < trouble.mends_s
        if fails and trouble.share < 1 and now_s == trouble.fails_s:
            lamp = Lamp(lamp_settings(place, Settings()), [], [0], False)
        lux = lux_at(utc_s, place) if not fails or trouble.lux is None else trouble.lux
        lux = int(lux * trouble.share) if fails else lux
        off_s = trouble.clock if fails else 0
        lamp.sense(lux, now_s)
        if step_s > 60:  # the cell is read each second: what it says has held by the next step
            lamp.sense(lux, now_s + 60)
        lamp.judge(now_s + 60, None if off_s is None else utc_s + off_s)
        level = lamp.tick(False, 1000 * (now_s + 60))
        lit_s += step_s if level else 0
        degrees = degrees_at(utc_s, place)
        if now_s >= SETTLE_S and degrees > DAY_DEGREES and level:
            day_lit_s += step_s
        if now_s >= SETTLE_S and degrees < NIGHT_DEGREES and not level:
            night_dark_s += step_s
    return day_lit_s, night_dark_s, lit_s
