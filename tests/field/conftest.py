"""Fixtures of the field's tests, and the table of faults: what was broken, and what the doctor named first."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "gateway"))

from field_harness import Doctor  # behind the path of the gateway's harness

from kerbtools.field.checks import host

FAULT = "fault"


@pytest.fixture(autouse=True)
def steady_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with memory to spare and no heat, whatever the machine that runs the tests does meanwhile."""
    (tmp_path / "host/proc").mkdir(parents=True)
    (tmp_path / "host/proc/meminfo").write_text("MemTotal: 1000000 kB\nMemAvailable: 900000 kB\n")
    monkeypatch.setattr(host, "ROOT", tmp_path / "host")


@pytest.fixture
def named(record_property: Callable[[str, object], None]) -> Doctor:
    """Asks the doctor until it names a cause first, and keeps what it said for the table."""
    return Doctor(lambda row: record_property(FAULT, row))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", ())
        if name == FAULT
    ]
    if rows:
        terminalreporter.section(f"{len(rows)} faults, and what kerb doctor named first")
        for fault, check, cause, step in sorted(rows):
            terminalreporter.write_line(f"{fault:34} {check:13} {cause:66.66} {step:.60}")
