"""A gateway's process: started, killed, looked at."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

WAIT_S = 10.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None)


def die_with_us() -> None:
    """For preexec_fn: a bench that is killed leaves no process behind. Nothing where the kernel cannot do it."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A command in a folder, with the children that it starts. Its output goes to the file `log` there."""

    def __init__(self, name: str, folder: Path, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self.name = name
        self._folder = folder
        self._command = tuple(command)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=os.environ | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_us,  # noqa: PLW1509  # this program has one thread
            )

    def kill(self) -> None:
        """SIGKILL to it and its children; nothing if it is gone."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(WAIT_S)

    def check(self) -> None:
        """RuntimeError if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            text = (self._folder / "log").read_text(errors="replace").strip()
            raise RuntimeError(f"{self.name} ended with status {self._process.returncode}: {text[-300:] or 'no word'}")

    # What the kernel counts of it and its children.

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        ticks = 0
        for pid in self._pids():
            fields = _proc(pid, "stat").rpartition(")")[2].split()
            if fields:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """The largest resident memory so far, of all its processes, MB."""
        return self._memory("VmHWM")

    def memory_mb(self) -> float:
        """Resident memory now, of all its processes, MB."""
        return self._memory("VmRSS")

    def written_bytes(self) -> float:
        """What it gave to the disk so far (the kernel's write_bytes)."""
        counts = (re.search(r"^write_bytes: (\d+)", _proc(pid, "io"), re.M) for pid in self._pids())
        return float(sum(int(count[1]) for count in counts if count))

    def _memory(self, name: str) -> float:
        found = (re.search(rf"{name}:\s+(\d+)", _proc(pid, "status")) for pid in self._pids())
        return sum(int(each[1]) for each in found if each) / 1000

    def _pids(self) -> list[int]:
        if self._process is None:
            return []
        found: list[int] = []
        new = [self._process.pid]
        while new:
            found += new
            new = [int(child) for pid in new for child in _proc(pid, f"task/{pid}/children").split()]
        return found


def _proc(pid: int, name: str) -> str:
    """A file of the kernel's on a process; empty once that is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
