"""Reports of the fixed, seeded workload (`days`), which stands behind every byte figure."""

from collections.abc import Callable
from typing import Any, cast

from kerbtools.bench import days
from kerbwire import channels as c
from kerbwire.messages import Record, Report

SEEDS = range(1, 1001)
_bin_day = cast(Callable[[int], dict[str, Any]], days.bin_day)  # pyright: ignore[reportUnknownMemberType]


def bin_report(seed: int) -> Report:
    """A bin's day as it is sent: 24 hourly records of fill, temperature and quality, one battery value."""
    day: dict[str, Any] = _bin_day(seed)
    records = [
        Record(
            day["index"] + i,
            day["start"] + i * day["step"],
            {c.FILL: day["level"][i], c.TEMPERATURE: day["temperature"][i], c.QUALITY: 0},
        )
        for i in range(len(day["level"]))
    ]
    records[0].values[c.BATTERY] = day["battery"]
    return Report(records)
