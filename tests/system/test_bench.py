"""`kerb bench wire`: the rows have their keys, and the sizes of ours are what kerbwire gives. No figure has a bar here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kerbtools.bench import airtime, ours, slices, workload
from kerbtools.emulator import interpreter

SEEDS = 2
MESSAGE_KEYS = {
    "message", "format", "seeds", "frames", "mean", "p99", "max", "mean_sealed", "p99_sealed", "max_sealed", "bar",
}  # fmt: skip
CHANGE_KEYS = {
    "message", "format", "nights", "changes_a_night", "frames_a_night", "mean_sealed", "bytes_a_change", "bar",
}  # fmt: skip
MESSAGES = {"fill record", "bin day, 0.5 degC", "bin day, 0.1 degC", "lamp record", "lamp night", "alarm"}
PEERS = {
    "gateway JSON", "SenML-JSON", "SenML-CBOR", "CBOR, string keys", "CBOR, int keys", "MessagePack, string keys",
    "MessagePack, int keys", "Sparkplug B, names", "Sparkplug B, aliases", "Sparkplug B, DataSet",
}  # fmt: skip

SHARED = workload.shared() / "workload" / "days.py"


@pytest.mark.skipif(not SHARED.exists(), reason="the published workload is not beside this checkout")
def test_our_copy_of_the_workload_is_the_published_one() -> None:
    assert Path(str(workload.load().__file__)).read_text() == SHARED.read_text()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "kerbtools", "bench", "wire", "--json", "--seeds", str(SEEDS)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(rows: list[dict[str, object]], key: str) -> list[dict[str, object]]:
    """The table whose rows have that key."""
    found = [row for row in rows if key in row]
    assert found, key
    return found


def test_every_message_stands_beside_its_peers_and_floor(rows: list[dict[str, object]]) -> None:
    for message in MESSAGES:
        table = [row for row in of(rows, "mean") if row["message"] == message]
        assert all(row.keys() - {"part"} == MESSAGE_KEYS for row in table)
        assert PEERS | {"ours", "floor (estimate)"} <= {row["format"] for row in table}, message


def test_level_changes_stand_beside_their_peers(rows: list[dict[str, object]]) -> None:
    table = of(rows, "bytes_a_change")
    assert all(row.keys() - {"part"} == CHANGE_KEYS for row in table)
    assert len({row["message"] for row in table}) == 3


def test_our_sizes_are_those_of_kerbwire(rows: list[dict[str, object]]) -> None:
    days = workload.load()
    sealed = [ours.sealed(ours.report(workload.records(workload.bin_day(days, seed)))) for seed in (1, 2)]
    row = next(r for r in of(rows, "mean") if r["message"] == "bin day, 0.5 degC" and r["format"] == "ours")
    assert row["seeds"] == SEEDS
    assert row["mean_sealed"] == sum(map(len, sealed)) / SEEDS
    assert row["max_sealed"] == max(map(len, sealed))


def test_the_other_tables_are_there(rows: list[dict[str, object]]) -> None:
    assert {row["budget_bytes"] for row in of(rows, "bin_day_over_lora")} == {36, 51}
    assert {"encode a bin day", "seal a bin day", "decode a command"} <= {
        row["on_micropython"] for row in of(rows, "on_micropython")
    }
    assert all(row["ours_over_cbor2"] for row in of(rows, "on_cpython"))
    modules = of(rows, "module")
    assert modules[-1]["mpy_bytes"] == sum(int(str(row["mpy_bytes"])) for row in modules[:-1])


def test_recorded_data_carries_its_attribution(rows: list[dict[str, object]]) -> None:
    if any("no recorded data" in str(row.get("skipped")) for row in rows):
        pytest.skip("no recorded data beside this checkout")
    assert len(of(rows, "attribution")) == 3


def test_tenths_of_a_degree_are_the_same_day() -> None:
    days = workload.load()
    halves = workload.bin_day(days, 7).columns["temperature"]
    tenths = workload.bin_day(days, 7, True).columns[workload.TENTHS]
    assert all(abs(half / 2 - tenth / 10) <= 0.3 for half, tenth in zip(halves, tenths, strict=True))


def test_a_split_day_comes_back_whole() -> None:
    day = workload.records(workload.bin_day(workload.load(), 3))
    parts = ours.split(day, 36, ours.before(day))
    assert all(len(part) + 13 <= 36 for part in parts)
    assert [record for part in parts for record in ours.read(part, ours.before(day))] == day


@pytest.mark.parametrize(("payload", "short_s", "long_s"), [(26, 0.0822, 1.9743), (51, 0.118, 2.7935)])
def test_time_on_air(payload: int, short_s: float, long_s: float) -> None:
    assert airtime.time_on_air_s(payload, 7) == pytest.approx(short_s, abs=1e-3)
    assert airtime.time_on_air_s(payload, 12) == pytest.approx(long_s, abs=1e-3)


def test_expected_transmissions_of_a_lossless_and_a_lossy_link() -> None:
    assert airtime.expected_sends(3, 0.0) == ([1.0, 1.0, 1.0], 1.0)
    (sent,), delivered = airtime.expected_sends(1, 0.5, most=2)
    assert sent == pytest.approx(1.75) and delivered == pytest.approx(0.75)


def test_what_a_lamp_loads_late_is_loaded_from_its_bundle() -> None:
    assert {row["work"] for row in slices._loads(interpreter.command())} == {f"load {name}" for name in slices.LOADED}
