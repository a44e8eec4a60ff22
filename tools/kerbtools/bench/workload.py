"""The fixed, seeded workload behind every byte figure, `days`, as series.

A Series holds times and columns of raw integers, the same for our coder, for its peers and for the floor.
"""

import importlib
import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from kerbwire import channels as c
from kerbwire.messages import Record, Report

SEEDS = range(1, 1001)
LAMP_RECORD = 40  # of a lamp night: 22:00, when every lamp is lit


@dataclass(frozen=True)
class Field:
    """What a column means to a peer. key: of maps with integer keys. words: what a text format writes for a number."""

    name: str
    key: int
    unit: str = ""
    denominator: int = 1
    counts_up: bool = False
    words: dict[int, str] = field(default_factory=dict[int, str])


_FIELDS = {
    row.name: row
    for row in (
        Field("fill", 4, "%"),
        Field("distance", 5, "mm"),
        Field("temperature", 6, "Cel", 2),
        Field("battery", 7, "V", 100),
        Field("quality", 8),
        Field("level", 16, "%"),
        Field("power", 17, "W", 10),
        Field("energy", 18, "Wh", 1, True),
        Field("lux", 19, "lx"),
        Field("hours", 20, "h", 1, True),
        Field("presence", 21, "count"),
        Field("faults", 23),
        Field("cause", 24, words={1: "presence", 2: "hold over"}),
        Field("code", 25, words={1: "fire"}),
        Field("severity", 26),
        Field("state", 27, words={1: "raised"}),
    )
}
TENTHS = "temperature_tenths"  # the column of a bin that resolves 0.1 degC
FIELDS = {**_FIELDS, TENTHS: Field("temperature", 6, "Cel", 10)}


@dataclass(frozen=True)
class Series:
    """Consecutive records of one device: UTC times in seconds, raw values by field name; `once` holds the first's."""

    device: str
    node: int
    seq: int
    index: int
    times: list[int]
    columns: dict[str, list[int]]
    once: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def step(self) -> int | None:
        """Seconds between records, None where they differ."""
        steps = {after - before for before, after in pairwise(self.times)}
        return steps.pop() if len(steps) == 1 else None

    def part(self, start: int, stop: int) -> "Series":
        """Some of the records; `once` stays with the first."""
        columns = {name: values[start:stop] for name, values in self.columns.items()}
        once = {} if start else self.once
        return Series(self.device, self.node, self.seq, self.index + start, self.times[start:stop], columns, once)


def shared() -> Path:
    """The folder beside a source checkout where recorded data may lie; a public clone has none."""
    return Path(__file__).resolve().parents[4] / "shared"


def load() -> ModuleType:
    """The module `days`: the fixed, seeded workload."""
    return importlib.import_module("kerbtools.bench.days")


def bin_day(days: ModuleType, seed: int, tenths: bool = False) -> Series:
    """A bin's day: 24 hourly records of fill, temperature and quality flags, one battery value."""
    day = days.bin_day(seed)
    count = len(day["level"])
    temperature = _tenths(days, seed) if tenths else day["temperature"]
    return Series(
        device="bin-0417",
        node=day["node"],
        seq=day["seq"],
        index=day["index"],
        times=[day["start"] + i * day["step"] for i in range(count)],
        columns={
            "fill": day["level"],
            TENTHS if tenths else "temperature": temperature,
            "quality": [0] * count,
        },
        once={"battery": day["battery"]},
    )


def lamp_night(days: ModuleType, seed: int) -> Series:
    """A lamp's night: 96 quarter hours of seven channels, lux in lx as the photocell gives it."""
    night = days.lamp_night(seed)
    names = ("level", "power", "energy", "lux", "hours", "presence", "faults")
    return Series(
        device="lamp-2290",
        node=night["node"],
        seq=night["seq"],
        index=night["index"],
        times=[night["start"] + i * night["step"] for i in range(len(night["level"]))],
        columns={name: night[name] for name in names},
    )


def level_changes(days: ModuleType, seed: int, passages_per_hour: int) -> Series:
    """A lamp's switchings of one night: second, level and cause of each."""
    changes = days.level_changes(seed, passages_per_hour)
    causes = {word: number for number, word in FIELDS["cause"].words.items()}
    return Series(
        device="lamp-2290",
        node=2290,
        seq=7741,
        index=50122,
        times=[days.NOON + 6 * 3600 + second for second, _, _ in changes],
        columns={
            "level": [level for _, level, _ in changes],
            "cause": [causes[cause] for _, _, cause in changes],
        },
    )


def alarm(days: ModuleType) -> Series:
    """One alarm: code, severity, state and the temperature that raised it."""
    raised = days.ALARM
    return Series(
        device="bin-0417",
        node=raised["node"],
        seq=raised["seq"],
        index=raised["index"],
        times=[raised["time"]],
        columns={"code": [1], "severity": [raised["severity"]], "state": [1]},
        once={"temperature": raised["temperature_half_c"]},
    )


def lux_code(lux: int) -> int:
    """Lux in 1/8 octaves: 8 * log2(lux + 1), as channel 19 has it."""
    return 0 if lux <= 0 else min(c.CHANNELS[c.LUX].high, round(8 * math.log2(lux + 1)))


def bin_report(days: ModuleType, seed: int, battery: bool = True) -> Report:
    """A bin's day as our report: 24 hourly records of fill, temperature and quality, one battery value."""
    series = bin_day(days, seed)
    return Report(records(series if battery else replace(series, once={})))


def records(series: Series) -> list[Record]:
    """A series as our records, lux in 1/8 octaves."""
    idents = {row.name: row.ident for row in c.CHANNELS.values()}
    idents[TENTHS] = idents["temperature"]
    made: list[Record] = []
    for i, time in enumerate(series.times):
        values = {idents[name]: values[i] for name, values in series.columns.items()}
        if c.LUX in values:
            values[c.LUX] = lux_code(values[c.LUX])
        made.append(Record(series.index + i, time, values))
    for name, value in series.once.items():
        made[0].values[idents[name]] = value
    return made


def _tenths(days: ModuleType, seed: int) -> list[int]:
    """The same day's temperatures at 0.1 degC: the generator's own numbers, caught where it rounds them."""
    caught: list[float] = []

    def catch(value: float) -> int:
        caught.append(value)
        return round(value)

    days.__dict__["round"] = catch
    try:
        days.bin_day(seed)
    finally:
        del days.__dict__["round"]
    return [round(5 * twice) for twice in caught[1::2]]  # levels and temperatures take turns; 2 * degC is rounded
