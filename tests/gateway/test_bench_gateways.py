"""The bench of gateways: a cell that fails costs its own row; bars say what was found; ours comes through both inlets."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from gateway_harness import mosquitto

from kerbtools.bench.gateways import bars, rows, scenarios
from kerbtools.bench.gateways.brokers import Absent
from kerbtools.bench.gateways.ours import Ours
from kerbtools.bench.gateways.peers import NodeRed
from kerbtools.bench.gateways.process import Process
from kerbtools.bench.gateways.scenarios import Cells, Sizes
from kerbtools.bench.gateways.subjects import Make


async def absent(make: Make, sizes: Sizes) -> Cells:
    raise Absent("npm install it")


async def broken(make: Make, sizes: Sizes) -> Cells:
    raise ZeroDivisionError("no readings")


async def fine(make: Make, sizes: Sizes) -> Cells:
    return {"messages_per_second": float(sizes.bulk)}


def test_a_cell_that_fails_costs_its_own_row_and_says_why() -> None:
    found = list(rows.rows(True, [("a", absent, (Ours,)), ("b", broken, (Ours, NodeRed)), ("speed", fine, (Ours,))]))
    assert [(row["scenario"], row["gateway"]) for row in found] == [
        ("a", "kerbstone"),
        ("b", "kerbstone"),
        ("b", "Node-RED, SQLite queue"),
        ("speed", "kerbstone"),
    ]
    assert [row.get("not_measured") for row in found] == [
        "npm install it",
        "ZeroDivisionError: no readings",
        "ZeroDivisionError: no readings",
        None,
    ]
    assert found[-1]["messages_per_second"] == scenarios.QUICK.bulk
    assert found[-1]["acknowledges"] == "PUBACK and sealed ack after the commit (FULL)"


def speed(gateway: str, per_second: float, cpu_s: float, records: int = 1) -> Cells:
    return {
        "scenario": "speed",
        "gateway": gateway,
        "messages_per_second": per_second,
        "readings_per_second": per_second * records,
        "cpu_s_per_1000_messages": cpu_s,
        "cpu_s_per_1000_readings": cpu_s / records,
    }


def test_bars_compare_with_the_faster_peer_and_say_nothing_of_what_was_not_measured() -> None:
    measured = [
        speed(bars.OURS, 5000, 0.15),
        speed(bars.OURS_24, 2000, 0.6, 24),
        speed(bars.PEERS[0], 1000, 0.8),
        speed(bars.PEERS[1], 2000, 0.2),
        {"scenario": "latency", "gateway": bars.OURS, "p99_ms": 31.0},
        {"scenario": "kill down", "gateway": bars.OURS, "lost_down": 0},
        {"scenario": "kill down", "gateway": bars.OURS_24, "not_measured": "TimeoutError: x"},
    ]
    found = {str(row["bar"]): (row["found"], row["met"]) for row in bars.rows(measured)}
    peer = bars.PEERS[1]
    assert found == {
        f"messages a second, times {peer}": (2.5, "yes"),
        f"readings a second, 24 a message, times {peer}": (24.0, "yes"),
        f"CPU a message, times {peer}": (pytest.approx(0.75), "yes"),
        f"CPU a reading, 24 a message, times {peer}": (pytest.approx(0.125), "no"),
        "p99 at 200 messages a second, ms": (31.0, "no"),
        "kerbstone: lost in a kill -9, uplink down": (0.0, "yes"),
    }


def test_a_process_that_ends_by_itself_is_named_and_its_kill_is_no_error(tmp_path: Path) -> None:
    process = Process("it", tmp_path, ["sh", "-c", "echo no such port; exit 3"])
    process.start()
    assert process._process is not None
    process._process.wait(10)
    with pytest.raises(RuntimeError, match=r"it ended with status 3: no such port"):
        process.check()
    process.kill()
    process.kill()
    assert process.cpu_s() == process.peak_mb() == process.written_bytes() == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("serial", "uplink"),
    [
        (True, "up"),
        pytest.param(True, "down", marks=pytest.mark.soak),
        pytest.param(False, "frozen", marks=pytest.mark.soak),
    ],
)
def test_ours_loses_nothing_when_it_is_killed(serial: bool, uplink: str) -> None:
    mosquitto()
    cells = asyncio.run(scenarios.kill(partial(Ours, serial=serial), Sizes(kill=600), uplink))
    assert cells[f"lost_{uplink}"] == 0
