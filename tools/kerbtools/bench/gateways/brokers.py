"""The two brokers of a run: the nodes' (field) and the council's, both mosquitto in memory on loopback."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from kerbtools.bench.gateways.process import die_with_us
from kerbtools.demo.broker import find_mosquitto, free_port

START_TIMEOUT_S = 10.0
_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 1000
"""


class Absent(Exception):
    """A program that a row needs is not installed; the text says how to get it."""


class Broker:
    """A mosquitto process. Sessions live as long as it does: no row kills a broker."""

    def __init__(self, folder: Path, name: str):
        self.port = free_port()
        self._folder = folder / name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = find_mosquitto()
        if program is None:
            raise Absent("mosquitto is not installed: apt-get install mosquitto")
        self._folder.mkdir()
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text(_CONFIGURATION.format(port=self.port))
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [program, "-c", str(configuration)],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_us,  # noqa: PLW1509  # this program has one thread
            )
        await_port(self.port)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Silent, with its sockets open: the outage that nobody tests."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def await_port(port: int) -> None:
    """Wait until something listens on a loopback port; TimeoutError."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")
