"""The demo as its user runs it: the JSON line, the exit status, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kerbtools.demo.broker import find_mosquitto

# Long enough for 100 hourly records of each node on a busy two-core machine.
RUN = "50s"
LIMIT_S = 150


@pytest.fixture
def scratch() -> Iterator[Path]:
    """The demo's own temporary folder, which it must leave empty. Mosquitto, having given up root, passes through it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def run_demo(scratch: Path, *words: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "kerbtools", "demo", "--for", RUN, "--json", *words]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def check(status: int, line: dict[str, Any]) -> None:
    assert line["lost"] == 0 and line["doubled"] == 0, line
    assert line["nodes"] == 3 and line["taken"] == line["committed"] == line["council"], line
    assert all(count >= 100 for count in line["council_by_node"].values()), line
    assert status == 0


@pytest.mark.timeout(LIMIT_S + 10)
def test_nothing_is_lost_or_doubled(scratch: Path) -> None:
    status, line = run_demo(scratch)
    check(status, line)
    assert line["broker"] == ("mosquitto" if find_mosquitto() else "amqtt")
    assert not list(scratch.iterdir())


@pytest.mark.timeout(LIMIT_S + 10)
@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_nothing_is_lost_or_doubled_in_chaos(scratch: Path, broker: str) -> None:
    if broker == "mosquitto" and not find_mosquitto():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    status, line = run_demo(scratch, "--chaos", "--seed", "11", "--broker", broker)
    check(status, line)
    tally = line["chaos"]
    assert tally["gateway_kills"] and tally["broker_cuts"] and tally["node_resets"] and tally["power_cuts"], line


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_an_end_from_outside_leaves_nothing_behind(scratch: Path, sign: signal.Signals) -> None:
    demo = start_demo(scratch)
    demo.send_signal(sign)
    output, errors = demo.communicate(timeout=30)
    assert demo.returncode in (0, 130), errors  # 130: it had not yet begun to look on
    assert "Traceback" not in output + errors
    assert not list(scratch.iterdir())


def test_a_broker_that_dies_is_named_and_not_called_a_loss(scratch: Path) -> None:
    if not find_mosquitto():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    demo = start_demo(scratch)
    (folder,) = scratch.glob("kerb-demo-*")
    subprocess.run(["pkill", "-9", "-f", str(folder / "broker" / "mosquitto.conf")], check=True, timeout=10)
    output, errors = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert "mosquitto, ended with status -9" in errors and "Traceback" not in errors, errors
    assert "did not arrive" not in output
    assert not list(scratch.iterdir())


def start_demo(scratch: Path) -> "subprocess.Popen[str]":
    """A demo without end, once its gateway has a store."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "kerbtools", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    deadline = time.monotonic() + 30
    while not list(scratch.glob("kerb-demo-*/gateway/state/*.sock")):
        assert demo.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return demo
