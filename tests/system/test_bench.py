"""`kerb bench` prints what it claims: rows with figures, from the workload that everybody measures by."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kerbtools.bench import days

SHARED = Path(__file__).resolve().parents[3] / "shared" / "workload" / "days.py"


def test_the_wire_part_prints_the_bytes_of_a_bin_day() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kerbtools", "bench", "wire", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    row = json.loads(done.stdout)
    assert row["seeds"] == 1000 and 60 < row["mean_bytes"] <= row["p99_bytes"] <= row["max_bytes"] < 243


@pytest.mark.skipif(not SHARED.exists(), reason="the published workload is not beside this checkout")
def test_our_copy_of_the_workload_is_the_published_one() -> None:
    assert Path(days.__file__).read_text() == SHARED.read_text()
