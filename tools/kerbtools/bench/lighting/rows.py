"""`kerb bench lighting`: energy beside a fixed schedule, and who stood in too little light. People are simulated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median

from kerbtools.bench.lighting import centre, ladder, least
from kerbtools.bench.lighting.count import Count
from kerbtools.bench.lighting.nights import COLUMNS, Night, Settings, run_all, total
from kerbtools.bench.lighting.people import PER_ARRIVAL
from kerbtools.bench.lighting.street import NO_FAULTS, Faults

PATH = ladder.BRISTOL
SEASONS = ("2019-03-20", "2019-06-20", "2019-09-20", "2019-12-20")
NIGHTS = 3
PATH_RATES = (3, 9)
CENTRE_STEP = 24  # days from night to night: all weekdays and seasons alike
SWEEP_COLUMNS, SWEEP_STEP = 8, 73  # a part of a street and of a year is enough to compare settings
QUICK = 73  # days
AIMS = {"path": 65, "median": 50, "least": 30}

PLAIN = Settings()  # floor 20 %, hold 30 s, two columns ahead
CENTRE = Settings(hold_ms=20_000, ahead=1, some_percent=22, busy_percent=52)  # where there is light all round
FAULTS = Faults(clock_off_s=600)

CASES = (
    ("no fault", NO_FAULTS),
    ("2 % missed, 1 % lost", Faults(dead=0)),
    ("and one dead node in twenty", Faults()),
    ("and clocks off by ten minutes", FAULTS),
)
SWEEP = (
    ("plain: hold 30 s, two columns ahead, traffic from 20 % and 48 %, floor 20 %", PLAIN),
    ("hold 60 s", replace(PLAIN, hold_ms=60_000)),
    ("hold 20 s", replace(PLAIN, hold_ms=20_000)),
    ("one column ahead", replace(PLAIN, ahead=1)),
    ("traffic from 22 % and 52 %", replace(PLAIN, some_percent=22, busy_percent=52)),
    ("the centre's: the three above", CENTRE),
    ("no waves", replace(PLAIN, waves=False)),
    ("floor 10 %", replace(PLAIN, floor=10)),
    ("floor 30 %", replace(PLAIN, floor=30)),
    ("ramp down in 20 s", replace(PLAIN, ramp_down_ms=20_000)),
)


@dataclass(frozen=True, slots=True)
class Street:
    """Some nights of one street under one name. Each row of the table is one of these."""

    street: str
    case: str
    nights: Sequence[Night]


def rows(quick: bool = False) -> Iterator[dict[str, object]]:
    """All tables. quick: some nights only, to see that all of it works."""
    yield from path(quick)
    if not centre.recorded().exists():
        yield {"street": "busy centre", "not_measured": "the recorded counts are not beside this checkout"}
    else:
        yield from busy(quick)
        yield from least.rows()
        yield from sweep(quick)
    yield from year(quick)
    yield from ladder.rows(QUICK if quick else 365)


def path(quick: bool) -> Iterator[dict[str, object]]:
    """The quiet path at 3 and at 9 passages an hour."""
    evenings = _seasons(1 if quick else NIGHTS)
    streets = [
        Street(f"quiet path, {rate} passages an hour", case, [_path_night(rate, day, faults) for day in evenings])
        for rate in PATH_RATES
        for case, faults in CASES
    ]
    streets += [
        Street(
            f"quiet path, {rate} groups an hour",
            CASES[-1][0],
            [_path_night(rate * PER_ARRIVAL, day, FAULTS) for day in evenings],
        )
        for rate in PATH_RATES
    ]
    quick_to_light: list[dict[str, object]] = []
    for street, count in _counted(streets):
        yield _row(street, count)
        if street.case == CASES[0][0]:
            quick_to_light.append(_response(street, count))
    yield from quick_to_light


def busy(quick: bool) -> Iterator[dict[str, object]]:
    """Each counter of the centre on its own street, planned from one half of the weeks and lit in the other."""
    evenings = _days(QUICK if quick else CENTRE_STEP)
    cases = (("plain settings", PLAIN), ("the centre's settings", CENTRE))
    streets = [
        _centre(name, evenings, settings, FAULTS, f"all faults, {case}")
        for case, settings in cases
        for name in centre.counters()
    ]
    found: dict[str, list[Count]] = {}
    for street, count in _counted(streets):
        yield _row(street, count)
        found.setdefault(street.case, []).append(count)
    for case, counts in found.items():
        yield _summary(case, counts)


def sweep(quick: bool) -> Iterator[dict[str, object]]:
    """Other settings, over all counters together."""
    evenings = _days(4 * SWEEP_STEP if quick else SWEEP_STEP)
    streets = [
        _centre(name, evenings, settings, FAULTS, case, SWEEP_COLUMNS)
        for case, settings in SWEEP
        for name in centre.counters()
    ]
    streets += [
        replace(
            street, case="plain, and the level of each hour is known", nights=[*map(centre.foreknown, street.nights)]
        )
        for street in streets[: len(centre.counters())]
    ]
    found: list[Count] = []
    for street, count in _counted(streets):
        found.append(count)
        if len(found) == len(centre.counters()):
            yield _summary(street.case, found)
            found = []


def year(quick: bool) -> Iterator[dict[str, object]]:
    """A year without a fault: every night of the path, and of the centre each CENTRE_STEP days."""
    every = _days(QUICK if quick else 1)
    streets = [
        Street(
            f"quiet path, {rate} passages an hour",
            "a year, no fault",
            [_path_night(rate, day, NO_FAULTS, SWEEP_COLUMNS) for day in every],
        )
        for rate in PATH_RATES
    ]
    for street, count in _counted(streets):
        yield _row(street, count)
    if centre.recorded().exists():
        evenings = _days(2 * QUICK if quick else CENTRE_STEP)
        streets = [
            _centre(name, evenings, CENTRE, NO_FAULTS, "a year, no fault", SWEEP_COLUMNS) for name in centre.counters()
        ]
        yield _summary("a year, no fault", [count for _, count in _counted(streets)])


def _days(step: int) -> list[datetime]:
    first = datetime(centre.YEAR, 1, 3)
    return [first + timedelta(days=day) for day in range(0, 361, step)]


def _seasons(nights: int) -> list[datetime]:
    return [datetime.fromisoformat(season) + timedelta(days=day) for season in SEASONS for day in range(nights)]


def _path_night(rate: float, evening: datetime, faults: Faults, columns: int = COLUMNS) -> Night:
    noon_s = int(evening.replace(hour=12, tzinfo=UTC).timestamp())
    small_hours = frozenset(range(12, 17))  # 00:00 to 05:00
    return Night(
        f"path {rate} {evening:%Y-%m-%d}", PATH, noon_s, (rate,) * 24, (100,) * 24, small_hours, PLAIN, faults,
        columns=columns,
    )  # fmt: skip


def _centre(
    name: str, evenings: Sequence[datetime], settings: Settings, faults: Faults, case: str, columns: int = COLUMNS
) -> Street:
    nights = [replace(centre.night(name, day, settings, faults), columns=columns) for day in evenings]
    return Street(name, case, nights)


def _counted(streets: Sequence[Street]) -> Iterator[tuple[Street, Count]]:
    counts = run_all([night for street in streets for night in street.nights])
    for street in streets:
        yield street, total(next(counts) for _ in street.nights)


def _saving(count: Count) -> float:
    return 100 * (1 - count.wh / count.full_wh)


def _most(count: Count) -> float:
    return 100 * (1 - count.least_wh / count.full_wh)


def _too_dark(count: Count) -> float:
    return 100 * count.dark_s / max(1.0, count.person_s)


def _row(street: Street, count: Count) -> dict[str, object]:
    return {
        "street": street.street,
        "case": street.case,
        "nights": len(street.nights),
        "saving_percent": round(_saving(count), 1),
        "most_possible": round(_most(count), 1),
        "share_of_it": round(_saving(count) / _most(count), 2),
        "saving_of_half_nights": round(100 * (1 - count.wh / count.half_wh), 1),
        "stood_too_dark_percent": round(_too_dark(count), 3),
        "stood_too_dark_s": round(count.dark_s),
        "person_hours": round(count.person_s / 3600),
        "around_too_dark_percent": round(100 * count.around_s / max(1.0, count.person_s), 3),
        "daylight_lamp_hours": round(count.day_lit_s / 3600, 3),
        "switchings_a_lamp_night": round(count.switchings / count.lamp_nights, 1),
        "waves_a_lamp_hour": round(count.told * 3600 / count.lamp_s, 1),
    }


def _summary(case: str, counts: Sequence[Count]) -> dict[str, object]:
    savings = [_saving(count) for count in counts]
    most = [_most(count) for count in counts]
    dark = [_too_dark(count) for count in counts]
    return {
        "centre_all_counters": case,
        "saving_median": round(median(savings), 1),
        "saving_least": round(min(savings), 1),
        "aims": f"{AIMS['median']}, {AIMS['least']}",
        "most_possible_median": round(median(most), 1),
        "most_possible_least": round(min(most), 1),
        "share_of_it": round(median(ours / best for ours, best in zip(savings, most, strict=True)), 2),
        "saving_of_half_nights": round(median(100 * (1 - count.wh / count.half_wh) for count in counts), 1),
        "stood_too_dark_percent": round(median(dark), 3),
        "of_the_worst": round(max(dark), 3),
        "daylight_lamp_hours": round(sum(count.day_lit_s for count in counts) / 3600, 3),
        "switchings_a_lamp_night": round(median(count.switchings / count.lamp_nights for count in counts), 1),
    }


def _response(street: Street, count: Count) -> dict[str, object]:
    """From what the sensor says to what the driver is told; the sensor's own time and the driver's come on top."""
    found: dict[str, object] = {"from_a_detection": street.street, "detections": len(count.own_ms)}
    for name, spans in (
        ("own_column_ramps_s", count.own_ms),
        ("own_column_is_full_s", count.own_full_ms),
        ("two_ahead_are_full_s", count.ahead_full_ms),
    ):
        ordered = sorted(spans)
        for share in (50, 99):
            found[f"{name}_p{share}"] = ordered[len(ordered) * share // 100] / 1000
    return found
