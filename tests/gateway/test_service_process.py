"""A real gateway process beside a real manager's socket: it is fed only while the work is done, it says what happens,
and it ends in bounded time. A hung disk and a stuck loop are made by strace, which holds single calls of the kernel.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from gateway_harness import ENVIRONMENT, START, GatewayProcess, Street, closing_all, secret_of, until
from test_service_pages import free_port, get

WATCHDOG_S = 6.0
HANGS = "delay_enter=60s"


class Manager:
    """The service manager's end: a datagram socket, and when each message came."""

    def __init__(self, folder: Path):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.said: list[tuple[float, str]] = []

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}

    def heard(self, word: str) -> list[float]:
        """When messages that begin so came, up to now."""
        while True:
            try:
                self.said.append((time.monotonic(), self.socket.recv(4096).decode()))
            except BlockingIOError:
                return [at for at, text in self.said if text.startswith(word)]

    def starves(self) -> bool:
        """Whether the manager would end the process now."""
        fed = self.heard("WATCHDOG=1") or self.heard("READY=1")
        return time.monotonic() - fed[-1] > WATCHDOG_S

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.close()


def test_it_is_fed_while_it_works_and_says_what_happens(tmp_path: Path, manager: Manager) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=9, environment=manager.environment)
    street = Street(gateway.register(range(1, 3)))
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    with closing_all(gateway, street, manager):
        gateway.start()
        assert until(lambda: manager.heard("READY=1"), "ready") and len(manager.heard("READY=1")) == 1
        node = street.nodes[1]
        node.take(8, START)
        assert street.run(lambda: node.confirmed and not node.waiting)
        os.write(street.master, b"\x00\x03junk\x00")
        until(lambda: len(manager.heard("WATCHDOG=1")) >= 3, "fed again and again")
        fed = manager.heard("WATCHDOG=1")
        assert max(later - before for before, later in pairwise(fed)) < WATCHDOG_S
        assert any("1 of 2 links up" in text for _, text in manager.said if text.startswith("STATUS="))
        assert gateway.stop() == 0
        assert len(manager.heard("STOPPING=1")) == 1

    events = gateway.events()
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["start", "ready"] and kinds[-2:] == ["stopping", "stop"]
    assert events[0]["config"] == str(gateway.config) and events[0]["version"] and events[1]["nodes"] == 2
    (up,) = gateway.events("link_up")
    assert up["name"] == f"serial:{street.path}" and up["link"] == "inlet"
    down = [event for event in gateway.events("link_down") if event["link"] == "outlet"]
    assert "127.0.0.1:9" in down[0]["cause"] and down[0]["hint"]
    stop = events[-1]
    assert stop["waiting"] == {"council": 1} and stop["delivered"] == {"council": 0} and stop["committed"] >= 2
    assert stop["queued"] == 0 and stop["uptime_s"] > 1 and stop["memory_mb"] < 256


def test_a_reload_is_told_and_a_refused_one_too(tmp_path: Path, manager: Manager) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=9, environment=manager.environment)
    with closing_all(gateway, manager):
        gateway.start()
        until(lambda: manager.heard("READY=1"), "ready")
        good = gateway.config.read_text()
        gateway.config.write_text(good + '[[outlet]]\nname = "trees"\nurl = "mqtt://127.0.0.1:9"\n')
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: len(manager.heard("READY=1")) == 2, "ready again")
        assert [text.split("\n")[0] for _, text in manager.said].count("RELOADING=1") == 1
        (reload,) = gateway.events("reload")
        assert (reload["added"], reload["removed"], reload["changed"]) == ("trees", "", "")
        gateway.config.write_text(good + "[[outlet]]\nnome = 1\n")
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: len(manager.heard("READY=1")) == 3, "ready after a refusal")
        (refused,) = gateway.events("reload_refused")
        assert "'nome'" in refused["cause"] and refused["hint"]
        gateway.config.write_text(good)
        assert [outlet["name"] for outlet in gateway.status()["outlets"]] == ["council", "trees"]
        assert gateway.stop() == 0


def test_no_key_and_no_payload_is_in_the_log(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=None)
    street = Street(gateway.register(range(1, 3)))
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    frames: list[bytes] = []
    with closing_all(gateway, street):
        gateway.start()
        node = street.nodes[1]
        sealed = node._seal
        node._seal = lambda *words: frames.append(sealed(*words)) or frames[-1]  # type: ignore[method-assign]
        node.take(20, START)
        assert street.run(lambda: node.confirmed and not node.waiting)
        assert gateway.stop() == 0
    text = gateway.log.read_text()
    assert len(frames) >= 3 and not any(frame.hex() in text.lower() for frame in frames)
    keys = [file.read_bytes() for file in gateway.state.glob("*.key")]
    assert keys
    secrets = [*keys, secret_of(1), secret_of(2)]
    for secret in secrets:
        assert secret.hex() not in text.lower() and repr(secret)[2:-1] not in text


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def busy(street: Street) -> bool:
    """Each node always has a record to send."""
    for node in street.nodes.values():
        if not node.waiting:
            node.take(1, START + 3600 * len(node.taken))
    return True


