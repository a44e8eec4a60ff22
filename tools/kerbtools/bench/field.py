"""The field's verbs on a full district: from the command to its first line, and to its last, each in a new process.

The store is filled as a gateway fills it, reports and roll-ups in one commit, but without seals and links: 10,000
nodes, a million records. Then a gateway runs on it and has come to rest, and once none does. Times are the median of
several runs.
What `kerb top` takes there, and takes of the gateway, stands in a table of its own (`bench/watched.py`).
"""

import contextlib
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kerbgate import asking, decoding
from kerbgate.aggregate import Aggregate
from kerbgate.config import AggregateSettings, StoreSettings
from kerbgate.errors import ControlError
from kerbgate.registry import Registry, states
from kerbgate.store.items import Arrival, HelloFacts
from kerbgate.store.store import Delivery, Store
from kerbtools.bench import watched
from kerbtools.bench.gateways.process import Process
from kerbwire import channels, messages
from kerbwire.channels import BATTERY, ENERGY, FAULTS, FILL, LEVEL, POWER, QUALITY, TEMPERATURE
from kerbwire.messages import Hello, Record, Report

NODES = 10_000
RECORDS = 1_000_000
BATCH = 20  # records a report
RUNS = 5
SITE = "district"
WAIT_S = 60.0
AIM_MS = 300.0

# What is asked, and whether also of a gateway that has stopped.
COMMANDS = (
    (("nodes",), True),
    (("nodes", "--state", "silent"), True),
    (("nodes", "--json"), True),
    (("show", "4711"), True),
    (("tail", "-n", "5"), True),
    (("tail", "--node", "4711", "-n", "5"), True),
    (("queue",), True),
    (("alarms",), True),
    (("doctor",), True),
    (("send", "list"), False),
)


def rows(nodes: int = NODES, records: int = RECORDS, runs: int = RUNS) -> Iterator[dict[str, object]]:
    """One row a command and state of the gateway."""
    with tempfile.TemporaryDirectory(prefix="kerb-field") as name:
        folder = Path(name)
        config = fill(folder, nodes, records)
        gateway = Process(
            "gateway", folder, [sys.executable, "-m", "kerbgate", "run", "--config", str(config)], dict(os.environ)
        )
        gateway.start()
        try:
            _answers(folder / "state")
            watched.calm(gateway.cpu_s)  # what it rolls up and foresees after a start would be in the first row only
            for words, _ in COMMANDS:
                yield _row(words, config, "runs", runs)
            yield from watched.rows(config, gateway.cpu_s, nodes)
        finally:
            gateway.kill()
        for words, stopped in COMMANDS:
            if stopped:
                yield _row(words, config, "stopped", runs)


def _row(words: tuple[str, ...], config: Path, state: str, runs: int) -> dict[str, object]:
    found = [_run([*words, "--config", str(config)]) for _ in range(runs)]
    first, last, cpu, lines = (statistics.median(column) for column in zip(*found, strict=True))
    return {
        "command": "kerb " + " ".join(words), "gateway": state, "first_line_ms": first, "aim_ms": AIM_MS,
        "last_line_ms": last,
        "cpu_ms": cpu, "lines": int(lines),
    }  # fmt: skip


def _run(words: list[str]) -> tuple[float, float, float, int]:
    """(ms to the first line, to the last, CPU of the command, lines)."""
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "kerbtools", *words], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    first = time.perf_counter() - began
    lines = 1 + sum(1 for _ in process.stdout)
    process.wait(WAIT_S)
    last = time.perf_counter() - began
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    process.stdout.close()
    if process.returncode not in (0, 1, 2, 3):
        raise RuntimeError(f"kerb {' '.join(words)} ended with {process.returncode}")
    return 1000 * first, 1000 * last, 1000 * cpu, lines


