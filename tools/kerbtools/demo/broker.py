"""The council's broker on loopback: mosquitto where it is installed, else amqtt in a process of its own.

The gateway reaches it at `port`, the council at `council_port`; both stay the same over a restart. `cut()` is the worst
that each can bear: mosquitto is killed with SIGKILL and started again on its saved state; amqtt keeps nothing for a
subscriber that is away, so the relay before it drops the gateway's connections instead.
"""

import asyncio
import contextlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
_PORTS = range(20_000, 32_000)  # Linux gives outgoing connections those from 32,768 on, others from 49,152
ENDED_HINT = "Nothing in the demo ends it: look for who did, and start the demo again."
_MOSQUITTO_PLACES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto")

_MOSQUITTO_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
# Saved at each change: without these two lines a kill loses what was acknowledged.
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
max_inflight_messages 200
"""


class BrokerError(Exception):
    """The broker did not start, or ended by itself; `hint` says what to try."""

    hint = "Install mosquitto with your system's package manager, or run `pip install 'kerbstone[tools]'` for amqtt."

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        if hint:
            self.hint = hint


class Broker(Protocol):
    """What the demo needs of a broker."""

    name: str
    port: int
    council_port: int
    chaos_word: str

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def cut(self, down_s: float) -> None: ...
    def check(self) -> None: ...


def find_mosquitto() -> str | None:
    """The mosquitto program, also where a user's PATH does not reach."""
    return shutil.which("mosquitto") or next((p for p in _MOSQUITTO_PLACES if Path(p).exists()), None)


def open_broker(folder: Path, choice: str = "auto") -> Broker:
    """A broker, not started yet. choice: "mosquitto", "amqtt", or "auto", the better one that this machine has."""
    program = find_mosquitto() if choice != "amqtt" else None
    if program is not None:
        return Mosquitto(program, folder)
    if choice == "mosquitto":
        raise BrokerError("mosquitto is not installed")
    return Amqtt(folder)


def free_port() -> int:
    """A loopback port that was free a moment ago, and that no outgoing connection is given: a broker that was stopped
    finds it free again."""
    for _ in range(100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", secrets.choice(_PORTS)))
            return int(probe.getsockname()[1])
    raise BrokerError(f"no loopback port from {_PORTS[0]} to {_PORTS[-1]} is free", "end what listens there")


class Mosquitto:
    """A mosquitto process with saving on each change."""

    name = "mosquitto"
    chaos_word = "killed"

    def __init__(self, program: str, folder: Path):
        self.port = self.council_port = free_port()
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Started by root, mosquitto gives up root and must still reach its folder.
        self._folder.chmod(0o777)
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(_MOSQUITTO_CONFIGURATION.format(port=self.port, folder=self._folder))
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(configuration)], stdout=log, stderr=log)
        _await_port(self.port, self.name)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def cut(self, down_s: float) -> None:
        self._end(signal.SIGKILL)
        time.sleep(down_s)
        self.start()

    def check(self) -> None:
        _check(self._process, self.name, self._folder / "mosquitto.log")

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(sign)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
        self._process = None


class Amqtt:
    """The pure-Python broker in a process of its own, behind a relay that can drop connections."""

    name = "amqtt"
    chaos_word = "cut off"

    def __init__(self, folder: Path):
        self.council_port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._relay = Relay(self.council_port)
        self.port = self._relay.port

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "amqtt.log").open("ab") as log:
            command = [sys.executable, "-m", "kerbtools.demo.amqtt_process", str(self.council_port)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        _await_port(self.council_port, self.name)
        self._relay.start()

    def stop(self) -> None:
        self._relay.stop()
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def cut(self, down_s: float) -> None:
        self._relay.drop(down_s)

    def check(self) -> None:
        _check(self._process, self.name, self._folder / "amqtt.log")


class Relay:
    """A loopback TCP relay, in a thread of its own, that drops every connection when told to.

    loses: asked for each piece that passes; True ends its connection, and the piece is gone with it.
    """

    def __init__(self, target_port: int, loses: Callable[[], bool] = lambda: False):
        self._loses = loses
        self.port = free_port()
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._pairs: set[asyncio.StreamWriter] = set()
        self._closed_until = 0.0
        self._ready = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(START_TIMEOUT_S)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_TIMEOUT_S)

    def drop(self, down_s: float) -> None:
        """Every connection is cut, and new ones are refused for `down_s` seconds; returns after them."""
        self._closed_until = time.monotonic() + down_s
        self._loop.call_soon_threadsafe(self._drop_all)
        time.sleep(down_s)

    def _drop_all(self) -> None:
        for writer in self._pairs:
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._drop_all()
        if tasks := asyncio.all_tasks(self._loop):
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=STOP_TIMEOUT_S))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if time.monotonic() < self._closed_until:
            writer.transport.abort()
            return
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, inner_writer}
        self._pairs |= pair
        try:
            await asyncio.gather(self._pour(reader, inner_writer), self._pour(inner_reader, writer))
        finally:
            self._pairs -= pair
            for end in pair:
                end.transport.abort()

    async def _pour(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._loses():
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


def _check(process: "subprocess.Popen[bytes] | None", name: str, log: Path) -> None:
    """BrokerError if a broker that should run has ended."""
    if process is not None and (status := process.poll()) is not None:
        words = log.read_text(errors="replace")[-500:].strip()
        raise BrokerError(
            f"the council's broker, {name}, ended with status {status}. Its last words:\n{words}", ENDED_HINT
        )


def _await_port(port: int, name: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise BrokerError(f"{name} did not listen on loopback port {port} within {START_TIMEOUT_S:.0f} s")
