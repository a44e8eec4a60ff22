"""The fixed, seeded workload behind every byte figure: `days.py` of the project's shared folder.

It is looked for beside a source checkout (`../shared/workload/days.py`), or where KERB_WORKLOAD points.
"""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

from kerbwire import channels as c
from kerbwire.messages import Record, Report

SEEDS = range(1, 1001)


class WorkloadAbsent(Exception):
    """The workload's file is not there."""

    hint = "Set KERB_WORKLOAD to the path of days.py, or run from a checkout that has ../shared beside it."


def load() -> ModuleType:
    """The module `days`; WorkloadAbsent where it is not."""
    named = os.environ.get("KERB_WORKLOAD")
    path = Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "workload" / "days.py"
    spec = importlib.util.spec_from_file_location("days", path)
    if not path.exists() or spec is None or spec.loader is None:
        raise WorkloadAbsent(f"the workload is not at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bin_report(days: ModuleType, seed: int, battery: bool = True) -> Report:
    """A bin's day as it is sent: 24 hourly records of fill, temperature and quality, one battery value."""
    day = days.bin_day(seed)
    records = [
        Record(
            day["index"] + i,
            day["start"] + i * day["step"],
            {c.FILL: day["level"][i], c.TEMPERATURE: day["temperature"][i], c.QUALITY: 0},
        )
        for i in range(len(day["level"]))
    ]
    if battery:
        records[0].values[c.BATTERY] = day["battery"]
    return Report(records)
