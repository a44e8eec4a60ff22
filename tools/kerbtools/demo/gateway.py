"""The demo's gateway: the real `kerb gateway run` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerbgate import audit, config, control
from kerbgate.commands.brighten import KEY_FILE
from kerbgate.errors import GatewayError
from kerbgate.registry import Registry
from kerbgate.store import Reader

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0
SETTLEMENT = "settlement/1"  # prefix of the outlet that gets level changes


class GatewayFailed(Exception):
    """The gateway ended by itself; its last words are in the message."""

    hint = "These were its last words; if they do not help, please report them."


class GatewayProcess:
    """One gateway. add_node() before start(). status() is what its control socket last said."""

    def __init__(
        self,
        folder: Path,
        site: str,
        broker_port: int,
        clock: Path,
        inlets: list[str],
        group_key: bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        self.folder = folder
        self.config = folder / "gateway.toml"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._last_status: dict[str, Any] = {}
        self._asked = 0.0
        folder.mkdir(parents=True)
        text = config.render(
            {
                "gateway": {"site": site, "state": "state"},
                "inlet": {"url": inlets[0]},
                "outlet": {"name": "council", "url": f"mqtt://127.0.0.1:{broker_port}", "timeout_s": 2},
                "clock": {"source": f"shared:{clock}"},
                "service": {"port": 0},  # several demonstrations run side by side
            }
        )
        for inlet in inlets[1:]:
            text += f'\n[[inlet]]\nurl = "{inlet}"\n'
        if group_key is not None:  # there are lamps, whose level changes go to the settlement alone
            text += f'\n[[outlet]]\nname = "settlement"\nurl = "mqtt://127.0.0.1:{broker_port}"\ntimeout_s = 2\n'
            text += f'prefix = "{SETTLEMENT}"\nsettlement = true\n'
        self.config.write_text(text)
        self._settings = config.load(self.config)
        self._settings.gateway.state.mkdir(mode=0o700)
        if group_key is not None:
            audit.write_private(self._settings.gateway.state / KEY_FILE, group_key)
        self._registry = Registry(self._settings.gateway.registry, create=True)

    def add_node(self, address: int, site: str, board: str, secret: bytes, role: str = "bin") -> None:
        """Writes a node and its secret to the registry."""
        self._registry.add(address=address, site=site, role=role, board=board, secret=secret)

    def start(self) -> None:
        """Starts the process and waits until its control socket answers. GatewayFailed."""
        log = self.folder / "gateway.log"
        with log.open("ab") as output:
            command = [sys.executable, "-m", "kerbtools", "gateway", "run", "--config", str(self.config)]
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env=self._environment)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self._ask():
                return
            time.sleep(0.02)
        raise GatewayFailed(f"the gateway did not start:\n{self._last_words()}")

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9: no goodbye."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def check(self) -> None:
        """GatewayFailed if it has ended by itself."""
        process = self._process
        if process is not None and (status := process.poll()) is not None:
            raise GatewayFailed(f"the gateway ended with status {status}:\n{self._last_words()}")

    def _last_words(self) -> str:
        return (self.folder / "gateway.log").read_text(errors="replace")[-2000:].strip()

    def stop(self) -> None:
        """The graceful end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        self._registry.close()

    def status(self, age_s: float = 0.0) -> dict[str, Any]:
        """What it says of itself, or said so long ago at most; its last words while it is down."""
        if time.monotonic() - self._asked > age_s:
            self._ask()
            self._asked = time.monotonic()
        return self._last_status

    def committed(self, ids: set[str]) -> set[str]:
        """Which of these record ids the store holds as committed."""
        reader = Reader(self._settings.gateway.state / "store.sqlite")
        try:
            ranges: dict[tuple[int, str], list[tuple[int, int]]] = {}
            found: set[str] = set()
            for ident in ids:
                _, node, life, index = ident.split("/")
                key = (int(node), life)
                if key not in ranges:
                    ranges[key] = reader.committed(key[0], bytes.fromhex(life))
                if any(first <= int(index) <= last for first, last in ranges[key]):
                    found.add(ident)
            return found
        finally:
            reader.close()

    def _ask(self) -> bool:
        try:
            self._last_status = control.ask(self._settings.gateway.state, "status")["status"]
        except GatewayError:
            return False
        return True
