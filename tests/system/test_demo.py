"""The demo as its user runs it: the JSON line, the exit status, and nothing left behind."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from kerbtools.demo.broker import find_mosquitto

# Long enough for 100 hourly records of each node on a busy two-core machine.
RUN = "40s"
LIMIT_S = 150


def run_demo(*words: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "kerbtools", "demo", "--for", RUN, "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def check(status: int, line: dict[str, Any]) -> None:
    assert line["lost"] == 0 and line["doubled"] == 0, line
    assert line["nodes"] == 3 and line["taken"] == line["committed"] == line["council"], line
    assert all(count >= 100 for count in line["council_by_node"].values()), line
    assert status == 0


@pytest.mark.timeout(LIMIT_S + 10)
def test_nothing_is_lost_or_doubled() -> None:
    before = leftovers()
    status, line = run_demo()
    check(status, line)
    assert line["broker"] == ("mosquitto" if find_mosquitto() else "amqtt")
    assert leftovers() == before


@pytest.mark.timeout(LIMIT_S + 10)
@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_nothing_is_lost_or_doubled_in_chaos(broker: str) -> None:
    if broker == "mosquitto" and not find_mosquitto():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    status, line = run_demo("--chaos", "--seed", "11", "--broker", broker)
    check(status, line)
    tally = line["chaos"]
    assert tally["gateway_kills"] and tally["broker_cuts"] and tally["node_resets"] and tally["power_cuts"], line


def leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("kerb-*"))
