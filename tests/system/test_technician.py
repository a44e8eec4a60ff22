"""A technician's morning: five blank boards, and readings of all five at the council's broker. Every step is a `kerb`
command in a process of its own; the time of each is printed (pytest -s).
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kerbgate.registry import Registry
from kerbtools.demo.broker import find_mosquitto, open_broker
from kerbtools.demo.council import Council
from kerbtools.emulator import Board, World

BOARDS = ("pico_w", "pico_w", "esp32_c3", "esp32_c3", "pico_w")
SITE = "harbour"
STEP_S = 120.0  # most of one step
AIM_S = 60.0  # of all of them, on a machine that does nothing else


class Steps:
    """Times of the steps, printed one by one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
        print(f"{self.seconds[name]:6.2f} s  {name}")


def kerb(*words: object) -> str:
    """Run a command; returns its output."""
    done = subprocess.run(
        [sys.executable, "-m", "kerbtools", *map(str, words)],
        capture_output=True, text=True, timeout=STEP_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def configure(path: Path, boards: list[Board], broker_port: int, clock: Path) -> None:
    """The gateway's file as its engineer leaves it: one serial inlet for each board."""
    first, *others = [f"serial:{board.link_path}" for board in boards]
    kerb(
        "gateway",
        "init",
        "--config",
        path,
        "--site",
        SITE,
        "--inlet",
        first,
        "--outlet",
        f"mqtt://127.0.0.1:{broker_port}",
    )
    text = path.read_text() + "".join(f'\n[[inlet]]\nurl = "{url}"\n' for url in others)
    text, replaced = re.subn(r"^#? ?source = .*$", f'source = "shared:{clock}"', text, count=1, flags=re.M)
    assert replaced == 1
    path.write_text(text)


@contextmanager
def gateway(path: Path) -> Iterator[None]:
    log = path.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "kerbtools", "gateway", "run", "--config", str(path)], stdout=output, stderr=output
        )
        try:
            wait(lambda: b"is running" in log.read_bytes(), lambda: log.read_text())
            yield
        finally:
            process.terminate()
            process.wait(20)


def wait(condition: Any, said: Any, deadline_s: float = STEP_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, said()
        time.sleep(0.02)


@pytest.mark.timeout(400)
def test_five_boards_from_the_box_to_the_broker(tmp_path: Path) -> None:
    if not find_mosquitto():
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    steps = Steps()
    bench, cabinet = tmp_path / "bench.sqlite", tmp_path / "gateway.toml"
    with ExitStack() as stack:
        world = stack.enter_context(World(seed=4, paused=True))
        boards = [Board(world, name, files={}) for name in BOARDS]  # MicroPython and nothing else
        for board in boards:
            stack.callback(board.stop)
            board.start()
        ports = [word for board in boards for word in ("--port", board.usb_path)]
        with steps.step("kerb flash, five boards"):
            kerb("flash", *ports, "--role", "bin", "--no-self-test", "--json")
        orders = tmp_path / "orders.csv"
        orders.write_text(
            "asset,site,latitude,longitude,settings\n"
            + "".join(f"bin {i},{SITE},51.{i},-0.1,report_records=4\n" for i in range(1, 6))
        )
        with steps.step("kerb provision from a CSV, five boards, with their self-tests and labels"):
            kerb("registry", "init", "--registry", bench)
            out = kerb(
                "provision", "--registry", bench, "--csv", orders, *ports, "--labels", tmp_path / "labels", "--json"
            )
        nodes = {row["node"]["address"]: row["node"]["asset"] for row in json.loads(out)["boards"]}
        assert sorted(nodes) == [1, 2, 3, 4, 5] and sorted(nodes.values()) == [f"bin {i}" for i in range(1, 6)]
        assert len(list((tmp_path / "labels").iterdir())) == 10
        folder = tmp_path / "broker"
        folder.mkdir()
        if os.geteuid() == 0:
            tmp_path.chmod(0o755)
        broker = open_broker(folder, "mosquitto")
        broker.start()
        stack.callback(broker.stop)
        council = Council(broker.council_port)
        council.start()
        stack.callback(council.stop)
        with steps.step("gateway init; keys travel sealed from the bench to it"):
            configure(cabinet, boards, broker.port, world.clock_path)
            registry = tmp_path / "state" / "registry.sqlite"
            box, here, there = (tmp_path / name for name in ("box.kreg", "bench.pub", "gateway.pub"))
            kerb("registry", "public-key", "--registry", registry, "--out", there)
            kerb("registry", "public-key", "--registry", bench, "--out", here)
            kerb("registry", "export", "--registry", bench, "--for", there, "--out", box)
            kerb("registry", "import", "--registry", registry, box, "--from", here)
        with steps.step("gateway run; readings of all five at the broker"):
            stack.enter_context(gateway(cabinet))
            world.resume()
            wait(
                lambda: {record.split("/")[1] for record in council.record_ids()} == set("12345"),
                lambda: "\n".join(line for board in boards for line in list(board.console)[-5:]),
            )
        report = json.loads(kerb("inventory", "report", "--config", cabinet, "--json"))
        assert [row["node"] for row in report["foreign"]] == [1, 2, 3, 4, 5]  # heard, and no inventory was imported
        secrets = [Registry(bench).secret(node) for node in Registry(bench).list()]
        assert len(set(secrets)) == 5
    print(f"{sum(steps.seconds.values()):6.2f} s  in all (aim: under {AIM_S:.0f} s)")
