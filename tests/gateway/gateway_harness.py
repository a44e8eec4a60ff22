"""What the gateway's tests share: a rig of registry, store and intake in this process; a gateway process; a serial
line on a pty with simulated nodes; a real broker and a subscriber to it.

Faked are the clock and, in the rig, the radio. Everything waits with a deadline and a condition.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import pty
import queue
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from kerbgate import asking, decoding
from kerbgate.config import StoreSettings
from kerbgate.inlets.base import Counters
from kerbgate.intake import Intake
from kerbgate.registry import Registry
from kerbgate.store import Reader, Store
from kerbgate.store.store import Delivery
from kerbtools.simulate import SimulatedNode
from kerbwire import line

ROOT = Path(__file__).parents[2]
SITE = "harbour"
START = 1_772_323_200  # 2026-03-01T00:00:00Z
DEADLINE_S = 20.0
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("protocol", "gateway", "tools"))
}


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of a condition; fails with `what` after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"after {deadline_s} s still not: {what}")
        time.sleep(0.005)


async def soon(condition: Callable[[], object], what: str) -> None:
    """Wait in an event loop for a condition; fails with `what` after the deadline."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110  # the condition is a counter
                await asyncio.sleep(0.002)
    except TimeoutError:
        pytest.fail(f"still not: {what}")


def secret_of(address: int) -> bytes:
    return random.Random(address).randbytes(16)


def add_node(registry: Registry, address: int, role: str = "bin") -> None:
    registry.add(address=address, site=SITE, role=role, board="esp32_c3", secret=secret_of(address))


class SetClock:
    """A clock that tests set."""

    def __init__(self, utc: float = START, synchronised: bool = True):
        self.now = utc
        self.is_synchronised = synchronised

    def utc(self) -> float:
        return self.now

    def synchronised(self) -> bool:
        return self.is_synchronised

    def pace(self) -> float:
        return 1.0


