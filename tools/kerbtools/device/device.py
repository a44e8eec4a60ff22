"""One board on a port: what it is, code on it, its files, its resets."""

import base64
import hashlib
import json
import posixpath
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kerbtools.device.errors import BoardRaised, DeviceError, FlashFull, FlashRefused, NotAnswering, NotVerified
from kerbtools.device.transport import Repl

TIMEOUT_S = 10.0
SOFT_RESET_S = 30.0  # boot.py may finish an update first: some fifty files to rename
RETRY_S = 0.2  # between attempts to open the port of a board that is absent or asleep
HASH_BYTES_PER_S = 50_000  # the slowest that a board is expected to hash; 700,000 were measured on an RP2040
ENOSPC = 28  # as MicroPython numbers it
_PIECE = 4096  # bytes of content in one call: a flash block, and what a board's heap bears three times
_WINDOW_BITS = 12  # of the compressor, as on_board.py expects: a window of _PIECE
_TEMPORARY = ".tmp"

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a board says of itself. version: MicroPython's; mpy: version of the .mpy files that it loads."""

    platform: str
    machine: str
    version: tuple[int, ...]
    mpy: str
    unique_id: str  # hex
    free_bytes: int
    total_bytes: int
    block_bytes: int
    deflate: bool  # whether it can decompress

    @property
    def micropython(self) -> str:
        return ".".join(map(str, self.version))