def strace(call: str, when: int, what: str) -> list[str]:
    """What runs a gateway and does something to each of its calls of the kernel from the n-th on."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed: apt-get install strace")
    inject = f"inject={call}:{what}:when={when}+"
    return [found, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]


def test_a_disk_that_hangs_is_not_fed_and_health_says_so(tmp_path: Path, manager: Manager) -> None:
    """The writer's 40th fdatasync does not return: the loop turns, the links are up, and yet no work is done."""
    port = free_port()
    gateway = GatewayProcess(
        tmp_path, inlets=[], broker_port=None, wrap=strace("fdatasync", 40, HANGS),
        environment=manager.environment, service_port=port, commit_interval_ms=0,
    )  # fmt: skip
    street = Street(gateway.register(range(1, 3)))
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    with closing_all(gateway, street, manager):
        gateway.start()
        until(lambda: manager.heard("WATCHDOG=1"), "fed at first")
        until(lambda: answers(port), "health is served")
        assert get(port, "/health")[0] == 200
        assert street.run(lambda: busy(street) and manager.starves(), 30), "it is still fed"
        status, _, text = get(port, "/health")
        body = json.loads(text)
        assert (status, body["status"]) == (503, "failing")
        assert [problem["code"] for problem in body["problems"] if problem["grave"]] == ["writer_stuck"]
        assert all(problem["hint"] for problem in body["problems"])
        assert "kerbstone_healthy 0" in get(port, "/metrics")[2]
        assert gateway.events("problem_grave")[-1]["code"] == "writer_stuck"


def test_a_loop_that_is_stuck_is_not_fed(tmp_path: Path, manager: Manager) -> None:
    gateway = GatewayProcess(
        tmp_path, inlets=[], broker_port=None, wrap=strace("epoll_wait", 60, HANGS), environment=manager.environment
    )
    with closing_all(gateway, manager):
        gateway.start()
        until(lambda: manager.heard("WATCHDOG=1"), "fed at first")
        until(manager.starves, "no longer fed", 40)
        assert Path(f"/proc/{gateway.pid}").exists()  # a process there is, all the same


def test_a_full_disk_is_fed_since_a_restart_mends_nothing(tmp_path: Path, manager: Manager) -> None:
    gateway = GatewayProcess(
        tmp_path, inlets=[], broker_port=None, wrap=strace("fdatasync", 30, "error=EIO"),
        environment=manager.environment, commit_interval_ms=0,
    )  # fmt: skip
    street = Street(gateway.register(range(1, 3)))
    gateway.config.write_text(gateway.config.read_text() + f'[[inlet]]\nurl = "serial:{street.path}"\n')
    with closing_all(gateway, street, manager):
        gateway.start()
        assert street.run(lambda: busy(street) and gateway.events("problem"), 30), "it is said"
        (problem,) = gateway.events("problem")
        assert problem["code"] == "not_storing" and "I/O error" in problem["cause"] and problem["hint"]
        assert not street.run(lambda: busy(street) and manager.starves(), 1.5 * WATCHDOG_S)


STUBBORN = """
import asyncio, sys
from pathlib import Path
from kerbgate import app, config
from kerbgate.service import service

service.STOP_S = 1.0

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

serve = app.Gateway._work

async def work(self, stop, ready):
    self.command_service.council = None
    task = asyncio.get_running_loop().create_task(stubborn(), name="a link that does not let go")
    self.running.add(task)
    try:
        await serve(self, stop, ready)
    finally:
        await task

app.Gateway._work = work
app.run(config.load(Path(sys.argv[1])), lambda: print("running", flush=True))
"""


def test_a_stop_is_bounded_and_says_what_it_waited_for(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, inlets=[], broker_port=None)
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(gateway.config)],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        try:
            assert process.stdout.readline() == "running\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 75
        finally:
            process.kill()
        said = [json.loads(line) for line in process.stderr.read().splitlines()]
    stuck = said[-1]
    assert stuck["event"] == "stuck" and "a link that does not let go" in stuck["waiting"] and stuck["hint"]
    gateway.start()  # over what that one left
    assert gateway.stop() == 0


def test_log_lines_are_all_json_and_of_the_table(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, inlets=["serial:/dev/kerb-absent"], broker_port=9)
    with closing_all(gateway):
        gateway.start()
        until(lambda: len(gateway.events("link_down")) == 2, "both links are said to be down")
        assert gateway.stop() == 0
    for text in gateway.log.read_text().splitlines():
        row = json.loads(text)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["time"])