class Air:
    """A radio that hears all and loses what it is told to lose."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.signal = None
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> bool:
        self.counters.sent += 1
        self.sent.append(frame)
        return True

    def settle(self, kept: bool) -> None:
        pass

    def settled(self) -> int:
        counters = self.counters
        return counters.committed + counters.challenged + counters.refused.total()


class Rig:
    """Registry, store and intake in this process, over a folder. `restart` is a stop and a start with a new instance."""

    def __init__(self, folder: Path, *, outlets: tuple[str, ...] = ("council",), **settings: Any):
        self.folder = folder
        self.clock = SetClock()
        self.air = Air()
        self.committed: list[int] = []
        self.settings = StoreSettings(**{"commit_interval_ms": 0, **settings})
        self.outlets = outlets
        self.registry = Registry(folder / "registry.sqlite", create=True)
        self.open()

    def open(self, decode: Any = decoding.read_again) -> None:
        self._deliveries: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self.store = Store(
            self.folder / "store.sqlite",
            outlets=self.outlets,
            settings=self.settings,
            post=self._deliveries.put,
            decode=decode,
        )
        self.intake = Intake(
            self.registry,
            self.store,
            self.clock,
            instance=os.urandom(8),
            on_commit=lambda row, report: self.committed.append(row.report_id),
        )
        self.store.start()

    def close(self) -> None:
        assert self.store.stop()

    def restart(self, decode: Any = decoding.read_again) -> None:
        self.close()
        self.open(decode)

    def node(self, address: int, **options: Any) -> SimulatedNode:
        if self.registry.get(address) is None:
            add_node(self.registry, address)
        return SimulatedNode(address, secret_of(address), seed=address, **options)

    def send(self, frame: bytes) -> list[bytes]:
        """Hand a frame to the intake and wait for its outcome; returns the answers."""
        before = self.air.settled()
        self.air.sent.clear()
        self.intake.take(frame, self.air)
        end = time.monotonic() + DEADLINE_S
        while self.air.settled() == before:
            self.intake.deliver(self._deliveries.get(timeout=max(end - time.monotonic(), 0.01)))
        return list(self.air.sent)

    def exchange(self, node: SimulatedNode) -> None:
        """One frame of the node, and the answers to it."""
        frame = node.next_frame()
        assert frame is not None
        for answer in self.send(frame):
            node.feed(answer)

    def confirm(self, node: SimulatedNode) -> None:
        self.exchange(node)
        self.exchange(node)
        assert node.confirmed

    def query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(Reader(self.store.path)) as reader:
            return reader._db.execute(text, values).fetchall()

    def dump(self) -> Any:
        with contextlib.closing(Reader(self.store.path)) as reader:
            return reader.dump()

    def refused(self) -> Counter[str]:
        return Counter(self.air.counters.refused)


_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class GatewayProcess:
    """`python -m kerbgate run` on a configuration."""

    def __init__(
        self,
        folder: Path,
        *,
        inlets: list[str],
        broker_port: int | None,
        wrap: list[str] | None = None,
        service_port: int = 0,
        environment: Mapping[str, str] | None = None,
        **store: Any,
    ):
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "gateway.toml"
        self.log = folder / "gateway.log"
        self.environment = ENVIRONMENT | dict(environment or {})
        self._wrap = wrap or []
        self._process: subprocess.Popen[bytes] | None = None
        lines = ["[gateway]", f'site = "{SITE}"', 'state = "state"', "[clock]", 'source = "trusted"', "[store]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in store.items()]
        lines += ["[service]", f"port = {service_port}"]
        for url in inlets:
            lines += ["[[inlet]]", f'url = "{url}"']
        if broker_port:
            lines += ["[[outlet]]", 'name = "council"', f'url = "mqtt://127.0.0.1:{broker_port}"', "timeout_s = 2"]
        self.config.write_text("\n".join(lines) + "\n")
        self.state.mkdir(mode=0o700, exist_ok=True)

    @property
    def command(self) -> list[str]:
        return [*self._wrap, sys.executable, "-m", "kerbgate", "run", "--config", str(self.config)]

    def register(self, addresses: range) -> list[SimulatedNode]:
        registry = Registry(self.state / "registry.sqlite", create=True)
        for address in addresses:
            add_node(registry, address)
        registry.close()
        return [SimulatedNode(address, secret_of(address), seed=address, batch=8) for address in addresses]

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_us,  # a run that is aborted leaves no gateway behind
            )
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], DEADLINE_S)
        said = self._process.stdout.readline() if readable else b""
        if b"is running" not in said:
            self.kill()  # a test that fails here has not come to what closes things
            pytest.fail(
                f"the gateway does not start: {(said + self.log.read_bytes()[-4000:]).decode(errors='replace')}"
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What its log says, in order; of one kind."""
        rows = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [row for row in rows if kind in (None, row["event"])]

    def kill(self) -> None:
        """SIGKILL to the whole process group: nothing of it can say goodbye."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reap()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self._process is not None and self._process.stdout is not None
        status = self._process.wait(DEADLINE_S)
        self._process.stdout.close()
        self._process = None
        return status

    def asked(self) -> dict[str, Any]:
        """What it says of itself on its socket. NoAnswer: it does not run."""
        return asking.ask(self.state, "status")["status"]

    def status(self) -> dict[str, Any]:
        """The same by `kerb gateway status`, which is a Python of its own each time."""
        done = subprocess.run(
            [sys.executable, "-m", "kerbgate", "status", "--config", str(self.config), "--json"],
            env=ENVIRONMENT, capture_output=True, timeout=DEADLINE_S, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)


class Street:
    """Simulated nodes on one serial line. Frames are lost as on a line: when nobody reads, and when a process dies."""

    PATIENCE_S = 0.25  # without an answer a node sends again

    def __init__(self, nodes: list[SimulatedNode]):
        self.nodes = {node.address: node for node in nodes}
        self.master, self._slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        # Not /dev/pts/N itself: that is another test's line once this one is closed.
        self._folder = tempfile.TemporaryDirectory(prefix="kerb")
        self.path = f"{self._folder.name}/line"
        self.device = os.ttyname(self._slave)
        Path(self.path).symlink_to(self.device)
        self._reader = line.Reader()
        self._due = dict.fromkeys(self.nodes, 0.0)
        self.frames_sent = 0

    def close(self) -> None:
        self._folder.cleanup()
        os.close(self.master)
        os.close(self._slave)

    def run(self, done: Callable[[], Any], deadline_s: float = DEADLINE_S) -> bool:
        """Exchange frames until `done`; False at the deadline."""
        end = time.monotonic() + deadline_s
        while not done():
            now = time.monotonic()
            if now > end:
                return False
            for address, node in self.nodes.items():
                if now >= self._due[address]:
                    self._send(node.next_frame())
                    self._due[address] = now + self.PATIENCE_S
            if select.select([self.master], [], [], 0.01)[0]:
                self._receive(os.read(self.master, 65536))
        return True

    def _receive(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            for address, node in self.nodes.items():
                if node.feed(frame):
                    self._due[address] = 0.0

    def _send(self, frame: bytes | None) -> None:
        if frame is not None:
            self.frames_sent += 1
            with contextlib.suppress(BlockingIOError):
                os.write(self.master, line.encode(frame))


class Broker:
    """A mosquitto on loopback that keeps sessions over a stop."""

    def __init__(self, folder: Path, *lines: str):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nmax_queued_messages 0\nmax_inflight_messages 0\n"
            + ("user root\n" if os.geteuid() == 0 else "")
            + "".join(f"{line}\n" for line in lines)
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            [mosquitto(), "-c", str(self.folder / "mosquitto.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_us,
        )
        until(self._answers, "the broker listens")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(DEADLINE_S)
            self._process = None

    def kill(self) -> None:
        """SIGKILL: what it has not written is gone, and so is what it was told while frozen."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def mosquitto() -> str:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    return found


class Council:
    """A council's subscriber: a persistent session that keeps the first copy of each record and counts the others."""

    def __init__(self, port: int):
        self.records: dict[str, dict[str, Any]] = {}
        self.documents: list[dict[str, Any]] = []
        self.topics: list[str] = []
        self.copies = 0
        self.changed: list[str] = []
        self.subscribed = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="council", clean_session=False, protocol=paho.MQTTv311
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("kerbstone/1/#", qos=1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = self._take
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, client: Any, userdata: Any, message: Any) -> None:
        document = json.loads(message.payload)
        self.topics.append(message.topic)
        self.documents.append(document)
        for record in document.get("records", ()):  # letters have none
            before = self.records.setdefault(record["id"], record)
            if before is not record:
                self.copies += 1
                if before != record:
                    self.changed.append(record["id"])


@contextlib.contextmanager
def closing_all(*things: Any) -> Iterator[None]:
    """Close each thing at the end, whatever happened: close, kill or stop, whichever it has."""
    try:
        yield
    finally:
        for thing in things:
            for name in ("kill", "close", "stop"):
                if hasattr(thing, name):
                    getattr(thing, name)()
                    break


def taken_ids(nodes: list[SimulatedNode]) -> set[str]:
    return {f"{SITE}/{node.address}/{node.life.hex()}/{index}" for node in nodes for index in node.taken}