class Device:
    """A board whose program is stopped and that sits at its raw REPL, with a fresh heap. Use as a context manager.

    Its program runs again after `reset`, which also ends the connection. Every wait is bounded. What goes wrong is a
    DeviceError: any method may raise NotAnswering, PortGone and BoardRaised.
    """

    def __init__(self, repl: Repl, timeout_s: float = TIMEOUT_S) -> None:
        self.port = repl.port
        self.timeout_s = timeout_s
        self._repl = repl
        self._has_agent = False
        self._dog = False  # a watchdog runs, and has to be fed
        self._known: Facts | None = None

    @classmethod
    def open(
        cls,
        port: str,
        timeout_s: float | None = None,
        *,
        wait_s: float = 0.0,
        on_silence: Callable[[DeviceError], None] | None = None,
    ) -> "Device":
        """Open a port and stop what runs on the board.

        timeout_s: of every wait, TIMEOUT_S where none is given. wait_s: how long to go on trying where nothing is
        there or nothing answers, as of a board that sleeps; on_silence is called once, with what stands in the way.
        NoPort, PortBusy, NoPermission.
        """
        end = time.monotonic() + wait_s
        told = False
        while True:
            try:
                return cls._open(port, timeout_s or TIMEOUT_S)
            except DeviceError as error:
                if not error.may_pass or time.monotonic() >= end:
                    raise
                if on_silence and not told:
                    on_silence(error)
                told = True
            time.sleep(RETRY_S)

    @classmethod
    def _open(cls, port: str, timeout_s: float) -> "Device":
        repl = Repl(port)
        try:
            repl.interrupt(timeout_s)
            device = cls(repl, timeout_s)
            device._dog = device._is_watched()
            device.soft_reset()
        except BaseException:
            repl.close()
            raise
        return device

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the port. The board stays at its REPL, its program stopped."""
        self._repl.close()

    # Code.

    def ask(self, code: str, timeout_s: float | None = None) -> Any:
        """Run code on the board; the last line that it prints is JSON: return it, decoded."""
        printed = self._repl.execute(code, timeout_s or self.timeout_s).decode(errors="replace").strip()
        return self._decode(printed.rpartition("\n")[2])

    def run(self, code: str, timeout_s: float | None = None) -> str:
        """Run code on the board; return all that it prints."""
        return self._repl.execute(code, timeout_s or self.timeout_s).decode(errors="replace")

    def facts(self) -> Facts:
        """What the board says of itself now."""
        answer: dict[str, Any] = self._call("kerb_facts")[0]
        answer["version"] = tuple(answer["version"])
        self._known = Facts(**answer)
        return self._known

    # Files. Paths are absolute.

    def files(self, *places: str) -> dict[str, int]:
        """Size of each file at and below the places (default: all), by path. A place that is not there has none."""
        _, rows = self._call("kerb_list", list(places or ("/",)))
        return dict(rows)

    def digests(self, *places: str) -> dict[str, str]:
        """SHA-256 in hex of each file at and below the places (default: all), by path; one call."""
        most_s = self.timeout_s + (self._known or self.facts()).total_bytes / HASH_BYTES_PER_S
        _, rows = self._call("kerb_digests", list(places or ("/",)), timeout_s=most_s)
        return dict(rows)

    def read(self, path: str) -> bytes:
        """FlashRefused, with errno 2 where there is no such file."""
        _, rows = self._call("kerb_send", path, timeout_s=self.timeout_s * 6)
        return b"".join(base64.b64decode(row) for row in rows)

    def write(self, path: str, data: bytes, progress: Progress | None = None) -> None:
        """Write a file whole: under a temporary name, read back, renamed. FlashFull, NotVerified."""
        temporary = path + _TEMPORARY
        self.make_folder(posixpath.dirname(path))
        self.put({temporary: data}, progress)
        self.check({temporary: data})
        self.move(temporary, path)

    def put(self, files: Mapping[str, bytes], progress: Progress | None = None) -> None:
        """Write files in place, many small ones in few calls; their folders must be there. FlashFull.

        Unsafe for a file that matters: a cut leaves part of it. `write` is for those.
        """
        if not files:
            return
        total = sum(map(len, files.values()))
        packs = (self._known or self.facts()).deflate
        self._call("kerb_begin", [[path, len(data)] for path, data in files.items()])
        stream = b"".join(files.values())
        for start in range(0, total, _PIECE):
            piece = stream[start : start + _PIECE]
            packed = _packed(piece) if packs else piece
            is_packed = len(packed) < len(piece)
            text = base64.b64encode(packed if is_packed else piece).decode()
            self._call("kerb_feed", text, int(is_packed))
            if progress:
                progress(min(start + _PIECE, total), total)

    def check(self, files: Mapping[str, bytes]) -> None:
        """Read files back and compare. NotVerified."""
        found = self.digests(*files)
        for path, data in files.items():
            if found.get(path) != _digest(data):
                raise NotVerified(self.port, path)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it; nothing happens where it is there."""
        if path.strip("/"):
            self._call("kerb_make", path)

    def move(self, old: str, new: str) -> None:
        """Rename, which replaces a file of the new name in one step."""
        self._call("os.rename", old, new)

    def remove(self, path: str) -> None:
        """Remove a file or an empty folder; nothing happens where there is none."""
        self._call("kerb_remove", path)

    # Resets.

    def soft_reset(self) -> None:
        """A fresh heap: boot.py runs, main.py does not."""
        self._repl.soft_reset(max(self.timeout_s, SOFT_RESET_S))
        self._has_agent = False
        if self._dog:
            self._call("kerb_arm")

    def reset(self) -> None:
        """Reset the chip, so that its own program runs, and let go of the port."""
        self._repl.leave("import machine, time\ntime.sleep_ms(50)\nmachine.reset()", self.timeout_s)
        self.close()

    # The helper functions, and more of their kind.

    def load(self, program: Path) -> None:
        """Define the functions of a program for boards on the board, for `call`; a soft reset forgets them."""
        self._need_agent()
        self._repl.execute(_shortened(program), self.timeout_s)

    def call(self, function: str, *arguments: Any, timeout_s: float | None = None) -> Any:
        """Call a function of a loaded program; return its value. FlashFull, FlashRefused: its OSErrors."""
        return self._call(function, *arguments, timeout_s=timeout_s)[0]

    def _need_agent(self) -> None:
        if not self._has_agent:
            self._repl.execute(_shortened(Path(__file__).with_name("on_board.py")), self.timeout_s)
            self._has_agent = True

    def _call(self, function: str, *arguments: Any, timeout_s: float | None = None) -> tuple[Any, list[Any]]:
        """As `call`; returns also the rows that it printed before."""
        self._need_agent()
        words = "".join(", " + repr(argument) for argument in arguments)
        lines = self._repl.execute(f"kerb({function}{words})", timeout_s or self.timeout_s).decode(errors="replace")
        rows = [self._decode(line) for line in lines.split("\n") if line.strip()]
        errno, value = rows.pop() if rows else (5, "no answer")
        if errno == ENOSPC:
            raise FlashFull(self.port)
        if errno:
            raise FlashRefused(self.port, errno, str(value))
        return value, rows

    def _decode(self, line: str) -> Any:
        try:
            return json.loads(line)
        except ValueError:
            raise BoardRaised(self.port, f"it printed {line[:80]!r} where an answer was expected") from None

    def _is_watched(self) -> bool:
        """Whether the firmware armed a watchdog: it says so in the heap that the soft reset will wipe."""
        try:
            return bool(self.ask(_ASK_WATCHDOG, timeout_s=2.0))
        except (NotAnswering, BoardRaised):
            return False


# Of whichever module has it: a packed bundle has other modules than a readable one.
_ASK_WATCHDOG = "import sys\nprint(int(any([getattr(m, 'watchdog_armed', 0) for m in sys.modules.values()])))"


@cache
def _shortened(program: Path) -> str:
    """A program as it is sent: without comments and blank lines, indented by one."""
    lines = program.read_text(encoding="utf-8").splitlines()
    return "\n".join(_shorten(line for line in lines if line.strip() and not line.lstrip().startswith("#")))


def _shorten(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        text = line.lstrip()
        yield " " * ((len(line) - len(text)) // 4) + text.partition("  # noqa")[0]


def _packed(piece: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -_WINDOW_BITS)
    return packer.compress(piece) + packer.flush()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
