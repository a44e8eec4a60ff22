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
from street_harness import DEADLINE_S, SPEED, wait_for

from kerbtools.demo.broker import find_mosquitto
from kerbtools.demo.chaos import Chaos, Tally
from kerbtools.demo.cli import RECORDS_WANTED
from kerbtools.demo.street import Street

RUN_S = 12
SOAK_S = 60
MORE_S = 280  # to let what is under way arrive, and to end
CHAOS_SEED = 164  # whose first six misfortunes are of every kind
CHAOS = ("--chaos", "--seed", str(CHAOS_SEED))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """The demo's own temporary folder, which it must leave empty. Mosquitto, having given up root, passes through it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def run_demo(scratch: Path, *words: str, seconds: int = RUN_S) -> dict[str, Any]:
    """The demo's line. How many records a run comes to is the machine's matter; that they all arrive is not."""
    command = [sys.executable, "-m", "kerbtools", "demo", "--for", f"{seconds}s", "--json", *words]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + MORE_S, check=False, env=environment
    )
    assert done.stdout, done.stderr
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert line["lost"] == 0 and line["waiting"] == 0 and line["doubled"] == 0, line
    assert (line["bins"], line["lamps"], line["nodes"]) == (3, 6, 9) and line["unsettled"] == 0, line
    assert line["taken"] == line["committed"] == line["council"], line
    assert done.returncode == (0 if min(line["council_by_node"].values()) >= RECORDS_WANTED else 1), done.stderr
    assert ("give it more time" in done.stderr) is (done.returncode == 1)
    assert not list(scratch.iterdir())
    return line


@pytest.mark.timeout(RUN_S + MORE_S + 10)
def test_the_demo_accounts_for_all_that_was_taken(scratch: Path) -> None:
    line = run_demo(scratch, *CHAOS)
    assert line["broker"] == ("mosquitto" if find_mosquitto() else "amqtt") and "gateway_kills" in line["chaos"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_nothing_is_lost_or_doubled_in_chaos(broker: str) -> None:
    """The demo's street, for as long as it takes until it had each misfortune."""
    if broker == "mosquitto" and not find_mosquitto():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    with Street(1, SPEED, broker) as street:
        chaos = Chaos(street, CHAOS_SEED)
        wait_for(lambda: len(street.council.counts()) == len(street.nodes), "each node has reported")
        chaos.start()
        wait_for(lambda: chaos.failure or all(counts(vars(chaos.tally))), "each misfortune has come")
        chaos.stop()
        taken = street.ledger.taken()  # some of them wait on their nodes, for the next report
        assert taken - street.council.record_ids()
        street.settle(taken, DEADLINE_S)
        verdict = street.verdict(taken)
        nobodys = {"demo/1/0000000000000000/0"}
        assert not street.settle(nobodys, 0.0) and street.settle(nobodys, DEADLINE_S, hours=0.01)
    assert verdict.lost == 0 and verdict.doubled == 0, verdict
    assert verdict.taken == verdict.committed == verdict.council and min(verdict.council_by_node.values()) > 0, verdict


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + MORE_S + 10)
@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
@pytest.mark.parametrize("chaos", [(), CHAOS])
def test_a_minute_is_enough(scratch: Path, broker: str, chaos: tuple[str, ...]) -> None:
    if broker == "mosquitto" and not find_mosquitto():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    line = run_demo(scratch, *chaos, "--broker", broker, seconds=SOAK_S)
    assert line["ok"], line
    assert not chaos or min(counts({name: line["chaos"][name] for name in vars(Tally())})) > 0, line


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


def counts(tally: dict[str, Any]) -> list[int]:
    """How often each misfortune came, those of the links among them."""
    return [count for name, count in tally.items() if name != "links"] + list(tally["links"].values())


def start_demo(scratch: Path) -> "subprocess.Popen[str]":
    """A demo without end, once its gateway has a store."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "kerbtools", "demo", "--lamps", "0"],  # so it starts sooner
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    deadline = time.monotonic() + 60
    while not list(scratch.glob("kerb-demo-*/gateway/state/*.sock")):
        assert demo.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return demo