def _answers(state: Path) -> None:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            asking.ask(state, "facts")
            return
        except ControlError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def fill(folder: Path, nodes: int, records: int) -> Path:
    """A configuration, a registry and a store of a district; returns the configuration's path."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    config = folder / "gateway.toml"
    config.write_text(
        f'[gateway]\nsite = "{SITE}"\nstate = "state"\n[clock]\nsource = "trusted"\n[service]\nport = 0\n'
        '[[outlet]]\nname = "council"\nurl = "mqtt://127.0.0.1:9"\n[[inlet]]\nurl = "udp:127.0.0.1:0"\n'
    )
    _register(state / "registry.sqlite", nodes)
    done: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
    rollups = Aggregate(AggregateSettings(), {})
    store = Store(
        state / "store.sqlite", outlets=["council"], settings=StoreSettings(synchronous="NORMAL", commit_interval_ms=0),
        post=done.put, decode=decoding.read_again, folds=[rollups], layers=rollups.layers,
    )  # fmt: skip
    store.start()
    try:
        waiting = 0
        for arrival in _arrivals(nodes, records):
            while not store.submit(arrival, lambda outcome: None):
                waiting -= len(done.get(timeout=WAIT_S))
            waiting += 1
        while waiting > 0:
            waiting -= len(done.get(timeout=WAIT_S))
    finally:
        if not store.stop():
            raise RuntimeError("the store did not stop")
    return config


def _register(path: Path, nodes: int) -> None:
    with contextlib.closing(Registry(path, create=True)) as registry, registry.transaction() as db:
        for node in range(1, nodes + 1):
            sealed = registry.seal_secret(node.to_bytes(16, "big"), node, 0)
            db.execute(
                "INSERT INTO node (address, site, role, board, state, epoch, secret) VALUES (?,?,?,?,?,0,?)",
                (node, SITE, channels.ROLES[_role(node)], "esp32_c3", states.BOUND, sealed),
            )
            asset = f"column {node}"
            db.execute(
                "INSERT INTO asset (asset, site, role, inventory) VALUES (?,?,?,1)",
                (asset, SITE, channels.ROLES[_role(node)]),
            )
            db.execute("INSERT INTO binding (asset, node, since_ms) VALUES (?,?,1)", (asset, node))


def _role(node: int) -> int:
    return channels.LAMP if node % 2 else channels.BIN


def _arrivals(nodes: int, records: int) -> Iterator[Arrival]:
    """Hellos that confirm each node, then its reports up to now, the whole district's turn by turn."""
    now = int(time.time())
    each = records // nodes
    begin = now - each * 900
    for node in range(1, nodes + 1):
        hello = Hello(_role(node), "esp32_c3", "1.4.0", bytes(8), 0, 1, bytes(8), 0)
        yield _arrival(node, 0, messages.encode(hello), begin, hello=HelloFacts(True, 0, ()))
    for turn in range(each // BATCH):
        for node in range(1, nodes + 1):
            first = turn * BATCH
            taken = [Record(first + i, begin + (first + i) * 900, _values(node, first + i)) for i in range(BATCH)]
            report = Report(taken)
            count, message = messages.fit(taken, budget=243)
            if count < BATCH:
                raise RuntimeError("a report does not fit")
            last = taken[-1]
            yield _arrival(node, turn + 1, message, last.time, report=report)


def _arrival(
    node: int, seq: int, message: bytes, at_s: int, *, hello: HelloFacts | None = None, report: Report | None = None
) -> Arrival:
    role = channels.ROLES[_role(node)]
    arrival = Arrival(node, SITE, role, node.to_bytes(8, "big"), 0, seq, at_s * 1000, True, message, hello=hello)
    if report is not None:
        last = report.records[-1]
        arrival.first, arrival.count, arrival.report = report.records[0].index, len(report.records), report
        arrival.time, arrival.newest = report.records[0].time, (last.index, last.time)
    return arrival


def _values(node: int, index: int) -> dict[int, int]:
    if _role(node) == channels.LAMP:
        level = 100 if index % 96 > 48 else 0
        return {LEVEL: level, POWER: 4 + 4 * level, ENERGY: index * 25, FAULTS: 0}
    return {FILL: (node + index) % 90, TEMPERATURE: 20 + index % 9, BATTERY: 360, QUALITY: 0}
