"""A real terminal: a pty of a size, with a verb of kerb in it. Every wait has a deadline and a condition."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from field_harness import PATIENCE_S
from gateway_harness import ENVIRONMENT


class Terminal:
    """A verb of kerb in a terminal of a size."""

    def __init__(self, words: list[str], size: tuple[int, int], folder: Path | None = None):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.said = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kerbtools", *words], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            env=ENVIRONMENT | {"TERM": "xterm-256color"}, start_new_session=True, cwd=folder,
        )  # fmt: skip

    def until(self, *words: str) -> None:
        """It has written all of these since the last time."""
        end = time.monotonic() + PATIENCE_S
        while not all(word in self.text for word in words):
            if not self._read(end - time.monotonic()):
                pytest.fail(f"not written: {words}: {self.text[-3000:]}")
        self.said = b""

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z$]", "", self.said.decode(errors="replace"))

    def _read(self, wait_s: float) -> bool:
        if not select.select([self.master], [], [], max(wait_s, 0))[0]:
            return False
        self.said += os.read(self.master, 65_536)
        return True

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        """Its status; what it wrote at last is in `said`."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            self._read(0.05)
            assert time.monotonic() < end, "it does not end"
        while self._read(0):
            pass
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
