"""What it costs to be watched: CPU of `kerb top` for each frame, in a real terminal, and of the gateway that it asks.

A frame is a look, one a second. Most looks find little that is new; `sorted anew` presses a key each second, so that
each look asks for all nodes in another order and every line of the screen changes: the dearest frame there is.
"""

import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kerbtools.field.top.looks import EVERY_S, MAX_REST_S

SIZES = ((80, 24), (200, 60))
FRAMES = int(MAX_REST_S / EVERY_S) + 10  # each question comes at least once
KEYED = 10
WAIT_S = 60.0
CALM_PERCENT = 2.0
AIM_FRAME_MS, AIM_PERCENT = 100.0, 5.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def rows(config: Path, gateway: Callable[[], float], nodes: int) -> Iterator[dict[str, object]]:
    """One row a size of the terminal and way to watch. gateway: its seconds of CPU so far."""
    alone = calm(gateway)
    for size in SIZES:
        with Terminal(config, size) as terminal:
            terminal.begun(nodes)
            for name, frames, key in (("as it comes", FRAMES, ""), ("sorted anew each second", KEYED, "s")):
                own_ms, percent = _watch(terminal, gateway, frames, key)
                yield {
                    "kerb_top": f"{size[0]}x{size[1]}, {name}", "nodes": nodes, "frames": frames,
                    "cpu_ms_a_frame": own_ms, "aim_ms": AIM_FRAME_MS, "gateway_alone_percent": alone,
                    "gateway_watched_percent": percent, "extra_percent": percent - alone, "aim_percent": AIM_PERCENT,
                }  # fmt: skip


def calm(gateway: Callable[[], float]) -> float:
    """Per cent of a core that the gateway takes when nobody looks, once it has done what it does after a start."""
    end = time.monotonic() + WAIT_S
    while True:
        began = gateway()
        time.sleep(KEYED * EVERY_S)
        percent = 100 * (gateway() - began) / (KEYED * EVERY_S)
        if percent < CALM_PERCENT or time.monotonic() > end:
            return percent


def _watch(terminal: "Terminal", gateway: Callable[[], float], frames: int, key: str) -> tuple[float, float]:
    """(ms of CPU for a frame, per cent of a core that the gateway takes)."""
    own, others = cpu_s(terminal.pid), gateway()
    began = time.monotonic()
    for _ in range(frames):
        if key:
            terminal.press(key)
        terminal.read_for(EVERY_S)
    took = time.monotonic() - began
    return 1000 * (cpu_s(terminal.pid) - own) / frames, 100 * (gateway() - others) / took


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has taken, of user and system, to a hundredth (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


class Terminal:
    """`kerb top` in a terminal of a size, whose output is read and dropped."""

    def __init__(self, config: Path, size: tuple[int, int]):
        import fcntl  # POSIX only; the bench's other parts load elsewhere too
        import pty
        import termios

        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", size[1], size[0], 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kerbtools", "top", "--config", str(config)],
            stdin=slave, stdout=slave, stderr=slave,
            env=os.environ | {"TERM": "xterm-256color"}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def pid(self) -> int:
        return self._process.pid

    def begun(self, nodes: int) -> None:
        """Wait until it has drawn how many nodes there are."""
        said, end = b"", time.monotonic() + WAIT_S
        while f"nodes {nodes}".encode() not in said:
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"kerb top does not show its nodes: {said[-500:]!r}")
            said += self.read_for(EVERY_S / 10)

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def read_for(self, seconds: float) -> bytes:
        """What it writes meanwhile."""
        said, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                said += os.read(self._master, 65_536)
        return said
